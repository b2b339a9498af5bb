"""Conversion of stored objects to the objects that clients see.

Repository addresses are derived, secrets decrypted, and registries get their current status.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from models.config.live_policies import LivePolicies
from models.resources.registries import Registry
from models.store.access.secret_mapping import unseal_wire
from models.store.changes.change_events import ChangeEvent
from models.store.database.cipher import Cipher
from models.store.database.session import transaction
from models.store.registries.registry_mapping import REGISTRY_KIND as REGISTRY
from models.store.registries.registry_reports import load_registries_with_status
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_strategy import derive_repositories


def build_change_converter(
    live_policies: LivePolicies, cipher: Cipher
) -> Callable[[ChangeEvent], dict[str, Any]]:
    """Return a function that converts the object of a change log entry to its shown form."""

    def convert_change(change: ChangeEvent) -> dict[str, Any]:
        if change.kind == REGISTRY:
            return convert_registry(live_policies, change.object)
        return convert_stored(change.kind, change.object, rules=live_policies.rules, cipher=cipher)

    return convert_change


def convert_stored(
    kind: str, stored: dict[str, Any], *, rules: ImportRules, cipher: Cipher
) -> dict[str, Any]:
    """Return the shown form of a stored object, without kind and apiVersion."""
    if kind == "ImageStream":
        return decorate_wire(stored, rules)
    if kind == "Secret":
        return unseal_wire(stored, cipher)
    return stored


def convert_registry(live_policies: LivePolicies, stored: dict[str, Any]) -> dict[str, Any]:
    """Return a registry of the change log with its current status, not the one of the change."""
    live_policies.refresh(1.0)
    with transaction(live_policies.engine, write=False) as session:
        (shown,) = load_registries_with_status(
            session,
            [Registry.model_validate(stored)],
            now=datetime.now(UTC),
            rate=live_policies.settings.registry_rate,
            policies=live_policies.policies,
        )
    return shown.wire()


def decorate_wire(wire: dict[str, Any], rules: ImportRules) -> dict[str, Any]:
    """Return a stream's wire object with its derived repository addresses (api-19.6).

    The same as `decorate`, for a stream that is already in its wire form.
    """
    metadata = wire["metadata"]
    repository, public = derive_repositories(
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
