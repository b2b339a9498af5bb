"""Counts the results of imports by registry, outcome, reason and trigger.

Also under OpenShift's two metric names, where each image and each repository of a request counts
once (imports-7.8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import InvalidReferenceError
from models.job_types import JobResult, JobTrigger, TargetResult
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.telemetry.metric_labels import OTHER_LABEL
from models.telemetry.metrics import count_import
from models.telemetry.openshift_metrics import count_openshift_import

UNPARSABLE_REASON = "InvalidImageReference"


def count_results(request: ImageStreamImport, result: JobResult, trigger: JobTrigger) -> None:
    """Count the outcome of every image of an import. Call it after the commit."""
    counts = Counter(_result_labels(target) for target in result.targets)
    if result.listing is not None and request.spec.repository is not None:
        registry_of_list = registry_of(request.spec.repository.from_.name) or OTHER_LABEL
        counts[registry_of_list, "failed", str(result.listing.get("reason", ""))] += 1
    for (registry, outcome, reason), count in counts.items():
        count_import(registry, outcome=outcome, reason=reason, trigger=trigger.value, count=count)
    _count_openshift_results(request, result, scheduled=trigger is JobTrigger.SCHEDULE)


def count_failure(
    request: ImageStreamImport, error: Mapping[str, Any], trigger: JobTrigger
) -> None:
    """Count an import that failed as a whole: every image that it requested counts as failed."""
    reason = str(error.get("reason", ""))
    for name in _requested_references(request):
        registry = registry_of(name) or OTHER_LABEL
        count_import(registry, outcome="failed", reason=reason, trigger=trigger.value)
        _count_openshift_import(name, reason, scheduled=trigger is JobTrigger.SCHEDULE)


def registry_of(written: str) -> str | None:
    """Return the registry that a written reference resolves to, None if it does not parse."""
    try:
        return Reference.parse(written).with_defaults().registry
    except InvalidReferenceError:
        return None


def _result_labels(target: TargetResult) -> tuple[str, str, str]:
    registry = registry_of(target.source) or OTHER_LABEL
    return registry, target.outcome.value, "" if target.image else target.reason


def _requested_references(request: ImageStreamImport) -> Iterator[str]:
    if request.spec.repository is not None:
        yield request.spec.repository.from_.name
    for image in request.spec.images:
        yield image.from_.name


def _count_openshift_results(
    request: ImageStreamImport, result: JobResult, *, scheduled: bool
) -> None:
    images = request.spec.images
    # The results of the repository's tags come first, those of the images last.
    image_results = result.targets[len(result.targets) - len(images) :]
    references = [
        (image.from_.name, None if image_result.image else image_result.reason)
        for image, image_result in zip(images, image_results, strict=False)
    ]
    if request.spec.repository is not None:
        failed = result.listing
        reason = None if failed is None else str(failed.get("reason", ""))
        references.append((request.spec.repository.from_.name, reason))
    for name, reason in references:
        _count_openshift_import(name, reason, scheduled=scheduled)


def _count_openshift_import(written: str, reason: str | None, *, scheduled: bool) -> None:
    registry = registry_of(written)
    if registry is None:
        count_openshift_import("", scheduled=scheduled, reason=UNPARSABLE_REASON)
    else:
        count_openshift_import(registry, scheduled=scheduled, reason=reason)
