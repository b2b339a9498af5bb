"""Bodies are read up to a cap, which also applies to unrequested compression."""

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ContentError, ProtocolError
from worker.registry.transport.response_body import read_body, read_prefix

CAP = 4096


async def chunks_of(content, size=1000):
    for at in range(0, len(content), size):
        yield content[at : at + size]


def gzip_bytes(content):
    """Compress without a timestamp: the bytes become part of test ids."""
    return gzip.compress(content, mtime=0)


def read(content, *, declared="", coding="", cap=CAP, size=1000):
    work = read_body(chunks_of(content, size), declared=declared, coding=coding, max_bytes=cap)
    return asyncio.run(work)


def read_start(content, *, coding="", cap=CAP):
    return asyncio.run(read_prefix(chunks_of(content), coding=coding, max_bytes=cap))


@given(st.binary(max_size=CAP), st.integers(1, 500))
def test_body_decoding_round_trips_content(content, size):
    assert read(content, size=size) == content
    assert read(gzip_bytes(content), coding="gzip", cap=3 * CAP, size=size) == content
    assert read(zlib.compress(content), coding="Deflate ", cap=3 * CAP, size=size) == content


@pytest.mark.parametrize("coding", ["", "identity"])
def test_body_past_cap_is_refused_while_streaming(coding):
    chunks_read = []

    async def endless():
        while True:
            chunks_read.append(1)
            yield b"x" * 1000

    with pytest.raises(ContentError) as caught:
        asyncio.run(read_body(endless(), declared="", coding=coding, max_bytes=CAP))
    assert caught.value.code == "content.too_large"
    assert len(chunks_read) == 5


@pytest.mark.parametrize("declared", ["4097", "1000000000000", "9" * 40])
def test_body_with_excessive_content_length_is_not_read(declared):
    async def untouched():
        raise AssertionError
        yield b""

    with pytest.raises(ContentError) as caught:
        asyncio.run(read_body(untouched(), declared=declared, coding="", max_bytes=CAP))
    assert caught.value.code == "content.too_large"


def test_body_of_exactly_cap_size_is_accepted():
    assert len(read(b"x" * CAP, declared=str(CAP))) == CAP


def test_body_cap_applies_to_decompressed_size():
    with pytest.raises(ContentError) as caught:
        read(gzip_bytes(bytes(10 * CAP)), coding="gzip")
    assert caught.value.code == "content.too_large"


def test_gzip_bomb_is_stopped_before_end():
    bomb = gzip_bytes(bytes(50 * 1024 * 1024))
    with pytest.raises(ContentError) as caught:
        read(bomb, coding="gzip", cap=100 * 1024 * 1024, size=1 << 16)
    assert caught.value.code == "content.too_large"


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (b"x", "br"),
        (b"x", "zstd"),
        (gzip_bytes(gzip_bytes(b"x")), "gzip, gzip"),
        (b"no gzip at all", "gzip"),
        (gzip_bytes(b"x")[:-4], "gzip"),
        (gzip_bytes(b"x") + gzip_bytes(b"y"), "gzip"),
        (gzip_bytes(b"x") + b"tail", "gzip"),
    ],
)
def test_unsupported_or_damaged_coding_is_refused(content, coding):
    with pytest.raises(ProtocolError) as caught:
        read(content, coding=coding)
    assert caught.value.code == "protocol.encoding"


@pytest.mark.parametrize("coding", ["", "gzip", "br"])
def test_error_body_is_read_up_to_cap(coding):
    content = b'{"errors":[]}' + bytes(10 * CAP)
    found = read_start(gzip_bytes(content) if coding == "gzip" else content, coding=coding)
    assert found.startswith(b'{"errors":[]}')
    assert len(found) == CAP


def test_damaged_error_body_yields_readable_prefix():
    assert read_start(b"no gzip at all", coding="gzip") == b""
