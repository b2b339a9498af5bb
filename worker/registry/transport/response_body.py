"""Reads a body under a cap, undoing compression that nobody asked for (`registry.md` 5.7)."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from models.errors import ContentError, ProtocolError

_FREE = 1024 * 1024
_MOST_RATIO = 100
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def too_large() -> ContentError:
    return ContentError("response body too large", code="content.too_large")


async def read_body(chunks: AsyncIterator[bytes], *, declared: str, coding: str, cap: int) -> bytes:
    """The whole body, decoded. `declared` is Content-Length, `coding` Content-Encoding.

    ContentError `content.too_large` past `cap` bytes, ProtocolError `protocol.encoding` for a
    coding other than one gzip or deflate.
    """
    if declared.isdigit() and int(declared) > cap:
        raise too_large()
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return await _read_plain(chunks, cap)
    if coding not in _WINDOW:
        raise ProtocolError(
            "the registry answered in a compression that was not asked for",
            code="protocol.encoding",
        )
    return await _read_packed(chunks, zlib.decompressobj(_WINDOW[coding]), cap)


async def read_some(chunks: AsyncIterator[bytes], *, coding: str, cap: int) -> bytes:
    """The beginning of a body that only explains a failure; the rest is not read."""
    window = _WINDOW.get(coding.strip().lower())
    unpack = zlib.decompressobj(window) if window is not None else None
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        try:
            part = unpack.decompress(chunk, cap - size) if unpack else chunk[: cap - size]
        except zlib.error:
            break
        parts.append(part)
        size += len(part)
        if size >= cap or (unpack is not None and unpack.eof):
            break
    return b"".join(parts)


async def _read_plain(chunks: AsyncIterator[bytes], cap: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > cap:
            raise too_large()
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _read_packed(chunks: AsyncIterator[bytes], unpack: zlib._Decompress, cap: int) -> bytes:
    parts: list[bytes] = []
    taken = size = 0
    async for chunk in chunks:
        taken += len(chunk)
        if taken > cap:
            raise too_large()
        pending = chunk
        while pending:
            try:
                part = unpack.decompress(pending, cap + 1 - size)
            except zlib.error as error:
                raise ProtocolError(
                    "the compressed answer is damaged", code="protocol.encoding"
                ) from error
            size += len(part)
            parts.append(part)
            if size > cap or (size > _FREE and size > _MOST_RATIO * taken):
                raise too_large()
            pending = unpack.unconsumed_tail
        if unpack.eof:
            break
    if not unpack.eof or unpack.unused_data:
        raise ProtocolError("the compressed answer is damaged", code="protocol.encoding")
    return b"".join(parts)
