"""Tests of compare_histories: the step from one tag history to another."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from models.resources.stream import TagEvent
from models.store.streams.stream_diff import HistoryStep, compare_histories

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(image, generation=1):
    return TagEvent(
        created=NOW, docker_image_reference=f"x@{image}", image=image, generation=generation
    )


histories = st.lists(st.builds(event, st.sampled_from("abc"), st.integers(1, 2)), max_size=5)


def apply_step(step, stored):
    """Return the rows after a step; `stored` is newest first."""
    if step.forgotten:
        stored = [] if step.forgotten < 0 else stored[step.forgotten :]
    if step.head is not None:
        stored = [step.head, *stored[1:]]
    return [*step.added, *stored]


@given(old=histories, new=histories)
def test_history_step_leads_from_old_history_to_new(old, new):
    assert apply_step(compare_histories(old, new), old) == new


@given(old=histories, new=histories, unloaded=histories)
def test_history_step_keeps_events_that_were_not_loaded(old, new, unloaded):
    if not old:
        unloaded = []
    remaining = apply_step(compare_histories(old, new), [*old, *unloaded])
    assert remaining == ([*new, *unloaded] if new or not old else [])


@given(histories)
def test_equal_histories_give_empty_step(history):
    assert not compare_histories(history, list(history))


def test_new_events_in_front_are_only_added():
    old = [event("b"), event("a")]
    new = [event("d"), event("c"), *old]
    assert compare_histories(old, new) == HistoryStep(added=new[:2])


def test_changed_newest_event_gives_one_update():
    old = [event("b"), event("a")]
    changed = event("b", generation=2)
    assert compare_histories(old, [changed, old[1]]) == HistoryStep(added=[], head=changed)
