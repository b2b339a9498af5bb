"""The difference between a stream as it was read and as it shall be, and writing only that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from models.resources.stream import ImageStream, NamedTagEventList, TagEvent, TagReference
from models.store.database.bulk_statements import CHUNK_SIZE, in_chunks, insert_rows, table_of
from models.store.streams.stream_mapping import event_values, tag_values
from models.store.tables.streams import TagEventRow, TagRow

_MAX_NAMES_PER_QUERY = 2 * CHUNK_SIZE


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """The change of one tag's stored events.

    `added` are new, newest first; `head` is the new content of the newest stored event; `forgotten`
    is how many of the newest stored events are deleted first, or -1 for all of them.
    """

    added: Sequence[TagEvent] = ()
    head: TagEvent | None = None
    forgotten: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.head is not None or self.forgotten)


@dataclass(slots=True)
class StreamDiff:
    """Tag rows to insert, to change and to delete, and the changes of histories, by tag name."""

    inserted: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    steps: dict[str, HistoryStep] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.inserted or self.changed or self.dropped or self.steps)


def compare_streams(old: ImageStream | None, new: ImageStream) -> StreamDiff:
    """Return the tags that differ. Linear; tags that are the identical object cost little."""
    before = dict(_tags_of(old)) if old is not None else {}
    after = dict(_tags_of(new))
    diff = StreamDiff(dropped=[name for name in before if name not in after])
    for name, (desired, history) in after.items():
        old_desired, old_history = before.get(name, (None, None))
        if _is_equal(desired, old_desired) and _is_equal(history, old_history):
            continue
        values = tag_values(desired, history)
        if name not in before:
            diff.inserted.append({"name": name, **values})
        elif values != tag_values(old_desired, old_history):
            diff.changed.append({"tag_name": name, **values})
        step = compare_histories(_items(old_history), _items(history))
        if step:
            diff.steps[name] = step
    return diff


def compare_histories(old: Sequence[TagEvent], new: Sequence[TagEvent]) -> HistoryStep:
    """Return how one history became the other.

    `old` may be only the newest part of what is stored: older events are kept, unless `new` is
    empty. Usually events were put in front and at most the head changed. Example: from [b, a] to
    [c, b, a] adds c; to [c, b', a] adds c and rewrites b.
    """
    if not old:
        return HistoryStep(added=new)
    if not new:
        return HistoryStep(forgotten=-1)
    more = len(new) - len(old)
    if more >= 0 and list(new[more + 1 :]) == list(old[1:]):
        head = None if _is_equal(new[more], old[0]) else new[more]
        return HistoryStep(added=new[:more], head=head)
    return HistoryStep(added=new, forgotten=len(old))


def write_diff(session: Session, stream_id: int, diff: StreamDiff) -> None:
    """Write the differences to the rows of one stream."""
    connection = session.connection()
    for names in in_chunks(diff.dropped):
        connection.execute(
            delete(TagRow).where(TagRow.stream_id == stream_id, TagRow.name.in_(names))
        )
    insert_rows(session, TagRow, [{"stream_id": stream_id, **row} for row in diff.inserted])
    if diff.changed:
        table = table_of(TagRow)
        statement = update(table).where(
            table.c.stream_id == stream_id, table.c.name == bindparam("tag_name")
        )
        connection.execute(statement, diff.changed)
    if diff.steps:
        _write_steps(session, stream_id, diff.steps)


def _write_steps(session: Session, stream_id: int, steps: dict[str, HistoryStep]) -> None:
    connection = session.connection()
    tags = _load_tag_ids(session, stream_id, list(steps))
    for name, step in steps.items():
        if step.forgotten:
            _delete_newest_events(session, tags[name][0], step.forgotten)
    table = table_of(TagEventRow)
    heads = [
        {"head": tags[name][1], **event_values(step.head)}
        for name, step in steps.items()
        if step.head is not None
    ]
    if heads:
        connection.execute(update(table).where(table.c.id == bindparam("head")), heads)
    insert_rows(
        session,
        TagEventRow,
        [
            {"tag_id": tags[name][0], **event_values(event)}
            for name, step in steps.items()
            for event in reversed(step.added)
        ],
    )
    changed_ids = [tags[name][0] for name, step in steps.items() if step.added or step.forgotten]
    newest = (
        select(func.max(TagEventRow.id)).where(TagEventRow.tag_id == TagRow.id).scalar_subquery()
    )
    for ids in in_chunks(changed_ids):
        connection.execute(update(TagRow).where(TagRow.id.in_(ids)).values(head_id=newest))


def _delete_newest_events(session: Session, tag_id: int, count: int) -> None:
    statement = delete(TagEventRow).where(TagEventRow.tag_id == tag_id)
    if count > 0:
        newest = (
            select(TagEventRow.id)
            .where(TagEventRow.tag_id == tag_id)
            .order_by(TagEventRow.id.desc())
            .limit(count)
        )
        statement = statement.where(TagEventRow.id.in_(newest))
    session.connection().execute(statement)


def _load_tag_ids(
    session: Session, stream_id: int, names: list[str]
) -> dict[str, tuple[int, int | None]]:
    """Return id and head of the named tags; if many are named, of the whole stream in one query."""
    tag_query = select(TagRow.name, TagRow.id, TagRow.head_id).where(TagRow.stream_id == stream_id)
    queries = (
        [tag_query]
        if len(names) > _MAX_NAMES_PER_QUERY
        else [tag_query.where(TagRow.name.in_(chunk)) for chunk in in_chunks(names)]
    )
    return {
        name: (tag_id, head_id)
        for query in queries
        for name, tag_id, head_id in session.execute(query)
    }


def _tags_of(
    stream: ImageStream,
) -> Iterator[tuple[str, tuple[TagReference | None, NamedTagEventList | None]]]:
    histories = {history.tag: history for history in stream.status.tags}
    for desired in stream.spec.tags:
        yield desired.name, (desired, histories.pop(desired.name, None))
    for name, history in histories.items():
        yield name, (None, history)


def _items(history: NamedTagEventList | None) -> Sequence[TagEvent]:
    return (history.items or ()) if history is not None else ()


def _is_equal(one: object, other: object) -> bool:
    return one is other or one == other
