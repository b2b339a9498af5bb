"""ImageStreamLayers: every blob that a stream's images need (`api.md` B11): cases 186 to 189."""

import json

import pytest

from tests.integration.api.pushes import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    IMAGES,
    L1,
    L2,
    OCI_INDEX,
    at,
    index_of,
    pushed_image,
)


def layers(room, stream="s"):
    answer = room.get("imagestreams", f"{stream}/layers")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def pushed(room):
    """An image in the stream `s`; the digests of its manifest and of its config."""
    room.stream("s")
    image = pushed_image()
    name = image.pop("metadata")["name"]
    assert room.map("s", "t", name, **image).status_code == 201
    return name, json.loads(image["dockerImageManifest"])["config"]["digest"]


@pytest.mark.case("api 186")
def test_an_image_needs_its_layers_its_config_and_itself(room, pushed):
    name, config = pushed
    found = layers(room)
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamLayers", "image.openshift.io/v1")
    assert found["metadata"] == room.get("imagestreams", "s").json()["metadata"]
    assert found["images"] == {
        name: {"imageMissing": False, "layers": [L1, L2, L2], "config": config}
    }
    assert found["blobs"] == {
        L1: {"size": 100, "mediaType": DOCKER_LAYER},
        L2: {"size": 200, "mediaType": DOCKER_LAYER},
        config: {"size": None, "mediaType": DOCKER_CONFIG},
        name: {"size": None, "mediaType": DOCKER_MANIFEST},
    }


def test_images_that_a_tag_once_meant_count_too(room, pushed, digest):
    name, _ = pushed
    second = digest()
    room.map("s", "t", second)
    assert set(layers(room)["images"]) == {name, second}


def test_an_image_that_is_gone_is_missing(room, pushed):
    name, _ = pushed
    assert room.admin.delete(at(name)).status_code == 200
    found = layers(room)
    assert found["images"] == {name: {"imageMissing": True, "layers": None, "config": None}}
    assert found["blobs"] == {}


@pytest.mark.case("api 187")
def test_a_list_needs_its_children_even_those_that_are_not_there(room, digest):
    room.stream("s")
    child, missing = pushed_image(), digest("d")
    name = child["metadata"]["name"]
    assert room.admin.post(IMAGES, json=child).status_code == 201
    parent, fields = index_of(name, missing)
    assert room.map("s", "t", parent, **fields).status_code == 201
    found = layers(room)
    assert found["images"][parent] == {
        "imageMissing": False,
        "layers": None,
        "config": None,
        "manifests": [name, missing],
    }
    assert found["images"][missing] == {"imageMissing": True, "layers": None, "config": None}
    assert found["images"][name]["layers"] == [L1, L2, L2]
    assert found["blobs"][parent] == {"size": None, "mediaType": OCI_INDEX}
    assert missing not in found["blobs"]


@pytest.mark.case("api 188")
def test_an_image_of_no_known_schema_counts_as_a_docker_manifest(room, digest):
    name = digest()
    room.stream("s")
    room.map("s", "t", name)
    found = layers(room)
    assert found["images"] == {name: {"imageMissing": False, "layers": None, "config": None}}
    assert found["blobs"] == {name: {"size": None, "mediaType": DOCKER_MANIFEST}}


def test_an_image_whose_config_is_not_known_has_none(room):
    room.stream("s")
    image = pushed_image()
    name = image.pop("metadata")["name"]
    del image["dockerImageConfig"]
    assert room.map("s", "t", name, **image).status_code == 201
    assert layers(room)["images"][name]["config"] is None


def test_an_empty_stream_needs_nothing(room):
    room.stream("s")
    found = layers(room)
    assert (found["blobs"], found["images"]) == ({}, {})


@pytest.mark.case("api 189")
def test_a_stream_that_is_not_there_has_no_layers(room):
    answer = room.get("imagestreams", "nope/layers")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'imagestreams.image.openshift.io "nope" not found'
