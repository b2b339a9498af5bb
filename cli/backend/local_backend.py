"""The backend of this process: the API application without a socket, and direct database access.

Some requests bypass the application, because it would report less or work less well:

- imports and reimports are enqueued here, with a worker in this process for as long as they run.
  They count as the user's own (`trigger: user`), may take every tag of a repository, and do not
  wait for the application to start, which saves an eighth of a second of every cold `tagstream
  import`;
- jobs are read from their rows, which also have the code of each failure and the worker;
- histories reach beyond the hundred events that the API returns;
- secrets can be listed, replaced and deleted even if the encryption key is lost, and in a namespace
  that does not exist yet.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from cli.backend.base_backend import (
    MIN_ID_PREFIX_LENGTH,
    Backend,
    id_too_short_error,
    select_job,
)
from cli.bootstrap import local_user
from cli.target import DEFAULT_NAMESPACE
from models.errors import AlreadyExistsError, NotFoundError
from models.store.database.session import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cli.backend.backend_types import ReimportOptions
    from cli.backend.in_process import InProcessApi
    from cli.backend.rest_client import RestClient
    from models.config.settings import Settings
    from models.job_types import Job, JobRequest
    from models.resources.meta import Secret
    from models.resources.stream import ImageStream, TagEvent

JOB_PAGE_LIMIT = 200
JOB_POLL_SECONDS = 0.5


class LocalBackend(Backend):
    """A backend of settings and a database. The API application is built on first use."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        super().__init__(namespace=DEFAULT_NAMESPACE)
        self._settings = settings
        self._engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_in_process_api" in self.__dict__:
            self._in_process_api.close()

    @property
    def rest(self) -> RestClient:
        """Return the REST client of the in-process application."""
        return self._in_process_api.rest

    @cached_property
    def _in_process_api(self) -> InProcessApi:
        from cli.backend.in_process import InProcessApi
        from cli.bootstrap import open_settings_cipher
        from worker.celery_app import build_celery_app

        settings = self._settings
        cipher = open_settings_cipher(settings)
        return InProcessApi(
            settings, self._engine, cipher, build_celery_app(settings), user=local_user()
        )

    # -- imports --

    def run_import(self, request: JobRequest, *, title: str) -> Job:
        from cli.job_progress import run_jobs
        from models.streams.writes.object_defaults import default_import

        settings = self._settings
        job_request = replace(
            request,
            request=default_import(request.request, mode=settings.default_import_mode),
            max_tags=None if request.max_tags is None else settings.max_tags_ceiling,
        )
        [job] = run_jobs(settings, self._engine, [job_request], title=title)
        return job

    def import_response(self, job: Job) -> dict[str, Any]:
        from models.store.jobs.job_queries import load_job_response

        with transaction(self._engine, write=False) as session:
            compressed = load_job_response(session, job.id)
        response: dict[str, Any] = json.loads(zlib.decompress(compressed)) if compressed else {}
        return response

    def reimport(self, options: ReimportOptions) -> list[Job]:
        """Run a reimport; one stream is an ordinary import job, several are one parent job with
        children.
        """
        from cli.job_progress import run_jobs, run_reimport_jobs
        from models.store.jobs.reimport_store import build_reimport_job

        if not options.stream:
            job_request = build_reimport_job(options.namespace, options.selector, user=local_user())
            title = "importing streams again"
            return run_reimport_jobs(self._settings, self._engine, job_request, title=title)
        request = self._build_reimport_request(
            self.find_stream(options.namespace, options.stream), options
        )
        if request is None:
            return []
        destination = f"{request.namespace}/{request.stream}"
        return run_jobs(
            self._settings, self._engine, [request], title=f"importing {destination} again"
        )

    def _build_reimport_request(
        self, stream: ImageStream, options: ReimportOptions
    ) -> JobRequest | None:
        from models.job_types import JobRequest, JobTrigger, Priority
        from models.streams.imports.reimport_request import build_reimport_request

        tags = [options.tag] if options.tag else None
        request = build_reimport_request(
            stream, tags, failed_only=options.failed_only, registry=options.registry
        )
        if request is None:
            return None
        return JobRequest(
            request=request,
            trigger=JobTrigger.ADMINISTRATOR,
            priority=Priority.INTERACTIVE if options.tag else Priority.BULK,
            user=local_user(),
            max_tags=self._settings.max_tags_ceiling,
            coalesce=True,
        )

    # -- jobs --

    def recent_jobs(
        self, namespace: str | None, *, limit: int, include_children: bool = False
    ) -> list[Job]:
        from models.store.jobs.job_queries import list_jobs

        with transaction(self._engine, write=False) as session:
            return list_jobs(
                session, namespace=namespace, include_children=include_children, limit=limit
            )

    def watch_jobs(
        self, namespace: str | None, *, limit: int, include_children: bool = False
    ) -> Iterator[list[Job]]:
        while True:
            yield self.recent_jobs(namespace, limit=limit, include_children=include_children)
            time.sleep(JOB_POLL_SECONDS)

    def find_job(self, name: str) -> Job:
        from models.store.jobs.job_store import load_job

        try:
            job_id = UUID(name)
        except ValueError:
            return self._find_job_by_prefix(name)
        with transaction(self._engine, write=False) as session:
            job = load_job(session, job_id)
        if job is None:
            raise NotFoundError(resource="jobs", name=name, group="")
        return job

    def _find_job_by_prefix(self, prefix: str) -> Job:
        from models.store.jobs.job_queries import list_jobs

        if len(prefix) < MIN_ID_PREFIX_LENGTH:
            raise id_too_short_error(prefix)
        found: list[Job] = []
        after: Job | None = None
        while True:
            with transaction(self._engine, write=False) as session:
                page = list_jobs(session, limit=JOB_PAGE_LIMIT, after=after)
            found.extend(page)
            if len(page) < JOB_PAGE_LIMIT:
                return select_job(found, prefix)
            after = page[-1]

    def cancel_job(self, job: Job) -> Job:
        from worker.job_queue import cancel_job

        return cancel_job(self._engine, job.id)

    # -- histories --

    def history(
        self, namespace: str, name: str, tag: str, *, limit: int, at: datetime | None
    ) -> tuple[list[TagEvent], bool]:
        from models.store.streams.stream_store import load_stream
        from models.store.streams.tag_histories import load_event_at, load_history

        with transaction(self._engine, write=False) as session:
            if at is None:
                events = load_history(session, namespace, name, tag, limit=limit)
            else:
                found = load_event_at(session, namespace, name, tag, at)
                events = [] if found is None else [found]
            known = bool(events) or load_stream(session, namespace, name, history=0) is not None
        return events, known

    # -- secrets --

    def save_secret(self, secret: Secret, *, replace: bool) -> None:
        from cli.bootstrap import open_settings_cipher
        from models.store.access.namespace_store import ensure_namespace
        from models.store.access.secret_store import load_secret, save_secret

        namespace, name = secret.metadata.namespace, secret.metadata.name
        cipher = open_settings_cipher(self._settings)
        if not replace:
            with transaction(self._engine, write=False) as session:
                if load_secret(session, namespace, name, cipher=cipher) is not None:
                    raise AlreadyExistsError(
                        resource="secrets", name=f"{namespace}/{name}", group=""
                    )
        with transaction(self._engine) as session:
            ensure_namespace(session, namespace, now=_now())
            save_secret(session, secret, cipher=cipher, now=_now())

    def list_secrets(self, namespace: str | None) -> list[Secret]:
        from models.store.access.secret_store import list_secrets

        with transaction(self._engine, write=False) as session:
            return list_secrets(session, namespace)

    def delete_secret(self, namespace: str, name: str) -> bool:
        from models.store.access.secret_store import delete_secret

        with transaction(self._engine) as session:
            return bool(delete_secret(session, namespace, name, now=_now()))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
