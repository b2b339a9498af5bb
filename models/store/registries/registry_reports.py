"""How registries are: what workers tell of them, and how much the calendar wants of them.

A status is worked out when somebody looks. It has no version of its own, and nobody is woken when
it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from models.resources.registries import Registry, RegistryStatus
from models.store.database.bulk_statements import in_chunks, insert_into, table_of
from models.store.registries.registry_store import load_policies, tags_followed
from models.store.tables.registries import HealthRow
from models.streams.registries.registry_health import KEPT, Report, make_report, merge_reports
from models.streams.registries.registry_mirrors import normal_scope
from models.streams.registries.registry_policies import Policies

_SCOPE = {
    "type": "Healthy",
    "status": "Unknown",
    "reason": "NoRegistry",
    "message": "this speaks for a part of a registry or for several; see the registries themselves",
}


def publish_health(
    session: Session, reports: Sequence[Mapping[str, Any]], *, worker: str, now: datetime
) -> None:
    """Write down what a worker process knows of its registries, one mapping each.

    In the words of `HostHealth`: host, in_flight, limit, waiting, breaker, rest, last_error, gates
    and quotas. What nobody has told for an hour is dropped.
    """
    told = {normal_scope(each["host"]): each for each in reports}
    mine = select(HealthRow.host, HealthRow.document).where(HealthRow.worker == worker)
    before: dict[str, Any] = {row.host: row.document for row in session.execute(mine)}
    rows = [
        {
            "host": host,
            "worker": worker,
            "document": make_report(told[host], now=now, before=before.get(host)),
            "updated": now,
        }
        for host in sorted(told)
    ]
    if rows:
        new = insert_into(session, HealthRow)
        changed = {"document": new.excluded.document, "updated": new.excluded.updated}
        keys = [HealthRow.host, HealthRow.worker]
        session.connection().execute(
            new.on_conflict_do_update(index_elements=keys, set_=changed), rows
        )
    _drop_old(session, now - KEPT)


def _drop_old(session: Session, moment: datetime) -> None:
    """Leaves out what its own worker is about to tell anew."""
    keys = select(HealthRow.host, HealthRow.worker).where(HealthRow.updated < moment)
    stale = session.execute(keys.with_for_update(skip_locked=True)).all()
    for chunk in in_chunks(stale, 200):
        mine = tuple_(HealthRow.host, HealthRow.worker).in_([tuple(row) for row in chunk])
        session.connection().execute(delete(table_of(HealthRow)).where(mine))


def forget_worker(session: Session, worker: str) -> None:
    """Take away what a worker told that ends."""
    table = table_of(HealthRow)
    session.connection().execute(delete(table).where(table.c.worker == worker))


def load_reports(session: Session, hosts: Iterable[str]) -> dict[str, list[Report]]:
    """What workers told of these registries, in normal form."""
    found: dict[str, list[Report]] = {}
    columns = (HealthRow.host, HealthRow.document, HealthRow.updated)
    for chunk in in_chunks(dict.fromkeys(hosts)):
        for row in session.execute(select(*columns).where(HealthRow.host.in_(chunk))):
            found.setdefault(row.host, []).append(Report(row.document, row.updated))
    return found


def with_statuses(
    session: Session,
    registries: Sequence[Registry],
    *,
    now: datetime,
    rate: float,
    policies: Policies | None = None,
) -> list[Registry]:
    """The registries, each with how it is. `rate` is what counts where no policy says more."""
    if not registries:
        return []
    scopes = [normal_scope(each.spec.host) for each in registries]
    hosts = [scope for scope in scopes if _is_whole(scope)]
    reports = load_reports(session, hosts)
    counts = tags_followed(session, hosts, now=now)
    policies = policies or load_policies(session)
    shown: list[Registry] = []
    for registry, scope in zip(registries, scopes, strict=True):
        if not _is_whole(scope):
            shown.append(registry.replace(status=RegistryStatus(conditions=[_SCOPE])))
            continue
        followed, pending = counts.get(scope, (0, 0))
        said = policies.policy(scope).rate
        status = merge_reports(reports.get(scope, ()), now=now)
        status = status.replace(
            rate=rate if said is None else said, tags_followed=followed, tags_pending=pending
        )
        shown.append(registry.replace(status=status))
    return shown


def with_rate(session: Session, registry: Registry, *, rate: float) -> Registry:
    """A registry whose policy has changed, with the rate that counts from now on."""
    scope = normal_scope(registry.spec.host)
    if not _is_whole(scope):
        return registry
    said = load_policies(session).policy(scope).rate
    status = registry.status.replace(rate=rate if said is None else said)
    return registry.replace(status=status)


def _is_whole(scope: str) -> bool:
    return "/" not in scope and not scope.startswith("*")
