"""OCI and Docker media types, digests and descriptors, and strict JSON.

Media types are those of the OCI image specification 1.1 and of Docker's registry API v2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from models.errors import ContentError, InvalidReferenceError
from models.reference import check_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_LAYER = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGE_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
SCHEMA1_TYPES = frozenset({SCHEMA1_SIGNED, SCHEMA1})
MANIFEST_TYPES = (
    OCI_INDEX,
    OCI_MANIFEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    SCHEMA1_SIGNED,
    SCHEMA1,
)
# HEAD and GET send the same list, because a registry may serve another manifest for another list
# (registry-2.4).
ACCEPT_MANIFESTS = ", ".join(MANIFEST_TYPES)

MAX_DESCRIPTOR_DATA_BYTES = 64 * 1024
MAX_DECLARED_SIZE_BYTES = 2**53 - 1
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
_DIGEST_PATTERN = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")
# Strings, and everything else that is not structure. The quantifiers are possessive: each
# character is read once, so no document makes the pattern backtrack.
_NON_STRUCTURAL = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"?|[^"\[\]{},:]++)++', re.DOTALL)

Duplicates = Literal["reject", "last"]


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform of an image; a part that was not declared is empty."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor of content: media type, digest, declared size in bytes.

    `data` holds the content itself where the descriptor embeds it and it matches digest and size.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    urls: tuple[str, ...] = ()
    data: bytes | None = None


def compute_digest(content: bytes, algorithm: str = "sha256") -> str:
    """Compute the digest of `content`, `sha256:…` by default."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def has_digest(content: bytes, digest: str) -> bool:
    """Return whether `content` hashes to `digest`, by the digest's own algorithm."""
    return compute_digest(content, digest.partition(":")[0]) == digest


def require_digest(digest: str) -> None:
    """Raise InvalidReferenceError for a digest that must not go into a path, key or row
    (registry-1.9).
    """
    check_digest(digest)
    if digest != digest.lower():
        raise InvalidReferenceError("invalid checksum digest format")


def media_type_of(content_type: str) -> str:
    """Return the media type of a Content-Type header: lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def strict_json(
    content: bytes,
    *,
    max_depth: int = 32,
    max_nodes: int = 200_000,
    duplicates: Duplicates = "reject",
) -> Any:
    """Parse JSON strictly as I-JSON (RFC 7493): UTF-8, no NaN, no duplicate keys, bounded depth and
    size.

    Python's own loader accepts UTF-16, NaN and duplicate keys, and fails with a stack overflow on
    deep nesting (registry-25.1, registry-25.2, registry-25.3). `duplicates="last"` is for configs,
    which Go reads that way. Raises ContentError `content.invalid_json`.
    """
    try:
        text = content.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise _invalid("the document is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise _invalid("the document starts with a byte order mark")
    if not text.strip():
        raise _invalid("unexpected end of JSON input")
    _check_json_bounds(text, max_depth=max_depth, max_nodes=max_nodes)
    try:
        return _DECODERS[duplicates].decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(_describe_decode_error(error, text)) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _invalid("a value of the document is out of bounds") from error


def _invalid(text: str) -> ContentError:
    return ContentError(text, code="content.invalid_json")


def _describe_decode_error(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text):
        return "unexpected end of JSON input"
    return f"invalid character {text[error.pos]!r} looking for beginning of value"


def _check_json_bounds(text: str, *, max_depth: int, max_nodes: int) -> None:
    """Check depth and number of values in a linear scan, before the recursive parser runs."""
    structure = _NON_STRUCTURAL.sub("", text)
    depth = 0
    if structure.count("[") + structure.count("{") > max_depth:
        for bracket in structure.replace(",", "").replace(":", ""):
            depth += 1 if bracket in "[{" else -1
            if depth > max_depth:
                raise _invalid(f"the document is nested deeper than {max_depth}")
    if len(structure) - structure.count("]") - structure.count("}") > max_nodes:
        raise _invalid(f"the document has more than {max_nodes} values")


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = _last_duplicate_wins(pairs)
    if len(found) != len(pairs):
        raise _invalid("an object of the document has a duplicate key")
    return found


def _last_duplicate_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    keys = "".join(found)
    if "\x00" in keys or (not keys.isascii() and _has_surrogate(keys)):
        raise _invalid("a key of the document holds characters that cannot be stored")
    return found


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _reject_constant(name: str) -> NoReturn:
    raise _invalid(f"{name} is not a JSON value")


def _bounded_int(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**63:
        raise _invalid("a number of the document is out of bounds")
    return number


def _bounded_float(digits: str) -> float:
    number = float(digits)
    if len(digits) > 64 or number in (float("inf"), float("-inf")):
        raise _invalid("a number of the document is out of bounds")
    return number


_DECODERS = {
    duplicates: json.JSONDecoder(
        object_pairs_hook=hook,
        parse_constant=_reject_constant,
        parse_int=_bounded_int,
        parse_float=_bounded_float,
    )
    for duplicates, hook in (("reject", _reject_duplicate_keys), ("last", _last_duplicate_wins))
}


def storable_text(text: str) -> str:
    """Return text that every database accepts: NUL and lone surrogates become U+FFFD
    (registry-25.4).
    """
    if "\x00" not in text and (text.isascii() or not _has_surrogate(text)):
        return text
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def storable_json(value: Any) -> Any:
    """Apply `storable_text` to every string inside a JSON value."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [storable_json(item) for item in value]
    if isinstance(value, dict):
        return {key: storable_json(item) for key, item in value.items()}
    return value


def parse_descriptor(value: Any, *, where: str) -> Descriptor:
    """Parse a descriptor as the OCI image specification defines it, and check every field.

    Raises ContentError `content.invalid` that names `where`, or `content.ambiguous` for a known key
    in another case, which Go would read and we would not (registry-21.6, registry-22.1).
    """
    reader = _DescriptorReader(where)
    known = ("mediaType", "digest", "size", "urls", "annotations", "data", "platform")
    document = reader.mapping(value)
    reject_case_variants(document, known, where=where)
    media_type = reader.text(document, "mediaType")
    if len(media_type) > 255 or not _MEDIA_TYPE.fullmatch(media_type):
        raise reader.field_error("mediaType", "is not a media type")
    digest = reader.text(document, "digest")
    if len(digest) > 256 or not _DIGEST_PATTERN.fullmatch(digest):
        raise reader.field_error("digest", "is not a digest")
    if digest.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise reader.field_error("digest", "is not a digest")
    size = document.get("size")
    if type(size) is not int or not 0 <= size <= MAX_DECLARED_SIZE_BYTES:
        raise reader.field_error("size", "is not a size in bytes")
    platform = document.get("platform")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        platform=None if platform is None else _parse_platform(platform, where=where),
        annotations=reader.text_map(document, "annotations"),
        artifact_type=reader.text(document, "artifactType", default=""),
        urls=reader.urls(document),
        data=_decode_data(document.get("data"), digest, size),
    )


def _parse_platform(value: Any, *, where: str) -> Platform:
    reader = _DescriptorReader(f"{where}.platform")
    document = reader.mapping(value)
    reject_case_variants(document, ("architecture", "os", "variant"), where=reader.location)

    def read_text(key: str) -> str:
        return storable_text(reader.text(document, key, default=""))

    return Platform(read_text("architecture"), read_text("os"), read_text("variant"))


def _decode_data(value: Any, digest: str, size: int) -> bytes | None:
    """Decode the embedded content of a descriptor; None unless it matches digest and size
    (imports-3.30).
    """
    if not isinstance(value, str) or len(value) > MAX_DESCRIPTOR_DATA_BYTES * 4 // 3 + 4:
        return None
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    known = digest.partition(":")[0] in {"sha256", "sha384", "sha512"}
    if not known or len(content) != size or not has_digest(content, digest):
        return None
    return content


def reject_case_variants(document: dict[str, Any], known: tuple[str, ...], *, where: str) -> None:
    """Raise ContentError for a key such as `Layers`: other readers take it for `layers`."""
    names = {name.lower(): name for name in known}
    for key in document:
        name = names.get(key.lower())
        if name is not None and key != name:
            raise ContentError(
                f"{where}: the key {storable_text(key)!r} may be taken for {name!r}",
                code="content.ambiguous",
            )


@dataclass(frozen=True, slots=True)
class _DescriptorReader:
    location: str

    def field_error(self, key: str, problem: str) -> ContentError:
        return ContentError(f"{self.location}.{key} {problem}", code="content.invalid")

    def mapping(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ContentError(f"{self.location} is not a JSON object", code="content.invalid")
        return value

    def text(self, document: dict[str, Any], key: str, default: str | None = None) -> str:
        value = document.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.field_error(key, "is not a string")
        return value

    def text_map(self, document: dict[str, Any], key: str) -> dict[str, str]:
        value = document.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.field_error(key, "is not a map of strings")
        if sum(len(k) + len(v) for k, v in value.items()) > MAX_DESCRIPTOR_DATA_BYTES:
            raise self.field_error(key, "is too large")
        return {storable_text(k): storable_text(v) for k, v in value.items()}

    def urls(self, document: dict[str, Any]) -> tuple[str, ...]:
        value = document.get("urls")
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > 8:
            raise self.field_error("urls", "is not a list of at most 8 addresses")
        if not all(isinstance(url, str) for url in value):
            raise self.field_error("urls", "is not a list of at most 8 addresses")
        return tuple(storable_text(url) for url in value)
