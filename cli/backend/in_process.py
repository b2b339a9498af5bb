"""The API application in this process, called without a socket.

It is the application that `tagstream up` and `tagstream api` serve, called through the same REST
client. A user who can read the database is its administrator, so no token is required here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx
from celery import Celery
from sqlalchemy import Engine
from starlette.types import ASGIApp

from api.app import build_api
from api.auth.token_authenticator import TokenAuthenticator
from api.serving.executor import ThreadExecutor
from api.serving.lifespan import open_context
from cli.backend.rest_client import RESPONSE_TIMEOUT_SECONDS, RestClient
from models.access.builtin_roles import ADMIN
from models.access.rbac import ALL_NAMESPACES, Caller, RoleBinding
from models.config.settings import Settings
from models.store.database.cipher import Cipher
from worker.event_loop import EventLoopThread

IN_PROCESS_URL = "http://tagstream"  # no connection is opened: the transport calls the application


class InProcessApi:
    """The API application and the event loop that it runs on.

    It runs no reflector, so watches are not supported.
    """

    def __init__(
        self, settings: Settings, engine: Engine, cipher: Cipher, job_queue: Celery, *, user: str
    ) -> None:
        context = open_context(
            settings,
            engine,
            cipher,
            job_queue,
            build_authenticator=partial(_LocalAdminAuthenticator, user=user),
        )
        context.writes_audit_log = False  # the only caller is the local user
        self._executor = context.executor
        self._loop = EventLoopThread()
        http = httpx.Client(transport=_InProcessTransport(build_api(context), self._loop))
        self.rest = RestClient(http, IN_PROCESS_URL, warn=lambda _text: None)

    def close(self) -> None:
        """Wait for running requests, then stop the loop and the executor."""
        self._loop.close()
        self._executor.close()


class _LocalAdminAuthenticator(TokenAuthenticator):
    """Authenticates every request as the local user, with the role `admin` in all namespaces."""

    def __init__(self, engine: Engine, executor: ThreadExecutor, *, user: str) -> None:
        super().__init__(engine, executor)
        self._caller = Caller(user, bindings=(RoleBinding(ADMIN, ALL_NAMESPACES, subject=user),))

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Caller:  # noqa: ARG002
        """Return the same caller whatever credentials the headers carry."""
        return self._caller


class _InProcessTransport(httpx.BaseTransport):
    """An httpx transport that passes requests to the application and returns complete responses."""

    def __init__(self, app: ASGIApp, loop: EventLoopThread) -> None:
        self._inner = httpx.ASGITransport(app)
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._loop.run(self._forward(request), within=RESPONSE_TIMEOUT_SECONDS)

    async def _forward(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )
        response = await self._inner.handle_async_request(sent)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)
