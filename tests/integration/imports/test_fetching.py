"""One image from a registry to the answer, and what was asked for it (`import.md` 3)."""

import base64
import json

import pytest

from models.oci import ACCEPT_MANIFESTS, SCHEMA1
from models.resources.image import Image
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from tests import fixtures as fx
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi
from worker.job_queue import utc_now

D1 = fx.digest_of(fx.S2)
CFG = fx.digest_of(fx.CFG_A)
EMPTY = b"{}"
METADATA = {
    "kind": "DockerImage",
    "apiVersion": "image.openshift.io/1.0",
    "Id": CFG,
    "Created": "2016-06-23T23:23:37Z",
    "ContainerConfig": {},
    "DockerVersion": "1.10.3",
    "Author": "me",
    "Config": {
        "User": "1001",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=1"],
        "Cmd": ["sh"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/w",
        "Entrypoint": ["/e"],
        "Labels": {"l": "v"},
    },
    "Architecture": "amd64",
    "Size": 664,
}


def one(house, request):
    """The result of a request's only element."""
    (found,) = house.answer(request)["images"]
    return found


def succeed(house, name, **how):
    """The image that a dry run of one element finds."""
    found = one(house, isi(img(name, **how), do=False))
    assert found["status"]["status"] == "Success", found["status"]
    return found["image"]


def fail(house, name, **how):
    found = one(house, isi(img(name, **how), do=False))
    assert found["status"]["status"] == "Failure"
    assert "image" not in found
    return found["status"]


def internal(text):
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }


@pytest.mark.case("import 3-1", "import 3-40")
def test_an_image_costs_one_manifest_and_one_config_and_becomes_the_worked_example(house, reg):
    image = succeed(house, f"{reg.host}/a/b:t")
    assert reg.requests == ["GET /v2/a/b/manifests/t", f"GET /v2/a/b/blobs/{CFG}"]
    assert reg.log[0].headers["accept"] == ACCEPT_MANIFESTS
    assert image["metadata"]["name"] == D1
    assert image["metadata"]["annotations"] == {"image.openshift.io/dockerLayersOrder": "ascending"}
    assert image["dockerImageReference"] == f"{reg.host}/a/b@{D1}"
    assert image["dockerImageMetadata"] == METADATA
    assert list(image["dockerImageMetadata"]) == list(METADATA)
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    assert image["dockerImageLayers"] == [
        {"name": name, "size": size, "mediaType": kind}
        for name, size in ((fx.L1, 100), (fx.L2, 50), (fx.L1, 100))
    ]
    assert image["dockerImageManifestMediaType"] == fx.S2_TYPE
    assert image["dockerImageMetadataVersion"] == "1.0"


@pytest.mark.case("import 3-2", "import 3-3")
@pytest.mark.parametrize("manifest", [fx.OCI, fx.OCI_BARE], ids=["typed", "bare"])
def test_an_oci_manifest_is_one_with_and_without_its_media_type(house, fake, manifest):
    fake.push("a/b", tag="t", manifest=manifest, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    image = succeed(house, f"{fake.host}/a/b:t")
    assert image["metadata"]["name"] == fx.digest_of(manifest)
    assert image["dockerImageManifestMediaType"] == fx.OCI_TYPE
    assert image["dockerImageMetadata"]["Size"] == 614
    (layer,) = image["dockerImageLayers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"


@pytest.mark.case("import 3-4")
def test_old_docker_declares_its_config_as_a_stream_of_bytes_and_it_is_still_an_image(house, fake):
    config = fx.compact({"architecture": "amd64", "created": "2016-06-23T23:23:37Z"}).ljust(1459)
    manifest = json.loads(fx.S2)
    manifest["config"] = {
        "mediaType": "application/octet-stream",
        "size": 1459,
        "digest": fx.digest_of(config),
    }
    manifest["layers"] = [{**manifest["layers"][0], "size": 667590}]
    content = fx.compact(manifest)
    fake.push("test", tag="busybox", manifest=content, media_type=fx.S2_TYPE, config=config)
    found = one(house, isi(img(f"{fake.host}/test:busybox"), do=False))
    assert found["tag"] == "busybox"
    assert found["image"]["dockerImageReference"] == f"{fake.host}/test@{fx.digest_of(content)}"
    assert found["image"]["dockerImageMetadata"]["Size"] == 669049


@pytest.mark.case("import 3-7")
def test_the_size_counts_the_bytes_of_the_config_and_each_layer_once(house, fake):
    config = fx.compact({"architecture": "amd64"}).ljust(3153)
    sizes = [("1", 5312), ("2", 235231), ("2", 235231), ("3", 639152)]
    layers = [wares.layer(f"sha256:{name * 64}", size) for name, size in sizes]
    content = wares.oci(config, *layers, config_fields={"size": 7023})
    fake.push("a/b", tag="t", manifest=content, config=config)
    image = succeed(house, f"{fake.host}/a/b:t")
    assert image["dockerImageMetadata"]["Size"] == 882848
    assert image["dockerImageMetadata"]["Id"] == fx.digest_of(config)
    assert [layer["size"] for layer in image["dockerImageLayers"]] == [size for _, size in sizes]


@pytest.mark.case("import 3-8")
@pytest.mark.parametrize("content", [b"no json", b"{}", b'{"fsLayers":[]}'])
def test_what_is_no_manifest_is_an_error_of_that_element(house, fake, content):
    fake.push("a/b", tag="t", manifest=content, media_type="application/json")
    assert fail(house, f"{fake.host}/a/b:t")["reason"] == "InternalError"


@pytest.mark.case("import 3-26", "import 3-27")
@pytest.mark.parametrize(
    "kind", [f"{fx.S2_TYPE}; charset=utf-8", None, "text/plain", "application/octet-stream"]
)
def test_a_manifest_says_itself_what_it_is_where_its_content_type_does_not(house, reg, kind):
    reg.header("/a/b/manifests/t", "Content-Type", kind)
    image = succeed(house, f"{reg.host}/a/b:t")
    assert image["metadata"]["name"] == D1
    assert image["dockerImageManifestMediaType"] == fx.S2_TYPE


@pytest.mark.case("import 3-28", "import 3-29", "import 3-48")
@pytest.mark.parametrize(
    ("content", "kind", "text"),
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
        (fx.OCI_BARE, fx.INDEX_TYPE, "index: expected index but found manifest"),
        (fx.INDEX_BARE, fx.OCI_TYPE, "ocimanifest: expected manifest but found index"),
    ],
)
def test_a_body_that_contradicts_its_content_type_is_refused(house, fake, content, kind, text):
    fake.push("a/b", tag="t", manifest=content, media_type=kind, config=fx.CFG_A)
    assert fail(house, f"{fake.host}/a/b:t") == internal(f"{fake.host}/a/b:t: {text}")


@pytest.mark.case("import 3-30")
def test_a_manifest_that_is_not_what_its_digest_says_is_refused(house, fake):
    fake.push("a/b", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A, digest=fx.L2)
    assert fail(house, f"{fake.host}/a/b@{fx.L2}") == internal(
        f"{fake.host}/a/b@{fx.L2}: content integrity error: the manifest retrieved with digest "
        f"{fx.L2} does not match the digest calculated from the content {D1}"
    )


@pytest.mark.case("import 3-31")
def test_a_lying_digest_header_changes_nothing(house, reg):
    reg.claim_digest("/a/b/manifests/t", fx.L1)
    assert succeed(house, f"{reg.host}/a/b:t")["metadata"]["name"] == D1


@pytest.mark.case("import 3-32")
def test_a_config_that_is_not_what_its_digest_says_is_refused(house, reg):
    reg.replace_body(f"/a/b/blobs/{CFG}", EMPTY)
    assert fail(house, f"{reg.host}/a/b:t") == internal(
        f"{reg.host}/a/b:t: content integrity error: the blob retrieved with digest {CFG} does "
        f"not match the digest calculated from the content {fx.digest_of(EMPTY)}"
    )


@pytest.mark.case("import 3-38")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"not json", "invalid character"),
        (b'{"created":"yesterday"}', 'parsing time "yesterday"'),
        (b'{"config":{"Cmd":"sh"}}', "cannot unmarshal"),
    ],
)
def test_a_config_that_does_not_parse_is_an_internal_error_without_the_reference(
    house, fake, config, words
):
    fake.push("a/b", tag="t", manifest=wares.oci(config, wares.layer()), config=config)
    status = fail(house, f"{fake.host}/a/b:t")
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"].startswith("Internal error occurred: ")
    assert words in status["message"]
    assert fake.host not in status["message"]


@pytest.mark.case("import 3-39")
def test_the_empty_config_is_an_image_that_says_nothing_and_is_not_asked_for(house, fake):
    fake.push("a/b", tag="t", manifest=wares.oci(EMPTY, wares.layer()))
    assert succeed(house, f"{fake.host}/a/b:t")["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": fx.digest_of(EMPTY),
        "Created": None,
        "ContainerConfig": {},
        "Size": 102,
    }
    assert wares.blobs(fake) == []


@pytest.mark.case("import 3-41")
@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2016-06-23T23:23:37.198943461Z", "2016-06-23T23:23:37Z"),
        ("2016-06-23T16:23:37-07:00", "2016-06-23T23:23:37Z"),
        (None, None),
    ],
)
def test_the_moment_of_creation_is_told_in_whole_seconds_of_utc(house, fake, created, shown):
    config = fx.compact({"architecture": "amd64", "os": "linux", "created": created})
    fake.push("a/b", tag="t", manifest=wares.oci(config, wares.layer()), config=config)
    assert succeed(house, f"{fake.host}/a/b:t")["dockerImageMetadata"]["Created"] == shown


@pytest.mark.case("import 3-42")
def test_an_image_without_layers_shows_none_and_keeps_the_order_mark(house, fake):
    fake.push("a/b", tag="t", manifest=wares.oci(fx.CFG_A), config=fx.CFG_A)
    image = succeed(house, f"{fake.host}/a/b:t")
    assert "dockerImageLayers" not in image
    assert image["metadata"]["annotations"] == {"image.openshift.io/dockerLayersOrder": "ascending"}
    assert image["dockerImageMetadata"]["Size"] == len(fx.CFG_A)


@pytest.mark.case("import 3-43")
def test_a_blob_is_followed_to_where_the_registry_sends_us(house, reg):
    reg.push_blob("cdn", fx.CFG_A)
    reg.redirect(f"/a/b/blobs/{CFG}", f"/v2/cdn/blobs/{CFG}")
    assert succeed(house, f"{reg.host}/a/b:t")["metadata"]["name"] == D1


@pytest.mark.case("import 3-44")
def test_what_several_elements_want_is_asked_for_once(house, reg):
    written = [f"{reg.host}/a/b:t", f"{reg.host}/a/b@{D1}"]
    images = [img(name) for name in written]
    images += [img(name, to=to) for name, to in zip(written, "xy", strict=True)]
    found = house.answer(isi(*images, do=False))["images"]
    assert [each["status"]["status"] for each in found] == ["Success"] * 4
    assert [each.get("tag", "") for each in found] == ["t", "", "t", ""]
    assert sorted(wares.manifests(reg)) == sorted(["t", D1])
    assert wares.blobs(reg) == [CFG]


@pytest.mark.case("import 3-47")
def test_a_stored_image_keeps_the_name_it_was_first_found_by(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    reg.push("z/z", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    house.run(isi(img(f"{reg.host}/z/z:t", to="z")))
    (z,) = (tag for tag in house.stream().status.tags if tag.tag == "z")
    assert z.items[0].docker_image_reference == f"{reg.host}/z/z@{D1}"
    assert house.image(D1).docker_image_reference == f"{reg.host}/a/b@{D1}"


@pytest.mark.case("import 3-49")
@pytest.mark.parametrize(
    ("kind", "order"),
    [(fx.S2_TYPE, "ba"), (fx.OCI_TYPE, "ba"), (SCHEMA1, "ab"), (fx.S1_SIGNED_TYPE, "ab")],
)
def test_layers_of_old_images_are_read_oldest_first(house, kind, order):
    old = Image.model_validate(
        {
            "metadata": {"name": D1},
            "dockerImageReference": f"quay.io/a/b@{D1}",
            "dockerImageManifestMediaType": kind,
            "dockerImageLayers": [
                {"name": f"sha256:{mark * 64}", "size": 1, "mediaType": "x/y"} for mark in "ab"
            ],
        }
    )
    with transaction(house.engine) as session:
        save_images(session, [old], now=utc_now())
    image = house.image(D1)
    assert [layer.name[7] for layer in image.docker_image_layers] == list(order)
    assert image.metadata.annotations == {"image.openshift.io/dockerLayersOrder": "ascending"}


@pytest.mark.case("import 2-49")
def test_manifest_and_config_come_back_byte_for_byte_where_they_were_asked_for(house, reg):
    image = succeed(house, f"{reg.host}/a/b:t", manifest=True)
    assert image["dockerImageManifest"] == fx.S2.decode()
    assert image["dockerImageConfig"] == fx.CFG_A.decode()
    image = succeed(house, f"{reg.host}/a/b:t")
    assert not {"dockerImageManifest", "dockerImageConfig"} & set(image)


@pytest.mark.case("import 2-13")
def test_a_dry_run_answers_and_writes_nothing(house, reg):
    status = house.answer(isi(img(f"{reg.host}/a/b:t"), do=False))
    assert status["images"][0]["image"]["metadata"]["name"] == D1
    assert "import" not in status
    assert house.stream() is None
    assert house.image(D1) is None


@pytest.mark.case("import 9-6")
def test_a_helm_chart_is_stored_from_its_manifest_alone(house, fake):
    config = fx.compact({"name": "chart", "version": "1.0.0"})
    kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    manifest = wares.oci(
        config,
        wares.layer(size=4000, media_type=kind),
        media_type="application/vnd.cncf.helm.config.v1+json",
    )
    fake.push("charts/app", tag="1.0.0", manifest=manifest, config=config)
    image = succeed(house, f"{fake.host}/charts/app:1.0.0")
    assert image["dockerImageMetadata"]["Created"] is None
    assert image["dockerImageMetadata"]["Size"] == len(config) + 4000
    assert image["dockerImageLayers"] == [{"name": fx.L1, "size": 4000, "mediaType": kind}]
    assert wares.blobs(fake) == []


@pytest.mark.case("import 9-7")
@pytest.mark.parametrize(("data", "asked"), [(fx.CFG_A, []), (fx.CFG_A[:-1] + b" ", [CFG])])
def test_a_config_inside_its_descriptor_is_taken_if_it_is_what_it_says(house, fake, data, asked):
    inside = {"data": base64.b64encode(data).decode()}
    manifest = wares.oci(fx.CFG_A, wares.layer(), config_fields=inside)
    fake.push("a/b", tag="t", manifest=manifest, config=fx.CFG_A)
    image = succeed(house, f"{fake.host}/a/b:t")
    assert image["dockerImageMetadata"]["Architecture"] == "amd64"
    assert wares.blobs(fake) == asked


@pytest.mark.case("import 9-8")
def test_a_manifest_of_five_megabytes_is_not_taken(house, fake):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    fake.raw("/a/b/manifests/t", [head, *[b" " * 65536] * 80], 0.0005)
    status = fail(house, f"{fake.host}/a/b:t")
    assert status == internal(f"{fake.host}/a/b:t: response body too large")


@pytest.mark.case("import 9-9")
def test_rights_do_not_follow_a_blob_to_another_host(house, reg, open_fake):
    elsewhere = open_fake()
    elsewhere.push_blob("cdn", fx.CFG_A)
    reg.require_token()
    reg.redirect(f"/a/b/blobs/{CFG}", f"{elsewhere.url}/v2/cdn/blobs/{CFG}")
    assert succeed(house, f"{reg.host}/a/b:t")["metadata"]["name"] == D1
    assert reg.log[-1].headers["authorization"].startswith("Bearer ")
    (request,) = elsewhere.log
    assert "authorization" not in request.headers
