"""The metrics endpoint of processes that serve nothing else: `/metrics` over plain HTTP.

There is no authentication, so the address belongs in a private network. A process whose port is in
use logs that and works all the same.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from models.config.listen_address import parse_listen_address
from models.telemetry.metrics import CONTENT_TYPE, render_metrics

log = structlog.get_logger()

CLIENT_TIMEOUT_SECONDS = 10.0  # for a client to send its request


class MetricsServer(ThreadingHTTPServer):
    """A server on a thread of its own, until `close`. Raises OSError if the port is in use."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _MetricsHandler)
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="metrics")
        thread.daemon = True
        thread.start()

    @property
    def port(self) -> int:
        """Return the port of the listener, also where port 0 was requested."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log at debug level: a client that disconnects is no error."""
        log.debug("metrics.client_disconnected")

    def close(self) -> None:
        """Stop serving and close the listener."""
        self.shutdown()
        self.server_close()


class _MetricsHandler(BaseHTTPRequestHandler):
    """Serves `/metrics`, the only page."""

    timeout = CLIENT_TIMEOUT_SECONDS
    server_version = "tagstream"
    sys_version = ""

    def do_GET(self) -> None:
        """Respond with the metrics, or 404 on any other path."""
        if self.path.partition("?")[0] != "/metrics":
            self._respond(404, b"metrics are at /metrics\n", "text/plain; charset=utf-8")
            return
        self._respond(200, render_metrics(), CONTENT_TYPE)

    do_HEAD = do_GET  # noqa: N815 - the library's names

    def _respond(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: requests are frequent and carry no information."""


def start_metrics_server(listen: str) -> MetricsServer | None:
    """Serve metrics at HOST:PORT.

    Return None if `listen` is empty, or, with a log event, if the address cannot be used.
    """
    if not listen:
        return None
    try:
        host, port = parse_listen_address(listen)
        server = MetricsServer(host, port)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.error(  # noqa: TRY400 - a port in use needs no traceback
            "metrics.not_served",
            listen=listen,
            reason=reason,
            advice="choose another TAGSTREAM_METRICS_LISTEN",
        )
        return None
    log.info("metrics.served", host=host, port=server.port)
    return server


@contextmanager
def serve_metrics(listen: str) -> Iterator[MetricsServer | None]:
    """Serve metrics at HOST:PORT while the block runs; nothing if `listen` is empty."""
    server = start_metrics_server(listen)
    try:
        yield server
    finally:
        if server is not None:
            with suppress(OSError):
                server.close()
