"""Many writers at the same moment, on both databases (`api.md` B8, C6, C8, C9): case 230."""

import threading
from collections import Counter

import pytest

from tests.apiserver import IMAGE_API, ApiWorld
from tests.integration.api.conftest import Room
from tests.integration.api.pushes import IMAGES, at, read

WRITERS = range(8)
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
SOURCE = {"from": {"kind": "DockerImage", "name": "registry.invalid/x/y:1"}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def busy_world(request, tmp_path_factory):
    """A server that nobody else asks, on either database."""
    home = tmp_path_factory.mktemp("busy")
    if request.param == "sqlite":
        with ApiWorld(home) as found:
            yield found
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database()
    with ApiWorld(home, server.url(name)) as found:
        yield found
    server.drop_database(name)


@pytest.fixture(scope="module")
def clients(busy_world):
    return [busy_world.client(busy_world.token) for _ in WRITERS]


@pytest.fixture
def busy(busy_world):
    return Room(busy_world)


@pytest.fixture
def race(clients):
    """Let all writers write at once; how often each code was answered."""

    def run(write):
        start = threading.Barrier(len(clients))
        codes = Counter()

        def one(number, client):
            start.wait()
            codes[write(number, client).status_code] += 1

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return dict(codes)

    return run


def tags(busy, stream="web"):
    return [tag["name"] for tag in busy.get("imagestreams", stream).json()["spec"]["tags"]]


ALL_TAGS = [f"v{number}" for number in WRITERS]


@pytest.mark.case("api 230")
@pytest.mark.parametrize("begun", [True, False], ids=["stream", "no stream"])
@pytest.mark.parametrize("how", ["put", "post", "patch", "apply"])
def test_each_writer_of_a_tag_of_its_own_succeeds(busy, race, how, begun):
    if begun:
        busy.stream("web")

    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "tag": SOURCE}
        path = busy.path("imagestreamtags", name)
        if how == "put":
            return client.put(path, json=body)
        if how == "post":
            return client.post(busy.path("imagestreamtags"), json=body)
        if how == "patch":
            return client.patch(path, json={"tag": SOURCE | {"name": "x"}}, headers=MERGE)
        typed = {"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", **body}
        return client.patch(f"{path}?fieldManager=me", json=typed, headers=APPLY)

    assert race(write) == {201: len(WRITERS)}
    assert tags(busy) == ALL_TAGS

    def delete(number, client):
        return client.delete(busy.path("imagestreamtags", f"web:v{number}"))

    assert race(delete) == {200: len(WRITERS)}
    assert busy.get("imagestreams", "web").json()["spec"] == {"lookupPolicy": {"local": False}}


@pytest.mark.case("api 230")
def test_each_writer_of_an_imagetag_of_its_own_succeeds(busy, race):
    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "spec": SOURCE}
        return client.put(busy.path("imagetags", name), json=body)

    assert race(write) == {201: len(WRITERS)}
    assert tags(busy) == ALL_TAGS


def test_of_the_creators_of_one_object_one_succeeds(busy, race, digest):
    once = {201: 1, 409: len(WRITERS) - 1}
    name = digest()
    image = {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"}
    assert race(lambda _, client: client.post(IMAGES, json=image)) == once
    stream = {"metadata": {"name": "web"}}
    assert race(lambda _, client: client.post(busy.path("imagestreams"), json=stream)) == once
    secrets = f"/api/v1/namespaces/{busy.ns}/secrets"
    assert race(lambda _, client: client.post(secrets, json=stream)) == once
    room = {"metadata": {"name": f"{busy.ns}x"}}
    assert race(lambda _, client: client.post("/api/v1/namespaces", json=room)) == once
    gone = {200: 1, 404: len(WRITERS) - 1}
    assert race(lambda _, client: client.delete(busy.path("imagestreams", "web"))) == gone
    assert race(lambda _, client: client.delete(at(name))) == gone


def test_no_patch_is_lost(busy, race, digest):
    name = digest()
    busy.image(name)
    busy.stream("web")
    labels = {f"l{number}": "x" for number in WRITERS}

    def patch(path):
        def write(number, client):
            body = {"metadata": {"labels": {f"l{number}": "x"}}}
            return client.patch(path, json=body, headers=MERGE)

        return write

    assert race(patch(at(name))) == {200: len(WRITERS)}
    assert read(busy, name)["metadata"]["labels"] == labels
    assert race(patch(busy.path("imagestreams", "web"))) == {200: len(WRITERS)}
    assert busy.get("imagestreams", "web").json()["metadata"]["labels"] == labels


def test_whoever_applies_second_changes_what_the_first_made(busy, race):
    def write(number, client):
        body = {
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": "web", "labels": {f"l{number}": "x"}},
        }
        path = f"{busy.path('imagestreams', 'web')}?fieldManager=m{number}"
        return client.patch(path, json=body, headers=APPLY)

    assert race(write) == {201: 1, 200: len(WRITERS) - 1}
    found = busy.get("imagestreams", "web").json()["metadata"]
    assert found["labels"] == {f"l{number}": "x" for number in WRITERS}
    assert len(found["managedFields"]) == len(WRITERS)


def test_no_push_and_no_signature_is_lost(busy, race, digest):
    one, many = digest("a"), [digest("b") for _ in WRITERS]
    busy.stream("web")

    def push(tag, name):
        body = {"metadata": {"name": "web"}, "tag": tag}
        image = {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"}
        return body | {"image": image}

    path = busy.path("imagestreammappings")
    done = {201: len(WRITERS)}
    assert race(lambda n, client: client.post(path, json=push(f"v{n}", one))) == done
    assert race(lambda n, client: client.post(path, json=push("all", many[n]))) == done
    status = busy.get("imagestreams", "web").json()["status"]["tags"]
    assert {tag["tag"]: len(tag["items"]) for tag in status} == {
        "all": len(WRITERS),
        **dict.fromkeys(ALL_TAGS, 1),
    }

    def sign(number, client):
        metadata = {"name": f"{one}@s{number}"}
        body = {"metadata": metadata, "type": f"t{number}", "content": "aGk="}
        return client.post(f"{IMAGE_API}/imagesignatures", json=body)

    assert race(sign) == done
    assert len(read(busy, one)["signatures"]) == len(WRITERS)
