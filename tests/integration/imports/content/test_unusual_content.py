"""Unusual content of registries: artifacts, layers, sizes and configs."""

import json

import pytest

from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

EMPTY = "application/vnd.oci.empty.v1+json"
HELM = "application/vnd.cncf.helm.config.v1+json"


def import_tag(harness, registry, repository="a/b", tag="t", **options):
    """Import one tag and return its result."""
    return harness.import_status(isi(img(f"{registry.host}/{repository}:{tag}", **options)))[
        "images"
    ][0]


@pytest.mark.case("registry 41", "registry 39")
def test_unchanged_repository_import_sends_one_head_per_tag(harness, registry):
    for number in range(20):
        config = json.dumps({"architecture": "amd64", "os": "linux", "n": number}).encode()
        manifest = image_content.oci(config)
        registry.push("case41/app", tag=f"v{number}", manifest=manifest, config=config)
    request = isi(repository=f"{registry.host}/case41/app")
    first = harness.import_status(request)
    before = harness.stream()
    request_count = len(registry.requests("case41/app"))
    second = harness.import_status(request)
    again = registry.requests("case41/app")[request_count:]
    assert [line.split()[0] for line in again].count("HEAD") == 20
    assert [line.split()[0] for line in again].count("GET") == 1
    assert harness.stream() == before
    assert second["repository"]["images"] == first["repository"]["images"]


@pytest.mark.case("registry 110", "registry 113", "registry 141", "registry 142")
def test_layers_of_any_media_type_are_never_fetched(harness, fake, open_fake):
    elsewhere = open_fake()
    kinds = [
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    ]
    layers = [
        image_content.layer(
            f"sha256:{min(number, 3):064x}", 10, kind, urls=[f"{elsewhere.url}/layer"]
        )
        for number, kind in enumerate(kinds)
    ]
    manifest = image_content.oci(fx.CFG_ARM, *layers)
    fake.push("a/b", tag="t", manifest=manifest, config=fx.CFG_ARM)
    image = import_tag(harness, fake)["image"]
    assert [layer["mediaType"] for layer in image["dockerImageLayers"]] == kinds
    assert image["dockerImageMetadata"]["Size"] == len(fx.CFG_ARM) + 4 * 10
    assert elsewhere.requests == []
    assert image_content.requested_blobs(fake) == [fx.digest_of(fx.CFG_ARM)]


@pytest.mark.case("registry 127")
def test_manifest_just_below_cap_is_imported(harness, fake):
    padding = "x" * (4 * 1024 * 1024 - 700 - len(image_content.oci(fx.CFG_ARM)))
    annotations = {f"k{number}": padding[number::70][:60_000] for number in range(70)}
    manifest = image_content.oci(fx.CFG_ARM, annotations=annotations)
    assert 4 * 1024 * 1024 - 4096 < len(manifest) < 4 * 1024 * 1024
    fake.push("a/b", tag="t", manifest=manifest, config=fx.CFG_ARM)
    assert import_tag(harness, fake)["image"]["metadata"]["name"] == fx.digest_of(manifest)


@pytest.mark.case("registry 135")
def test_child_with_wrong_declared_size_is_imported(harness, fake):
    fake.push("a/b", manifest=fx.OCI_ARM, media_type=fx.OCI_TYPE, config=fx.CFG_ARM)
    wrong = {**image_content.entry(fx.OCI_ARM, image_content.ARM), "size": 3}
    fake.push("a/b", tag="t", manifest=image_content.index(wrong), media_type=fx.INDEX_TYPE)
    answer = import_tag(harness, fake, importMode="PreserveOriginal")
    assert [child["metadata"]["name"] for child in answer["manifests"]] == [
        fx.digest_of(fx.OCI_ARM)
    ]


@pytest.mark.case("registry 139", "registry 140")
@pytest.mark.parametrize(
    ("config_type", "more"),
    [
        (HELM, {}),
        (EMPTY, {"artifactType": "application/vnd.example"}),
        ("application/vnd.unknown.config.v1+json", {}),
    ],
)
def test_artifact_config_is_never_read(harness, fake, config_type, more):
    config = b"not even JSON"
    manifest = image_content.oci(config, image_content.layer(), media_type=config_type, **more)
    fake.push("a/b", tag="t", manifest=manifest)
    image = import_tag(harness, fake)["image"]
    assert image["dockerImageMetadata"]["Created"] is None
    assert image["dockerImageMetadata"]["Id"] == fx.digest_of(config)
    assert image["dockerImageMetadata"]["Size"] == len(config) + 100
    assert image_content.requested_blobs(fake) == []


@pytest.mark.case("registry 139")
def test_oras_artifact_of_docker_registry_is_imported(harness, registry, tmp_path):
    from tests.corpora import push_with_oras

    (tmp_path / "f.txt").write_text("hello")
    digest = push_with_oras(registry.host, "case139/app", "v1", [str(tmp_path / "f.txt")])
    answer = import_tag(harness, registry, "case139/app", "v1")
    assert answer["status"] == {"metadata": {}, "status": "Success"}
    assert answer["image"]["metadata"]["name"] == digest


@pytest.mark.case("registry 143", "registry 144")
@pytest.mark.parametrize(
    ("config", "imports"),
    [
        (b'{"created":"yesterday"}', False),
        (b'{"config":{"Labels":{"n":5}}}', False),
        (b'{"config":null}', True),
        (b'{"config":{"Labels":null}}', True),
        (b'{"os":""}', True),
        (b'{"rootfs":{"type":"layers","diff_ids":["a","b","c"]},"history":[{}]}', True),
    ],
)
def test_unusual_config_is_accepted_unless_types_are_wrong(harness, fake, config, imports):
    fake.push("a/b", tag="t", manifest=image_content.oci(config), config=config)
    status = import_tag(harness, fake)["status"]
    assert (status["status"] == "Success") is imports
    if not imports:
        assert (status["reason"], status["code"]) == ("InternalError", 500)


@pytest.mark.case("registry 145", "registry 146", "registry 109")
def test_schema1_signed_anew_on_each_read_is_one_image(harness, fake):
    """As docker-registry serves them: other bytes on each GET, one digest over the payload."""
    layers = [fake.push_blob("a/b", content) for content in (b"one", b"three")]
    history = [{"id": f"i{number}"} for number in range(3)]
    raw = image_content.schema1([layers[0], layers[1], layers[0]], history)
    signatures = iter((b"AAAA", b"BBBB", b"CCCC"))
    fake.on(
        "/v2/a/b/manifests/t",
        lambda _: Reply(
            200, raw.replace(b"AAAA", next(signatures)), [("Content-Type", fx.S1_SIGNED_TYPE)]
        ),
        method="GET",
    )
    fake.on("/v2/a/b/manifests/t", Reply(405), method="HEAD")
    request = isi(img(f"{fake.host}/a/b:t", to="t"))
    first, second = (harness.import_status(request)["images"][0]["image"] for _ in range(2))
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert len(harness.stream().status.tags[0].items) == 1
    assert len(image_content.requested_blobs(fake, "HEAD")) == 2
    assert first["dockerImageMetadata"]["Size"] == 8


@pytest.mark.case("registry 38")
def test_missing_tag_keeps_history_and_gets_condition(harness, reg):
    """A stream never loses a tag to a 404, however often it is repeated."""
    request = isi(img(f"{reg.host}/a/b:t", to="t"))
    harness.import_status(request)
    reg.on("/v2/a/b/manifests/t", Reply(404))
    for _ in range(3):
        harness.import_status(request)
    tag = harness.stream().status.tags[0]
    assert [item.image for item in tag.items] == [fx.digest_of(fx.S2)]
    assert [condition.reason for condition in tag.conditions] == ["NotFound"]
