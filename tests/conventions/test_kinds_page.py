"""docs/reference/kinds.md describes every field of our kinds as the API serves it."""

import re

import pytest

from api.openapi.schemas import SchemaBuilder
from api.served_resources import RESOURCES
from tests import kinds_page


def test_kinds_page_is_up_to_date():
    assert kinds_page.PAGE.read_text() == kinds_page.render()


def test_every_kind_has_its_section():
    kinds = {info.kind for info in RESOURCES if info.group in kinds_page.GROUPS} - {"SecretList"}
    sections = set(re.findall(r"^## (\w+)$", kinds_page.render(), re.MULTILINE))
    assert sections == kinds | set(kinds_page.SHARED_TYPES)


def test_every_field_has_a_type_and_a_text():
    rows = re.findall(
        r"^\| \*?`([^`]+)`\*? \| (.*?) \| (.*?) \|$", kinds_page.render(), re.MULTILINE
    )
    assert len(rows) > 200
    assert [path for path, notation, text in rows if not (notation and text)] == []


@pytest.mark.parametrize("group", kinds_page.GROUPS)
def test_every_field_of_every_type_is_listed(group):
    page = kinds_page.render()
    builder = SchemaBuilder(group, "v1")
    for info in RESOURCES:
        if info.group == group and info.kind != "SecretList":
            builder.refer(info.kind)
    fields = [
        (name, field)
        for name, schema in builder.definitions.items()
        for field in kinds_page.fields_of(schema)
    ]
    assert len(fields) > 100
    assert [each for each in fields if not re.search(rf"[`.]{each[1]}`", page)] == []


def test_every_link_leads_to_a_section():
    page = kinds_page.render()
    anchors = {each.lower() for each in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
