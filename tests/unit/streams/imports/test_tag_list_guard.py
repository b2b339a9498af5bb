"""Plausibility of tag lists: incomplete and suddenly short lists (registry-5.10, registry-5.11)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.streams.imports.tag_list_guard import (
    INCOMPLETE,
    SHRINK_CONFIRMATION_DELAY,
    SHRUNK,
    KnownTagList,
    ObservedTagList,
    evaluate_tag_list,
    next_known_list,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def evaluate(tags, known, *, now=NOON, interactive=False, reason=""):
    seen = ObservedTagList("quay.io/a/b", "", tags, reason=reason)
    return evaluate_tag_list(seen, known, now=now, interactive=interactive)


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
def test_tag_list_shrunk_by_half_and_ten_is_rejected(before, tags, problem):
    seen = evaluate(tags, KnownTagList(before))
    assert seen.problem == problem
    if problem:
        assert seen.error().code == "content.shrunk_list"
        assert f"from {before} tags to {tags}" in seen.error().text
        assert "import again" in seen.error().text


def test_first_tag_list_is_accepted():
    assert evaluate(0, None).problem == ""


def test_incomplete_tag_list_is_rejected_and_not_stored():
    known = KnownTagList(100)
    for interactive in (False, True):
        seen = evaluate(200, known, reason="page 3 failed", interactive=interactive)
        assert seen.problem == INCOMPLETE
        assert "page 3 failed" in seen.error().text
        assert next_known_list(known, seen, now=NOON) is None


@pytest.mark.parametrize(
    ("tags", "after", "interactive", "problem"),
    [
        (7, SHRINK_CONFIRMATION_DELAY, False, ""),
        (7, SHRINK_CONFIRMATION_DELAY - SECOND, False, SHRUNK),
        (6, SHRINK_CONFIRMATION_DELAY, False, SHRUNK),
        (7, SECOND, True, ""),
        (6, SECOND, True, ""),
        (80, SECOND, False, ""),
    ],
)
def test_shrunk_tag_list_is_accepted_after_confirmation_delay(tags, after, interactive, problem):
    known = next_known_list(KnownTagList(100), evaluate(7, KnownTagList(100)), now=NOON)
    assert known == KnownTagList(100, 7, NOON)
    assert evaluate(tags, known, now=NOON + after, interactive=interactive).problem == problem


def test_confirmation_delay_of_shrunk_list_starts_at_first_observation():
    known = KnownTagList(100, 7, NOON)
    assert next_known_list(known, evaluate(7, known, now=NOON + SECOND), now=NOON + SECOND) is None
    other = evaluate(6, known, now=NOON + SECOND)
    assert next_known_list(known, other, now=NOON + SECOND) == KnownTagList(100, 6, NOON + SECOND)


def test_restored_tag_list_clears_shrink_observation():
    known = KnownTagList(100, 7, NOON)
    assert next_known_list(known, evaluate(100, known), now=NOON) == KnownTagList(100)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_next_known_list_of_unchanged_list_is_none(before, tags):
    known = next_known_list(KnownTagList(before), evaluate(tags, KnownTagList(before)), now=NOON)
    settled = known or KnownTagList(before)
    assert next_known_list(settled, evaluate(tags, settled), now=NOON) is None
