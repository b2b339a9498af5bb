"""The ImageStreamImport that a client receives (imports-2.14, imports-2.15, imports-2.28,
api-28.1).
"""

from __future__ import annotations

from collections.abc import Callable

from models.errors import status_of
from models.images.compressed_image import PackedImage
from models.resources.image import Image
from models.resources.imports import (
    ImageImportStatus,
    ImageStreamImport,
    ImageStreamImportStatus,
    RepositoryImportStatus,
)
from models.resources.meta import SUCCESS, Status
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_elements import planned_outcome
from models.streams.imports.import_outcome import (
    Imported,
    ImportOutcome,
    ImportOutcomes,
    ImportPlan,
)

ImageLoader = Callable[[PackedImage], Image]


def build_import_response(
    request: ImageStreamImport,
    plan: ImportPlan,
    outcomes: ImportOutcomes,
    result: ImportResult,
    *,
    load_image: ImageLoader,
) -> ImageStreamImport:
    """Build the request with its status. `load_image` unpacks or loads a packed Image.

    Manifest and config text stay only where they were requested, and never for an image that was
    stored under a tag (imports-2.15).
    """
    spec = request.spec
    images = []
    for image_spec, planned in zip(spec.images, plan.images, strict=True):
        show_content = image_spec.include_manifest and not (
            spec.import_ and image_spec.to is not None
        )
        outcome = planned_outcome(planned.target, planned.error, outcomes)
        images.append(
            _build_image_status(outcome, planned.tag, load_image, with_content=show_content)
        )
    return request.replace(
        status=ImageStreamImportStatus(
            import_=result.stream if spec.import_ else None,
            repository=_build_repository_status(request, plan, outcomes, load_image),
            images=images,
        )
    )


def _build_repository_status(
    request: ImageStreamImport, plan: ImportPlan, outcomes: ImportOutcomes, load_image: ImageLoader
) -> RepositoryImportStatus | None:
    spec = request.spec.repository
    if spec is None:
        return None
    outcome = outcomes.repository
    error = plan.repository_error or (outcome.error if outcome is not None else None)
    if error is not None:
        return RepositoryImportStatus(status=Status.model_validate(status_of(error)))
    if outcome is None:
        return RepositoryImportStatus(status=SUCCESS)
    show_content = spec.include_manifest and not request.spec.import_
    failed = sum(1 for _, tag_outcome in outcome.tags if not isinstance(tag_outcome, Imported))
    return RepositoryImportStatus(
        status=_summarise_failures(failed),
        images=[
            _build_image_status(outcome, tag, load_image, with_content=show_content)
            for tag, outcome in outcome.tags
        ],
        additional_tags=list(outcome.additional_tags),
    )


def _summarise_failures(failed: int) -> Status:
    """Return a repository's own status; it has no code where only tags failed (imports-2.28)."""
    if not failed:
        return SUCCESS
    count_text = "one" if failed == 1 else str(failed)
    return Status(
        status="Failure",
        reason="ImportFailed",
        message=f"{count_text} of the images from this repository failed to import",
    )


def _build_image_status(
    outcome: ImportOutcome, tag: str, load_image: ImageLoader, *, with_content: bool
) -> ImageImportStatus:
    if not isinstance(outcome, Imported):
        status = Status.model_validate(status_of(outcome.error))
        blocked = outcome.error.code == "policy.blocked"
        return ImageImportStatus(status=status, tag="" if blocked else tag)
    image, *children = (
        load_image(packed) if with_content else load_image(packed).without_content()
        for packed in (outcome.image, *outcome.manifests)
    )
    return ImageImportStatus(status=SUCCESS, image=image, tag=tag, manifests=children)
