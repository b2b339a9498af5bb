"""Counts what imports came to: by registry, result, reason and trigger.

Also under OpenShift's two names, where each image and each repository of a request counts once
(`import.md` 6.10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import InvalidReferenceError
from models.job_types import Asker, JobResult, TargetResult
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.telemetry.metric_labels import OTHER
from models.telemetry.metrics import count_import, count_old

UNPARSABLE = "InvalidImageReference"


def count_results(request: ImageStreamImport, result: JobResult, asker: Asker) -> None:
    """What became of every image of an import, once it is written down."""
    tally = Counter(_end_of(target) for target in result.targets)
    if result.listing is not None and request.spec.repository is not None:
        where = registry_of(request.spec.repository.from_.name) or OTHER
        tally[where, "failed", str(result.listing.get("reason", ""))] += 1
    for (registry, how, reason), count in tally.items():
        count_import(registry, result=how, reason=reason, trigger=asker.value, count=count)
    _count_old(request, result, scheduled=asker is Asker.SCHEDULE)


def count_failure(request: ImageStreamImport, error: Mapping[str, Any], asker: Asker) -> None:
    """An import that came to nothing as a whole: everything that it asked for failed."""
    reason = str(error.get("reason", ""))
    for name in _asked(request):
        registry = registry_of(name) or OTHER
        count_import(registry, result="failed", reason=reason, trigger=asker.value)
        _count_one(name, reason, scheduled=asker is Asker.SCHEDULE)


def registry_of(written: str) -> str | None:
    """The registry that a reference as written means; None where it is no reference."""
    try:
        return Reference.parse(written).with_defaults().registry
    except InvalidReferenceError:
        return None


def _end_of(target: TargetResult) -> tuple[str, str, str]:
    registry = registry_of(target.source) or OTHER
    if not target.image:
        return registry, "failed", target.reason
    return registry, "changed" if target.changed else "unchanged", ""


def _asked(request: ImageStreamImport) -> Iterator[str]:
    if request.spec.repository is not None:
        yield request.spec.repository.from_.name
    for image in request.spec.images:
        yield image.from_.name


def _count_old(request: ImageStreamImport, result: JobResult, *, scheduled: bool) -> None:
    images = request.spec.images
    ends = result.targets[len(result.targets) - len(images) :]  # tags of the repository come first
    found = [
        (image.from_.name, None if end.image else end.reason)
        for image, end in zip(images, ends, strict=False)
    ]
    if request.spec.repository is not None:
        failed = result.listing
        reason = None if failed is None else str(failed.get("reason", ""))
        found.append((request.spec.repository.from_.name, reason))
    for name, reason in found:
        _count_one(name, reason, scheduled=scheduled)


def _count_one(written: str, reason: str | None, *, scheduled: bool) -> None:
    registry = registry_of(written)
    if registry is None:
        count_old("", scheduled=scheduled, reason=UNPARSABLE)
    else:
        count_old(registry, scheduled=scheduled, reason=reason)
