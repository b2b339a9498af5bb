"""Metadata of an Image, filled from a client's manifest and config (api-21.3 to api-21.6)."""

import json
from datetime import UTC, datetime

import pytest

from models.images.fill_metadata import fill_metadata, fill_problem
from models.resources.image import Image
from tests.fixtures import (
    CFG_A,
    L1,
    L2,
    LIST,
    LIST_TYPE,
    OCI_BARE,
    OCI_TYPE,
    S1_SIGNED_TYPE,
    S2_TYPE,
    compact,
    digest_of,
)
from tests.fixtures import (
    S2 as SCHEMA2,
)

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ORDER = "image.openshift.io/dockerLayersOrder"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA1_TYPE = "application/vnd.docker.distribution.manifest.v1+json"


def image(manifest=b"", config=b"", *, name="sha256:" + "a" * 64, layers=(), order=None, **rest):
    return Image.model_validate(
        {
            "metadata": {"name": name, "annotations": {ORDER: order} if order else {}},
            "dockerImageReference": "quay.io/x/y",
            "dockerImageManifest": manifest.decode(),
            "dockerImageConfig": config.decode(),
            "dockerImageLayers": [
                {"name": layer, "size": 1, "mediaType": LAYER} for layer in layers
            ],
            **rest,
        }
    )


def fill(one):
    return fill_metadata(one, now=NOON)


def names(one):
    return [layer.name for layer in one.docker_image_layers]


def test_fill_metadata_without_manifest_changes_nothing():
    bare = image(layers=(L1, L2), dockerImageManifestMediaType=S2_TYPE)
    assert fill(bare) is bare


@pytest.mark.case("api 132")
def test_fill_metadata_reads_docker_manifest_and_config():
    """The size counts the text of the config and each distinct layer once."""
    pad = b'{"architecture":"amd64","created":"2016-06-23T23:23:37.198943461Z","x":"%s"}'
    config = pad % (b"x" * (262 - len(pad) + 2))
    assert len(config) == 262
    manifest = compact(
        {
            "schemaVersion": 2,
            "mediaType": S2_TYPE,
            "config": {"mediaType": "c/d", "size": 1, "digest": digest_of(config)},
            "layers": [
                {"mediaType": LAYER, "size": 100, "digest": L1},
                {"mediaType": LAYER, "size": 200, "digest": L2},
                {"mediaType": LAYER, "size": 200, "digest": L2},
            ],
        }
    )
    full = fill(image(manifest, config))
    assert names(full) == [L1, L2, L2]
    assert full.docker_image_metadata["Size"] == 562
    assert full.docker_image_metadata["Id"] == digest_of(config)
    assert full.docker_image_metadata["Created"] == "2016-06-23T23:23:37Z"
    assert full.docker_image_manifest_media_type == S2_TYPE
    assert full.metadata.annotations == {ORDER: "ascending"}
    assert fill(full) == full


@pytest.mark.case("api 133")
def test_fill_metadata_without_config_fills_only_layers():
    half = fill(image(SCHEMA2))
    assert names(half) == [L1, L2, L1]
    assert half.docker_image_manifest_media_type == S2_TYPE
    assert half.docker_image_metadata["Id"] == ""
    assert "dockerImageConfig must not be empty" in fill_problem(image(SCHEMA2), now=NOON)


@pytest.mark.case("api 136")
@pytest.mark.parametrize(
    "text",
    [
        b"{bad",
        b"[]",
        b'"x"',
        b'{"schemaVersion": 3}',
        b'{"schemaVersion": 2, "layers": 5}',
        b'{"schemaVersion": 2, "layers": [{"digest": 5}]}',
        b'{"schemaVersion": 2, "layers": [{"size": "5"}]}',
        b'{"schemaVersion": 1, "fsLayers": [{}], "history": []}',
        b'{"mediaType": 5}',
    ],
)
def test_fill_metadata_ignores_invalid_manifest(text):
    assert fill(image(text)) == image(text)
    assert fill_problem(image(text), now=NOON)


@pytest.mark.parametrize("config", [b"{bad", b"[]", b'{"author": 5}', b'{"created": "noon"}'])
def test_fill_metadata_with_invalid_config_fills_only_layers(config):
    half = fill(image(SCHEMA2, config))
    assert names(half) == [L1, L2, L1]
    assert half.docker_image_metadata["Id"] == ""


def test_fill_metadata_copies_keys_of_config():
    metadata = fill(image(SCHEMA2, CFG_A)).docker_image_metadata
    assert metadata["Author"] == "me"
    assert metadata["DockerVersion"] == "1.10.3"
    assert metadata["Config"]["Env"] == ["A=1"]
    assert metadata["Size"] == len(CFG_A) + 150


def test_fill_metadata_media_type_prefers_manifest_then_image_then_docker():
    def media_type(manifest, **rest):
        return fill(image(manifest, CFG_A, **rest)).docker_image_manifest_media_type

    assert media_type(SCHEMA2, dockerImageManifestMediaType=OCI_TYPE) == S2_TYPE
    assert media_type(OCI_BARE, dockerImageManifestMediaType=OCI_TYPE) == OCI_TYPE
    assert media_type(OCI_BARE) == S2_TYPE


@pytest.mark.parametrize(
    ("media_type", "order", "is_reversed"),
    [
        (S2_TYPE, None, True),
        (OCI_TYPE, None, True),
        (SCHEMA1_TYPE, None, False),
        (S1_SIGNED_TYPE, None, False),
        (S2_TYPE, "ascending", False),
        (SCHEMA1_TYPE, "descending", True),
        ("x/y", "descending", True),
    ],
)
def test_fill_metadata_orders_client_layers_oldest_first(media_type, order, is_reversed):
    sent = image(SCHEMA2, layers=(L1, L2), order=order, dockerImageManifestMediaType=media_type)
    ordered = fill(sent)
    assert names(ordered) == ([L2, L1] if is_reversed else [L1, L2])
    assert ordered.metadata.annotations[ORDER] == "ascending"


def test_fill_metadata_keeps_layer_order_of_unknown_media_type():
    sent = image(b"{bad", layers=(L1, L2), dockerImageManifestMediaType="x/y")
    assert fill(sent) == sent


def test_fill_metadata_leaves_complete_image_unread():
    sent = image(
        b"{bad",
        layers=(L1,),
        order="ascending",
        dockerImageManifestMediaType=S2_TYPE,
        dockerImageMetadata={"Size": 5},
    )
    assert fill(sent) == sent
    assert fill_problem(sent, now=NOON) == ""


@pytest.mark.case("api 135")
def test_fill_metadata_of_index_sets_id_and_created_once():
    name = digest_of(LIST)
    once = fill(image(LIST, name=name, dockerImageManifestMediaType=LIST_TYPE))
    assert once.docker_image_metadata["Id"] == name
    assert once.docker_image_metadata["Created"] == "2026-01-02T12:00:00Z"
    assert once.docker_image_layers == []
    assert fill_metadata(once, now=NOON.replace(hour=13)) == once


def schema1(*entries, layers=None):
    history = [{"v1Compatibility": json.dumps(entry)} for entry in entries]
    layers = [{"blobSum": name} for name in layers or (L1, L2)]
    return compact({"schemaVersion": 1, "fsLayers": layers, "history": history})


def test_fill_metadata_reads_schema1_history_newest_first():
    top = {"id": "top", "created": "2015-02-21T02:11:06.5Z", "author": "me", "Size": 42}
    full = fill(image(schema1(top, {"id": "base", "Size": 8})))
    assert [(layer.name, layer.size) for layer in full.docker_image_layers] == [(L2, 8), (L1, 42)]
    assert full.docker_image_layers[0].media_type == (
        "application/vnd.docker.container.image.rootfs.diff+x-gtar"
    )
    assert full.docker_image_manifest_media_type == SCHEMA1_TYPE
    assert full.docker_image_metadata["Id"] == "top"
    assert full.docker_image_metadata["Size"] == 50
    assert full.metadata.annotations[ORDER] == "ascending"


def test_fill_metadata_ignores_schema1_with_mismatched_history():
    sent = image(schema1({"id": "top"}))
    assert fill(sent) == sent
    assert "cardinality (1 != 2)" in fill_problem(sent, now=NOON)


def test_fill_metadata_counts_config_layer_once_in_size():
    config = b"{}"
    manifest = compact(
        {
            "schemaVersion": 2,
            "config": {"digest": digest_of(config)},
            "layers": [
                {"mediaType": LAYER, "size": 7, "digest": digest_of(config)},
                {"mediaType": LAYER, "size": 100, "digest": L1},
            ],
        }
    )
    assert fill(image(manifest, config)).docker_image_metadata["Size"] == 102
