"""`ImportHarness`: runs imports and scheduled checks in this process."""

import json
import zlib
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update

from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.job_types import JobRequest, JobState, JobTrigger
from models.store.access.secret_store import save_secret
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.images.image_store import load_image
from models.store.jobs.job_queries import load_job_response
from models.store.jobs.job_store import create_job
from models.store.streams.stream_store import load_stream, save_stream
from models.store.tables.schedule import ScheduledTagRow
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import load_existing_job, precise_utc_now, utc_now
from worker.worker_context import open_worker_context


class ImportHarness:
    """Runs imports and scheduled checks in this process, and loads what they stored."""

    def __init__(self, **settings):
        self.settings = Settings(**settings)
        self.engine = open_engine(self.settings.effective_database_url)
        upgrade_database(self.engine)
        self.context = open_worker_context(self.settings, engine=self.engine)
        client = self.context.client
        client.config = replace(client.config, retry_pause=(0.0, 0.0))

    def close(self):
        self.context.close()

    def run(self, request, **job):
        """Run `request` as a job and return the finished job."""
        job.setdefault("wants_response", True)
        job.setdefault("trigger", JobTrigger.API)
        job_request = JobRequest(request=request, **job)
        with transaction(self.engine) as session:
            created = create_job(session, job_request, now=utc_now())
        run_import(created.id, self.context)
        done = load_existing_job(self.engine, created.id)
        assert done.state.is_final
        return done

    def import_status(self, request, **job):
        """Run `request` and return the status that the client receives."""
        done = self.run(request, **job)
        assert done.result.error is None, done.result.error
        with transaction(self.engine, write=False) as session:
            packed = load_job_response(session, done.id)
        return json.loads(zlib.decompress(packed))["status"]

    def failed_status(self, request, **job):
        """Run a request that fails as a whole and return its Status."""
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

    def schedule_rows(self):
        """Return the schedule's rows by stream and tag."""
        with transaction(self.engine, write=False) as session:
            rows = session.execute(select(ScheduledTagRow)).scalars().all()
        return {f"{row.stream}:{row.tag}": row for row in rows}

    def make_due(self, *names, by=1.0):
        """Make these rows (all, if none is named) due since `by` seconds."""
        then = precise_utc_now() - timedelta(seconds=by)
        for name, row in self.schedule_rows().items():
            if not names or name in names:
                with transaction(self.engine) as session:
                    session.execute(
                        update(ScheduledTagRow)
                        .where(ScheduledTagRow.id == row.id)
                        .values(due_at=then, next_check_at=then, needs_due_time=False)
                    )

    def expire_waits(self):
        """End the waits of due rows: claim them at the next tick."""
        with transaction(self.engine) as session:
            session.execute(
                update(ScheduledTagRow)
                .where(ScheduledTagRow.due_at <= precise_utc_now())
                .values(next_check_at=precise_utc_now() - timedelta(seconds=1))
            )

    def tick(self, *, rate_policy=None, execute=True):
        """Claim due rows and check them, as beat and a worker do; return the tick's result."""
        rules = DispatchConfig(
            build_cadence(self.settings),
            self.settings.check_lease,
            lambda _host: rate_policy or CheckRatePolicy(),
        )
        with transaction(self.engine) as session:
            batch, batches, result = claim_round(session, rules, now=precise_utc_now())
        for ids in batches if execute else ():
            run_checks(batch, ids, self.context)
        return result

    def check_now(self, *names, **tick):
        """Make these rows (or all) due and check them."""
        self.make_due(*names)
        return self.tick(**tick)

    def save_secret(self, secret):
        with transaction(self.engine) as session:
            return save_secret(session, secret, cipher=self.context.cipher, now=utc_now())
