"""Keeping the calendar: in the transaction that writes a stream, a secret, or what an import found.

Writers say what is to be looked at; the scheduler says when. Whoever changes a row takes it from
the worker that may be looking at it: that look no longer counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session

from models.job_types import TargetResult
from models.pull_secrets import Scope, covers, hosts_of, scopes_of, split_port
from models.resources.meta import Secret
from models.resources.stream import ImageStream
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_into, table_of
from models.store.schedule.schedule_claims import sibling_turns
from models.store.schedule.schedule_locks import hold_rows
from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.store.tables.streams import StreamRow
from models.streams.schedule.check_schedule import (
    JITTER,
    Again,
    Cadence,
    Decision,
    Wish,
    again_after,
    calendar_changes,
    next_turn,
    place_of,
    retry_turn,
    turn_in_step,
)

_TABLE = table_of(ScheduleRow)
LONGEST_MESSAGE = 512
_HELD = (
    select(
        ScheduleRow.id,
        ScheduleRow.tag,
        ScheduleRow.host,
        ScheduleRow.key,
        ScheduleRow.scheduled,
        ScheduleRow.suspended,
        ScheduleRow.asked,
        ScheduleRow.fresh,
        ScheduleRow.due,
        ScheduleRow.failures,
    )
    .where(ScheduleRow.stream_id == bindparam("its_stream"))
    .order_by(ScheduleRow.id)
)
_SETTLE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .values(
        {
            name: bindparam(name, type_=_TABLE.c[name].type)
            for name in (
                "fresh",
                "due",
                "next_look",
                "checked",
                "failures",
                "decision",
                "reason",
                "message",
                "decided",
                "waited",
                "batch",
                "carrier",
            )
        }
    )
)


def save_calendar(
    session: Session,
    stream_id: int,
    old: ImageStream | None,
    new: ImageStream,
    *,
    now: datetime,
) -> None:
    """Carry over what the writing of a stream means for the calendar: mostly nothing."""
    changes = calendar_changes(old, new)
    if old is not None:
        hold_rows(session, old.metadata.namespace, old.metadata.name, changes)
    gone = [tag for tag, wish in changes.items() if wish is None]
    for tags in in_chunks(gone):
        here = and_(ScheduleRow.stream_id == stream_id, ScheduleRow.tag.in_(tags))
        session.connection().execute(delete(ScheduleRow).where(here))
    wanted = {tag: wish for tag, wish in changes.items() if wish is not None}
    if not wanted:
        return
    metadata = new.metadata
    place = {"stream_id": stream_id, "namespace": metadata.namespace, "stream": metadata.name}
    rows = [
        {**place, **new_row(tag, wish, now=now, scheduled=True)} for tag, wish in wanted.items()
    ]
    added = insert_into(session, ScheduleRow)
    kept = (
        "host",
        "key",
        "source",
        "insecure",
        "scheduled",
        "suspended",
        "asked",
        "fresh",
        "next_look",
        "decision",
        "decided",
        "batch",
        "carrier",
    )
    upsert = added.on_conflict_do_update(
        index_elements=[ScheduleRow.stream_id, ScheduleRow.tag],
        set_={name: added.excluded[name] for name in kept},
    )
    session.connection().execute(upsert, rows)


def new_row(tag: str, wish: Wish, *, now: datetime, scheduled: bool) -> dict[str, Any]:
    """A row that has no turn yet: the scheduler gives it one at its next tick."""
    return {
        "tag": tag,
        "host": wish.host,
        "key": wish.key,
        "source": wish.source,
        "insecure": wish.insecure,
        "scheduled": scheduled,
        "suspended": wish.suspended,
        "asked": wish.asked,
        "fresh": True,
        "due": None,
        "next_look": None if wish.suspended else now,
        "checked": None,
        "failures": 0,
        "decision": Decision.SUSPENDED if wish.suspended else Decision.NEW,
        "reason": "",
        "message": "",
        "decided": now,
        "waited": 0,
        "etag": "",
        "batch": None,
        "carrier": "",
    }


def settle_import(
    session: Session,
    stream: ImageStream,
    targets: Iterable[TargetResult],
    *,
    cadence: Cadence,
    now: datetime,
    waited: Mapping[str, int] | None = None,
) -> None:
    """Let the calendar know how an import ended, tag by tag: it need not look so soon (7.3 Delay).

    A tag that nobody scheduled, but whose import failed for the moment only, is looked at again
    all the same (Q48). `waited` tells for how many seconds a look waited for its registry. The
    rows are held since before the change was numbered.
    """
    ended = {target.to: target for target in targets if target.to}
    if not ended:
        return
    metadata = stream.metadata
    here = and_(StreamRow.namespace == metadata.namespace, StreamRow.name == metadata.name)
    stream_id = session.connection().execute(select(StreamRow.id).where(here)).scalar()
    if stream_id is None:
        return
    rows = session.connection().execute(_HELD, {"its_stream": stream_id}).all()
    held = {row.tag: row for row in rows}
    known = [(held[tag], target) for tag, target in ended.items() if tag in held]
    done = [row.id for row, target in known if not row.scheduled and not _is_open(target)]
    for ids in in_chunks(done):
        session.connection().execute(delete(ScheduleRow).where(ScheduleRow.id.in_(ids)))
    waits = waited or {}
    fresh = {row.key for row, target in known if row.fresh and row.scheduled and target.image}
    siblings = sibling_turns(session, fresh)
    values = [
        {
            "its_id": row.id,
            **_ended(
                row,
                target,
                cadence=cadence,
                now=now,
                waited=waits.get(row.tag, 0),
                sibling=siblings.get(row.key) if row.fresh else None,
            ),
        }
        for row, target in known
        if row.scheduled or _is_open(target)
    ]
    if values:
        session.connection().execute(_SETTLE, values)
    news = {tag: end for tag, end in ended.items() if tag not in held and _is_open(end)}
    if news:
        _enter_failed(session, stream_id, stream, news, cadence=cadence, now=now)


def _is_open(target: TargetResult) -> bool:
    """Whether something may change although nobody changes the wish: a failure that may pass."""
    if target.image:
        return False
    return again_after(target.code) in {Again.SOON, Again.WITH_OTHER_RIGHTS}


def _ended(
    row: AnyRow,
    target: TargetResult,
    *,
    cadence: Cadence,
    now: datetime,
    waited: int,
    sibling: datetime | None,
) -> dict[str, Any]:
    """The columns of a row whose tag was just looked at."""
    interval = cadence.interval(row.asked, row.host)
    failures = 0 if target.image else row.failures + 1
    again = again_after(target.code)
    if target.image:
        # Of a turn that had come, the next one goes by it; of one that is still to come, it does
        # not, as it is no longer needed.
        turn = row.due if row.due is not None and row.due <= now else now
        due: datetime | None = next_turn(row.key, turn, now, interval)
        if sibling is not None:
            least = now + timedelta(seconds=interval * (1 - JITTER))
            due = turn_in_step(row.key, sibling, not_before=least, interval=interval) or due
        decision = Decision.MOVED if target.changed else Decision.SAME
    else:
        decision = Decision.FAILED
        due = retry_turn(row.key, again, failures=failures, now=now, interval=interval)
        if not row.scheduled and again is not Again.SOON:
            due = None  # until its rights change
    if row.suspended:
        due = None
    return {
        "fresh": False,
        "due": due,
        "next_look": due,
        "checked": now,
        "failures": failures,
        "decision": decision,
        "reason": target.code if not target.image else "",
        "message": target.message[:LONGEST_MESSAGE],
        "decided": now,
        "waited": waited,
        "batch": None,
        "carrier": "",
    }


def _enter_failed(
    session: Session,
    stream_id: int,
    stream: ImageStream,
    ended: Mapping[str, TargetResult],
    *,
    cadence: Cadence,
    now: datetime,
) -> None:
    """Rows for tags that nobody scheduled and that failed for now."""
    metadata = stream.metadata
    rows: list[dict[str, Any]] = []
    for tag in stream.spec.tags:
        target = ended.get(tag.name)
        wish = place_of(stream, tag) if target is not None else None
        if target is None or wish is None:
            continue
        again = again_after(target.code)
        turn = retry_turn(
            wish.key, again, failures=1, now=now, interval=cadence.interval(None, wish.host)
        )
        due = turn if again is Again.SOON else None
        rows.append(
            {
                **new_row(tag.name, wish, now=now, scheduled=False),
                "stream_id": stream_id,
                "namespace": metadata.namespace,
                "stream": metadata.name,
                "suspended": False,
                "fresh": False,
                "due": due,
                "next_look": due,
                "checked": now,
                "failures": 1,
                "decision": Decision.FAILED,
                "reason": target.code,
                "message": target.message[:LONGEST_MESSAGE],
            }
        )
    if rows:
        statement = insert_into(session, ScheduleRow).on_conflict_do_nothing()
        session.connection().execute(statement, rows)


def wake_refused(
    session: Session, namespace: str, secrets: Collection[Secret] | None, *, now: datetime
) -> int:
    """Look at once at the namespace's tags that registries refused, as its rights have changed;
    and once more at those that somebody looks at right now, by the old ones.

    Only at those that the changed secrets speak of; None: at all. How many tags that was. Their
    streams are held until the transaction ends, like by everybody who writes rows and changes; so
    this comes before the change is recorded.
    """
    refused = or_(
        ScheduleRow.reason.startswith("auth."), ScheduleRow.reason.startswith("notfound.")
    )
    mine = and_(
        ScheduleRow.id.in_(select(PlaceRow.id).where(PlaceRow.namespace == namespace)),
        ScheduleRow.suspended.is_(False),
        or_(ScheduleRow.batch.is_not(None), and_(ScheduleRow.failures > 0, refused)),
    )
    waiting = select(ScheduleRow.id, ScheduleRow.host, ScheduleRow.key, ScheduleRow.stream_id)
    rows = session.execute(waiting.where(mine).order_by(ScheduleRow.id)).all()
    if secrets is not None and rows:
        scopes = scopes_of(secrets)
        rows = [row for row in rows if _is_covered(scopes, row.host, row.key)]
    for streams in in_chunks(sorted({row.stream_id for row in rows})):
        held = select(StreamRow.id).where(StreamRow.id.in_(streams)).order_by(StreamRow.id)
        session.execute(held.with_for_update(key_share=True)).all()
    for chunk in in_chunks([row.id for row in rows]):
        here = _TABLE.c.id.in_(chunk)
        held_rows = select(_TABLE.c.id).where(here, mine).order_by(_TABLE.c.id).with_for_update()
        ids = session.scalars(held_rows).all()
        woken = update(_TABLE).where(_TABLE.c.id.in_(ids))
        values = {"due": now, "next_look": now, "batch": None, "carrier": ""}
        session.connection().execute(woken.values(values))
    return len(rows)


def _is_covered(scopes: Collection[Scope], registry: str, key: str) -> bool:
    path = key.partition(" ")[0].partition("/")[2]
    names = [split_port(name) for name in hosts_of(registry)]
    return any(covers(scope, host, port, path) for scope in scopes for host, port in names)
