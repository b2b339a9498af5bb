"""The HTTP server: TLS, keep-alive, many connections, and a graceful shutdown.

Clients send tokens over TLS only (clients-1.1).
"""

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

KEEP_ALIVE_SECONDS = 90  # how long an idle connection stays open
SHUTDOWN_GRACE_SECONDS = 20  # how long a shutdown waits for running requests
IDLE_CLOSE_INTERVAL_SECONDS = 0.5  # how often a shutdown aborts connections without a request
LISTEN_BACKLOG = 2048
MAX_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ListenConfig:
    """Host, port and certificate to listen with; without a certificate it is plain HTTP."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _UvicornServer(uvicorn.Server):
    """A uvicorn server without its own signal handlers, which would end the process by the signal.

    `on_shutdown` is called when the shutdown begins: open watches would delay it for as long as
    they may run.
    """

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the watches, then do uvicorn's shutdown."""
        self._on_shutdown()
        closing_idle = asyncio.create_task(self._close_idle_connections())
        try:
            await super().shutdown(sockets)
        finally:
            closing_idle.cancel()

    async def _close_idle_connections(self) -> None:
        """Abort connections without a request until cancelled.

        A client that reads nothing does not answer the closing handshake of TLS, which would
        otherwise be waited for until the end of the grace period.
        """
        while True:
            await asyncio.sleep(IDLE_CLOSE_INTERVAL_SECONDS)
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is None or cycle.response_complete:
                    connection.transport.abort()


class ApiServer:
    """One uvicorn server; `run` returns after it was asked to stop."""

    def __init__(self, app: Starlette, listen_config: ListenConfig) -> None:
        config = uvicorn.Config(
            app,
            host=listen_config.host,
            port=listen_config.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_SECONDS,
            backlog=LISTEN_BACKLOG,
            ssl_certfile=listen_config.certificate,
            ssl_keyfile=listen_config.key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
        self._server = _UvicornServer(config, app.state.on_shutdown)
        self._listen_config = listen_config
        self._socket = _bind_socket(listen_config)

    @property
    def port(self) -> int:
        """Return the port that is listened on; the actual one if port 0 was requested."""
        found: int = self._socket.getsockname()[1]
        return found

    @property
    def started(self) -> bool:
        return self._server.started

    def run(self, *, on_ready: Callable[[], None] | None = None) -> bool:
        """Serve until SIGTERM, SIGINT or `stop`; return whether the server ever started."""
        if on_ready is not None:
            threading.Thread(
                target=self._notify_when_started, args=(on_ready,), daemon=True
            ).start()
        with self._handle_signals():
            self._server.run(sockets=[self._socket])
        return self._server.started

    def stop(self) -> None:
        """Stop accepting requests; running ones may finish."""
        self._server.should_exit = True

    @contextmanager
    def serve_in_thread(self) -> Iterator[None]:
        """Serve on another thread while the block runs."""
        thread = threading.Thread(target=self.run, name="api", daemon=True)
        thread.start()
        while not self._server.started and thread.is_alive():
            threading.Event().wait(0.01)
        try:
            yield
        finally:
            self.stop()
            thread.join(SHUTDOWN_GRACE_SECONDS + 10)

    @contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Stop gracefully on SIGTERM and SIGINT; on a second one without waiting for requests."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def request_stop(_number: int, _frame: FrameType | None) -> None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

        previous_handlers = [
            (number, signal.signal(number, request_stop)) for number in _STOP_SIGNALS
        ]
        try:
            yield
        finally:
            for number, handler in previous_handlers:
                signal.signal(number, handler)

    def _notify_when_started(self, on_ready: Callable[[], None]) -> None:
        poll_timer = threading.Event()
        while not self._server.started:
            if self._server.should_exit:
                return
            poll_timer.wait(0.02)
        on_ready()


def _bind_socket(listen_config: ListenConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen_config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((listen_config.host, listen_config.port))
    except OSError as error:
        listener.close()
        host = f"[{listen_config.host}]" if ":" in listen_config.host else listen_config.host
        message = (
            f"cannot listen on {host}:{listen_config.port}: {error.strerror}; "
            "stop the process that uses the address, or choose another with --listen"
        )
        raise OSError(error.errno, message) from error
    listener.listen(LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener
