"""Tag histories: pages, the event of a time, the tags of an image, and trimming."""

from models.store.database.session import transaction
from models.store.streams.tag_histories import (
    list_tags_of_image,
    load_event_at,
    load_history,
    trim_histories,
)
from tests.integration.store.sample_objects import (
    NOW,
    after,
    commit_stream,
    digest,
    event,
    images_of,
    read_stream,
    spec_tag,
    stream,
)

HISTORY = [event(f"e{number}", created=after(number * 60)) for number in range(9, -1, -1)]


def digests(events):
    return [each.image for each in events]


def test_load_history_returns_pages_newest_first(engine):
    commit_stream(engine, None, stream(status={"1": HISTORY, "2": ["x"]}))
    with transaction(engine, write=False) as session:
        assert load_history(session, "ns", "app", "1", limit=3) == HISTORY[:3]
        assert load_history(session, "ns", "app", "1", limit=3, skip=8) == HISTORY[8:]
        assert load_history(session, "ns", "app", "nope", limit=3) == []


def test_load_history_before_time_skips_newer_events(engine):
    commit_stream(engine, None, stream(status={"1": HISTORY}))
    with transaction(engine, write=False) as session:
        found = load_history(session, "ns", "app", "1", limit=2, before=after(300))
    assert digests(found) == [digest("e4"), digest("e3")]


def test_load_event_at_returns_event_of_that_time(engine):
    commit_stream(engine, None, stream(status={"1": HISTORY, "2": ["x"]}))
    expected = {-1: None, 0: "e0", 59: "e0", 60: "e1", 540: "e9", 10_000: "e9"}
    with transaction(engine, write=False) as session:
        for seconds, text in expected.items():
            found = load_event_at(session, "ns", "app", "1", after(seconds))
            assert (found and found.image) == (text and digest(text)), seconds
        assert load_event_at(session, "ns", "app", "nope", NOW) is None


def test_load_event_at_prefers_newer_event_of_one_second(engine):
    commit_stream(engine, None, stream(status={"1": ["second", "first"]}))
    with transaction(engine, write=False) as session:
        assert load_event_at(session, "ns", "app", "1", NOW).image == digest("second")


def test_list_tags_of_image_includes_past_events(engine):
    commit_stream(engine, None, stream(status={"2": ["b", "a"], "1": ["a", "b", "a"]}))
    commit_stream(engine, None, stream("zoo", namespace="other", status={"1": ["a"]}))
    with transaction(engine, write=False) as session:
        found = list_tags_of_image(session, digest("a"))
        assert list_tags_of_image(session, digest("z")) == []
    assert [each[:3] for each in found] == [
        ("ns", "app", "1"),
        ("ns", "app", "1"),
        ("ns", "app", "2"),
        ("other", "zoo", "1"),
    ]
    assert {each[3].image for each in found} == {digest("a")}


def test_trim_histories_keeps_newest_events(engine):
    commit_stream(engine, None, stream(status={"1": HISTORY, "2": ["c", "b", "a"], "3": HISTORY}))
    with transaction(engine) as session:
        trim_histories(session, "ns", "app", ["1", "2"], max_events=4)
    found = read_stream(engine)
    assert found.status_tag("1").items == HISTORY[:4]
    assert images_of(found, "2") == [digest(text) for text in "cba"]
    assert found.status_tag("3").items == HISTORY


def test_trim_histories_keeps_events_that_spec_tags_name(engine):
    """An event stays that an ImageStreamImage of this or another stream names (imports-5.15)."""
    own_reference = spec_tag("x", kind="ImageStreamImage", source=f"app@{digest('e1')}")
    foreign_reference = spec_tag("y", kind="ImageStreamImage", source=f"app@{digest('e3')}")
    foreign_reference = foreign_reference.replace(
        from_=foreign_reference.from_.replace(namespace="ns")
    )
    reference_to_other_app = spec_tag("z", kind="ImageStreamImage", source=f"app@{digest('e5')}")
    commit_stream(engine, None, stream(spec=[own_reference], status={"1": HISTORY}))
    commit_stream(
        engine,
        None,
        stream("b", namespace="other", spec=[foreign_reference, reference_to_other_app]),
    )
    with transaction(engine) as session:
        trim_histories(session, "ns", "app", ["1"], max_events=2)
    assert images_of(read_stream(engine), "1") == [digest(f"e{n}") for n in (9, 8, 3, 1)]
