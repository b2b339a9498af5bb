"""Imports of what scheduled checks found: fetched once, applied to every stream that follows it.

The rules of requested imports apply (scheduling-6.1, scheduling-6.2). A stream that an import does
not change leaves no job. For a changed one, job, stream and schedule rows are written in one
transaction (scheduling-6.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog
from structlog.contextvars import bound_contextvars

from models.errors import (
    JobCancelledError,
    StoreError,
    StoreUnavailableError,
    StreamConflictError,
    TagstreamError,
)
from models.job_types import (
    Priority,
)
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import delete_checks
from models.store.streams.known_images import load_known_images
from models.store.streams.stream_store import load_stream
from models.streams.imports.import_outcome import (
    Failed,
    ImportOutcome,
    ImportOutcomes,
    ImportPlan,
    ImportTarget,
)
from models.streams.imports.import_plan import plan_import
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import
from worker.checks.check_results import (
    Finding,
    Findings,
    build_due_request,
    target_tags,
)
from worker.checks.scheduled_commit import StreamImport, commit_stream_import, settle_refused
from worker.checks.source_checks import CredentialScope, SourceCheckResult, credential_scope_of
from worker.db_retry import retry_on_db_error
from worker.event_loop import wait_for_result
from worker.imports.content_access import ContentAccess
from worker.imports.fetcher import FetchRequest, fetch_plan
from worker.imports.import_commit import FetchedImport
from worker.imports.importer import load_content_access
from worker.job_queue import utc_now
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import TagCheckResult
from worker.worker_context import WorkerContext

log = structlog.get_logger()


def import_findings(batch_findings: Findings, context: WorkerContext) -> set[int]:
    """Import all pending findings, stream by stream, and return the ids of the settled rows.

    The caller releases the other rows, to be checked again.
    """
    waiting, batch_findings.pending = batch_findings.pending, {}
    done: set[int] = set()
    for (namespace, name), findings in waiting.items():
        with bound_contextvars(stream=f"{namespace}/{name}"):
            done |= _import_or_refuse(
                StreamImport(namespace, name, batch_findings, context), findings
            )
    return done


def _import_or_refuse(
    stream_import: StreamImport, findings: list[Finding], *, only_found: bool = False
) -> set[int]:
    """Import findings of one stream; return the ids of the settled rows.

    An error affects no other stream. An import that is refused as a whole is repeated tag by tag;
    a tag that is refused alone gets the error in its row only (scheduling-6.2).
    """
    if stream_import.context.stopping.is_set():
        return set()
    try:
        # What was fetched is cached in `outcome_cache`, so another try costs no request.
        return retry_on_db_error(
            lambda: _import_stream(stream_import, findings, only_found=only_found),
            stream_import.context,
        )
    except (StoreUnavailableError, StreamConflictError) as error:
        log.warning("scheduled_import.store_failed", error=str(error))
        return set()
    except JobCancelledError:
        return set()
    except TagstreamError as error:
        refusal = error
    except Exception as error:  # a bug of ours must not harm other streams either
        log.exception("scheduled_import.unexpected_error")
        refusal = TagstreamError(f"unexpected {type(error).__name__}")
    if not only_found:  # the cause is one of them, or another due tag of the stream
        done = (
            _import_or_refuse(stream_import, [finding], only_found=True) for finding in findings
        )
        return set().union(*done)
    try:
        retry_on_db_error(
            lambda: settle_refused(stream_import, findings, refusal), stream_import.context
        )
    except (StoreError, StreamConflictError) as error:
        log.warning("scheduled_import.store_failed", error=str(error))
        return set()
    return {finding.check.id for finding in findings}


def _import_stream(
    stream_import: StreamImport, findings: list[Finding], *, only_found: bool
) -> set[int]:
    context, namespace = stream_import.context, stream_import.namespace
    request_context = stream_import.batch_findings.request_context_of(namespace)
    with transaction(context.engine, write=False) as session:
        stream = load_stream(session, namespace, stream_import.name)
        known = load_known_images(session, namespace, stream_import.name)
    request = None if stream is None else build_due_request(stream, findings, only_found=only_found)
    wanted = set() if request is None else target_tags(request)
    obsolete_ids = {finding.check.id for finding in findings if finding.check.tag not in wanted}
    if obsolete_ids:
        with transaction(context.engine) as session:
            delete_checks(session, stream_import.batch_findings.batch_id, obsolete_ids)
    if request is None:
        return obsolete_ids
    request = default_import(request, mode=context.settings.default_import_mode)
    check_import(request, context.rules, exempt=False)
    plan = plan_import(request, stream, context.rules)
    results_by_source = {(each.check.key, each.check.insecure): each.result for each in findings}
    target_outcomes = _TargetOutcomes(request_context, context)
    target_outcomes.add_known(plan, results_by_source, stream_import.batch_findings.outcome_cache)
    missing = [target for target in plan.targets if target not in target_outcomes.ready]
    served = ContentAccess()
    if missing:
        check_results = {
            target: results_by_source.get((target.key(), target.insecure)) for target in missing
        }
        wanted_images = [image for image in plan.images if image.target in set(missing)]
        missing_plan = replace(plan, images=tuple(wanted_images))
        fetch_request = FetchRequest(
            request_context=request_context,
            rules=context.rules,
            now=utc_now(),
            known=known,
            content_access=load_content_access(missing_plan, request_context.keyring, context),
            target_timeout_seconds=context.settings.target_deadline.total_seconds(),
            check_results={
                target: result
                for target, result in check_results.items()
                if isinstance(result, TagCheckResult)
            },
        )
        timeout_seconds = context.job_timeout_seconds(Priority.SCHEDULED)
        work = fetch_plan(missing_plan, context.client, fetch_request)
        outcomes, served = wait_for_result(
            context.loop.start(work, within=timeout_seconds), within=timeout_seconds
        )
        target_outcomes.add_fetched(outcomes, stream_import.batch_findings.outcome_cache)
    fetched = FetchedImport(request, plan, ImportOutcomes(target_outcomes.ready), served, utc_now())
    return obsolete_ids | commit_stream_import(
        stream_import, fetched, findings, only_found=only_found
    )


@dataclass(slots=True)
class _TargetOutcomes:
    """The outcomes of one stream's targets, as far as they are known or fetched by now."""

    request_context: RequestContext
    context: WorkerContext
    ready: dict[ImportTarget, ImportOutcome] = field(default_factory=dict)

    def add_known(
        self,
        plan: ImportPlan,
        results_by_source: Mapping[tuple[str, bool], SourceCheckResult],
        outcome_cache: Mapping[tuple[ImportTarget, CredentialScope], ImportOutcome],
    ) -> None:
        for target in plan.targets:
            result = results_by_source.get((target.key(), target.insecure))
            if isinstance(result, TagstreamError):
                self.ready[target] = Failed(result)
                continue
            cached = outcome_cache.get((target, self._credential_scope(target)))
            if cached is not None:
                self.ready[target] = cached

    def add_fetched(
        self,
        outcomes: ImportOutcomes,
        outcome_cache: dict[tuple[ImportTarget, CredentialScope], ImportOutcome],
    ) -> None:
        for target, outcome in outcomes.targets.items():
            self.ready[target] = outcome_cache[target, self._credential_scope(target)] = outcome

    def _credential_scope(self, target: ImportTarget) -> CredentialScope:
        return credential_scope_of(self.request_context, target.reference, self.context)
