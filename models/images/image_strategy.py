"""Create and update strategy of Images and their signatures (api-21.1, api-21.7, api-22.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    ContentError,
    FieldError,
    InvalidObjectError,
    NotFoundError,
)
from models.images.docker_metadata import read_metadata
from models.images.fill_metadata import build_manifest_entries, fill_metadata
from models.images.image_builder import LAYER_ORDER
from models.images.image_validation import (
    MetaCheck,
    check_segment_name,
    parse_signature_name,
    validate_image,
    validate_signature,
)
from models.images.manifest import digestible_content
from models.oci import IMAGE_TYPES, SCHEMA1_TYPES, has_digest, strict_json
from models.reference import is_digest
from models.resources.image import Image, ImageSignature
from models.resources.meta import ObjectMeta

BLOB_STORED_ANNOTATION = "image.openshift.io/manifestBlobStored"
MANAGED_ANNOTATION = "openshift.io/image.managed"
MANAGED_SIGNATURE_ANNOTATION = "image.openshift.io/managed-signature"
METADATA_VERSION = "1.0"
_SIGNATURE_RESOURCE = "imageSignatures"  # upstream's spelling in its error texts (api-4.8)


def prepare_image_create(
    image: Image, *, now: datetime, check_meta: MetaCheck = check_segment_name
) -> Image:
    """Return the Image in the form in which it is stored.

    Raises InvalidObjectError, or BadRequestError for a metadata object that cannot be read.
    """
    image = fill_metadata(normalise_image(image), now=now)
    image = image.replace(docker_image_manifests=build_manifest_entries(image, now=now))
    return _strip_and_validate(image, check_meta)


def prepare_image_update(
    old: Image, new: Image, *, now: datetime, check_meta: MetaCheck = check_segment_name
) -> Image:
    """Return the Image that an update results in.

    Fields that follow from the digest keep their stored values. A manifest or config text is
    accepted only if it hashes to the digest that the Image has for it; otherwise the stored text
    stays, without an error (api-21.7).
    """
    new = _restore_immutable_fields(old, new)
    new = _take_verified_text(old, new, "docker_image_manifest", _manifest_matcher(old))
    new = _take_verified_text(old, new, "docker_image_config", _config_matcher(new))
    return _strip_and_validate(fill_metadata(new, now=now), check_meta)


def normalise_image(image: Image) -> Image:
    """Normalize an Image that a client sent: no namespace, metadata in its known form.

    Raises BadRequestError for metadata that cannot be read.
    """
    version = image.docker_image_metadata_version or METADATA_VERSION
    if version != METADATA_VERSION:
        raise _decode_error(
            f'no kind "DockerImage" is registered for version "image.openshift.io/{version}"'
        )
    try:
        metadata = read_metadata(image.docker_image_metadata)
    except ContentError as error:
        raise _decode_error(error.text) from error
    return image.replace(
        metadata=image.metadata.replace(namespace=""),
        docker_image_metadata=metadata,
        docker_image_metadata_version=METADATA_VERSION,
    )


def _decode_error(text: str) -> BadRequestError:
    return BadRequestError(f'Image in version "v1" cannot be handled as a Image: {text}')


def _strip_and_validate(image: Image, check_meta: MetaCheck) -> Image:
    if image.metadata.annotations.get(BLOB_STORED_ANNOTATION) == "true":
        image = image.without_content()
    signatures = [_without_managed_annotation(signature) for signature in image.signatures]
    image = image.replace(signatures=signatures)
    errors = validate_image(image, check_meta=check_meta)
    if errors:
        raise InvalidObjectError(kind="Image", name=image.name, errors=errors)
    return image


def _without_managed_annotation(signature: ImageSignature) -> ImageSignature:
    meta = signature.metadata
    if MANAGED_SIGNATURE_ANNOTATION not in meta.annotations:
        return signature
    annotations = {
        key: value for key, value in meta.annotations.items() if key != MANAGED_SIGNATURE_ANNOTATION
    }
    return signature.replace(metadata=meta.replace(annotations=annotations))


def _restore_immutable_fields(old: Image, new: Image) -> Image:
    """Restore what an update may not change.

    The layers and their order annotation belong together: without it the layers would be reversed.
    """
    annotations = dict(new.metadata.annotations)
    if old.docker_image_layers and LAYER_ORDER in old.metadata.annotations:
        annotations[LAYER_ORDER] = old.metadata.annotations[LAYER_ORDER]
    return new.replace(
        metadata=new.metadata.replace(namespace="", annotations=annotations),
        docker_image_metadata=old.docker_image_metadata,
        docker_image_metadata_version=old.docker_image_metadata_version,
        docker_image_layers=old.docker_image_layers,
        docker_image_signatures=old.docker_image_signatures or new.docker_image_signatures,
    )


def _take_verified_text(
    old: Image, new: Image, field: str, matches: Callable[[bytes], bool]
) -> Image:
    sent, stored = getattr(new, field), getattr(old, field)
    if sent in {stored, ""} or matches(sent.encode("utf-8", "replace")):
        return new
    return new.replace(**{field: stored})


def _manifest_matcher(image: Image) -> Callable[[bytes], bool]:
    """Return a function that tells whether a text is the manifest that the Image is named after."""

    def matches(content: bytes) -> bool:
        media_type = image.docker_image_manifest_media_type
        if not is_digest(image.name) or media_type not in IMAGE_TYPES | SCHEMA1_TYPES:
            return False
        try:
            payload = digestible_content(content) if media_type in SCHEMA1_TYPES else content
        except ContentError:
            return False
        return has_digest(payload, image.name)

    return matches


def _config_matcher(image: Image) -> Callable[[bytes], bool]:
    """Return a function that tells whether a text is the config that the Image's manifest points
    to.
    """

    def matches(content: bytes) -> bool:
        if image.docker_image_manifest_media_type not in IMAGE_TYPES:
            return False
        try:
            manifest = strict_json(
                image.docker_image_manifest.encode("utf-8", "replace"), duplicates="last"
            )
        except ContentError:
            return False
        config = manifest.get("config") if isinstance(manifest, dict) else None
        digest = config.get("digest") if isinstance(config, dict) else None
        return isinstance(digest, str) and is_digest(digest) and has_digest(content, digest)

    return matches


def add_signature(
    image: Image | None,
    signature: ImageSignature,
    uid: str,
    now: datetime,
    *,
    check_meta: MetaCheck = check_segment_name,
) -> Image:
    """Append a client's signature to the Image, without the fields that only a verifier may set.

    `image` is the one that the signature's name begins with, or None if it does not exist. Raises
    InvalidObjectError, NotFoundError, or AlreadyExistsError where the name or the same content
    exists (api-22.1, api-22.2).
    """
    name = signature.metadata.name
    _check_signature(signature, check_meta)
    image = _require_image(image, name)
    for other in image.signatures:
        is_duplicate = (other.type, other.content) == (signature.type, signature.content)
        if is_duplicate or other.metadata.name == name:
            raise AlreadyExistsError(resource=_SIGNATURE_RESOURCE, name=name)
    meta = ObjectMeta(
        name=name,
        uid=uid,
        creation_timestamp=now,
        owner_references=signature.metadata.owner_references,
        finalizers=signature.metadata.finalizers,
    )
    added = ImageSignature(metadata=meta, type=signature.type, content=signature.content)
    return image.replace(signatures=[*image.signatures, added])


def _check_signature(signature: ImageSignature, check_meta: MetaCheck) -> None:
    sent = ImageSignature(
        metadata=signature.metadata, type=signature.type, content=signature.content
    )
    name = sent.metadata.name
    if not name and sent.metadata.generate_name:  # as upstream, without a hint at generateName
        errors = [FieldError.required("metadata.name")]
    else:
        errors = validate_signature(sent, check_meta=check_meta)
    if errors:
        raise InvalidObjectError(kind="ImageSignature", name=name, errors=errors)


def remove_signature(image: Image | None, name: str) -> Image:
    """Remove the signature of that name.

    Raises NotFoundError where the Image or signature is missing.
    """
    image = _require_image(image, name)
    remaining = [signature for signature in image.signatures if signature.metadata.name != name]
    if len(remaining) == len(image.signatures):
        raise NotFoundError(resource=_SIGNATURE_RESOURCE, name=name)
    return image.replace(signatures=remaining)


def parse_signed_image_name(name: str) -> str:
    """Return the Image's name in a signature's name.

    Raises BadRequestError for any other form (api-19.1).
    """
    parts = parse_signature_name(name)
    if parts is None:
        raise BadRequestError("ImageSignatures must be accessed with <imageName>@<signatureName>")
    return parts[0]


def _require_image(image: Image | None, name: str) -> Image:
    if image is None:
        raise NotFoundError(resource="images", name=parse_signed_image_name(name))
    return image
