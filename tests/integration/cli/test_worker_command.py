"""`tagstream worker` in a process of its own, and commands that wait for it."""

import signal

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.integration.cli.conftest import wait_until


@pytest.fixture
def server_settings(redis_url, postgres_url):
    """The environment variables that all processes of one installation share."""
    return {
        "TAGSTREAM_BROKER_URL": redis_url,
        "TAGSTREAM_DATABASE_URL": postgres_url,
        "TAGSTREAM_KEY": Fernet.generate_key().decode(),
        "TAGSTREAM_EGRESS_ALLOW": '[{"host": "127.0.0.1"}]',
        "TAGSTREAM_LOG_LEVEL": "INFO",
    }


@pytest.fixture
def worker(cli, server_settings):
    """A worker in a process of its own."""
    assert cli("db", "upgrade", **server_settings).code == 0
    process = cli.start("worker", **server_settings)
    yield process
    process.kill()
    process.communicate()


def test_import_waits_for_worker_that_runs_its_job(cli, server_settings, worker, app_registry):
    result = cli("import", app_registry.repository, "--all", "--insecure", **server_settings)
    assert (result.code, len(result.rows)) == (0, 3)
    assert cli("history", "app:1.0", **server_settings).rows[0][-2] == fx.digest_of(fx.S2)[:19]
    assert not cli.data.exists()
    worker.send_signal(signal.SIGTERM)
    _, stderr = worker.communicate(timeout=60)
    assert (worker.returncode, stderr.count("import.finished")) == (0, 1)


def test_ctrl_c_cancels_job_that_worker_runs(cli, server_settings, worker, app_registry):
    app_registry.stall(".*/manifests/.*")
    import_process = cli.start(
        "import", f"{app_registry.repository}:1.0", "--insecure", **server_settings
    )
    wait_until(lambda: app_registry.requests)
    import_process.send_signal(signal.SIGINT)
    _, stderr = import_process.communicate(timeout=30)
    assert import_process.returncode == 1
    assert "cancelled: nothing of this import was written" in stderr


def test_job_without_worker_stays_queued_and_can_be_cancelled(cli, server_settings, app_registry):
    cli("db", "upgrade", **server_settings)
    import_process = cli.start("import", f"{app_registry.repository}:1.0", **server_settings)
    name = wait_until(lambda: cli("jobs", "-o", "name", **server_settings).out)
    result = cli("job", "cancel", name.strip().removeprefix("job/"), **server_settings)
    assert "is cancelled" in result.err
    assert import_process.wait(timeout=30) == 1
    import_process.communicate()


def test_get_on_database_without_tables_names_db_upgrade(cli, server_settings):
    result = cli("get", **server_settings)
    assert result.code == 1
    assert "tagstream db upgrade" in result.err
