"""Several writers at once: one wins, nobody is lost, and nobody waits for ever."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from models.errors import StreamConflictError
from models.job_types import JobRequest
from models.store.changes.change_log import (
    Change,
    Verb,
    latest_version,
    load_changes,
    record_changes,
)
from models.store.database.session import transaction
from models.store.images.image_store import load_images, save_held, save_images
from models.store.jobs.job_store import claim_job, create_job
from models.store.streams.stream_store import load_stream, save_stream
from tests.integration.store.things import (
    NOW,
    START,
    event,
    image,
    images_of,
    loaded,
    packed,
    request,
    stored,
    stream,
    wish,
    with_event,
)

WRITERS = 6


def at_once(action, count=WRITERS):
    """What `action(0)` to `action(count - 1)` came to, started at the same moment."""
    gate = threading.Barrier(count)

    def run(number):
        gate.wait()
        try:
            return action(number)
        except StreamConflictError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def conflicts(results):
    return [result for result in results if isinstance(result, StreamConflictError)]


def test_of_writers_that_read_the_same_stream_one_wins(engine):
    old = stored(engine, None, stream())
    results = at_once(lambda n: stored(engine, old, old.with_spec_tag(wish(str(n)))))
    assert len(conflicts(results)) == WRITERS - 1
    assert len(loaded(engine).spec.tags) == 1


def test_of_writers_that_create_the_same_stream_one_wins(engine):
    results = at_once(lambda n: stored(engine, None, stream(spec=[wish(str(n))])))
    assert len(conflicts(results)) == WRITERS - 1
    assert len(loaded(engine).spec.tags) == 1


def test_writers_that_read_for_update_take_their_turn(engine):
    stored(engine, None, stream())

    def record(number):
        with transaction(engine) as session:
            old = load_stream(session, "ns", "app", for_update=True)
            return save_stream(session, old, with_event(old, "1", event(f"{number}")), now=NOW)

    assert conflicts(at_once(record)) == []
    assert len(set(images_of(loaded(engine), "1"))) == WRITERS


def test_imports_of_the_same_images_do_not_embrace(engine):
    """Two hundred images in another order each: a deadlock would be a conflict."""
    images = [packed(f"image {number}") for number in range(200)]

    def save(number):
        mine = random.Random(number).sample(images, len(images))
        with transaction(engine) as session:
            added = save_images(session, mine, now=NOW)
            save_held(session, "quay.io/app", f"scope {number}", [each.name for each in mine])
        return added

    results = at_once(save, 4)
    assert conflicts(results) == []
    assert sum(results) == 200
    with transaction(engine, write=False) as session:
        found = load_images(session, [each.name for each in images])
    assert len({each.metadata.resource_version for each in found.values()}) == 200
    assert all(len(each.docker_image_layers) == 2 for each in found.values())


def test_a_job_is_claimed_by_one_worker(engine):
    with transaction(engine) as session:
        job = create_job(session, JobRequest(request()), now=NOW)

    def claim(number):
        with transaction(engine) as session:
            return claim_job(
                session, job.id, worker=f"w{number}", now=NOW, lease=timedelta(seconds=60)
            )

    claimed = [each for each in at_once(claim) if each is not None]
    assert [each.attempt for each in claimed] == [1]


def test_equal_wishes_at_the_same_moment_are_one_job(engine):
    def wished(_number):
        with transaction(engine) as session:
            return create_job(session, JobRequest(request(), coalesce=True), now=NOW).id

    assert len(set(at_once(wished))) == 1


def test_who_follows_the_versions_misses_no_change(engine):
    """The order of commits is the order of versions, so a gap never fills later."""
    seen, done = [], threading.Event()

    def watch():
        while True:
            last_look = done.is_set()
            with transaction(engine, write=False) as session:
                after = seen[-1] if seen else 0
                seen.extend(each.version for each in load_changes(session, after=after, limit=500))
            if last_look:
                return

    def write(number):
        for step in range(10):
            with transaction(engine) as session:
                save_images(session, [image(f"{number} {step}")], now=NOW)
                change = Change("ImageStream", f"{number} {step}", Verb.ADDED, "ns")
                record_changes(session, [change], now=NOW)

    watcher = threading.Thread(target=watch)
    watcher.start()
    at_once(write, 4)
    done.set()
    watcher.join()
    with transaction(engine, write=False) as session:
        assert latest_version(session) == START + 80
    assert seen == list(range(1, START + 81))


def test_a_later_version_waits_for_the_commit_of_an_earlier_one(engine):
    change = Change("ImageStream", "app", Verb.ADDED, "ns")

    def write():
        with transaction(engine) as session:
            record_changes(session, [change], now=NOW)

    second = threading.Thread(target=write)
    with transaction(engine) as session:
        first = record_changes(session, [change], now=NOW)
        second.start()
        second.join(timeout=0.2)
        assert second.is_alive()
        with transaction(engine, write=False) as reader:
            assert latest_version(reader) == START
    second.join()
    with transaction(engine, write=False) as reader:
        assert latest_version(reader) == first + 1
