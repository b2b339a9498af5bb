"""The watch cache and the bodies of watches; the change log of the database is a list here."""

import asyncio
import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.watch.ring_buffer import RingBuffer
from api.watch.watch_cache import WatchCache, WatchEventPage
from api.watch.watch_encoder import WatchEncoder
from api.watch.watch_event import build_watch_event, selectable_part
from api.watch.watch_stream import WatchRequest, stream_watch
from models.api_errors import ExpiredError
from models.errors import StoreError, StoreUnavailableError
from models.store.changes.change_events import ChangeEvent
from models.store.changes.change_log import Verb

STREAM = WatchEncoder("streams", "ImageStream", "image.openshift.io/v1")
END = {"k8s.io/initial-events-end": "true"}


def wire(name, version, *, namespace="ns", labels=None):
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version)}
    if labels:
        metadata["labels"] = labels
    return {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": metadata,
        "spec": {"lookupPolicy": {"local": False}, "tags": []},
        "status": {"dockerImageRepository": f"registry/{namespace}/{name}"},
    }


def change(
    version, verb="MODIFIED", name="app", *, namespace="ns", labels=None, before="unchanged"
):
    """Return an event; `before` are the labels before it, None for no object."""
    old = labels if before == "unchanged" else before
    change_event = ChangeEvent(
        version=version,
        verb=Verb(verb),
        kind="ImageStream",
        namespace=namespace,
        name=name,
        object=wire(name, version, namespace=namespace, labels=labels),
        before=None
        if verb == "ADDED"
        else wire(name, version - 1, namespace=namespace, labels=old),
    )
    return build_watch_event(change_event, lambda change_event: change_event.object)


def labelled(**wanted):
    return lambda shown: wanted.items() <= shown["metadata"].get("labels", {}).items()


class FakeChangeLog:
    """The change log of the database: all events, or those left after pruning."""

    def __init__(self, *events, page=3):
        self.events = list(events)
        self.floor = 0
        self.page = page
        self.reads = 0
        self.failures = []

    async def read(self, kind, after):
        self.reads += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        newer = [event for event in self.events if event.version > after]
        more = len(newer) > self.page
        newer = newer[: self.page]
        version = newer[-1].version if newer else after
        return WatchEventPage([e for e in newer if e.kind == kind], version, self.floor, more)

    def publish(self, watch_cache, *events):
        self.events.extend(events)
        watch_cache.publish(WatchEventPage(events, events[-1].version))


def start(watch_cache, version=0):
    watch_cache.restart(version)
    watch_cache.publish(WatchEventPage((), version))
    return watch_cache


@pytest.fixture
def change_log():
    return FakeChangeLog()


@pytest.fixture
async def watch_cache(change_log):
    return start(WatchCache(change_log.read))


def deadline(seconds=0.05):
    return asyncio.get_running_loop().time() + seconds


async def received(subscription):
    """Return all events that a subscription has now, as (verb, version)."""
    found = []
    while seen := await subscription.next_events(deadline()):
        found += [(str(each.verb), each.event.version) for each in seen]
    return found


async def nothing_there():
    return [], 0


async def read_watch(watch_cache, request, list_now=nothing_there):
    body = [chunk async for chunk in stream_watch(watch_cache, request, list_now)]
    assert all(chunk.endswith(b"\n") for chunk in body)
    return [json.loads(event) for event in b"".join(body).splitlines()]


def watch_request(**parts):
    return WatchRequest(**{"kind": "ImageStream", "encoder": STREAM, "timeout": 0.05} | parts)


def received_events(events):
    return [
        (
            event["type"],
            event["object"]["metadata"].get("name"),
            int(event["object"]["metadata"].get("resourceVersion", 0)),
        )
        for event in events
    ]


# -- the watch cache --


async def test_subscription_receives_events_after_its_version_in_order(watch_cache, change_log):
    change_log.publish(watch_cache, change(1, "ADDED"), change(2))
    with watch_cache.subscribe("ImageStream", matches=None, after=1) as watcher:
        assert await received(watcher) == [("MODIFIED", 2)]
        change_log.publish(watch_cache, change(3), change(4, "DELETED"))
        assert await received(watcher) == [("MODIFIED", 3), ("DELETED", 4)]
        assert await received(watcher) == []
        assert watcher.version == 4


async def test_watch_cache_wakes_only_matching_subscriptions(watch_cache, change_log):
    async def wakes(**filters):
        matched = []
        with watch_cache.subscribe(
            "ImageStream", matches=lambda _: matched.append(1), after=0, **filters
        ) as w:
            await w.next_events(deadline(0.2))
        return bool(matched)

    watchers = [
        asyncio.create_task(wakes(**filters))
        for filters in (
            {},
            {"namespace": "ns"},
            {"namespace": "other"},
            {"namespace": "ns", "name": "app"},
            {"namespace": "ns", "name": "web"},
            {"name": "app"},
            {"name": "web"},
        )
    ]
    await asyncio.sleep(0.05)
    assert watch_cache.subscription_count == 7
    change_log.publish(watch_cache, change(1, "MODIFIED", "app"))
    assert await asyncio.gather(*watchers) == [True, True, False, True, False, True, False]
    assert watch_cache.subscription_count == 0


async def test_event_of_other_kind_advances_only_bookmark(watch_cache):
    with watch_cache.subscribe("Secret", matches=None, after=0) as watcher:
        assert await watcher.next_events(deadline()) == []
        watch_cache.publish(WatchEventPage([change(7, "ADDED")], 7))
        assert await watcher.next_events(deadline()) == []
        assert watcher.version == 7


@pytest.mark.case("api 109")
async def test_subscription_adds_and_deletes_object_by_changed_labels(watch_cache, change_log):
    with watch_cache.subscribe("ImageStream", matches=labelled(g="x"), after=0) as watcher:
        change_log.publish(
            watch_cache,
            change(1, "ADDED", labels={"g": "y"}),
            change(2, labels={"g": "x"}, before={"g": "y"}),
            change(3, labels={"g": "x"}),
            change(4, labels={}, before={"g": "x"}),
            change(5, labels={}),
            change(6, labels={"g": "x"}, before={}),
            change(7, "DELETED", labels={"g": "x"}),
            change(8, "ADDED", labels={"g": "x"}),
            change(9, labels={"g": "y"}, before={"g": "x"}),
            change(10, "DELETED", labels={"g": "y"}),
        )
        assert await received(watcher) == [
            ("ADDED", 2),
            ("MODIFIED", 3),
            ("DELETED", 4),
            ("ADDED", 6),
            ("DELETED", 7),
            ("ADDED", 8),
            ("DELETED", 9),
        ]


async def test_subscription_waits_for_future_version(watch_cache, change_log):
    with watch_cache.subscribe("ImageStream", matches=None, after=5) as watcher:
        assert await received(watcher) == []
        assert watcher.version == 5
        change_log.publish(watch_cache, *(change(version) for version in range(1, 8)))
        assert await received(watcher) == [("MODIFIED", 6), ("MODIFIED", 7)]


async def test_slow_subscription_reads_on_from_change_log(change_log):
    watch_cache = start(WatchCache(change_log.read, max_events=4))
    with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
        for version in range(1, 21):
            change_log.publish(watch_cache, change(version))
        assert await received(watcher) == [("MODIFIED", version) for version in range(1, 21)]
        assert change_log.reads > 0
        reads = change_log.reads
        change_log.publish(watch_cache, change(21))
        assert await received(watcher) == [("MODIFIED", 21)]
        assert change_log.reads == reads


async def test_idle_subscription_of_busy_kind_reads_no_change_log(change_log):
    """Events of other objects do not count as missed events."""
    watch_cache = start(WatchCache(change_log.read, max_events=4))
    with watch_cache.subscribe(
        "ImageStream", namespace="ns", name="web", matches=None, after=0
    ) as watcher:
        assert await received(watcher) == []
        for version in range(1, 50):
            change_log.publish(watch_cache, change(version, name="app"))
        change_log.publish(watch_cache, change(50, name="web"))
        assert await received(watcher) == [("MODIFIED", 50)]
        assert change_log.reads == 0


async def test_subscription_before_change_log_floor_is_expired(change_log):
    watch_cache = start(WatchCache(change_log.read, max_events=4))
    for version in range(1, 21):
        change_log.publish(watch_cache, change(version))
    change_log.floor = 10
    with watch_cache.subscribe("ImageStream", matches=None, after=9) as watcher:
        with pytest.raises(ExpiredError) as caught:
            await watcher.next_events(deadline())
        assert caught.value.message == "too old resource version: 9 (10)"
    with watch_cache.subscribe("ImageStream", matches=None, after=10) as watcher:
        assert len(await received(watcher)) == 10


async def test_watch_cache_restart_expires_subscriptions(watch_cache):
    with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
        waiting = asyncio.create_task(watcher.next_events(deadline(5)))
        await asyncio.sleep(0.01)
        start(watch_cache, 100)
        with pytest.raises(ExpiredError):
            await waiting


async def test_subscription_retries_unavailable_change_log(change_log):
    watch_cache = start(WatchCache(change_log.read), 2)
    change_log.events = [change(1, "ADDED"), change(2)]
    change_log.failures = [StoreUnavailableError("unavailable")]
    with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
        seen = await watcher.next_events(deadline(5))
        assert [each.event.version for each in seen] == [1, 2]


async def test_watch_cache_without_subscriptions_skips_events(change_log):
    watch_cache = start(WatchCache(change_log.read, idle_seconds=0.05))
    watcher = watch_cache.subscribe("ImageStream", matches=None, after=0)
    assert not watch_cache.skip(5)
    watcher.close()
    assert not watch_cache.skip(5)
    await asyncio.sleep(0.06)
    change_log.events += [change(number) for number in (1, 2, 3)]
    assert watch_cache.skip(3)
    assert watch_cache.version == 3
    assert not watch_cache.skip(2)  # another database
    change_log.publish(watch_cache, change(4))
    with watch_cache.subscribe("ImageStream", matches=None, after=1) as late:
        assert [version for _, version in await received(late)] == [2, 3, 4]
    with watch_cache.subscribe("ImageStream", matches=None, after=3) as current:
        reads = change_log.reads
        assert [version for _, version in await received(current)] == [4]
        assert change_log.reads == reads
    assert not watch_cache.skip(9)  # the idle time starts again


async def test_watch_cache_close_ends_waiting_subscriptions(watch_cache):
    with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
        waiting = asyncio.create_task(watcher.next_events(deadline(60)))
        await asyncio.sleep(0.01)
        watch_cache.close()
        assert await waiting == []
        assert watcher.ended


_NAMES = st.sampled_from(["app", "web"])
_LABELS = st.sampled_from([{}, {"g": "x"}])


@given(
    steps=st.lists(st.tuples(_NAMES, _LABELS, st.booleans()), max_size=40),
    reads=st.sets(st.integers(0, 40)),
    since=st.integers(0, 20),
    max_events=st.integers(1, 8),
    name=st.sampled_from(["", "app"]),
)
def test_subscription_receives_equal_events_at_any_pace(steps, reads, since, max_events, name):
    """Whatever the ring buffer holds and whenever the watch reads, it receives every event."""
    asyncio.run(_check_any_pace(steps, reads, since, max_events, name))


async def _check_any_pace(steps, reads, since, max_events, name):
    change_log = FakeChangeLog()
    watch_cache = start(WatchCache(change_log.read, max_events=max_events))
    state, expected, found = {}, [], []
    matches = labelled(g="x")
    watcher = None
    for version, (object_name, labels, is_deleted) in enumerate(steps, start=1):
        if version > since and watcher is None:
            watcher = watch_cache.subscribe("ImageStream", name=name, matches=matches, after=since)
        old = state.get(object_name)
        verb = "ADDED" if old is None else "DELETED" if is_deleted else "MODIFIED"
        if verb == "DELETED":
            event = change(version, verb, object_name, labels=state.pop(object_name))
        else:
            state[object_name] = labels
            event = change(version, verb, object_name, labels=labels, before=old)
        expected_verb = event.verb_for(matches)
        if version > since and (not name or object_name == name) and expected_verb:
            expected.append((str(expected_verb), version))
        change_log.publish(watch_cache, event)
        if version in reads and watcher is not None:
            seen = await watcher.next_events(0)
            found += [(str(each.verb), each.event.version) for each in seen]
    while watcher is not None and (seen := await watcher.next_events(0)):
        found += [(str(each.verb), each.event.version) for each in seen]
    assert found == expected


def test_ring_buffer_evicts_by_bytes_but_keeps_newest():
    ring = RingBuffer(0, max_events=10, max_bytes=1)
    ring.append(change(1))
    assert (ring.floor, [e.version for e in ring.after(0, limit=9)]) == (0, [1])
    ring.append(change(2))
    assert (ring.floor, [e.version for e in ring.after(1, limit=9)]) == (1, [2])


def test_selectable_part_contains_labels_and_plain_values():
    assert selectable_part(wire("app", 3, labels={"a": "b"})) == {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "app", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {},
        "status": {"dockerImageRepository": "registry/ns/app"},
    }


@pytest.mark.parametrize("error", [StoreError("no key opens this secret"), KeyError("spec")])
def test_watch_event_of_undecryptable_object_has_only_metadata(error):
    def fail_to_decrypt(_change_event):
        raise error

    sealed = {"metadata": {"name": "pull", "resourceVersion": "4"}, "sealed": "…"}
    change_event = ChangeEvent(4, Verb.ADDED, "Secret", "ns", "pull", sealed, None)
    assert json.loads(build_watch_event(change_event, fail_to_decrypt).body) == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "pull", "resourceVersion": "4"},
    }


# -- bodies --


@pytest.mark.case("api 107")
async def test_watch_without_version_begins_with_existing_objects(watch_cache, change_log):
    async def list_now():
        change_log.publish(watch_cache, change(4, name="l0"))  # after the list was read
        return [wire(f"l{n}", n + 1) for n in range(3)], 3

    assert received_events(await read_watch(watch_cache, watch_request(), list_now)) == [
        ("ADDED", "l0", 1),
        ("ADDED", "l1", 2),
        ("ADDED", "l2", 3),
        ("MODIFIED", "l0", 4),
    ]


@pytest.mark.case("api 108")
async def test_watch_from_version_has_only_later_events(watch_cache, change_log):
    change_log.publish(watch_cache, change(1, "ADDED", "l1"))
    change_log.publish(
        watch_cache,
        change(2, name="l1"),
        change(3, "ADDED", "w"),
        change(4, "DELETED", "w", before={}),
    )
    assert received_events(await read_watch(watch_cache, watch_request(start=1))) == [
        ("MODIFIED", "l1", 2),
        ("ADDED", "w", 3),
        ("DELETED", "w", 4),
    ]


async def test_watch_from_now_has_no_old_events(watch_cache, change_log):
    change_log.publish(watch_cache, change(1, "ADDED"))
    assert await read_watch(watch_cache, watch_request(start=None)) == []


async def test_watch_sets_kind_of_listed_items(watch_cache):
    async def list_now():
        return [{"metadata": {"name": "app"}}], 1

    [event] = await read_watch(watch_cache, watch_request(), list_now)
    assert event["object"] == {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "app"},
    }


@pytest.mark.case("api 110")
async def test_watch_stream_ends_after_timeout(watch_cache):
    started = asyncio.get_running_loop().time()
    assert await read_watch(watch_cache, watch_request(start=1, timeout=0.2)) == []
    assert 0.2 <= asyncio.get_running_loop().time() - started < 1
    assert watch_cache.subscription_count == 0


@pytest.mark.case("api 111")
async def test_watch_initial_events_are_followed_by_bookmark(watch_cache):
    async def list_now():
        return [wire("app", 3)], 5

    events = await read_watch(
        watch_cache,
        watch_request(bookmarks=True, initial_events=True, start=2, timeout=0.05),
        list_now,
    )
    assert received_events(events)[:1] == [("ADDED", "app", 3)]
    assert events[1] == {
        "type": "BOOKMARK",
        "object": {
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": {"resourceVersion": "5", "annotations": END},
        },
    }


async def test_watch_initial_events_without_bookmarks_have_no_end_event(watch_cache):
    events = await read_watch(watch_cache, watch_request(initial_events=True))
    assert events == []


async def test_watch_bookmarks_repeat_with_version_of_all_kinds(watch_cache):
    watch_cache.publish(WatchEventPage([change(9, "ADDED")], 9))
    request = watch_request(
        kind="Secret", bookmarks=True, bookmark_interval=0.05, start=1, timeout=0.3
    )
    events = await read_watch(watch_cache, request)
    assert len(events) >= 3
    assert set(received_events(events)) == {("BOOKMARK", None, 9)}
    assert all(event["object"]["metadata"] == {"resourceVersion": "9"} for event in events)


@pytest.mark.case("api 112")
async def test_watch_from_expired_version_ends_with_one_error(change_log):
    watch_cache = start(WatchCache(change_log.read), 50)
    change_log.floor = 50
    assert await read_watch(watch_cache, watch_request(start=7, timeout=5)) == [
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "too old resource version: 7 (50)",
                "reason": "Expired",
                "code": 410,
            },
        }
    ]


async def test_watch_with_failing_list_ends_with_error_event(watch_cache):
    async def list_now():
        raise StoreError("the database refused a statement")

    [event] = await read_watch(watch_cache, watch_request(), list_now)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)


async def test_watch_of_tables_has_columns_only_in_first_event(watch_cache, change_log):
    columns = [{"name": "Name", "type": "string"}]

    def build(objects, metadata, with_columns):
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": columns if with_columns else None,
            "rows": [{"cells": [each["metadata"]["name"]]} for each in objects],
        }

    change_log.publish(watch_cache, change(1, "ADDED"), change(2))
    encoder = WatchEncoder("streams/table", "ImageStream", "image.openshift.io/v1", table=build)
    events = await read_watch(
        watch_cache, watch_request(start=None, encoder=encoder, bookmarks=True)
    )
    assert [event["type"] for event in events] == ["BOOKMARK"]
    request = watch_request(start=0, encoder=encoder, bookmarks=True)

    async def list_now():
        return [wire("app", 1)], 1

    events = await read_watch(watch_cache, request, list_now)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "BOOKMARK"]
    objects = [event["object"] for event in events]
    assert [each["columnDefinitions"] for each in objects] == [columns, None, None]
    assert [each["rows"] for each in objects] == [[{"cells": ["app"]}]] * 2 + [[]]
    assert [each["metadata"]["resourceVersion"] for each in objects] == ["1", "2", "2"]


async def test_watch_event_is_encoded_once_for_thousand_watches(watch_cache, change_log):
    encoded = []

    def show(shown):
        encoded.append(shown["metadata"]["resourceVersion"])
        return shown

    encoder = WatchEncoder("shown", "ImageStream", "image.openshift.io/v1", show=show)
    first_chunks = []

    async def watch():
        request = watch_request(start=1, encoder=encoder, timeout=60)
        async with contextlib.aclosing(stream_watch(watch_cache, request, nothing_there)) as body:
            first = await anext(body)
            first_chunks.append(first)
            return first, await anext(body)

    watches = [asyncio.create_task(watch()) for _ in range(1000)]
    async with asyncio.timeout(30):
        for version, before in ((2, 0), (3, 1000)):
            while watch_cache.subscription_count < 1000 or len(first_chunks) < before:
                await asyncio.sleep(0)
            change_log.publish(watch_cache, change(version))
        pairs = await asyncio.gather(*watches)
    assert encoded == ["2", "3"]
    assert len({tuple(map(id, pair)) for pair in pairs}) == 1
    assert [json.loads(chunk)["object"]["metadata"]["resourceVersion"] for chunk in pairs[0]] == [
        "2",
        "3",
    ]


async def test_watch_closed_early_leaves_no_subscription(watch_cache, change_log):
    body = stream_watch(watch_cache, watch_request(start=1, timeout=60), nothing_there)
    change_log.publish(watch_cache, change(2))
    await anext(body)
    assert watch_cache.subscription_count == 1
    await body.aclose()
    assert watch_cache.subscription_count == 0


async def test_watch_cancelled_leaves_no_subscription(watch_cache):
    async def watch():
        async for _ in stream_watch(watch_cache, watch_request(start=1, timeout=60), nothing_there):
            pass

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    assert watch_cache.subscription_count == 1
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert watch_cache.subscription_count == 0


async def test_watch_waits_for_start_of_watch_cache(change_log):
    watch_cache = WatchCache(change_log.read)
    watching = asyncio.create_task(read_watch(watch_cache, watch_request(start=1, timeout=0.3)))
    await asyncio.sleep(0.02)
    change_log.events = [change(2)]
    watch_cache.restart(1)
    watch_cache.publish(WatchEventPage(change_log.events, 2))
    assert received_events(await watching) == [("MODIFIED", "app", 2)]


async def test_watch_cache_close_ends_every_watch(watch_cache):
    watching = asyncio.create_task(read_watch(watch_cache, watch_request(start=1, timeout=60)))
    await asyncio.sleep(0.01)
    watch_cache.close()
    assert await watching == []


async def test_open_watch_needs_few_kilobytes(watch_cache):
    """5,000 watches leave enough of 200 MiB for everything else."""

    async def watch():
        async for _ in stream_watch(
            watch_cache, watch_request(start=1, timeout=60, bookmarks=True), nothing_there
        ):
            pass

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        watches = [asyncio.create_task(watch()) for _ in range(1000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert watch_cache.subscription_count == 1000
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    watch_cache.close()
    await asyncio.gather(*watches)
    assert (after - before) / 1000 < 6_000
