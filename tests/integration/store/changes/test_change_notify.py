"""ChangeWaiter: a commit of any process ends the wait for changes."""

import subprocess
import sys
import threading
import time

import pytest

from models.store.changes.change_notify import ChangeWaiter
from models.store.database.session import transaction
from tests.integration.store.sample_objects import NOW, commit_stream, stream

SAVE = """
import sys
from models.store.database.session import open_engine
from tests.integration.store.sample_objects import commit_stream, stream
commit_stream(open_engine(sys.argv[1]), None, stream("far"))
"""


@pytest.fixture
def waiter(engine):
    waiter = ChangeWaiter(engine)
    yield waiter
    waiter.close()


def test_wait_without_changes_times_out(waiter):
    began = time.monotonic()
    assert not waiter.wait(0.3)
    assert 0.25 < time.monotonic() - began < 2


def test_wait_ends_at_once_after_commit_of_this_process(engine, waiter):
    began = []

    def later():
        time.sleep(0.3)
        began.append(time.monotonic())
        commit_stream(engine, None, stream())

    writer = threading.Thread(target=later)
    writer.start()
    assert waiter.wait(20)
    late = time.monotonic() - began[0]
    writer.join()
    assert late < 1
    assert not waiter.wait(0.05)


def test_wait_ends_after_commit_of_other_process(engine, waiter, database_url):
    writer = subprocess.Popen([sys.executable, "-c", SAVE, database_url])
    assert waiter.wait(60)
    assert writer.wait(60) == 0


def test_wait_returns_at_once_after_earlier_commit(engine, waiter):
    commit_stream(engine, None, stream())
    began = time.monotonic()
    assert waiter.wait(20)
    assert time.monotonic() - began < 5
    assert not waiter.wait(0.05)


def test_wait_after_many_commits_ends_and_then_times_out(engine, waiter):
    for number in range(20):
        commit_stream(engine, None, stream(f"s{number}"))
    assert waiter.wait(20)
    while waiter.wait(0.05):
        pass
    assert not waiter.wait(0.1)


def test_wait_ignores_rolled_back_transaction(engine, waiter):
    class RolledBackError(Exception):
        pass

    def fail():
        with transaction(engine) as session:
            from models.store.streams.stream_store import save_stream

            save_stream(session, None, stream(), now=NOW)
            raise RolledBackError

    with pytest.raises(RolledBackError):
        fail()
    assert not waiter.wait(0.2)


def test_waiter_reopens_lost_connection(engine, waiter):
    waiter.close()
    commit_stream(engine, None, stream())
    assert waiter.wait(20)
    while waiter.wait(0.05):
        pass
    commit_stream(engine, None, stream("b"))
    assert waiter.wait(20)
