"""Fetches the targets of an import plan, each to an outcome (imports-3.1, imports-3.8).

Reads from registries only; what is stored comes in through `FetchRequest`. One import requests
nothing twice, and a target that fails never affects another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from models.errors import ContentError, ManifestUnknownError, RegistryError, TagstreamError
from models.reference import Reference, normalise_pull_spec
from models.streams.imports.import_outcome import (
    Failed,
    Imported,
    ImportOutcome,
    ImportOutcomes,
    ImportPlan,
    ImportTarget,
    KnownImage,
    RepositoryImportTarget,
    RepositoryOutcome,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.tag_list_guard import KnownTagList, ObservedTagList, evaluate_tag_list
from models.streams.imports.tag_priority import prioritize_tags
from worker.imports.content_access import ContentAccess
from worker.imports.image_assembler import ImageAssembler
from worker.imports.manifest_fetcher import ManifestSource
from worker.registry.digest_verification import DIGEST_MISMATCH
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import HeadResult, SourceRepository, TagList
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import TagCheckResult

log = structlog.get_logger()

MAX_CONCURRENT_TARGETS = 32
ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """The inputs of a fetch: credentials, rules, and what is known already.

    `known` is keyed by `ImportTarget.key()`. `check_results` are results of scheduled checks, which
    are not requested again. `known_tag_lists` are the accepted tag lists by repository and
    credential scope. `interactive` says that a client waits for this import.
    `target_timeout_seconds` bounds each target (imports-7.6).
    """

    request_context: RequestContext
    rules: ImportRules
    now: datetime
    known: Mapping[str, KnownImage] = field(default_factory=dict)
    content_access: ContentAccess = field(default_factory=ContentAccess)
    check_results: Mapping[ImportTarget, TagCheckResult] = field(default_factory=dict)
    known_tag_lists: Mapping[tuple[str, str], KnownTagList] = field(default_factory=dict)
    interactive: bool = False
    target_timeout_seconds: float = 120.0
    max_tags: int = 500_000


async def fetch_plan(
    plan: ImportPlan,
    client: RegistryClient,
    request: FetchRequest,
    *,
    progress: ProgressCallback = lambda _done, _total: None,
) -> tuple[ImportOutcomes, ContentAccess]:
    """Fetch everything in `plan`; return the outcomes, and which content was served to whom.

    The order of results never depends on timing (imports-3.2). `progress` is called on the event
    loop with the number of finished targets and of all targets.
    """
    fetcher = _PlanFetcher(plan, client, request, progress)
    images = await fetcher.fetch_targets(plan.targets)
    repository = None
    if plan.repository is not None:
        repository = await fetcher.fetch_repository(plan.repository, images)
    return ImportOutcomes(images, repository), fetcher.assembler.served


class _PlanFetcher:
    """The fetch of one plan: its progress, and digests that a tag list already gave."""

    def __init__(
        self,
        plan: ImportPlan,
        client: RegistryClient,
        request: FetchRequest,
        progress: ProgressCallback,
    ) -> None:
        self._client = client
        self._request = request
        self._progress = progress
        self._hints: dict[str, HeadResult] = {}
        self._done = 0
        self._total = len(plan.targets)
        reference_counts = Counter(
            (target.reference.repository_key(), target.reference.id or target.reference.tag)
            for target in plan.targets
        )
        repeated = {key for key, count in reference_counts.items() if count > 1}
        self.assembler = ImageAssembler(
            client=client,
            request_context=request.request_context,
            rules=request.rules,
            content_access=request.content_access,
            now=request.now,
            repeated=repeated,
        )

    async def fetch_targets(
        self, targets: Iterable[ImportTarget]
    ) -> dict[ImportTarget, ImportOutcome]:
        """Fetch targets, 32 at a time; return an outcome for each, in the targets' order."""
        ordered = list(targets)
        found: dict[ImportTarget, ImportOutcome] = {}
        queue = iter(ordered)
        self._progress(self._done, self._total)

        async def work() -> None:
            for target in queue:
                found[target] = await self._fetch_target(target)
                self._done += 1
                self._progress(self._done, self._total)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(MAX_CONCURRENT_TARGETS, len(ordered))):
                group.create_task(work())
        return {target: found[target] for target in ordered}

    async def fetch_repository(
        self, requested: RepositoryImportTarget, images: Mapping[ImportTarget, ImportOutcome]
    ) -> RepositoryOutcome:
        """List a repository's tags and fetch the first of them, up to the limit (imports-2.25).

        A tag beyond the limit that `images` already has is moved to the imported ones
        (imports-2.26). A failed listing is part of the outcome, not raised (imports-2.29).
        """
        if requested.limit == 0:
            return RepositoryOutcome()
        lists: list[ObservedTagList] = []
        try:
            listing = await self._fetch_tag_list(requested, lists)
        except TagstreamError as error:
            return RepositoryOutcome(error=error, lists=tuple(lists))
        names = prioritize_tags(listing.tags)
        limit = len(names) if requested.limit < 0 else requested.limit
        chosen, omitted = names[:limit], names[limit:]
        ready = {_target_identity(target): outcome for target, outcome in images.items()}
        promoted = [tag for tag in omitted if _target_identity(requested.tag_target(tag)) in ready]
        by_tag = {tag: requested.tag_target(tag) for tag in [*chosen, *promoted]}
        self._hints.update(
            (by_tag[tag].key(), HeadResult(digest, listing.scope))
            for tag, digest in listing.digest_hints.items()
            if tag in by_tag
        )
        missing = [target for target in by_tag.values() if _target_identity(target) not in ready]
        self._total += len(missing)
        fetched = await self.fetch_targets(missing)
        ready.update((_target_identity(target), outcome) for target, outcome in fetched.items())
        taken = set(promoted)
        return RepositoryOutcome(
            tags=tuple((tag, ready[_target_identity(target)]) for tag, target in by_tag.items()),
            additional_tags=tuple(tag for tag in omitted if tag not in taken),
            warnings=listing.warnings,
            lists=tuple(lists),
        )

    async def _fetch_tag_list(
        self, requested: RepositoryImportTarget, lists: list[ObservedTagList]
    ) -> TagList:
        """Fetch the tag list from the first source whose list is complete and plausible.

        Tag mirrors come first (imports-2.20). Every list that is read is added to `lists`. Raises
        the joined errors of all sources.
        """
        written = requested.reference.exact()
        normalise_pull_spec(written)
        errors: list[TagstreamError] = []
        for source in self._request.rules.registries.tag_list_sources(requested.reference):
            repository = self._source_repository(source, insecure=requested.insecure)
            try:
                listing = await self._client.fetch_tags(
                    repository, self._request.request_context, max_tags=self._request.max_tags
                )
            except RegistryError as error:
                named = isinstance(error, ManifestUnknownError) or error.reason == "Unauthorized"
                errors.append(error.with_reference(written if named else ""))
                continue
            observed = self._assess_tag_list(repository, listing)
            lists.append(observed)
            if not observed.problem:
                return listing
            errors.append(observed.error())
        raise join_errors(errors)

    def _assess_tag_list(self, repository: SourceRepository, listing: TagList) -> ObservedTagList:
        request = self._request
        observed = ObservedTagList(
            repository.name, listing.scope, len(listing.tags), reason=listing.reason
        )
        known = request.known_tag_lists.get((repository.name, listing.scope))
        return evaluate_tag_list(observed, known, now=request.now, interactive=request.interactive)

    async def _fetch_target(self, target: ImportTarget) -> ImportOutcome:
        try:
            async with asyncio.timeout(self._request.target_timeout_seconds):
                return await self._import_target(target)
        except TagstreamError as error:
            return Failed(error)
        except TimeoutError:
            limit = self._request.target_timeout_seconds
            return Failed(
                RegistryError(
                    f"the registry took longer than {limit:g} s to serve this tag; try again later",
                    code="net.deadline",
                    reference=target.reference.exact(),
                )
            )
        except Exception as error:  # a bug of ours must not harm other tags of the import
            log.exception("target.unexpected_error", reference=target.reference.exact())
            return Failed(TagstreamError(f"unexpected {type(error).__name__}"))

    async def _import_target(self, target: ImportTarget) -> Imported:
        """Import a target from the first source that serves it (imports-2.21).

        Raises the joined errors of all sources (imports-4.7).
        """
        reference = target.reference
        normalise_pull_spec(reference.exact())
        errors: list[TagstreamError] = []
        check_result = self._request.check_results.get(target)
        repositories = [
            self._source_repository(source, insecure=target.insecure)
            for source in self._request.rules.registries.manifest_sources(reference)
        ]
        names = [repository.name for repository in repositories]
        if check_result is not None and check_result.repository in names:
            # The check just tried the sources before that one, and they failed.
            repositories = repositories[names.index(check_result.repository) :]
        for repository in repositories:
            own_result = (
                check_result
                if check_result is not None and check_result.repository in {"", repository.name}
                else None
            )
            try:
                source = ManifestSource(repository, reference)
                return await self._import_from(source, target, own_result)
            except TagstreamError as error:
                errors.append(error)
        raise join_errors(errors)

    def _source_repository(self, source: Reference, *, insecure: bool) -> SourceRepository:
        repository = SourceRepository.from_reference(source)
        insecure_by_policy = self._request.rules.registries.is_insecure(repository.name)
        return replace(repository, insecure=insecure or insecure_by_policy)

    async def _import_from(
        self, source: ManifestSource, target: ImportTarget, check_result: TagCheckResult | None
    ) -> Imported:
        """Import a target from one source, without a download if it is known (imports-3.9).

        `check_result` is what a check of this source returned; it replaces the HEAD.
        """
        tag_or_digest = target.reference.id or target.reference.tag or "latest"
        fetched = check_result.fetched if check_result is not None else None
        known = None if target.with_content else self._request.known.get(target.key())
        if known is None:
            return await self.assembler.assemble(source, tag_or_digest, target, fetched)
        head = await self._resolve_digest(
            source.repository, tag_or_digest, target, check_result, known
        )
        if head.digest == known.source_digest:
            image = self.assembler.stored_image(known.image, source.written_reference)
            return Imported(image, source_digest=known.source_digest, credential_scope=head.scope)
        if head.digest is None or fetched is not None or ":" in tag_or_digest:
            return await self.assembler.assemble(source, tag_or_digest, target, fetched)
        return await self._import_claimed(source, head.digest, tag_or_digest, target)

    async def _resolve_digest(
        self,
        repository: SourceRepository,
        tag_or_digest: str,
        target: ImportTarget,
        check_result: TagCheckResult | None,
        known: KnownImage,
    ) -> HeadResult:
        if check_result is not None:
            return HeadResult(check_result.digest, check_result.scope)
        hint = self._hints.get(target.key())
        if hint is not None and hint.digest == known.source_digest:
            return hint
        return await self._client.head_manifest(
            repository, tag_or_digest, self._request.request_context
        )

    async def _import_claimed(
        self, source: ManifestSource, claimed: str, tag_or_digest: str, target: ImportTarget
    ) -> Imported:
        """Import the digest that a HEAD claimed, or the tag itself if that digest is not served.

        The manifest may be deleted since, or the HEAD may be wrong (registry-4.4, registry-4.5):
        then the digest of what the tag serves is computed, and a difference is reported.
        """
        repository = source.repository
        try:
            return await self.assembler.assemble(source, claimed, target)
        except (ManifestUnknownError, ContentError) as error:
            if error.reference != repository.reference(claimed):
                raise
            if isinstance(error, ContentError) and error.code != DIGEST_MISMATCH:
                raise
        found = await self.assembler.assemble(source, tag_or_digest, target)
        if found.source_digest != claimed:
            self._client.tag_checker.report_mismatch(
                repository, tag_or_digest, claimed_digest=claimed, actual_digest=found.source_digest
            )
        return found


def _target_identity(target: ImportTarget) -> tuple[str, bool]:
    """Return what a repository's tag and an image's target share if they are one (imports-2.26)."""
    return target.key(), target.with_content


def join_errors(errors: list[TagstreamError]) -> TagstreamError:
    """Return one error for all sources that failed (imports-4.7)."""
    if not errors:
        return TagstreamError(
            "no source is left to fetch from: the registry is never to be contacted and none of "
            "its mirrors serves this reference"
        )
    reasons = {error.reason for error in errors}
    if len(errors) == 1 or reasons in ({"NotFound"}, {"Unauthorized"}):
        return errors[-1]
    texts = dict.fromkeys(
        error.message.removeprefix("Internal error occurred: ") for error in errors
    )
    return TagstreamError(f"[{', '.join(texts)}]", code=errors[-1].code)
