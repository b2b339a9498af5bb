"""A plan's targets side by side, each to an outcome (`import.md` 3).

Reads from registries only; what the store already holds comes in as `Held`. Nothing is asked
twice within one import, and one bad target never harms another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from models.errors import ContentError, ManifestUnknownError, RegistryError, TagstreamError
from models.reference import Reference, normalise_name
from models.streams.imports.import_outcome import (
    Failed,
    Imported,
    Known,
    Outcome,
    Outcomes,
    Plan,
    RepositoryOutcome,
    RepositoryTarget,
    Target,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.tag_list_guard import KnownList, SeenList, weigh_list
from models.streams.imports.tag_priority import prioritize_tags
from worker.imports.content_access import Held
from worker.imports.image_assembler import Assembler, Source
from worker.registry.digest_verification import DIGEST_MISMATCH
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place, Seen, TagList
from worker.registry.request_context import Access
from worker.registry.tag_check import Checked

log = structlog.get_logger()

SIDE_BY_SIDE = 32
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What one import brings: whose rights, which rules, what is known already.

    `known` is keyed by `Target.key()`; `seen` is what a registry just said of a target, so that it
    is not asked again. `target_seconds` bounds each target. `lists` are the sizes of lists of tags
    that are known, by repository and scope; `by_person` whether somebody waits for this import.
    """

    access: Access
    rules: ImportRules
    now: datetime
    known: Mapping[str, Known] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    seen: Mapping[Target, Checked] = field(default_factory=dict)
    lists: Mapping[tuple[str, str], KnownList] = field(default_factory=dict)
    by_person: bool = False
    target_seconds: float = 120.0
    most_tags: int = 500_000


async def fetch_all(
    plan: Plan,
    client: RegistryClient,
    request: FetchRequest,
    *,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Outcomes, Held]:
    """Fetch everything in `plan`. Also says which digests which repository served, by whose right.

    The order of results never depends on timing (B1).
    """
    fetcher = _Fetcher(plan, client, request, progress)
    images = await fetcher.fetch_targets(plan.targets)
    repository = None
    if plan.repository is not None:
        repository = await fetcher.fetch_repository(plan.repository, images)
    return Outcomes(images, repository), fetcher.assembler.served


class _Fetcher:
    def __init__(
        self, plan: Plan, client: RegistryClient, request: FetchRequest, progress: Progress
    ) -> None:
        self._client = client
        self._request = request
        self._progress = progress
        self._hints: dict[str, Seen] = {}
        self._done = 0
        self._total = len(plan.targets)
        wanted = Counter(
            (target.reference.repository_key(), target.reference.id or target.reference.tag)
            for target in plan.targets
        )
        shared = {key for key, count in wanted.items() if count > 1}
        self.assembler = Assembler(
            client=client,
            access=request.access,
            rules=request.rules,
            held=request.held,
            now=request.now,
            shared=shared,
        )

    async def fetch_targets(self, targets: Iterable[Target]) -> dict[Target, Outcome]:
        """An outcome for each target, in the targets' order."""
        wanted = list(targets)
        found: dict[Target, Outcome] = {}
        queue = iter(wanted)
        self._progress(self._done, self._total)

        async def work() -> None:
            for target in queue:
                found[target] = await self._fetch_target(target)
                self._done += 1
                self._progress(self._done, self._total)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(SIDE_BY_SIDE, len(wanted))):
                group.create_task(work())
        return {target: found[target] for target in wanted}

    async def fetch_repository(
        self, wanted: RepositoryTarget, images: Mapping[Target, Outcome]
    ) -> RepositoryOutcome:
        """List a repository's tags and import the first of them (`import.md` 2.8)."""
        if wanted.limit == 0:
            return RepositoryOutcome()
        lists: list[SeenList] = []
        try:
            listing = await self._list(wanted, lists)
        except TagstreamError as error:
            return RepositoryOutcome(error=error, lists=tuple(lists))
        names = prioritize_tags(listing.tags)
        limit = len(names) if wanted.limit < 0 else wanted.limit
        chosen, left_out = names[:limit], names[limit:]
        ready = {_same(target): outcome for target, outcome in images.items()}
        promoted = [tag for tag in left_out if _same(wanted.tag_target(tag)) in ready]
        by_tag = {tag: wanted.tag_target(tag) for tag in [*chosen, *promoted]}
        self._hints.update(
            (by_tag[tag].key(), Seen(digest, listing.scope))
            for tag, digest in listing.hints.items()
            if tag in by_tag
        )
        missing = [target for target in by_tag.values() if _same(target) not in ready]
        self._total += len(missing)
        fetched = await self.fetch_targets(missing)
        ready.update((_same(target), outcome) for target, outcome in fetched.items())
        taken = set(promoted)
        return RepositoryOutcome(
            tags=tuple((tag, ready[_same(target)]) for tag, target in by_tag.items()),
            additional_tags=tuple(tag for tag in left_out if tag not in taken),
            warnings=listing.warnings,
            lists=tuple(lists),
        )

    async def _list(self, wanted: RepositoryTarget, lists: list[SeenList]) -> TagList:
        """The complete tag list, from a mirror if there is one (Q13); one that is believed."""
        written = wanted.reference.exact()
        normalise_name(written)
        errors: list[TagstreamError] = []
        for source in self._request.rules.registries.list_sources(wanted.reference):
            place = self._place(source, insecure=wanted.insecure)
            try:
                listing = await self._client.list_tags(
                    place, self._request.access, most=self._request.most_tags
                )
            except RegistryError as error:
                named = isinstance(error, ManifestUnknownError) or error.reason == "Unauthorized"
                errors.append(error.about(written if named else ""))
                continue
            seen = self._weigh(place, listing)
            lists.append(seen)
            if not seen.problem:
                return listing
            errors.append(seen.error())
        raise join_errors(errors)

    def _weigh(self, place: Place, listing: TagList) -> SeenList:
        request = self._request
        seen = SeenList(place.name, listing.scope, len(listing.tags), reason=listing.reason)
        known = request.lists.get((place.name, listing.scope))
        return weigh_list(seen, known, now=request.now, by_person=request.by_person)

    async def _fetch_target(self, target: Target) -> Outcome:
        try:
            async with asyncio.timeout(self._request.target_seconds):
                return await self._import(target)
        except TagstreamError as error:
            return Failed(error)
        except TimeoutError:
            limit = self._request.target_seconds
            return Failed(
                RegistryError(
                    f"the registry took longer than {limit:g} s to serve this tag; try again later",
                    code="net.deadline",
                    reference=target.reference.exact(),
                )
            )
        except Exception as error:  # one bad tag must never harm another, not even by our bug
            log.exception("target.bug", reference=target.reference.exact())
            return Failed(TagstreamError(f"unexpected {type(error).__name__}"))

    async def _import(self, target: Target) -> Imported:
        """From the first source that has it; all their errors where none has (2.5)."""
        written = target.reference
        normalise_name(written.exact())
        errors: list[TagstreamError] = []
        told = self._request.seen.get(target)
        places = [
            self._place(source, insecure=target.insecure)
            for source in self._request.rules.registries.sources(written)
        ]
        names = [place.name for place in places]
        if told is not None and told.place in names:
            places = places[names.index(told.place) :]  # those before it failed a moment ago
        for place in places:
            here = told if told is not None and told.place in {"", place.name} else None
            try:
                return await self._import_from(Source(place, written), target, here)
            except TagstreamError as error:
                errors.append(error)
        raise join_errors(errors)

    def _place(self, source: Reference, *, insecure: bool) -> Place:
        place = Place.of(source)
        marked = self._request.rules.registries.is_insecure(place.name)
        return replace(place, insecure=insecure or marked)

    async def _import_from(self, source: Source, target: Target, told: Checked | None) -> Imported:
        """`told` is what this source just said, so that it is not asked once more."""
        wanted = target.reference.id or target.reference.tag or "latest"
        fetched = told.fetched if told is not None else None
        known = None if target.with_content else self._request.known.get(target.key())
        if known is None:
            return await self.assembler.assemble(source, wanted, target, fetched)
        seen = await self._see(source.place, wanted, target, told, known)
        if seen.digest == known.source_digest:
            image = self.assembler.stored(known.image, source.written)
            return Imported(image, source_digest=known.source_digest, scope=seen.scope)
        if seen.digest is None or fetched is not None or ":" in wanted:
            return await self.assembler.assemble(source, wanted, target, fetched)
        return await self._import_claimed(source, seen.digest, wanted, target)

    async def _see(
        self, place: Place, wanted: str, target: Target, told: Checked | None, known: Known
    ) -> Seen:
        if told is not None:
            return Seen(told.digest, told.scope)
        hint = self._hints.get(target.key())
        if hint is not None and hint.digest == known.source_digest:
            return hint
        return await self._client.head_manifest(place, wanted, self._request.access)

    async def _import_claimed(
        self, source: Source, claimed: str, wanted: str, target: Target
    ) -> Imported:
        """By the digest that a HEAD claimed; by the tag where that digest cannot be had.

        The manifest may be gone since, or the HEAD may have lied (`registry.md` 2.3, 2.4): what
        the tag itself serves is computed, and the difference put on record.
        """
        place = source.place
        try:
            return await self.assembler.assemble(source, claimed, target)
        except (ManifestUnknownError, ContentError) as error:
            if error.reference != place.reference(claimed):
                raise
            if isinstance(error, ContentError) and error.code != DIGEST_MISMATCH:
                raise
        found = await self.assembler.assemble(source, wanted, target)
        if found.source_digest != claimed:
            self._client.checker.report(place, wanted, claimed=claimed, found=found.source_digest)
        return found


def _same(target: Target) -> tuple[str, bool]:
    """What makes a tag of a repository import the same as an image's target (2.8 item 3)."""
    return target.key(), target.with_content


def join_errors(errors: list[TagstreamError]) -> TagstreamError:
    """One error for all sources that failed (`import.md` 4.5, B22)."""
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
