"""Rechecks of tags whose check a Registry policy prevented, when that policy changes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from models.resources.registries import RegistrySpec
from models.store.database.bulk_statements import in_chunks, table_of
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.streams.registries.registry_mirrors import normalise_scope, scope_contains

_TABLE = table_of(ScheduledTagRow)
_ACCESS_FIELDS = ("blocked", "insecure", "mirrors", "never_contact_source")


def recheck_scope(
    session: Session, old: RegistrySpec | None, new: RegistrySpec | None, *, now: datetime
) -> int:
    """Make tags due at once that were blocked, or whose registry's certificate was not trusted.

    Only if the fields that decide about that differ between `old` and `new` (None: no object),
    which are of the same scope (scheduling-7.4). Return how many tags that was.
    """
    before, after = old or RegistrySpec(), new or RegistrySpec()
    if all(getattr(before, name) == getattr(after, name) for name in _ACCESS_FIELDS):
        return 0
    scope = normalise_scope(before.host or after.host)
    is_refused = or_(
        ScheduledTagRow.error_code == "policy.blocked",
        ScheduledTagRow.error_code.startswith("tls."),
    )
    query = select(ScheduledTagRow.id, ScheduledTagRow.key).where(
        ScheduledTagRow.consecutive_failures > 0,
        ScheduledTagRow.suspended.is_(False),
        ScheduledTagRow.batch.is_(None),
        is_refused,
    )
    if not scope.startswith("*."):
        of_host = select(ScheduleLookupRow.id).where(
            ScheduleLookupRow.host == scope.partition("/")[0]
        )
        query = query.where(ScheduledTagRow.id.in_(of_host))
    rows = session.execute(query.order_by(ScheduledTagRow.id)).all()
    ids = [row.id for row in rows if scope_contains(scope, row.key.partition(" ")[0])]
    for chunk in in_chunks(ids):
        statement = update(_TABLE).where(_TABLE.c.id.in_(chunk), _TABLE.c.batch.is_(None))
        session.connection().execute(statement.values(due_at=now, next_check_at=now))
    return len(ids)
