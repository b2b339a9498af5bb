"""Status texts of failed fetches (imports-4.1, imports-4.8, imports-4.9)."""

import pytest

from models.errors import RegistryError
from models.reference import normalise_pull_spec
from models.streams.imports.apply_import import apply_import
from models.streams.imports.import_outcome import Failed
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    NOON,
    InMemoryStore,
    RegistryContents,
    img,
    isi,
)


class EmptyRegistry(RegistryContents):
    """A registry without content."""

    def fetch_target(self, target):
        written = target.reference
        text = "no such digest" if written.id else "no such manifest tag"
        name = normalise_pull_spec(written.exact())
        return Failed(RegistryError(text, code="notfound.tag", reference=name))


@pytest.mark.case("import 4-23")
def test_failed_element_status_names_full_reference():
    memory = InMemoryStore(EmptyRegistry())
    request = isi(img("test"), img(f"test@{DIGEST_1}"), img("test///un/parse/able/image"), do=False)
    memory.request, memory.plan = request, plan_import(request, None, ImportRules())
    memory.outcomes = memory.contents.fetch(memory.plan)
    memory.result = apply_import(
        None, request, memory.plan, memory.outcomes, now=NOON, rules=ImportRules()
    )
    found = memory.response()["images"]
    assert [each["status"]["message"] for each in found] == [
        "Internal error occurred: docker.io/library/test:latest: no such manifest tag",
        f"Internal error occurred: docker.io/library/test@{DIGEST_1}: no such digest",
        (
            ' "" is invalid: from.name: Invalid value: "test///un/parse/able/image": invalid name: '
            "invalid reference format"
        ),
    ]
    assert [each["status"]["reason"] for each in found] == ["InternalError"] * 2 + ["Invalid"]
    assert [each.get("tag", "") for each in found] == ["latest", "", ""]


@pytest.mark.case("import 4-22")
def test_failed_tag_list_returns_neither_images_nor_additional_tags():
    memory = InMemoryStore()
    memory.contents.put("test", RegistryError("test: error", code="net.reset"))
    memory.run(isi(repository="test"))
    found = memory.response()["repository"]
    assert found["status"]["message"] == "Internal error occurred: test: error"
    assert found["status"]["reason"] == "InternalError"
    assert not found.get("images")
    assert "additionalTags" not in found
