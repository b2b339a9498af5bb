"""ScheduledTags: the calendar, to look at. Whoever may see a stream may see when it is next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.kinds.kind_base import LiveKind, Work
from api.request.object_selectors import FieldSelector
from api.served_resources import SCHEDULED_TAGS
from models.config.import_config import build_cadence
from models.store.schedule.schedule_list import Entry, Place, Sought, list_schedule
from models.store.schedule.schedule_mapping import view_entry
from models.streams.tags.tag_views import parse_tag_name


class ScheduledTagKind(LiveKind):
    """A row of the calendar as an object. Nobody writes it but the schedule."""

    info = SCHEDULED_TAGS
    selectable = (
        "metadata.name",
        "metadata.namespace",
        "spec.stream",
        "spec.registry",
        "status.decision",
    )

    def check_name(self, name: str) -> None:
        parse_tag_name(name, self.info.kind)

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        stream, tag = parse_tag_name(name, self.info.kind)
        found = self._read(work, Sought(namespace, stream, tag), limit=1, after=None)
        if not found:
            raise self.not_found(name)
        return found[0]

    def page(
        self,
        work: Work,
        namespace: str,
        wanted: FieldSelector,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        named = wanted.exact("metadata.name") or ""
        stream, _, tag = named.partition(":")
        sought = Sought(
            namespace or wanted.exact("metadata.namespace") or "",
            stream or wanted.exact("spec.stream") or "",
            tag,
            wanted.exact("spec.registry") or "",
            wanted.exact("status.decision") or "",
        )
        place = None
        if after is not None:
            last_stream, _, last_tag = after[1].partition(":")
            place = (after[0], last_stream, last_tag)
        return self._read(work, sought, limit=limit, after=place)

    def _read(
        self, work: Work, sought: Sought, *, limit: int, after: Place | None
    ) -> list[dict[str, Any]]:
        cadence = build_cadence(work.house.settings, work.house.policies)
        rows = list_schedule(work.session, sought, cadence=cadence, limit=limit, after=after)
        return [self._show(entry, work) for entry in rows]

    def _show(self, entry: Entry, work: Work) -> dict[str, Any]:
        return self.show(view_entry(entry, work.now))

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.stream": shown["spec"]["stream"],
            "spec.registry": shown["spec"]["registry"],
            "status.decision": shown["status"]["decision"],
        }
