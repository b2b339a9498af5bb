"""Reads, creates and deletes of ImageStreamTags (api-24.1, api-24.2, api-24.3, api-24.8)."""

import pytest

from tests.api_test_server import IMAGE_API
from tests.integration.api.pushed_images import image_path, pushed_image, read_image
from tests.integration.api.stream_tag_requests import (
    BARE_SUCCESS,
    get,
    histories,
    istag,
    post,
    put,
    spec_tags,
)
from tests.integration.api.tenant import causes, tag_from, tracking_tag

NO_IMAGE = {
    "metadata": {},
    "dockerImageMetadata": {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "",
        "Created": None,
        "ContainerConfig": {},
    },
    "dockerImageMetadataVersion": "1.0",
}


@pytest.mark.case("api 149")
def test_istag_create_creates_stream(tenant):
    response = post(tenant, "web:v1")
    found = response.json()
    assert response.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamTag", "image.openshift.io/v1")
    assert found["metadata"]["name"] == "web:v1"
    assert found["tag"]["generation"] == 1
    assert found["generation"] == 0
    assert found["image"] == NO_IMAGE
    assert found["lookupPolicy"] == {"local": False}
    stream = tenant.get("imagestreams", "web").json()
    assert [tag["name"] for tag in stream["spec"]["tags"]] == ["v1"]
    assert not {"labels", "annotations"} & set(stream["metadata"])
    assert found["metadata"]["resourceVersion"]
    for field in ("uid", "creationTimestamp", "namespace"):
        assert found["metadata"][field] == stream["metadata"][field]


@pytest.mark.case("api 150")
def test_istag_create_of_existing_tag_already_exists(tenant):
    assert post(tenant, "web:v1").status_code == 201
    response = post(tenant, "web:v1")
    assert (response.status_code, response.json()["reason"]) == (409, "AlreadyExists")
    expected = 'imagestreamtag.image.openshift.io "web:v1" already exists'
    assert response.json()["message"] == expected


def test_istag_create_accepts_tag_with_history_only(tenant, pushed, digest):
    tenant.push("web", "seen", digest())
    assert post(tenant, "web:seen").status_code == 201


@pytest.mark.case("api 151")
def test_istag_get_before_import_is_not_found(tenant):
    post(tenant, "web:v1")
    response = get(tenant, "web:v1")
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
    expected = 'imagestreamtags.image.openshift.io "web:v1" not found'
    assert response.json()["message"] == expected
    assert response.json()["details"] == {
        "name": "web:v1",
        "group": "image.openshift.io",
        "kind": "imagestreamtags",
    }


@pytest.mark.case("api 151")
def test_imagetag_get_before_import_is_found(tenant):
    tenant.stream("web", tracking_tag("v1", "later"))
    response = tenant.get("imagetags", "web:v1")
    assert response.status_code == 200
    assert response.json()["spec"]["name"] == "v1"
    assert (response.json()["status"], response.json()["image"]) == (None, None)


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", "a:", ":b"])
def test_istag_get_of_malformed_name_is_bad_request(tenant, name):
    response = get(tenant, name)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    expected = "ImageStreamTags must be retrieved with <name>:<tag>"
    assert response.json()["message"] == expected


@pytest.mark.case("api 153")
def test_istag_get_of_missing_stream_names_stream(tenant):
    response = get(tenant, "nope:x")
    assert response.status_code == 404
    assert response.json()["message"] == 'imagestreamtags.image.openshift.io "nope" not found'


@pytest.mark.case("api 154")
def test_istag_create_takes_tag_name_from_object_name(tenant):
    source = {"kind": "DockerImage", "name": "q/x:1"}
    response = post(tenant, "web:v2", tag={"name": "other", "from": source})
    assert (response.status_code, response.json()["tag"]["name"]) == (201, "v2")
    assert set(spec_tags(tenant)) == {"v2"}


@pytest.mark.case("api 155")
def test_istag_create_rejects_tag_annotations_unlike_metadata(tenant):
    source = {"kind": "DockerImage", "name": "q/x:1"}
    tag = {"from": source, "annotations": {"x": "y"}}
    response = post(tenant, "web:v1", tag=tag)
    assert response.status_code == 422
    assert causes(response) == {
        "tag.annotations": 'Invalid value: "map[x:y]": tag annotations must not be provided or '
        "must be equal to the object meta annotations"
    }
    matching = post(
        tenant, "web:v1", tag=tag, metadata={"name": "web:v1", "annotations": {"x": "y"}}
    )
    assert (matching.status_code, matching.json()["tag"]["annotations"]) == (201, {"x": "y"})


def test_istag_create_copies_metadata_annotations(tenant):
    response = post(tenant, "web:v1", metadata={"name": "web:v1", "annotations": {"x": "y"}})
    assert response.status_code == 201
    assert response.json()["metadata"]["annotations"] == {"x": "y"}
    assert spec_tags(tenant)["v1"]["annotations"] == {"x": "y"}


@pytest.mark.case("api 156")
def test_istag_create_with_invalid_stream_name_names_stream(tenant):
    response = post(tenant, "BAD!:x")
    assert response.status_code == 422
    assert response.json()["message"] == (
        'ImageStream.image.openshift.io "BAD!" is invalid: metadata.name: Invalid value: "BAD!": '
        'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'
    )
    details = response.json()["details"]
    assert (details["kind"], details["name"]) == ("ImageStream", "BAD!")


@pytest.mark.parametrize("name", ["web", ":v1", "web:v1:more"])
def test_istag_create_of_malformed_name_is_bad_request(tenant, name):
    response = post(tenant, name)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"] == f'"{name}" must be of the form <stream_name>:<tag>'


def test_istag_create_without_tag_name_is_latest(tenant):
    response = post(tenant, "web:")
    assert (response.status_code, response.json()["metadata"]["name"]) == (201, "web:latest")
    assert set(spec_tags(tenant)) == {"latest"}


def test_istag_create_in_missing_namespace_is_not_found(tenant):
    response = tenant.post("imagestreamtags", istag("web:v1"), ns="zz")
    assert response.status_code == 404
    assert response.json()["message"] == 'namespaces "zz" not found'


def test_istag_create_reports_invalid_tag_fields(tenant):
    tag = {"from": {"kind": "Foo", "name": "x"}, "referencePolicy": {"type": "Bar"}}
    response = post(tenant, "web:v1", tag=tag)
    assert response.status_code == 422
    assert response.json()["details"]["kind"] == "ImageStreamTag"
    found = causes(response)
    kinds = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'"
    assert found["tag.from.kind"] == f"Required value: {kinds}"
    text = 'Invalid value: "Bar": valid values are "Source", "Local"'
    assert found["tag.referencePolicy.type"] == text


@pytest.mark.case("api 157")
def test_istag_create_without_tag_creates_only_stream(tenant):
    response = post(tenant, "web:v1", None)
    assert (response.status_code, response.json()["tag"]) == (201, None)
    assert spec_tags(tenant) == {}


@pytest.mark.case("api 158")
def test_istag_get_returns_image_with_stream_metadata(tenant, pushed):
    found = get(tenant, "web:v1").json()
    stream = tenant.get("imagestreams", "web").json()
    [event] = histories(tenant)["v1"]
    assert found["generation"] == event["generation"]
    assert found["image"]["metadata"]["name"] == pushed
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{pushed}"
    assert not {"kind", "apiVersion"} & set(found["image"])
    metadata = found["metadata"]
    assert metadata["labels"] == {"app": "web"}
    assert metadata["resourceVersion"] == stream["metadata"]["resourceVersion"]
    assert metadata["uid"] == stream["metadata"]["uid"]
    assert metadata["creationTimestamp"] == event["created"]
    assert not {"annotations", "generation", "managedFields"} & set(metadata)
    assert found["tag"] == stream["spec"]["tags"][0]


def test_istag_get_omits_manifest_and_config(tenant):
    image = pushed_image()
    tenant.stream("web")
    name = image.pop("metadata")["name"]
    assert tenant.push("web", "v1", name, **image).status_code == 201
    assert "dockerImageManifest" in read_image(tenant, name)
    found = get(tenant, "web:v1").json()["image"]
    assert not {"dockerImageManifest", "dockerImageConfig"} & set(found)
    assert len(found["dockerImageLayers"]) == 3


@pytest.mark.case("api 170")
def test_istag_delete_removes_history_but_keeps_image(tenant, pushed):
    response = tenant.delete("imagestreamtags", "web:v1")
    assert (response.status_code, response.json()) == (200, BARE_SUCCESS)
    assert "v1" not in spec_tags(tenant)
    assert "v1" not in histories(tenant)
    assert read_image(tenant, pushed)["metadata"]["name"] == pushed
    again = tenant.delete("imagestreamtags", "web:v1")
    assert again.status_code == 404
    expected = 'imagestreamtags.image.openshift.io "web:v1" not found'
    assert again.json()["message"] == expected
    nowhere = tenant.delete("imagestreamtags", "nope:v1")
    assert nowhere.json()["message"] == 'imagestreamtags.image.openshift.io "nope" not found'
    assert tenant.delete("imagestreamtags", "web").status_code == 400


@pytest.mark.case("api 171")
def test_istag_delete_checks_preconditions_of_stream(tenant, pushed):
    tried = tenant.delete("imagestreamtags", "web:v1", params={"dryRun": "All"})
    assert (tried.status_code, tried.json()) == (200, BARE_SUCCESS)
    assert get(tenant, "web:v1").status_code == 200

    def delete(**preconditions):
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        return tenant.delete("imagestreamtags", "web:v1", json=body)

    response = delete(uid="00000000-0000-0000-0000-000000000000")
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert response.json()["message"] == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    assert delete(resourceVersion="1").status_code == 409
    metadata = tenant.get("imagestreams", "web").json()["metadata"]
    found = delete(uid=metadata["uid"], resourceVersion=metadata["resourceVersion"])
    assert found.status_code == 200


@pytest.mark.case("api 172")
def test_istag_of_deleted_image_is_only_listed(tenant, pushed, digest):
    deleted_image = digest("7")
    tenant.push("web", "gone", deleted_image)
    assert tenant.admin.delete(image_path(deleted_image)).status_code == 200
    response = get(tenant, "web:gone")
    assert response.status_code == 404
    expected = f'imagestreamtags.image.openshift.io "{deleted_image}" not found'
    assert response.json()["message"] == expected
    imagetag = tenant.get("imagetags", "web:gone")
    assert (imagetag.status_code, imagetag.json()["image"]) == (200, None)
    listed = tenant.get("imagestreamtags").json()["items"]
    names = {each["metadata"]["name"]: each["image"]["metadata"]["name"] for each in listed}
    assert names == {"web:gone": deleted_image, "web:v1": pushed}


@pytest.mark.case("api 173")
def test_istag_list_contains_and_selects_tags_with_image(tenant, pushed, digest):
    tenant.stream("app", tag_from("ref", "q/x:1", reference=True))
    tenant.push("app", "v2", digest())
    tenant.push("app", "v1", digest())

    def listed(path=None, **params):
        response = tenant.admin.get(path or tenant.path("imagestreamtags"), params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def names(found):
        return [each["metadata"]["name"] for each in found["items"]]

    every = ["app:v1", "app:v2", "web:v1"]
    found = listed()
    assert names(found) == every
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamTagList", "image.openshift.io/v1")
    for each in found["items"]:
        assert not {"kind", "apiVersion"} & set(each)
        assert set(each["image"]) == {*NO_IMAGE, "dockerImageReference"}
    limited = listed(limit="1")
    assert names(limited) == every or limited["metadata"]["continue"]
    assert names(listed(fieldSelector="metadata.name=web:v1")) == ["web:v1"]
    assert names(listed(fieldSelector=f"metadata.namespace!={tenant.ns}")) == []
    assert names(listed(labelSelector="app=web")) == ["web:v1"]
    everywhere = listed(f"{IMAGE_API}/imagestreamtags")["items"]
    own = [each for each in everywhere if each["metadata"]["namespace"] == tenant.ns]
    assert names({"items": own}) == every
    keys = [tuple(each["metadata"][key] for key in ("namespace", "name")) for each in everywhere]
    assert keys == sorted(keys, key=lambda key: (key[0], *key[1].split(":")))


@pytest.mark.case("api 174")
def test_istag_watch_is_not_allowed(tenant):
    response = tenant.get("imagestreamtags", params={"watch": "1"})
    assert (response.status_code, response.json()["reason"]) == (405, "MethodNotAllowed")
    expected = 'watch is not supported on resources of kind "imagestreamtags.image.openshift.io"'
    assert response.json()["message"] == expected
    assert response.json()["details"] == {"group": "image.openshift.io", "kind": "imagestreamtags"}
    assert tenant.admin.delete(tenant.path("imagestreamtags")).status_code == 405


@pytest.mark.case("api 224")
def test_istag_percent_encoded_name_is_equivalent(tenant, pushed):
    raw = get(tenant, "web:v1").json()
    assert get(tenant, "web%3Av1").json() == raw
    assert get(tenant, "web%3av1").json() == raw
    image = tenant.get("imagestreamimages", f"web@{pushed}")
    assert image.status_code == 200
    encoded = f"web%40{pushed.replace(':', '%3A')}"
    assert tenant.get("imagestreamimages", encoded).json() == image.json()
    assert put(tenant, "web%3Av1", {"metadata": {"name": "web:v1"}}).status_code == 200
    assert tenant.get("imagetags", "web%3Av1").status_code == 200
    assert tenant.delete("imagestreamtags", "web%3Av1").status_code == 200
