"""Tests of jobs in server roles: priorities, cancellation, lost and repeated messages, leases."""

import time

import pytest

from models.job_types import JobState, Priority
from tests.e2e.conftest import fill, until
from tests.servers import Redis
from worker.job_queue import cancel_job, publish


@pytest.fixture
def own_redis():
    """A Redis for one test, which may stop it."""
    with Redis() as server:
        yield server


@pytest.fixture
def ten_tags(fake):
    """The names of ten pushed tags."""
    return fill(fake, 10)


def test_interactive_import_does_not_wait_for_bulk_import(open_cluster, fake, ten_tags):
    fill(fake, 2000, repository="team/huge")
    fake.delay(0.02)
    cluster = open_cluster(TAGSTREAM_WORKER_THREADS="1")
    cluster.worker()
    huge = cluster.enqueue("huge", repository="team/huge")
    behind = cluster.enqueue("behind")
    until(lambda: cluster.job(huge).done > 20)

    started = time.monotonic()
    interactive = cluster.enqueue("interactive", tag="v3", priority=Priority.INTERACTIVE)
    ended = cluster.finished(interactive)
    assert ended.state is JobState.SUCCEEDED
    assert time.monotonic() - started < 10
    now = cluster.job(huge)
    assert now.state is JobState.RUNNING
    assert now.total == 2000
    assert cluster.job(behind).state is JobState.QUEUED  # the only thread is busy

    cancel_job(cluster.engine, huge.id)
    assert cluster.finished(huge).state is JobState.CANCELLED
    assert cluster.finished(behind).state is JobState.SUCCEEDED


def test_cancelled_running_job_ends_soon_and_writes_nothing(open_cluster, fake, ten_tags):
    fake.stall(r"/team/app/manifests/v7")
    cluster = open_cluster()
    worker = cluster.worker()
    job = cluster.enqueue("app")
    until(lambda: cluster.job(job).done == 9)
    started = time.monotonic()
    cancel_job(cluster.engine, job.id)
    ended = cluster.finished(job)
    assert time.monotonic() - started < 10
    assert (ended.state, ended.with_errors) == (JobState.CANCELLED, True)
    assert ended.result.error["reason"] == "Conflict"
    assert cluster.events("app") == {}
    assert worker.runs
    fake.forget()
    assert cluster.finished(cluster.enqueue("app")).result.tags_new == 10


def test_job_delivered_twice_runs_once(open_cluster, fake, ten_tags):
    fake.delay(0.05)
    cluster = open_cluster()
    cluster.worker()
    job = cluster.enqueue("app")
    for _ in range(3):
        assert publish(cluster.engine, cluster.app, job)
    ended = cluster.finished(job)
    assert publish(cluster.engine, cluster.app, ended)
    after = cluster.enqueue("after")  # queued behind the repeated messages
    assert cluster.finished(after).state is JobState.SUCCEEDED
    assert cluster.job(job) == ended
    assert (ended.attempt, ended.result.tags_new) == (1, 10)
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)
    assert len([line for line in fake.requests if "team/app/tags/list" in line]) == 2


def test_job_enqueued_without_broker_is_published_later(open_cluster, own_redis, ten_tags):
    cluster = open_cluster(broker_url=own_redis.url)
    own_redis.stop(keep=True)
    try:
        started = time.monotonic()
        job = cluster.enqueue("app")
        assert time.monotonic() - started < 5
        assert cluster.job(job).state is JobState.QUEUED
    finally:
        own_redis.restart()
    cluster.worker()
    cluster.beat()
    ended = cluster.finished(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 1)
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)


def test_worker_survives_broker_restart(open_cluster, own_redis, ten_tags):
    cluster = open_cluster(broker_url=own_redis.url)
    worker = cluster.worker()
    cluster.beat()
    assert cluster.finished(cluster.enqueue("before")).state is JobState.SUCCEEDED
    own_redis.stop(keep=True)
    job = cluster.enqueue("app")
    own_redis.restart()
    assert cluster.finished(job, within=60).state is JobState.SUCCEEDED
    assert worker.runs
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)


def test_busy_worker_takes_jobs_again_after_broker_restart(open_cluster, own_redis, fake, ten_tags):
    """Celery abandons a pool that holds messages when the connection to the broker breaks."""
    cluster = open_cluster(broker_url=own_redis.url)
    worker = cluster.worker()
    cluster.beat()
    fake.stall(r"/team/app/manifests/v7", times=1)
    held = cluster.enqueue("held")
    until(lambda: cluster.job(held).done == 9)
    own_redis.stop(keep=True)
    own_redis.restart()
    job = cluster.enqueue("app")
    assert cluster.finished(job, within=60).state is JobState.SUCCEEDED
    until(lambda: "pool.replaced" in worker.output)
    assert worker.runs
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)


def test_worker_without_lease_writes_nothing(open_cluster, fake, ten_tags):
    cluster = open_cluster()
    fake.stall(r"/team/app/manifests/v7", times=1)
    first = cluster.worker()
    job = cluster.enqueue("app")
    until(lambda: cluster.job(job).done == 9)
    first.freeze()
    cluster.beat()
    cluster.worker()
    ended = cluster.finished(job)
    first.thaw()
    until(lambda: "import.lease_lost" in first.output)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
    assert cluster.job(job).finished == ended.finished
    assert first.runs
    assert "import.finished" not in first.output
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)


def test_job_fails_after_repeated_worker_deaths(open_cluster, fake, ten_tags):
    fake.stall(r"/team/app/manifests/v7")
    cluster = open_cluster(TAGSTREAM_JOB_ATTEMPTS="2")
    cluster.beat()
    job = cluster.enqueue("app")
    for attempt in (1, 2):
        worker = cluster.worker()
        cluster.reached(job, attempt=attempt, done=9)
        worker.kill()
    cluster.worker()
    ended = cluster.finished(job)
    assert (ended.state, ended.attempt) == (JobState.FAILED, 2)
    assert "the worker died 2 times" in ended.result.error["message"]
    assert cluster.events("app") == {}


def test_stopped_worker_completes_its_running_job(open_cluster, fake, ten_tags):
    fake.delay(0.2)
    cluster = open_cluster()
    worker = cluster.worker()
    job = cluster.enqueue("app")
    until(lambda: cluster.job(job).state is JobState.RUNNING)
    assert worker.stop() == 0
    assert cluster.job(job).state is JobState.SUCCEEDED
    assert cluster.events("app") == dict.fromkeys(ten_tags, 1)
