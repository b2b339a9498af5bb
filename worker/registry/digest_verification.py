"""The digest of the bytes in our hands is the only one that counts (`registry.md` 2.3)."""

from __future__ import annotations

import asyncio

from models.errors import ContentError, InvalidReferenceError, ProtocolError
from models.images.manifest import canonical_content
from models.oci import compute_digest, media_type_of, require_digest
from worker.registry.registry_types import Answer, Fetched
from worker.registry.transport.error_responses import read_warnings

DIGEST_MISMATCH = "protocol.digest_mismatch"
_LONG = 256 * 1024
_PAGES = frozenset({"text/html", "application/xhtml+xml"})


async def verify_manifest(
    answer: Answer, wanted: str, *, reference: str, scope: str, warnings: tuple[str, ...]
) -> Fetched:
    """The manifest in `answer`, named by its sha256; checked against `wanted` if a digest.

    Raises ContentError `protocol.digest_mismatch`, ProtocolError for a web page.
    """
    kind = answer.headers.get("content-type", "")
    if media_type_of(kind) in _PAGES:
        raise ProtocolError(
            "error unmarshalling content: invalid character '<' looking for beginning of value: "
            "the registry answered with a web page",
            code="protocol.unexpected_type",
            reference=reference,
        )
    content = answer.content
    try:
        if len(content) < _LONG:
            payload = canonical_content(content)
        else:
            payload = await asyncio.to_thread(canonical_content, content)
    except ContentError as error:
        raise error.about(reference) from error
    digest = compute_digest(payload)
    if ":" in wanted:
        got = _same_algorithm(payload, digest, wanted)
        if got != wanted:
            raise _mismatch("manifest", wanted, got, reference)
    told = read_warnings(answer) + _compare(answer, payload, digest)
    return Fetched(content, digest, kind, scope, warnings + told)


def verify_blob(
    answer: Answer,
    wanted: str,
    *,
    reference: str,
    declared: int | None,
    scope: str,
    warnings: tuple[str, ...],
) -> Fetched:
    """The blob in `answer`. Raises ContentError `protocol.digest_mismatch`."""
    got = compute_digest(answer.content, wanted.partition(":")[0])
    if got != wanted:
        raise _mismatch("blob", wanted, got, reference)
    told = read_warnings(answer)
    if declared is not None and declared != len(answer.content):
        told = (*told, f"size: {wanted} has {len(answer.content)} bytes, not {declared}")
    kind = answer.headers.get("content-type", "")
    return Fetched(answer.content, got, kind, scope, warnings + told)


def _mismatch(what: str, wanted: str, got: str, reference: str) -> ContentError:
    return ContentError(
        f"content integrity error: the {what} retrieved with digest {wanted} does not match "
        f"the digest calculated from the content {got}",
        code=DIGEST_MISMATCH,
        reference=reference,
    )


def _same_algorithm(payload: bytes, digest: str, other: str) -> str:
    algorithm = other.partition(":")[0]
    return digest if algorithm == "sha256" else compute_digest(payload, algorithm)


def _compare(answer: Answer, payload: bytes, digest: str) -> tuple[str, ...]:
    """A warning where the header claims another digest; too many registries get it wrong."""
    claimed = claimed_digest(answer)
    if claimed is None or claimed == _same_algorithm(payload, digest, claimed):
        return ()
    return (f"header_digest_mismatch: the registry said {claimed}, the content is {digest}",)


def claimed_digest(answer: Answer) -> str | None:
    """The header's digest: one value, well formed, of an algorithm that we know; else None."""
    values = {value.strip() for value in answer.headers.get_list("docker-content-digest")}
    if len(values) != 1:
        return None
    digest = values.pop()
    try:
        require_digest(digest)
    except InvalidReferenceError:
        return None
    return digest
