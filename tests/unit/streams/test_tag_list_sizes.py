"""Which lists of tags are believed: not those that are cut off, nor suddenly short ones."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.streams.imports.tag_list_guard import (
    INCOMPLETE,
    LOOK_AGAIN,
    SHRUNK,
    KnownList,
    SeenList,
    next_known,
    weigh_list,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def weigh(tags, known, *, now=NOON, by_person=False, reason=""):
    seen = SeenList("quay.io/a/b", "", tags, reason=reason)
    return weigh_list(seen, known, now=now, by_person=by_person)


@pytest.mark.parametrize(
    ("before", "tags", "problem"),
    [
        (100, 49, SHRUNK),
        (100, 50, ""),
        (100, 0, SHRUNK),
        (19, 9, SHRUNK),
        (18, 9, ""),
        (10, 0, SHRUNK),
        (9, 0, ""),
        (100, 1000, ""),
        (0, 0, ""),
    ],
)
def test_more_than_half_and_ten_at_least_is_sudden(before, tags, problem):
    seen = weigh(tags, KnownList(before))
    assert seen.problem == problem
    if problem:
        assert seen.error().code == "content.shrunk_list"
        assert f"from {before} tags to {tags}" in seen.error().text
        assert "import again" in seen.error().text


def test_the_first_list_is_believed():
    assert weigh(0, None).problem == ""


def test_a_list_that_breaks_off_is_never_believed_nor_remembered():
    known = KnownList(100)
    for by_person in (False, True):
        seen = weigh(200, known, reason="page 3 failed", by_person=by_person)
        assert seen.problem == INCOMPLETE
        assert "page 3 failed" in seen.error().text
        assert next_known(known, seen, now=NOON) is None


@pytest.mark.parametrize(
    ("tags", "after", "by_person", "problem"),
    [
        (7, LOOK_AGAIN, False, ""),
        (7, LOOK_AGAIN - SECOND, False, SHRUNK),
        (6, LOOK_AGAIN, False, SHRUNK),
        (7, SECOND, True, ""),
        (6, SECOND, True, ""),
        (80, SECOND, False, ""),
    ],
)
def test_the_second_look_decides(tags, after, by_person, problem):
    known = next_known(KnownList(100), weigh(7, KnownList(100)), now=NOON)
    assert known == KnownList(100, 7, NOON)
    assert weigh(tags, known, now=NOON + after, by_person=by_person).problem == problem


def test_looks_at_the_same_short_list_count_from_the_first():
    known = KnownList(100, 7, NOON)
    assert next_known(known, weigh(7, known, now=NOON + SECOND), now=NOON + SECOND) is None
    other = weigh(6, known, now=NOON + SECOND)
    assert next_known(known, other, now=NOON + SECOND) == KnownList(100, 6, NOON + SECOND)


def test_a_list_that_came_back_ends_the_doubt():
    known = KnownList(100, 7, NOON)
    assert next_known(known, weigh(100, known), now=NOON) == KnownList(100)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_list_that_is_as_it_was_is_no_news(before, tags):
    known = next_known(KnownList(before), weigh(tags, KnownList(before)), now=NOON)
    settled = known or KnownList(before)
    assert next_known(settled, weigh(tags, settled), now=NOON) is None
