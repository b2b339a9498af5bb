"""One server for many tests, and for each test namespaces of its own."""

import itertools

import pytest

from tests.apiserver import IMAGE_API, ApiWorld

_numbers = itertools.count(1)


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


class Room:
    """Two fresh namespaces, and short words for what is asked in them."""

    def __init__(self, world):
        self.world = world
        number = next(_numbers)
        self.ns, self.other = f"ns{number}a", f"ns{number}b"
        for name in (self.ns, self.other):
            answer = world.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
            assert answer.status_code == 201, answer.text
        self.admin = world.admin
        self.who = f"user{number}"

    def path(self, resource, name="", *, ns=None):
        tail = f"/{name}" if name else ""
        return f"{IMAGE_API}/namespaces/{ns or self.ns}/{resource}{tail}"

    def user(self, *roles, name=None):
        """A client with these roles."""
        return self.world.user(name or self.who, *roles)

    def post(self, resource, body, *, ns=None, **more):
        return self.admin.post(self.path(resource, ns=ns), json=body, **more)

    def put(self, resource, name, body, *, ns=None, **more):
        return self.admin.put(self.path(resource, name, ns=ns), json=body, **more)

    def get(self, resource, name="", *, ns=None, **more):
        return self.admin.get(self.path(resource, name, ns=ns), **more)

    def delete(self, resource, name, *, ns=None, **more):
        return self.admin.request("DELETE", self.path(resource, name, ns=ns), **more)

    def patch(self, resource, name, body, kind="merge", *, ns=None, **more):
        """`kind` is json, merge, strategic or apply; a str body is sent as it is."""
        types = {
            "json": "application/json-patch+json",
            "merge": "application/merge-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "apply": "application/apply-patch+yaml",
        }
        headers = {"Content-Type": types.get(kind, kind)}
        sent = {"content": body} if isinstance(body, str | bytes) else {"json": body}
        headers |= more.pop("headers", {})
        path = self.path(resource, name, ns=ns)
        return self.admin.patch(path, headers=headers, **sent, **more)

    def stream(self, name="app", *tags, ns=None, **spec):
        """A stored stream."""
        body = {"metadata": {"name": name}, "spec": {**spec, "tags": list(tags)}}
        answer = self.post("imagestreams", body, ns=ns)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def image(self, digest, **fields):
        """A stored image."""
        body = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        answer = self.admin.post(f"{IMAGE_API}/images", json=body | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def map(self, stream, tag, digest, *, ns=None, **fields):
        """An image pushed onto a tag."""
        image = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        body = {"metadata": {"name": stream}, "image": image | fields, "tag": tag}
        return self.post("imagestreammappings", body, ns=ns)


def tag_from(name, source, **more):
    """A spec tag that names a DockerImage."""
    return {"name": name, "from": {"kind": "DockerImage", "name": source}, **more}


def follows(name, source, kind="ImageStreamTag", **more):
    """A spec tag that names another tag or image."""
    return {"name": name, "from": {"kind": kind, "name": source, **more}}


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
        return "sha256:" + f"{next(_numbers):08x}" + letter * 56

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
