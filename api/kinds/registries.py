"""The kind Registry: the policy of each registry, and its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.api_context import ApiContext
from api.codec.storage_conversion import convert_registry
from api.kinds.kind_base import UnitOfWork, metadata_of
from api.kinds.stored_kind import StoredKind
from api.served_resources import REGISTRIES
from models.errors import InvalidObjectError
from models.resources.meta import ObjectMeta
from models.resources.registries import Registry, RegistryStatus
from models.resources.wire import Wire
from models.store.registries.registry_reports import (
    load_registries_with_status,
    load_registry_with_rate,
)
from models.store.registries.registry_store import (
    count_registries,
    delete_registry,
    list_registries,
    load_registry,
    save_registry,
)
from models.streams.registries.registry_validation import validate_registry


class RegistryKind(StoredKind):
    """Registries. The spec is stored; the status is computed when it is read, and never written."""

    info = REGISTRIES
    name_rule = "subdomain"
    requires_resource_version = False
    selectable = ("metadata.name", "spec.host", "status.health")

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> Wire | None:
        found = load_registry(work.session, name, for_update=lock)
        return None if found is None else self._with_status(work, [found])[0]

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        found = list_registries(work.session, limit=limit, after=after[1] if after else None)
        return [self.show(each) for each in self._with_status(work, found)]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_registries(work.session, after=after[1] if after else None)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Registry:
        assert isinstance(new, Registry)
        old_spec = old.spec if isinstance(old, Registry) else None
        host = new.spec.host or (new.metadata.name if old_spec is None else old_spec.host)
        new = new.replace(
            metadata=_without_status(new.metadata),
            spec=new.spec.replace(host=host),
            status=RegistryStatus(),
        )
        errors = validate_registry(new.spec, old_spec)
        if errors:
            name, group = new.metadata.name, self.info.group
            raise InvalidObjectError(kind=self.info.kind, name=name, errors=errors, group=group)
        return new

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        assert isinstance(new, Registry)
        assert old is None or isinstance(old, Registry)
        # Tags are counted before other writers have to wait for us.
        status = self._with_status(work, [new])[0].status if old is None else old.status
        saved = save_registry(work.session, old, new, now=work.now).replace(status=status)
        return load_registry_with_rate(
            work.session, saved, rate=work.context.settings.registry_rate
        )

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        delete_registry(work.session, metadata_of(old).name, now=work.now)

    def show_stored(self, context: ApiContext, stored: dict[str, Any]) -> dict[str, Any]:
        shown = convert_registry(context.live_policies, stored)
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **shown}

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.host": shown["spec"].get("host", ""),
            "status.health": shown["status"].get("health", ""),
        }

    def _with_status(self, work: UnitOfWork, found: list[Registry]) -> list[Registry]:
        rate = work.context.settings.registry_rate
        return load_registries_with_status(work.session, found, now=work.now, rate=rate)


def _without_status(metadata: ObjectMeta) -> ObjectMeta:
    """Return the metadata without owners of the status, which is never written."""
    owners = []
    for entry in metadata.managed_fields:
        fields = {key: each for key, each in entry.get("fieldsV1", {}).items() if key != "f:status"}
        if fields:
            owners.append(entry | {"fieldsV1": fields})
    return metadata.replace(managed_fields=owners)
