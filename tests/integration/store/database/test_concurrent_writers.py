"""Concurrent writers: one of them wins, no change is lost, and there is no deadlock."""

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
from models.store.images.image_store import load_images, save_images, save_served_images
from models.store.jobs.job_store import claim_job, create_job
from models.store.streams.stream_store import load_stream, save_stream
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    commit_stream,
    event,
    image,
    images_of,
    import_request,
    packed_image,
    read_stream,
    spec_tag,
    stream,
    with_event,
)

WRITERS = 6


def run_concurrently(action, count=WRITERS):
    """Start `action(0)` to `action(count - 1)` together; return their results or conflicts."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            return action(number)
        except StreamConflictError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def conflicts(results):
    return [result for result in results if isinstance(result, StreamConflictError)]


def test_concurrent_updates_of_stream_let_one_writer_win(engine):
    old = commit_stream(engine, None, stream())
    results = run_concurrently(
        lambda n: commit_stream(engine, old, old.with_spec_tag(spec_tag(str(n))))
    )
    assert len(conflicts(results)) == WRITERS - 1
    assert len(read_stream(engine).spec.tags) == 1


def test_concurrent_creates_of_stream_let_one_writer_win(engine):
    results = run_concurrently(
        lambda n: commit_stream(engine, None, stream(spec=[spec_tag(str(n))]))
    )
    assert len(conflicts(results)) == WRITERS - 1
    assert len(read_stream(engine).spec.tags) == 1


def test_writers_that_load_for_update_do_not_conflict(engine):
    commit_stream(engine, None, stream())

    def record(number):
        with transaction(engine) as session:
            old = load_stream(session, "ns", "app", for_update=True)
            return save_stream(session, old, with_event(old, "1", event(f"{number}")), now=NOW)

    assert conflicts(run_concurrently(record)) == []
    assert len(set(images_of(read_stream(engine), "1"))) == WRITERS


def test_concurrent_saves_of_equal_images_do_not_deadlock(engine):
    """Each writer saves 200 images in another order; a deadlock would show as a conflict."""
    images = [packed_image(f"image {number}") for number in range(200)]

    def save(number):
        shuffled = random.Random(number).sample(images, len(images))
        with transaction(engine) as session:
            added = save_images(session, shuffled, now=NOW)
            save_served_images(
                session, "quay.io/app", f"scope {number}", [each.name for each in shuffled]
            )
        return added

    results = run_concurrently(save, 4)
    assert conflicts(results) == []
    assert sum(results) == 200
    with transaction(engine, write=False) as session:
        found = load_images(session, [each.name for each in images])
    assert len({each.metadata.resource_version for each in found.values()}) == 200
    assert all(len(each.docker_image_layers) == 2 for each in found.values())


def test_concurrent_claims_of_job_let_one_worker_win(engine):
    with transaction(engine) as session:
        job = create_job(session, JobRequest(import_request()), now=NOW)

    def claim(number):
        with transaction(engine) as session:
            return claim_job(
                session, job.id, worker=f"w{number}", now=NOW, lease=timedelta(seconds=60)
            )

    claimed = [each for each in run_concurrently(claim) if each is not None]
    assert [each.attempt for each in claimed] == [1]


def test_concurrent_equal_requests_create_one_job(engine):
    def create(_number):
        with transaction(engine) as session:
            return create_job(session, JobRequest(import_request(), coalesce=True), now=NOW).id

    assert len(set(run_concurrently(create))) == 1


def test_reader_of_change_log_misses_no_version(engine):
    """The order of commits is the order of versions, so a gap never fills later."""
    seen, done = [], threading.Event()

    def read_all():
        while True:
            is_last_read = done.is_set()
            with transaction(engine, write=False) as session:
                after = seen[-1] if seen else 0
                seen.extend(each.version for each in load_changes(session, after=after, limit=500))
            if is_last_read:
                return

    def write(number):
        for step in range(10):
            with transaction(engine) as session:
                save_images(session, [image(f"{number} {step}")], now=NOW)
                change = Change("ImageStream", f"{number} {step}", Verb.ADDED, "ns")
                record_changes(session, [change], now=NOW)

    reader = threading.Thread(target=read_all)
    reader.start()
    run_concurrently(write, 4)
    done.set()
    reader.join()
    with transaction(engine, write=False) as session:
        assert latest_version(session) == INITIAL_VERSION + 80
    assert seen == list(range(1, INITIAL_VERSION + 81))


def test_record_changes_waits_for_commit_of_earlier_version(engine):
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
            assert latest_version(reader) == INITIAL_VERSION
    second.join()
    with transaction(engine, write=False) as reader:
        assert latest_version(reader) == first + 1
