"""Annotations of interval and suspension (scheduling-2.1, scheduling-2.2)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidObjectError
from models.resources.stream import ImageStreamTag
from models.streams.schedule.check_interval import (
    INTERVAL_ANNOTATION,
    SUSPEND_ANNOTATION,
    is_suspended,
    parse_bool,
    parse_interval,
    requested_interval,
)
from models.streams.tags.tag_writes import apply_istag_create, apply_istag_put
from models.streams.writes.stream_validation import validate_stream
from tests.unit.streams.import_simulation import REG, spec_tag, stream_of

NO_DURATION = "must be a duration such as 15m, 1h30m, 1d, PT15M, or a number of seconds"


def stream(on_tag=None, *, of=None):
    """Return a stream with annotations, its own and those of its one tag."""
    found = stream_of([spec_tag("t", f"{REG}/a/b:t", annotations=on_tag)])
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
        ("2w", 1209600),
        ("PT15M", 900),
        ("P1DT2H3M4S", 93784),
    ],
)
def test_parse_interval_returns_seconds(text, seconds):
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "banana", "0", "0s", "-5m", "15 m", "1.5h", "m", "30m1h", "1h1h", "٣m", "1e3", "9" * 10],
)
def test_parse_interval_rejects_invalid_duration(text):
    with pytest.raises(ValueError, match=NO_DURATION):
        parse_interval(text)


@pytest.mark.parametrize("text", ["500ms", "1m500ms", "PT0S", "PT1.5H"])
def test_parse_interval_rejects_fraction_of_seconds(text):
    with pytest.raises(ValueError, match=NO_DURATION):
        parse_interval(text)


@given(st.text(max_size=12))
def test_parse_interval_of_any_text_returns_bounded_seconds_or_raises(text):
    with contextlib.suppress(ValueError):
        assert 0 < parse_interval(text) <= 10**9


def test_parse_bool_accepts_only_true_and_false():
    assert parse_bool("true")
    assert not parse_bool("false")
    for text in ("", "yes", "True", "1"):
        with pytest.raises(ValueError, match='must be "true" or "false"'):
            parse_bool(text)


@pytest.mark.parametrize(
    ("on_stream", "on_tag", "interval"),
    [
        ({}, None, None),
        ({INTERVAL_ANNOTATION: "1h"}, None, 3600),
        ({INTERVAL_ANNOTATION: "1h"}, {INTERVAL_ANNOTATION: "5m"}, 300),
        ({INTERVAL_ANNOTATION: "1h"}, {INTERVAL_ANNOTATION: "banana"}, 3600),
        ({INTERVAL_ANNOTATION: "banana"}, {}, None),
    ],
)
def test_interval_annotation_of_tag_overrides_stream(on_stream, on_tag, interval):
    found = stream(on_tag, of=on_stream)
    assert requested_interval(found, found.spec.tags[0]) == interval


@pytest.mark.parametrize(
    ("on_stream", "on_tag", "suspended"),
    [
        ({}, None, False),
        ({SUSPEND_ANNOTATION: "true"}, None, True),
        ({SUSPEND_ANNOTATION: "true"}, {SUSPEND_ANNOTATION: "false"}, False),
        ({}, {SUSPEND_ANNOTATION: "true"}, True),
        ({SUSPEND_ANNOTATION: "true"}, {SUSPEND_ANNOTATION: "perhaps"}, True),
    ],
)
def test_suspend_annotation_of_tag_overrides_stream(on_stream, on_tag, suspended):
    found = stream(on_tag, of=on_stream)
    assert is_suspended(found, found.spec.tags[0]) is suspended


def test_stream_validation_rejects_invalid_schedule_annotations():
    no_bool = 'Invalid value: "no": must be "true" or "false"'
    assert errors(stream({SUSPEND_ANNOTATION: "no"}, of={INTERVAL_ANNOTATION: "banana"})) == [
        f'metadata.annotations[{INTERVAL_ANNOTATION}]: Invalid value: "banana": {NO_DURATION}',
        f"spec.tags[t].annotations[{SUSPEND_ANNOTATION}]: {no_bool}",
    ]
    assert (
        errors(stream({SUSPEND_ANNOTATION: "true", "other": "x"}, of={INTERVAL_ANNOTATION: "1s"}))
        == []
    )


def test_stream_validation_accepts_stored_invalid_annotations():
    old = stream({SUSPEND_ANNOTATION: "no"}, of={INTERVAL_ANNOTATION: "banana"})
    assert (
        errors(
            stream(
                {SUSPEND_ANNOTATION: "no", "a": "b"}, of={INTERVAL_ANNOTATION: "banana", "c": "d"}
            ),
            old,
        )
        == []
    )
    assert errors(stream({}, of={}), old) == []
    [one, two] = errors(
        stream({SUSPEND_ANNOTATION: "nope"}, of={INTERVAL_ANNOTATION: "apple"}), old
    )
    assert ('"apple"' in one, '"nope"' in two) == (True, True)


def istag(annotations, **rest):
    meta = {"name": "is:t", "namespace": "ns", "annotations": annotations}
    source = {"kind": "DockerImage", "name": f"{REG}/a/b:t"}
    body = {"metadata": meta, "tag": {"name": "t", "from": source}, **rest}
    return ImageStreamTag.model_validate(body)


@pytest.mark.parametrize(
    "write",
    [
        lambda body: apply_istag_create(None, body, namespace="ns"),
        lambda body: apply_istag_put(stream(), body, namespace="ns", name="is:t"),
    ],
)
def test_istag_write_rejects_invalid_interval_annotation(write):
    with pytest.raises(InvalidObjectError) as refused:
        write(istag({INTERVAL_ANNOTATION: "banana"}))
    assert [error.field for error in refused.value.errors] == [
        f"metadata.annotations[{INTERVAL_ANNOTATION}]"
    ]


def test_istag_put_accepts_stored_invalid_interval_annotation():
    old = stream({INTERVAL_ANNOTATION: "banana"})
    written = apply_istag_put(
        old, istag({INTERVAL_ANNOTATION: "banana", "a": "b"}), namespace="ns", name="is:t"
    )
    assert written.stream.spec_tag("t").annotations == {INTERVAL_ANNOTATION: "banana", "a": "b"}
