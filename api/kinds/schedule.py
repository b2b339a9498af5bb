"""The kind ScheduledTag: the schedule, read-only.

A caller who may read a stream may read when its tags are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.kinds.kind_base import UnitOfWork, UnversionedKind
from api.request.object_selectors import FieldSelector
from api.served_resources import SCHEDULED_TAGS
from models.config.import_config import build_cadence
from models.store.schedule.schedule_list import (
    ScheduleFilter,
    ScheduleKey,
    ScheduleListEntry,
    list_schedule,
)
from models.store.schedule.schedule_mapping import build_scheduled_tag
from models.streams.tags.tag_views import parse_tag_name


class ScheduledTagKind(UnversionedKind):
    """ScheduledTags. Only the schedule writes its rows."""

    info = SCHEDULED_TAGS
    selectable = (
        "metadata.name",
        "metadata.namespace",
        "spec.stream",
        "spec.registry",
        "status.outcome",
        "status.reason",
    )

    def check_name(self, name: str) -> None:
        parse_tag_name(name, self.info.kind)

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        stream, tag = parse_tag_name(name, self.info.kind)
        found = self._list_rows(work, ScheduleFilter(namespace, stream, tag), limit=1, after=None)
        if not found:
            raise self.not_found(name)
        return found[0]

    def page(
        self,
        work: UnitOfWork,
        namespace: str,
        field_selector: FieldSelector,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        name = field_selector.exact_value("metadata.name") or ""
        stream, _, tag = name.partition(":")
        query = ScheduleFilter(
            namespace or field_selector.exact_value("metadata.namespace") or "",
            stream or field_selector.exact_value("spec.stream") or "",
            tag,
            field_selector.exact_value("spec.registry") or "",
            field_selector.exact_value("status.reason") or "",
            field_selector.exact_value("status.outcome") or "",
        )
        position = None
        if after is not None:
            last_stream, _, last_tag = after[1].partition(":")
            position = (after[0], last_stream, last_tag)
        return self._list_rows(work, query, limit=limit, after=position)

    def _list_rows(
        self, work: UnitOfWork, query: ScheduleFilter, *, limit: int, after: ScheduleKey | None
    ) -> list[dict[str, Any]]:
        intervals = build_cadence(work.context.settings, work.context.policies)
        rows = list_schedule(work.session, query, cadence=intervals, limit=limit, after=after)
        return [self._show_entry(entry, work) for entry in rows]

    def _show_entry(self, entry: ScheduleListEntry, work: UnitOfWork) -> dict[str, Any]:
        return self.show(build_scheduled_tag(entry, work.now))

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.stream": shown["spec"]["stream"],
            "spec.registry": shown["spec"]["registry"],
            "status.outcome": shown["status"].get("outcome", ""),
            "status.reason": shown["status"]["reason"],
        }
