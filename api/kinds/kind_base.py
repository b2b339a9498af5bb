"""What every kind offers the verbs, and the one transaction in which a verb does its work."""

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

from api.api_context import House
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
from worker.job_queue import knock_all

T = TypeVar("T")
ATTEMPTS = 10
KNOCKS_AT_ONCE = 100  # those of a great reimport are sent behind its author's back
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(slots=True)
class Work:
    """One verb's work on the store. `knocks` are jobs to tell the workers of after the commit.

    `held` are objects that were read under lock, so that nobody else changes them meanwhile.
    """

    session: Session
    house: House
    caller: Caller
    now: datetime
    dry_run: bool = False
    knocks: list[Job] = field(default_factory=list)
    held: dict[tuple[str, str, str], Wire | None] = field(default_factory=dict)


class BegunMeanwhileError(Exception):
    """Somebody else made what this step was about to make: the next attempt will find it.

    `refusal` is for when no attempt is left.
    """

    def __init__(self, refusal: ServerTimeoutError) -> None:
        super().__init__()
        self.refusal = refusal


class _UndoneError(Exception):
    """Carries the result of a dry run out of the transaction that it undoes."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


def do_work(
    house: House,
    caller: Caller,
    step: Callable[[Work], T],
    *,
    now: datetime,
    dry_run: bool = False,
) -> T:
    """What `step` returns, committed; undone again where it was only a trial (`api.md` C10).

    A transaction that gave way to another writer is begun anew.
    """
    for attempt in range(ATTEMPTS):
        try:
            result, knocks = _try_work(house, caller, step, now=now, dry_run=dry_run)
        except StreamConflictError as error:
            if error.name or attempt == ATTEMPTS - 1:
                raise
            continue
        except BegunMeanwhileError as error:
            if attempt == ATTEMPTS - 1:
                raise error.refusal from error
            continue
        knock_all(house.engine, house.counter, knocks[:KNOCKS_AT_ONCE])
        if len(knocks) > KNOCKS_AT_ONCE:
            house.threads.later(partial(_knock_on, house, knocks[KNOCKS_AT_ONCE:]))
        return result
    raise AssertionError("unreachable")


def _knock_on(house: House, jobs: list[Job]) -> None:
    """Knock for the next few, and leave the others to the next free thread.

    Whatever this process does not get to, or the broker does not hear, the sweep knocks for.
    """
    some, rest = jobs[:KNOCKS_AT_ONCE], jobs[KNOCKS_AT_ONCE:]
    if knock_all(house.engine, house.counter, some) == len(some) and rest:
        house.threads.later(partial(_knock_on, house, rest))


def _try_work(
    house: House, caller: Caller, step: Callable[[Work], T], *, now: datetime, dry_run: bool
) -> tuple[T, list[Job]]:
    try:
        with transaction(house.engine) as session:
            work = Work(session, house, caller, now, dry_run)
            result = step(work)
            if dry_run:
                raise _UndoneError(result)  # noqa: TRY301 - the way out that undoes
            return result, work.knocks
    except _UndoneError as undone:
        return undone.result, []


@contextmanager
def reading(house: House, caller: Caller, *, now: datetime) -> Iterator[Work]:
    """One snapshot of the store, to look at."""
    with transaction(house.engine, write=False) as session:
        yield Work(session, house, caller, now)


def random_suffix() -> str:
    """The five characters behind a `generateName` (`api.md` C5)."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind: by place, and by what they carry."""

    namespace: str = ""
    name: str = ""
    matches: Callable[[Mapping[str, str], Mapping[str, str]], bool] | None = None


class Kind(ABC):
    """One resource. A verb that a kind does not offer is refused before it gets here."""

    info: ResourceInfo
    selectable: tuple[str, ...] = ("metadata.name", "metadata.namespace")
    has_table = True

    def check_name(self, name: str) -> None:  # noqa: B027 - most kinds take every name
        """BadRequestError where a name in a path cannot be one of this kind."""

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        raise MethodNotAllowedError

    def print_one(self, house: House, namespace: str, name: str) -> str | None:
        """What `get` shows, as JSON, where there is a quick way to it; None: take the other."""
        return None

    def post(self, work: Work, namespace: str, body: Wire) -> dict[str, Any]:
        raise MethodNotAllowedError

    def put(
        self, work: Work, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        """The object as stored, and whether it is new. `patched` bodies need no version."""
        raise MethodNotAllowedError

    def list_all(self, work: Work, namespace: str) -> list[dict[str, Any]]:
        """Every object of a kind that has no pages; no namespace: of all."""
        raise MethodNotAllowedError

    def find_base(self, work: Work, namespace: str, name: str) -> dict[str, Any] | None:
        """As `base`; None where there is nothing yet."""
        try:
            return self.base(work, namespace, name)
        except NotFoundError:
            return None

    def base(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        """What a patch is applied to; locked until the transaction ends."""
        raise MethodNotAllowedError

    def shown_as_is(self, work: Work, namespace: str, name: str) -> Wire | None:
        """The stored object, where `base` shows nothing but what it holds; None: it is not so."""
        return None

    def delete(
        self, work: Work, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        raise MethodNotAllowedError

    def not_found(self, name: str) -> NotFoundError:
        info = self.info
        return NotFoundError(resource=info.resource.partition("/")[0], name=name, group=info.group)

    def show(self, item: Wire) -> dict[str, Any]:
        """The object with its kind and apiVersion in front."""
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **item.wire()}

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        """What field selectors see."""
        metadata = shown["metadata"]
        return {
            "metadata.name": metadata.get("name", ""),
            "metadata.namespace": metadata.get("namespace", ""),
        }


class LiveKind(Kind):
    """What is only read, and only as it is now: pages of it have no version in common."""

    @abstractmethod
    def page(
        self,
        work: Work,
        namespace: str,
        wanted: FieldSelector,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        """The next shown objects in order; no namespace: of all. What `wanted` asks for exactly
        may narrow them, so that the others need not be read.
        """


def try_again(verb: str, info: ResourceInfo) -> ServerTimeoutError:
    return ServerTimeoutError(verb, resource=info.resource, group=info.group)


def metadata_of(item: Wire) -> ObjectMeta:
    """The metadata that every object has."""
    metadata: ObjectMeta = item.metadata  # type: ignore[attr-defined]
    return metadata
