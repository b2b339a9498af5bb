"""ImageStreamLayers: every blob that the images of a stream need (api-26.3, api-26.4)."""

import json

import pytest

from tests.integration.api.pushed_images import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    IMAGES,
    L1,
    L2,
    OCI_INDEX,
    image_path,
    index_of,
    pushed_image,
)


def layers(tenant, stream="s"):
    response = tenant.get("imagestreams", f"{stream}/layers")
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
def pushed(tenant):
    """Push an image into the stream `s`; return the digests of its manifest and config."""
    tenant.stream("s")
    image = pushed_image()
    name = image.pop("metadata")["name"]
    assert tenant.push("s", "t", name, **image).status_code == 201
    return name, json.loads(image["dockerImageManifest"])["config"]["digest"]


@pytest.mark.case("api 186")
def test_layers_list_layers_config_and_manifest_of_image(tenant, pushed):
    name, config = pushed
    found = layers(tenant)
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamLayers", "image.openshift.io/v1")
    assert found["metadata"] == tenant.get("imagestreams", "s").json()["metadata"]
    assert found["images"] == {
        name: {"imageMissing": False, "layers": [L1, L2, L2], "config": config}
    }
    assert found["blobs"] == {
        L1: {"size": 100, "mediaType": DOCKER_LAYER},
        L2: {"size": 200, "mediaType": DOCKER_LAYER},
        config: {"size": None, "mediaType": DOCKER_CONFIG},
        name: {"size": None, "mediaType": DOCKER_MANIFEST},
    }


def test_layers_include_images_of_older_events(tenant, pushed, digest):
    name, _ = pushed
    second = digest()
    tenant.push("s", "t", second)
    assert set(layers(tenant)["images"]) == {name, second}


def test_layers_mark_deleted_image_as_missing(tenant, pushed):
    name, _ = pushed
    assert tenant.admin.delete(image_path(name)).status_code == 200
    found = layers(tenant)
    assert found["images"] == {name: {"imageMissing": True, "layers": None, "config": None}}
    assert found["blobs"] == {}


@pytest.mark.case("api 187")
def test_layers_include_children_of_index_and_mark_missing(tenant, digest):
    tenant.stream("s")
    child, missing = pushed_image(), digest("d")
    name = child["metadata"]["name"]
    assert tenant.admin.post(IMAGES, json=child).status_code == 201
    parent, fields = index_of(name, missing)
    assert tenant.push("s", "t", parent, **fields).status_code == 201
    found = layers(tenant)
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
def test_layers_count_image_without_type_as_docker_manifest(tenant, digest):
    name = digest()
    tenant.stream("s")
    tenant.push("s", "t", name)
    found = layers(tenant)
    assert found["images"] == {name: {"imageMissing": False, "layers": None, "config": None}}
    assert found["blobs"] == {name: {"size": None, "mediaType": DOCKER_MANIFEST}}


def test_layers_of_image_without_config_have_null_config(tenant):
    tenant.stream("s")
    image = pushed_image()
    name = image.pop("metadata")["name"]
    del image["dockerImageConfig"]
    assert tenant.push("s", "t", name, **image).status_code == 201
    assert layers(tenant)["images"][name]["config"] is None


def test_layers_of_empty_stream_are_empty(tenant):
    tenant.stream("s")
    found = layers(tenant)
    assert (found["blobs"], found["images"]) == ({}, {})


@pytest.mark.case("api 189")
def test_layers_of_missing_stream_are_not_found(tenant):
    response = tenant.get("imagestreams", "nope/layers")
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
    assert response.json()["message"] == 'imagestreams.image.openshift.io "nope" not found'
