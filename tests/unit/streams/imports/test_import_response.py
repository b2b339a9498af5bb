"""Responses of imports (imports-2.14, imports-2.15, imports-2.28, api-28.4, api-28.5)."""

import pytest

from models.errors import TagstreamError
from models.images.compressed_image import pack_image, unpack_image
from models.resources.image import Image
from models.resources.meta import ObjectMeta
from models.streams.imports.import_outcome import Imported
from models.streams.imports.import_response import build_import_response
from models.streams.imports.import_rules import ImportRules
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    REG,
    InMemoryStore,
    RegistryContents,
    img,
    isi,
)

REPO = f"{REG}/a/b"
T = f"{REPO}:t"


def packed_image(digest):
    image = Image(
        metadata=ObjectMeta(name=digest),
        docker_image_reference=f"{REPO}@{digest}",
        docker_image_manifest='{"schemaVersion":2}',
        docker_image_config='{"os":"linux"}',
    )
    return pack_image(image)


@pytest.fixture
def memory():
    contents = RegistryContents()
    contents.put(
        T, Imported(packed_image(DIGEST_1), (packed_image(DIGEST_2),), source_digest=DIGEST_1)
    )
    return InMemoryStore(contents)


def manifest_and_config(image):
    return image.get("dockerImageManifest"), image.get("dockerImageConfig")


@pytest.mark.case("import 2-49")
@pytest.mark.parametrize("wanted", [True, False])
def test_dry_run_response_shows_content_only_if_requested(memory, wanted):
    memory.run(isi(img(T, manifest=wanted), do=False))
    (image,) = memory.response()["images"]
    (child,) = image["manifests"]
    shown = ('{"schemaVersion":2}', '{"os":"linux"}') if wanted else (None, None)
    assert manifest_and_config(image["image"]) == manifest_and_config(child) == shown


@pytest.mark.case("import 2-50")
def test_response_omits_content_of_stored_image(memory):
    memory.run(isi(img(T, manifest=True)))
    assert manifest_and_config(memory.response()["images"][0]["image"]) == (None, None)


@pytest.mark.case("import 2-50")
def test_response_keeps_content_of_image_that_is_not_stored(memory):
    latest = f"{REPO}:latest"
    memory.contents.put(latest, Imported(packed_image(DIGEST_1), source_digest=DIGEST_1))
    memory.run(isi(img(REPO, manifest=True)))
    assert manifest_and_config(memory.response()["images"][0]["image"])[0] == '{"schemaVersion":2}'


def test_response_omits_content_of_stored_repository_images(memory):
    repository = {"from": {"kind": "DockerImage", "name": REPO}, "includeManifest": True}
    memory.run(isi(repository=repository, do=False))
    (image,) = memory.response()["repository"]["images"]
    assert manifest_and_config(image["image"])[0] == '{"schemaVersion":2}'
    assert image["tag"] == "t"
    memory.run(isi(repository=repository))
    assert manifest_and_config(memory.response()["repository"]["images"][0]["image"])[0] is None


@pytest.mark.case("import 2-12")
def test_response_lists_elements_in_request_order_with_source_tag(memory):
    memory.run(isi(img(f"{REPO}@{DIGEST_1}"), img(f"{REPO}:gone"), img(T, to="x"), do=False))
    by_digest, missing, tagged = memory.response()["images"]
    assert "tag" not in by_digest
    assert (missing["tag"], missing["status"]["reason"], missing["status"]["code"]) == (
        "gone",
        "NotFound",
        404,
    )
    assert "image" not in missing
    assert tagged["tag"] == "t"
    assert tagged["status"] == {"metadata": {}, "status": "Success"}


@pytest.mark.case("import 2-43")
def test_repository_status_counts_failing_tags_without_code():
    contents = RegistryContents()
    for tag in ("v1", "other", "v2", "3", "3.1", "abc"):
        contents.put(
            f"test:{tag}", TagstreamError(f"docker.io/library/test:{tag}: no such manifest tag")
        )
    memory = InMemoryStore(contents, rules=ImportRules(max_tags=5))
    memory.run(isi(repository="test", do=False))
    response = memory.response()["repository"]
    assert [image["tag"] for image in response["images"]] == ["3.1", "3", "abc", "other", "v1"]
    assert response["images"][0]["status"]["message"] == (
        "Internal error occurred: docker.io/library/test:3.1: no such manifest tag"
    )
    assert response["additionalTags"] == ["v2"]
    assert response["status"] == {
        "metadata": {},
        "status": "Failure",
        "message": "5 of the images from this repository failed to import",
        "reason": "ImportFailed",
    }


def test_response_includes_stream_unless_dry_run(memory):
    memory.run(isi(img(T)))
    assert memory.response()["import"]["spec"]["tags"][0]["name"] == "t"
    memory.run(isi(img(T), do=False))
    assert "import" not in memory.response()


def test_repository_import_with_limit_zero_succeeds_without_images(memory):
    memory.run(isi(repository=REPO), max_tags=0)
    assert memory.response()["repository"] == {"status": {"metadata": {}, "status": "Success"}}


def test_response_loads_stored_images_with_given_function(memory):
    memory.contents.put(T, Imported(packed_image(DIGEST_1), source_digest=DIGEST_1))
    memory.run(isi(img(T)))
    opened = []

    def load_image(packed):
        opened.append(packed.name)
        return unpack_image(packed)

    build_import_response(
        memory.request, memory.plan, memory.outcomes, memory.result, load_image=load_image
    )
    assert opened == [DIGEST_1]
