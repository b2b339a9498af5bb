"""ImageStreamMappings: images pushed onto tags (api-27.1, api-27.2, api-27.4, api-27.5)."""

import pytest

from tests.integration.api.pushed_images import image_path, pushed_image, read_image
from tests.integration.api.stream_tag_requests import histories
from tests.integration.api.tenant import causes, tracking_tag

DONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
MANAGED = {"openshift.io/image.managed": "true"}


def post(tenant, stream, tag, image, **params):
    body = {"metadata": {"name": stream}, "image": image, "tag": tag}
    return tenant.post("imagestreammappings", body, params=params)


def pushed(name, **fields):
    return {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}", **fields}


def managed(name):
    return pushed(name, metadata={"name": name, "annotations": MANAGED})


def newest_images(tenant, stream="s"):
    return {tag: items[0]["image"] for tag, items in histories(tenant, stream).items()}


@pytest.mark.case("api 190")
def test_mapping_onto_missing_stream_is_not_found(tenant, digest):
    name = digest()
    response = post(tenant, "nostream", "t", pushed(name))
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
    expected = 'imagestreammappings.image.openshift.io "nostream" not found'
    assert response.json()["message"] == expected
    assert tenant.admin.get(image_path(name)).status_code == 404
    assert tenant.get("imagestreams", "nostream").status_code == 404


@pytest.mark.case("api 191")
def test_mapping_requires_tag_image_name_and_reference(tenant, digest):
    tenant.stream("s")
    without_tag = post(tenant, "s", "", pushed(digest()))
    assert without_tag.status_code == 422
    assert causes(without_tag) == {"tag": "Required value"}
    assert without_tag.json()["details"]["kind"] == "ImageStreamMapping"
    image = pushed(digest(), dockerImageReference="Bad Ref!!")
    expected = 'Invalid value: "Bad Ref!!": invalid reference format'
    assert causes(post(tenant, "s", "t", image)) == {"image.dockerImageReference": expected}
    image = {"metadata": {}, "dockerImageReference": "quay.io/x/y:1"}
    expected = "Required value: name or generateName is required"
    assert causes(post(tenant, "s", "t", image)) == {"image.metadata.name": expected}
    assert histories(tenant, "s") == {}


def test_mapping_requires_stream_name(tenant, digest):
    body = {"metadata": {}, "image": pushed(digest()), "tag": "t"}
    response = tenant.post("imagestreammappings", body)
    assert response.status_code == 422
    assert causes(response) == {
        "metadata.name": "Required value: name or generateName is required",
        "name": "Required value",
        "dockerImageRepository": "Required value",
    }


def test_mapping_validates_metadata_of_image(tenant, digest):
    tenant.stream("s")
    wrong = {"labels": {"bad key!": "x"}}
    image = pushed("") | {"metadata": {"name": digest(), **wrong}, "dockerImageReference": "q/x:1"}
    body = {"metadata": {"name": "s", **wrong}, "image": image, "tag": "t"}
    response = tenant.post("imagestreammappings", body)
    assert response.status_code == 422
    assert set(causes(response)) == {"metadata.labels", "image.metadata.labels"}


@pytest.mark.case("api 192")
def test_mapping_without_reference_points_to_internal_registry(tenant, digest):
    name = digest()
    tenant.stream("s")
    response = post(tenant, "s", "t", {"metadata": {"name": name}})
    assert (response.status_code, response.json()) == (201, DONE)
    [event] = histories(tenant, "s")["t"]
    assert event["dockerImageReference"] == f"reg.local:5000/{tenant.ns}/s@{name}"
    assert read_image(tenant, name)["dockerImageReference"] == event["dockerImageReference"]


@pytest.mark.case("api 193")
def test_mapping_records_event_only_for_other_image(tenant, digest):
    first, second = digest("a"), digest("b")
    tenant.stream("s")
    for name, count in ((first, 1), (first, 1), (second, 2), (first, 3)):
        response = tenant.push("s", "t1", name)
        assert (response.status_code, response.json()) == (201, DONE)
        items = histories(tenant, "s")["t1"]
        assert (len(items), items[0]["image"]) == (count, name)
        assert items[0]["generation"] == 1


def test_mapping_of_current_image_writes_nothing(tenant, digest):
    name = digest()
    tenant.stream("s")
    tenant.push("s", "t", name)
    before = tenant.get("imagestreams", "s").json()
    assert tenant.push("s", "t", name).status_code == 201
    assert tenant.get("imagestreams", "s").json() == before


def test_mapping_fills_image_metadata_and_drops_signatures(tenant):
    image = pushed_image()
    name = image["metadata"]["name"]
    image["signatures"] = [{"metadata": {"name": f"{name}@s"}, "type": "t", "content": "aGk="}]
    tenant.stream("s")
    assert post(tenant, "s", "weird/tag", image).status_code == 201
    found = read_image(tenant, name)
    assert found["dockerImageMetadata"]["Size"] == 562
    assert "signatures" not in found
    assert newest_images(tenant) == {"weird/tag": name}


@pytest.mark.case("api 194")
def test_mapping_of_stored_managed_image_points_to_own_repository(tenant, digest):
    name = digest("8")
    tenant.stream("other")
    tenant.stream("s")
    assert post(tenant, "other", "m1", managed(name)).status_code == 201
    [event] = histories(tenant, "other")["m1"]
    assert event["dockerImageReference"] == f"quay.io/x/y@{name}"
    before = read_image(tenant, name)
    changed = managed(name) | {"dockerImageReference": f"quay.io/x/other@{name}"}
    assert post(tenant, "s", "m2", changed).status_code == 201
    [event] = histories(tenant, "s")["m2"]
    assert event["dockerImageReference"] == f"reg.local:5000/{tenant.ns}/s@{name}"
    assert read_image(tenant, name) == before


@pytest.mark.case("api 195")
def test_mapping_updates_tracking_tags(tenant, digest):
    tenant.stream(
        "s", tracking_tag("track", "t1"), tracking_tag("far", "s:track"), tracking_tag("not", "t2")
    )
    name = digest("c")
    tenant.push("s", "t1", name)
    assert newest_images(tenant) == {"t1": name, "track": name, "far": name}


@pytest.mark.case("api 196")
def test_mapping_dry_run_stores_nothing(tenant, digest):
    name = digest()
    tenant.stream("s")
    before = tenant.get("imagestreams", "s").json()
    response = post(tenant, "s", "t", pushed(name), dryRun="All")
    assert (response.status_code, response.json()) == (201, DONE)
    assert tenant.get("imagestreams", "s").json() == before
    assert tenant.admin.get(image_path(name)).status_code == 404


def test_mappings_support_only_create(tenant):
    assert tenant.get("imagestreammappings").status_code == 405
    assert tenant.get("imagestreammappings", "s").status_code == 404


def test_mapping_create_is_allowed_for_editor(tenant, digest):
    """The server writes the image: no permission to create images is needed (api-16.6)."""
    tenant.stream("s")
    editor = tenant.user(("edit", tenant.ns))
    body = {"metadata": {"name": "s"}, "image": pushed(digest()), "tag": "t"}
    assert editor.post(tenant.path("imagestreammappings"), json=body).status_code == 201
