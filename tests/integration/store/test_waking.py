"""Who waits for changes is woken by a commit, wherever it was made."""

import subprocess
import sys
import threading
import time

import pytest

from models.store.changes.change_notify import Waker
from models.store.database.session import transaction
from tests.integration.store.things import NOW, stored, stream

SAVE = """
import sys
from models.store.database.session import open_engine
from tests.integration.store.things import stored, stream
stored(open_engine(sys.argv[1]), None, stream("far"))
"""


@pytest.fixture
def waker(engine):
    waker = Waker(engine)
    yield waker
    waker.close()


def test_nothing_wakes_where_nothing_changes(waker):
    began = time.monotonic()
    assert not waker.wait(0.3)
    assert 0.25 < time.monotonic() - began < 2


def test_a_commit_of_this_process_wakes_at_once(engine, waker):
    began = []

    def later():
        time.sleep(0.3)
        began.append(time.monotonic())
        stored(engine, None, stream())

    writer = threading.Thread(target=later)
    writer.start()
    assert waker.wait(20)
    late = time.monotonic() - began[0]
    writer.join()
    assert late < 1
    assert not waker.wait(0.05)


def test_a_commit_of_another_process_wakes_too(engine, waker, database_url):
    writer = subprocess.Popen([sys.executable, "-c", SAVE, database_url])
    assert waker.wait(60)
    assert writer.wait(60) == 0


def test_what_was_committed_before_the_wait_is_not_slept_through(engine, waker):
    stored(engine, None, stream())
    began = time.monotonic()
    assert waker.wait(20)
    assert time.monotonic() - began < 5
    assert not waker.wait(0.05)


def test_many_commits_wake_once_or_more_but_never_for_nothing(engine, waker):
    for number in range(20):
        stored(engine, None, stream(f"s{number}"))
    assert waker.wait(20)
    while waker.wait(0.05):
        pass
    assert not waker.wait(0.1)


def test_a_write_that_was_undone_wakes_nobody(engine, waker):
    class UndoneError(Exception):
        pass

    def fail():
        with transaction(engine) as session:
            from models.store.streams.stream_store import save_stream

            save_stream(session, None, stream(), now=NOW)
            raise UndoneError

    with pytest.raises(UndoneError):
        fail()
    assert not waker.wait(0.2)


def test_a_lost_connection_is_opened_anew(engine, waker):
    waker.close()
    stored(engine, None, stream())
    assert waker.wait(20)
    while waker.wait(0.05):
        pass
    stored(engine, None, stream("b"))
    assert waker.wait(20)
