"""Looks at what scheduled tags follow: one HEAD for all who may see it by the same right (B2).

Nothing is read or written here but by way of the registry client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import structlog

from models.errors import InvalidReferenceError, RegistryBlockedError, RegistryError, TagstreamError
from models.reference import DEFAULT_TAG, Reference
from models.store.schedule.schedule_claims import Check
from models.streams.imports.import_rules import ImportRules
from worker.imports.fetcher import join_errors
from worker.registry.limits.fair_queue import LONGEST_LINE
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.tag_check import Checked
from worker.registry.transport.egress_policy import EgressPolicy
from worker.worker_context import Runtime

log = structlog.get_logger()

LONGEST_LOOK = 60.0
SIDE_BY_SIDE = 16  # looks at one registry that a batch has out at once
Seen = Checked | TagstreamError


@dataclass(frozen=True, slots=True)
class Rights:
    """What decides what somebody gets to see of a source: where they may go, and which
    credentials they may show there, at each mirror and at the source itself.
    """

    policy: EgressPolicy
    credentials: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One source, as everybody in `checks` may see it by the same rights."""

    reference: Reference
    insecure: bool
    rights: Rights
    access: Access
    checks: list[Check] = field(default_factory=list)


def plan_looks(
    checks: Iterable[Check], access_of: Callable[[str], Access], runtime: Runtime
) -> tuple[list[Look], list[tuple[Check, TagstreamError]]]:
    """What to look at, each source and right once; and rows whose source cannot be read."""
    looks: dict[tuple[str, bool, Rights], Look] = {}
    unreadable: list[tuple[Check, TagstreamError]] = []
    for check in checks:
        try:
            reference = _parse(check.source)
        except InvalidReferenceError as error:
            unreadable.append((check, error))
            continue
        access = access_of(check.namespace)
        rights = rights_at(access, reference, runtime)
        found = reference.id or reference.tag or DEFAULT_TAG
        key = (f"{reference.repository_key()} {found}", check.insecure, rights)
        look = looks.get(key)
        if look is None:
            look = looks[key] = Look(reference, check.insecure, rights, access)
        look.checks.append(check)
    return list(looks.values()), unreadable


def rights_at(access: Access, reference: Reference, runtime: Runtime) -> Rights:
    """By what right a reference is asked for: who has the same sees the same (`registry.md` C7)."""
    policy = runtime.client.config.policy.for_tenant(access.tenant)
    if not access.keyring.credentials:
        return Rights(policy)
    tried = tuple(
        tuple(credential.id for credential in access.keyring.candidates(_place(source)))
        for source in runtime.rules.registries.sources(reference)
    )
    return Rights(policy, tried if any(tried) else ())


async def look_at_all(
    looks: Sequence[Look],
    client: RegistryClient,
    rules: ImportRules,
    tell: Callable[[Look, Seen], None],
) -> None:
    """Look at everything side by side; `tell` is called on the loop as soon as each is seen."""
    await _Round(client, rules, tell).look_at(looks)


class _Round:
    """Looks at many tags, some at each registry at a time: a task and a timer for each of them
    would cost as much as its request.

    Once the first ones have taken as long as a check may stand in line, all others go and stand
    there too: the registry's turns know whom to send home.
    """

    def __init__(
        self, client: RegistryClient, rules: ImportRules, tell: Callable[[Look, Seen], None]
    ) -> None:
        self._client = client
        self._rules = rules
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._lines: list[deque[Look]] = []
        self._began: dict[asyncio.Task[None], float] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None

    async def look_at(self, looks: Sequence[Look]) -> None:
        lines: dict[str, deque[Look]] = {}
        for look in looks:
            lines.setdefault(look.checks[0].host, deque()).append(look)
        self._lines = list(lines.values())
        self._mind()
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    for _ in range(min(SIDE_BY_SIDE, len(line))):
                        group.create_task(self._work_off(line))
                rush = self._loop.call_later(LONGEST_LINE, self._rush, group)
        finally:
            rush.cancel()
            if self._alarm is not None:
                self._alarm.cancel()

    async def _work_off(self, line: deque[Look]) -> None:
        task = asyncio.current_task()
        assert task is not None
        while line:
            look = line.popleft()
            self._began[task] = self._loop.time()
            self._tell(look, await self._look(look, task))
        self._began.pop(task, None)

    def _rush(self, group: asyncio.TaskGroup) -> None:
        for line in self._lines:
            for look in line:
                group.create_task(self._work_off(deque([look])))
            line.clear()

    def _mind(self) -> None:
        """Interrupt looks that take too long, with one timer for all."""
        now = self._loop.time()
        for task, began in self._began.items():
            if now - began >= LONGEST_LOOK and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._alarm = self._loop.call_later(LONGEST_LOOK / 20, self._mind)

    async def _look(self, look: Look, task: asyncio.Task[None]) -> Seen:
        try:
            return await _look_anywhere(look, self._client, self._rules)
        except TagstreamError as error:
            return error
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel():
                raise
            self._late.discard(task)
            return RegistryError(
                f"the registry took longer than {LONGEST_LOOK:g} s to say what this tag is",
                code="net.deadline",
                reference=look.reference.exact(),
            )
        except Exception as error:  # one bad tag must never harm another, not even by our bug
            log.exception("look.bug", reference=look.reference.exact())
            return TagstreamError(f"unexpected {type(error).__name__}")


async def _look_anywhere(look: Look, client: RegistryClient, rules: ImportRules) -> Checked:
    """At the first source that tells; all their errors where none does (`import.md` 2.5)."""
    reference = look.reference
    if rules.registries.is_blocked(reference):
        raise RegistryBlockedError(reference.registry or reference.with_defaults().registry)
    wanted = reference.id or reference.tag or DEFAULT_TAG
    first = look.checks[0]
    errors: list[TagstreamError] = []
    for source in rules.registries.sources(reference):
        place = _place(source)
        if look.insecure or rules.registries.is_insecure(place.name):
            place = replace(place, insecure=True)
        try:
            return await client.check_manifest(
                place, wanted, look.access, known=first.known_source, etag=first.etag
            )
        except TagstreamError as error:
            errors.append(error)
    raise join_errors(errors)


@lru_cache(20_000)
def _parse(text: str) -> Reference:
    return Reference.parse(text)


@lru_cache(20_000)
def _place(reference: Reference) -> Place:
    return Place.of(reference)
