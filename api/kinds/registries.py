"""Registries: the operator's word on each, and how it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.api_context import House
from api.codec.storage_conversion import open_registry
from api.kinds.kind_base import Work, metadata_of
from api.kinds.stored_kind import StoredKind
from api.served_resources import REGISTRIES
from models.errors import InvalidObjectError
from models.resources.meta import ObjectMeta
from models.resources.registries import Registry, RegistryStatus
from models.resources.wire import Wire
from models.store.registries.registry_reports import with_rate, with_statuses
from models.store.registries.registry_store import (
    count_registries,
    delete_registry,
    list_registries,
    load_registry,
    save_registry,
)
from models.streams.registries.registry_validation import validate_registry


class RegistryKind(StoredKind):
    """The spec is stored, the status worked out whenever somebody looks, and never written."""

    info = REGISTRIES
    name_rule = "subdomain"
    needs_version = False
    selectable = ("metadata.name", "spec.host", "status.health")

    def load(self, work: Work, namespace: str, name: str, *, lock: bool = False) -> Wire | None:
        found = load_registry(work.session, name, for_update=lock)
        return None if found is None else self._with_status(work, [found])[0]

    def page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        found = list_registries(work.session, limit=limit, after=after[1] if after else None)
        return [self.show(each) for each in self._with_status(work, found)]

    def count(self, work: Work, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_registries(work.session, after=after[1] if after else None)

    def check(self, work: Work, old: Wire | None, new: Wire) -> Registry:
        assert isinstance(new, Registry)
        before = old.spec if isinstance(old, Registry) else None
        host = new.spec.host or (new.metadata.name if before is None else before.host)
        new = new.replace(
            metadata=_without_status(new.metadata),
            spec=new.spec.replace(host=host),
            status=RegistryStatus(),
        )
        errors = validate_registry(new.spec, before)
        if errors:
            name, group = new.metadata.name, self.info.group
            raise InvalidObjectError(kind=self.info.kind, name=name, errors=errors, group=group)
        return new

    def save(self, work: Work, old: Wire | None, new: Wire) -> Wire:
        assert isinstance(new, Registry)
        assert old is None or isinstance(old, Registry)
        # Tags are counted before other writers have to wait for us.
        status = self._with_status(work, [new])[0].status if old is None else old.status
        saved = save_registry(work.session, old, new, now=work.now).replace(status=status)
        return with_rate(work.session, saved, rate=work.house.settings.registry_rate)

    def remove(self, work: Work, old: Wire) -> None:
        delete_registry(work.session, metadata_of(old).name, now=work.now)

    def show_stored(self, house: House, stored: dict[str, Any]) -> dict[str, Any]:
        shown = open_registry(house.live, stored)
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **shown}

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.host": shown["spec"].get("host", ""),
            "status.health": shown["status"].get("health", ""),
        }

    def _with_status(self, work: Work, found: list[Registry]) -> list[Registry]:
        rate = work.house.settings.registry_rate
        return with_statuses(work.session, found, now=work.now, rate=rate)


def _without_status(metadata: ObjectMeta) -> ObjectMeta:
    """Nobody owns a status that nobody writes."""
    owners = []
    for entry in metadata.managed_fields:
        fields = {key: each for key, each in entry.get("fieldsV1", {}).items() if key != "f:status"}
        if fields:
            owners.append(entry | {"fieldsV1": fields})
    return metadata.replace(managed_fields=owners)
