"""`FakeRegistry`: a registry on a real port, in a thread of its own, that does as a test says."""

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
from tests.fakeregistry.script import Script
from tests.fakeregistry.wire import Connection, Reply, Request, Traffic


class FakeRegistry(Script):
    """`with FakeRegistry() as fake:` serves until the block ends. See `Script` for misbehaviour.

    `requests` are the lines of what was asked, "GET /v2/…?…", `log` the whole requests, both in
    order, token requests among them.
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

    # life

    def start(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def close(self):
        """Stop, and raise what went wrong in a responder of the test."""
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
        self.hang_up()
        while self.traffic.open_connections:
            await asyncio.sleep(0.001)

    # what it holds

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
        """Store a manifest (and what it points at) and return the digest it is served under."""
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
        """Let `tag` mean `digest`."""
        self.content.at(repository).tags[tag] = digest

    def delete(self, repository: str, name: str | None = None):
        """Delete a tag, a manifest with its tags, a blob, or (without a name) the repository."""
        if name is None:
            del self.content.repositories[repository]
            return
        held = self.content.at(repository)
        if ":" not in name:
            del held.tags[name]
            return
        if name in held.manifests:
            del held.manifests[name]
            held.tags = {tag: digest for tag, digest in held.tags.items() if digest != name}
        else:
            del held.blobs[name]

    # who may read

    def require_basic(self, user: str, password: str, *, realm: str = "fake") -> BasicAccess:
        """Answer 401 to everybody but `user`. Called again, it admits one more."""
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
        **how,
    ) -> TokenAccess:
        """Demand a bearer token from `/token`, here or at another fake registry (`at`).

        `users` are names and passwords; without any, anonymous tokens open everything. `realm`
        overrides what the challenge says. `how` goes to `TokenAccess`.
        """
        service = at or self
        tokens = TokenAccess(
            realm or f"{service.url}/token", users=users or {}, access=access, **how
        )
        self.access = tokens
        service._token_services["/token"] = tokens
        return tokens

    def require_nothing(self):
        """Open to everybody again."""
        self.access = None

    def expire_tokens(self):
        """Every token issued so far is out of date from now on."""
        self.access.expire()

    # what was seen

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
        """The most requests that waited for an answer at the same time."""
        return self.traffic.in_flight_peak

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return self.traffic.connections

    def received(self, text: str) -> list[Request]:
        """The requests that carried `text` anywhere, also inside a Basic header."""
        return [request for request in self.log if request.contains(text)]

    def forget_requests(self):
        """Begin to count anew; rules, content and access stay."""
        self.log.clear()
        self.traffic.in_flight_peak = self.traffic.in_flight

    def clear(self):
        """Forget requests and rules; content and access stay."""
        self.forget_requests()
        self.forget()

    def hang_up(self):
        """Cut every open connection. (From a test: `fake.cut_connections()`.)"""
        for connection in list(self.traffic.open_connections):
            connection.abort()

    def cut_connections(self):
        """Cut every open connection, whatever it is doing."""
        self._loop.call_soon_threadsafe(self.hang_up)

    @property
    def page_size(self) -> int | None:
        """How many tags a page of a tag list has; None: all in one."""
        return self.content.page_size

    @page_size.setter
    def page_size(self, size: int | None):
        self.content.page_size = size

    # how it answers

    def _handle(self, request: Request):
        """What becomes of `request`, and after how many seconds."""
        self.log.append(request)
        delay = self.delay_of(request) if self.delays else 0.0
        try:
            return self._decide(request), delay
        except Exception as error:  # noqa: BLE001 — a test's own code; close() raises it
            self.failures.append(error)
            return Reply(500, repr(error).encode(), close=True), delay

    def _decide(self, request: Request):
        for rule in self.rules_for(request) if self.rules else ():
            rule.use_up()
            said = rule.act(request) if callable(rule.act) else rule.act
            if inspect.isawaitable(said):
                return self._later(request, said)
            if said is not None:
                return self._changed(request, said)
        return self._changed(request, self._usual(request))

    async def _later(self, request: Request, said):
        try:
            answer = await said
            return self._changed(request, self._usual(request) if answer is None else answer)
        except Exception as error:  # noqa: BLE001 — a test's own code; close() raises it
            self.failures.append(error)
            return Reply(500, repr(error).encode(), close=True)

    def _changed(self, request: Request, said):
        if not self.changes or not isinstance(said, Reply):
            return said
        for rule in self.changes_for(request):
            rule.use_up()
            said = rule.act(said, request)
            if not isinstance(said, Reply):
                break
        return said

    def _usual(self, request: Request) -> Reply:
        service = self._token_services.get(request.path)
        if service is not None:
            return service.issue(request)
        refused = self.access.refuse(request) if self.access else None
        return refused or self.content.answer(request)
