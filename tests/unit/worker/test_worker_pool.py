"""Tests of WorkerPool.is_stalled: a stalled pool differs from one that is busy or idle."""

from types import SimpleNamespace

import pytest
from celery.signals import task_postrun, task_prerun

from worker.worker_pool import STALL_CHECK_SECONDS, STALLED_AFTER_SECONDS, WorkerPool

THREADS = 2


class PoolScenario:
    """A pool of the queue `bulk`, the length of the queue, and the clock."""

    def __init__(self):
        self.waiting = 0
        self.now = 1000.0
        self.pool = WorkerPool(
            None, "bulk", THREADS, queue_length=lambda _: self.waiting, clock=lambda: self.now
        )

    def begin(self, queue="bulk"):
        task_prerun.send(sender=Task(queue))

    def end(self, queue="bulk"):
        task_postrun.send(sender=Task(queue))

    def stalls_within(self, seconds, meanwhile=lambda: None):
        """Return whether any check in the next `seconds` finds the pool stalled."""
        found = False
        end = self.now + seconds
        while self.now < end:
            self.now += STALL_CHECK_SECONDS
            meanwhile()
            found = self.pool.is_stalled() or found
        return found


class Task:
    """A task as Celery's signals pass it."""

    def __init__(self, queue):
        self.request = SimpleNamespace(delivery_info={"routing_key": queue})


@pytest.fixture
def scenario():
    return PoolScenario()


def test_pool_that_takes_no_waiting_message_is_stalled(scenario):
    scenario.waiting = 3
    assert not scenario.stalls_within(STALLED_AFTER_SECONDS - STALL_CHECK_SECONDS)
    assert scenario.stalls_within(2 * STALL_CHECK_SECONDS)


def test_idle_pool_is_not_stalled(scenario):
    assert not scenario.stalls_within(5 * STALLED_AFTER_SECONDS)


def test_empty_queue_restarts_the_stall_timer_of_pool(scenario):
    scenario.waiting = 3
    assert not scenario.stalls_within(STALLED_AFTER_SECONDS - STALL_CHECK_SECONDS)
    scenario.waiting = 0
    assert not scenario.stalls_within(STALL_CHECK_SECONDS)
    scenario.waiting = 3
    assert not scenario.stalls_within(STALLED_AFTER_SECONDS - STALL_CHECK_SECONDS)


def test_pool_with_all_threads_busy_is_not_stalled(scenario):
    scenario.waiting = 3
    for _ in range(THREADS):
        scenario.begin()
    assert not scenario.stalls_within(5 * STALLED_AFTER_SECONDS)
    scenario.end()
    assert scenario.stalls_within(STALLED_AFTER_SECONDS + STALL_CHECK_SECONDS)


def test_pool_that_takes_messages_is_not_stalled(scenario):
    scenario.waiting = 3

    def run_task():
        scenario.begin()
        scenario.end()

    assert not scenario.stalls_within(5 * STALLED_AFTER_SECONDS, run_task)


def test_messages_taken_by_other_pools_do_not_count(scenario):
    scenario.waiting = 3
    assert scenario.stalls_within(
        STALLED_AFTER_SECONDS + STALL_CHECK_SECONDS, lambda: scenario.begin("scheduled")
    )
