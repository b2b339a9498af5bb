"""From what the store keeps to what clients see: addresses are derived, secrets are opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.store.changes import FeedEvent
from models.store.cipher import Cipher
from models.store.secret_rows import open_secret
from models.streams.rules import ImportRules
from models.streams.strategy import derive_addresses


def opener(rules: ImportRules, cipher: Cipher) -> Callable[[FeedEvent], dict[str, Any]]:
    """Makes what is shown of what the log of changes holds."""

    def open_object(feed: FeedEvent) -> dict[str, Any]:
        return open_stored(feed.kind, feed.object, rules=rules, cipher=cipher)

    return open_object


def open_stored(
    kind: str, stored: dict[str, Any], *, rules: ImportRules, cipher: Cipher
) -> dict[str, Any]:
    """The shown form of a stored object of a kind, without kind and apiVersion."""
    if kind == "ImageStream":
        return decorate_wire(stored, rules)
    if kind == "Secret":
        return open_secret(stored, cipher)
    return stored


def decorate_wire(wire: dict[str, Any], rules: ImportRules) -> dict[str, Any]:
    """`decorate` for a stream that is printed already (`api.md` B2.5)."""
    metadata = wire["metadata"]
    repository, public = derive_addresses(
        rules,
        metadata.get("namespace", ""),
        metadata["name"],
        wire["spec"].get("dockerImageRepository", ""),
    )
    status = {"dockerImageRepository": repository}
    if public:
        status["publicDockerImageRepository"] = public
    tags = wire["status"].get("tags")
    return {**wire, "status": {**status, "tags": tags} if tags else status}
