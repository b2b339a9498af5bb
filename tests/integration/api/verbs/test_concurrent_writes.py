"""Concurrent writes, on both databases (api-24.7, api-6.8)."""

import threading
from collections import Counter

import pytest

from tests.api_test_server import IMAGE_API, ApiTestServer
from tests.integration.api.pushed_images import IMAGES, image_path, read_image
from tests.integration.api.tenant import Tenant

WRITERS = range(8)
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
SOURCE = {"from": {"kind": "DockerImage", "name": "registry.invalid/x/y:1"}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def contended_server(request, tmp_path_factory):
    """A server that only this module uses, on either database."""
    data_dir = tmp_path_factory.mktemp("crowded")
    if request.param == "sqlite":
        with ApiTestServer(data_dir) as found:
            yield found
        return
    postgres = request.getfixturevalue("postgres_server")
    name = postgres.create_database()
    with ApiTestServer(data_dir, postgres.url(name)) as found:
        yield found
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def clients(contended_server):
    return [contended_server.client(contended_server.token) for _ in WRITERS]


@pytest.fixture
def contended_tenant(contended_server):
    return Tenant(contended_server)


@pytest.fixture
def race(clients):
    """Run all writers at once; return how often each code was returned."""

    def run(write):
        start = threading.Barrier(len(clients))
        codes = Counter()

        def run_writer(number, client):
            start.wait()
            codes[write(number, client).status_code] += 1

        threads = [threading.Thread(target=run_writer, args=pair) for pair in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return dict(codes)

    return run


def tags(contended_tenant, stream="web"):
    return [
        tag["name"] for tag in contended_tenant.get("imagestreams", stream).json()["spec"]["tags"]
    ]


ALL_TAGS = [f"v{number}" for number in WRITERS]


@pytest.mark.case("api 230")
@pytest.mark.parametrize("stream_exists", [True, False], ids=["stream", "no stream"])
@pytest.mark.parametrize("verb", ["put", "post", "patch", "apply"])
def test_concurrent_istag_writes_of_distinct_tags_succeed(
    contended_tenant, race, verb, stream_exists
):
    if stream_exists:
        contended_tenant.stream("web")

    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "tag": SOURCE}
        path = contended_tenant.path("imagestreamtags", name)
        if verb == "put":
            return client.put(path, json=body)
        if verb == "post":
            return client.post(contended_tenant.path("imagestreamtags"), json=body)
        if verb == "patch":
            return client.patch(path, json={"tag": SOURCE | {"name": "x"}}, headers=MERGE)
        typed = {"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", **body}
        return client.patch(f"{path}?fieldManager=me", json=typed, headers=APPLY)

    assert race(write) == {201: len(WRITERS)}
    assert tags(contended_tenant) == ALL_TAGS

    def delete(number, client):
        return client.delete(contended_tenant.path("imagestreamtags", f"web:v{number}"))

    assert race(delete) == {200: len(WRITERS)}
    assert contended_tenant.get("imagestreams", "web").json()["spec"] == {
        "lookupPolicy": {"local": False}
    }


@pytest.mark.case("api 230")
def test_concurrent_imagetag_writes_of_distinct_tags_succeed(contended_tenant, race):
    def write(number, client):
        name = f"web:v{number}"
        body = {"metadata": {"name": name}, "spec": SOURCE}
        return client.put(contended_tenant.path("imagetags", name), json=body)

    assert race(write) == {201: len(WRITERS)}
    assert tags(contended_tenant) == ALL_TAGS


def test_concurrent_creates_and_deletes_have_one_winner(contended_tenant, race, digest):
    one_winner = {201: 1, 409: len(WRITERS) - 1}
    name = digest()
    image = {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"}
    assert race(lambda _, client: client.post(IMAGES, json=image)) == one_winner
    stream = {"metadata": {"name": "web"}}
    assert (
        race(lambda _, client: client.post(contended_tenant.path("imagestreams"), json=stream))
        == one_winner
    )
    secrets = f"/api/v1/namespaces/{contended_tenant.ns}/secrets"
    assert race(lambda _, client: client.post(secrets, json=stream)) == one_winner
    namespace = {"metadata": {"name": f"{contended_tenant.ns}x"}}
    assert race(lambda _, client: client.post("/api/v1/namespaces", json=namespace)) == one_winner
    one_deleted = {200: 1, 404: len(WRITERS) - 1}
    assert (
        race(lambda _, client: client.delete(contended_tenant.path("imagestreams", "web")))
        == one_deleted
    )
    assert race(lambda _, client: client.delete(image_path(name))) == one_deleted


def test_concurrent_patches_are_all_applied(contended_tenant, race, digest):
    name = digest()
    contended_tenant.image(name)
    contended_tenant.stream("web")
    labels = {f"l{number}": "x" for number in WRITERS}

    def patch(path):
        def write(number, client):
            body = {"metadata": {"labels": {f"l{number}": "x"}}}
            return client.patch(path, json=body, headers=MERGE)

        return write

    assert race(patch(image_path(name))) == {200: len(WRITERS)}
    assert read_image(contended_tenant, name)["metadata"]["labels"] == labels
    assert race(patch(contended_tenant.path("imagestreams", "web"))) == {200: len(WRITERS)}
    assert contended_tenant.get("imagestreams", "web").json()["metadata"]["labels"] == labels


def test_concurrent_applies_create_one_object_with_all_fields(contended_tenant, race):
    def write(number, client):
        body = {
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": "web", "labels": {f"l{number}": "x"}},
        }
        path = f"{contended_tenant.path('imagestreams', 'web')}?fieldManager=m{number}"
        return client.patch(path, json=body, headers=APPLY)

    assert race(write) == {201: 1, 200: len(WRITERS) - 1}
    found = contended_tenant.get("imagestreams", "web").json()["metadata"]
    assert found["labels"] == {f"l{number}": "x" for number in WRITERS}
    assert len(found["managedFields"]) == len(WRITERS)


def test_concurrent_mappings_and_signatures_are_all_stored(contended_tenant, race, digest):
    first, many = digest("a"), [digest("b") for _ in WRITERS]
    contended_tenant.stream("web")

    def push(tag, name):
        body = {"metadata": {"name": "web"}, "tag": tag}
        image = {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"}
        return body | {"image": image}

    path = contended_tenant.path("imagestreammappings")
    done = {201: len(WRITERS)}
    assert race(lambda n, client: client.post(path, json=push(f"v{n}", first))) == done
    assert race(lambda n, client: client.post(path, json=push("all", many[n]))) == done
    status = contended_tenant.get("imagestreams", "web").json()["status"]["tags"]
    assert {tag["tag"]: len(tag["items"]) for tag in status} == {
        "all": len(WRITERS),
        **dict.fromkeys(ALL_TAGS, 1),
    }

    def sign(number, client):
        metadata = {"name": f"{first}@s{number}"}
        body = {"metadata": metadata, "type": f"t{number}", "content": "aGk="}
        return client.post(f"{IMAGE_API}/imagesignatures", json=body)

    assert race(sign) == done
    assert len(read_image(contended_tenant, first)["signatures"]) == len(WRITERS)
