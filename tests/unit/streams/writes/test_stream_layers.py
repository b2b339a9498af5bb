"""Every blob that the images of a stream need (api-26.3, api-26.4)."""

import pytest

from models.resources.image import Image
from models.streams.tags.tag_views import resolve_isimage
from models.streams.writes.stream_layers import build_layers, missing_images
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    event,
    history,
    stream_of,
)

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def image(name, *layers, kind=DOCKER, config="c", children=()):
    return Image.model_validate(
        {
            "metadata": {"name": name},
            "dockerImageManifestMediaType": kind,
            "dockerImageMetadata": {"Id": config},
            "dockerImageLayers": [
                {"name": layer, "size": size, "mediaType": LAYER} for layer, size in layers
            ],
            "dockerImageManifests": [
                {
                    "digest": child,
                    "mediaType": OCI,
                    "manifestSize": 1,
                    "architecture": "a",
                    "os": "o",
                }
                for child in children
            ],
        }
    )


def view(stream, *images):
    wire = build_layers(stream, {each.name: each for each in images}).wire()
    return wire["images"], wire["blobs"]


def tagged(*names, tag="t"):
    return history(tag, *(event(f"quay.io/x/y@{name}", name) for name in names))


ONE_TAG = stream_of([], [tagged(DIGEST_1)], name="s", uid="u", resource_version="5")


@pytest.mark.case("api 186")
def test_layers_contain_layers_config_and_manifest_of_image():
    images, blobs = view(ONE_TAG, image(DIGEST_1, ("l1", 10), ("l2", 20), ("l2", 20)))
    assert images == {
        DIGEST_1: {"imageMissing": False, "layers": ["l1", "l2", "l2"], "config": "c"}
    }
    assert blobs == {
        "l1": {"size": 10, "mediaType": LAYER},
        "l2": {"size": 20, "mediaType": LAYER},
        "c": {"size": None, "mediaType": "application/vnd.docker.container.image.v1+json"},
        DIGEST_1: {"size": None, "mediaType": DOCKER},
    }


def test_layers_metadata_is_of_stream():
    assert build_layers(ONE_TAG, {}).metadata == ONE_TAG.metadata


def test_layers_of_oci_image_have_oci_config():
    _, blobs = view(ONE_TAG, image(DIGEST_1, kind=OCI))
    assert blobs["c"]["mediaType"] == "application/vnd.oci.image.config.v1+json"


@pytest.mark.case("api 188")
def test_layers_of_image_without_type_count_docker_manifest():
    images, blobs = view(ONE_TAG, image(DIGEST_1, kind=""))
    assert images == {DIGEST_1: {"imageMissing": False, "layers": None, "config": None}}
    assert blobs == {DIGEST_1: {"size": None, "mediaType": DOCKER}}


def test_layers_of_docker_image_without_config_id_have_no_config():
    images, blobs = view(ONE_TAG, image(DIGEST_1, config=""))
    assert images[DIGEST_1]["config"] is None
    assert "" not in blobs


def test_layers_contain_all_events_with_image():
    stream = stream_of(
        [],
        [
            tagged(DIGEST_1, DIGEST_2),
            tagged(DIGEST_2, tag="u"),
            history("v", event("quay.io/o:1", "")),
        ],
    )
    images, blobs = view(stream)
    missing = {"imageMissing": True, "layers": None, "config": None}
    assert images == {DIGEST_1: missing, DIGEST_2: missing}
    assert blobs == {}


@pytest.mark.case("api 187")
def test_layers_contain_children_of_index_and_mark_missing():
    parent = image(DIGEST_1, kind=INDEX, children=(DIGEST_2, DIGEST_3))
    images, blobs = view(ONE_TAG, parent, image(DIGEST_2, ("l", 1), kind=OCI))
    assert images[DIGEST_1] == {
        "imageMissing": False,
        "layers": None,
        "config": None,
        "manifests": [DIGEST_2, DIGEST_3],
    }
    assert images[DIGEST_2]["layers"] == ["l"]
    assert images[DIGEST_3] == {"imageMissing": True, "layers": None, "config": None}
    assert blobs[DIGEST_1] == {"size": None, "mediaType": INDEX}


def test_layers_blob_size_is_of_first_image():
    stream = stream_of([], [tagged(DIGEST_1), tagged(DIGEST_2, tag="u")])
    _, blobs = view(stream, image(DIGEST_1, ("l", 10), ("c", 3)), image(DIGEST_2, ("l", 99)))
    assert blobs["l"]["size"] == 10
    assert blobs["c"] == {"size": 3, "mediaType": LAYER}


def test_missing_images_returns_each_level_of_nested_index():
    store = {
        DIGEST_1: image(DIGEST_1, kind=INDEX, children=(DIGEST_2,)),
        DIGEST_2: image(DIGEST_2, kind=INDEX, children=(DIGEST_3, DIGEST_1)),
    }
    found, requested, rounds = {}, set(), []
    while wanted := missing_images(ONE_TAG, found) - requested:
        rounds.append(wanted)
        requested |= wanted
        found.update({name: store[name] for name in wanted if name in store})
    assert rounds == [{DIGEST_1}, {DIGEST_2}, {DIGEST_3}]
    assert set(build_layers(ONE_TAG, found).images) == {DIGEST_1, DIGEST_2, DIGEST_3}


@pytest.mark.case("api 185")
def test_layers_images_include_child_of_index():
    layers = build_layers(ONE_TAG, {DIGEST_1: image(DIGEST_1, kind=INDEX, children=(DIGEST_2,))})
    assert resolve_isimage(layers.images, "s", DIGEST_2[:14]) == DIGEST_2
