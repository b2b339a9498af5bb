"""A whole importer around one database and the fake registry: what went in, what came of it."""

import base64
import json
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.job_types import Asker, JobRequest, JobState
from models.resources.imports import ImageStreamImport
from models.resources.meta import Secret
from models.store.access.secret_store import save_secret
from models.store.database.session import open_engine, transaction, upgrade
from models.store.images.image_store import load_image
from models.store.jobs.job_store import create_job, load_answer
from models.store.streams.stream_store import load_stream, save_stream
from models.store.tables.schedule import ScheduleRow
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from tests import fixtures as fx
from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import moment, read_job, utc_now
from worker.worker_context import open_runtime


def img(name, *, to=None, kind="DockerImage", manifest=False, reference_policy=None, **policy):
    """`spec.images[i]` as clients write it."""
    return {
        "from": {"kind": kind, "name": name},
        **({"to": {"name": to}} if to is not None else {}),
        "importPolicy": policy,
        **({"referencePolicy": {"type": reference_policy}} if reference_policy else {}),
        **({"includeManifest": True} if manifest else {}),
    }


def isi(*images, repository=None, do=True, name="is", namespace="ns", **meta):
    """An ImageStreamImport; `repository` is a name or a whole `spec.repository`."""
    if isinstance(repository, str):
        repository = {"from": {"kind": "DockerImage", "name": repository}}
    return ImageStreamImport.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace, **meta},
            "spec": {
                "import": do,
                **({"images": list(images)} if images else {}),
                **({"repository": repository} if repository else {}),
            },
        }
    )


def save(house, auths, *, name="pull", namespace="ns", **annotations):
    """A pull secret with a user and a password for each key."""
    entries = {
        key: {"username": user, "password": password} for key, (user, password) in auths.items()
    }
    content = json.dumps({"auths": entries}).encode()
    house.save_secret(
        Secret.model_validate(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "annotations": {
                        f"openshift.io/image.{key}": value for key, value in annotations.items()
                    },
                },
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": base64.b64encode(content).decode()},
            }
        )
    )


class House:
    """Runs imports to their end, in this process, and shows what is stored."""

    def __init__(self, **settings):
        self.settings = Settings(**settings)
        self.engine = open_engine(self.settings.effective_database_url)
        upgrade(self.engine)
        self.runtime = open_runtime(self.settings, engine=self.engine)
        client = self.runtime.client
        client.config = replace(client.config, retry_pause=(0.0, 0.0))

    def close(self):
        self.runtime.close()

    def run(self, request, **job):
        """The finished job of `request`."""
        job.setdefault("wants_answer", True)
        job.setdefault("asker", Asker.API)
        wanted = JobRequest(request=request, **job)
        with transaction(self.engine) as session:
            made = create_job(session, wanted, now=utc_now())
        run_import(made.id, self.runtime)
        done = read_job(self.engine, made.id)
        assert done.state.is_final
        return done

    def answer(self, request, **job):
        """The answer's status, as a client sees it."""
        done = self.run(request, **job)
        assert done.state is JobState.SUCCEEDED, done.result.error
        with transaction(self.engine, write=False) as session:
            packed = load_answer(session, done.id)
        return json.loads(zlib.decompress(packed))["status"]

    def refused(self, request, **job):
        """The Status of a request that fails as a whole."""
        done = self.run(request, **job)
        assert done.state is JobState.FAILED
        return done.result.error

    def stream(self, name="is", namespace="ns"):
        with transaction(self.engine, write=False) as session:
            return load_stream(session, namespace, name, history=None)

    def image(self, digest):
        with transaction(self.engine, write=False) as session:
            return load_image(session, digest)

    def save_stream(self, old, new):
        with transaction(self.engine) as session:
            return save_stream(session, old, new, now=utc_now())

    def calendar(self):
        """The rows of the calendar, by stream and tag."""
        with transaction(self.engine, write=False) as session:
            rows = session.execute(select(ScheduleRow)).scalars().all()
        return {f"{row.stream}:{row.tag}": row for row in rows}

    def come_due(self, *names, by=1.0):
        """Let the turns of these rows (all, where none is named) have come `by` seconds ago."""
        then = moment() - timedelta(seconds=by)
        for name, row in self.calendar().items():
            if not names or name in names:
                with transaction(self.engine) as session:
                    session.execute(
                        update(ScheduleRow)
                        .where(ScheduleRow.id == row.id)
                        .values(due=then, next_look=then, fresh=False)
                    )

    def hurry(self):
        """Let it be time to look at what waits for something."""
        with transaction(self.engine) as session:
            session.execute(
                update(ScheduleRow)
                .where(ScheduleRow.due <= moment())
                .values(next_look=moment() - timedelta(seconds=1))
            )

    def tick(self, *, pace=None, carry=True):
        """Claim what is due and carry it, as beat and a worker would; what the tick came to."""
        rules = Rules(
            build_cadence(self.settings), self.settings.check_lease, lambda _host: pace or Pace()
        )
        with transaction(self.engine) as session:
            batch, batches, ticked = claim_round(session, rules, now=moment())
        for ids in batches if carry else ():
            run_checks(batch, ids, self.runtime)
        return ticked

    def look(self, *names, **tick):
        """One turn of those rows, or of all."""
        self.come_due(*names)
        return self.tick(**tick)

    def save_secret(self, secret):
        with transaction(self.engine) as session:
            return save_secret(session, secret, cipher=self.runtime.cipher, now=utc_now())


@pytest.fixture
def open_house(tmp_path, ready_database_url):
    """Opens Houses with settings of the test's choice; they close by themselves."""
    opened = []

    def open_one(**settings):
        house = House(
            data_dir=tmp_path / f"data{len(opened)}", database_url=ready_database_url, **settings
        )
        opened.append(house)
        return house

    yield open_one
    for house in opened:
        house.close()


@pytest.fixture
def house(open_house):
    return open_house()


@pytest.fixture
def reg(fake):
    """The registry of the specification's reading aid: `a/b` has `t` = S2 and `u` = OCI."""
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    fake.push("a/b", tag="u", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    return fake
