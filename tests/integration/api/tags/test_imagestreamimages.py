"""ImageStreamImages: images that a stream has or had (api-26.1, api-26.2)."""

import pytest

from tests.integration.api.pushed_images import IMAGES, image_path, index_of, pushed_image


def get(tenant, name):
    return tenant.get("imagestreamimages", name)


@pytest.fixture
def stream(tenant):
    """Return the name of a stream with annotations and labels."""
    metadata = {"name": "s", "annotations": {"of": "stream"}, "labels": {"a": "b"}}
    assert tenant.post("imagestreams", {"metadata": metadata}).status_code == 201
    return "s"


@pytest.mark.case("api 182")
def test_isimage_get_accepts_digest_prefix(tenant, stream):
    image = pushed_image()
    name = image.pop("metadata")["name"]
    assert tenant.push(stream, "t", name, **image).status_code == 201
    stored = tenant.admin.get(image_path(name)).json()
    for wanted in (name, name[:20], name.removeprefix("sha256:")[:12]):
        response = get(tenant, f"{stream}@{wanted}")
        found = response.json()
        assert response.status_code == 200
        assert (found["kind"], found["apiVersion"]) == (
            "ImageStreamImage",
            "image.openshift.io/v1",
        )
        assert found["metadata"] == {
            "name": f"{stream}@{wanted}",
            "namespace": tenant.ns,
            "creationTimestamp": stored["metadata"]["creationTimestamp"],
            "annotations": {"of": "stream"},
        }
        dropped = {"kind", "apiVersion", "dockerImageManifest", "dockerImageConfig"}
        assert found["image"] == {key: stored[key] for key in stored if key not in dropped}


def test_isimage_get_finds_image_of_older_event(tenant, stream, digest):
    first, second = digest("a"), digest("b")
    tenant.push(stream, "t", first)
    tenant.push(stream, "t", second)
    assert get(tenant, f"{stream}@{first}").status_code == 200
    assert get(tenant, f"{stream}@{second}").status_code == 200


@pytest.mark.case("api 183")
@pytest.mark.parametrize("name", ["s", "s@", "a@b@c", "@b"])
def test_isimage_get_of_malformed_name_is_bad_request(tenant, name):
    response = get(tenant, name)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"] == "ImageStreamImages must be retrieved with <name>@<id>"


@pytest.mark.case("api 183")
def test_isimage_not_found_message_names_missing_object(tenant, stream, digest):
    unknown, deleted = digest("e"), digest("f")

    def message(name):
        response = get(tenant, name)
        assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
        return response.json()["message"]

    name = f"{stream}@{unknown}"
    assert message(name) == f'imagestreamimage.image.openshift.io "{name}" not found'
    expected = 'imagestreamimages.image.openshift.io "nope" not found'
    assert message(f"nope@{unknown}") == expected
    tenant.push(stream, "t", deleted)
    assert tenant.admin.delete(image_path(deleted)).status_code == 200
    expected = f'imagestreamimages.image.openshift.io "{deleted}" not found'
    assert message(f"{stream}@{deleted}") == expected


@pytest.mark.case("api 184")
def test_isimage_get_of_ambiguous_prefix_is_conflict(tenant, stream, digest):
    prefix = digest("a")[:30]
    first, second = (prefix.ljust(71, letter) for letter in "bc")
    tenant.push(stream, "t1", second)
    tenant.push(stream, "t2", first)
    response = get(tenant, f"{stream}@{prefix}")
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert response.json()["message"] == (
        f'Operation cannot be fulfilled on imagestreamimage.image.openshift.io "{prefix}": '
        f'multiple images match the prefix "{prefix}": {first}, {second}'
    )
    assert get(tenant, f"{stream}@{first}").status_code == 200


@pytest.mark.case("api 185")
def test_isimage_get_finds_child_of_index(tenant, stream):
    child = pushed_image()
    assert tenant.admin.post(IMAGES, json=child).status_code == 201
    name = child["metadata"]["name"]
    parent, fields = index_of(name)
    assert tenant.push(stream, "t", parent, **fields).status_code == 201
    response = get(tenant, f"{stream}@{name}")
    assert (response.status_code, response.json()["image"]["metadata"]["name"]) == (200, name)


def test_isimages_support_only_get(tenant, stream, digest):
    name = digest()
    tenant.push(stream, "t", name)
    collection = tenant.path("imagestreamimages")
    for method in ("GET", "POST", "DELETE"):
        response = tenant.admin.request(method, collection)
        assert response.status_code == 404, method
        text = "the server could not find the requested resource"
        assert response.json()["message"] == text
    for method in ("PUT", "PATCH", "DELETE"):
        response = tenant.admin.request(method, f"{collection}/{stream}@{name}")
        assert response.status_code == 405, method
