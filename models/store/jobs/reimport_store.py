"""An administrator's reimport: one parent job, and a child job for each stream that it covers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from models.job_types import Job, JobRequest, JobState, JobTrigger, Priority
from models.resources.imports import ImageStreamImport
from models.resources.jobs import ReimportSelector
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.store.jobs.job_mapping import JOB_COLUMNS, build_job
from models.store.jobs.job_store import create_job, load_job, update_parent
from models.store.jobs.reimport_children import create_children
from models.store.streams.stream_store import list_streams, load_stream
from models.store.tables.jobs import JobRow
from models.streams.imports.reimport_request import build_reimport_request

STREAM_PAGE_SIZE = 200
ALL_TAGS = -1
_UNFINISHED_STATES = (JobState.QUEUED.value, JobState.RUNNING.value)


def create_reimport(
    session: Session, request: JobRequest, *, now: datetime, max_tags: int = ALL_TAGS
) -> tuple[Job, list[Job]]:
    """Create a reimport: return the parent job and its children (scheduling-11.2)."""
    requests = [import_request for _, import_request in select_reimport_requests(session, request)]
    parent = create_job(session, request, now=now)
    children = create_children(session, parent, requests, max_tags=max_tags, now=now)
    update_parent(session, parent.id, now=now)
    return load_job(session, parent.id) or parent, children


def build_reimport_job(
    namespace: str,
    selector: ReimportSelector,
    *,
    user: str,
    name: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> JobRequest:
    """Build the request of the parent job, which imports nothing itself."""
    return JobRequest(
        ImageStreamImport(metadata=ObjectMeta(name="", namespace=namespace)),
        trigger=JobTrigger.ADMINISTRATOR,
        priority=Priority.BULK,
        user=user,
        name=name,
        selector=selector.wire(),
        labels=labels or None,
        annotations=annotations or None,
    )


def select_reimport_requests(
    session: Session, job_request: JobRequest
) -> Iterator[tuple[ImageStream, ImageStreamImport]]:
    """Yield each selected stream with the import request that a reimport makes of it."""
    selector = ReimportSelector.model_validate(job_request.selector)
    named: dict[str, set[str]] = {}
    for text in selector.streams:
        stream, _, tag = text.partition(":")
        named.setdefault(stream, set()).update({tag} if tag else set())
    whole_streams = {text for text in selector.streams if ":" not in text}
    for image_stream in _list_selected_streams(session, job_request.namespace, selector, named):
        name = image_stream.metadata.name
        request = build_reimport_request(
            image_stream,
            None if not named or name in whole_streams else named[name],
            failed_only=selector.only_failed,
            registry=selector.registry,
        )
        if request is not None:
            yield image_stream, request


def list_children(session: Session, parent: Job) -> list[Job]:
    """Return the child jobs of a reimport, in the order of namespace and stream."""
    query = select(*JOB_COLUMNS).where(JobRow.parent == parent.id)
    rows = session.execute(query.order_by(JobRow.namespace, JobRow.stream, JobRow.id))
    return [build_job(row) for row in rows]


def list_stuck_reimports(session: Session) -> list[UUID]:
    """Return running reimports without an unfinished child that could report to them.

    This happens when a namespace is deleted together with the jobs in it.
    """
    child = aliased(JobRow)
    has_unfinished_child = (
        select(child.id)
        .where(child.parent == JobRow.id, child.state.in_(_UNFINISHED_STATES))
        .exists()
    )
    stuck = select(JobRow.id).where(
        JobRow.state == JobState.RUNNING.value, JobRow.selector.is_not(None), ~has_unfinished_child
    )
    return list(session.scalars(stuck))


def _list_selected_streams(
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
            limit=STREAM_PAGE_SIZE,
            after=after,
        )
        yield from (each for each in found if not named or each.metadata.name in named)
        if len(found) < STREAM_PAGE_SIZE:
            return
        after = (found[-1].metadata.namespace, found[-1].metadata.name)
