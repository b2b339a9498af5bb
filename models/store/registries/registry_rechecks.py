"""Tags that an operator's word kept from being looked at are looked at again when it changes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from models.resources.registries import RegistrySpec
from models.store.database.bulk_statements import in_chunks, table_of
from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.streams.registries.registry_mirrors import normal_scope, scope_holds

_TABLE = table_of(ScheduleRow)
_DECIDES = ("blocked", "insecure", "mirrors", "never_contact_source")


def wake_scope(
    session: Session, old: RegistrySpec | None, new: RegistrySpec | None, *, now: datetime
) -> int:
    """Look at once at tags that were blocked, or whose registry's certificate was not trusted.

    Only where what decides about that differs between `old` and `new` (None: there is none), which
    are of the same scope. How many tags that was.
    """
    before, after = old or RegistrySpec(), new or RegistrySpec()
    if all(getattr(before, name) == getattr(after, name) for name in _DECIDES):
        return 0
    scope = normal_scope(before.host or after.host)
    refused = or_(ScheduleRow.reason == "policy.blocked", ScheduleRow.reason.startswith("tls."))
    waiting = select(ScheduleRow.id, ScheduleRow.key).where(
        ScheduleRow.failures > 0,
        ScheduleRow.suspended.is_(False),
        ScheduleRow.batch.is_(None),
        refused,
    )
    if not scope.startswith("*."):
        here = select(PlaceRow.id).where(PlaceRow.host == scope.partition("/")[0])
        waiting = waiting.where(ScheduleRow.id.in_(here))
    rows = session.execute(waiting.order_by(ScheduleRow.id)).all()
    ids = [row.id for row in rows if scope_holds(scope, row.key.partition(" ")[0])]
    for chunk in in_chunks(ids):
        woken = update(_TABLE).where(_TABLE.c.id.in_(chunk), _TABLE.c.batch.is_(None))
        session.connection().execute(woken.values(due=now, next_look=now))
    return len(ids)
