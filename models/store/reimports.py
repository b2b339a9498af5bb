"""An administrator's reimport: one job that stands for all, and a job for each stream it takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.orm import Session

from models.jobs import Asker, Job, JobRequest, Lane
from models.resources.imports import ImageStreamImport
from models.resources.jobs import ReimportSelector
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.store.jobs import create_job, settle_parent
from models.store.streams import list_streams
from models.streams.reimport import reimport_request

STEP = 200


def create_reimport(
    session: Session,
    *,
    namespace: str,
    name: str,
    selector: ReimportSelector,
    user: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    now: datetime,
) -> tuple[Job, list[Job]]:
    """Put the reimport on record: the job that stands for all, and its children."""
    whole = JobRequest(
        ImageStreamImport(metadata=ObjectMeta(name="", namespace=namespace)),
        asker=Asker.ADMINISTRATOR,
        lane=Lane.BULK,
        user=user,
        name=name,
        selector=selector.wire(),
        labels=labels or None,
        annotations=annotations or None,
    )
    parent = create_job(session, whole, now=now)
    children = [
        create_job(
            session,
            JobRequest(
                request,
                asker=Asker.ADMINISTRATOR,
                lane=Lane.BULK,
                user=user,
                max_tags=-1,
                parent=parent.id,
            ),
            now=now,
        )
        for request in choose_requests(session, namespace, selector)
    ]
    settle_parent(session, parent.id, now=now)
    return parent, children


def choose_requests(
    session: Session, namespace: str, selector: ReimportSelector
) -> Iterator[ImageStreamImport]:
    """The requests that a selector comes to, stream by stream."""
    named: dict[str, set[str]] = {}
    for text in selector.streams:
        stream, _, tag = text.partition(":")
        named.setdefault(stream, set()).update({tag} if tag else set())
    whole = {text for text in selector.streams if ":" not in text}
    for found in _streams(session, None if selector.all_namespaces else namespace):
        name = found.metadata.name
        if named and name not in named:
            continue
        request = reimport_request(
            found,
            None if not named or name in whole else named[name],
            failed_only=selector.only_failed,
            registry=selector.registry,
        )
        if request is not None:
            yield request


def _streams(session: Session, namespace: str | None) -> Iterator[ImageStream]:
    after = None
    while True:
        found = list_streams(session, namespace=namespace, limit=STEP, after=after)
        yield from found
        if len(found) < STEP:
            return
        after = (found[-1].metadata.namespace, found[-1].metadata.name)
