"""Clients that hang up in the middle: nothing goes on for their sake (`api.md` C15)."""

import socket
import ssl
import time
from urllib.parse import urlsplit

import pytest

from tests import fixtures as fx
from tests.integration.api.test_imports import body_of, image, until


@pytest.fixture
def dial(busy_world):
    """Sends bytes over a connection of its own; that."""
    opened = []

    def send(text):
        place = urlsplit(busy_world.url)
        context = ssl.create_default_context(cafile=busy_world.files.authority)
        raw = socket.create_connection((place.hostname, place.port), timeout=10)
        connection = context.wrap_socket(raw, server_hostname=place.hostname)
        opened.append(connection)
        connection.sendall(text.encode())
        return connection

    yield send
    for connection in opened:
        connection.close()


def running(world):
    """How many requests the server is about to answer."""
    return len(world.server._server.server_state.tasks)


def head(world, method, path, *lines):
    token = f"Authorization: Bearer {world.token}"
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", token, *lines, "", ""))


def test_a_watch_ends_with_its_watcher(workroom, busy_world, dial):
    watches = [
        dial(head(busy_world, "GET", f"{workroom.path('imagestreams')}?watch=1")) for _ in range(5)
    ]
    for each in watches:
        assert each.recv(100).startswith(b"HTTP/1.1 200")
    assert running(busy_world) >= 5
    for each in watches:
        each.close()
    until(lambda: running(busy_world) == 0, within=5)


def test_nobody_waits_for_an_import_whose_author_left(workroom, busy_world, dial, fake):
    pushed = fake.push("team/app", tag="v1", manifest=fx.S2, config=fx.CFG_A)
    fake.delay(2, "/team/app/manifests/v1")
    body = fx.compact(body_of(image(f"{fake.host}/team/app:v1", "one"))).decode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    path = workroom.path("imagestreamimports")
    asking = dial(head(busy_world, "POST", path, *lines) + body)
    until(lambda: fake.requests)
    assert running(busy_world) == 1
    asking.close()
    start = time.monotonic()
    until(lambda: running(busy_world) == 0, within=1.5)
    assert time.monotonic() - start < 1.5
    found = until(lambda: _stream(workroom))
    assert found["status"]["tags"][0]["items"][0]["image"] == pushed


def _stream(room):
    answer = room.get("imagestreams", "app")
    return answer.json() if answer.status_code == 200 else None
