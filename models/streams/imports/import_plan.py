"""Request and stream become what to fetch, each target once (`import.md` 2.4, 2.7, 3.1)."""

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
from models.streams.imports.import_outcome import Plan, PlannedImage, RepositoryTarget, Target
from models.streams.imports.import_rules import ImportRules

PREFER_ARCHITECTURE = "importer.image.openshift.io/prefer-arch"
PREFER_OS = "importer.image.openshift.io/prefer-os"
PREFER_VARIANT = "importer.image.openshift.io/prefer-variant"


def check_precondition(request: ImageStreamImport, stream: ImageStream | None) -> None:
    """Refuse a request that was made for another state of the stream (2.4)."""
    wanted, name = request.metadata, request.metadata.name
    if stream is None:
        if wanted.resource_version or wanted.uid:
            raise NotFoundError(resource="imagestreamimports", name=name)
        return
    actual = stream.metadata
    if wanted.resource_version and wanted.resource_version != actual.resource_version:
        raise StreamConflictError(
            f'the image stream was updated from "{wanted.resource_version}" to '
            f'"{actual.resource_version}"',
            name=name,
        )
    if wanted.uid and wanted.uid != actual.uid:
        raise NotFoundError(resource="imagestream", name=name)


def plan_import(
    request: ImageStreamImport,
    stream: ImageStream | None,
    rules: ImportRules,
    *,
    max_tags: int | None = None,
) -> Plan:
    """What to fetch for a validated, defaulted request.

    `max_tags` stands in for the server's cap where a front door asked for more or less.
    """
    repository, error = None, None
    if request.spec.repository is not None:
        limit = rules.max_tags if max_tags is None else max_tags
        repository, error = _plan_repository(request.spec.repository, rules, limit)
        if repository is not None and request.spec.import_:
            # What is stored is shown without its content (Q29): no need to carry it.
            repository = replace(repository, with_content=False)
    annotations = {tag.name: tag.annotations or {} for tag in stream.spec.tags} if stream else {}
    return Plan(
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
        return PlannedImage(tag="", error=_unparsable(name, error))
    if rules.registries.is_blocked(reference):
        return PlannedImage(tag="", error=RegistryBlockedError(_host_of(reference)))
    tag = "" if reference.id else reference.tag or DEFAULT_TAG
    prefer = NO_PREFERENCE
    if tag:
        target_tag = image.to.name if image.to is not None else tag
        prefer = preference_of(annotations.get(target_tag, {}))
    wanted = Reference(reference.registry, reference.namespace, reference.name, tag, reference.id)
    return PlannedImage(
        tag=tag,
        target=Target(
            reference=wanted,
            import_mode=image.import_policy.import_mode or rules.default_import_mode,
            insecure=image.import_policy.insecure,
            prefer=prefer,
            with_content=image.include_manifest and not (stores and image.to is not None),
        ),
    )


def _unparsable(name: str, error: InvalidReferenceError) -> TagstreamError:
    wrong = FieldError.invalid("from.name", name, f"invalid name: {error.text}")
    return InvalidObjectError(kind="", name="", errors=[wrong], group="")


def _host_of(reference: Reference) -> str:
    """The registry as people know it, also where none was written (Q9)."""
    return reference.registry or reference.with_defaults().registry


def preference_of(annotations: dict[str, str]) -> PlatformPreference:
    return PlatformPreference(
        annotations.get(PREFER_ARCHITECTURE, ""),
        annotations.get(PREFER_OS, ""),
        annotations.get(PREFER_VARIANT, ""),
    )


def _plan_repository(
    wanted: RepositoryImportSpec, rules: ImportRules, limit: int
) -> tuple[RepositoryTarget | None, TagstreamError | None]:
    try:
        reference = Reference.parse(wanted.from_.name)
    except InvalidReferenceError as error:
        return None, _unusable(wanted.from_.name, error.text)
    if rules.registries.is_blocked(reference):
        return None, RegistryBlockedError(_host_of(reference))
    if not reference.name:
        return None, _unusable("", "the provided repository name is not valid")
    target = RepositoryTarget(
        reference=reference.as_repository(),
        import_mode=wanted.import_policy.import_mode or rules.default_import_mode,
        insecure=wanted.import_policy.insecure,
        limit=limit if limit >= -1 else 0,
        with_content=wanted.include_manifest,
    )
    return target, None


def _unusable(name: str, why: str) -> TagstreamError:
    wrong = FieldError.invalid("from.name", name, why)
    return InvalidObjectError(kind="", name="repository", errors=[wrong])
