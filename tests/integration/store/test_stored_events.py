"""Events: told once, counted after that, bounded, and part of the log of changes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from models.store.access.namespace_store import delete_namespace, ensure_namespace
from models.store.changes.change_log import Verb, load_feed
from models.store.database.session import transaction
from models.store.events.event_store import (
    LONGEST_MESSAGE,
    Happening,
    count_events,
    delete_event,
    has_stale_events,
    list_events,
    load_event,
    prune_events,
    record_event,
    record_events,
)
from scheduler.reaper import prune_told

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def tell(engine, *, now=NOON, namespace="ns", name="is", **fields):
    about = {"kind": "ImageStream", "uid": "u-1", "type": "Normal", "reason": "TagMoved"}
    with transaction(engine) as session:
        record_event(
            session,
            namespace=namespace,
            name=name,
            now=now,
            **{**about, "message": "tag t moved", **fields},
        )


def told(engine, namespace=None, **page):
    with transaction(engine, write=False) as session:
        return list_events(session, namespace=namespace, limit=page.pop("limit", 100), **page)


def feed(engine):
    with transaction(engine, write=False) as session:
        return [each for each in load_feed(session, after=0, limit=100) if each.kind == "Event"]


def test_an_event_is_told_in_the_words_of_kubernetes(engine):
    tell(engine)
    [event] = told(engine)
    name = event["metadata"]["name"]
    assert name.startswith("is.")
    assert event == {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": event["metadata"]["uid"],
            "resourceVersion": event["metadata"]["resourceVersion"],
            "creationTimestamp": "2026-01-02T12:00:00Z",
        },
        "involvedObject": {
            "kind": "ImageStream",
            "namespace": "ns",
            "name": "is",
            "uid": "u-1",
            "apiVersion": "image.openshift.io/v1",
        },
        "reason": "TagMoved",
        "message": "tag t moved",
        "source": {"component": "tagstream"},
        "firstTimestamp": "2026-01-02T12:00:00Z",
        "lastTimestamp": "2026-01-02T12:00:00Z",
        "count": 1,
        "type": "Normal",
        "eventTime": None,
        "reportingComponent": "tagstream",
        "reportingInstance": "",
    }
    with transaction(engine, write=False) as session:
        assert load_event(session, "ns", name).wire() == event
        assert load_event(session, "other", name) is None


def test_what_is_told_again_within_the_hour_is_counted(engine):
    for after in (timedelta(), MINUTE, 50 * MINUTE, 109 * MINUTE):
        tell(engine, now=NOON + after)
    [event] = told(engine)
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        4,
        "2026-01-02T12:00:00Z",
        "2026-01-02T13:49:00Z",
    )
    verbs = [each.verb for each in feed(engine)]
    assert verbs == [Verb.ADDED, Verb.MODIFIED, Verb.MODIFIED, Verb.MODIFIED]
    versions = [each.object["metadata"]["resourceVersion"] for each in feed(engine)]
    assert versions == [str(each.version) for each in feed(engine)]


def test_two_who_tell_the_same_at_once_are_counted(engine):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(tell, engine) for _ in range(8)]:
            done.result()
    assert [event["count"] for event in told(engine)] == [8]


@pytest.mark.parametrize(
    "other",
    [
        {"now": NOON + HOUR},
        {"message": "tag u moved"},
        {"type": "Warning"},
        {"reason": "ImportFailed"},
        {"uid": "u-2"},
        {"name": "other"},
        {"namespace": "elsewhere"},
        {"kind": "Image"},
    ],
)
def test_anything_else_is_told_by_itself(engine, other):
    tell(engine)
    tell(engine, **other)
    assert [event["count"] for event in told(engine)] == [1, 1]


def test_much_is_told_at_once(engine):
    tell(engine)
    happened = [
        Happening("ns", "ImageStream", "is", "u-1", "Normal", "TagMoved", f"tag {tag} moved")
        for tag in ("t", "u", "v", "v")
    ]
    with transaction(engine) as session:
        record_events(session, happened, now=NOON + MINUTE)
    assert {event["message"]: event["count"] for event in told(engine)} == {
        "tag t moved": 2,
        "tag u moved": 1,
        "tag v moved": 2,
    }
    assert len({event["metadata"]["resourceVersion"] for event in told(engine)}) == 3
    with transaction(engine) as session:
        record_events(session, [], now=NOON)
    assert len(feed(engine)) == 4


def test_what_strangers_say_is_bounded_and_storable(engine):
    tell(engine, message="x\x00y" + "z" * 5000, name="n" * 253)
    [event] = told(engine)
    assert event["message"].startswith("x\ufffdyz")
    assert len(event["message"]) == LONGEST_MESSAGE
    assert len(event["metadata"]["name"]) <= 253


def test_pages_are_cut_in_the_order_of_names(engine):
    for name in "abc":
        tell(engine, name=name)
    tell(engine, namespace="other", name="d")
    first = told(engine, "ns", limit=2)
    last = (first[-1]["metadata"]["namespace"], first[-1]["metadata"]["name"])
    rest = told(engine, "ns", after=last)
    assert [each["involvedObject"]["name"] for each in (*first, *rest)] == ["a", "b", "c"]
    with transaction(engine, write=False) as session:
        assert (count_events(session, "ns"), count_events(session)) == (3, 4)
        assert count_events(session, "ns", after=last) == 1


def test_one_event_is_deleted(engine):
    tell(engine)
    [event] = told(engine)
    with transaction(engine) as session:
        assert delete_event(session, "ns", event["metadata"]["name"], now=NOON) == 1
        assert delete_event(session, "ns", event["metadata"]["name"], now=NOON) == 0
    assert told(engine) == []
    assert feed(engine)[-1].before == event


def test_old_events_are_forgotten_and_crowds_are_thinned(engine):
    tell(engine, now=NOON - 25 * HOUR, name="old")
    for minute in range(5):
        tell(engine, now=NOON + minute * MINUTE, name=f"n{minute}")
    tell(engine, namespace="quiet")
    with transaction(engine, write=False) as session:
        assert has_stale_events(session, now=NOON, most=3)
        assert not has_stale_events(session, now=NOON - 2 * HOUR)
    with transaction(engine) as session:
        assert prune_events(session, now=NOON, most=3) == 1
        assert prune_events(session, now=NOON, most=3) == 2
        assert prune_events(session, now=NOON, most=3) == 0
    names = [event["involvedObject"]["name"] for event in told(engine)]
    assert names == ["n2", "n3", "n4", "is"]
    assert [each.verb for each in feed(engine)][-3:] == [Verb.DELETED] * 3


def test_the_sweep_forgets_old_events(engine):
    tell(engine, now=NOON - 25 * HOUR)
    tell(engine, now=NOON - 23 * HOUR)
    assert prune_told(engine, now=NOON) == 1
    assert prune_told(engine, now=NOON) == 0
    assert len(told(engine)) == 1


def test_events_go_with_their_namespace(engine):
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOON)
    tell(engine)
    tell(engine, namespace="other")
    with transaction(engine) as session:
        delete_namespace(session, "ns", now=NOON)
    assert [event["metadata"]["namespace"] for event in told(engine)] == ["other"]
