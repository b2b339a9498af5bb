"""Tests of retry_on_db_error: it retries while the database is unavailable, and nothing else."""

import threading
from types import SimpleNamespace

import pytest

from models.errors import StoreError, StoreUnavailableError, StreamConflictError
from worker.db_retry import retry_on_db_error


@pytest.fixture
def context():
    return SimpleNamespace(stopping=threading.Event())


class Step:
    """A step that raises the given errors in order, then returns the number of tries."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.tries = 0

    def __call__(self):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.tries


def test_retry_on_db_error_repeats_step_until_database_is_back(context):
    step = Step(StoreUnavailableError("away"), StreamConflictError("gave way", name="app"))
    assert retry_on_db_error(step, context) == 3


def test_retry_on_db_error_raises_permanent_error_at_once(context):
    step = Step(StoreError("no such column"))
    with pytest.raises(StoreError):
        retry_on_db_error(step, context)
    assert step.tries == 1


def test_retry_on_db_error_does_not_wait_while_stopping(context):
    context.stopping.set()
    step = Step(StoreUnavailableError("away"))
    with pytest.raises(StoreUnavailableError):
        retry_on_db_error(step, context)
    assert step.tries == 1
