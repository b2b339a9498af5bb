"""Order of the tags of a repository import (imports-2.27)."""

import random

import pytest

from models.streams.imports.tag_priority import prioritize_tags

ROWS = [
    "latest, 5.6, 5.5, v5.5, v5.3.6-bother, 5.3.6-abba, 5.2.3, other",
    "3.1, 3, abc, other, v1, v2",
    "latest, 1.2-rc1, 1.2-beta4, 1.2-beta1, 1.2-alpha1, 1.1-rc1, 1.1-beta2, 1.1-beta1",
    "7.1, v7.1, 7.1.0",
    "10.0, v10.0, 9.10, 9.9",
    "2.0, 2.0-alpine, 2.0.0, 2.0.0-alpine",
    (
        "1.0.0, 1.0.0-rc.1, 1.0.0-beta.11, 1.0.0-beta.2, 1.0.0-beta, 1.0.0-alpha.beta, "
        "1.0.0-alpha.1, 1.0.0-alpha"
    ),
    "1.0-1, 1.0.0-1, 1.0-01, 1.0.0-01",
    (
        "latest, 3.0, 3.0-1, 2.0-alpine, 1.10, 1.9, v1.2, 1.0, 2.0.1-alpine, 1.0.0, 1.0.0+b, "
        "1.0.0-rc.1, 01.2, 1, 1.02, 1.2.3.4, 10, 2, 2.1-alpine3.18, 2.2-a-b, 2.3-, 2.4-a_b, "
        "Latest, V1.3, stable"
    ),
]


@pytest.mark.case("import 2-42")
@pytest.mark.parametrize("row", ROWS)
def test_prioritize_tags_orders_each_row_of_table(row):
    wanted = row.split(", ")
    shuffled = list(wanted)
    random.Random(row).shuffle(shuffled)
    assert prioritize_tags(shuffled) == wanted


def test_prioritize_tags_drops_duplicates_and_huge_versions():
    assert prioritize_tags(["a", "a", "latest"]) == ["latest", "a"]
    assert prioritize_tags(["1.0.99999999999999999999", "1.0"]) == [
        "1.0",
        "1.0.99999999999999999999",
    ]
