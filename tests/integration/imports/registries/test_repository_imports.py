"""Imports of a whole repository: its tag list, the first tags and the omitted ones.

Rules: imports-2.25, imports-2.26, imports-2.27, imports-2.28.
"""

import pytest

from tests import fixtures as fx
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

TAGS = ("abc", "3", "v2", "latest", "other", "3.1", "v1")


def push(fake, tags):
    """Push every tag with an image of its own."""
    for tag in tags:
        config = fx.compact({"architecture": "amd64", "os": "linux", "author": tag})
        manifest = image_content.oci(config, image_content.layer())
        fake.push("a/b", tag=tag, manifest=manifest, config=config)


def import_repository(harness, fake, *images, **job):
    return harness.import_status(isi(*images, repository=f"{fake.host}/a/b", do=False), **job)[
        "repository"
    ]


def tags_of(found):
    return [each["tag"] for each in found["images"]]


@pytest.mark.case("import 2-44")
def test_repository_import_lists_tags_beyond_limit(open_harness, fake):
    push(fake, TAGS)
    found = import_repository(open_harness(max_tags_per_repository=5), fake)
    assert found["status"]["status"] == "Success"
    assert tags_of(found) == ["latest", "3.1", "3", "abc", "other"]
    assert found["additionalTags"] == ["v1", "v2"]
    listings = [line for line in fake.requests if "/tags/list" in line]
    assert len(listings) == 1
    assert sorted(image_content.requested_manifests(fake)) == sorted(tags_of(found))
    assert len(image_content.requested_blobs(fake)) == 5


@pytest.mark.case("import 2-45")
def test_tag_beyond_limit_requested_as_image_is_included(open_harness, fake):
    push(fake, TAGS)
    harness = open_harness(max_tags_per_repository=2)
    found = import_repository(harness, fake, img(f"{fake.host}/a/b:other"))
    assert tags_of(found) == ["latest", "3.1", "other"]
    assert found["additionalTags"] == ["3", "abc", "v1", "v2"]
    assert image_content.requested_manifests(fake).count("other") == 1


@pytest.mark.case("import 2-43")
def test_repository_of_missing_tags_fails_without_code(open_harness, fake):
    push(fake, ("v1", "other", "v2", "3", "3.1", "abc"))
    fake.fail_next("/a/b/manifests/.*", status=404, times=99)
    found = import_repository(open_harness(max_tags_per_repository=5), fake)
    assert tags_of(found) == ["3.1", "3", "abc", "other", "v1"]
    assert found["additionalTags"] == ["v2"]
    assert {each["status"]["reason"] for each in found["images"]} == {"NotFound"}
    assert found["status"]["reason"] == "ImportFailed"
    assert found["status"]["message"] == "5 of the images from this repository failed to import"
    assert "code" not in found["status"]


@pytest.mark.case("import 2-47")
def test_empty_tag_in_list_is_dropped(harness, fake):
    push(fake, ("latest", "t"))
    fake.replace_body("/a/b/tags/list.*", b'{"name":"a/b","tags":["","t"]}')
    assert tags_of(import_repository(harness, fake)) == ["t"]


@pytest.mark.case("import 2-48")
def test_repository_import_reads_all_tag_list_pages(harness, fake):
    push(fake, TAGS)
    fake.page_size = 3
    assert sorted(tags_of(import_repository(harness, fake))) == sorted(TAGS)
    assert len([line for line in fake.requests if "/tags/list" in line]) == 3


def test_incomplete_tag_list_fails_repository_import(harness, fake):
    push(fake, TAGS)
    fake.page_size = 3
    fake.fail_next(r"/a/b/tags/list\?.*last=.*", status=500, times=9)
    found = import_repository(harness, fake)
    assert found["status"]["status"] == "Failure"
    assert not found.get("images")


@pytest.mark.case("import 9-12")
def test_repository_result_order_is_independent_of_timing(open_harness, fake):
    tags = [f"t{number:03}" for number in range(200)]
    push(fake, tags)
    fake.delay(0.3, "/a/b/manifests/t000", times=1)
    assert tags_of(import_repository(open_harness(max_tags_per_repository=-1), fake)) == tags
    assert fake.requests[-1].startswith("GET /v2/a/b/blobs/")
    assert 1 < fake.in_flight_peak <= 16
