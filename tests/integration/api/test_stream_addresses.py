"""Where a stream's images are pulled from (`api.md` B2.5, B3.7): cases 41 and 42."""

import pytest

from tests.apiserver import ApiWorld
from tests.integration.api.rooms import Room, follows
from tests.integration.api.test_streams_created import causes

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def outer_world(tmp_path_factory):
    """A server without a registry of its own, but with a name for the one outside."""
    home = tmp_path_factory.mktemp("outer")
    with ApiWorld(
        home, internal_registry_hostname="", external_registry_hostnames=["ext.io"]
    ) as found:
        yield found


@pytest.fixture
def outer(outer_world):
    return Room(outer_world)


@pytest.mark.case("api 41")
def test_without_a_registry_of_our_own_a_stream_lives_where_it_says(outer):
    said = outer.stream("said", dockerImageRepository="quay.io/a/b")
    silent = outer.stream("silent")
    assert said["status"]["dockerImageRepository"] == "quay.io/a/b"
    assert silent["status"]["dockerImageRepository"] == ""


@pytest.mark.case("api 42")
def test_a_public_name_is_shown_everywhere(outer):
    expected = f"ext.io/{outer.ns}/app"
    assert outer.stream("app")["status"]["publicDockerImageRepository"] == expected
    found = outer.get("imagestreams", "app").json()
    assert found["status"]["publicDockerImageRepository"] == expected
    [listed] = outer.get("imagestreams").json()["items"]
    assert listed["status"]["publicDockerImageRepository"] == expected
    status = outer.get("imagestreams", "app/status").json()
    assert status["status"]["publicDockerImageRepository"] == expected
    for name in ("", "app"):
        table = outer.get("imagestreams", name, headers=TABLE).json()
        names = [column["name"] for column in table["columnDefinitions"]]
        [row] = table["rows"]
        assert row["cells"][names.index("Image Repository")] == expected


def test_addresses_that_a_client_writes_are_not_kept(outer):
    stream = outer.stream("app")
    stream["status"] = {"dockerImageRepository": "zz", "publicDockerImageRepository": "yy"}
    for name in ("app", "app/status"):
        written = outer.put("imagestreams", name, stream).json()
        assert written["status"]["dockerImageRepository"] == ""
        assert written["status"]["publicDockerImageRepository"] == f"ext.io/{outer.ns}/app"


def test_without_a_registry_of_our_own_a_push_says_where_from(outer, digest):
    outer.stream("app")
    body = {"metadata": {"name": "app"}, "image": {"metadata": {"name": digest()}}, "tag": "t"}
    answer = outer.post("imagestreammappings", body)
    assert answer.status_code == 422
    assert causes(answer) == {"image.dockerImageReference": "Required value"}


def test_without_a_registry_of_our_own_a_local_tag_is_pulled_from_its_source(outer, digest):
    name = digest()
    outer.stream("app", follows("v1", "later") | {"referencePolicy": {"type": "Local"}})
    assert outer.map("app", "v1", name).status_code == 201
    found = outer.get("imagestreamtags", "app:v1").json()
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{name}"
