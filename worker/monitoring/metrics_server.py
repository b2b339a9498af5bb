"""Where Prometheus scrapes a process that serves nothing else: `/metrics` over plain http.

Nobody is asked who they are, so the address belongs inside the house. A process whose port is
taken says so in its log and does its work all the same.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from models.config.listen_address import parse_listen
from models.telemetry.metrics import CONTENT_TYPE, render

log = structlog.get_logger()

PATIENCE = 10.0  # seconds that a client may take to say what it wants


class Listener(ThreadingHTTPServer):
    """A server on a thread of its own, until `close`. OSError where the port is taken."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Page)
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="metrics")
        thread.daemon = True
        thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away is nothing to speak of."""
        log.debug("metrics.client_gone")

    def close(self) -> None:
        """Serve no longer."""
        self.shutdown()
        self.server_close()


class _Page(BaseHTTPRequestHandler):
    """The one page there is."""

    timeout = PATIENCE
    server_version = "tagstream"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, or that there is none."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"look at /metrics\n", "text/plain; charset=utf-8")
            return
        self._answer(200, render(), CONTENT_TYPE)

    do_HEAD = do_GET  # noqa: N815 - the library's names

    def _answer(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Scrapes are no news."""


def start_listener(listen: str) -> Listener | None:
    """Serve metrics at HOST:PORT; None, and a line in the log, where that cannot be."""
    if not listen:
        return None
    try:
        host, port = parse_listen(listen)
        listener = Listener(host, port)
    except (ValueError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        log.error(  # noqa: TRY400 - a taken port needs no traceback
            "metrics.not_served",
            listen=listen,
            reason=why,
            advice="choose another TAGSTREAM_METRICS_LISTEN",
        )
        return None
    log.info("metrics.served", host=host, port=listener.port)
    return listener


@contextmanager
def metrics_served(listen: str) -> Iterator[Listener | None]:
    """Metrics at HOST:PORT as long as the block lasts; nothing where `listen` is empty."""
    listener = start_listener(listen)
    try:
        yield listener
    finally:
        if listener is not None:
            with suppress(OSError):
                listener.close()
