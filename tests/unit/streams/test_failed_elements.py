"""Failures of a fetch, word for word in the answer (`import.md` 4.1, 4.3, 4.4)."""

import pytest

from models.errors import RegistryError
from models.reference import normalise_name
from models.streams.imports.apply_import import apply_import
from models.streams.imports.import_outcome import Failed
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from tests.unit.streams.scenes import D1, NOON, Memory, World, img, isi


class Refusing(World):
    """A registry that has nothing."""

    def answer(self, target):
        written = target.reference
        text = "no such digest" if written.id else "no such manifest tag"
        name = normalise_name(written.exact())
        return Failed(RegistryError(text, code="notfound.tag", reference=name))


@pytest.mark.case("import 4-23")
def test_an_element_tells_what_went_wrong_with_its_whole_name():
    memory = Memory(Refusing())
    request = isi(img("test"), img(f"test@{D1}"), img("test///un/parse/able/image"), do=False)
    memory.request, memory.plan = request, plan_import(request, None, ImportRules())
    memory.outcomes = memory.world.fetch(memory.plan)
    memory.result = apply_import(
        None, request, memory.plan, memory.outcomes, now=NOON, rules=ImportRules()
    )
    found = memory.answer()["images"]
    assert [each["status"]["message"] for each in found] == [
        "Internal error occurred: docker.io/library/test:latest: no such manifest tag",
        f"Internal error occurred: docker.io/library/test@{D1}: no such digest",
        (
            ' "" is invalid: from.name: Invalid value: "test///un/parse/able/image": invalid name: '
            "invalid reference format"
        ),
    ]
    assert [each["status"]["reason"] for each in found] == ["InternalError"] * 2 + ["Invalid"]
    assert [each.get("tag", "") for each in found] == ["latest", "", ""]


@pytest.mark.case("import 4-22")
def test_a_listing_that_fails_brings_no_images_and_leaves_none_out():
    memory = Memory()
    memory.world.put("test", RegistryError("test: error", code="net.reset"))
    memory.run(isi(repository="test"))
    found = memory.answer()["repository"]
    assert found["status"]["message"] == "Internal error occurred: test: error"
    assert found["status"]["reason"] == "InternalError"
    assert not found.get("images")
    assert "additionalTags" not in found
