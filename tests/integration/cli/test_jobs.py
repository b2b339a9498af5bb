"""Jobs from the command line: listed, watched, cancelled, picked up again."""

import re
import sqlite3

import pytest

from models.job_types import JobRequest
from models.store.database.session import open_engine, transaction, upgrade
from models.store.jobs.job_store import create_job
from tests import fixtures as fx
from tests.integration.cli.conftest import interrupt, until
from tests.integration.imports.conftest import img, isi
from worker.job_queue import utc_now


def running(cli):
    """The id of a job that runs."""
    jobs = cli("jobs", "-o", "json").json()["items"]
    return next((j["metadata"]["name"] for j in jobs if j["status"]["state"] == "running"), None)


@pytest.fixture
def stalled(cli, shop):
    """An import that waits for a registry which never answers, and its job's id."""
    shop.stall(".*/manifests/.*")
    process = cli.start("import", f"{shop.address}:1.0")
    yield process, until(lambda: running(cli))
    process.kill()
    process.communicate()


def test_ctrl_c_cancels_the_job_and_writes_nothing(cli, stalled):
    process, job = stalled
    ended = interrupt(process)
    assert (ended.code, ended.out) == (1, "")
    assert "cancelling …" in ended.err
    assert "cancelled: nothing of this import was written to default/app" in ended.err
    assert "Traceback" not in ended.err
    assert cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"
    assert cli("get", "-o", "name").out == ""


def test_sigterm_is_as_good_as_ctrl_c(cli, stalled):
    process, job = stalled
    process.terminate()
    assert process.wait(timeout=30) == 1
    assert cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_job_cancel_stops_an_import_of_another_process(cli, stalled):
    process, job = stalled
    ended = cli("job", "cancel", job[:8])
    assert (ended.code, ended.out) == (0, "")
    assert f"job {job} is asked to stop" in ended.err
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled: nothing of this import was written" in talk
    assert "has ended already: cancelled" in cli("job", "cancel", job).err


def test_a_job_that_has_ended_cannot_be_cancelled(cli, shop):
    cli("import", f"{shop.address}:1.0")
    [name] = cli("jobs", "-o", "name").out.split()
    ended = cli("job", "cancel", name.removeprefix("job/"))
    assert ended.code == 1
    assert "has ended already: succeeded" in ended.err


def test_a_queued_job_is_cancelled_at_once(cli):
    job = leave_behind(cli, "127.0.0.1:1/team/app:1.0")
    assert f"job {job} is cancelled" in cli("job", "cancel", str(job)).err


def test_jobs_tell_who_asked_for_what_and_how_it_ended(cli, shop):
    cli("import", f"{shop.address}:1.0")
    cli("import", f"{shop.address}:nope")
    assert [row[1:3] for row in cli("jobs").rows] == [["app", "succeeded,"], ["app", "succeeded"]]
    bad, good = cli("jobs", "-o", "json").json()["items"]
    assert (good["kind"], good["apiVersion"]) == ("Job", "tagstream/v1")
    assert good["spec"]["asker"] == "user"
    assert good["spec"]["lane"] == "interactive"
    assert good["status"]["result"]["imported"] == 1
    assert (bad["status"]["state"], bad["status"]["withErrors"]) == ("succeeded", True)
    assert bad["status"]["result"]["targets"][0]["code"] == "notfound.tag"
    assert "user" in cli("jobs", "-o", "wide").out
    assert cli("jobs", "-n", "other").err == "no jobs in namespace other\n"
    assert [row[0] for row in cli("jobs", "-A", "--limit", "1").rows] == ["default"]


def test_watch_prints_a_line_for_every_change_until_ctrl_c(cli, shop):
    cli("import", f"{shop.address}:1.0")
    process = cli.start("jobs", "--watch")
    first = process.stdout.readline()
    ended = interrupt(process)
    assert re.fullmatch(r"[0-9a-f-]{36}   app   succeeded   \d/\d\n", first)
    assert (ended.code, ended.err) == (0, "")


def test_a_job_that_an_earlier_process_left_is_carried_by_the_next(cli, shop):
    left = leave_behind(cli, f"{shop.address}:1.1")
    cli("import", f"{shop.address}:1.0", "--to", "other")
    cli("import", f"{shop.address}:1.0", "--to", "other")
    assert cli("get", "jobs", str(left), "-o", "json").json()["status"]["state"] == "succeeded"
    assert cli("history", "left:1.1").rows[0][-2] == fx.digest_of(fx.OCI)[:19]


def leave_behind(cli, reference):
    """A queued job whose process died long ago."""
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    upgrade(engine)
    request = isi(img(reference, to="1.1"), name="left", namespace="default")
    with transaction(engine) as session:
        job = create_job(session, JobRequest(request=request), now=utc_now().replace(year=2001))
    engine.dispose()
    return job.id


def test_a_job_that_its_worker_lost_is_carried_by_the_command_that_waits(cli, shop):
    """A lease that nobody keeps runs out while the command waits; it sweeps for itself."""
    shop.delay(20.0, ".*/manifests/.*", times=1)
    quick = {"TAGSTREAM_SWEEP_INTERVAL": "PT0.5S", "TAGSTREAM_JOB_LEASE": "PT3S"}
    process = cli.start("import", f"{shop.address}:1.0", **quick)
    job = until(lambda: running(cli))
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        database.execute("update jobs set attempt = attempt + 1, leased_until = '2001-01-01'")
    database.close()
    assert process.wait(timeout=40) == 0
    process.communicate()
    status = cli("get", "jobs", job, "-o", "json").json()["status"]
    assert (status["state"], status["attempt"]) == ("succeeded", 3)
