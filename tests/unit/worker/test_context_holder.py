"""Tests of the worker context of a Celery application: opened once, one for each application."""

import threading
from concurrent.futures import ThreadPoolExecutor

from models.config.settings import Settings
from worker.celery_app import build_celery_app
from worker.context_holder import ContextHolder
from worker.worker_context import adopt_worker_context, close_worker_context, opened_worker_context


class Context:
    """A context that counts how often it was closed."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_context_holder_is_opened_once_for_all_threads():
    holder = ContextHolder()
    barrier = threading.Barrier(8)
    opened = []

    def open_context():
        opened.append(Context())
        return opened[-1]

    def use(_number):
        barrier.wait()
        return holder.get_or_open(open_context)

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(use, range(8)))
    assert found == set(opened)
    assert len(opened) == 1


def test_context_holder_is_opened_again_after_its_value_was_taken():
    holder = ContextHolder()
    first = holder.get_or_open(Context)
    assert holder.take() is first
    assert (holder.get(), holder.take()) == (None, None)
    assert holder.get_or_open(Context) is not first


def test_celery_applications_have_separate_contexts(tmp_path):
    settings = Settings(data_dir=tmp_path)
    one, other = build_celery_app(settings), build_celery_app(settings)
    context = Context()
    adopt_worker_context(one, context)
    assert opened_worker_context(one) is context
    assert opened_worker_context(other) is None
    close_worker_context(other)
    assert context.closed == 0
    close_worker_context(one)
    close_worker_context(one)
    assert context.closed == 1
