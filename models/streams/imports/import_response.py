"""The ImageStreamImport that a client gets back (`import.md` 2.7 to 2.9, `api.md` B13)."""

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
from models.streams.imports.import_elements import outcome_of
from models.streams.imports.import_outcome import Imported, Outcome, Outcomes, Plan

Open = Callable[[PackedImage], Image]


def build_answer(
    request: ImageStreamImport,
    plan: Plan,
    outcomes: Outcomes,
    result: ImportResult,
    *,
    stored: Open,
) -> ImageStreamImport:
    """The request with its status. `stored` opens packed images.

    Manifest and config text stay only where they were asked for, and never for an image that was
    stored onto a tag (Q29).
    """
    spec = request.spec
    images = []
    for wanted, planned in zip(spec.images, plan.images, strict=True):
        shown = wanted.include_manifest and not (spec.import_ and wanted.to is not None)
        outcome = outcome_of(planned.target, planned.error, outcomes)
        images.append(_status(outcome, planned.tag, stored, with_content=shown))
    return request.replace(
        status=ImageStreamImportStatus(
            import_=result.stream if spec.import_ else None,
            repository=_repository_status(request, plan, outcomes, stored),
            images=images,
        )
    )


def _repository_status(
    request: ImageStreamImport, plan: Plan, outcomes: Outcomes, stored: Open
) -> RepositoryImportStatus | None:
    wanted = request.spec.repository
    if wanted is None:
        return None
    found = outcomes.repository
    error = plan.repository_error or (found.error if found is not None else None)
    if error is not None:
        return RepositoryImportStatus(status=Status.model_validate(status_of(error)))
    if found is None:
        return RepositoryImportStatus(status=SUCCESS)
    shown = wanted.include_manifest and not request.spec.import_
    failed = sum(1 for _, outcome in found.tags if not isinstance(outcome, Imported))
    return RepositoryImportStatus(
        status=_summary(failed),
        images=[_status(outcome, tag, stored, with_content=shown) for tag, outcome in found.tags],
        additional_tags=list(found.additional_tags),
    )


def _summary(failed: int) -> Status:
    """A repository's own status: no code when tags failed (2.8 item 5)."""
    if not failed:
        return SUCCESS
    which = "one" if failed == 1 else str(failed)
    return Status(
        status="Failure",
        reason="ImportFailed",
        message=f"{which} of the images from this repository failed to import",
    )


def _status(outcome: Outcome, tag: str, stored: Open, *, with_content: bool) -> ImageImportStatus:
    if not isinstance(outcome, Imported):
        status = Status.model_validate(status_of(outcome.error))
        blocked = outcome.error.code == "policy.blocked"
        return ImageImportStatus(status=status, tag="" if blocked else tag)
    image, *children = (
        stored(packed) if with_content else stored(packed).without_content()
        for packed in (outcome.image, *outcome.manifests)
    )
    return ImageImportStatus(status=SUCCESS, image=image, tag=tag, manifests=children)
