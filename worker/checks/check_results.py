"""The findings of scheduled checks, and the import requests that follow. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from models.errors import TagstreamError
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.schedule.claimed_checks import ClaimedCheck
from models.streams.imports.import_outcome import (
    ImportOutcome,
    ImportTarget,
)
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.import_trigger import build_due_import
from models.streams.schedule.check_schedule import with_next_generation
from models.streams.writes.object_defaults import default_import
from worker.checks.source_checks import CredentialScope, SourceCheckResult
from worker.imports.import_commit import FetchedImport
from worker.registry.request_context import RequestContext


@dataclass(frozen=True, slots=True)
class Finding:
    """A schedule row that is not unchanged, and the result of its check."""

    check: ClaimedCheck
    result: SourceCheckResult


@dataclass(slots=True)
class Findings:
    """What a batch found so far, and what was fetched for it, by target and credential scope.

    `request_contexts` has each namespace's credentials, or the error why they cannot be read.
    `pending` are the findings to import, by namespace and stream.
    """

    batch_id: UUID
    request_contexts: Mapping[str, RequestContext | TagstreamError]
    pending: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    outcome_cache: dict[tuple[ImportTarget, CredentialScope], ImportOutcome] = field(
        default_factory=dict
    )

    def add(self, finding: Finding) -> None:
        stream_key = (finding.check.namespace, finding.check.stream)
        self.pending.setdefault(stream_key, []).append(finding)

    def request_context_of(self, namespace: str) -> RequestContext:
        """Return the credentials of a namespace: its own count, also where a check was shared.

        Raises the TagstreamError of a namespace whose secrets cannot be read.
        """
        request_context = self.request_contexts[namespace]
        if isinstance(request_context, TagstreamError):
            raise request_context
        return request_context


def build_due_request(
    stream: ImageStream, findings: Iterable[Finding], *, only_found: bool = False
) -> ImageStreamImport | None:
    """Build the import of the tags that were found, None if the stream has none of them.

    Other tags of the stream that are due for an import are included, unless `only_found`; the
    stream's `dockerImageRepository` never is (scheduling-6.1).
    """
    tags = {finding.check.tag for finding in findings}
    tags &= {tag.name for tag in stream.spec.tags}
    if not tags:
        return None
    request = build_due_import(with_next_generation(stream, tags))
    if request is None:
        return None
    images = [
        image
        for image in request.spec.images
        if not only_found or (image.to is not None and image.to.name in tags)
    ]
    spec = request.spec.replace(images=images, repository=None)
    metadata = request.metadata.replace(resource_version="", uid="")
    return request.replace(metadata=metadata, spec=spec) if images else None


def target_tags(request: ImageStreamImport) -> set[str]:
    """Return the stream tags that an import writes."""
    return {image.to.name for image in request.spec.images if image.to is not None}


def filter_requested(
    stream: ImageStream,
    fetched: FetchedImport,
    current_request: ImageStreamImport | None,
    rules: ImportRules,
) -> FetchedImport:
    """Reduce a fetched import to the images that `current_request` still requests in the same way.

    A tag whose spec was edited while it was fetched is left out (scheduling-6.3).
    """
    wanted: dict[str, tuple[object, object]] = {}
    if current_request is not None:
        current_request = default_import(current_request, mode=rules.default_import_mode)
        plan = plan_import(current_request, stream, rules)
        for image, planned in zip(current_request.spec.images, plan.images, strict=True):
            wanted[image.to.name if image.to is not None else ""] = (image, planned.target)
    pairs = [
        (image, planned)
        for image, planned in zip(fetched.request.spec.images, fetched.plan.images, strict=True)
        if image.to is not None and wanted.get(image.to.name) == (image, planned.target)
    ]
    images = [image for image, _ in pairs]
    request = fetched.request.replace(spec=fetched.request.spec.replace(images=images))
    filtered_plan = replace(fetched.plan, images=tuple(planned for _, planned in pairs))
    return replace(fetched, request=request, plan=filtered_plan)
