"""The hub and the bodies of watches: values in, lines out; the database's log is a list here."""

import asyncio
import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.watch.ring_buffer import Ring
from api.watch.watch_cache import Hub, Page
from api.watch.watch_encoder import Shape
from api.watch.watch_event import open_event, selectable
from api.watch.watch_stream import WatchRequest, watch_body
from models.api_errors import ExpiredError
from models.errors import StoreAwayError, StoreError
from models.store.changes.change_log import FeedEvent, Verb

STREAM = Shape("streams", "ImageStream", "image.openshift.io/v1")
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


def change(version, verb="MODIFIED", name="app", *, namespace="ns", labels=None, before="same"):
    """An event; `before` are the labels before, None where there was nothing."""
    old = labels if before == "same" else before
    feed = FeedEvent(
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
    return open_event(feed, lambda feed: feed.object)


def labelled(**wanted):
    return lambda shown: wanted.items() <= shown["metadata"].get("labels", {}).items()


class Log:
    """What the database would hold: all events, or those that a prune has left."""

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
        return Page([e for e in newer if e.kind == kind], version, self.floor, more)

    def publish(self, hub, *events):
        self.events.extend(events)
        hub.publish(Page(events, events[-1].version))


def start(hub, version=0):
    hub.restart(version)
    hub.publish(Page((), version))
    return hub


@pytest.fixture
def log():
    return Log()


@pytest.fixture
async def hub(log):
    return start(Hub(log.read))


def soon(seconds=0.05):
    return asyncio.get_running_loop().time() + seconds


async def heard(subscription):
    """All that a subscription has now, as (verb, version)."""
    found = []
    while seen := await subscription.next(soon()):
        found += [(str(each.verb), each.event.version) for each in seen]
    return found


async def nothing_there():
    return [], 0


async def lines_of(hub, request, list_now=nothing_there):
    body = [piece async for piece in watch_body(hub, request, list_now)]
    assert all(piece.endswith(b"\n") for piece in body)
    return [json.loads(line) for line in b"".join(body).splitlines()]


def asked(**parts):
    return WatchRequest(**{"kind": "ImageStream", "shape": STREAM, "timeout": 0.05} | parts)


def told(lines):
    return [
        (
            line["type"],
            line["object"]["metadata"].get("name"),
            int(line["object"]["metadata"].get("resourceVersion", 0)),
        )
        for line in lines
    ]


# -- the hub --


async def test_a_watcher_hears_what_comes_after_its_version_once_and_in_order(hub, log):
    log.publish(hub, change(1, "ADDED"), change(2))
    with hub.subscribe("ImageStream", matches=None, after=1) as watcher:
        assert await heard(watcher) == [("MODIFIED", 2)]
        log.publish(hub, change(3), change(4, "DELETED"))
        assert await heard(watcher) == [("MODIFIED", 3), ("DELETED", 4)]
        assert await heard(watcher) == []
        assert watcher.version == 4


async def test_only_watchers_of_the_place_are_woken(hub, log):
    async def wakes(**place):
        woken = []
        with hub.subscribe("ImageStream", matches=lambda _: woken.append(1), after=0, **place) as w:
            await w.next(soon(0.2))
        return bool(woken)

    watchers = [
        asyncio.create_task(wakes(**place))
        for place in (
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
    assert hub.watchers == 7
    log.publish(hub, change(1, "MODIFIED", "app"))
    assert await asyncio.gather(*watchers) == [True, True, False, True, False, True, False]
    assert hub.watchers == 0


async def test_another_kind_wakes_nobody_but_moves_the_bookmark(hub):
    with hub.subscribe("Secret", matches=None, after=0) as watcher:
        assert await watcher.next(soon()) == []
        hub.publish(Page([change(7, "ADDED")], 7))
        assert await watcher.next(soon()) == []
        assert watcher.version == 7


@pytest.mark.case("api 109")
async def test_an_object_that_changes_its_labels_comes_and_goes(hub, log):
    with hub.subscribe("ImageStream", matches=labelled(g="x"), after=0) as watcher:
        log.publish(
            hub,
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
        assert await heard(watcher) == [
            ("ADDED", 2),
            ("MODIFIED", 3),
            ("DELETED", 4),
            ("ADDED", 6),
            ("DELETED", 7),
            ("ADDED", 8),
            ("DELETED", 9),
        ]


async def test_a_version_of_the_future_is_waited_for(hub, log):
    with hub.subscribe("ImageStream", matches=None, after=5) as watcher:
        assert await heard(watcher) == []
        assert watcher.version == 5
        log.publish(hub, *(change(version) for version in range(1, 8)))
        assert await heard(watcher) == [("MODIFIED", 6), ("MODIFIED", 7)]


async def test_who_is_too_slow_for_the_ring_goes_on_from_the_log(log):
    hub = start(Hub(log.read, most=4))
    with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
        for version in range(1, 21):
            log.publish(hub, change(version))
        assert await heard(watcher) == [("MODIFIED", version) for version in range(1, 21)]
        assert log.reads > 0
        reads = log.reads
        log.publish(hub, change(21))
        assert await heard(watcher) == [("MODIFIED", 21)]
        assert log.reads == reads


async def test_an_idle_watcher_of_a_busy_kind_needs_no_log(log):
    """However much happened to others meanwhile: what it missed was nothing."""
    hub = start(Hub(log.read, most=4))
    with hub.subscribe("ImageStream", namespace="ns", name="web", matches=None, after=0) as watcher:
        assert await heard(watcher) == []
        for version in range(1, 50):
            log.publish(hub, change(version, name="app"))
        log.publish(hub, change(50, name="web"))
        assert await heard(watcher) == [("MODIFIED", 50)]
        assert log.reads == 0


async def test_what_the_log_no_longer_holds_is_expired(log):
    hub = start(Hub(log.read, most=4))
    for version in range(1, 21):
        log.publish(hub, change(version))
    log.floor = 10
    with hub.subscribe("ImageStream", matches=None, after=9) as watcher:
        with pytest.raises(ExpiredError) as caught:
            await watcher.next(soon())
        assert caught.value.message == "too old resource version: 9 (10)"
    with hub.subscribe("ImageStream", matches=None, after=10) as watcher:
        assert len(await heard(watcher)) == 10


async def test_a_follower_that_lost_the_thread_tells_every_watcher(hub):
    with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
        waiting = asyncio.create_task(watcher.next(soon(5)))
        await asyncio.sleep(0.01)
        start(hub, 100)
        with pytest.raises(ExpiredError):
            await waiting


async def test_a_log_that_is_away_is_asked_again(log):
    hub = start(Hub(log.read), 2)
    log.events = [change(1, "ADDED"), change(2)]
    log.failures = [StoreAwayError("away")]
    with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
        seen = await watcher.next(soon(5))
        assert [each.event.version for each in seen] == [1, 2]


async def test_what_nobody_watches_is_skipped_and_read_from_the_log_later(log):
    hub = start(Hub(log.read, quiet=0.05))
    watcher = hub.subscribe("ImageStream", matches=None, after=0)
    assert not hub.skip(5)
    watcher.close()
    assert not hub.skip(5)
    await asyncio.sleep(0.06)
    log.events += [change(number) for number in (1, 2, 3)]
    assert hub.skip(3)
    assert hub.version == 3
    assert not hub.skip(2)  # another database
    log.publish(hub, change(4))
    with hub.subscribe("ImageStream", matches=None, after=1) as late:
        assert [version for _, version in await heard(late)] == [2, 3, 4]
    with hub.subscribe("ImageStream", matches=None, after=3) as current:
        reads = log.reads
        assert [version for _, version in await heard(current)] == [4]
        assert log.reads == reads
    assert not hub.skip(9)  # the quiet begins anew


async def test_closing_ends_every_wait(hub):
    with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
        waiting = asyncio.create_task(watcher.next(soon(60)))
        await asyncio.sleep(0.01)
        hub.close()
        assert await waiting == []
        assert watcher.ended


_NAMES = st.sampled_from(["app", "web"])
_LABELS = st.sampled_from([{}, {"g": "x"}])


@given(
    steps=st.lists(st.tuples(_NAMES, _LABELS, st.booleans()), max_size=40),
    reads=st.sets(st.integers(0, 40)),
    since=st.integers(0, 20),
    most=st.integers(1, 8),
    name=st.sampled_from(["", "app"]),
)
def test_any_pace_hears_the_same(steps, reads, since, most, name):
    """Whatever the ring holds and whenever the watcher looks, it hears what a slow reader would."""
    asyncio.run(_any_pace(steps, reads, since, most, name))


async def _any_pace(steps, reads, since, most, name):
    log = Log()
    hub = start(Hub(log.read, most=most))
    state, expected, found = {}, [], []
    matches = labelled(g="x")
    watcher = None
    for version, (whom, labels, gone) in enumerate(steps, start=1):
        if version > since and watcher is None:
            watcher = hub.subscribe("ImageStream", name=name, matches=matches, after=since)
        old = state.get(whom)
        verb = "ADDED" if old is None else "DELETED" if gone else "MODIFIED"
        if verb == "DELETED":
            event = change(version, verb, whom, labels=state.pop(whom))
        else:
            state[whom] = labels
            event = change(version, verb, whom, labels=labels, before=old)
        verdict = event.seen_by(matches)
        if version > since and (not name or whom == name) and verdict:
            expected.append((str(verdict), version))
        log.publish(hub, event)
        if version in reads and watcher is not None:
            seen = await watcher.next(0)
            found += [(str(each.verb), each.event.version) for each in seen]
    while watcher is not None and (seen := await watcher.next(0)):
        found += [(str(each.verb), each.event.version) for each in seen]
    assert found == expected


def test_a_ring_forgets_by_bytes_but_never_its_newest():
    ring = Ring(0, most=10, most_bytes=1)
    ring.append(change(1))
    assert (ring.floor, [e.version for e in ring.after(0, limit=9)]) == (0, [1])
    ring.append(change(2))
    assert (ring.floor, [e.version for e in ring.after(1, limit=9)]) == (1, [2])


def test_selectors_see_labels_and_plain_values():
    assert selectable(wire("app", 3, labels={"a": "b"})) == {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "app", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {},
        "status": {"dockerImageRepository": "registry/ns/app"},
    }


@pytest.mark.parametrize("error", [StoreError("no key opens this secret"), KeyError("spec")])
def test_an_object_that_cannot_be_opened_is_told_of_by_its_metadata(error):
    def locked(_feed):
        raise error

    sealed = {"metadata": {"name": "pull", "resourceVersion": "4"}, "sealed": "…"}
    feed = FeedEvent(4, Verb.ADDED, "Secret", "ns", "pull", sealed, None)
    assert json.loads(open_event(feed, locked).body) == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "pull", "resourceVersion": "4"},
    }


# -- bodies --


@pytest.mark.case("api 107")
async def test_a_watch_without_a_version_begins_with_what_there_is(hub, log):
    async def list_now():
        log.publish(hub, change(4, name="l0"))  # after the list was read
        return [wire(f"l{n}", n + 1) for n in range(3)], 3

    assert told(await lines_of(hub, asked(), list_now)) == [
        ("ADDED", "l0", 1),
        ("ADDED", "l1", 2),
        ("ADDED", "l2", 3),
        ("MODIFIED", "l0", 4),
    ]


@pytest.mark.case("api 108")
async def test_a_watch_from_a_version_has_only_what_came_after(hub, log):
    log.publish(hub, change(1, "ADDED", "l1"))
    log.publish(
        hub, change(2, name="l1"), change(3, "ADDED", "w"), change(4, "DELETED", "w", before={})
    )
    assert told(await lines_of(hub, asked(start=1))) == [
        ("MODIFIED", "l1", 2),
        ("ADDED", "w", 3),
        ("DELETED", "w", 4),
    ]


async def test_a_watch_from_now_on_has_nothing_old(hub, log):
    log.publish(hub, change(1, "ADDED"))
    assert await lines_of(hub, asked(start=None)) == []


async def test_listed_items_get_their_kind(hub):
    async def list_now():
        return [{"metadata": {"name": "app"}}], 1

    [line] = await lines_of(hub, asked(), list_now)
    assert line["object"] == {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "app"},
    }


@pytest.mark.case("api 110")
async def test_a_watch_ends_when_its_time_is_over(hub):
    begun = asyncio.get_running_loop().time()
    assert await lines_of(hub, asked(start=1, timeout=0.2)) == []
    assert 0.2 <= asyncio.get_running_loop().time() - begun < 1
    assert hub.watchers == 0


@pytest.mark.case("api 111")
async def test_initial_events_end_with_a_bookmark(hub):
    async def list_now():
        return [wire("app", 3)], 5

    lines = await lines_of(
        hub, asked(bookmarks=True, initial_events=True, start=2, timeout=0.05), list_now
    )
    assert told(lines)[:1] == [("ADDED", "app", 3)]
    assert lines[1] == {
        "type": "BOOKMARK",
        "object": {
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": {"resourceVersion": "5", "annotations": END},
        },
    }


async def test_initial_events_without_bookmarks_have_no_end(hub):
    lines = await lines_of(hub, asked(initial_events=True))
    assert lines == []


async def test_bookmarks_come_again_and_again_and_know_of_other_kinds(hub):
    hub.publish(Page([change(9, "ADDED")], 9))
    request = asked(kind="Secret", bookmarks=True, bookmark_every=0.05, start=1, timeout=0.3)
    lines = await lines_of(hub, request)
    assert len(lines) >= 3
    assert set(told(lines)) == {("BOOKMARK", None, 9)}
    assert all(line["object"]["metadata"] == {"resourceVersion": "9"} for line in lines)


@pytest.mark.case("api 112")
async def test_a_version_that_is_too_old_is_one_error_and_the_end(log):
    hub = start(Hub(log.read), 50)
    log.floor = 50
    assert await lines_of(hub, asked(start=7, timeout=5)) == [
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


async def test_a_list_that_fails_is_an_error_line(hub):
    async def list_now():
        raise StoreError("the database refused a statement")

    [line] = await lines_of(hub, asked(), list_now)
    assert (line["type"], line["object"]["code"]) == ("ERROR", 500)


async def test_a_table_watch_has_its_columns_once(hub, log):
    columns = [{"name": "Name", "type": "string"}]

    def build(objects, metadata, with_columns):
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": columns if with_columns else None,
            "rows": [{"cells": [each["metadata"]["name"]]} for each in objects],
        }

    log.publish(hub, change(1, "ADDED"), change(2))
    shape = Shape("streams/table", "ImageStream", "image.openshift.io/v1", table=build)
    lines = await lines_of(hub, asked(start=None, shape=shape, bookmarks=True))
    assert [line["type"] for line in lines] == ["BOOKMARK"]
    request = asked(start=0, shape=shape, bookmarks=True)

    async def list_now():
        return [wire("app", 1)], 1

    lines = await lines_of(hub, request, list_now)
    assert [line["type"] for line in lines] == ["ADDED", "MODIFIED", "BOOKMARK"]
    objects = [line["object"] for line in lines]
    assert [each["columnDefinitions"] for each in objects] == [columns, None, None]
    assert [each["rows"] for each in objects] == [[{"cells": ["app"]}]] * 2 + [[]]
    assert [each["metadata"]["resourceVersion"] for each in objects] == ["1", "2", "2"]


async def test_a_thousand_watchers_share_one_print(hub, log):
    printed = []

    def show(shown):
        printed.append(shown["metadata"]["resourceVersion"])
        return shown

    shape = Shape("shown", "ImageStream", "image.openshift.io/v1", show=show)
    heard = []

    async def watch():
        request = asked(start=1, shape=shape, timeout=60)
        async with contextlib.aclosing(watch_body(hub, request, nothing_there)) as body:
            first = await anext(body)
            heard.append(first)
            return first, await anext(body)

    watches = [asyncio.create_task(watch()) for _ in range(1000)]
    async with asyncio.timeout(30):
        for version, before in ((2, 0), (3, 1000)):
            while hub.watchers < 1000 or len(heard) < before:
                await asyncio.sleep(0)
            log.publish(hub, change(version))
        pairs = await asyncio.gather(*watches)
    assert printed == ["2", "3"]
    assert len({tuple(map(id, pair)) for pair in pairs}) == 1
    assert [json.loads(piece)["object"]["metadata"]["resourceVersion"] for piece in pairs[0]] == [
        "2",
        "3",
    ]


async def test_a_watch_that_is_given_up_leaves_nothing(hub, log):
    body = watch_body(hub, asked(start=1, timeout=60), nothing_there)
    log.publish(hub, change(2))
    await anext(body)
    assert hub.watchers == 1
    await body.aclose()
    assert hub.watchers == 0


async def test_a_cancelled_watch_leaves_nothing(hub):
    async def watch():
        async for _ in watch_body(hub, asked(start=1, timeout=60), nothing_there):
            pass

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    assert hub.watchers == 1
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert hub.watchers == 0


async def test_a_watch_waits_for_the_follower(log):
    hub = Hub(log.read)
    watching = asyncio.create_task(lines_of(hub, asked(start=1, timeout=0.3)))
    await asyncio.sleep(0.02)
    log.events = [change(2)]
    hub.restart(1)
    hub.publish(Page(log.events, 2))
    assert told(await watching) == [("MODIFIED", "app", 2)]


async def test_closing_the_house_ends_every_watch(hub):
    watching = asyncio.create_task(lines_of(hub, asked(start=1, timeout=60)))
    await asyncio.sleep(0.01)
    hub.close()
    assert await watching == []


async def test_an_open_watch_costs_a_few_kilobytes(hub):
    """So that 5,000 leave room in 200 MiB for all the rest."""

    async def watch():
        async for _ in watch_body(hub, asked(start=1, timeout=60, bookmarks=True), nothing_there):
            pass

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        watches = [asyncio.create_task(watch()) for _ in range(1000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert hub.watchers == 1000
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    hub.close()
    await asyncio.gather(*watches)
    assert (after - before) / 1000 < 6_000
