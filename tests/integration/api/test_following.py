"""Watchers follow the real log of each database: nothing is missed, doubled or out of order."""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from cryptography.fernet import Fernet

from api.watch.change_reader import Feed, Follower
from api.watch.watch_cache import Hub
from api.watch.watch_encoder import Shape
from api.watch.watch_stream import WatchRequest, watch_body
from models.api_errors import ExpiredError
from models.errors import StreamConflictError
from models.resources.meta import ObjectMeta, Secret
from models.store.access.namespace_store import ensure_namespace
from models.store.access.secret_mapping import open_secret
from models.store.access.secret_store import save_secret
from models.store.changes.change_log import (
    Change,
    Verb,
    latest_version,
    load_changes,
    prune_changes,
    record_changes,
)
from models.store.changes.change_notify import Waker
from models.store.database.cipher import Cipher
from models.store.database.session import open_engine, transaction, upgrade
from models.store.streams.stream_store import delete_stream, load_stream, save_stream
from tests.integration.store.things import NOW, after, stored, stream

SHAPE = Shape("streams", "ImageStream", "image.openshift.io/v1")
CIPHER = Cipher([Fernet.generate_key().decode()])


def make_ready(engine):
    upgrade(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)


def newest(engine):
    with transaction(engine, write=False) as session:
        return latest_version(session)


@pytest.fixture
def open_store(database_url):
    """Engines on one database, its schema ready: each stands for a process."""
    opened = []

    def open_one():
        opened.append(open_engine(database_url))
        return opened[-1]

    make_ready(open_one())
    yield open_one
    for engine in opened:
        engine.dispose()


@pytest.fixture
def engine(open_store):
    return open_store()


@pytest.fixture
def base(engine):
    """The version of a new store, which is not empty."""
    return newest(engine)


def open_object(feed):
    return open_secret(feed.object, CIPHER)


@contextlib.asynccontextmanager
async def following(engine, *, open_waker=Waker, **rings):
    """A hub and its follower, as an API process has them."""
    feed = Feed(engine, open_object=open_object)
    hub = Hub(partial(asyncio.to_thread, feed.read), **rings)
    follower = Follower(engine, hub, feed, open_waker=open_waker)
    follower.start()
    try:
        assert await hub.started(soon(10))
        yield hub
    finally:
        hub.close()
        await asyncio.to_thread(follower.stop)
    assert not follower.alive


def soon(seconds=10.0):
    return asyncio.get_running_loop().time() + seconds


def changed(engine, name="app", *, namespace="ns", **metadata):
    """Write a stream anew, whatever it was."""
    with transaction(engine) as session:
        old = load_stream(session, namespace, name, for_update=True)
        new = stream(name, namespace=namespace, **metadata)
        if old is not None:
            new = new.replace(metadata=old.metadata.replace(**metadata))
        return int(save_stream(session, old, new, now=NOW).metadata.resource_version)


def deleted(engine, name="app", *, namespace="ns"):
    with transaction(engine) as session:
        return delete_stream(session, namespace, name, now=NOW)


def recorded(engine, *, after=0, kind="ImageStream"):
    with transaction(engine, write=False) as session:
        changes = load_changes(session, after=after, limit=100_000, kind=kind)
    return [(str(each.change.verb), each.change.name, each.version) for each in changes]


async def heard(watcher, count, *, within=10.0):
    """The next `count` events, as (verb, name, version)."""
    found = []
    until = soon(within)
    while len(found) < count and (seen := await watcher.next(until)):
        found += [(str(each.verb), each.event.name, each.event.version) for each in seen]
    return found


async def in_thread(step, *args, **kwargs):
    return await asyncio.to_thread(step, *args, **kwargs)


async def test_a_change_is_heard_at_once_with_its_object(engine):
    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
            begun = time.monotonic()
            version = await in_thread(changed, engine, labels={"g": "x"})
            [seen] = await watcher.next(soon())
            assert time.monotonic() - begun < 1
    shown = json.loads(seen.event.body)
    assert (shown["kind"], shown["apiVersion"]) == ("ImageStream", "image.openshift.io/v1")
    assert shown["metadata"]["resourceVersion"] == str(version)
    assert shown["metadata"]["labels"] == {"g": "x"}
    assert list(shown)[:3] == ["kind", "apiVersion", "metadata"]


async def test_a_deleted_stream_is_told_of_with_its_last_state(engine, base):
    await in_thread(changed, engine, labels={"g": "x"})
    async with following(engine) as hub:
        with hub.subscribe(
            "ImageStream", matches=lambda shown: "labels" in shown["metadata"], after=base + 1
        ) as watcher:
            await in_thread(changed, engine, annotations={"a": "b"})
            await in_thread(deleted, engine)
            seen = [*await watcher.next(soon()), *await watcher.next(soon(0.5))]
    assert [(str(verb), event.version - base) for verb, event in seen] == [
        ("MODIFIED", 2),
        ("DELETED", 3),
    ]
    metadata = json.loads(seen[1].event.body)["metadata"]
    assert (metadata["resourceVersion"], metadata["labels"]) == (str(base + 3), {"g": "x"})


async def test_a_process_hears_of_what_another_process_writes(engine, base, database_url):
    script = (
        "import sys; from models.store.database.session import open_engine;"
        "from tests.integration.api.test_following import changed;"
        "changed(open_engine(sys.argv[1]), 'far')"
    )
    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
            how = [sys.executable, "-c", script, database_url]
            await in_thread(subprocess.run, how, check=True)
            assert await heard(watcher, 1, within=2) == [("ADDED", "far", base + 1)]


async def test_nothing_is_heard_before_its_commit_and_everything_after_it(engine, base):
    """A version that was handed out but not committed must not be jumped over."""
    await in_thread(changed, engine)
    taken, commit = threading.Event(), threading.Event()

    def hold():
        with transaction(engine) as session:
            change = Change("ImageStream", "held", Verb.ADDED, "ns")
            record_changes(session, [change], now=NOW)
            taken.set()
            assert commit.wait(10)

    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=None, after=base + 1) as watcher:
            holding = asyncio.create_task(in_thread(hold))
            await in_thread(taken.wait, 10)
            overtaking = asyncio.create_task(in_thread(changed, engine, labels={"a": "b"}))
            assert await watcher.next(soon(0.5)) == []
            commit.set()
            await asyncio.gather(holding, overtaking)
            assert await heard(watcher, 2) == [
                ("ADDED", "held", base + 2),
                ("MODIFIED", "app", base + 3),
            ]


async def test_watchers_who_come_and_go_between_processes_miss_nothing(open_store):
    """Four writers, three API processes with small rings, watchers that resume anywhere."""
    dice = random.Random(7)
    done = threading.Event()

    def write(number):
        mine = open_store()
        for step in range(40):
            name = f"s{number}-{step % 3}"
            with contextlib.suppress(StreamConflictError):
                if step % 7 == 6:
                    deleted(mine, name)
                else:
                    changed(mine, name, annotations={"step": str(step)})

    async def watch(hubs, *, name):
        found, at = [], 0
        while True:
            over = done.is_set()
            hub = dice.choice(hubs)
            with hub.subscribe("ImageStream", name=name, matches=None, after=at) as watcher:
                pieces = []
                for _ in range(dice.randint(1, 3)):
                    pieces += await watcher.next(soon(0.3 if over else 0.05))
                    await asyncio.sleep(dice.random() * 0.05)
                at = watcher.version
            found += [(str(each.verb), each.event.name, each.event.version) for each in pieces]
            if over and not pieces:
                return found

    async with contextlib.AsyncExitStack() as stack:
        hubs = [
            await stack.enter_async_context(following(open_store(), most=most))
            for most in (2, 10, 1000)
        ]
        watches = [
            asyncio.create_task(watch(hubs, name=name))
            for name in ("", "", "", "", "s0-0", "s1-2", "none")
        ]
        await asyncio.gather(*(in_thread(write, number) for number in range(4)))
        done.set()
        results = await asyncio.gather(*watches)
    everything = recorded(open_store())
    assert len(everything) > 100
    assert results[:4] == [everything] * 4
    assert results[4] == [each for each in everything if each[1] == "s0-0"]
    assert results[5] == [each for each in everything if each[1] == "s1-2"]
    assert results[6] == []


async def test_a_restarted_process_knows_the_newest_changes(engine, base):
    for _ in range(3):
        await in_thread(changed, engine)
        await in_thread(deleted, engine)
    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=None, after=base + 2) as watcher:
            assert await heard(watcher, 4) == recorded(engine, after=base + 2)


@pytest.mark.case("api 112")
async def test_a_pruned_version_is_expired(engine, base):
    for _ in range(3):
        await in_thread(changed, engine)
        await in_thread(deleted, engine)

    def prune():
        with transaction(engine) as session:
            return prune_changes(session, now=after(60), keep=timedelta(seconds=30), keep_each=2)

    assert await in_thread(prune) == 4
    async with following(engine) as hub:
        request = WatchRequest("ImageStream", SHAPE, start=base + 3, timeout=10)
        [piece] = [piece async for piece in watch_body(hub, request, None)]
        line = json.loads(piece)
        assert line["type"] == "ERROR"
        assert line["object"]["message"] == f"too old resource version: {base + 3} ({base + 4})"
        with hub.subscribe("ImageStream", matches=None, after=base + 4) as watcher:
            assert await heard(watcher, 2) == recorded(engine, after=base + 4)


class Asleep:
    """A waker that hears nothing until it is told to."""

    def __init__(self):
        self.bell = threading.Event()

    def wait(self, timeout):
        return self.bell.wait(timeout)

    def close(self):
        pass


async def test_a_follower_that_slept_through_a_prune_says_so(engine):
    waker = Asleep()
    async with following(engine, open_waker=lambda _: waker) as hub:
        with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
            waiting = asyncio.create_task(watcher.next(soon()))

            def change_and_prune():
                changed(engine)
                with transaction(engine) as session:
                    prune_changes(session, now=after(60), keep=timedelta(0), keep_each=0)

            await in_thread(change_and_prune)
            waker.bell.set()
            with pytest.raises(ExpiredError):
                await waiting
        version = await in_thread(changed, engine, labels={"a": "b"})
        with hub.subscribe("ImageStream", matches=None, after=version - 1) as watcher:
            assert await heard(watcher, 1) == [("MODIFIED", "app", version)]


async def test_a_database_that_was_away_is_caught_up_with(postgres_server, postgres_url):
    """For PostgreSQL alone: SQLite is a file and goes nowhere."""
    engine = open_engine(postgres_url)
    make_ready(engine)
    base = newest(engine)
    name = postgres_url.rpartition("/")[2]
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"

    def away(is_away):
        with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
            word = "false" if is_away else "true"
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {word}')
            if is_away:
                connection.execute(kill, [name])

    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=None, after=0) as watcher:
            await in_thread(changed, engine)
            assert len(await heard(watcher, 1)) == 1
            await in_thread(away, True)
            assert await watcher.next(soon(1.5)) == []
            await in_thread(away, False)
            await in_thread(changed, engine, labels={"a": "b"})
            await in_thread(deleted, engine)
            assert await heard(watcher, 2) == [
                ("MODIFIED", "app", base + 2),
                ("DELETED", "app", base + 3),
            ]
    engine.dispose()


async def test_a_secret_is_opened_for_its_watchers(engine):
    data = {".dockerconfigjson": "e30="}

    def save(**metadata):
        wanted = Secret(metadata=ObjectMeta(name="pull", namespace="ns", **metadata), data=data)
        with transaction(engine) as session:
            save_secret(session, wanted, cipher=CIPHER, now=NOW)

    async with following(engine) as hub:
        with hub.subscribe("Secret", namespace="ns", matches=None, after=0) as watcher:
            await in_thread(save)
            [seen] = await watcher.next(soon())
    shown = json.loads(seen.event.body)
    assert shown["data"] == data
    assert "sealed" not in shown
    assert "sealed" not in seen.event.after


async def test_a_stream_that_stops_matching_is_deleted_to_its_watcher(engine, base):
    await in_thread(changed, engine, labels={"g": "x"})

    def matches(shown):
        return shown["metadata"].get("labels", {}).get("g") == "x"

    async with following(engine) as hub:
        with hub.subscribe("ImageStream", matches=matches, after=base + 1) as watcher:
            await in_thread(changed, engine, labels={"g": "y"})
            await in_thread(changed, engine, labels={"g": "x"})
            assert await heard(watcher, 2) == [
                ("DELETED", "app", base + 2),
                ("ADDED", "app", base + 3),
            ]


async def test_a_thousand_watchers_hear_within_a_second(engine):
    async with following(engine) as hub:
        arrivals = []

        async def watch():
            request = WatchRequest("ImageStream", SHAPE, namespace="ns", start=None, timeout=3)
            arrivals.extend([time.monotonic() async for _ in watch_body(hub, request, None)])

        watches = [asyncio.create_task(watch()) for _ in range(1000)]
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await in_thread(stored, engine, None, stream())
        await asyncio.gather(*watches)
    assert len(arrivals) == 1000
    assert max(arrivals) - begun < 1
