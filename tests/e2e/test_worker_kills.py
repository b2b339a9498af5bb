"""Test of imports while workers are killed and Redis is emptied: no import is lost or doubled."""

import random
import time

import pytest

from models.job_types import JobState
from tests.e2e.conftest import fill

KILLS = 20
FLUSHES = {7, 14}
TAGS = 200


class WorkerPair:
    """Two workers; a killed worker is replaced at once."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.workers = [cluster.worker(), cluster.worker()]
        self.enqueued = 0

    def running(self):
        return [job for job in self.cluster.jobs() if job.state is JobState.RUNNING]

    def keep_busy(self):
        """Enqueue imports until two are unfinished."""
        unfinished = [job for job in self.cluster.jobs() if not job.state.is_final]
        for _ in range(len(unfinished), 2):
            self.cluster.enqueue(f"app-{self.enqueued}")
            self.enqueued += 1

    def victim(self):
        """Wait for a worker that runs an import; return it."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.keep_busy()
            names = {job.worker.rpartition(":")[2] for job in self.running()}
            for worker in self.workers:
                if str(worker.pid) in names:
                    return worker
            time.sleep(0.02)
        pytest.fail("no worker takes the jobs")

    def replace(self, worker):
        assert worker.runs
        worker.kill()
        self.workers[self.workers.index(worker)] = self.cluster.worker()


@pytest.mark.timeout(180)
def test_imports_survive_killed_workers_and_flushed_redis(open_cluster, fake, redis_server):
    names = fill(fake, TAGS)
    fake.delay(0.012)
    cluster = open_cluster(TAGSTREAM_JOB_ATTEMPTS="50", TAGSTREAM_WORKER_THREADS="2")
    cluster.beat()
    workers = WorkerPair(cluster)
    rng = random.Random()
    hit = 0
    for kill in range(1, KILLS + 1):
        worker = workers.victim()
        time.sleep(rng.uniform(0, 1.5))
        hit += any(job.worker.endswith(f":{worker.pid}") for job in workers.running())
        workers.replace(worker)
        if kill in FLUSHES:
            redis_server.clear()
    workers.keep_busy()
    jobs = [cluster.finished(job, within=60) for job in cluster.jobs()]

    assert hit >= KILLS / 2
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {job.result.tags_new for job in jobs} == {TAGS}
    assert not workers.running()
    for number in range(workers.enqueued):
        assert cluster.events(f"app-{number}") == dict.fromkeys(names, 1)
