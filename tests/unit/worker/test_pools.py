"""A pool that lives and takes no messages is told from one that is busy, idle, or cut off."""

from types import SimpleNamespace

import pytest
from celery.signals import task_postrun, task_prerun

from worker.worker_pool import DEAF_AFTER, LOOK_EVERY, Pool

THREADS = 2


class Scene:
    """A pool for `bulk`, its queue, and the time."""

    def __init__(self):
        self.waiting = 0
        self.now = 1000.0
        self.pool = Pool(
            None, "bulk", THREADS, length=lambda _: self.waiting, clock=lambda: self.now
        )

    def begin(self, queue="bulk"):
        task_prerun.send(sender=Task(queue))

    def end(self, queue="bulk"):
        task_postrun.send(sender=Task(queue))

    def is_deaf_within(self, seconds, meanwhile=lambda: None):
        """Whether it is found to be deaf at any look in that time."""
        found = False
        end = self.now + seconds
        while self.now < end:
            self.now += LOOK_EVERY
            meanwhile()
            found = self.pool.is_deaf() or found
        return found


class Task:
    """What Celery's signals tell of."""

    def __init__(self, queue):
        self.request = SimpleNamespace(delivery_info={"routing_key": queue})


@pytest.fixture
def scene():
    return Scene()


def test_who_takes_nothing_while_messages_wait_is_deaf(scene):
    scene.waiting = 3
    assert not scene.is_deaf_within(DEAF_AFTER - LOOK_EVERY)
    assert scene.is_deaf_within(2 * LOOK_EVERY)


def test_who_has_nothing_to_do_is_not_deaf(scene):
    assert not scene.is_deaf_within(5 * DEAF_AFTER)


def test_a_look_at_an_empty_queue_counts_from_the_beginning(scene):
    scene.waiting = 3
    assert not scene.is_deaf_within(DEAF_AFTER - LOOK_EVERY)
    scene.waiting = 0
    assert not scene.is_deaf_within(LOOK_EVERY)
    scene.waiting = 3
    assert not scene.is_deaf_within(DEAF_AFTER - LOOK_EVERY)


def test_who_is_busy_with_all_threads_is_not_deaf(scene):
    scene.waiting = 3
    for _ in range(THREADS):
        scene.begin()
    assert not scene.is_deaf_within(5 * DEAF_AFTER)
    scene.end()
    assert scene.is_deaf_within(DEAF_AFTER + LOOK_EVERY)


def test_who_takes_one_after_the_other_is_not_deaf(scene):
    scene.waiting = 3

    def carry():
        scene.begin()
        scene.end()

    assert not scene.is_deaf_within(5 * DEAF_AFTER, carry)


def test_what_others_take_does_not_count(scene):
    scene.waiting = 3
    assert scene.is_deaf_within(DEAF_AFTER + LOOK_EVERY, lambda: scene.begin("scheduled"))
