"""Plan of an import: what a request fetches, each target once (imports-2.11, imports-2.14,
imports-3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.errors import (
    FieldError,
    InvalidObjectError,
    InvalidReferenceError,
    NotFoundError,
    RegistryBlockedError,
    StreamConflictError,
    TagstreamError,
)
from models.images.image_index import NO_PREFERENCE, PlatformPreference
from models.reference import DEFAULT_TAG, Reference
from models.resources.imports import ImageImportSpec, ImageStreamImport, RepositoryImportSpec
from models.resources.stream import ImageStream
from models.streams.imports.import_outcome import (
    ImportPlan,
    ImportTarget,
    PlannedImage,
    RepositoryImportTarget,
)
from models.streams.imports.import_rules import ImportRules

PREFER_ARCHITECTURE_ANNOTATION = "importer.image.openshift.io/prefer-arch"
PREFER_OS_ANNOTATION = "importer.image.openshift.io/prefer-os"
PREFER_VARIANT_ANNOTATION = "importer.image.openshift.io/prefer-variant"


def check_precondition(request: ImageStreamImport, stream: ImageStream | None) -> None:
    """Refuse a request that names another resourceVersion or uid than the stream's (imports-2.11).

    Raises StreamConflictError or NotFoundError.
    """
    precondition, name = request.metadata, request.metadata.name
    if stream is None:
        if precondition.resource_version or precondition.uid:
            raise NotFoundError(resource="imagestreamimports", name=name)
        return
    current = stream.metadata
    if precondition.resource_version and precondition.resource_version != current.resource_version:
        raise StreamConflictError(
            f'the image stream was updated from "{precondition.resource_version}" to '
            f'"{current.resource_version}"',
            name=name,
        )
    if precondition.uid and precondition.uid != current.uid:
        raise NotFoundError(resource="imagestream", name=name)


def plan_import(
    request: ImageStreamImport,
    stream: ImageStream | None,
    rules: ImportRules,
    *,
    max_tags: int | None = None,
) -> ImportPlan:
    """Plan what a validated and defaulted request fetches.

    `max_tags` replaces the server's cap of tags for a repository (-1: all).
    """
    repository, error = None, None
    if request.spec.repository is not None:
        limit = rules.max_tags if max_tags is None else max_tags
        repository, error = _plan_repository(request.spec.repository, rules, limit)
        if repository is not None and request.spec.import_:
            # Stored images are shown without their content (imports-2.15): it is not needed.
            repository = replace(repository, with_content=False)
    annotations = {tag.name: tag.annotations or {} for tag in stream.spec.tags} if stream else {}
    return ImportPlan(
        images=tuple(
            _plan_image(image, annotations, rules, stores=request.spec.import_)
            for image in request.spec.images
        ),
        repository=repository,
        repository_error=error,
    )


def _plan_image(
    image: ImageImportSpec,
    annotations: Mapping[str, dict[str, str]],
    rules: ImportRules,
    *,
    stores: bool,
) -> PlannedImage:
    name = image.from_.name
    if image.from_.kind != "DockerImage":
        return PlannedImage(tag="")
    try:
        reference = Reference(name="*") if name == "*" else Reference.parse(name)
    except InvalidReferenceError as error:
        return PlannedImage(tag="", error=_invalid_reference_error(name, error))
    if rules.registries.is_blocked(reference):
        return PlannedImage(tag="", error=RegistryBlockedError(_registry_of(reference)))
    tag = "" if reference.id else reference.tag or DEFAULT_TAG
    preference = NO_PREFERENCE
    if tag:
        target_tag = image.to.name if image.to is not None else tag
        preference = parse_platform_preference(annotations.get(target_tag, {}))
    tagged_reference = Reference(
        reference.registry, reference.namespace, reference.name, tag, reference.id
    )
    return PlannedImage(
        tag=tag,
        target=ImportTarget(
            reference=tagged_reference,
            import_mode=image.import_policy.import_mode or rules.default_import_mode,
            insecure=image.import_policy.insecure,
            platform_preference=preference,
            with_content=image.include_manifest and not (stores and image.to is not None),
        ),
    )


def _invalid_reference_error(name: str, error: InvalidReferenceError) -> TagstreamError:
    field_error = FieldError.invalid("from.name", name, f"invalid name: {error.text}")
    return InvalidObjectError(kind="", name="", errors=[field_error], group="")


def _registry_of(reference: Reference) -> str:
    """Return the registry as users know it, also where the reference names none (imports-2.17)."""
    return reference.registry or reference.with_defaults().registry


def parse_platform_preference(annotations: dict[str, str]) -> PlatformPreference:
    """Parse the annotations of a spec tag that select a platform (imports-3.3)."""
    return PlatformPreference(
        annotations.get(PREFER_ARCHITECTURE_ANNOTATION, ""),
        annotations.get(PREFER_OS_ANNOTATION, ""),
        annotations.get(PREFER_VARIANT_ANNOTATION, ""),
    )


def _plan_repository(
    spec: RepositoryImportSpec, rules: ImportRules, limit: int
) -> tuple[RepositoryImportTarget | None, TagstreamError | None]:
    try:
        reference = Reference.parse(spec.from_.name)
    except InvalidReferenceError as error:
        return None, _invalid_repository_error(spec.from_.name, error.text)
    if rules.registries.is_blocked(reference):
        return None, RegistryBlockedError(_registry_of(reference))
    if not reference.name:
        return None, _invalid_repository_error("", "the provided repository name is not valid")
    target = RepositoryImportTarget(
        reference=reference.as_repository(),
        import_mode=spec.import_policy.import_mode or rules.default_import_mode,
        insecure=spec.import_policy.insecure,
        limit=limit if limit >= -1 else 0,
        with_content=spec.include_manifest,
    )
    return target, None


def _invalid_repository_error(name: str, detail: str) -> TagstreamError:
    field_error = FieldError.invalid("from.name", name, detail)
    return InvalidObjectError(kind="", name="repository", errors=[field_error])
