"""Bodies are read under a cap, and compression that nobody asked for is undone under it too."""

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ContentError, ProtocolError
from worker.registry.transport.response_body import read_body, read_some

CAP = 4096


async def chunks_of(content, size=1000):
    for at in range(0, len(content), size):
        yield content[at : at + size]


def pack(content):
    """The same bytes at every hour: ids of tests are made of them."""
    return gzip.compress(content, mtime=0)


def read(content, *, declared="", coding="", cap=CAP, size=1000):
    work = read_body(chunks_of(content, size), declared=declared, coding=coding, cap=cap)
    return asyncio.run(work)


def some(content, *, coding="", cap=CAP):
    return asyncio.run(read_some(chunks_of(content), coding=coding, cap=cap))


@given(st.binary(max_size=CAP), st.integers(1, 500))
def test_a_body_comes_out_as_it_went_in(content, size):
    assert read(content, size=size) == content
    assert read(pack(content), coding="gzip", cap=3 * CAP, size=size) == content
    assert read(zlib.compress(content), coding="Deflate ", cap=3 * CAP, size=size) == content


@pytest.mark.parametrize("coding", ["", "identity"])
def test_a_body_past_the_cap_is_refused_at_once(coding):
    taken = []

    async def endless():
        while True:
            taken.append(1)
            yield b"x" * 1000

    with pytest.raises(ContentError) as caught:
        asyncio.run(read_body(endless(), declared="", coding=coding, cap=CAP))
    assert caught.value.code == "content.too_large"
    assert len(taken) == 5


@pytest.mark.parametrize("declared", ["4097", "1000000000000", "9" * 40])
def test_a_body_that_is_declared_too_large_is_not_read(declared):
    async def untouched():
        raise AssertionError
        yield b""

    with pytest.raises(ContentError) as caught:
        asyncio.run(read_body(untouched(), declared=declared, coding="", cap=CAP))
    assert caught.value.code == "content.too_large"


def test_a_body_of_just_the_cap_is_taken():
    assert len(read(b"x" * CAP, declared=str(CAP))) == CAP


def test_what_is_packed_counts_unpacked():
    with pytest.raises(ContentError) as caught:
        read(pack(bytes(10 * CAP)), coding="gzip")
    assert caught.value.code == "content.too_large"


def test_a_bomb_is_cut_long_before_its_end():
    bomb = pack(bytes(50 * 1024 * 1024))
    with pytest.raises(ContentError) as caught:
        read(bomb, coding="gzip", cap=100 * 1024 * 1024, size=1 << 16)
    assert caught.value.code == "content.too_large"


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (b"x", "br"),
        (b"x", "zstd"),
        (pack(pack(b"x")), "gzip, gzip"),
        (b"no gzip at all", "gzip"),
        (pack(b"x")[:-4], "gzip"),
        (pack(b"x") + pack(b"y"), "gzip"),
        (pack(b"x") + b"tail", "gzip"),
    ],
)
def test_other_codings_and_damage_are_refused(content, coding):
    with pytest.raises(ProtocolError) as caught:
        read(content, coding=coding)
    assert caught.value.code == "protocol.encoding"


@pytest.mark.parametrize("coding", ["", "gzip", "br"])
def test_of_a_complaint_only_the_beginning_is_read(coding):
    content = b'{"errors":[]}' + bytes(10 * CAP)
    found = some(pack(content) if coding == "gzip" else content, coding=coding)
    assert found.startswith(b'{"errors":[]}')
    assert len(found) == CAP


def test_a_damaged_complaint_is_read_as_far_as_it_goes():
    assert some(b"no gzip at all", coding="gzip") == b""
