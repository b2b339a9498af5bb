"""How one history became another is told by the fewest steps that lead there."""

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


def carry_out(step, stored):
    """What the rows are after a step; `stored` newest first."""
    if step.forgotten:
        stored = [] if step.forgotten < 0 else stored[step.forgotten :]
    if step.head is not None:
        stored = [step.head, *stored[1:]]
    return [*step.added, *stored]


@given(old=histories, new=histories)
def test_the_step_leads_from_one_history_to_the_other(old, new):
    assert carry_out(compare_histories(old, new), old) == new


@given(old=histories, new=histories, behind=histories)
def test_what_was_not_loaded_stays_unless_all_is_emptied(old, new, behind):
    if not old:
        behind = []
    left = carry_out(compare_histories(old, new), [*old, *behind])
    assert left == ([*new, *behind] if new or not old else [])


@given(histories)
def test_equal_histories_need_no_step(history):
    assert not compare_histories(history, list(history))


def test_events_in_front_leave_the_rest_alone():
    old = [event("b"), event("a")]
    new = [event("d"), event("c"), *old]
    assert compare_histories(old, new) == HistoryStep(added=new[:2])


def test_a_head_that_changed_in_place_is_one_update():
    old = [event("b"), event("a")]
    changed = event("b", generation=2)
    assert compare_histories(old, [changed, old[1]]) == HistoryStep(added=[], head=changed)
