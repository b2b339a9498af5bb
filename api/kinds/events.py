"""The kind Event: what `kubectl get events` and `kubectl describe` read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.kinds.kind_base import UnitOfWork, metadata_of
from api.kinds.stored_kind import StoredKind
from api.served_resources import EVENTS
from models.api_errors import MethodNotAllowedError
from models.resources.core import Event
from models.resources.wire import Wire
from models.store.events.event_store import count_events, delete_event, list_events, load_event

_INVOLVED_OBJECT_FIELDS = (
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
)


class EventKind(StoredKind):
    """core/v1 Event. Only tagstream writes them; clients select, read and delete them."""

    info = EVENTS
    name_rule = "subdomain"
    selectable = (
        "metadata.name",
        "metadata.namespace",
        *(f"involvedObject.{key}" for key in _INVOLVED_OBJECT_FIELDS),
        "reason",
        "reportingComponent",
        "source",
        "type",
    )

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> Event | None:
        return load_event(work.session, namespace, name)

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        found = list_events(work.session, namespace=namespace or None, limit=limit, after=after)
        info = self.info
        return [{"kind": info.kind, "apiVersion": info.api_version, **each} for each in found]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_events(work.session, namespace or None, after=after)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        raise MethodNotAllowedError

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        raise MethodNotAllowedError

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        metadata = metadata_of(old)
        delete_event(work.session, metadata.namespace, metadata.name, now=work.now)

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        involved, source = shown.get("involvedObject") or {}, shown.get("source") or {}
        return super().fields(shown) | {
            **{f"involvedObject.{key}": involved.get(key, "") for key in _INVOLVED_OBJECT_FIELDS},
            "reason": shown.get("reason", ""),
            "reportingComponent": shown.get("reportingComponent", ""),
            "source": source.get("component") or shown.get("reportingComponent", ""),
            "type": shown.get("type", ""),
        }
