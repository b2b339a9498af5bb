"""How what is due is spread over what registries can take."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.store.schedule.schedule_claims import Due
from models.streams.schedule.check_schedule import Decision
from scheduler.backpressure import GROWTH, LEAST, LONGEST_WAIT, MOST, TURNOVER, Flow
from scheduler.pacing import AHEAD, TURN, Pace, pack_batches, spread_due

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)


def due(number, *, host="quay.io", key=None, decision="same", reason=""):
    return Due(
        id=number,
        host=host,
        key=key or f"{host}/a/b {number}",
        scheduled=True,
        asked=None,
        fresh=False,
        due=NOW - timedelta(seconds=1),
        checked=None,
        decision=decision,
        reason=reason,
        message="",
    )


def spread(rows, *, rate=0.0, suspended=False, turns=None, claimed=None):
    return spread_due(
        rows,
        now=NOW,
        pace_of=lambda _host: Pace(rate, suspended),
        turns=turns or {},
        claimed=claimed or {},
    )


def test_without_a_rate_everything_goes_out():
    rows = [due(number) for number in range(LEAST)]
    found = spread(rows)
    assert (found.go, found.later, found.turns) == (rows, [], {})


@given(
    rate=st.floats(0.1, 500),
    count=st.integers(0, 300),
    behind=st.floats(-10, 100),
)
def test_no_second_takes_more_than_the_rate(rate, count, behind):
    free = NOW + timedelta(seconds=behind)
    found = spread([due(number) for number in range(count)], rate=rate, turns={"quay.io": free})
    starts = [NOW] * len(found.go) + [put.until for put in found.later]
    horizon = AHEAD.total_seconds()
    assert len(found.go) <= max(0.0, horizon - max(0.0, behind)) * rate + 1.01
    for put in found.later:
        before = sum(1 for start in starts if start <= put.until)
        left = (put.until - max(free, NOW)).total_seconds()
        assert before <= left * rate + 2
    assert [put.row.id for put in found.later] == sorted(put.row.id for put in found.later)


def test_a_row_that_stood_in_line_goes_when_its_place_has_come():
    waited = due(1, decision=Decision.WAITED, reason=TURN)
    found = spread([waited], rate=1.0, turns={"quay.io": NOW + timedelta(hours=1)})
    assert found.go == [waited]


def test_who_follows_the_same_source_needs_one_place_together():
    rows = [due(number, key="quay.io/a/b t") for number in range(300)]
    found = spread(rows, rate=0.1)
    assert len(found.go) == 300
    assert found.turns == {"quay.io": NOW + timedelta(seconds=10)}


def test_a_registry_has_only_so_many_checks_in_hand_at_once():
    rows = [due(number) for number in range(10)]
    found = spread(rows, claimed={"quay.io": LEAST - 3})
    assert (len(found.go), len(found.later)) == (3, 7)
    assert {put.decision for put in found.later} == {Decision.WAITED}
    assert all(put.until > NOW for put in found.later)


def test_one_registrys_backlog_is_nothing_to_another():
    crowd = [due(number) for number in range(1000)]
    other = due(1001, host="docker.io")
    found = spread([*crowd, other], rate=1.0, claimed={"quay.io": LEAST})
    assert other in found.go


def test_a_suspended_registry_is_asked_nothing():
    found = spread([due(1)], suspended=True)
    [put] = found.later
    assert (found.go, put.decision) == ([], Decision.SUSPENDED)
    assert "quay.io" in put.message


@given(
    rows=st.lists(
        st.builds(
            lambda number, host, key: due(number, host=host, key=f"{host}/{key}"),
            st.integers(0, 10_000),
            st.sampled_from(["a.io", "b.io", "c.io"]),
            st.sampled_from("abcdefg"),
        ),
        unique_by=lambda row: row.id,
        max_size=80,
    ),
    most=st.integers(1, 20),
)
def test_batches_hold_each_row_once_and_never_part_who_shares_a_check(rows, most):
    batches = pack_batches(rows, most=most)
    assert sorted(each for batch in batches for each in batch) == sorted(row.id for row in rows)
    where = {each: number for number, batch in enumerate(batches) for each in batch}
    by_key = {}
    for row in rows:
        by_key.setdefault(row.key, set()).add(where[row.id])
    assert all(len(found) == 1 for found in by_key.values())
    assert all(batch for batch in batches)


@pytest.mark.parametrize("count", [1, 199, 200, 201, 1000])
def test_a_batch_is_not_larger_than_it_need_be(count):
    batches = pack_batches([due(number) for number in range(count)], most=200)
    assert max(map(len, batches)) <= 200
    assert len(batches) == -(-count // 200)


def test_a_registry_whose_checks_come_back_gets_more_of_them_and_one_that_hangs_does_not():
    flow = Flow()
    rooms = []
    for _ in range(6):
        flow.fell_short(["good.io", "hung.io"])
        flow.look({"hung.io": flow.room("hung.io")})
        rooms.append(flow.room("good.io"))
    assert rooms[:2] == [GROWTH * LEAST, MOST]
    assert rooms[-1] == MOST
    assert flow.room("hung.io") == LEAST


def test_a_registry_that_begins_to_hang_loses_its_room():
    flow = Flow()
    for _ in range(4):
        flow.fell_short(["a.io"])
        flow.look({})
    for _ in range(5):
        flow.look({"a.io": flow.room("a.io")})
    assert flow.room("a.io") == LEAST


def test_room_that_nobody_asked_for_does_not_grow():
    flow = Flow()
    for _ in range(5):
        flow.look({"a.io": 3})
    assert flow.room("a.io") == LEAST


def test_rows_that_find_no_room_line_up_behind_each_other_over_many_rounds():
    flow = Flow()
    places = [flow.line_up("a.io", NOW) for _ in range(2 * LEAST)]
    assert places == sorted(set(places))
    assert places[0] == NOW + TURNOVER
    assert places[LEAST] - places[0] == pytest.approx(TURNOVER, abs=timedelta(seconds=0.01))
    assert flow.line_up("b.io", NOW) == NOW + TURNOVER
    later = places[-1] + timedelta(seconds=1)
    assert flow.line_up("a.io", later) == later + TURNOVER


def test_nobody_lines_up_for_longer_than_a_minute():
    flow = Flow()
    for _ in range(100 * LEAST):
        last = flow.line_up("a.io", NOW)
    assert last == NOW + LONGEST_WAIT


def test_a_registry_with_more_room_works_its_line_off_faster():
    flow = Flow()
    flow.fell_short(["a.io"])
    flow.look({})
    places = [flow.line_up("a.io", NOW) for _ in range(3)]
    assert places[2] - places[1] == TURNOVER / (GROWTH * LEAST)
