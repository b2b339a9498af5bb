"""Clients that disconnect during a request: the server stops waiting for them (api-12.9)."""

import socket
import ssl
import time
from urllib.parse import urlsplit

import pytest

from tests import fixtures as fx
from tests.integration.api.stream_import_requests import body_of, image, until


@pytest.fixture
def send_raw(worker_server):
    """Return a function that opens a connection, sends text over it and returns it."""
    opened = []

    def send(text):
        url = urlsplit(worker_server.url)
        context = ssl.create_default_context(cafile=worker_server.files.authority)
        raw = socket.create_connection((url.hostname, url.port), timeout=10)
        connection = context.wrap_socket(raw, server_hostname=url.hostname)
        opened.append(connection)
        connection.sendall(text.encode())
        return connection

    yield send
    for connection in opened:
        connection.close()


def running_requests(api_server):
    """Return the number of requests that the server is processing."""
    return len(api_server.server._server.server_state.tasks)


def request_head(api_server, method, path, *headers):
    token = f"Authorization: Bearer {api_server.token}"
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", token, *headers, "", ""))


def test_watch_ends_when_client_disconnects(worker_tenant, worker_server, send_raw):
    watches = [
        send_raw(
            request_head(worker_server, "GET", f"{worker_tenant.path('imagestreams')}?watch=1")
        )
        for _ in range(5)
    ]
    for each in watches:
        assert each.recv(100).startswith(b"HTTP/1.1 200")
    assert running_requests(worker_server) >= 5
    for each in watches:
        each.close()
    until(lambda: running_requests(worker_server) == 0, within=5)


def test_import_request_ends_when_client_disconnects_and_job_continues(
    worker_tenant, worker_server, send_raw, fake
):
    pushed = fake.push("team/app", tag="v1", manifest=fx.S2, config=fx.CFG_A)
    fake.delay(2, "/team/app/manifests/v1")
    body = fx.compact(body_of(image(f"{fake.host}/team/app:v1", "one"))).decode()
    headers = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    path = worker_tenant.path("imagestreamimports")
    connection = send_raw(request_head(worker_server, "POST", path, *headers) + body)
    until(lambda: fake.requests)
    assert running_requests(worker_server) == 1
    connection.close()
    start = time.monotonic()
    until(lambda: running_requests(worker_server) == 0, within=1.5)
    assert time.monotonic() - start < 1.5
    found = until(lambda: _stream(worker_tenant))
    assert found["status"]["tags"][0]["items"][0]["image"] == pushed


def _stream(tenant):
    response = tenant.get("imagestreams", "app")
    return response.json() if response.status_code == 200 else None
