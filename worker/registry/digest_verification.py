"""Digest verification: content is identified by the digest of the received bytes.

What a header claims is never stored (registry-3.1, registry-3.4, registry-3.6).
"""

from __future__ import annotations

import asyncio

from models.errors import ContentError, InvalidReferenceError, ProtocolError
from models.images.manifest import digestible_content
from models.oci import compute_digest, media_type_of, require_digest
from worker.registry.registry_types import RegistryResponse, VerifiedContent
from worker.registry.transport.error_responses import parse_warnings

DIGEST_MISMATCH = "protocol.digest_mismatch"
_HASH_IN_THREAD_BYTES = 256 * 1024
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


async def verify_manifest(
    response: RegistryResponse,
    tag_or_digest: str,
    *,
    reference: str,
    scope: str,
    warnings: tuple[str, ...],
) -> VerifiedContent:
    """Return the manifest of a response, identified by the sha256 of its bytes.

    Where `tag_or_digest` is a digest, the bytes must have it: raises ContentError
    `protocol.digest_mismatch` otherwise (registry-3.2). Raises ProtocolError
    `protocol.unexpected_type` for a web page (registry-3.6). Large manifests are hashed on a
    thread, so that the event loop is not blocked.
    """
    content_type = response.headers.get("content-type", "")
    if media_type_of(content_type) in _HTML_TYPES:
        raise ProtocolError(
            "error unmarshalling content: invalid character '<' looking for beginning of value: "
            "the registry answered with a web page",
            code="protocol.unexpected_type",
            reference=reference,
        )
    content = response.content
    try:
        if len(content) < _HASH_IN_THREAD_BYTES:
            payload = digestible_content(content)
        else:
            payload = await asyncio.to_thread(digestible_content, content)
    except ContentError as error:
        raise error.with_reference(reference) from error
    digest = compute_digest(payload)
    if ":" in tag_or_digest:
        actual_digest = _digest_in_algorithm_of(payload, digest, tag_or_digest)
        if actual_digest != tag_or_digest:
            raise _mismatch_error("manifest", tag_or_digest, actual_digest, reference)
    new_warnings = parse_warnings(response) + _header_digest_warnings(response, payload, digest)
    return VerifiedContent(content, digest, content_type, scope, warnings + new_warnings)


def verify_blob(
    response: RegistryResponse,
    expected_digest: str,
    *,
    reference: str,
    declared_size: int | None,
    scope: str,
    warnings: tuple[str, ...],
) -> VerifiedContent:
    """Return the blob of a response, whose bytes must hash to `expected_digest` (registry-7.1).

    Raises ContentError `protocol.digest_mismatch`. A length other than `declared_size`, in bytes,
    is only a warning.
    """
    actual_digest = compute_digest(response.content, expected_digest.partition(":")[0])
    if actual_digest != expected_digest:
        raise _mismatch_error("blob", expected_digest, actual_digest, reference)
    new_warnings = parse_warnings(response)
    if declared_size is not None and declared_size != len(response.content):
        new_warnings = (
            *new_warnings,
            f"size: {expected_digest} has {len(response.content)} bytes, not {declared_size}",
        )
    content_type = response.headers.get("content-type", "")
    return VerifiedContent(
        response.content, actual_digest, content_type, scope, warnings + new_warnings
    )


def _mismatch_error(
    content_kind: str, expected_digest: str, actual_digest: str, reference: str
) -> ContentError:
    return ContentError(
        f"content integrity error: the {content_kind} retrieved with digest {expected_digest} "
        f"does not match the digest calculated from the content {actual_digest}",
        code=DIGEST_MISMATCH,
        reference=reference,
    )


def _digest_in_algorithm_of(payload: bytes, digest: str, other_digest: str) -> str:
    algorithm = other_digest.partition(":")[0]
    return digest if algorithm == "sha256" else compute_digest(payload, algorithm)


def _header_digest_warnings(
    response: RegistryResponse, payload: bytes, digest: str
) -> tuple[str, ...]:
    """Return a warning where the header claims another digest than the content has.

    It is no error (registry-3.4): too many registries send wrong headers.
    """
    claimed = claimed_digest(response)
    if claimed is None or claimed == _digest_in_algorithm_of(payload, digest, claimed):
        return ()
    return (f"header_digest_mismatch: the registry said {claimed}, the content is {digest}",)


def claimed_digest(response: RegistryResponse) -> str | None:
    """Return the digest of `Docker-Content-Digest`, or None where it is of no use (registry-3.5).

    It is used only if it is one value, well formed, and of an algorithm that we know.
    """
    values = {value.strip() for value in response.headers.get_list("docker-content-digest")}
    if len(values) != 1:
        return None
    digest = values.pop()
    try:
        require_digest(digest)
    except InvalidReferenceError:
        return None
    return digest
