"""Validation of import requests and streams, field by field, with upstream's texts.

The rules are imports-2.4, imports-2.7, imports-6.16, api-19.3, api-23.2, api-23.3 and api-29.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from models.errors import FieldError, InvalidObjectError, InvalidReferenceError
from models.images.image_validation import name_violations
from models.reference import Reference
from models.resources.imports import ImageImportSpec, ImageStreamImport, RepositoryImportSpec
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream, NamedTagEventList, TagReference
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList, Transport
from models.streams.schedule.check_interval import (
    INTERVAL_ANNOTATION,
    SUSPEND_ANNOTATION,
    parse_bool,
    parse_interval,
)

DOCKER_IMAGE = "DockerImage"
INSECURE_ANNOTATION = "openshift.io/image.insecureRepository"
_NAME = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
LABEL_PATTERN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
INVALID_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{LABEL_PATTERN}')"
)
_IMPORT_MODES = {"", "Legacy", "PreserveOriginal"}
_INVALID_MODE = "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'"


def check_import(request: ImageStreamImport, rules: ImportRules, *, exempt: bool = False) -> None:
    """Refuse an invalid or forbidden import before any request is sent.

    It is the step between defaults and preconditions (imports-2.1, imports-2.3, imports-2.7). The
    allow-list is not applied to `exempt` callers, who may create images anyway; for them only the
    stream's own validation counts (imports-2.8). Raises InvalidObjectError.
    """
    errors = validate_import(request)
    if not errors and rules.allow_list is not None and not exempt:
        errors = list(_check_allowed_registries(request, rules.allow_list))
    if errors:
        name = request.metadata.name
        raise InvalidObjectError(kind="ImageStreamImport", name=name, errors=errors)


def validate_import(request: ImageStreamImport) -> list[FieldError]:
    """Return all errors of a request, in upstream's order."""
    errors: list[FieldError] = []
    for position, image in enumerate(request.spec.images):
        errors.extend(_validate_import_image(image, f"spec.images[{position}]"))
    repository = request.spec.repository
    if repository is not None:
        errors.extend(_validate_import_repository(repository))
    if not request.spec.images and repository is None:
        detail = "you must specify at least one image or a repository import"
        errors.append(FieldError.invalid("spec.images", None, detail))
    if not request.metadata.name and request.metadata.generate_name:
        return [*errors, FieldError.required("metadata.name")]
    return [*errors, *validate_stream_meta(request.metadata)]


def _validate_import_image(image: ImageImportSpec, path: str) -> Iterator[FieldError]:
    if image.from_.kind != DOCKER_IMAGE:
        kind = image.from_.kind
        yield FieldError.invalid(f"{path}.from.kind", kind, "only DockerImage is supported")
    else:
        if image.to is not None and not image.to.name:
            detail = "the name of the target tag must be specified"
            yield FieldError.invalid(f"{path}.to.name", "", detail)
        if not image.from_.name:
            yield FieldError.required(f"{path}.from.name")
        elif image.from_.name != "*":  # accepted for old clients, fails later (imports-2.4)
            yield from _check_parsable(image.from_.name, f"{path}.from.name")
    yield from _check_import_mode(image.import_policy.import_mode, path)


def _validate_import_repository(repository: RepositoryImportSpec) -> Iterator[FieldError]:
    path = "spec.repository"
    name = repository.from_.name
    if repository.from_.kind != DOCKER_IMAGE:
        kind = repository.from_.kind
        yield FieldError.invalid(f"{path}.from.kind", kind, "only DockerImage is supported")
    elif not name:
        yield FieldError.required(f"{path}.from.name", "container image references require a name")
    else:
        unparsable = list(_check_parsable(name, f"{path}.from.name"))
        yield from unparsable
        if not unparsable:
            reference = Reference.parse(name)
            if reference.tag or reference.id:
                detail = "you must specify an image repository, not a tag or ID"
                yield FieldError.invalid(f"{path}.from.name", name, detail)
    yield from _check_import_mode(repository.import_policy.import_mode, path)


def _check_parsable(text: str, field: str) -> Iterator[FieldError]:
    try:
        Reference.parse(text)
    except InvalidReferenceError as error:
        yield FieldError.invalid(field, text, error.text)


def _check_import_mode(mode: str, path: str) -> Iterator[FieldError]:
    if mode not in _IMPORT_MODES:
        yield FieldError.invalid(f"{path}.importPolicy.importMode", mode, _INVALID_MODE)


def _check_allowed_registries(
    request: ImageStreamImport, allowed: AllowList
) -> Iterator[FieldError]:
    """Check every element against the allow-list, the repository first (imports-2.7)."""
    elements: list[tuple[str, ImageImportSpec | RepositoryImportSpec]] = []
    if request.spec.repository is not None:
        elements.append(("spec.repository", request.spec.repository))
    elements.extend((f"spec.images[{i}]", image) for i, image in enumerate(request.spec.images))
    for path, element in elements:
        try:
            reference = Reference.parse(element.from_.name)
        except InvalidReferenceError:  # `*`: checked as a name on Docker Hub
            reference = Reference(name=element.from_.name)
        # An insecure element is checked with port 80, but by the secure rules (imports-2.7).
        host, port = reference.registry_host_port(insecure=element.import_policy.insecure)
        reason = allowed.host_refusal_reason(host, port)
        if reason:
            detail = f'importing images from registry "{host}:{port}" is forbidden: {reason}'
            yield FieldError.forbidden(f"{path}.from.name", detail)


def validate_stream_meta(meta: ObjectMeta) -> list[FieldError]:
    """Return the errors in name and namespace of a stream or of an import into it (api-19.3,
    imports-2.5).
    """
    errors: list[FieldError] = []
    if meta.name:
        details = name_violations(meta.name) or _name_mismatch(meta.name)
        errors.extend(FieldError.invalid("metadata.name", meta.name, each) for each in details)
    else:
        errors.append(FieldError.required("metadata.name", "name or generateName is required"))
    if not meta.namespace:
        errors.append(FieldError.required("metadata.namespace"))
    elif len(meta.namespace) > 63:
        detail = "must be no more than 63 characters"
        errors.append(FieldError.invalid("metadata.namespace", meta.namespace, detail))
    elif not re.fullmatch(LABEL_PATTERN, meta.namespace, re.ASCII):
        errors.append(FieldError.invalid("metadata.namespace", meta.namespace, INVALID_LABEL))
    if len(f"{meta.namespace}/{meta.name}") > 255:
        detail = "'namespace/name' cannot be longer than 255 characters"
        errors.append(FieldError.invalid("metadata.name", meta.name, detail))
    return errors


def _name_mismatch(name: str) -> list[str]:
    return [] if re.fullmatch(_NAME, name, re.ASCII) else [f'must match "{_NAME}"']


def check_annotations(
    annotations: Mapping[str, str] | None, old: Mapping[str, str] | None, path: str
) -> Iterator[FieldError]:
    """Yield annotations that the schedule cannot read; invalid values that `old` had may stay."""
    for name, parse in ((INTERVAL_ANNOTATION, parse_interval), (SUSPEND_ANNOTATION, parse_bool)):
        text = (annotations or {}).get(name)
        if text is None or text == (old or {}).get(name):
            continue
        try:
            parse(text)
        except ValueError as error:
            yield FieldError.invalid(f"{path}[{name}]", text, str(error))


def validate_stream(
    stream: ImageStream,
    *,
    old: ImageStream | None = None,
    allow_list: AllowList | None = None,
    of_status: bool = False,
) -> list[FieldError]:
    """Return all errors of a stream (imports-6.16).

    References that `old` holds already stay allowed. Tags that are the same objects as in `old`
    were checked when they were written, and are not checked again. `of_status`: only the status was
    written, so references that it held before may stay (api-23.8).
    """
    checker = _StreamValidator(stream, old, allow_list, of_status=of_status)
    return [*validate_stream_meta(stream.metadata), *checker.check()]


def validate_tag(
    tag: TagReference, path: str, *, stream: ImageStream, allow_list: AllowList | None = None
) -> list[FieldError]:
    """Return the errors of one spec tag of `stream` that lies at `path` in its object."""
    return list(_StreamValidator(stream, stream, allow_list).check_tag(tag, path))


class _StreamValidator:
    def __init__(
        self,
        stream: ImageStream,
        old: ImageStream | None,
        allow_list: AllowList | None,
        *,
        of_status: bool = False,
    ) -> None:
        self._of_status = of_status
        self._old_pull_specs: set[str] = set()
        if of_status and old is not None:
            events = (event for tag in old.status.tags for event in tag.items or ())
            self._old_pull_specs = {event.docker_image_reference for event in events}
        self._stream = stream
        self._old = old
        self._allowed = allow_list
        self._grandfathered = old is None
        self._checked_ids: set[int] = set()
        if old is not None:
            self._checked_ids = {id(tag) for tag in (*old.spec.tags, *old.status.tags)}
            self._checked_ids.update(
                id(event) for tag in old.status.tags for event in tag.items or ()
            )
        self._insecure = stream.metadata.annotations.get(INSECURE_ANNOTATION) == "true"

    def check(self) -> Iterator[FieldError]:
        annotations = self._old.metadata.annotations if self._old is not None else None
        yield from check_annotations(
            self._stream.metadata.annotations, annotations, "metadata.annotations"
        )
        repository = self._stream.spec.docker_image_repository
        if repository:
            yield from self._check_repository(repository, "spec.dockerImageRepository")
        policies: dict[str, bool] = {}
        for position, tag in enumerate(self._stream.spec.tags):
            policies[tag.name] = tag.import_policy.insecure
            if id(tag) not in self._checked_ids:
                if not tag.name:
                    yield FieldError.required(f"spec.tags[{position}].name")
                yield from self.check_tag(tag, f"spec.tags[{tag.name}]")
        for history in self._stream.status.tags:
            if id(history) not in self._checked_ids:
                insecure = policies.get(history.tag, False)
                yield from self._check_history(history, insecure=insecure)

    def _check_repository(self, text: str, field: str) -> Iterator[FieldError]:
        try:
            reference = Reference.parse(text)
        except InvalidReferenceError as error:
            yield FieldError.invalid(field, text, error.text)
            return
        if reference.tag:
            yield FieldError.invalid(field, text, "the repository name may not contain a tag")
        if reference.id:
            yield FieldError.invalid(field, text, "the repository name may not contain an ID")
        yield from self._check_allowed(reference, field, insecure=False)

    def check_tag(self, tag: TagReference, path: str) -> Iterator[FieldError]:
        """Yield the errors of one spec tag."""
        violations = list(check_annotations(tag.annotations, None, f"{path}.annotations"))
        if violations and self._old is not None:  # the old tag is looked up only on errors
            old = self._old.spec_tag(tag.name)
            old_annotations = old.annotations if old is not None else None
            violations = list(
                check_annotations(tag.annotations, old_annotations, f"{path}.annotations")
            )
        yield from violations
        source = tag.from_
        if source is not None:
            if not source.name and source.kind != DOCKER_IMAGE:
                yield FieldError.required(f"{path}.from.name")
            if source.kind == DOCKER_IMAGE:
                insecure = tag.import_policy.insecure
                yield from self._check_pull_spec(
                    source.name, f"{path}.from.name", insecure=insecure
                )
            elif source.kind in {"ImageStreamTag", "ImageStreamImage"}:
                if tag.import_policy.scheduled:
                    detail = (
                        "only tags pointing to Docker repositories may be scheduled for "
                        "background import"
                    )
                    yield FieldError.invalid(f"{path}.importPolicy.scheduled", True, detail)
            else:
                detail = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'"
                yield FieldError.required(f"{path}.from.kind", detail)
        if tag.reference_policy.type not in {"Source", "Local"}:
            detail = 'valid values are "Source", "Local"'
            kind = tag.reference_policy.type
            yield FieldError.invalid(f"{path}.referencePolicy.type", kind, detail)
        yield from _check_import_mode(tag.import_policy.import_mode, path)

    def _check_history(self, history: NamedTagEventList, *, insecure: bool) -> Iterator[FieldError]:
        for position, event in enumerate(history.items or ()):
            text = event.docker_image_reference
            if id(event) in self._checked_ids or text in self._old_pull_specs:
                continue
            field = f"status.tags[{history.tag}].items[{position}].dockerImageReference"
            if self._of_status and not text:
                yield from _check_parsable(text, field)
            else:
                yield from self._check_pull_spec(text, field, insecure=insecure)

    def _check_pull_spec(self, text: str, field: str, *, insecure: bool) -> Iterator[FieldError]:
        if not text:
            yield FieldError.required(field)
            return
        try:
            reference = Reference.parse(text)
        except InvalidReferenceError as error:
            yield FieldError.invalid(field, text, error.text)
            return
        yield from self._check_allowed(reference, field, insecure=insecure)

    def _check_allowed(
        self, reference: Reference, field: str, *, insecure: bool
    ) -> Iterator[FieldError]:
        if self._allowed is None:
            return
        transport = Transport.ANY if insecure or self._insecure else Transport.SECURE
        reason = self._allowed.refusal_reason(reference, transport)
        if reason and self._old is not None and not self._grandfathered:
            self._grandfathered = True  # the whole old stream is read only after a refusal
            self._allowed = self._allowed.with_repositories(_references_of(self._old))
            reason = self._allowed.refusal_reason(reference, transport)
        if reason:
            yield FieldError.forbidden(field, reason)


def _references_of(stream: ImageStream) -> Iterator[Reference]:
    """Yield every pull spec of a stream that parses."""
    texts: dict[str, None] = {}
    for tag in stream.spec.tags:
        if tag.from_ is not None and tag.from_.kind == DOCKER_IMAGE:
            texts[tag.from_.name] = None
    for history in stream.status.tags:
        for event in history.items or ():
            texts[event.docker_image_reference] = None
    for text in texts:
        try:
            yield Reference.parse(text)
        except InvalidReferenceError:
            continue
