"""Server roles as an operator runs them: processes that share one PostgreSQL and one Redis."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select

from models.config.settings import Settings
from models.job_types import JobRequest, JobTrigger, Priority
from models.resources.imports import ImageStreamImport
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.jobs.job_queries import list_jobs
from models.store.tables.streams import StreamRow, TagEventRow, TagRow
from tests import fixtures as fx
from worker.celery_app import build_celery_app
from worker.job_queue import enqueue, load_existing_job

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def until(condition, *, within=20.0, interval=0.02):
    """Wait until `condition` returns a true value; return that value."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"the condition is not met after {within:g} s"
        time.sleep(interval)
    return found


class RoleProcess:
    """A process of one server role; its output is in a file."""

    def __init__(self, command, output, variables):
        self.output_file = output
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with output.open("ab") as output_stream:
            self._process = subprocess.Popen(
                [*prefix, *command],
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output_stream,
                stderr=output_stream,
            )

    @property
    def pid(self):
        return self._process.pid

    @property
    def output(self):
        return self.output_file.read_text(errors="replace")

    @property
    def runs(self):
        return self._process.poll() is None

    def wait(self, timeout):
        return self._process.wait(timeout)

    def kill(self):
        """Kill it without a shutdown, as the out-of-memory killer does."""
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def send(self, number):
        self._process.send_signal(number)

    def stop(self, *, within=60):
        """Stop it as an operator does; return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)


class ServerCluster:
    """The settings, database and Celery application of a set of role processes."""

    def __init__(self, directory, *, database_url, broker_url, registry, **variables):
        self.directory = directory
        self.registry = registry
        self.variables = {
            "PATH": os.environ["PATH"],
            "TAGSTREAM_DATABASE_URL": database_url,
            "TAGSTREAM_BROKER_URL": broker_url,
            "TAGSTREAM_KEY": Fernet.generate_key().decode(),
            "TAGSTREAM_EGRESS_ALLOW": f'[{{"host": "127.0.0.1", "port": {registry.port}}}]',
            "TAGSTREAM_INSECURE_REGISTRIES": f'["{registry.host}"]',
            "TAGSTREAM_LOG_LEVEL": "INFO",
            "TAGSTREAM_LOG_FORMAT": "json",
            "TAGSTREAM_REAPER_INTERVAL": "PT1S",
            "TAGSTREAM_JOB_LEASE": "PT2S",
            **variables,
        }
        self.settings = Settings(
            database_url=database_url, broker_url=broker_url, reaper_interval=1, job_lease=2
        )
        self.engine = open_engine(self.settings.effective_database_url)
        upgrade_database(self.engine)
        self.app = build_celery_app(self.settings)
        self.roles = []

    # processes

    def start(self, *command):
        output = self.directory / f"role-{len(self.roles)}"
        self.roles.append(RoleProcess(command, output, self.variables))
        return self.roles[-1]

    def worker(self):
        return self.start(str(BIN / "tagstream"), "worker")

    def beat(self):
        schedule = str(self.directory / f"beat-{len(self.roles)}")
        return self.start(
            *(str(BIN / "celery"), "-A", "scheduler.beat_main", "beat"),
            *("--schedule", schedule, "--pidfile", ""),
        )

    def close(self):
        for role in self.roles:
            with contextlib.suppress(ProcessLookupError):
                role.kill()
        self.app.close()
        self.engine.dispose()

    # jobs

    def enqueue(
        self, stream, *, repository="team/app", tag=None, priority=Priority.BULK, **options
    ):
        """Enqueue a job for a whole repository, or for one tag of it."""
        source = {"kind": "DockerImage", "name": f"{self.registry.host}/{repository}"}
        if tag is None:
            spec = {"import": True, "repository": {"from": source}}
        else:
            source["name"] += f":{tag}"
            spec = {"import": True, "images": [{"from": source, "to": {"name": tag}}]}
        image_import = ImageStreamImport.model_validate(
            {"metadata": {"name": stream, "namespace": "team"}, "spec": spec}
        )
        request = JobRequest(
            request=image_import, trigger=JobTrigger.API, priority=priority, max_tags=-1, **options
        )
        return enqueue(self.engine, self.app, request)

    def job(self, job):
        return load_existing_job(self.engine, job.id)

    def jobs(self):
        with transaction(self.engine, write=False) as session:
            return list_jobs(session, limit=1000)

    def reached(self, job, *, attempt, done):
        """Wait until the given attempt of the job has completed `done` targets."""
        until(lambda: (now := self.job(job)).attempt == attempt and now.done == done)

    def finished(self, job, *, within=30.0):
        """Wait until the job has ended; return it."""

        def ended():
            now = self.job(job)
            return now if now.state.is_final else None

        return until(ended, within=within)

    def events(self, stream):
        """Return the number of events of each tag of the stream."""
        counted = (
            select(TagRow.name, func.count(TagEventRow.id))
            .join(StreamRow, StreamRow.id == TagRow.stream_id)
            .outerjoin(TagEventRow, TagEventRow.tag_id == TagRow.id)
            .where(StreamRow.namespace == "team", StreamRow.name == stream)
            .group_by(TagRow.name)
        )
        with transaction(self.engine, write=False) as session:
            return dict(session.execute(counted).all())


def fill(registry, tags, *, repository="team/app"):
    """Push `tags` tags, each to its own image; return their names."""
    names = [f"v{number}" for number in range(tags)]
    for number, name in enumerate(names):
        config = b'{"architecture":"amd64","os":"linux","author":"%d"}' % number
        registry.push(repository, tag=name, manifest=fx.oci_manifest(config), config=config)
    return names


@pytest.fixture
def open_cluster(tmp_path, fake, postgres_url, redis_url):
    """Open a ServerCluster with further variables; its processes are killed after the test."""
    opened = []

    def open_one(**variables):
        settings = {"database_url": postgres_url, "broker_url": redis_url, "registry": fake}
        opened.append(ServerCluster(tmp_path, **{**settings, **variables}))
        return opened[-1]

    yield open_one
    for cluster in opened:
        cluster.close()
