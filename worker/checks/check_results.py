"""What scheduled checks found, and which import comes of it. Pure, but for what registries said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from models.errors import TagstreamError
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.schedule.schedule_claims import Check
from models.streams.imports.import_outcome import Outcome, Outcomes, Plan, Target
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.import_trigger import due_import
from models.streams.schedule.check_schedule import with_next_generation
from models.streams.writes.object_defaults import default_import
from worker.checks.source_checks import Rights, Seen
from worker.imports.content_access import Held
from worker.registry.request_context import Access


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the calendar that is not as it was, and what was seen instead."""

    check: Check
    seen: Seen


@dataclass(slots=True)
class Findings:
    """What a batch has found so far, and what was fetched for it already, by target and right.

    `rights` are those of each namespace, or why they cannot be read.
    """

    batch: UUID
    rights: Mapping[str, Access | TagstreamError]
    waiting: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    shelf: dict[tuple[Target, Rights], Outcome] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        place = (finding.check.namespace, finding.check.stream)
        self.waiting.setdefault(place, []).append(finding)

    def access_of(self, namespace: str) -> Access:
        """Whose rights count for what is in that namespace: its own, whoever shared the look."""
        access = self.rights[namespace]
        if isinstance(access, TagstreamError):
            raise access
        return access


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is to be written of one stream."""

    request: ImageStreamImport
    plan: Plan
    outcomes: Outcomes
    served: Held
    now: datetime


def request_for(
    stream: ImageStream, findings: Iterable[Finding], *, alone: bool = False
) -> ImageStreamImport | None:
    """The import of those tags, and unless `alone` of others that wait for one anyway (Q54).

    None for nothing.
    """
    tags = {finding.check.tag for finding in findings}
    tags &= {tag.name for tag in stream.spec.tags}
    if not tags:
        return None
    request = due_import(with_next_generation(stream, tags))
    if request is None:
        return None
    images = [
        image
        for image in request.spec.images
        if not alone or (image.to is not None and image.to.name in tags)
    ]
    spec = request.spec.replace(images=images, repository=None)
    metadata = request.metadata.replace(resource_version="", uid="")
    return request.replace(metadata=metadata, spec=spec) if images else None


def tags_of(request: ImageStreamImport) -> set[str]:
    """The tags that an import is for."""
    return {image.to.name for image in request.spec.images if image.to is not None}


def still_wanted(
    stream: ImageStream, fetched: Fetched, now: ImageStreamImport | None, rules: ImportRules
) -> Fetched:
    """Only what would be asked for by now in the very same words."""
    wanted: dict[str, tuple[object, object]] = {}
    if now is not None:
        now = default_import(now, mode=rules.default_import_mode)
        plan = plan_import(now, stream, rules)
        for image, planned in zip(now.spec.images, plan.images, strict=True):
            wanted[image.to.name if image.to is not None else ""] = (image, planned.target)
    pairs = [
        (image, planned)
        for image, planned in zip(fetched.request.spec.images, fetched.plan.images, strict=True)
        if image.to is not None and wanted.get(image.to.name) == (image, planned.target)
    ]
    images = [image for image, _ in pairs]
    request = fetched.request.replace(spec=fetched.request.spec.replace(images=images))
    kept = replace(fetched.plan, images=tuple(planned for _, planned in pairs))
    return replace(fetched, request=request, plan=kept)
