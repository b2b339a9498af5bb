"""The import of one image: its requests and its Image (imports-3.1, imports-3.8)."""

import base64
import json

import pytest

from models.oci import ACCEPT_MANIFESTS, SCHEMA1
from models.resources.image import Image
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from tests import fixtures as fx
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi
from worker.job_queue import utc_now

S2_DIGEST = fx.digest_of(fx.S2)
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


def import_one(harness, request):
    """Return the result of a request's only element."""
    (found,) = harness.import_status(request)["images"]
    return found


def import_image(harness, name, **options):
    """Return the image that a dry run of one element finds."""
    found = import_one(harness, isi(img(name, **options), do=False))
    assert found["status"]["status"] == "Success", found["status"]
    return found["image"]


def import_failure(harness, name, **options):
    found = import_one(harness, isi(img(name, **options), do=False))
    assert found["status"]["status"] == "Failure"
    assert "image" not in found
    return found["status"]


def internal_error(text):
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }


@pytest.mark.case("import 3-1", "import 3-40")
def test_image_import_fetches_one_manifest_and_config(harness, reg):
    image = import_image(harness, f"{reg.host}/a/b:t")
    assert reg.requests == ["GET /v2/a/b/manifests/t", f"GET /v2/a/b/blobs/{CFG}"]
    assert reg.log[0].headers["accept"] == ACCEPT_MANIFESTS
    assert image["metadata"]["name"] == S2_DIGEST
    assert image["metadata"]["annotations"] == {"image.openshift.io/dockerLayersOrder": "ascending"}
    assert image["dockerImageReference"] == f"{reg.host}/a/b@{S2_DIGEST}"
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
def test_oci_manifest_is_recognized_without_media_type(harness, fake, manifest):
    fake.push("a/b", tag="t", manifest=manifest, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    image = import_image(harness, f"{fake.host}/a/b:t")
    assert image["metadata"]["name"] == fx.digest_of(manifest)
    assert image["dockerImageManifestMediaType"] == fx.OCI_TYPE
    assert image["dockerImageMetadata"]["Size"] == 614
    (layer,) = image["dockerImageLayers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"


@pytest.mark.case("import 3-4")
def test_octet_stream_config_is_imported_as_image(harness, fake):
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
    found = import_one(harness, isi(img(f"{fake.host}/test:busybox"), do=False))
    assert found["tag"] == "busybox"
    assert found["image"]["dockerImageReference"] == f"{fake.host}/test@{fx.digest_of(content)}"
    assert found["image"]["dockerImageMetadata"]["Size"] == 669049


@pytest.mark.case("import 3-7")
def test_image_size_counts_config_and_distinct_layers(harness, fake):
    config = fx.compact({"architecture": "amd64"}).ljust(3153)
    sizes = [("1", 5312), ("2", 235231), ("2", 235231), ("3", 639152)]
    layers = [image_content.layer(f"sha256:{name * 64}", size) for name, size in sizes]
    content = image_content.oci(config, *layers, config_fields={"size": 7023})
    fake.push("a/b", tag="t", manifest=content, config=config)
    image = import_image(harness, f"{fake.host}/a/b:t")
    assert image["dockerImageMetadata"]["Size"] == 882848
    assert image["dockerImageMetadata"]["Id"] == fx.digest_of(config)
    assert [layer["size"] for layer in image["dockerImageLayers"]] == [size for _, size in sizes]


@pytest.mark.case("import 3-8")
@pytest.mark.parametrize("content", [b"no json", b"{}", b'{"fsLayers":[]}'])
def test_invalid_manifest_fails_its_element(harness, fake, content):
    fake.push("a/b", tag="t", manifest=content, media_type="application/json")
    assert import_failure(harness, f"{fake.host}/a/b:t")["reason"] == "InternalError"


@pytest.mark.case("import 3-26", "import 3-27")
@pytest.mark.parametrize(
    "kind", [f"{fx.S2_TYPE}; charset=utf-8", None, "text/plain", "application/octet-stream"]
)
def test_manifest_type_is_read_from_body_without_header(harness, reg, kind):
    reg.header("/a/b/manifests/t", "Content-Type", kind)
    image = import_image(harness, f"{reg.host}/a/b:t")
    assert image["metadata"]["name"] == S2_DIGEST
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
def test_manifest_contradicting_content_type_is_refused(harness, fake, content, kind, text):
    fake.push("a/b", tag="t", manifest=content, media_type=kind, config=fx.CFG_A)
    assert import_failure(harness, f"{fake.host}/a/b:t") == internal_error(
        f"{fake.host}/a/b:t: {text}"
    )


@pytest.mark.case("import 3-30")
def test_manifest_with_wrong_digest_is_refused(harness, fake):
    fake.push("a/b", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A, digest=fx.L2)
    assert import_failure(harness, f"{fake.host}/a/b@{fx.L2}") == internal_error(
        f"{fake.host}/a/b@{fx.L2}: content integrity error: the manifest retrieved with digest "
        f"{fx.L2} does not match the digest calculated from the content {S2_DIGEST}"
    )


@pytest.mark.case("import 3-31")
def test_wrong_digest_header_is_ignored(harness, reg):
    reg.claim_digest("/a/b/manifests/t", fx.L1)
    assert import_image(harness, f"{reg.host}/a/b:t")["metadata"]["name"] == S2_DIGEST


@pytest.mark.case("import 3-32")
def test_config_with_wrong_digest_is_refused(harness, reg):
    reg.replace_body(f"/a/b/blobs/{CFG}", EMPTY)
    assert import_failure(harness, f"{reg.host}/a/b:t") == internal_error(
        f"{reg.host}/a/b:t: content integrity error: the blob retrieved with digest {CFG} does "
        f"not match the digest calculated from the content {fx.digest_of(EMPTY)}"
    )


@pytest.mark.case("import 3-38")
@pytest.mark.parametrize(
    ("config", "text"),
    [
        (b"not json", "invalid character"),
        (b'{"created":"yesterday"}', 'parsing time "yesterday"'),
        (b'{"config":{"Cmd":"sh"}}', "cannot unmarshal"),
    ],
)
def test_unparsable_config_error_omits_reference(harness, fake, config, text):
    fake.push(
        "a/b", tag="t", manifest=image_content.oci(config, image_content.layer()), config=config
    )
    status = import_failure(harness, f"{fake.host}/a/b:t")
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"].startswith("Internal error occurred: ")
    assert text in status["message"]
    assert fake.host not in status["message"]


@pytest.mark.case("import 3-39")
def test_empty_config_is_imported_without_fetching(harness, fake):
    fake.push("a/b", tag="t", manifest=image_content.oci(EMPTY, image_content.layer()))
    assert import_image(harness, f"{fake.host}/a/b:t")["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": fx.digest_of(EMPTY),
        "Created": None,
        "ContainerConfig": {},
        "Size": 102,
    }
    assert image_content.requested_blobs(fake) == []


@pytest.mark.case("import 3-41")
@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2016-06-23T23:23:37.198943461Z", "2016-06-23T23:23:37Z"),
        ("2016-06-23T16:23:37-07:00", "2016-06-23T23:23:37Z"),
        (None, None),
    ],
)
def test_created_time_is_reported_in_utc_seconds(harness, fake, created, shown):
    config = fx.compact({"architecture": "amd64", "os": "linux", "created": created})
    fake.push(
        "a/b", tag="t", manifest=image_content.oci(config, image_content.layer()), config=config
    )
    assert import_image(harness, f"{fake.host}/a/b:t")["dockerImageMetadata"]["Created"] == shown


@pytest.mark.case("import 3-42")
def test_image_without_layers_keeps_order_annotation(harness, fake):
    fake.push("a/b", tag="t", manifest=image_content.oci(fx.CFG_A), config=fx.CFG_A)
    image = import_image(harness, f"{fake.host}/a/b:t")
    assert "dockerImageLayers" not in image
    assert image["metadata"]["annotations"] == {"image.openshift.io/dockerLayersOrder": "ascending"}
    assert image["dockerImageMetadata"]["Size"] == len(fx.CFG_A)


@pytest.mark.case("import 3-43")
def test_config_blob_redirect_is_followed(harness, reg):
    reg.push_blob("cdn", fx.CFG_A)
    reg.redirect(f"/a/b/blobs/{CFG}", f"/v2/cdn/blobs/{CFG}")
    assert import_image(harness, f"{reg.host}/a/b:t")["metadata"]["name"] == S2_DIGEST


@pytest.mark.case("import 3-44")
def test_content_of_several_elements_is_fetched_once(harness, reg):
    references = [f"{reg.host}/a/b:t", f"{reg.host}/a/b@{S2_DIGEST}"]
    images = [img(name) for name in references]
    images += [img(name, to=to) for name, to in zip(references, "xy", strict=True)]
    found = harness.import_status(isi(*images, do=False))["images"]
    assert [each["status"]["status"] for each in found] == ["Success"] * 4
    assert [each.get("tag", "") for each in found] == ["t", "", "t", ""]
    assert sorted(image_content.requested_manifests(reg)) == sorted(["t", S2_DIGEST])
    assert image_content.requested_blobs(reg) == [CFG]


@pytest.mark.case("import 3-47")
def test_stored_image_keeps_its_first_reference(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    reg.push("z/z", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    harness.run(isi(img(f"{reg.host}/z/z:t", to="z")))
    (z,) = (tag for tag in harness.stream().status.tags if tag.tag == "z")
    assert z.items[0].docker_image_reference == f"{reg.host}/z/z@{S2_DIGEST}"
    assert harness.image(S2_DIGEST).docker_image_reference == f"{reg.host}/a/b@{S2_DIGEST}"


@pytest.mark.case("import 3-49")
@pytest.mark.parametrize(
    ("kind", "order"),
    [(fx.S2_TYPE, "ba"), (fx.OCI_TYPE, "ba"), (SCHEMA1, "ab"), (fx.S1_SIGNED_TYPE, "ab")],
)
def test_layers_of_old_images_are_ordered_oldest_first(harness, kind, order):
    old = Image.model_validate(
        {
            "metadata": {"name": S2_DIGEST},
            "dockerImageReference": f"quay.io/a/b@{S2_DIGEST}",
            "dockerImageManifestMediaType": kind,
            "dockerImageLayers": [
                {"name": f"sha256:{mark * 64}", "size": 1, "mediaType": "x/y"} for mark in "ab"
            ],
        }
    )
    with transaction(harness.engine) as session:
        save_images(session, [old], now=utc_now())
    image = harness.image(S2_DIGEST)
    assert [layer.name[7] for layer in image.docker_image_layers] == list(order)
    assert image.metadata.annotations == {"image.openshift.io/dockerLayersOrder": "ascending"}


@pytest.mark.case("import 2-49")
def test_include_manifest_returns_manifest_and_config_verbatim(harness, reg):
    image = import_image(harness, f"{reg.host}/a/b:t", manifest=True)
    assert image["dockerImageManifest"] == fx.S2.decode()
    assert image["dockerImageConfig"] == fx.CFG_A.decode()
    image = import_image(harness, f"{reg.host}/a/b:t")
    assert not {"dockerImageManifest", "dockerImageConfig"} & set(image)


@pytest.mark.case("import 2-13")
def test_dry_run_import_writes_nothing(harness, reg):
    status = harness.import_status(isi(img(f"{reg.host}/a/b:t"), do=False))
    assert status["images"][0]["image"]["metadata"]["name"] == S2_DIGEST
    assert "import" not in status
    assert harness.stream() is None
    assert harness.image(S2_DIGEST) is None


@pytest.mark.case("import 9-6")
def test_helm_chart_is_imported_from_manifest_alone(harness, fake):
    config = fx.compact({"name": "chart", "version": "1.0.0"})
    kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    manifest = image_content.oci(
        config,
        image_content.layer(size=4000, media_type=kind),
        media_type="application/vnd.cncf.helm.config.v1+json",
    )
    fake.push("charts/app", tag="1.0.0", manifest=manifest, config=config)
    image = import_image(harness, f"{fake.host}/charts/app:1.0.0")
    assert image["dockerImageMetadata"]["Created"] is None
    assert image["dockerImageMetadata"]["Size"] == len(config) + 4000
    assert image["dockerImageLayers"] == [{"name": fx.L1, "size": 4000, "mediaType": kind}]
    assert image_content.requested_blobs(fake) == []


@pytest.mark.case("import 9-7")
@pytest.mark.parametrize(("data", "requested"), [(fx.CFG_A, []), (fx.CFG_A[:-1] + b" ", [CFG])])
def test_embedded_config_data_is_used_if_digest_matches(harness, fake, data, requested):
    fields = {"data": base64.b64encode(data).decode()}
    manifest = image_content.oci(fx.CFG_A, image_content.layer(), config_fields=fields)
    fake.push("a/b", tag="t", manifest=manifest, config=fx.CFG_A)
    image = import_image(harness, f"{fake.host}/a/b:t")
    assert image["dockerImageMetadata"]["Architecture"] == "amd64"
    assert image_content.requested_blobs(fake) == requested


@pytest.mark.case("import 9-8")
def test_manifest_of_five_megabytes_is_refused(harness, fake):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    fake.raw("/a/b/manifests/t", [head, *[b" " * 65536] * 80], 0.0005)
    status = import_failure(harness, f"{fake.host}/a/b:t")
    assert status == internal_error(f"{fake.host}/a/b:t: response body too large")


@pytest.mark.case("import 9-9")
def test_credentials_do_not_follow_blob_to_another_host(harness, reg, open_fake):
    elsewhere = open_fake()
    elsewhere.push_blob("cdn", fx.CFG_A)
    reg.require_token()
    reg.redirect(f"/a/b/blobs/{CFG}", f"{elsewhere.url}/v2/cdn/blobs/{CFG}")
    assert import_image(harness, f"{reg.host}/a/b:t")["metadata"]["name"] == S2_DIGEST
    assert reg.log[-1].headers["authorization"].startswith("Bearer ")
    (request,) = elsewhere.log
    assert "authorization" not in request.headers
