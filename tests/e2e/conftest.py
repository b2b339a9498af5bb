"""The server roles as an operator runs them: processes around one PostgreSQL and one Redis."""

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
from models.job_types import Asker, JobRequest, Lane
from models.resources.imports import ImageStreamImport
from models.store.database.session import open_engine, transaction, upgrade
from models.store.jobs.job_store import list_jobs
from models.store.tables.streams import EventRow, StreamRow, TagRow
from tests import fixtures as fx
from worker.celery_app import build_app
from worker.job_queue import enqueue, read_job

HOME = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def until(true, *, within=20.0, rest=0.02):
    """What `true` returns, once that is something."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, f"waited {within:g} s in vain"
        time.sleep(rest)
    return found


class Role:
    """One process of the house; its output is in a file."""

    def __init__(self, command, output, variables):
        self.output_file = output
        with_us = shutil.which("setpriv")
        prefix = [with_us, "--pdeathsig", "KILL"] if with_us else []
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                [*prefix, *command],
                cwd=HOME,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
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
        """As a machine does that runs out of memory: no farewell."""
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def send(self, number):
        self._process.send_signal(number)

    def stop(self, *, within=60):
        """As an operator does; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)


class ServerHouse:
    """Settings, database and counter, shared by every process that is started here."""

    def __init__(self, directory, *, database_url, broker_url, registry, **more):
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
            "TAGSTREAM_SWEEP_INTERVAL": "PT1S",
            "TAGSTREAM_JOB_LEASE": "PT2S",
            **more,
        }
        self.settings = Settings(
            database_url=database_url, broker_url=broker_url, sweep_interval=1, job_lease=2
        )
        self.engine = open_engine(self.settings.effective_database_url)
        upgrade(self.engine)
        self.app = build_app(self.settings)
        self.roles = []

    # processes

    def start(self, *command):
        output = self.directory / f"role-{len(self.roles)}"
        self.roles.append(Role(command, output, self.variables))
        return self.roles[-1]

    def worker(self):
        return self.start(str(BIN / "tagstream"), "worker")

    def beat(self):
        schedule = str(self.directory / f"beat-{len(self.roles)}")
        return self.start(
            str(BIN / "celery"), "-A", "scheduler", "beat", "--schedule", schedule, "--pidfile", ""
        )

    def close(self):
        for role in self.roles:
            with contextlib.suppress(ProcessLookupError):
                role.kill()
        self.app.close()
        self.engine.dispose()

    # jobs

    def enqueue(self, stream, *, repository="team/app", tag=None, lane=Lane.BULK, **how):
        """A job for a whole repository, or for one tag of it."""
        source = {"kind": "DockerImage", "name": f"{self.registry.host}/{repository}"}
        if tag is None:
            spec = {"import": True, "repository": {"from": source}}
        else:
            source["name"] += f":{tag}"
            spec = {"import": True, "images": [{"from": source, "to": {"name": tag}}]}
        wanted = ImageStreamImport.model_validate(
            {"metadata": {"name": stream, "namespace": "team"}, "spec": spec}
        )
        request = JobRequest(request=wanted, asker=Asker.API, lane=lane, max_tags=-1, **how)
        return enqueue(self.engine, self.app, request)

    def job(self, job):
        return read_job(self.engine, job.id)

    def jobs(self):
        with transaction(self.engine, write=False) as session:
            return list_jobs(session, limit=1000)

    def reached(self, job, *, attempt, done):
        """Wait until that attempt at the job has so many targets behind it."""
        until(lambda: (now := self.job(job)).attempt == attempt and now.done == done)

    def finished(self, job, *, within=30.0):
        """The job once it has ended."""

        def ended():
            now = self.job(job)
            return now if now.state.is_final else None

        return until(ended, within=within)

    def events(self, stream):
        """How many events each tag of the stream has."""
        counted = (
            select(TagRow.name, func.count(EventRow.id))
            .join(StreamRow, StreamRow.id == TagRow.stream_id)
            .outerjoin(EventRow, EventRow.tag_id == TagRow.id)
            .where(StreamRow.namespace == "team", StreamRow.name == stream)
            .group_by(TagRow.name)
        )
        with transaction(self.engine, write=False) as session:
            return dict(session.execute(counted).all())


def fill(registry, tags, *, repository="team/app"):
    """Push that many tags, each an image of its own; their names."""
    names = [f"v{number}" for number in range(tags)]
    for number, name in enumerate(names):
        config = b'{"architecture":"amd64","os":"linux","author":"%d"}' % number
        registry.push(repository, tag=name, manifest=fx.oci_manifest(config), config=config)
    return names


@pytest.fixture
def open_server(tmp_path, fake, postgres_url, redis_url):
    """Opens a ServerHouse with further variables; its processes die with the test."""
    opened = []

    def open_one(**more):
        settings = {"database_url": postgres_url, "broker_url": redis_url, "registry": fake}
        opened.append(ServerHouse(tmp_path, **{**settings, **more}))
        return opened[-1]

    yield open_one
    for house in opened:
        house.close()
