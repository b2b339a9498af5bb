"""What a server role promises about jobs: lanes, cancelling, lost and doubled messages, leases."""

import time

import pytest

from models.job_types import JobState, Lane
from tests.e2e.conftest import fill, until
from tests.servers import Redis
from worker.job_queue import cancel, knock


@pytest.fixture
def own_redis():
    """A Redis that a test may stop."""
    with Redis() as server:
        yield server


@pytest.fixture
def small(fake):
    """Ten tags; their names."""
    return fill(fake, 10)


def test_a_bulk_import_of_2000_tags_does_not_hold_up_a_person(open_server, fake, small):
    fill(fake, 2000, repository="team/huge")
    fake.delay(0.02)
    house = open_server(TAGSTREAM_WORKER_THREADS="1")
    house.worker()
    huge = house.enqueue("huge", repository="team/huge")
    behind = house.enqueue("behind")
    until(lambda: house.job(huge).done > 20)

    began = time.monotonic()
    person = house.enqueue("person", tag="v3", lane=Lane.INTERACTIVE)
    ended = house.finished(person)
    assert ended.state is JobState.SUCCEEDED
    assert time.monotonic() - began < 10
    now = house.job(huge)
    assert now.state is JobState.RUNNING
    assert now.total == 2000
    assert house.job(behind).state is JobState.QUEUED  # one thread, and it is taken

    cancel(house.engine, huge.id)
    assert house.finished(huge).state is JobState.CANCELLED
    assert house.finished(behind).state is JobState.SUCCEEDED


def test_a_running_job_that_is_cancelled_ends_soon_and_writes_nothing(open_server, fake, small):
    fake.stall(r"/team/app/manifests/v7")
    house = open_server()
    worker = house.worker()
    job = house.enqueue("app")
    until(lambda: house.job(job).done == 9)
    began = time.monotonic()
    cancel(house.engine, job.id)
    ended = house.finished(job)
    assert time.monotonic() - began < 10
    assert (ended.state, ended.with_errors) == (JobState.CANCELLED, True)
    assert ended.result.error["reason"] == "Conflict"
    assert house.events("app") == {}
    assert worker.runs
    fake.forget()
    assert house.finished(house.enqueue("app")).result.changed == 10


def test_a_job_that_is_delivered_twice_is_carried_once(open_server, fake, small):
    fake.delay(0.05)
    house = open_server()
    house.worker()
    job = house.enqueue("app")
    for _ in range(3):
        assert knock(house.engine, house.app, job)
    ended = house.finished(job)
    assert knock(house.engine, house.app, ended)
    after = house.enqueue("after")  # behind the doubled messages
    assert house.finished(after).state is JobState.SUCCEEDED
    assert house.job(job) == ended
    assert (ended.attempt, ended.result.changed) == (1, 10)
    assert house.events("app") == dict.fromkeys(small, 1)
    assert len([line for line in fake.requests if "team/app/tags/list" in line]) == 2


def test_a_job_asked_for_while_the_broker_is_away_is_knocked_for_later(
    open_server, own_redis, small
):
    house = open_server(broker_url=own_redis.url)
    own_redis.stop(keep=True)
    try:
        began = time.monotonic()
        job = house.enqueue("app")
        assert time.monotonic() - began < 5
        assert house.job(job).state is JobState.QUEUED
    finally:
        own_redis.restart()
    house.worker()
    house.beat()
    ended = house.finished(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 1)
    assert house.events("app") == dict.fromkeys(small, 1)


def test_a_worker_lives_through_a_restart_of_the_broker(open_server, own_redis, small):
    house = open_server(broker_url=own_redis.url)
    worker = house.worker()
    house.beat()
    assert house.finished(house.enqueue("before")).state is JobState.SUCCEEDED
    own_redis.stop(keep=True)
    job = house.enqueue("app")
    own_redis.restart()
    assert house.finished(job, within=60).state is JobState.SUCCEEDED
    assert worker.runs
    assert house.events("app") == dict.fromkeys(small, 1)


def test_a_worker_that_was_busy_when_the_broker_died_takes_jobs_again(
    open_server, own_redis, fake, small
):
    """Celery gives a pool up that has messages in hand when its connection breaks."""
    house = open_server(broker_url=own_redis.url)
    worker = house.worker()
    house.beat()
    fake.stall(r"/team/app/manifests/v7", times=1)
    held = house.enqueue("held")
    until(lambda: house.job(held).done == 9)
    own_redis.stop(keep=True)
    own_redis.restart()
    job = house.enqueue("app")
    assert house.finished(job, within=60).state is JobState.SUCCEEDED
    until(lambda: "pool.replaced" in worker.output)
    assert worker.runs
    assert house.events("app") == dict.fromkeys(small, 1)


def test_a_worker_that_lost_its_lease_writes_nothing(open_server, fake, small):
    house = open_server()
    fake.stall(r"/team/app/manifests/v7", times=1)
    first = house.worker()
    job = house.enqueue("app")
    until(lambda: house.job(job).done == 9)
    first.freeze()
    house.beat()
    house.worker()
    ended = house.finished(job)
    first.thaw()
    until(lambda: "import.lease_lost" in first.output)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
    assert house.job(job).finished == ended.finished
    assert first.runs
    assert "import.finished" not in first.output
    assert house.events("app") == dict.fromkeys(small, 1)


def test_a_job_whose_workers_keep_dying_is_given_up(open_server, fake, small):
    fake.stall(r"/team/app/manifests/v7")
    house = open_server(TAGSTREAM_JOB_ATTEMPTS="2")
    house.beat()
    job = house.enqueue("app")
    for attempt in (1, 2):
        worker = house.worker()
        house.reached(job, attempt=attempt, done=9)
        worker.kill()
    house.worker()
    ended = house.finished(job)
    assert (ended.state, ended.attempt) == (JobState.FAILED, 2)
    assert "the worker died 2 times" in ended.result.error["message"]
    assert house.events("app") == {}


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(open_server, fake, small):
    fake.delay(0.2)
    house = open_server()
    worker = house.worker()
    job = house.enqueue("app")
    until(lambda: house.job(job).state is JobState.RUNNING)
    assert worker.stop() == 0
    assert house.job(job).state is JobState.SUCCEEDED
    assert house.events("app") == dict.fromkeys(small, 1)
