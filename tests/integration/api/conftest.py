"""One server for many tests, and for each test namespaces of its own."""

import pytest

from tests.apiserver import ApiWorld
from tests.integration.api.rooms import Room, follows, numbers


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A server on SQLite. Nobody does its jobs, so streams stay as they were written."""
    with ApiWorld(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.fixture(scope="session")
def busy_world(tmp_path_factory):
    """Another, with a worker beside it; only five tags of a repository are taken."""
    home = tmp_path_factory.mktemp("busy")
    with ApiWorld(home, worker=True, max_tags_per_repository=5) as found:
        yield found


@pytest.fixture
def room(world):
    return Room(world)


@pytest.fixture
def workroom(busy_world):
    """A room whose imports are carried out."""
    return Room(busy_world)


@pytest.fixture
def digest():
    """Digests that no other test uses."""

    def make(letter="a"):
        return "sha256:" + f"{next(numbers):08x}" + letter * 56

    return make


@pytest.fixture
def pushed(room, digest):
    """A stream `web` with labels, whose wished-for tag `v1` means an image; its digest."""
    name = digest()
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"of": "stream"}},
        "spec": {"tags": [follows("v1", "later")]},
    }
    assert room.post("imagestreams", body).status_code == 201
    assert room.map("web", "v1", name).status_code == 201
    return name
