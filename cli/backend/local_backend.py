"""The desk of this process: the same application as a server's, asked without a socket.

Around it goes only what it would tell or do less well:

- imports and reimports are put on the counter here, with a worker beside it for as long as they
  take. They are the person's own (`asker: user`), may take every tag of a repository, and start
  without the application, which saves an eighth of a second of every cold `tagstream import`;
- jobs are read from their rows, which also know the code of each failure and the worker;
- histories reach beyond the hundred events that the API shows;
- secrets can be listed, replaced and deleted even when the key that opens them is lost, and in a
  namespace that nobody made before.
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

from cli.backend.server_backend import SHORTEST_ID, Again, Desk, only_job, too_short
from cli.bootstrap import who_asks
from cli.target import DEFAULT_NAMESPACE
from models.errors import AlreadyExistsError, NotFoundError
from models.store.database.session import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cli.backend.in_process import Inside
    from cli.backend.rest_client import Rest
    from models.config.settings import Settings
    from models.job_types import Job, JobRequest
    from models.resources.meta import Secret
    from models.resources.stream import ImageStream, TagEvent

PAGE = 200
LOOK_EVERY = 0.5


class HomeDesk(Desk):
    """Settings, a database, and the application over them once something asks for it."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        super().__init__(namespace=DEFAULT_NAMESPACE)
        self._settings = settings
        self._engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_inside" in self.__dict__:
            self._inside.close()

    @property
    def rest(self) -> Rest:
        return self._inside.rest

    @cached_property
    def _inside(self) -> Inside:
        from cli.backend.in_process import Inside
        from cli.bootstrap import open_settings_cipher
        from worker.celery_app import build_app

        settings = self._settings
        cipher = open_settings_cipher(settings)
        return Inside(settings, self._engine, cipher, build_app(settings), user=who_asks())

    # -- imports --

    def carry(self, request: JobRequest, *, title: str) -> Job:
        from cli.job_progress import carry_out
        from models.streams.writes.object_defaults import default_import

        settings = self._settings
        wanted = replace(
            request,
            request=default_import(request.request, mode=settings.default_import_mode),
            max_tags=None if request.max_tags is None else settings.max_tags_ceiling,
        )
        [job] = carry_out(settings, self._engine, [wanted], title=title)
        return job

    def answer(self, job: Job) -> dict[str, Any]:
        from models.store.jobs.job_store import load_answer

        with transaction(self._engine, write=False) as session:
            packed = load_answer(session, job.id)
        answer: dict[str, Any] = json.loads(zlib.decompress(packed)) if packed else {}
        return answer

    def reimport(self, wish: Again) -> list[Job]:
        """One stream is a job like any import; of several, one more stands for all."""
        from cli.job_progress import carry_out, carry_reimport
        from models.store.jobs.reimport_store import reimport_job

        if not wish.stream:
            wanted = reimport_job(wish.namespace, wish.selector, user=who_asks())
            title = "importing streams again"
            return carry_reimport(self._settings, self._engine, wanted, title=title)
        request = self._again(self.find_stream(wish.namespace, wish.stream), wish)
        if request is None:
            return []
        goal = f"{request.namespace}/{request.stream}"
        return carry_out(self._settings, self._engine, [request], title=f"importing {goal} again")

    def _again(self, stream: ImageStream, wish: Again) -> JobRequest | None:
        from models.job_types import Asker, JobRequest, Lane
        from models.streams.imports.reimport_request import reimport_request

        tags = [wish.tag] if wish.tag else None
        request = reimport_request(stream, tags, failed_only=wish.failed, registry=wish.registry)
        if request is None:
            return None
        return JobRequest(
            request=request,
            asker=Asker.ADMINISTRATOR,
            lane=Lane.INTERACTIVE if wish.tag else Lane.BULK,
            user=who_asks(),
            max_tags=self._settings.max_tags_ceiling,
            coalesce=True,
        )

    # -- jobs --

    def recent_jobs(self, namespace: str | None, *, limit: int, parts: bool = False) -> list[Job]:
        from models.store.jobs.job_store import list_jobs

        with transaction(self._engine, write=False) as session:
            return list_jobs(session, namespace=namespace, parts=parts, limit=limit)

    def watch_jobs(
        self, namespace: str | None, *, limit: int, parts: bool = False
    ) -> Iterator[list[Job]]:
        while True:
            yield self.recent_jobs(namespace, limit=limit, parts=parts)
            time.sleep(LOOK_EVERY)

    def find_job(self, name: str) -> Job:
        from models.store.jobs.job_store import load_job

        try:
            wanted = UUID(name)
        except ValueError:
            return self._job_beginning(name)
        with transaction(self._engine, write=False) as session:
            job = load_job(session, wanted)
        if job is None:
            raise NotFoundError(resource="jobs", name=name, group="")
        return job

    def _job_beginning(self, name: str) -> Job:
        from models.store.jobs.job_store import list_jobs

        if len(name) < SHORTEST_ID:
            raise too_short(name)
        found: list[Job] = []
        after: Job | None = None
        while True:
            with transaction(self._engine, write=False) as session:
                page = list_jobs(session, limit=PAGE, after=after)
            found.extend(page)
            if len(page) < PAGE:
                return only_job(found, name)
            after = page[-1]

    def cancel_job(self, job: Job) -> Job:
        from worker.job_queue import cancel

        return cancel(self._engine, job.id)

    # -- histories --

    def history(
        self, namespace: str, name: str, tag: str, *, limit: int, moment: datetime | None
    ) -> tuple[list[TagEvent], bool]:
        from models.store.streams.stream_store import load_stream
        from models.store.streams.tag_histories import event_at, load_history

        with transaction(self._engine, write=False) as session:
            if moment is None:
                events = load_history(session, namespace, name, tag, limit=limit)
            else:
                found = event_at(session, namespace, name, tag, moment)
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
