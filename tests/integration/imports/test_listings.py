"""A repository as a whole: its list of tags, the first of them, and what was left out (2.8)."""

import pytest

from tests import fixtures as fx
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi

TAGS = ("abc", "3", "v2", "latest", "other", "3.1", "v1")


def push(fake, tags):
    """Every tag with an image of its own."""
    for tag in tags:
        config = fx.compact({"architecture": "amd64", "os": "linux", "author": tag})
        manifest = wares.oci(config, wares.layer())
        fake.push("a/b", tag=tag, manifest=manifest, config=config)


def answer(house, fake, *images, **job):
    return house.answer(isi(*images, repository=f"{fake.host}/a/b", do=False), **job)["repository"]


def tags_of(found):
    return [each["tag"] for each in found["images"]]


@pytest.mark.case("import 2-44")
def test_the_first_tags_are_imported_and_the_others_named(open_house, fake):
    push(fake, TAGS)
    found = answer(open_house(max_tags_per_repository=5), fake)
    assert found["status"]["status"] == "Success"
    assert tags_of(found) == ["latest", "3.1", "3", "abc", "other"]
    assert found["additionalTags"] == ["v1", "v2"]
    listings = [line for line in fake.requests if "/tags/list" in line]
    assert len(listings) == 1
    assert sorted(wares.manifests(fake)) == sorted(tags_of(found))
    assert len(wares.blobs(fake)) == 5


@pytest.mark.case("import 2-45")
def test_a_tag_beyond_the_limit_that_is_wanted_anyway_is_not_left_out(open_house, fake):
    push(fake, TAGS)
    house = open_house(max_tags_per_repository=2)
    found = answer(house, fake, img(f"{fake.host}/a/b:other"))
    assert tags_of(found) == ["latest", "3.1", "other"]
    assert found["additionalTags"] == ["3", "abc", "v1", "v2"]
    assert wares.manifests(fake).count("other") == 1


@pytest.mark.case("import 2-43")
def test_a_repository_of_tags_that_are_gone_is_a_failure_without_a_code(open_house, fake):
    push(fake, ("v1", "other", "v2", "3", "3.1", "abc"))
    fake.fail_next("/a/b/manifests/.*", status=404, times=99)
    found = answer(open_house(max_tags_per_repository=5), fake)
    assert tags_of(found) == ["3.1", "3", "abc", "other", "v1"]
    assert found["additionalTags"] == ["v2"]
    assert {each["status"]["reason"] for each in found["images"]} == {"NotFound"}
    assert found["status"]["reason"] == "ImportFailed"
    assert found["status"]["message"] == "5 of the images from this repository failed to import"
    assert "code" not in found["status"]


@pytest.mark.case("import 2-47")
def test_an_empty_tag_is_no_tag(house, fake):
    push(fake, ("latest", "t"))
    fake.replace_body("/a/b/tags/list.*", b'{"name":"a/b","tags":["","t"]}')
    assert tags_of(answer(house, fake)) == ["t"]


@pytest.mark.case("import 2-48")
def test_all_pages_of_a_list_count(house, fake):
    push(fake, TAGS)
    fake.page_size = 3
    assert sorted(tags_of(answer(house, fake))) == sorted(TAGS)
    assert len([line for line in fake.requests if "/tags/list" in line]) == 3


def test_half_a_list_is_a_failed_list(house, fake):
    push(fake, TAGS)
    fake.page_size = 3
    fake.fail_next(r"/a/b/tags/list\?.*last=.*", status=500, times=9)
    found = answer(house, fake)
    assert found["status"]["status"] == "Failure"
    assert not found.get("images")


@pytest.mark.case("import 9-12")
def test_the_order_of_results_does_not_depend_on_who_was_quick(open_house, fake):
    tags = [f"t{number:03}" for number in range(200)]
    push(fake, tags)
    fake.delay(0.3, "/a/b/manifests/t000", times=1)
    assert tags_of(answer(open_house(max_tags_per_repository=-1), fake)) == tags
    assert fake.requests[-1].startswith("GET /v2/a/b/blobs/")
    assert 1 < fake.in_flight_peak <= 16
