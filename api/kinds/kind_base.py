"""The base class of kinds, and the transaction in which a verb is carried out."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from api.api_context import ApiContext
from api.request.object_selectors import FieldSelector
from api.request.query_options import DeleteOptions
from api.served_resources import ResourceInfo
from models.access.rbac import Caller
from models.api_errors import MethodNotAllowedError, ServerTimeoutError
from models.errors import NotFoundError, StreamConflictError
from models.job_types import Job
from models.resources.meta import ObjectMeta
from models.resources.wire import Wire
from models.store.database.session import transaction
from worker.job_queue import publish_all

T = TypeVar("T")
MAX_TRANSACTION_ATTEMPTS = 10
PUBLISH_BATCH_SIZE = 100  # jobs published before the response; the rest follow in the background
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(slots=True)
class UnitOfWork:
    """One verb's transaction on the store.

    `jobs_to_publish` are jobs to publish to the queue after the commit. `locked` are objects that
    were read under a lock, by kind, namespace and name: no other writer changes them meanwhile.
    """

    session: Session
    context: ApiContext
    caller: Caller
    now: datetime
    dry_run: bool = False
    jobs_to_publish: list[Job] = field(default_factory=list)
    locked: dict[tuple[str, str, str], Wire | None] = field(default_factory=dict)


class ConcurrentCreateError(Exception):
    """Another writer created what this step was about to create: the next attempt will find it.

    `retry_error` is raised when no attempt is left.
    """

    def __init__(self, retry_error: ServerTimeoutError) -> None:
        super().__init__()
        self.retry_error = retry_error


class _DryRunRollbackError(Exception):
    """Carries the result of a dry run out of the transaction that it rolls back."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


def run_transaction(
    context: ApiContext,
    caller: Caller,
    step: Callable[[UnitOfWork], T],
    *,
    now: datetime,
    dry_run: bool = False,
) -> T:
    """Return what `step` returns, committed; rolled back if it is a dry run (api-9.1).

    A transaction that lost against another writer is repeated, up to ten times (api-6.8). A
    StreamConflictError that names an object is the client's own conflict and is raised at once.
    Raises ServerTimeoutError if another writer creates the same object in each attempt.
    """
    for attempt in range(MAX_TRANSACTION_ATTEMPTS):
        try:
            result, jobs = _try_transaction(context, caller, step, now=now, dry_run=dry_run)
        except StreamConflictError as error:
            if error.name or attempt == MAX_TRANSACTION_ATTEMPTS - 1:
                raise
            continue
        except ConcurrentCreateError as error:
            if attempt == MAX_TRANSACTION_ATTEMPTS - 1:
                raise error.retry_error from error
            continue
        publish_all(context.engine, context.job_queue, jobs[:PUBLISH_BATCH_SIZE])
        if len(jobs) > PUBLISH_BATCH_SIZE:
            context.executor.submit(partial(_publish_remaining, context, jobs[PUBLISH_BATCH_SIZE:]))
        return result
    raise AssertionError("unreachable")


def _publish_remaining(context: ApiContext, jobs: list[Job]) -> None:
    """Publish the next batch of jobs, and submit the remaining ones to the executor.

    What this process does not publish, or the broker does not accept, the reaper publishes later.
    """
    batch, rest = jobs[:PUBLISH_BATCH_SIZE], jobs[PUBLISH_BATCH_SIZE:]
    if publish_all(context.engine, context.job_queue, batch) == len(batch) and rest:
        context.executor.submit(partial(_publish_remaining, context, rest))


def _try_transaction(
    context: ApiContext,
    caller: Caller,
    step: Callable[[UnitOfWork], T],
    *,
    now: datetime,
    dry_run: bool,
) -> tuple[T, list[Job]]:
    try:
        with transaction(context.engine) as session:
            work = UnitOfWork(session, context, caller, now, dry_run)
            result = step(work)
            if dry_run:
                raise _DryRunRollbackError(result)  # noqa: TRY301 - raising rolls back
            return result, work.jobs_to_publish
    except _DryRunRollbackError as rolled_back:
        return rolled_back.result, []


@contextmanager
def read_transaction(context: ApiContext, caller: Caller, *, now: datetime) -> Iterator[UnitOfWork]:
    """Open a read-only transaction: one snapshot of the store."""
    with transaction(context.engine, write=False) as session:
        yield UnitOfWork(session, context, caller, now)


def random_suffix() -> str:
    """Return the five random characters that follow a `generateName` (api-5.1)."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


class Kind(ABC):
    """One resource. Verbs that a kind does not offer are rejected before they reach it."""

    info: ResourceInfo
    selectable: tuple[str, ...] = ("metadata.name", "metadata.namespace")
    has_table = True

    def check_name(self, name: str) -> None:  # noqa: B027 - most kinds accept every name
        """Raise BadRequestError if a name in a path cannot be one of this kind."""

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        raise MethodNotAllowedError

    def get_json(self, context: ApiContext, namespace: str, name: str) -> str | None:
        """Return what `get` returns as JSON text, or None if there is no fast path."""
        return None

    def post(self, work: UnitOfWork, namespace: str, body: Wire) -> dict[str, Any]:
        raise MethodNotAllowedError

    def put(
        self, work: UnitOfWork, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        """Replace the object; return it as stored, and whether it is new.

        `patched` bodies need no resourceVersion.
        """
        raise MethodNotAllowedError

    def list_all(self, work: UnitOfWork, namespace: str) -> list[dict[str, Any]]:
        """Return every object of a kind that has no pages; an empty namespace means all."""
        raise MethodNotAllowedError

    def find_patch_base(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any] | None:
        """Return `patch_base`, or None if the object does not exist."""
        try:
            return self.patch_base(work, namespace, name)
        except NotFoundError:
            return None

    def patch_base(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        """Return what a patch is applied to, locked until the transaction ends."""
        raise MethodNotAllowedError

    def stored_patch_base(self, work: UnitOfWork, namespace: str, name: str) -> Wire | None:
        """Return the stored object if `patch_base` is nothing but its shown form; else None."""
        return None

    def delete(
        self, work: UnitOfWork, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        raise MethodNotAllowedError

    def not_found(self, name: str) -> NotFoundError:
        info = self.info
        return NotFoundError(resource=info.resource.partition("/")[0], name=name, group=info.group)

    def show(self, item: Wire) -> dict[str, Any]:
        """Return the object with kind and apiVersion in front."""
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **item.wire()}

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        """Return the values that field selectors compare, by field path."""
        metadata = shown["metadata"]
        return {
            "metadata.name": metadata.get("name", ""),
            "metadata.namespace": metadata.get("namespace", ""),
        }


class UnversionedKind(Kind):
    """A read-only kind without versions: its pages are read as the data is at that moment."""

    @abstractmethod
    def page(
        self,
        work: UnitOfWork,
        namespace: str,
        field_selector: FieldSelector,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        """Return the next shown objects in order; an empty namespace means all.

        Exact values of `field_selector` may narrow the query, so that the others need not be read.
        """


def server_timeout_error(verb: str, info: ResourceInfo) -> ServerTimeoutError:
    return ServerTimeoutError(verb, resource=info.resource, group=info.group)


def metadata_of(item: Wire) -> ObjectMeta:
    """Return the metadata, which every object has."""
    metadata: ObjectMeta = item.metadata  # type: ignore[attr-defined]
    return metadata
