"""A database that is away for a moment is waited for; anything else is not."""

import threading
from types import SimpleNamespace

import pytest

from models.errors import StoreAwayError, StoreError, StreamConflictError
from worker.db_retry import patiently


@pytest.fixture
def runtime():
    return SimpleNamespace(leaving=threading.Event())


class Step:
    """Fails as it is told, then returns how often it was tried."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.tries = 0

    def __call__(self):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.tries


def test_a_step_is_tried_again_until_the_database_is_back(runtime):
    step = Step(StoreAwayError("away"), StreamConflictError("gave way", name="app"))
    assert patiently(step, runtime) == 3


def test_what_no_waiting_mends_is_raised_at_once(runtime):
    step = Step(StoreError("no such column"))
    with pytest.raises(StoreError):
        patiently(step, runtime)
    assert step.tries == 1


def test_who_leaves_waits_for_nothing(runtime):
    runtime.leaving.set()
    step = Step(StoreAwayError("away"))
    with pytest.raises(StoreAwayError):
        patiently(step, runtime)
    assert step.tries == 1
