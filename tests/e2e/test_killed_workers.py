"""Workers die without farewell and Redis forgets everything; the rows in the database do not."""

import random
import time

import pytest

from models.job_types import JobState
from tests.e2e.conftest import fill

KILLS = 20
FLUSHES = {7, 14}
TAGS = 200


class Crew:
    """Two workers; whoever is killed has a successor at once."""

    def __init__(self, house):
        self.house = house
        self.workers = [house.worker(), house.worker()]
        self.begun = 0

    def running(self):
        return [job for job in self.house.jobs() if job.state is JobState.RUNNING]

    def keep_busy(self):
        """See to it that imports are always under way."""
        unfinished = [job for job in self.house.jobs() if not job.state.is_final]
        for _ in range(len(unfinished), 2):
            self.house.enqueue(f"app-{self.begun}")
            self.begun += 1

    def victim(self):
        """A worker that is carrying an import."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.keep_busy()
            names = {job.worker.rpartition(":")[2] for job in self.running()}
            for worker in self.workers:
                if str(worker.pid) in names:
                    return worker
            time.sleep(0.02)
        pytest.fail("nobody takes the jobs up")

    def replace(self, worker):
        assert worker.runs
        worker.kill()
        self.workers[self.workers.index(worker)] = self.house.worker()


@pytest.mark.timeout(180)
def test_killed_workers_and_a_forgetful_redis_lose_and_double_nothing(
    open_server, fake, redis_server
):
    names = fill(fake, TAGS)
    fake.delay(0.012)
    house = open_server(TAGSTREAM_JOB_ATTEMPTS="50", TAGSTREAM_WORKER_THREADS="2")
    house.beat()
    crew = Crew(house)
    chance = random.Random()
    hit = 0
    for kill in range(1, KILLS + 1):
        worker = crew.victim()
        time.sleep(chance.uniform(0, 1.5))
        hit += any(job.worker.endswith(f":{worker.pid}") for job in crew.running())
        crew.replace(worker)
        if kill in FLUSHES:
            redis_server.clear()
    crew.keep_busy()
    jobs = [house.finished(job, within=60) for job in house.jobs()]

    assert hit >= KILLS / 2
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {job.result.changed for job in jobs} == {TAGS}
    assert not crew.running()
    for number in range(crew.begun):
        assert house.events(f"app-{number}") == dict.fromkeys(names, 1)
