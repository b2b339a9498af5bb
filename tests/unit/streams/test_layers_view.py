"""Every blob that a stream's images need (`api.md` B11)."""

import pytest

from models.resources.image import Image
from models.streams.tags.tag_views import resolve_isimage
from models.streams.writes.stream_layers import build_layers, wanted_images
from tests.unit.streams.scenes import D1, D2, D3, event, history, stream_of

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


ONE = stream_of([], [tagged(D1)], name="s", uid="u", resource_version="5")


@pytest.mark.case("api 186")
def test_an_image_needs_its_layers_its_config_and_itself():
    images, blobs = view(ONE, image(D1, ("l1", 10), ("l2", 20), ("l2", 20)))
    assert images == {D1: {"imageMissing": False, "layers": ["l1", "l2", "l2"], "config": "c"}}
    assert blobs == {
        "l1": {"size": 10, "mediaType": LAYER},
        "l2": {"size": 20, "mediaType": LAYER},
        "c": {"size": None, "mediaType": "application/vnd.docker.container.image.v1+json"},
        D1: {"size": None, "mediaType": DOCKER},
    }


def test_the_metadata_is_the_streams():
    assert build_layers(ONE, {}).metadata == ONE.metadata


def test_an_oci_image_has_an_oci_config():
    _, blobs = view(ONE, image(D1, kind=OCI))
    assert blobs["c"]["mediaType"] == "application/vnd.oci.image.config.v1+json"


@pytest.mark.case("api 188")
def test_an_image_of_no_known_kind_has_no_config_and_counts_as_a_docker_manifest():
    images, blobs = view(ONE, image(D1, kind=""))
    assert images == {D1: {"imageMissing": False, "layers": None, "config": None}}
    assert blobs == {D1: {"size": None, "mediaType": DOCKER}}


def test_a_docker_image_whose_config_is_not_known_shows_none():
    images, blobs = view(ONE, image(D1, config=""))
    assert images[D1]["config"] is None
    assert "" not in blobs


def test_all_revisions_of_all_tags_count_and_those_without_an_image_do_not():
    stream = stream_of(
        [], [tagged(D1, D2), tagged(D2, tag="u"), history("v", event("quay.io/o:1", ""))]
    )
    images, blobs = view(stream)
    missing = {"imageMissing": True, "layers": None, "config": None}
    assert images == {D1: missing, D2: missing}
    assert blobs == {}


@pytest.mark.case("api 187")
def test_the_children_of_an_index_are_visited_too_and_may_be_missing():
    parent = image(D1, kind=INDEX, children=(D2, D3))
    images, blobs = view(ONE, parent, image(D2, ("l", 1), kind=OCI))
    assert images[D1] == {
        "imageMissing": False,
        "layers": None,
        "config": None,
        "manifests": [D2, D3],
    }
    assert images[D2]["layers"] == ["l"]
    assert images[D3] == {"imageMissing": True, "layers": None, "config": None}
    assert blobs[D1] == {"size": None, "mediaType": INDEX}


def test_the_first_to_name_a_blob_says_what_it_is():
    stream = stream_of([], [tagged(D1), tagged(D2, tag="u")])
    _, blobs = view(stream, image(D1, ("l", 10), ("c", 3)), image(D2, ("l", 99)))
    assert blobs["l"]["size"] == 10
    assert blobs["c"] == {"size": 3, "mediaType": LAYER}


def test_what_is_still_to_be_loaded_comes_up_round_by_round():
    store = {
        D1: image(D1, kind=INDEX, children=(D2,)),
        D2: image(D2, kind=INDEX, children=(D3, D1)),
    }
    found, asked, rounds = {}, set(), []
    while wanted := wanted_images(ONE, found) - asked:
        rounds.append(wanted)
        asked |= wanted
        found.update({name: store[name] for name in wanted if name in store})
    assert rounds == [{D1}, {D2}, {D3}]
    assert set(build_layers(ONE, found).images) == {D1, D2, D3}


@pytest.mark.case("api 185")
def test_a_child_of_an_index_is_an_image_of_the_stream():
    layers = build_layers(ONE, {D1: image(D1, kind=INDEX, children=(D2,))})
    assert resolve_isimage(layers.images, "s", D2[:14]) == D2
