"""What of an Image a client may create and change, and its signatures (`api.md` B4, B5)."""

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
from models.images.fill_metadata import fill_metadata, list_manifests
from models.images.image_builder import LAYER_ORDER
from models.images.image_validation import (
    MetaCheck,
    check_segment_name,
    parse_signature_name,
    validate_image,
    validate_signature,
)
from models.images.manifest import canonical_content
from models.oci import IMAGE_TYPES, SCHEMA1_TYPES, has_digest, strict_json
from models.reference import is_digest
from models.resources.image import Image, ImageSignature
from models.resources.meta import ObjectMeta

BLOB_STORED = "image.openshift.io/manifestBlobStored"
MANAGED = "openshift.io/image.managed"
MANAGED_SIGNATURE = "image.openshift.io/managed-signature"
METADATA_VERSION = "1.0"
_SIGNATURES = "imageSignatures"  # so the original writes it in its refusals (quirk 4)


def prepare_image_create(
    image: Image, *, now: datetime, check_meta: MetaCheck = check_segment_name
) -> Image:
    """The Image as it is stored. InvalidObjectError, or BadRequestError for a metadata object that
    is none.
    """
    image = fill_metadata(tidy_image(image), now=now)
    image = image.replace(docker_image_manifests=list_manifests(image, now=now))
    return _finish(image, check_meta)


def prepare_image_update(
    old: Image, new: Image, *, now: datetime, check_meta: MetaCheck = check_segment_name
) -> Image:
    """The Image that an update comes to.

    What follows from the digest stays as it is stored. A manifest or config text is taken only
    where it hashes to what the Image is named after; any other silently stays (quirk 16).
    """
    new = _keep_facts(old, new)
    new = _choose_text(old, new, "docker_image_manifest", _is_manifest_of(old))
    new = _choose_text(old, new, "docker_image_config", _is_config_of(new))
    return _finish(fill_metadata(new, now=now), check_meta)


def tidy_image(image: Image) -> Image:
    """The Image as a client's words are read: no namespace, metadata in its known shape."""
    version = image.docker_image_metadata_version or METADATA_VERSION
    if version != METADATA_VERSION:
        raise _unreadable(
            f'no kind "DockerImage" is registered for version "image.openshift.io/{version}"'
        )
    try:
        metadata = read_metadata(image.docker_image_metadata)
    except ContentError as error:
        raise _unreadable(error.text) from error
    return image.replace(
        metadata=image.metadata.replace(namespace=""),
        docker_image_metadata=metadata,
        docker_image_metadata_version=METADATA_VERSION,
    )


def _unreadable(text: str) -> BadRequestError:
    return BadRequestError(f'Image in version "v1" cannot be handled as a Image: {text}')


def _finish(image: Image, check_meta: MetaCheck) -> Image:
    if image.metadata.annotations.get(BLOB_STORED) == "true":
        image = image.without_content()
    signatures = [_without_managed(signature) for signature in image.signatures]
    image = image.replace(signatures=signatures)
    errors = validate_image(image, check_meta=check_meta)
    if errors:
        raise InvalidObjectError(kind="Image", name=image.name, errors=errors)
    return image


def _without_managed(signature: ImageSignature) -> ImageSignature:
    meta = signature.metadata
    if MANAGED_SIGNATURE not in meta.annotations:
        return signature
    kept = {key: value for key, value in meta.annotations.items() if key != MANAGED_SIGNATURE}
    return signature.replace(metadata=meta.replace(annotations=kept))


def _keep_facts(old: Image, new: Image) -> Image:
    """The layers and their order mark are one: without it they would be turned round."""
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


def _choose_text(old: Image, new: Image, field: str, fits: Callable[[bytes], bool]) -> Image:
    sent, stored = getattr(new, field), getattr(old, field)
    if sent in {stored, ""} or fits(sent.encode("utf-8", "replace")):
        return new
    return new.replace(**{field: stored})


def _is_manifest_of(image: Image) -> Callable[[bytes], bool]:
    """Whether a text is the manifest that the Image is named after."""

    def fits(content: bytes) -> bool:
        media_type = image.docker_image_manifest_media_type
        if not is_digest(image.name) or media_type not in IMAGE_TYPES | SCHEMA1_TYPES:
            return False
        try:
            payload = canonical_content(content) if media_type in SCHEMA1_TYPES else content
        except ContentError:
            return False
        return has_digest(payload, image.name)

    return fits


def _is_config_of(image: Image) -> Callable[[bytes], bool]:
    """Whether a text is the config that the Image's manifest points at."""

    def fits(content: bytes) -> bool:
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

    return fits


def add_signature(
    image: Image | None,
    signature: ImageSignature,
    uid: str,
    now: datetime,
    *,
    check_meta: MetaCheck = check_segment_name,
) -> Image:
    """The Image with a client's signature as its last one, rid of what only a verifier may say.

    `image` is the one that the signature's name begins with, None if there is none. Raises
    InvalidObjectError, NotFoundError, or AlreadyExistsError where the name or the very content is
    taken.
    """
    name = signature.metadata.name
    _check_signature(signature, check_meta)
    image = _require(image, name)
    for other in image.signatures:
        same = (other.type, other.content) == (signature.type, signature.content)
        if same or other.metadata.name == name:
            raise AlreadyExistsError(resource=_SIGNATURES, name=name)
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
    if not name and sent.metadata.generate_name:  # quirk 12
        errors = [FieldError.required("metadata.name")]
    else:
        errors = validate_signature(sent, check_meta=check_meta)
    if errors:
        raise InvalidObjectError(kind="ImageSignature", name=name, errors=errors)


def remove_signature(image: Image | None, name: str) -> Image:
    """The Image without the signature of that name. NotFoundError where either is missing."""
    image = _require(image, name)
    kept = [signature for signature in image.signatures if signature.metadata.name != name]
    if len(kept) == len(image.signatures):
        raise NotFoundError(resource=_SIGNATURES, name=name)
    return image.replace(signatures=kept)


def signed_image(name: str) -> str:
    """The Image's name in a signature's. BadRequestError for any other form (`api.md` B2.1)."""
    parts = parse_signature_name(name)
    if parts is None:
        raise BadRequestError("ImageSignatures must be accessed with <imageName>@<signatureName>")
    return parts[0]


def _require(image: Image | None, name: str) -> Image:
    if image is None:
        raise NotFoundError(resource="images", name=signed_image(name))
    return image
