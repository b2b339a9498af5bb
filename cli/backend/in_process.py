"""The API's application in this process, spoken to without a socket.

It is the one that `tagstream up` and `tagstream api` serve, asked through the same client. Whoever
can read the database is its administrator, so nobody is asked for a token here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx
from celery import Celery
from sqlalchemy import Engine
from starlette.types import ASGIApp

from api.app import build_api
from api.auth.token_authenticator import Gatekeeper
from api.serving.executor import Threads
from api.serving.lifespan import open_house
from cli.backend.rest_client import ANSWER, Rest
from models.access.builtin_roles import ADMIN
from models.access.rbac import EVERYWHERE, Binding, Caller
from models.config.settings import Settings
from models.store.database.cipher import Cipher
from worker.event_loop import WorkerLoop

SERVER = "http://tagstream"  # never dialled: whatever is asked stays here


class Inside:
    """The application, and the loop that it runs on. Nothing here can be watched: no follower."""

    def __init__(
        self, settings: Settings, engine: Engine, cipher: Cipher, counter: Celery, *, user: str
    ) -> None:
        house = open_house(
            settings, engine, cipher, counter, open_door=partial(_OpenDoor, user=user)
        )
        house.audited = False  # who did it is who reads what is printed
        self._threads = house.threads
        self._loop = WorkerLoop()
        http = httpx.Client(transport=_NoSocket(build_api(house), self._loop))
        self.rest = Rest(http, SERVER, warn=lambda _text: None)

    def close(self) -> None:
        """Let running requests end."""
        self._loop.close()
        self._threads.close()


class _OpenDoor(Gatekeeper):
    """Lets the person at this machine in, as who they are here and may do everything."""

    def __init__(self, engine: Engine, threads: Threads, *, user: str) -> None:
        super().__init__(engine, threads)
        self._caller = Caller(user, bindings=(Binding(ADMIN, EVERYWHERE, subject=user),))

    async def admit(self, headers: Mapping[str, str], peer: str) -> Caller:  # noqa: ARG002
        """The same caller, whatever they show."""
        return self._caller


class _NoSocket(httpx.BaseTransport):
    """Carries a request into the application and its whole answer back."""

    def __init__(self, app: ASGIApp, loop: WorkerLoop) -> None:
        self._inner = httpx.ASGITransport(app)
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._loop.run(self._carry(request), within=ANSWER)

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )
        response = await self._inner.handle_async_request(sent)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)
