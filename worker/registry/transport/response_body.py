"""Reading of response bodies: bounded, and decoded if compressed without request.

The bound applies to encoded and decoded bytes, and the ratio of both is bounded too, so that a
small compressed body cannot expand without limit (registry-26.1, registry-26.2).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from models.errors import ContentError, ProtocolError

_RATIO_EXEMPT_BYTES = 1024 * 1024
_MAX_COMPRESSION_RATIO = 100
_ZLIB_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def too_large_error() -> ContentError:
    return ContentError("response body too large", code="content.too_large")


async def read_body(
    chunks: AsyncIterator[bytes], *, declared: str, coding: str, max_bytes: int
) -> bytes:
    """Read the whole body, decoded. `declared` is Content-Length, `coding` Content-Encoding.

    Raises ContentError `content.too_large` above `max_bytes`, and ProtocolError
    `protocol.encoding` for any coding other than one gzip or deflate.
    """
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large_error()
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return await _read_plain(chunks, max_bytes)
    if coding not in _ZLIB_WINDOW_BITS:
        raise ProtocolError(
            "the registry used a compression that was not requested",
            code="protocol.encoding",
        )
    return await _read_compressed(chunks, zlib.decompressobj(_ZLIB_WINDOW_BITS[coding]), max_bytes)


async def read_prefix(chunks: AsyncIterator[bytes], *, coding: str, max_bytes: int) -> bytes:
    """Read the first `max_bytes` of a body that only explains an error; the rest is not read."""
    window = _ZLIB_WINDOW_BITS.get(coding.strip().lower())
    decompressor = zlib.decompressobj(window) if window is not None else None
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        try:
            part = (
                decompressor.decompress(chunk, max_bytes - size)
                if decompressor
                else chunk[: max_bytes - size]
            )
        except zlib.error:
            break
        parts.append(part)
        size += len(part)
        if size >= max_bytes or (decompressor is not None and decompressor.eof):
            break
    return b"".join(parts)


async def _read_plain(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise too_large_error()
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _read_compressed(
    chunks: AsyncIterator[bytes], decompressor: zlib._Decompress, max_bytes: int
) -> bytes:
    parts: list[bytes] = []
    compressed_size = size = 0
    async for chunk in chunks:
        compressed_size += len(chunk)
        if compressed_size > max_bytes:
            raise too_large_error()
        pending = chunk
        while pending:
            try:
                part = decompressor.decompress(pending, max_bytes + 1 - size)
            except zlib.error as error:
                raise ProtocolError(
                    "the compressed answer is damaged", code="protocol.encoding"
                ) from error
            size += len(part)
            parts.append(part)
            if size > max_bytes or (
                size > _RATIO_EXEMPT_BYTES and size > _MAX_COMPRESSION_RATIO * compressed_size
            ):
                raise too_large_error()
            pending = decompressor.unconsumed_tail
        if decompressor.eof:
            break
    if not decompressor.eof or decompressor.unused_data:
        raise ProtocolError("the compressed answer is damaged", code="protocol.encoding")
    return b"".join(parts)
