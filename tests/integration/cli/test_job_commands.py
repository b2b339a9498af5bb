"""`tagstream jobs` and `job cancel`, and jobs of commands that were interrupted or died."""

import re
import sqlite3

import pytest

from models.job_types import JobRequest
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.jobs.job_store import create_job
from tests import fixtures as fx
from tests.integration.cli.conftest import interrupt, wait_until
from tests.integration.imports.import_requests import img, isi
from worker.job_queue import utc_now


def running_job_id(cli):
    """Return the id of a running job, or None."""
    jobs = cli("jobs", "-o", "json").json()["items"]
    return next((j["metadata"]["name"] for j in jobs if j["status"]["state"] == "running"), None)


@pytest.fixture
def stalled_import(cli, app_registry):
    """An import that waits for a registry which never responds, and its job's id."""
    app_registry.stall(".*/manifests/.*")
    process = cli.start("import", f"{app_registry.repository}:1.0")
    yield process, wait_until(lambda: running_job_id(cli))
    process.kill()
    process.communicate()


def test_ctrl_c_cancels_import_job_and_writes_nothing(cli, stalled_import):
    process, job = stalled_import
    result = interrupt(process)
    assert (result.code, result.out) == (1, "")
    assert "cancelling …" in result.err
    assert "cancelled: nothing of this import was written to default/app" in result.err
    assert "Traceback" not in result.err
    assert cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"
    assert cli("get", "-o", "name").out == ""


def test_sigterm_cancels_import_job(cli, stalled_import):
    process, job = stalled_import
    process.terminate()
    assert process.wait(timeout=30) == 1
    assert cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_job_cancel_stops_import_of_other_process(cli, stalled_import):
    process, job = stalled_import
    result = cli("job", "cancel", job[:8])
    assert (result.code, result.out) == (0, "")
    assert f"job {job} is being cancelled" in result.err
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled: nothing of this import was written" in stderr
    assert "is already final: cancelled" in cli("job", "cancel", job).err


def test_job_cancel_of_finished_job_fails(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    [name] = cli("jobs", "-o", "name").out.split()
    result = cli("job", "cancel", name.removeprefix("job/"))
    assert result.code == 1
    assert "is already final: succeeded" in result.err


def test_job_cancel_of_queued_job_cancels_at_once(cli):
    job = create_orphaned_job(cli, "127.0.0.1:1/team/app:1.0")
    assert f"job {job} is cancelled" in cli("job", "cancel", str(job)).err


def test_jobs_shows_trigger_and_result_of_each_job(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    cli("import", f"{app_registry.repository}:nope")
    assert [row[1:3] for row in cli("jobs").rows] == [["app", "failed"], ["app", "succeeded"]]
    bad, good = cli("jobs", "-o", "json").json()["items"]
    assert (good["kind"], good["apiVersion"]) == ("Job", "tagstream/v1")
    assert good["spec"]["trigger"] == "user"
    assert good["spec"]["priority"] == "interactive"
    assert good["status"]["result"]["tagsNew"] == 1
    assert (bad["status"]["state"], bad["status"]["withErrors"]) == ("failed", True)
    assert bad["status"]["result"]["targets"][0]["code"] == "notfound.tag"
    assert "user" in cli("jobs", "-o", "wide").out
    assert cli("jobs", "-n", "other").err == "no jobs in namespace other\n"
    assert [row[0] for row in cli("jobs", "-A", "--limit", "1").rows] == ["default"]


def test_jobs_watch_prints_changes_until_ctrl_c(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    process = cli.start("jobs", "--watch")
    first = process.stdout.readline()
    result = interrupt(process)
    assert re.fullmatch(r"[0-9a-f-]{36}   app   succeeded   \d/\d\n", first)
    assert (result.code, result.err) == (0, "")


def test_import_runs_queued_job_of_dead_process(cli, app_registry):
    job = create_orphaned_job(cli, f"{app_registry.repository}:1.1")
    cli("import", f"{app_registry.repository}:1.0", "--to", "other")
    cli("import", f"{app_registry.repository}:1.0", "--to", "other")
    assert cli("get", "jobs", str(job), "-o", "json").json()["status"]["state"] == "succeeded"
    assert cli("history", "left:1.1").rows[0][-2] == fx.digest_of(fx.OCI)[:19]


def create_orphaned_job(cli, reference):
    """Create a queued job whose process died long ago; return its id."""
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    upgrade_database(engine)
    request = isi(img(reference, to="1.1"), name="left", namespace="default")
    with transaction(engine) as session:
        job = create_job(session, JobRequest(request=request), now=utc_now().replace(year=2001))
    engine.dispose()
    return job.id


def test_import_reclaims_job_whose_lease_expired(cli, app_registry):
    """The lease expires while the command waits, and the command runs its own reaper."""
    app_registry.delay(20.0, ".*/manifests/.*", times=1)
    short_lease = {"TAGSTREAM_REAPER_INTERVAL": "PT0.5S", "TAGSTREAM_JOB_LEASE": "PT3S"}
    process = cli.start("import", f"{app_registry.repository}:1.0", **short_lease)
    job = wait_until(lambda: running_job_id(cli))
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        database.execute("update jobs set attempt = attempt + 1, leased_until = '2001-01-01'")
    database.close()
    assert process.wait(timeout=40) == 0
    process.communicate()
    status = cli("get", "jobs", job, "-o", "json").json()["status"]
    assert (status["state"], status["attempts"]) == ("succeeded", 3)
