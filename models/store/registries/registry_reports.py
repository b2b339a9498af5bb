"""The status of registries: reports of workers, and the number of scheduled tags.

A status is computed when it is read. It has no resource version of its own, and a change of it
notifies no watcher (scheduling-9.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from models.resources.registries import Registry, RegistryStatus
from models.store.database.bulk_statements import in_chunks, insert_into, table_of
from models.store.registries.registry_store import count_scheduled_tags, load_policies
from models.store.tables.registries import RegistryHealthRow
from models.streams.registries.registry_health import (
    REPORT_RETENTION,
    HealthReport,
    build_health_report,
    merge_health_reports,
)
from models.streams.registries.registry_mirrors import normalise_scope
from models.streams.registries.registry_policies import RegistryPolicies

_NO_REGISTRY_CONDITION = {
    "type": "Healthy",
    "status": "Unknown",
    "reason": "NoRegistry",
    "message": "this covers a part of a registry or several; see the objects of the registries",
}


def save_health_reports(
    session: Session, reports: Sequence[Mapping[str, Any]], *, worker: str, now: datetime
) -> None:
    """Save the reports of a worker process on its registries, one mapping each (scheduling-9.3).

    The keys are those of `HostHealth`: host, in_flight, limit, waiting, breaker,
    seconds_until_probe, last_error, cooldowns and quotas. Reports that were not renewed for an hour
    are deleted.
    """
    by_host = {normalise_scope(each["host"]): each for each in reports}
    query = select(RegistryHealthRow.host, RegistryHealthRow.document).where(
        RegistryHealthRow.worker == worker
    )
    before: dict[str, Any] = {row.host: row.document for row in session.execute(query)}
    rows = [
        {
            "host": host,
            "worker": worker,
            "document": build_health_report(by_host[host], now=now, before=before.get(host)),
            "updated": now,
        }
        for host in sorted(by_host)
    ]
    if rows:
        insert = insert_into(session, RegistryHealthRow)
        changed = {"document": insert.excluded.document, "updated": insert.excluded.updated}
        keys = [RegistryHealthRow.host, RegistryHealthRow.worker]
        session.connection().execute(
            insert.on_conflict_do_update(index_elements=keys, set_=changed), rows
        )
    _delete_stale_reports(session, now - REPORT_RETENTION)


def _delete_stale_reports(session: Session, before: datetime) -> None:
    """Delete reports last updated before that time, except those being updated."""
    keys = select(RegistryHealthRow.host, RegistryHealthRow.worker).where(
        RegistryHealthRow.updated < before
    )
    stale = session.execute(keys.with_for_update(skip_locked=True)).all()
    for chunk in in_chunks(stale, 200):
        is_stale = tuple_(RegistryHealthRow.host, RegistryHealthRow.worker).in_(
            [tuple(row) for row in chunk]
        )
        session.connection().execute(delete(table_of(RegistryHealthRow)).where(is_stale))


def delete_worker_reports(session: Session, worker: str) -> None:
    """Delete the reports of a worker that stops."""
    table = table_of(RegistryHealthRow)
    session.connection().execute(delete(table).where(table.c.worker == worker))


def load_health_reports(session: Session, hosts: Iterable[str]) -> dict[str, list[HealthReport]]:
    """Return the workers' reports on these registries, whose names are in normal form."""
    found: dict[str, list[HealthReport]] = {}
    columns = (RegistryHealthRow.host, RegistryHealthRow.document, RegistryHealthRow.updated)
    for chunk in in_chunks(dict.fromkeys(hosts)):
        for row in session.execute(select(*columns).where(RegistryHealthRow.host.in_(chunk))):
            found.setdefault(row.host, []).append(HealthReport(row.document, row.updated))
    return found


def load_registries_with_status(
    session: Session,
    registries: Sequence[Registry],
    *,
    now: datetime,
    rate: float,
    policies: RegistryPolicies | None = None,
) -> list[Registry]:
    """Return the registries, each with its status. `rate` applies where no policy sets one."""
    if not registries:
        return []
    scopes = [normalise_scope(each.spec.host) for each in registries]
    hosts = [scope for scope in scopes if _is_whole_registry(scope)]
    reports = load_health_reports(session, hosts)
    counts = count_scheduled_tags(session, hosts, now=now)
    policies = policies or load_policies(session)
    shown: list[Registry] = []
    for registry, scope in zip(registries, scopes, strict=True):
        if not _is_whole_registry(scope):
            shown.append(
                registry.replace(status=RegistryStatus(conditions=[_NO_REGISTRY_CONDITION]))
            )
            continue
        scheduled, overdue = counts.get(scope, (0, 0))
        policy_rate = policies.policy(scope).rate
        status = merge_health_reports(reports.get(scope, ()), now=now)
        status = status.replace(
            rate=rate if policy_rate is None else policy_rate,
            tags_scheduled=scheduled,
            tags_overdue=overdue,
        )
        shown.append(registry.replace(status=status))
    return shown


def load_registry_with_rate(session: Session, registry: Registry, *, rate: float) -> Registry:
    """Return a registry whose policy has changed, with the rate that applies from now on."""
    scope = normalise_scope(registry.spec.host)
    if not _is_whole_registry(scope):
        return registry
    policy_rate = load_policies(session).policy(scope).rate
    status = registry.status.replace(rate=rate if policy_rate is None else policy_rate)
    return registry.replace(status=status)


def _is_whole_registry(scope: str) -> bool:
    return "/" not in scope and not scope.startswith("*")
