"""Many writers at the same moment, on both databases (`api.md` B8, C6, C8, C9): case 230."""

import threading
from collections import Counter

import pytest

from tests.apiserver import IMAGE_API, ApiWorld
from tests.integration.api.pushes import IMAGES, at, read
from tests.integration.api.rooms import Room

WRITERS = range(8)
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
SOURCE = {"from": {"kind": "DockerImage", "name": "registry.invalid/x/y:1"}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded_world(request, tmp_path_factory):
    """A server that nobody else asks, on either database."""
    home = tmp_path_factory.mktemp("crowded")
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
def clients(crowded_world):
    return [crowded_world.client(crowded_world.token) for _ in WRITERS]


@pytest.fixture
def crowd(crowded_world):
    return Room(crowded_world)


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


def tags(crowd, stream="web"):
    return [tag["name"] for tag in crowd.get("imagestreams", stream).json()["spec"]["tags"]]


ALL_TAGS = [f"v{number}" for number in WRITERS]


@pytest.mark.case("api 230")
@pytest.mark.parametrize("begun", [True, False], ids=["stream", "no stream"])
@pytest.mark.parametrize("how", ["put", "post", "patch", "apply"])
def test_each_writer_of_a_tag_of_its_own_succeeds(crowd, race, how, begun):
    if begun:
        crowd.stream("web")

    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "tag": SOURCE}
        path = crowd.path("imagestreamtags", name)
        if how == "put":
            return client.put(path, json=body)
        if how == "post":
            return client.post(crowd.path("imagestreamtags"), json=body)
        if how == "patch":
            return client.patch(path, json={"tag": SOURCE | {"name": "x"}}, headers=MERGE)
        typed = {"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", **body}
        return client.patch(f"{path}?fieldManager=me", json=typed, headers=APPLY)

    assert race(write) == {201: len(WRITERS)}
    assert tags(crowd) == ALL_TAGS

    def delete(number, client):
        return client.delete(crowd.path("imagestreamtags", f"web:v{number}"))

    assert race(delete) == {200: len(WRITERS)}
    assert crowd.get("imagestreams", "web").json()["spec"] == {"lookupPolicy": {"local": False}}


@pytest.mark.case("api 230")
def test_each_writer_of_an_imagetag_of_its_own_succeeds(crowd, race):
    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "spec": SOURCE}
        return client.put(crowd.path("imagetags", name), json=body)

    assert race(write) == {201: len(WRITERS)}
    assert tags(crowd) == ALL_TAGS


def test_of_the_creators_of_one_object_one_succeeds(crowd, race, digest):
    once = {201: 1, 409: len(WRITERS) - 1}
    name = digest()
    image = {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"}
    assert race(lambda _, client: client.post(IMAGES, json=image)) == once
    stream = {"metadata": {"name": "web"}}
    assert race(lambda _, client: client.post(crowd.path("imagestreams"), json=stream)) == once
    secrets = f"/api/v1/namespaces/{crowd.ns}/secrets"
    assert race(lambda _, client: client.post(secrets, json=stream)) == once
    room = {"metadata": {"name": f"{crowd.ns}x"}}
    assert race(lambda _, client: client.post("/api/v1/namespaces", json=room)) == once
    gone = {200: 1, 404: len(WRITERS) - 1}
    assert race(lambda _, client: client.delete(crowd.path("imagestreams", "web"))) == gone
    assert race(lambda _, client: client.delete(at(name))) == gone


def test_no_patch_is_lost(crowd, race, digest):
    name = digest()
    crowd.image(name)
    crowd.stream("web")
    labels = {f"l{number}": "x" for number in WRITERS}

    def patch(path):
        def write(number, client):
            body = {"metadata": {"labels": {f"l{number}": "x"}}}
            return client.patch(path, json=body, headers=MERGE)

        return write

    assert race(patch(at(name))) == {200: len(WRITERS)}
    assert read(crowd, name)["metadata"]["labels"] == labels
    assert race(patch(crowd.path("imagestreams", "web"))) == {200: len(WRITERS)}
    assert crowd.get("imagestreams", "web").json()["metadata"]["labels"] == labels


def test_whoever_applies_second_changes_what_the_first_made(crowd, race):
    def write(number, client):
        body = {
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": "web", "labels": {f"l{number}": "x"}},
        }
        path = f"{crowd.path('imagestreams', 'web')}?fieldManager=m{number}"
        return client.patch(path, json=body, headers=APPLY)

    assert race(write) == {201: 1, 200: len(WRITERS) - 1}
    found = crowd.get("imagestreams", "web").json()["metadata"]
    assert found["labels"] == {f"l{number}": "x" for number in WRITERS}
    assert len(found["managedFields"]) == len(WRITERS)


def test_no_push_and_no_signature_is_lost(crowd, race, digest):
    one, many = digest("a"), [digest("b") for _ in WRITERS]
    crowd.stream("web")

    def push(tag, name):
        body = {"metadata": {"name": "web"}, "tag": tag}
        image = {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"}
        return body | {"image": image}

    path = crowd.path("imagestreammappings")
    done = {201: len(WRITERS)}
    assert race(lambda n, client: client.post(path, json=push(f"v{n}", one))) == done
    assert race(lambda n, client: client.post(path, json=push("all", many[n]))) == done
    status = crowd.get("imagestreams", "web").json()["status"]["tags"]
    assert {tag["tag"]: len(tag["items"]) for tag in status} == {
        "all": len(WRITERS),
        **dict.fromkeys(ALL_TAGS, 1),
    }

    def sign(number, client):
        metadata = {"name": f"{one}@s{number}"}
        body = {"metadata": metadata, "type": f"t{number}", "content": "aGk="}
        return client.post(f"{IMAGE_API}/imagesignatures", json=body)

    assert race(sign) == done
    assert len(read(crowd, one)["signatures"]) == len(WRITERS)
