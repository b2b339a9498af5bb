"""Events: stored once and then counted, bounded in number, and part of the change log."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from models.store.access.namespace_store import delete_namespace, ensure_namespace
from models.store.changes.change_events import load_change_events
from models.store.changes.change_log import Verb
from models.store.database.session import transaction
from models.store.events.event_store import (
    MAX_EVENT_MESSAGE_LENGTH,
    ObjectEvent,
    count_events,
    delete_event,
    has_stale_events,
    list_events,
    load_event,
    prune_events,
    record_object_event,
    record_object_events,
)
from scheduler.reaper import prune_old_events

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def record_event(engine, *, now=NOON, namespace="ns", name="is", **fields):
    defaults = {"kind": "ImageStream", "uid": "u-1", "type": "Normal", "reason": "TagUpdated"}
    with transaction(engine) as session:
        record_object_event(
            session,
            namespace=namespace,
            name=name,
            now=now,
            **{**defaults, "message": "tag t updated", **fields},
        )


def read_events(engine, namespace=None, **page):
    with transaction(engine, write=False) as session:
        return list_events(session, namespace=namespace, limit=page.pop("limit", 100), **page)


def read_event_changes(engine):
    with transaction(engine, write=False) as session:
        return [
            each for each in load_change_events(session, after=0, limit=100) if each.kind == "Event"
        ]


def test_event_has_wire_format_of_kubernetes(engine):
    record_event(engine)
    [event] = read_events(engine)
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
        "reason": "TagUpdated",
        "message": "tag t updated",
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


def test_repeated_event_within_one_hour_is_counted(engine):
    for delay in (timedelta(), MINUTE, 50 * MINUTE, 109 * MINUTE):
        record_event(engine, now=NOON + delay)
    [event] = read_events(engine)
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        4,
        "2026-01-02T12:00:00Z",
        "2026-01-02T13:49:00Z",
    )
    verbs = [each.verb for each in read_event_changes(engine)]
    assert verbs == [Verb.ADDED, Verb.MODIFIED, Verb.MODIFIED, Verb.MODIFIED]
    versions = [each.object["metadata"]["resourceVersion"] for each in read_event_changes(engine)]
    assert versions == [str(each.version) for each in read_event_changes(engine)]


def test_concurrent_equal_events_are_counted(engine):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(record_event, engine) for _ in range(8)]:
            done.result()
    assert [event["count"] for event in read_events(engine)] == [8]


@pytest.mark.parametrize(
    "other",
    [
        {"now": NOON + HOUR},
        {"message": "tag u updated"},
        {"type": "Warning"},
        {"reason": "ImportFailed"},
        {"uid": "u-2"},
        {"name": "other"},
        {"namespace": "elsewhere"},
        {"kind": "Image"},
    ],
)
def test_event_that_differs_is_stored_separately(engine, other):
    record_event(engine)
    record_event(engine, **other)
    assert [event["count"] for event in read_events(engine)] == [1, 1]


def test_record_object_events_stores_and_counts_many(engine):
    record_event(engine)
    events = [
        ObjectEvent("ns", "ImageStream", "is", "u-1", "Normal", "TagUpdated", f"tag {tag} updated")
        for tag in ("t", "u", "v", "v")
    ]
    with transaction(engine) as session:
        record_object_events(session, events, now=NOON + MINUTE)
    assert {event["message"]: event["count"] for event in read_events(engine)} == {
        "tag t updated": 2,
        "tag u updated": 1,
        "tag v updated": 2,
    }
    assert len({event["metadata"]["resourceVersion"] for event in read_events(engine)}) == 3
    with transaction(engine) as session:
        record_object_events(session, [], now=NOON)
    assert len(read_event_changes(engine)) == 4


def test_event_message_and_name_are_truncated_and_sanitized(engine):
    record_event(engine, message="x\x00y" + "z" * 5000, name="n" * 253)
    [event] = read_events(engine)
    assert event["message"].startswith("x\ufffdyz")
    assert len(event["message"]) == MAX_EVENT_MESSAGE_LENGTH
    assert len(event["metadata"]["name"]) <= 253


def test_list_events_pages_in_order_of_names(engine):
    for name in "abc":
        record_event(engine, name=name)
    record_event(engine, namespace="other", name="d")
    first = read_events(engine, "ns", limit=2)
    last = (first[-1]["metadata"]["namespace"], first[-1]["metadata"]["name"])
    rest = read_events(engine, "ns", after=last)
    assert [each["involvedObject"]["name"] for each in (*first, *rest)] == ["a", "b", "c"]
    with transaction(engine, write=False) as session:
        assert (count_events(session, "ns"), count_events(session)) == (3, 4)
        assert count_events(session, "ns", after=last) == 1


def test_delete_event_removes_one_event(engine):
    record_event(engine)
    [event] = read_events(engine)
    with transaction(engine) as session:
        assert delete_event(session, "ns", event["metadata"]["name"], now=NOON) == 1
        assert delete_event(session, "ns", event["metadata"]["name"], now=NOON) == 0
    assert read_events(engine) == []
    assert read_event_changes(engine)[-1].before == event


def test_prune_events_removes_old_and_surplus_events(engine):
    record_event(engine, now=NOON - 25 * HOUR, name="old")
    for minute in range(5):
        record_event(engine, now=NOON + minute * MINUTE, name=f"n{minute}")
    record_event(engine, namespace="quiet")
    with transaction(engine, write=False) as session:
        assert has_stale_events(session, now=NOON, max_events=3)
        assert not has_stale_events(session, now=NOON - 2 * HOUR)
    with transaction(engine) as session:
        assert prune_events(session, now=NOON, max_events=3) == 1
        assert prune_events(session, now=NOON, max_events=3) == 2
        assert prune_events(session, now=NOON, max_events=3) == 0
    names = [event["involvedObject"]["name"] for event in read_events(engine)]
    assert names == ["n2", "n3", "n4", "is"]
    assert [each.verb for each in read_event_changes(engine)][-3:] == [Verb.DELETED] * 3


def test_reaper_prunes_old_events(engine):
    record_event(engine, now=NOON - 25 * HOUR)
    record_event(engine, now=NOON - 23 * HOUR)
    assert prune_old_events(engine, now=NOON) == 1
    assert prune_old_events(engine, now=NOON) == 0
    assert len(read_events(engine)) == 1


def test_delete_namespace_deletes_its_events(engine):
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOON)
    record_event(engine)
    record_event(engine, namespace="other")
    with transaction(engine) as session:
        delete_namespace(session, "ns", now=NOON)
    assert [event["metadata"]["namespace"] for event in read_events(engine)] == ["other"]
