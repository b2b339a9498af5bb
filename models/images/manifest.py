"""Manifest bytes parsed strictly into one typed manifest (registry-21.1, registry-22.1,
registry-24.1).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from models.errors import ContentError
from models.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    SCHEMA1_TYPES,
    Descriptor,
    compute_digest,
    media_type_of,
    parse_descriptor,
    reject_case_variants,
    storable_text,
    strict_json,
)

MAX_MANIFEST_ENTRIES = 1000
MAX_MANIFEST_SIGNATURES = 16
MAX_HISTORY_ENTRY_LENGTH = 256 * 1024
_KNOWN_KEYS = (
    *("schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "artifactType"),
    *("annotations", "fsLayers", "history", "signatures", "name", "tag", "architecture"),
)
_FORBIDDEN_KEYS = {
    "index": ("config", "layers", "fsLayers", "history"),
    "image": ("manifests", "fsLayers", "history"),
    "schema1": ("manifests", "layers", "config"),
}


@dataclass(frozen=True, slots=True)
class ImageDocument:
    """The manifest of one image, Docker schema2 or OCI. `digest` is the sha256 of `content`."""

    media_type: str
    digest: str
    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    created: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """A list of manifests by platform: Docker manifest list or OCI image index."""

    media_type: str
    digest: str
    content: bytes
    manifests: tuple[Descriptor, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema1Layer:
    """A layer and its history entry; both lists are newest first in the manifest."""

    digest: str
    compatibility: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema1Document:
    """A Docker schema1 manifest.

    `content` is all received bytes; `digest` is that of the signed payload.
    """

    media_type: str
    digest: str
    content: bytes
    name: str
    layers: tuple[Schema1Layer, ...]
    warnings: tuple[str, ...] = ()


Manifest = ImageDocument | IndexDocument | Schema1Document


def parse_manifest(
    content: bytes, *, content_type: str, expected: Descriptor | None = None
) -> Manifest:
    """Decide the type of `content` and parse it.

    `expected` is the descriptor that led to it; its media type takes precedence over the
    Content-Type. Raises ContentError `content.invalid_json`, `content.invalid`, `content.ambiguous`
    or `content.mediatype_mismatch`.
    """
    signed = b'"signatures"' in content
    document = _parse_object(content)
    if signed and document.get("schemaVersion") == 1 and "signatures" in document:
        return _parse_schema1(content, schema1_payload(content), SCHEMA1_SIGNED)
    media_type, warnings = _choose_media_type(document, media_type_of(content_type), expected)
    if media_type in SCHEMA1_TYPES:
        if media_type == SCHEMA1_SIGNED:
            raise ContentError("missing signature key", code="content.invalid")
        return _parse_schema1(content, content, SCHEMA1)
    _check_version(document, 2)
    if media_type in INDEX_TYPES:
        return _parse_index(document, content, media_type, warnings)
    return _parse_image(document, content, media_type, warnings)


def digestible_content(content: bytes) -> bytes:
    """Return the bytes that the digest is computed over: the payload of signed schema1, else all
    bytes.
    """
    if b'"signatures"' not in content:
        return content
    document = _parse_object(content)
    if document.get("schemaVersion") == 1 and "signatures" in document:
        return schema1_payload(content)
    return content


def schema1_payload(raw: bytes) -> bytes:
    r"""Return the payload that the signatures of a schema1 manifest cover (registry-24.1).

    Example: `formatLength` 100 and `formatTail` `Cn0` (base64url of "\n}") give the first 100 bytes
    of `raw` followed by "\n}". The cryptographic signature is not verified: its key is
    self-asserted, and registries sign anew on every read. Raises ContentError where signatures
    disagree.
    """
    signatures = _parse_object(raw).get("signatures")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_MANIFEST_SIGNATURES:
        raise ContentError("missing signature key", code="content.invalid")
    bounds = {_signed_payload_bounds(signature, raw) for signature in signatures}
    if len({length for length, _ in bounds}) != 1:
        raise ContentError("conflicting format length", code="content.invalid")
    if len(bounds) != 1:
        raise ContentError("conflicting format tail", code="content.invalid")
    length, tail = bounds.pop()
    return raw[:length] + tail


def _signed_payload_bounds(signature: Any, raw: bytes) -> tuple[int, bytes]:
    if not isinstance(signature, dict) or not isinstance(signature.get("protected"), str):
        raise ContentError("missing formatted length", code="content.invalid")
    header = strict_json(_base64url(signature["protected"]))
    if not isinstance(header, dict):
        raise ContentError("error unmarshalling protected header", code="content.invalid")
    length, tail = header.get("formatLength"), header.get("formatTail")
    if length is None:
        raise ContentError("missing formatted length", code="content.invalid")
    if type(length) is not int or not 0 < length <= len(raw):
        raise ContentError("invalid format length", code="content.invalid")
    if not isinstance(tail, str):
        raise ContentError("missing formatted tail", code="content.invalid")
    decoded = _base64url(tail)
    if len(decoded) > 64:
        raise ContentError("invalid formatted tail", code="content.invalid")
    return length, decoded


def _base64url(text: str) -> bytes:
    body = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", body, re.ASCII):
        raise ContentError("base64 decode error: illegal character", code="content.invalid")
    try:
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError) as error:
        raise ContentError("base64 decode error: wrong length", code="content.invalid") from error


def _parse_object(content: bytes) -> dict[str, Any]:
    document = strict_json(content)
    if not isinstance(document, dict):
        raise ContentError("the manifest is not a JSON object", code="content.invalid")
    return document


def _choose_media_type(
    document: dict[str, Any], header: str, expected: Descriptor | None
) -> tuple[str, tuple[str, ...]]:
    """Return the media type that counts and the warnings about others (registry-21.1,
    registry-21.3).
    """
    body = document.get("mediaType")
    if body is not None and not isinstance(body, str):
        raise ContentError("mediaType is not a string", code="content.invalid")
    warnings: tuple[str, ...] = ()
    if expected is not None and expected.media_type in MANIFEST_TYPES:
        chosen = expected.media_type
        if header in MANIFEST_TYPES and header != chosen:
            warnings = (f"Content-Type {header} where the index says {chosen}",)
    elif header in MANIFEST_TYPES:
        chosen = header
    elif body in MANIFEST_TYPES:
        chosen = body
    else:
        chosen = _detect_media_type(document)
    _check_body_media_type(document, body, chosen)
    return chosen, warnings


def _detect_media_type(document: dict[str, Any]) -> str:
    if document.get("schemaVersion") == 1:
        return SCHEMA1
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document and "layers" in document:
        return OCI_MANIFEST
    raise ContentError("the document is not a manifest of a known type", code="content.invalid")


def _check_body_media_type(document: dict[str, Any], body: str | None, chosen: str) -> None:
    """Refuse a body that declares another type (CVE-2021-41190), with upstream's texts."""
    if chosen in SCHEMA1_TYPES:
        if body is not None and body not in SCHEMA1_TYPES:
            raise ContentError(
                f"mediaType in manifest should be '{chosen}' not '{storable_text(body)}'",
                code="content.mediatype_mismatch",
            )
        return
    if chosen == OCI_INDEX and ("config" in document or "layers" in document):
        raise ContentError("index: expected index but found manifest", code="content.ambiguous")
    if chosen == OCI_MANIFEST and "manifests" in document:
        raise ContentError(
            "ocimanifest: expected manifest but found index", code="content.ambiguous"
        )
    if body == chosen or (body is None and chosen in {OCI_INDEX, OCI_MANIFEST}):
        return
    prefix = {
        DOCKER_LIST: "mediaType in manifest list",
        OCI_INDEX: "if present, mediaType in image index",
        DOCKER_MANIFEST: "mediaType in manifest",
        OCI_MANIFEST: "if present, mediaType in manifest",
    }[chosen]
    raise ContentError(
        f"{prefix} should be '{chosen}' not '{storable_text(body or '')}'",
        code="content.mediatype_mismatch",
    )


def _check_version(document: dict[str, Any], version: int) -> None:
    found = document.get("schemaVersion")
    if type(found) is not int or found != version:
        shown = storable_text(str(found))[:40]
        raise ContentError(
            f"unrecognized container image manifest schema {shown}", code="content.invalid"
        )


def _check_manifest_keys(document: dict[str, Any], manifest_kind: str) -> None:
    reject_case_variants(document, _KNOWN_KEYS, where="the manifest")
    for key in _FORBIDDEN_KEYS[manifest_kind]:
        if key in document:
            raise ContentError(
                f"a manifest of this type must not have {key!r}", code="content.ambiguous"
            )


def _list_field(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise ContentError(f"{key!r} is not a list", code="content.invalid")
    if len(value) > MAX_MANIFEST_ENTRIES:
        raise ContentError(
            f"{key!r} has more than {MAX_MANIFEST_ENTRIES} entries", code="content.invalid"
        )
    return value


def _parse_index(
    document: dict[str, Any], content: bytes, media_type: str, warnings: tuple[str, ...]
) -> IndexDocument:
    _check_manifest_keys(document, "index")
    entries = _list_field(document, "manifests")
    return IndexDocument(
        media_type=media_type,
        digest=compute_digest(content),
        content=content,
        manifests=tuple(
            parse_descriptor(entry, where=f"manifests[{position}]")
            for position, entry in enumerate(entries)
        ),
        warnings=warnings,
    )


def _parse_image(
    document: dict[str, Any], content: bytes, media_type: str, warnings: tuple[str, ...]
) -> ImageDocument:
    _check_manifest_keys(document, "image")
    layers = _list_field(document, "layers")
    subject = document.get("subject")
    artifact_type = document.get("artifactType")
    annotations = document.get("annotations")
    created = annotations.get("org.opencontainers.image.created") if annotations else None
    return ImageDocument(
        media_type=media_type,
        digest=compute_digest(content),
        content=content,
        config=parse_descriptor(document.get("config"), where="config"),
        layers=tuple(
            parse_descriptor(layer, where=f"layers[{position}]")
            for position, layer in enumerate(layers)
        ),
        artifact_type=storable_text(artifact_type) if isinstance(artifact_type, str) else "",
        subject=None if subject is None else parse_descriptor(subject, where="subject"),
        created=created if isinstance(created, str) else "",
        warnings=warnings,
    )


def _parse_schema1(raw: bytes, payload: bytes, media_type: str) -> Schema1Document:
    """Parse the payload only: the bytes behind it in `raw` are covered by no digest
    (registry-24.3).
    """
    document = _parse_object(payload)
    _check_version(document, 1)
    _check_manifest_keys(document, "schema1")
    name = storable_text(str(document.get("name", "")))
    history = document.get("history")
    if not history:
        raise ContentError(
            "image has no v1Compatibility history and cannot be used", code="content.invalid"
        )
    layers, entries = _list_field(document, "fsLayers"), _list_field(document, "history")
    if len(layers) != len(entries):
        raise ContentError(
            f"the image {name} () has mismatched history and fslayer cardinality "
            f"({len(entries)} != {len(layers)})",
            code="content.invalid",
        )
    return Schema1Document(
        media_type=media_type,
        digest=compute_digest(payload),
        content=raw,
        name=name,
        layers=tuple(map(_schema1_layer, layers, entries)),
    )


def _schema1_layer(layer: Any, entry: Any) -> Schema1Layer:
    digest = layer.get("blobSum") if isinstance(layer, dict) else None
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ContentError("fsLayers.blobSum is not a digest", code="content.invalid")
    text = entry.get("v1Compatibility") if isinstance(entry, dict) else None
    if not isinstance(text, str) or len(text) > MAX_HISTORY_ENTRY_LENGTH:
        raise ContentError("history.v1Compatibility is not a string", code="content.invalid")
    encoded = text.encode("utf-8", "replace")
    compatibility = strict_json(encoded, duplicates="last")
    if not isinstance(compatibility, dict):
        raise ContentError("history.v1Compatibility is not a JSON object", code="content.invalid")
    return Schema1Layer(digest, compatibility)


def is_single_image(manifest: Manifest) -> bool:
    """Return whether the manifest is one image, not a list of manifests."""
    return not isinstance(manifest, IndexDocument)


def is_known_image_type(media_type: str) -> bool:
    """Return whether a child of that type can be imported; other children are stored as listed
    only.
    """
    return media_type in IMAGE_TYPES or media_type in INDEX_TYPES or media_type in SCHEMA1_TYPES
