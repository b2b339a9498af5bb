"""Strict parsing of manifest bytes into typed documents."""

import json
import random

import pytest

from models.errors import ContentError, TagstreamError
from models.images.manifest import (
    ImageDocument,
    IndexDocument,
    Schema1Document,
    digestible_content,
    parse_manifest,
    schema1_payload,
)
from models.oci import Descriptor
from tests import fixtures as fx


@pytest.mark.parametrize(
    ("content", "size", "digest"),
    [
        (fx.CFG_A, 514, "106ecac9917f434ebcf5a4bb7893c9433d3490179c9379f0715b63b874a181e2"),
        (fx.CFG_ARM, 70, "b18e457d8e7b1a0b3c47735c479137ea55eb1fa243636dda03229c47ea2267e8"),
        (fx.CFG_ATT, 104, "1c28696383957418ad9fcc6f1e7d49b0bd1e93923d1ffacbe0d178151a85490a"),
        (fx.S2, 740, "0558a959992c08f94273bc2b0018ee809a28e381d19d16835e3b2ca81b01366e"),
        (fx.OCI, 399, "3072062537e6ca2fd613765a391d81968aa856a2ca1e30c0e50b1590a52139fa"),
        (fx.OCI_BARE, 342, "4096782327b3fba9532f4afd3fcded180347de0e3fbbc97ff045bf1c84a36517"),
        (fx.OCI_ARM, 399, "538931f5f96319527da8bfdafa77e23f8fcaded777052b7eb4c877331f8bc1a5"),
        (fx.OCI_ATT, 399, "5cf72ce70747fbfb45e931160eb0f0dee3cabac8474f43955d8f5a6b68fea603"),
        (fx.LIST, 727, "470fb94ed7288ca3c820e248e56df4a8c93386da1f34dc1bbb4886818bd889ed"),
        (fx.INDEX, 709, "f9722820ecf98f0a44ecd7a0e95164fbf98a6bb5d8e68be3a3d71dced3415e4c"),
        (fx.INDEX_BARE, 450, "cfe6476dfc178675bcc6dca4cb998a482dbc2d6b1f41fae4a787f1ea7bd54360"),
        (
            fx.SCHEMA1_PAYLOAD,
            296,
            "2da673570a39d6832197a1e4fcdf2d9ff491936dbdf5664b84d53f8387db99d1",
        ),
    ],
)
def test_fixtures_match_digests_of_specification(content, size, digest):
    assert (len(content), fx.digest_of(content)) == (size, f"sha256:{digest}")


@pytest.mark.case("import 3-26", "import 3-27", "registry 58", "registry 120")
@pytest.mark.parametrize(
    "content_type",
    [
        fx.S2_TYPE,
        fx.S2_TYPE + "; charset=utf-8",
        "",
        "text/plain",
        "application/octet-stream",
        "application/json",
    ],
)
def test_parse_manifest_detects_schema2_by_header_or_body(content_type):
    manifest = parse_manifest(fx.S2, content_type=content_type)
    assert isinstance(manifest, ImageDocument)
    assert manifest.media_type == fx.S2_TYPE
    assert manifest.digest == fx.digest_of(fx.S2)
    assert [layer.size for layer in manifest.layers] == [100, 50, 100]


@pytest.mark.case("import 3-2", "registry 120")
@pytest.mark.parametrize("content_type", [fx.OCI_TYPE, "", "text/plain"])
def test_parse_manifest_detects_oci_manifest_without_media_type(content_type):
    assert parse_manifest(fx.OCI_BARE, content_type=content_type).media_type == fx.OCI_TYPE


@pytest.mark.case("import 3-16", "registry 40")
@pytest.mark.parametrize(
    ("content", "header", "media_type", "entries"),
    [
        (fx.LIST, fx.LIST_TYPE, fx.LIST_TYPE, 3),
        (fx.INDEX, fx.INDEX_TYPE, fx.INDEX_TYPE, 3),
        (fx.INDEX_BARE, "", fx.INDEX_TYPE, 2),
        (fx.INDEX_BARE, fx.INDEX_TYPE, fx.INDEX_TYPE, 2),
    ],
)
def test_parse_manifest_keeps_order_of_index_entries(content, header, media_type, entries):
    manifest = parse_manifest(content, content_type=header)
    assert isinstance(manifest, IndexDocument)
    assert manifest.media_type == media_type
    assert len(manifest.manifests) == entries
    assert manifest.manifests[0].platform.variant == "v8"


INDEX_NOT_LIST = (
    f"if present, mediaType in image index should be '{fx.INDEX_TYPE}' not '{fx.LIST_TYPE}'"
)


@pytest.mark.case("import 3-28", "import 3-29", "import 3-48", "registry 118")
@pytest.mark.parametrize(
    ("content", "header", "message"),
    [
        (
            fx.S2,
            fx.OCI_TYPE,
            f"if present, mediaType in manifest should be '{fx.OCI_TYPE}' not '{fx.S2_TYPE}'",
        ),
        (
            fx.INDEX,
            fx.LIST_TYPE,
            f"mediaType in manifest list should be '{fx.LIST_TYPE}' not '{fx.INDEX_TYPE}'",
        ),
        (
            fx.INDEX_BARE,
            fx.LIST_TYPE,
            f"mediaType in manifest list should be '{fx.LIST_TYPE}' not ''",
        ),
        (
            fx.LIST,
            fx.INDEX_TYPE,
            INDEX_NOT_LIST,
        ),
        (
            fx.OCI_BARE,
            fx.S2_TYPE,
            f"mediaType in manifest should be '{fx.S2_TYPE}' not ''",
        ),
        (fx.OCI, fx.INDEX_TYPE, "index: expected index but found manifest"),
        (fx.INDEX, fx.OCI_TYPE, "ocimanifest: expected manifest but found index"),
    ],
)
def test_parse_manifest_rejects_body_contradicting_content_type(content, header, message):
    with pytest.raises(ContentError) as refused:
        parse_manifest(content, content_type=header)
    assert refused.value.text == message


@pytest.mark.case("registry 119")
def test_parse_manifest_prefers_descriptor_over_content_type():
    expected = Descriptor(fx.OCI_TYPE, fx.digest_of(fx.OCI), 399)
    manifest = parse_manifest(fx.OCI, content_type=fx.S2_TYPE, expected=expected)
    assert manifest.media_type == fx.OCI_TYPE
    assert len(manifest.warnings) == 1


def change(content, **keys):
    return fx.compact({**json.loads(content), **keys})


@pytest.mark.case("registry 114", "registry 115", "registry 117")
@pytest.mark.parametrize(
    ("content", "header"),
    [
        (change(fx.S2, manifests=[]), fx.S2_TYPE),
        (change(fx.S2, Manifests=None), fx.S2_TYPE),
        (fx.OCI.replace(b'"layers"', b'"Layers"'), fx.OCI_TYPE),
        (change(fx.INDEX, config={}), fx.INDEX_TYPE),
        (change(fx.INDEX, layers=None), fx.INDEX_TYPE),
        (change(fx.LIST, layers=[]), fx.LIST_TYPE),
        (change(fx.OCI, fsLayers=None), fx.OCI_TYPE),
        (change(fx.SCHEMA1_PAYLOAD, layers=[]), ""),
        (change(fx.OCI, MediaType=fx.OCI_TYPE), fx.OCI_TYPE),
    ],
)
def test_parse_manifest_rejects_ambiguous_manifest(content, header):
    with pytest.raises(ContentError) as refused:
        parse_manifest(content, content_type=header)
    assert refused.value.code == "content.ambiguous"


@pytest.mark.case("registry 121")
@pytest.mark.parametrize("version", ["3", '"2"', "2.0", "true", "null"])
def test_parse_manifest_rejects_schema_version_other_than_two(version):
    content = fx.S2.replace(b'"schemaVersion":2', b'"schemaVersion":' + version.encode())
    with pytest.raises(ContentError):
        parse_manifest(content, content_type=fx.S2_TYPE)


@pytest.mark.case("registry 129")
def test_parse_manifest_rejects_index_with_over_1000_entries():
    entry = json.loads(fx.INDEX)["manifests"][0]
    full = change(fx.INDEX, manifests=[entry] * 1000)
    assert len(parse_manifest(full, content_type="").manifests) == 1000
    with pytest.raises(ContentError, match="more than 1000"):
        parse_manifest(change(fx.INDEX, manifests=[entry] * 1001), content_type="")


@pytest.mark.case("registry 133")
def test_parse_manifest_keeps_child_of_unknown_media_type():
    entry = {**json.loads(fx.INDEX)["manifests"][0], "mediaType": "application/vnd.x.y+json"}
    manifest = parse_manifest(change(fx.INDEX, manifests=[entry]), content_type="")
    assert manifest.manifests[0].media_type == "application/vnd.x.y+json"


@pytest.mark.case("import 3-37")
@pytest.mark.parametrize("header", [fx.S1_SIGNED_TYPE, "", "application/json"])
def test_parse_manifest_digests_payload_of_signed_schema1(header):
    manifest = parse_manifest(fx.SCHEMA1_RAW, content_type=header)
    assert isinstance(manifest, Schema1Document)
    assert manifest.digest == fx.digest_of(fx.SCHEMA1_PAYLOAD)
    assert digestible_content(fx.SCHEMA1_RAW) == fx.SCHEMA1_PAYLOAD
    assert manifest.layers[0].compatibility["Size"] == 42


@pytest.mark.case("registry 147")
def test_parse_manifest_ignores_content_after_schema1_payload():
    smuggled = fx.SCHEMA1_RAW[:-2] + b',"extra":[{"blobSum":"' + fx.L2.encode() + b'"}]\n}'
    manifest = parse_manifest(smuggled, content_type=fx.S1_SIGNED_TYPE)
    assert [layer.digest for layer in manifest.layers] == [fx.L1]


@pytest.mark.case("registry 148")
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (fx.sign(fx.SCHEMA1_HEAD, length=10**6), "invalid format length"),
        (fx.sign(fx.SCHEMA1_HEAD, length=-1), "invalid format length"),
        (fx.sign(fx.SCHEMA1_HEAD, length=1.5), "invalid format length"),
        (fx.sign(fx.SCHEMA1_HEAD, length=5), "unrecognized container image manifest"),
        (fx.SCHEMA1_RAW.replace(b'"protected":"', b'"protected":"!'), "base64 decode error"),
        (change(fx.SCHEMA1_PAYLOAD, signatures=[]), "missing signature key"),
        (change(fx.SCHEMA1_PAYLOAD, signatures=[{}] * 17), "missing signature key"),
    ],
)
def test_parse_manifest_rejects_invalid_schema1_signature(raw, message):
    with pytest.raises(ContentError, match=message):
        parse_manifest(raw, content_type=fx.S1_SIGNED_TYPE)


@pytest.mark.case("registry 148")
def test_schema1_payload_rejects_conflicting_signatures():
    other = json.loads(fx.sign(fx.SCHEMA1_HEAD, tail=b"}"))["signatures"]
    both = json.loads(fx.SCHEMA1_RAW)["signatures"] + other
    with pytest.raises(ContentError, match="conflicting format tail"):
        schema1_payload(change(fx.SCHEMA1_PAYLOAD, signatures=both))


@pytest.mark.case("import 3-36", "import 3-8")
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"history": [{"v1Compatibility": "{}"}] * 2},
            "the image a/s1 () has mismatched history and fslayer cardinality (2 != 1)",
        ),
        ({"history": []}, "image has no v1Compatibility history and cannot be used"),
    ],
)
def test_parse_manifest_rejects_schema1_with_mismatched_lists(keys, message):
    with pytest.raises(ContentError) as refused:
        parse_manifest(change(fx.SCHEMA1_PAYLOAD, **keys), content_type="")
    assert refused.value.text == message


@pytest.mark.case("registry 189")
def test_parse_manifest_of_mutated_bytes_raises_only_typed_errors():
    rng = random.Random(20260101)
    seeds = [fx.S2, fx.OCI, fx.LIST, fx.INDEX, fx.SCHEMA1_RAW]
    survived = 0
    for _ in range(10_000):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            offset = rng.randrange(len(content))
            match rng.randrange(3):
                case 0:
                    content[offset] = rng.randrange(256)
                case 1:
                    del content[offset : offset + rng.randint(1, 20)]
                case _:
                    content[offset:offset] = rng.choice([b"{", b"[", b'"', b"null", b"-1", b"e9"])
        try:
            parse_manifest(bytes(content), content_type=rng.choice(["", fx.S2_TYPE]))
        except TagstreamError:
            continue
        survived += 1
    assert survived < 10_000
