"""Defaults that are filled in when an object is decoded (imports-2.2)."""

from __future__ import annotations

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.imports import (
    ImageImportSpec,
    ImageStreamImport,
    LocalObjectReference,
    RepositoryImportSpec,
)
from models.resources.stream import ImageStream, TagImportPolicy


def default_import(request: ImageStreamImport, *, mode: str = "Legacy") -> ImageStreamImport:
    """Fill in the server's import mode where the request names none, and `to` where `from` has a
    tag.

    Applying it twice changes nothing (imports-2.2).
    """
    repository = request.spec.repository
    if repository is not None:
        repository = _default_repository(repository, mode)
    images = [_default_image(image, mode) for image in request.spec.images]
    return request.replace(spec=request.spec.replace(images=images, repository=repository))


def default_stream(stream: ImageStream, *, mode: str = "Legacy") -> ImageStream:
    """Fill in the server's import mode in every spec tag that names none."""
    tags = [
        tag.replace(import_policy=default_policy(tag.import_policy, mode))
        for tag in stream.spec.tags
    ]
    return stream.replace(spec=stream.spec.replace(tags=tags))


def default_policy(policy: TagImportPolicy, mode: str) -> TagImportPolicy:
    """Fill in `mode` where no import mode was written; the wire type's own default is Legacy."""
    if "import_mode" in policy.model_fields_set:
        return policy
    return policy.replace(import_mode=mode)


def _default_repository(repository: RepositoryImportSpec, mode: str) -> RepositoryImportSpec:
    return repository.replace(import_policy=default_policy(repository.import_policy, mode))


def _default_image(image: ImageImportSpec, mode: str) -> ImageImportSpec:
    image = image.replace(import_policy=default_policy(image.import_policy, mode))
    if image.to is not None:
        return image
    try:
        tag = Reference.parse(image.from_.name).tag
    except InvalidReferenceError:
        return image
    return image.replace(to=LocalObjectReference(name=tag)) if tag else image
