"""Schema1 manifests: names from the signed payload, sizes from the history or a HEAD."""

import pytest

from tests import fixtures as fx
from tests.fakeregistry.content import manifest_digest
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

BLOB_1, BLOB_2 = b"layer-one-bytes", b"layer-two"
DIGEST_1, DIGEST_2 = fx.digest_of(BLOB_1), fx.digest_of(BLOB_2)
TOP = {
    "id": "idtop",
    "parent": "p",
    "created": "2015-02-21T02:11:06Z",
    "config": {"Cmd": ["/bin/bash"]},
}


def push(fake, layers, history, *, tag="x"):
    for blob in (BLOB_1, BLOB_2):
        fake.push_blob("a/s1", blob)
    content = image_content.schema1(layers, history)
    return fake.push("a/s1", tag=tag, manifest=content, media_type=fx.S1_SIGNED_TYPE)


def result(harness, name, **options):
    (found,) = harness.import_status(isi(img(name, **options), do=False))["images"]
    return found


def import_image(harness, name, **options):
    found = result(harness, name, **options)
    assert found["status"]["status"] == "Success", found["status"]
    return found["image"]


def sizes(image):
    return [(layer["name"], layer["size"]) for layer in image["dockerImageLayers"]]


@pytest.mark.case("import 3-33")
def test_missing_schema1_sizes_are_requested_once(harness, fake):
    digest = push(fake, [DIGEST_1, DIGEST_2, DIGEST_1], [TOP, {"id": "b"}, {"id": "a"}])
    for heads in ([DIGEST_1, DIGEST_2], []):
        fake.forget_requests()
        status = harness.import_status(isi(img(f"{fake.host}/a/s1:x", to="x", manifest=True)))
        image = status["images"][0]["image"]
        assert sorted(image_content.requested_blobs(fake, "HEAD")) == sorted(heads)
        assert image["metadata"]["name"] == digest
        assert sizes(image) == [(DIGEST_1, 15), (DIGEST_2, 9), (DIGEST_1, 15)]
        metadata = image["dockerImageMetadata"]
        assert metadata["Size"] == 24
        assert (metadata["Id"], metadata["Parent"]) == ("idtop", "p")
        assert metadata["Created"] == "2015-02-21T02:11:06Z"
        assert metadata["Config"] == {"Cmd": ["/bin/bash"]}
        assert image["dockerImageManifestMediaType"].endswith("manifest.v1+json")


@pytest.mark.case("import 3-34")
def test_schema1_history_sizes_are_used_verbatim(harness, fake):
    push(
        fake,
        [DIGEST_1, DIGEST_2, DIGEST_1],
        [{**TOP, "Size": 0}, {"id": "b", "Size": 7}, {"id": "a", "size": 5}],
    )
    image = import_image(harness, f"{fake.host}/a/s1:x")
    assert image["dockerImageMetadata"]["Size"] == 12
    assert sizes(image) == [(DIGEST_1, 5), (DIGEST_2, 7), (DIGEST_1, 0)]
    assert image_content.requested_blobs(fake, "HEAD") == []


@pytest.mark.case("import 3-35")
def test_size_missing_from_schema1_history_is_requested(harness, fake):
    push(fake, [DIGEST_1, DIGEST_2], [TOP, {"id": "a", "Size": 7}])
    image = import_image(harness, f"{fake.host}/a/s1:x")
    assert sizes(image) == [(DIGEST_2, 7), (DIGEST_1, 15)]
    assert image["dockerImageMetadata"]["Size"] == 22
    assert image_content.requested_blobs(fake, "HEAD") == [DIGEST_1]


@pytest.mark.case("import 3-6")
def test_schema1_layers_are_oldest_first_and_counted_once(harness, fake):
    names = [f"sha256:{mark * 64}" for mark in "ebc2e"]
    written = [0, 1895, 194533, 188097705, 0]
    history = [{**TOP, "Size": size} for size in written]
    push(fake, names, history)
    image = import_image(harness, f"{fake.host}/a/s1:x")
    assert sizes(image) == list(zip(names, written, strict=True))[::-1]
    assert image["dockerImageMetadata"]["Size"] == 188294133
    assert image["metadata"]["annotations"] == {"image.openshift.io/dockerLayersOrder": "ascending"}


@pytest.mark.case("import 3-5")
def test_schema1_tag_and_canonical_digest_are_one_image(harness, fake):
    empty, second, third = (f"sha256:{mark * 64}" for mark in "abc")
    history = [TOP, {"id": "c"}, {"id": "b", "Size": 13502144}, {"id": "a", "Size": 15141568}]
    for tag in ("", "x"):
        content = image_content.schema1([empty, empty, second, third], history)
        digest = fake.push("test", tag="tag", manifest=content, media_type=fx.S1_SIGNED_TYPE)
        fake.push_blob("test", b"")
        fake.on(f"/test/blobs/{empty}", lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        name = f"{fake.host}/test:tag" if tag else f"{fake.host}/test@{digest}"
        found = result(harness, name)
        assert found["image"]["metadata"]["name"] == digest
        assert found["image"]["dockerImageReference"] == f"{fake.host}/test@{digest}"
        assert found["image"]["dockerImageMetadata"]["Size"] == 28643712
        assert found.get("tag", "") == ("tag" if tag else "")


@pytest.mark.case("import 3-36")
@pytest.mark.parametrize(
    ("layers", "history", "text"),
    [
        (
            [DIGEST_1],
            [TOP, TOP],
            "the image a/s1 () has mismatched history and fslayer cardinality (2 != 1)",
        ),
        ([], [], "image has no v1Compatibility history and cannot be used"),
        ([fx.L1], [TOP], "unknown blob"),
    ],
)
def test_unusable_schema1_error_omits_reference(harness, fake, layers, history, text):
    push(fake, layers, history)
    status = result(harness, f"{fake.host}/a/s1:x")["status"]
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"] == f"Internal error occurred: {text}"


@pytest.mark.case("import 3-37")
def test_schema1_digest_is_that_of_signed_payload(harness, fake):
    digest = fake.push("a/s1", tag="x", manifest=fx.SCHEMA1_RAW, media_type=fx.S1_SIGNED_TYPE)
    assert digest == fx.digest_of(fx.SCHEMA1_PAYLOAD) == manifest_digest(fx.SCHEMA1_RAW)
    assert digest.startswith("sha256:2da67357")
    for name in ("a/s1:x", f"a/s1@{digest}"):
        assert import_image(harness, f"{fake.host}/{name}")["metadata"]["name"] == digest
    raw = fx.digest_of(fx.SCHEMA1_RAW)
    fake.push("a/s1", manifest=fx.SCHEMA1_RAW, media_type=fx.S1_SIGNED_TYPE, digest=raw)
    status = result(harness, f"{fake.host}/a/s1@{raw}")["status"]
    assert status["message"].startswith(
        f"Internal error occurred: {fake.host}/a/s1@{raw}: content integrity error: the manifest "
        f"retrieved with digest {raw} does not match"
    )


def test_schema1_can_be_switched_off(open_harness, fake):
    push(fake, [DIGEST_1], [TOP])
    status = result(open_harness(allow_schema1=False), f"{fake.host}/a/s1:x")["status"]
    assert "TAGSTREAM_ALLOW_SCHEMA1" in status["message"]
