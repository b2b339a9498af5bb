"""The reflector on the change log of each database: no event is lost, repeated or reordered."""

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

from api.watch.change_reader import ChangeReader, Reflector
from api.watch.watch_cache import WatchCache
from api.watch.watch_encoder import WatchEncoder
from api.watch.watch_stream import WatchRequest, stream_watch
from models.api_errors import ExpiredError
from models.errors import StreamConflictError
from models.resources.meta import ObjectMeta, Secret
from models.store.access.namespace_store import ensure_namespace
from models.store.access.secret_mapping import unseal_wire
from models.store.access.secret_store import save_secret
from models.store.changes.change_log import (
    Change,
    Verb,
    latest_version,
    load_changes,
    record_changes,
)
from models.store.changes.change_notify import ChangeWaiter
from models.store.changes.change_pruning import prune_changes
from models.store.database.cipher import Cipher
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.streams.stream_store import delete_stream, load_stream, save_stream
from tests.integration.store.sample_objects import NOW, after, commit_stream, stream

ENCODER = WatchEncoder("streams", "ImageStream", "image.openshift.io/v1")
CIPHER = Cipher([Fernet.generate_key().decode()])


def prepare_database(engine):
    upgrade_database(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)


def newest_version(engine):
    with transaction(engine, write=False) as session:
        return latest_version(session)


@pytest.fixture
def open_store(database_url):
    """Return a function that opens engines on one upgraded database, one for each process."""
    opened = []

    def open_one():
        opened.append(open_engine(database_url))
        return opened[-1]

    prepare_database(open_one())
    yield open_one
    for engine in opened:
        engine.dispose()


@pytest.fixture
def engine(open_store):
    return open_store()


@pytest.fixture
def base(engine):
    """Return the newest version of a new store, which is not empty."""
    return newest_version(engine)


def unseal_object(change):
    return unseal_wire(change.object, CIPHER)


@contextlib.asynccontextmanager
async def run_reflector(engine, *, open_waiter=ChangeWaiter, **limits):
    """Run a watch cache and its reflector, as an API process has them."""
    change_reader = ChangeReader(engine, convert_change=unseal_object)
    watch_cache = WatchCache(partial(asyncio.to_thread, change_reader.read), **limits)
    reflector = Reflector(engine, watch_cache, change_reader, open_waiter=open_waiter)
    reflector.start()
    try:
        assert await watch_cache.wait_until_started(deadline(10))
        yield watch_cache
    finally:
        watch_cache.close()
        await asyncio.to_thread(reflector.stop)
    assert not reflector.is_alive


def deadline(seconds=10.0):
    return asyncio.get_running_loop().time() + seconds


def changed(engine, name="app", *, namespace="ns", **metadata):
    """Create or update a stream; return its version."""
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


async def received(watcher, count, *, within=10.0):
    """Return the next `count` events, as (verb, name, version)."""
    found = []
    until = deadline(within)
    while len(found) < count and (seen := await watcher.next_events(until)):
        found += [(str(each.verb), each.event.name, each.event.version) for each in seen]
    return found


async def in_thread(step, *args, **kwargs):
    return await asyncio.to_thread(step, *args, **kwargs)


async def test_subscription_receives_change_with_object_at_once(engine):
    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
            started = time.monotonic()
            version = await in_thread(changed, engine, labels={"g": "x"})
            [seen] = await watcher.next_events(deadline())
            assert time.monotonic() - started < 1
    shown = json.loads(seen.event.body)
    assert (shown["kind"], shown["apiVersion"]) == ("ImageStream", "image.openshift.io/v1")
    assert shown["metadata"]["resourceVersion"] == str(version)
    assert shown["metadata"]["labels"] == {"g": "x"}
    assert list(shown)[:3] == ["kind", "apiVersion", "metadata"]


async def test_deleted_event_has_last_state_of_stream(engine, base):
    await in_thread(changed, engine, labels={"g": "x"})
    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe(
            "ImageStream", matches=lambda shown: "labels" in shown["metadata"], after=base + 1
        ) as watcher:
            await in_thread(changed, engine, annotations={"a": "b"})
            await in_thread(deleted, engine)
            seen = [
                *await watcher.next_events(deadline()),
                *await watcher.next_events(deadline(0.5)),
            ]
    assert [(str(verb), event.version - base) for verb, event in seen] == [
        ("MODIFIED", 2),
        ("DELETED", 3),
    ]
    metadata = json.loads(seen[1].event.body)["metadata"]
    assert (metadata["resourceVersion"], metadata["labels"]) == (str(base + 3), {"g": "x"})


async def test_reflector_receives_changes_of_other_process(engine, base, database_url):
    script = (
        "import sys; from models.store.database.session import open_engine;"
        "from tests.integration.api.watch.test_watch_reflector import changed;"
        "changed(open_engine(sys.argv[1]), 'far')"
    )
    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
            command = [sys.executable, "-c", script, database_url]
            await in_thread(subprocess.run, command, check=True)
            assert await received(watcher, 1, within=2) == [("ADDED", "far", base + 1)]


async def test_reflector_waits_for_commit_of_earlier_version(engine, base):
    """A version that was assigned but not committed must not be skipped."""
    await in_thread(changed, engine)
    recorded_change, commit = threading.Event(), threading.Event()

    def hold_transaction():
        with transaction(engine) as session:
            change = Change("ImageStream", "held", Verb.ADDED, "ns")
            record_changes(session, [change], now=NOW)
            recorded_change.set()
            assert commit.wait(10)

    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=base + 1) as watcher:
            holder = asyncio.create_task(in_thread(hold_transaction))
            await in_thread(recorded_change.wait, 10)
            second_write = asyncio.create_task(in_thread(changed, engine, labels={"a": "b"}))
            assert await watcher.next_events(deadline(0.5)) == []
            commit.set()
            await asyncio.gather(holder, second_write)
            assert await received(watcher, 2) == [
                ("ADDED", "held", base + 2),
                ("MODIFIED", "app", base + 3),
            ]


async def test_resumed_watches_receive_every_change_in_any_process(open_store):
    """Four writers, three API processes with small ring buffers, watches that resume anywhere."""
    rng = random.Random(7)
    done = threading.Event()

    def write(number):
        engine = open_store()
        for step in range(40):
            name = f"s{number}-{step % 3}"
            with contextlib.suppress(StreamConflictError):
                if step % 7 == 6:
                    deleted(engine, name)
                else:
                    changed(engine, name, annotations={"step": str(step)})

    async def watch(watch_caches, *, name):
        found, position = [], 0
        while True:
            is_done = done.is_set()
            watch_cache = rng.choice(watch_caches)
            with watch_cache.subscribe(
                "ImageStream", name=name, matches=None, after=position
            ) as watcher:
                batch = []
                for _ in range(rng.randint(1, 3)):
                    batch += await watcher.next_events(deadline(0.3 if is_done else 0.05))
                    await asyncio.sleep(rng.random() * 0.05)
                position = watcher.version
            found += [(str(each.verb), each.event.name, each.event.version) for each in batch]
            if is_done and not batch:
                return found

    async with contextlib.AsyncExitStack() as stack:
        watch_caches = [
            await stack.enter_async_context(run_reflector(open_store(), max_events=max_events))
            for max_events in (2, 10, 1000)
        ]
        watches = [
            asyncio.create_task(watch(watch_caches, name=name))
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


async def test_restarted_reflector_serves_recent_changes(engine, base):
    for _ in range(3):
        await in_thread(changed, engine)
        await in_thread(deleted, engine)
    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=base + 2) as watcher:
            assert await received(watcher, 4) == recorded(engine, after=base + 2)


@pytest.mark.case("api 112")
async def test_watch_from_pruned_version_is_expired(engine, base):
    for _ in range(3):
        await in_thread(changed, engine)
        await in_thread(deleted, engine)

    def prune():
        with transaction(engine) as session:
            return prune_changes(
                session, now=after(60), retention=timedelta(seconds=30), min_per_kind=2
            )

    assert await in_thread(prune) == 4
    async with run_reflector(engine) as watch_cache:
        request = WatchRequest("ImageStream", ENCODER, start=base + 3, timeout=10)
        [chunk] = [chunk async for chunk in stream_watch(watch_cache, request, None)]
        line = json.loads(chunk)
        assert line["type"] == "ERROR"
        assert line["object"]["message"] == f"too old resource version: {base + 3} ({base + 4})"
        with watch_cache.subscribe("ImageStream", matches=None, after=base + 4) as watcher:
            assert await received(watcher, 2) == recorded(engine, after=base + 4)


class ManualWaiter:
    """A waiter that is woken by the test only."""

    def __init__(self):
        self.wake_up = threading.Event()

    def wait(self, timeout):
        return self.wake_up.wait(timeout)

    def close(self):
        pass


async def test_reflector_behind_pruning_expires_subscriptions(engine):
    waiter = ManualWaiter()
    async with run_reflector(engine, open_waiter=lambda _: waiter) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
            waiting = asyncio.create_task(watcher.next_events(deadline()))

            def change_and_prune():
                changed(engine)
                with transaction(engine) as session:
                    prune_changes(session, now=after(60), retention=timedelta(0), min_per_kind=0)

            await in_thread(change_and_prune)
            waiter.wake_up.set()
            with pytest.raises(ExpiredError):
                await waiting
        version = await in_thread(changed, engine, labels={"a": "b"})
        with watch_cache.subscribe("ImageStream", matches=None, after=version - 1) as watcher:
            assert await received(watcher, 1) == [("MODIFIED", "app", version)]


async def test_reflector_catches_up_after_database_outage(postgres_server, postgres_url):
    """For PostgreSQL only: SQLite is a file without connections."""
    engine = open_engine(postgres_url)
    prepare_database(engine)
    base = newest_version(engine)
    name = postgres_url.rpartition("/")[2]
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"

    def set_availability(is_unavailable):
        with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
            allowed = "false" if is_unavailable else "true"
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')
            if is_unavailable:
                connection.execute(kill, [name])

    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=None, after=0) as watcher:
            await in_thread(changed, engine)
            assert len(await received(watcher, 1)) == 1
            await in_thread(set_availability, True)
            assert await watcher.next_events(deadline(1.5)) == []
            await in_thread(set_availability, False)
            await in_thread(changed, engine, labels={"a": "b"})
            await in_thread(deleted, engine)
            assert await received(watcher, 2) == [
                ("MODIFIED", "app", base + 2),
                ("DELETED", "app", base + 3),
            ]
    engine.dispose()


async def test_watch_event_of_secret_is_decrypted(engine):
    data = {".dockerconfigjson": "e30="}

    def save(**metadata):
        wanted = Secret(metadata=ObjectMeta(name="pull", namespace="ns", **metadata), data=data)
        with transaction(engine) as session:
            save_secret(session, wanted, cipher=CIPHER, now=NOW)

    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("Secret", namespace="ns", matches=None, after=0) as watcher:
            await in_thread(save)
            [seen] = await watcher.next_events(deadline())
    shown = json.loads(seen.event.body)
    assert shown["data"] == data
    assert "sealed" not in shown
    assert "sealed" not in seen.event.after


async def test_stream_that_stops_matching_is_deleted_event(engine, base):
    await in_thread(changed, engine, labels={"g": "x"})

    def matches(shown):
        return shown["metadata"].get("labels", {}).get("g") == "x"

    async with run_reflector(engine) as watch_cache:
        with watch_cache.subscribe("ImageStream", matches=matches, after=base + 1) as watcher:
            await in_thread(changed, engine, labels={"g": "y"})
            await in_thread(changed, engine, labels={"g": "x"})
            assert await received(watcher, 2) == [
                ("DELETED", "app", base + 2),
                ("ADDED", "app", base + 3),
            ]


async def test_thousand_watches_receive_event_within_a_second(engine):
    async with run_reflector(engine) as watch_cache:
        arrivals = []

        async def watch():
            request = WatchRequest("ImageStream", ENCODER, namespace="ns", start=None, timeout=3)
            arrivals.extend(
                [time.monotonic() async for _ in stream_watch(watch_cache, request, None)]
            )

        watches = [asyncio.create_task(watch()) for _ in range(1000)]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await in_thread(commit_stream, engine, None, stream())
        await asyncio.gather(*watches)
    assert len(arrivals) == 1000
    assert max(arrivals) - started < 1
