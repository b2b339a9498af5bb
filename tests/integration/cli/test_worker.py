"""The server roles from the command line: a worker elsewhere, and commands that wait for it."""

import signal

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.integration.cli.conftest import until


@pytest.fixture
def server(redis_url, postgres_url):
    """The variables that every process of the house shares."""
    return {
        "TAGSTREAM_BROKER_URL": redis_url,
        "TAGSTREAM_DATABASE_URL": postgres_url,
        "TAGSTREAM_KEY": Fernet.generate_key().decode(),
        "TAGSTREAM_EGRESS_ALLOW": '[{"host": "127.0.0.1"}]',
        "TAGSTREAM_LOG_LEVEL": "INFO",
    }


@pytest.fixture
def worker(cli, server):
    """A worker of its own process."""
    assert cli("db", "upgrade", **server).code == 0
    process = cli.start("worker", **server)
    yield process
    process.kill()
    process.communicate()


def test_a_command_waits_for_the_worker_that_carries_its_job(cli, server, worker, shop):
    ended = cli("import", shop.address, "--all", "--insecure", **server)
    assert (ended.code, len(ended.rows)) == (0, 3)
    assert cli("history", "app:1.0", **server).rows[0][-2] == fx.digest_of(fx.S2)[:19]
    assert not cli.data.exists()
    worker.send_signal(signal.SIGTERM)
    _, talk = worker.communicate(timeout=60)
    assert (worker.returncode, talk.count("import.finished")) == (0, 1)


def test_ctrl_c_cancels_a_job_that_a_worker_carries(cli, server, worker, shop):
    shop.stall(".*/manifests/.*")
    waiting = cli.start("import", f"{shop.address}:1.0", "--insecure", **server)
    until(lambda: shop.requests)
    waiting.send_signal(signal.SIGINT)
    _, talk = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert "cancelled: nothing of this import was written" in talk


def test_a_job_without_a_worker_waits_in_the_queue_and_can_be_cancelled(cli, server, shop):
    cli("db", "upgrade", **server)
    waiting = cli.start("import", f"{shop.address}:1.0", **server)
    name = until(lambda: cli("jobs", "-o", "name", **server).out)
    ended = cli("job", "cancel", name.strip().removeprefix("job/"), **server)
    assert "is cancelled" in ended.err
    assert waiting.wait(timeout=30) == 1
    waiting.communicate()


def test_a_database_without_tables_is_told_apart(cli, server):
    ended = cli("get", **server)
    assert ended.code == 1
    assert "tagstream db upgrade" in ended.err
