"""Serving the application: TLS, keep-alive, many connections, and a clean end."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

KEEP_ALIVE = 90  # seconds that a silent connection is kept
GRACE = 20  # seconds that running requests have at the end
FAREWELL = 0.5  # seconds that a connection without a request has to close
BACKLOG = 2048
MOST_HEADERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and with which certificate; without one it is plain http."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


_ENDS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """uvicorn without its own signals: it would end the process by the one that it got.

    `before_end` is called when the end begins: watches would hold it up for as long as they may.
    """

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_end = before_end

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the watches, then what uvicorn ends."""
        self._before_end()
        hanging_up = asyncio.create_task(self._hang_up())
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()

    async def _hang_up(self) -> None:
        """Drop connections without a request: a client that reads nothing hears no farewell.

        TLS would wait for its answer to the end of the grace.
        """
        while True:
            await asyncio.sleep(FAREWELL)
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is None or cycle.response_complete:
                    connection.transport.abort()


class ApiServer:
    """One uvicorn server; `run` returns when it was asked to stop."""

    def __init__(self, app: Starlette, listen: Listen) -> None:
        config = uvicorn.Config(
            app,
            host=listen.host,
            port=listen.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
            ssl_certfile=listen.certificate,
            ssl_keyfile=listen.key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
        self._server = _Server(config, app.state.before_end)
        self._listen = listen
        self._socket = _bind(listen)

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        found: int = self._socket.getsockname()[1]
        return found

    @property
    def started(self) -> bool:
        return self._server.started

    def run(self, *, ready: Callable[[], None] | None = None) -> bool:
        """Serve until SIGTERM, SIGINT or `stop`; whether it ever got going."""
        if ready is not None:
            threading.Thread(target=self._tell, args=(ready,), daemon=True).start()
        with self._heeding_signals():
            self._server.run(sockets=[self._socket])
        return self._server.started

    def stop(self) -> None:
        """Let running requests end, take no new ones."""
        self._server.should_exit = True

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Serve on a thread of its own, for as long as the block lasts."""
        thread = threading.Thread(target=self.run, name="api", daemon=True)
        thread.start()
        while not self._server.started and thread.is_alive():
            threading.Event().wait(0.01)
        try:
            yield
        finally:
            self.stop()
            thread.join(GRACE + 10)

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask for the end; asked twice, it does not wait for anybody."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(_number: int, _frame: FrameType | None) -> None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

        before = [(number, signal.signal(number, ask)) for number in _ENDS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _tell(self, ready: Callable[[], None]) -> None:
        pause = threading.Event()
        while not self._server.started:
            if self._server.should_exit:
                return
            pause.wait(0.02)
        ready()


def _bind(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((listen.host, listen.port))
    except OSError as error:
        found.close()
        place = f"[{listen.host}]" if ":" in listen.host else listen.host
        why = f"cannot listen on {place}:{listen.port}: {error.strerror}"
        raise OSError(error.errno, why) from error
    found.listen(BACKLOG)
    found.setblocking(False)
    return found
