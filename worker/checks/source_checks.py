"""Checks of the sources that scheduled tags follow: one HEAD for all rows that may share it.

A check is one HEAD by tag (scheduling-5.1). Rows share it if their credentials and egress policy
are equal (scheduling-5.2). Only the registry client does I/O here.
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
from models.store.schedule.claimed_checks import ClaimedCheck
from models.streams.imports.import_rules import ImportRules
from worker.imports.fetcher import join_errors
from worker.registry.limits.fair_queue import MAX_SCHEDULED_WAIT_SECONDS
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import TagCheckResult
from worker.registry.transport.egress_policy import EgressPolicy
from worker.worker_context import WorkerContext

log = structlog.get_logger()

SOURCE_CHECK_TIMEOUT_SECONDS = 60.0
MAX_CONCURRENT_CHECKS_PER_REGISTRY = 16  # of one batch
SourceCheckResult = TagCheckResult | TagstreamError


@dataclass(frozen=True, slots=True)
class CredentialScope:
    """What decides which content a namespace may see at a source (scheduling-5.2).

    Its egress policy, and the ids of the credentials to try at each mirror and at the source.
    Equal scopes may share a check and its content.
    """

    policy: EgressPolicy
    credentials: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """One source, and the rows whose scope lets them share its check."""

    reference: Reference
    insecure: bool
    credential_scope: CredentialScope
    request_context: RequestContext
    checks: list[ClaimedCheck] = field(default_factory=list)


def plan_source_checks(
    checks: Iterable[ClaimedCheck],
    request_context_of: Callable[[str], RequestContext],
    context: WorkerContext,
) -> tuple[list[SourceCheck], list[tuple[ClaimedCheck, TagstreamError]]]:
    """Group rows into checks, one for each source and credential scope.

    Also return the rows whose source does not parse, each with its error.
    """
    source_checks: dict[tuple[str, bool, CredentialScope], SourceCheck] = {}
    unreadable: list[tuple[ClaimedCheck, TagstreamError]] = []
    for check in checks:
        try:
            reference = _parse_reference(check.source)
        except InvalidReferenceError as error:
            unreadable.append((check, error))
            continue
        request_context = request_context_of(check.namespace)
        credential_scope = credential_scope_of(request_context, reference, context)
        tag_or_digest = reference.id or reference.tag or DEFAULT_TAG
        key = (f"{reference.repository_key()} {tag_or_digest}", check.insecure, credential_scope)
        source_check = source_checks.get(key)
        if source_check is None:
            source_check = source_checks[key] = SourceCheck(
                reference, check.insecure, credential_scope, request_context
            )
        source_check.checks.append(check)
    return list(source_checks.values()), unreadable


def credential_scope_of(
    request_context: RequestContext, reference: Reference, context: WorkerContext
) -> CredentialScope:
    """Return the scope in which a reference is requested (scheduling-5.2, registry-27.5).

    Without any matching credential all scopes of one egress policy are equal.
    """
    policy = context.client.config.policy.for_tenant(request_context.tenant)
    if not request_context.keyring.credentials:
        return CredentialScope(policy)
    credential_ids = tuple(
        tuple(
            credential.id
            for credential in request_context.keyring.candidates(_source_repository(source))
        )
        for source in context.rules.registries.manifest_sources(reference)
    )
    return CredentialScope(policy, credential_ids if any(credential_ids) else ())


async def check_sources(
    source_checks: Sequence[SourceCheck],
    client: RegistryClient,
    rules: ImportRules,
    on_result: Callable[[SourceCheck, SourceCheckResult], None],
) -> None:
    """Run checks concurrently. `on_result` is called on the loop as soon as each has a result."""
    await _SourceCheckRunner(client, rules, on_result).run(source_checks)


class _SourceCheckRunner:
    """Runs the checks of a batch, 16 at a time at each registry (scheduling-5.8).

    A task and a timer for each check would cost as much as its request, so each task runs one
    check after the other, and one timer cancels whatever runs for too long. After 5 s (the time
    that a check may wait for a permit) the remaining checks are started all at once: they have to
    be in the registry's queue, which refuses those that would wait too long.
    """

    def __init__(
        self,
        client: RegistryClient,
        rules: ImportRules,
        on_result: Callable[[SourceCheck, SourceCheckResult], None],
    ) -> None:
        self._client = client
        self._rules = rules
        self._on_result = on_result
        self._loop = asyncio.get_running_loop()
        self._queues: list[deque[SourceCheck]] = []
        self._started: dict[asyncio.Task[None], float] = {}
        self._timed_out: set[asyncio.Task[None]] = set()
        self._timeout_timer: asyncio.TimerHandle | None = None

    async def run(self, source_checks: Sequence[SourceCheck]) -> None:
        queues: dict[str, deque[SourceCheck]] = {}
        for source_check in source_checks:
            queues.setdefault(source_check.checks[0].host, deque()).append(source_check)
        self._queues = list(queues.values())
        self._cancel_overdue()
        try:
            async with asyncio.TaskGroup() as group:
                for queue in self._queues:
                    for _ in range(min(MAX_CONCURRENT_CHECKS_PER_REGISTRY, len(queue))):
                        group.create_task(self._drain(queue))
                start_timer = self._loop.call_later(
                    MAX_SCHEDULED_WAIT_SECONDS, self._start_remaining, group
                )
        finally:
            start_timer.cancel()
            if self._timeout_timer is not None:
                self._timeout_timer.cancel()

    async def _drain(self, queue: deque[SourceCheck]) -> None:
        task = asyncio.current_task()
        assert task is not None
        while queue:
            source_check = queue.popleft()
            self._started[task] = self._loop.time()
            self._on_result(source_check, await self._check(source_check, task))
        self._started.pop(task, None)

    def _start_remaining(self, group: asyncio.TaskGroup) -> None:
        for queue in self._queues:
            for source_check in queue:
                group.create_task(self._drain(deque([source_check])))
            queue.clear()

    def _cancel_overdue(self) -> None:
        """Cancel checks that run for more than 60 s, and start the timer again."""
        now = self._loop.time()
        for task, started in self._started.items():
            if now - started >= SOURCE_CHECK_TIMEOUT_SECONDS and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._timeout_timer = self._loop.call_later(
            SOURCE_CHECK_TIMEOUT_SECONDS / 20, self._cancel_overdue
        )

    async def _check(
        self, source_check: SourceCheck, task: asyncio.Task[None]
    ) -> SourceCheckResult:
        try:
            return await _check_any_source(source_check, self._client, self._rules)
        except TagstreamError as error:
            return error
        except asyncio.CancelledError:
            if task not in self._timed_out or task.uncancel():
                raise
            self._timed_out.discard(task)
            return RegistryError(
                f"the registry took longer than {SOURCE_CHECK_TIMEOUT_SECONDS:g} s to answer a "
                "check of this tag; it is checked again later",
                code="net.deadline",
                reference=source_check.reference.exact(),
            )
        except Exception as error:  # a bug of ours must not harm other tags of the batch
            log.exception("check.unexpected_error", reference=source_check.reference.exact())
            return TagstreamError(f"unexpected {type(error).__name__}")


async def _check_any_source(
    source_check: SourceCheck, client: RegistryClient, rules: ImportRules
) -> TagCheckResult:
    """Check the first source that responds: mirrors in order, then the source (scheduling-5.3).

    Raises RegistryBlockedError without any request, or the joined errors of all sources.
    """
    reference = source_check.reference
    if rules.registries.is_blocked(reference):
        raise RegistryBlockedError(reference.registry or reference.with_defaults().registry)
    tag_or_digest = reference.id or reference.tag or DEFAULT_TAG
    first_check = source_check.checks[0]
    errors: list[TagstreamError] = []
    for source in rules.registries.manifest_sources(reference):
        repository = _source_repository(source)
        if source_check.insecure or rules.registries.is_insecure(repository.name):
            repository = replace(repository, insecure=True)
        try:
            return await client.check_tag(
                repository,
                tag_or_digest,
                source_check.request_context,
                known_digest=first_check.known_source,
                etag=first_check.etag,
            )
        except TagstreamError as error:
            errors.append(error)
    raise join_errors(errors)


@lru_cache(20_000)
def _parse_reference(text: str) -> Reference:
    return Reference.parse(text)


@lru_cache(20_000)
def _source_repository(reference: Reference) -> SourceRepository:
    return SourceRepository.from_reference(reference)
