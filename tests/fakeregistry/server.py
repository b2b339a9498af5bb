"""`FakeRegistry`: a registry on a real port, in its own thread, with faults that a test chooses."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Self

import uvloop

from tests.fakeregistry.access import BasicAccess, TokenAccess
from tests.fakeregistry.certificates import Certificate
from tests.fakeregistry.content import Content, compute_digest, guess_type, manifest_digest
from tests.fakeregistry.response_rules import ResponseRules
from tests.fakeregistry.wire import Connection, Reply, Request, Traffic


class FakeRegistry(ResponseRules):
    """A fake registry. `with FakeRegistry() as fake:` serves until the block ends.

    `ResponseRules` has the methods that inject faults. `requests` are the received requests as
    lines "GET /v2/…?…", `log` the whole requests; both are in order and include token requests.
    """

    def __init__(self, tls: Certificate | None = None, *, address: str = "127.0.0.1"):
        super().__init__()
        self.tls = tls
        self.content = Content()
        self.access: BasicAccess | TokenAccess | None = None
        self.log: list[Request] = []
        self.traffic = Traffic()
        self.failures: list[BaseException] = []
        self.host = ""
        self.url = ""
        self.port = 0
        self._token_services: dict[str, TokenAccess] = {}
        self._address = address
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fakeregistry", daemon=True)

    # start and stop

    def start(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def close(self):
        """Stop; raise the first error that a responder of the test has raised."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
        if self.failures:
            raise self.failures[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_):
        self.close()

    def _run(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        try:
            server = await self._loop.create_server(
                lambda: Connection(self._handle, self.traffic),
                self._address,
                0,
                ssl=self.tls.server_context() if self.tls else None,
                backlog=1024,
            )
        except OSError as error:
            self._error = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self.host = f"{self._address}:{self.port}"
        self.url = f"{'https' if self.tls else 'http'}://{self.host}"
        self._ready.set()
        await self._ended.wait()
        server.close()
        self.abort_connections()
        while self.traffic.open_connections:
            await asyncio.sleep(0.001)

    # content

    def push(
        self,
        repository: str,
        *,
        tag: str | None = None,
        manifest: bytes,
        media_type: str | None = None,
        config: bytes | None = None,
        blobs: Iterable[bytes] = (),
        digest: str | None = None,
    ) -> str:
        """Store a manifest and its config and blobs; return the digest under which it is served."""
        for blob in (*([] if config is None else [config]), *blobs):
            self.push_blob(repository, blob)
        digest = digest or manifest_digest(manifest)
        to = self.content.at(repository)
        to.manifests[digest] = (manifest, media_type or guess_type(manifest))
        if tag is not None:
            to.tags[tag] = digest
        return digest

    def push_blob(self, repository: str, content: bytes) -> str:
        digest = compute_digest(content)
        self.content.at(repository).blobs[digest] = content
        return digest

    def tag(self, repository: str, tag: str, digest: str):
        """Let `tag` point to `digest`."""
        self.content.at(repository).tags[tag] = digest

    def delete(self, repository: str, name: str | None = None):
        """Delete a tag, a manifest with its tags, a blob, or (without a name) the repository."""
        if name is None:
            del self.content.repositories[repository]
            return
        stored = self.content.at(repository)
        if ":" not in name:
            del stored.tags[name]
            return
        if name in stored.manifests:
            del stored.manifests[name]
            stored.tags = {tag: digest for tag, digest in stored.tags.items() if digest != name}
        else:
            del stored.blobs[name]

    # access control

    def require_basic(self, user: str, password: str, *, realm: str = "fake") -> BasicAccess:
        """Answer 401 to all requests but those of `user`. A second call adds a further user."""
        known = self.access.users if isinstance(self.access, BasicAccess) else {}
        self.access = BasicAccess({**known, user: password}, realm)
        return self.access

    def require_token(
        self,
        *,
        realm: str | None = None,
        users: Mapping[str, str] | None = None,
        access: Mapping[str, Collection[str]] | None = None,
        at: FakeRegistry | None = None,
        **options,
    ) -> TokenAccess:
        """Require a bearer token from `/token`, here or at another fake registry (`at`).

        `users` are names and passwords; without any, anonymous tokens may pull everything. `realm`
        overrides the realm of the challenge. `options` are those of `TokenAccess`.
        """
        service = at or self
        tokens = TokenAccess(
            realm or f"{service.url}/token", users=users or {}, access=access, **options
        )
        self.access = tokens
        service._token_services["/token"] = tokens
        return tokens

    def allow_anonymous(self):
        """Require no authentication any more."""
        self.access = None

    def expire_tokens(self):
        """Expire every token that was issued so far."""
        self.access.expire()

    # received requests

    @property
    def requests(self) -> list[str]:
        return [str(request) for request in self.log]

    @property
    def token_requests(self) -> list[Request]:
        return [request for request in self.log if request.path == "/token"]

    @property
    def in_flight(self) -> int:
        return self.traffic.in_flight

    @property
    def in_flight_peak(self) -> int:
        """The highest number of requests that were in flight at the same time."""
        return self.traffic.in_flight_peak

    @property
    def connections(self) -> int:
        """The number of connections that were accepted so far."""
        return self.traffic.connections

    def received(self, text: str) -> list[Request]:
        """Return the requests that contained `text` anywhere, also inside a Basic header."""
        return [request for request in self.log if request.contains(text)]

    def forget_requests(self):
        """Clear the log and the peak of requests in flight; rules, content and access stay."""
        self.log.clear()
        self.traffic.in_flight_peak = self.traffic.in_flight

    def clear(self):
        """Clear the log and remove all rules; content and access stay."""
        self.forget_requests()
        self.forget()

    def abort_connections(self):
        """Abort every open connection. Call it in the server's thread only."""
        for connection in list(self.traffic.open_connections):
            connection.abort()

    def cut_connections(self):
        """Abort every open connection; a test may call it from its own thread."""
        self._loop.call_soon_threadsafe(self.abort_connections)

    @property
    def page_size(self) -> int | None:
        """The number of tags on a page of a tag list; None: all on one page."""
        return self.content.page_size

    @page_size.setter
    def page_size(self, size: int | None):
        self.content.page_size = size

    # responses

    def _handle(self, request: Request):
        """Return the response to `request`, and the delay before it in seconds."""
        self.log.append(request)
        delay = self.delay_of(request) if self.delays else 0.0
        try:
            return self._decide(request), delay
        except Exception as error:  # noqa: BLE001 — code of a test; close() raises it
            self.failures.append(error)
            return Reply(500, repr(error).encode(), close=True), delay

    def _decide(self, request: Request):
        for rule in self.rules_for(request) if self.rules else ():
            rule.count_use()
            response = rule.action(request) if callable(rule.action) else rule.action
            if inspect.isawaitable(response):
                return self._await_response(request, response)
            if response is not None:
                return self._apply_changes(request, response)
        return self._apply_changes(request, self._normal_response(request))

    async def _await_response(self, request: Request, response):
        try:
            answer = await response
            return self._apply_changes(
                request, self._normal_response(request) if answer is None else answer
            )
        except Exception as error:  # noqa: BLE001 — code of a test; close() raises it
            self.failures.append(error)
            return Reply(500, repr(error).encode(), close=True)

    def _apply_changes(self, request: Request, response):
        if not self.changes or not isinstance(response, Reply):
            return response
        for rule in self.changes_for(request):
            rule.count_use()
            response = rule.action(response, request)
            if not isinstance(response, Reply):
                break
        return response

    def _normal_response(self, request: Request) -> Reply:
        service = self._token_services.get(request.path)
        if service is not None:
            return service.issue(request)
        refused = self.access.refuse(request) if self.access else None
        return refused or self.content.answer(request)
