"""From what the store keeps to what clients see.

Addresses are derived, secrets are opened, and registries told with how they are at the moment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from models.config.live_policies import LiveRules
from models.resources.registries import Registry
from models.store.access.secret_mapping import open_secret
from models.store.changes.change_log import FeedEvent
from models.store.database.cipher import Cipher
from models.store.database.session import transaction
from models.store.registries.registry_mapping import KIND as REGISTRY
from models.store.registries.registry_reports import with_statuses
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_strategy import derive_addresses


def opener(live: LiveRules, cipher: Cipher) -> Callable[[FeedEvent], dict[str, Any]]:
    """Makes what is shown of what the log of changes holds."""

    def open_object(feed: FeedEvent) -> dict[str, Any]:
        if feed.kind == REGISTRY:
            return open_registry(live, feed.object)
        return open_stored(feed.kind, feed.object, rules=live.rules, cipher=cipher)

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


def open_registry(live: LiveRules, stored: dict[str, Any]) -> dict[str, Any]:
    """A registry of the log with how it is now, whatever it was like then."""
    live.look(1.0)
    with transaction(live.engine, write=False) as session:
        (shown,) = with_statuses(
            session,
            [Registry.model_validate(stored)],
            now=datetime.now(UTC),
            rate=live.settings.registry_rate,
            policies=live.policies,
        )
    return shown.wire()


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
