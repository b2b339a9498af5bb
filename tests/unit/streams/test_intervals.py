"""What annotations ask of the schedule, and which nonsense is refused when it is written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidObjectError
from models.resources.stream import ImageStreamTag
from models.streams.schedule.check_interval import (
    INTERVAL,
    SUSPEND,
    is_suspended,
    parse_interval,
    parse_switch,
    wished_interval,
)
from models.streams.tags.tag_writes import create_istag, put_istag
from models.streams.writes.stream_validation import validate_stream
from tests.unit.streams.scenes import REG, stream_of, wish

NO_DURATION = "must be a duration such as 15m, 1h30m, 90s, or a number of seconds"


def stream(on_tag=None, *, of=None):
    """A stream with annotations, its own and those of its one tag."""
    found = stream_of([wish("t", f"{REG}/a/b:t", annotations=on_tag)])
    return found.replace(metadata=found.metadata.replace(annotations=of or {}))


def errors(new, old=None):
    return [str(error) for error in validate_stream(new, old=old)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("1h30m", 5400),
        ("90s", 90),
        ("90", 90),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        (" 15m ", 900),
        ("999999d", 10**9),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "banana", "0", "0s", "-5m", "15 m", "1.5h", "m", "30m1h", "1h1h", "٣m", "1e3", "9" * 10],
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match=NO_DURATION):
        parse_interval(text)


@given(st.text(max_size=12))
def test_no_text_does_more_than_be_refused(text):
    with contextlib.suppress(ValueError):
        assert 0 < parse_interval(text) <= 10**9


def test_a_switch_is_on_or_off():
    assert parse_switch("true")
    assert not parse_switch("false")
    for text in ("", "yes", "True", "1"):
        with pytest.raises(ValueError, match='must be "true" or "false"'):
            parse_switch(text)


@pytest.mark.parametrize(
    ("on_stream", "on_tag", "interval"),
    [
        ({}, None, None),
        ({INTERVAL: "1h"}, None, 3600),
        ({INTERVAL: "1h"}, {INTERVAL: "5m"}, 300),
        ({INTERVAL: "1h"}, {INTERVAL: "banana"}, 3600),
        ({INTERVAL: "banana"}, {}, None),
    ],
)
def test_the_tag_has_the_first_word_on_the_interval(on_stream, on_tag, interval):
    found = stream(on_tag, of=on_stream)
    assert wished_interval(found, found.spec.tags[0]) == interval


@pytest.mark.parametrize(
    ("on_stream", "on_tag", "rests"),
    [
        ({}, None, False),
        ({SUSPEND: "true"}, None, True),
        ({SUSPEND: "true"}, {SUSPEND: "false"}, False),
        ({}, {SUSPEND: "true"}, True),
        ({SUSPEND: "true"}, {SUSPEND: "perhaps"}, True),
    ],
)
def test_the_tag_has_the_first_word_on_a_rest(on_stream, on_tag, rests):
    found = stream(on_tag, of=on_stream)
    assert is_suspended(found, found.spec.tags[0]) is rests


def test_nonsense_is_refused_when_it_comes():
    assert errors(stream({SUSPEND: "no"}, of={INTERVAL: "banana"})) == [
        f'metadata.annotations[{INTERVAL}]: Invalid value: "banana": {NO_DURATION}',
        f'spec.tags[t].annotations[{SUSPEND}]: Invalid value: "no": must be "true" or "false"',
    ]
    assert errors(stream({SUSPEND: "true", "other": "x"}, of={INTERVAL: "1s"})) == []


def test_nonsense_that_is_stored_does_not_stand_in_the_way():
    old = stream({SUSPEND: "no"}, of={INTERVAL: "banana"})
    assert errors(stream({SUSPEND: "no", "a": "b"}, of={INTERVAL: "banana", "c": "d"}), old) == []
    assert errors(stream({}, of={}), old) == []
    [one, two] = errors(stream({SUSPEND: "nope"}, of={INTERVAL: "apple"}), old)
    assert ('"apple"' in one, '"nope"' in two) == (True, True)


def istag(annotations, **rest):
    meta = {"name": "is:t", "namespace": "ns", "annotations": annotations}
    source = {"kind": "DockerImage", "name": f"{REG}/a/b:t"}
    body = {"metadata": meta, "tag": {"name": "t", "from": source}, **rest}
    return ImageStreamTag.model_validate(body)


@pytest.mark.parametrize(
    "write",
    [
        lambda body: create_istag(None, body, namespace="ns"),
        lambda body: put_istag(stream(), body, namespace="ns", name="is:t"),
    ],
)
def test_a_tag_that_is_written_by_itself_keeps_to_the_same(write):
    with pytest.raises(InvalidObjectError) as refused:
        write(istag({INTERVAL: "banana"}))
    assert [error.field for error in refused.value.errors] == [f"metadata.annotations[{INTERVAL}]"]


def test_a_tag_that_is_written_by_itself_may_keep_its_nonsense():
    old = stream({INTERVAL: "banana"})
    written = put_istag(old, istag({INTERVAL: "banana", "a": "b"}), namespace="ns", name="is:t")
    assert written.stream.spec_tag("t").annotations == {INTERVAL: "banana", "a": "b"}
