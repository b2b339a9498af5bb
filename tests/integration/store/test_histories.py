"""What a tag meant, now or then, however much happened since."""

from models.store.database.session import transaction
from models.store.streams.tag_histories import event_at, load_history, tags_of_image, trim_histories
from tests.integration.store.things import (
    NOW,
    after,
    digest,
    event,
    images_of,
    loaded,
    stored,
    stream,
    wish,
)

HISTORY = [event(f"e{number}", created=after(number * 60)) for number in range(9, -1, -1)]


def names(events):
    return [each.image for each in events]


def test_a_history_is_read_by_page_newest_first(engine):
    stored(engine, None, stream(status={"1": HISTORY, "2": ["x"]}))
    with transaction(engine, write=False) as session:
        assert load_history(session, "ns", "app", "1", limit=3) == HISTORY[:3]
        assert load_history(session, "ns", "app", "1", limit=3, skip=8) == HISTORY[8:]
        assert load_history(session, "ns", "app", "nope", limit=3) == []


def test_a_history_may_be_read_from_before_a_moment(engine):
    stored(engine, None, stream(status={"1": HISTORY}))
    with transaction(engine, write=False) as session:
        found = load_history(session, "ns", "app", "1", limit=2, before=after(300))
    assert names(found) == [digest("e4"), digest("e3")]


def test_a_moment_finds_the_event_that_held_then(engine):
    stored(engine, None, stream(status={"1": HISTORY, "2": ["x"]}))
    expected = {-1: None, 0: "e0", 59: "e0", 60: "e1", 540: "e9", 10_000: "e9"}
    with transaction(engine, write=False) as session:
        for seconds, word in expected.items():
            found = event_at(session, "ns", "app", "1", after(seconds))
            assert (found and found.image) == (word and digest(word)), seconds
        assert event_at(session, "ns", "app", "nope", NOW) is None


def test_of_two_events_of_one_second_the_newer_one_held(engine):
    stored(engine, None, stream(status={"1": ["second", "first"]}))
    with transaction(engine, write=False) as session:
        assert event_at(session, "ns", "app", "1", NOW).image == digest("second")


def test_an_image_finds_every_tag_that_ever_meant_it(engine):
    stored(engine, None, stream(status={"2": ["b", "a"], "1": ["a", "b", "a"]}))
    stored(engine, None, stream("zoo", namespace="other", status={"1": ["a"]}))
    with transaction(engine, write=False) as session:
        found = tags_of_image(session, digest("a"))
        assert tags_of_image(session, digest("z")) == []
    assert [each[:3] for each in found] == [
        ("ns", "app", "1"),
        ("ns", "app", "1"),
        ("ns", "app", "2"),
        ("other", "zoo", "1"),
    ]
    assert {each[3].image for each in found} == {digest("a")}


def test_a_trimmed_history_keeps_its_newest_events(engine):
    stored(engine, None, stream(status={"1": HISTORY, "2": ["c", "b", "a"], "3": HISTORY}))
    with transaction(engine) as session:
        trim_histories(session, "ns", "app", ["1", "2"], most=4)
    found = loaded(engine)
    assert found.status_tag("1").items == HISTORY[:4]
    assert images_of(found, "2") == [digest(word) for word in "cba"]
    assert found.status_tag("3").items == HISTORY


def test_an_image_that_a_wish_names_outlives_the_trim(engine):
    """B25: an ImageStreamImage that is still followed, from this stream or another."""
    own = wish("x", kind="ImageStreamImage", source=f"app@{digest('e1')}")
    elsewhere = wish("y", kind="ImageStreamImage", source=f"app@{digest('e3')}")
    elsewhere = elsewhere.replace(from_=elsewhere.from_.replace(namespace="ns"))
    other_app = wish("z", kind="ImageStreamImage", source=f"app@{digest('e5')}")
    stored(engine, None, stream(spec=[own], status={"1": HISTORY}))
    stored(engine, None, stream("b", namespace="other", spec=[elsewhere, other_app]))
    with transaction(engine) as session:
        trim_histories(session, "ns", "app", ["1"], most=2)
    assert images_of(loaded(engine), "1") == [digest(f"e{n}") for n in (9, 8, 3, 1)]
