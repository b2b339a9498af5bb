"""An administrator's reimport: one job that stands for all, and a job for each stream it takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from models.job_types import Asker, Job, JobRequest, JobState, Lane
from models.resources.imports import ImageStreamImport
from models.resources.jobs import ReimportSelector
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.store.jobs.job_mapping import JOB_COLUMNS, build_job
from models.store.jobs.job_store import create_job, load_job, settle_parent
from models.store.jobs.reimport_children import create_children
from models.store.streams.stream_store import list_streams, load_stream
from models.store.tables.jobs import JobRow
from models.streams.imports.reimport_request import reimport_request

STEP = 200
ALL_TAGS = -1
_LIVE = (JobState.QUEUED.value, JobState.RUNNING.value)


def create_reimport(
    session: Session, wanted: JobRequest, *, now: datetime, max_tags: int = ALL_TAGS
) -> tuple[Job, list[Job]]:
    """Put the reimport on record: the job that stands for all, and its children."""
    requests = [request for _, request in choose_requests(session, wanted)]
    parent = create_job(session, wanted, now=now)
    children = create_children(session, parent, requests, max_tags=max_tags, now=now)
    settle_parent(session, parent.id, now=now)
    return load_job(session, parent.id) or parent, children


def reimport_job(
    namespace: str,
    selector: ReimportSelector,
    *,
    user: str,
    name: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> JobRequest:
    """The job that stands for all: it imports nothing itself."""
    return JobRequest(
        ImageStreamImport(metadata=ObjectMeta(name="", namespace=namespace)),
        asker=Asker.ADMINISTRATOR,
        lane=Lane.BULK,
        user=user,
        name=name,
        selector=selector.wire(),
        labels=labels or None,
        annotations=annotations or None,
    )


def choose_requests(
    session: Session, wanted: JobRequest
) -> Iterator[tuple[ImageStream, ImageStreamImport]]:
    """What a reimport comes to, stream by stream."""
    selector = ReimportSelector.model_validate(wanted.selector)
    named: dict[str, set[str]] = {}
    for text in selector.streams:
        stream, _, tag = text.partition(":")
        named.setdefault(stream, set()).update({tag} if tag else set())
    whole = {text for text in selector.streams if ":" not in text}
    for found in _streams(session, wanted.namespace, selector, named):
        name = found.metadata.name
        request = reimport_request(
            found,
            None if not named or name in whole else named[name],
            failed_only=selector.only_failed,
            registry=selector.registry,
        )
        if request is not None:
            yield found, request


def list_children(session: Session, parent: Job) -> list[Job]:
    """The jobs of the streams that a reimport took, in the order of namespace and stream."""
    wanted = select(*JOB_COLUMNS).where(JobRow.parent == parent.id)
    rows = session.execute(wanted.order_by(JobRow.namespace, JobRow.stream, JobRow.id))
    return [build_job(row) for row in rows]


def stuck_reimports(session: Session) -> list[UUID]:
    """Reimports of whose jobs none is left to tell them that it ended.

    Jobs are gone with their namespace when that is deleted.
    """
    part = aliased(JobRow)
    live = select(part.id).where(part.parent == JobRow.id, part.state.in_(_LIVE)).exists()
    stuck = select(JobRow.id).where(
        JobRow.state == JobState.RUNNING.value, JobRow.selector.is_not(None), ~live
    )
    return list(session.scalars(stuck))


def _streams(
    session: Session, namespace: str, selector: ReimportSelector, named: Collection[str]
) -> Iterator[ImageStream]:
    if named and not selector.all_namespaces:
        each = (load_stream(session, namespace, name) for name in sorted(named))
        yield from (stream for stream in each if stream is not None)
        return
    after = None
    while True:
        found = list_streams(
            session,
            namespace=None if selector.all_namespaces else namespace,
            limit=STEP,
            after=after,
        )
        yield from (each for each in found if not named or each.metadata.name in named)
        if len(found) < STEP:
            return
        after = (found[-1].metadata.namespace, found[-1].metadata.name)
