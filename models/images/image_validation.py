"""Validation of Images and signatures, field by field (api-21.2, api-22.2, imports-3.34)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from models.errors import FieldError, InvalidReferenceError
from models.reference import Reference
from models.resources.image import Image, ImageSignature
from models.resources.meta import ObjectMeta

MetaCheck = Callable[[ObjectMeta], list[FieldError]]

_DIGEST = re.compile(
    r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}", re.ASCII
)
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII
)
_UNKNOWN_STATE = "must be unset for unknown signature state"


def name_violations(name: str) -> list[str]:
    """Return why `name` cannot be a segment of a path; empty where it can (api-19.4)."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{each}'" for each in ("/", "%") if each in name]


def check_segment_name(meta: ObjectMeta) -> list[FieldError]:
    """Check the minimum for the metadata of any kind: there is a name, and it fits into a path.

    The API passes its own check in its place, which includes labels and annotations.
    """
    if not meta.name:
        return [FieldError.required("metadata.name", "name or generateName is required")]
    return [
        FieldError.invalid("metadata.name", meta.name, each) for each in name_violations(meta.name)
    ]


def prefix_field_errors(path: str, errors: list[FieldError]) -> list[FieldError]:
    """Return the errors of an object that lies at `path` inside another object."""
    return [replace(error, field=f"{path}.{error.field}") for error in errors]


def validate_image(image: Image, *, check_meta: MetaCheck = check_segment_name) -> list[FieldError]:
    """Return all errors of an Image that is about to be stored."""
    errors = check_meta(image.metadata)
    reference = image.docker_image_reference
    if not reference:
        errors.append(FieldError.required("dockerImageReference"))
    else:
        try:
            Reference.parse(reference)
        except InvalidReferenceError as wrong:
            errors.append(FieldError.invalid("dockerImageReference", reference, wrong.text))
    for position, signature in enumerate(image.signatures):
        found = validate_signature(signature, check_meta=check_meta)
        errors.extend(prefix_field_errors(f"signatures[{position}]", found))
    errors.extend(_check_manifests(image))
    if image.docker_image_manifests and image.docker_image_layers:
        detail = "dockerImageLayers should not be set when dockerImageManifests is set"
        layers = [layer.wire() for layer in image.docker_image_layers]
        errors.append(FieldError.invalid("dockerImageLayers", layers, detail))
    return errors


def _check_manifests(image: Image) -> Iterator[FieldError]:
    for position, manifest in enumerate(image.docker_image_manifests):
        path = f"dockerImageManifests[{position}]"
        if not _DIGEST.search(manifest.digest):
            detail = "digest does not conform with OCI image specification"
            yield FieldError.invalid(f"{path}.digest", manifest.digest, detail)
        if not _MEDIA_TYPE.fullmatch(manifest.media_type):
            detail = "media type does not conform to RFC6838"
            yield FieldError.invalid(f"{path}.mediaType", manifest.media_type, detail)
        if not manifest.architecture:
            yield FieldError.required(f"{path}.architecture")
        if not manifest.os:
            yield FieldError.required(f"{path}.os")
        if manifest.manifest_size < 0:
            detail = "manifest size cannot be negative"
            yield FieldError.invalid(f"{path}.size", manifest.manifest_size, detail)


def validate_signature(
    signature: ImageSignature, *, check_meta: MetaCheck = check_segment_name
) -> list[FieldError]:
    """Return all errors of a signature (api-22.2)."""
    meta = signature.metadata
    errors = check_meta(meta)
    if meta.labels:
        errors.append(FieldError.forbidden("metadata.labels", "signature labels cannot be set"))
    if meta.annotations:
        detail = "signature annotations cannot be set"
        errors.append(FieldError.forbidden("metadata.annotations", detail))
    if parse_signature_name(meta.name) is None:
        detail = "name must be of format <imageName>@<signatureName>"
        errors.append(FieldError.invalid("metadata.name", meta.name, detail))
    if not signature.type:
        errors.append(FieldError.required("type"))
    if not signature.content:
        errors.append(FieldError.required("content"))
    errors.extend(_check_conditions(signature))
    return errors


def _check_conditions(signature: ImageSignature) -> Iterator[FieldError]:
    """Check that fields of a verifier appear only beside its verdict."""
    states = {condition.type: condition.status for condition in signature.conditions}
    shown = [condition.wire() for condition in signature.conditions]
    for present, missing in (("Trusted", "ForImage"), ("ForImage", "Trusted")):
        if present in states and missing not in states:
            detail = f'missing "{missing}" condition type'
            yield FieldError.invalid("conditions", shown, detail)
    if states.get("Trusted", "Unknown") != "Unknown":
        return
    wire = signature.wire()
    for field in ("imageIdentity", "signedClaims", "issuedBy", "issuedTo"):
        if field in wire:
            yield FieldError.invalid(field, wire[field], _UNKNOWN_STATE)


def parse_signature_name(name: str) -> tuple[str, str] | None:
    """Split `<image>@<signature>` into both names; None for any other form (api-19.1)."""
    image, at, signature = name.partition("@")
    if not image or not at or not signature or "@" in signature:
        return None
    return image, signature
