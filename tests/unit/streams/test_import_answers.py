"""What a client gets back from an import (`import.md` 2.7 to 2.9, `api.md` B13)."""

import pytest

from models.errors import TagstreamError
from models.images.compressed_image import pack_image, unpack_image
from models.resources.image import Image
from models.resources.meta import ObjectMeta
from models.streams.imports.import_outcome import Imported
from models.streams.imports.import_response import build_answer
from models.streams.imports.import_rules import ImportRules
from tests.unit.streams.scenes import D1, D2, REG, Memory, World, img, isi

REPO = f"{REG}/a/b"
T = f"{REPO}:t"


def full(digest):
    image = Image(
        metadata=ObjectMeta(name=digest),
        docker_image_reference=f"{REPO}@{digest}",
        docker_image_manifest='{"schemaVersion":2}',
        docker_image_config='{"os":"linux"}',
    )
    return pack_image(image)


@pytest.fixture
def memory():
    world = World()
    world.put(T, Imported(full(D1), (full(D2),), source_digest=D1))
    return Memory(world)


def contents(image):
    return image.get("dockerImageManifest"), image.get("dockerImageConfig")


@pytest.mark.case("import 2-49")
@pytest.mark.parametrize("wanted", [True, False])
def test_a_dry_run_shows_manifest_and_config_where_they_were_asked_for(memory, wanted):
    memory.run(isi(img(T, manifest=wanted), do=False))
    (image,) = memory.answer()["images"]
    (child,) = image["manifests"]
    shown = ('{"schemaVersion":2}', '{"os":"linux"}') if wanted else (None, None)
    assert contents(image["image"]) == contents(child) == shown


@pytest.mark.case("import 2-50")
def test_a_stored_image_is_shown_without_its_content(memory):
    memory.run(isi(img(T, manifest=True)))
    assert contents(memory.answer()["images"][0]["image"]) == (None, None)


@pytest.mark.case("import 2-50")
def test_what_is_only_answered_keeps_its_content(memory):
    latest = f"{REPO}:latest"
    memory.world.put(latest, Imported(full(D1), source_digest=D1))
    memory.run(isi(img(REPO, manifest=True)))
    assert contents(memory.answer()["images"][0]["image"])[0] == '{"schemaVersion":2}'


def test_repository_images_are_cleared_alike(memory):
    repository = {"from": {"kind": "DockerImage", "name": REPO}, "includeManifest": True}
    memory.run(isi(repository=repository, do=False))
    (image,) = memory.answer()["repository"]["images"]
    assert contents(image["image"])[0] == '{"schemaVersion":2}'
    assert image["tag"] == "t"
    memory.run(isi(repository=repository))
    assert contents(memory.answer()["repository"]["images"][0]["image"])[0] is None


@pytest.mark.case("import 2-12")
def test_each_element_is_answered_in_the_requests_order_with_its_source_tag(memory):
    memory.run(isi(img(f"{REPO}@{D1}"), img(f"{REPO}:gone"), img(T, to="x"), do=False))
    by_digest, gone, tagged = memory.answer()["images"]
    assert "tag" not in by_digest
    assert (gone["tag"], gone["status"]["reason"], gone["status"]["code"]) == (
        "gone",
        "NotFound",
        404,
    )
    assert "image" not in gone
    assert tagged["tag"] == "t"
    assert tagged["status"] == {"metadata": {}, "status": "Success"}


@pytest.mark.case("import 2-43")
def test_failing_tags_of_a_repository_are_counted_without_a_code():
    world = World()
    for tag in ("v1", "other", "v2", "3", "3.1", "abc"):
        world.put(
            f"test:{tag}", TagstreamError(f"docker.io/library/test:{tag}: no such manifest tag")
        )
    memory = Memory(world, rules=ImportRules(max_tags=5))
    memory.run(isi(repository="test", do=False))
    answer = memory.answer()["repository"]
    assert [image["tag"] for image in answer["images"]] == ["3.1", "3", "abc", "other", "v1"]
    assert answer["images"][0]["status"]["message"] == (
        "Internal error occurred: docker.io/library/test:3.1: no such manifest tag"
    )
    assert answer["additionalTags"] == ["v2"]
    assert answer["status"] == {
        "metadata": {},
        "status": "Failure",
        "message": "5 of the images from this repository failed to import",
        "reason": "ImportFailed",
    }


def test_the_stream_is_part_of_the_answer_to_a_real_import_only(memory):
    memory.run(isi(img(T)))
    assert memory.answer()["import"]["spec"]["tags"][0]["name"] == "t"
    memory.run(isi(img(T), do=False))
    assert "import" not in memory.answer()


def test_a_limit_of_zero_succeeds_without_images(memory):
    memory.run(isi(repository=REPO), max_tags=0)
    assert memory.answer()["repository"] == {"status": {"metadata": {}, "status": "Success"}}


def test_images_that_only_the_store_holds_are_opened_by_the_caller(memory):
    memory.world.put(T, Imported(full(D1), source_digest=D1))
    memory.run(isi(img(T)))
    opened = []

    def stored(packed):
        opened.append(packed.name)
        return unpack_image(packed)

    build_answer(memory.request, memory.plan, memory.outcomes, memory.result, stored=stored)
    assert opened == [D1]
