"""ImageTags: spec, history and image of one tag (api-25.1, api-25.3, api-25.4, api-25.5)."""

import pytest

from tests.api_test_server import IMAGE_API
from tests.integration.api.pushed_images import read_image
from tests.integration.api.stream_tag_requests import BARE_SUCCESS, histories, spec_tags
from tests.integration.api.tenant import causes, tag_from, tracking_tag

ONLY_SPEC = 'Invalid value: "": may not update fields other than spec'


def itag(name, source="registry.invalid/x/y:v1", /, **more):
    """Return the body of a POST or PUT."""
    return {
        "metadata": {"name": name},
        "spec": {"from": {"kind": "DockerImage", "name": source}, **more},
    }


def put(tenant, name, body, **params):
    return tenant.put("imagetags", name, body, params=params)


def get(tenant, name):
    return tenant.get("imagetags", name)


@pytest.fixture
def pushed(tenant, digest):
    """Create a stream `web` whose tag `v1` has spec and status; return the digest of the image."""
    name = digest()
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"of": "stream"}},
        "spec": {"tags": [tracking_tag("v1", "later") | {"annotations": {"of": "tag"}}]},
    }
    assert tenant.post("imagestreams", body).status_code == 201
    assert tenant.push("web", "v1", name).status_code == 201
    return name


@pytest.mark.case("api 175")
def test_imagetag_create_requires_spec_of_matching_name(tenant):
    response = tenant.post("imagetags", {"metadata": {"name": "web:v1"}})
    assert response.status_code == 422
    text = "spec is a required field during creation"
    assert causes(response) == {"spec": f"Required value: {text}"}
    assert f"spec: Required value: {text}" in response.json()["message"]
    other = tenant.post("imagetags", itag("web:v1", name="other"))
    assert other.status_code == 422
    expected = 'Invalid value: "other": must match image tag name'
    assert causes(other) == {"spec.name": expected}
    bare = tenant.post("imagetags", itag("web", name="v1"))
    assert bare.status_code == 422
    assert causes(bare) == {"spec.name": 'Invalid value: "v1": must match image tag name'}
    assert tenant.get("imagestreams", "web").status_code == 404


@pytest.mark.case("api 176")
def test_imagetag_create_keeps_annotations_of_spec(tenant):
    response = tenant.post("imagetags", itag("web:v1", annotations={"a": "b"}))
    found = response.json()
    assert response.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageTag", "image.openshift.io/v1")
    assert (found["spec"]["name"], found["spec"]["annotations"]) == ("v1", {"a": "b"})
    assert (found["status"], found["image"]) == (None, None)
    assert spec_tags(tenant)["v1"]["annotations"] == {"a": "b"}
    again = tenant.post("imagetags", itag("web:v1"))
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    expected = 'imagetags.image.openshift.io "web:v1" already exists'
    assert again.json()["message"] == expected


def test_imagetag_create_reports_invalid_spec_field(tenant):
    body = {"metadata": {"name": "web:v1"}, "spec": {"from": {"kind": "Foo", "name": "x"}}}
    response = tenant.post("imagetags", body)
    assert response.status_code == 422
    assert response.json()["details"]["kind"] == "ImageTag"
    kinds = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'"
    assert causes(response) == {"spec.from.kind": f"Required value: {kinds}"}


def test_imagetag_get_returns_metadata_of_stream(tenant, pushed):
    found = get(tenant, "web:v1").json()
    stream = tenant.get("imagestreams", "web").json()
    assert found["metadata"] == stream["metadata"] | {"name": "web:v1"}
    assert found["metadata"]["generation"] == 1
    assert found["spec"] == stream["spec"]["tags"][0]
    assert found["status"] == stream["status"]["tags"][0]
    assert found["image"]["metadata"]["name"] == pushed
    assert "annotations" not in found["image"]["metadata"]
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{pushed}"


@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", "a:", ":b"])
def test_imagetag_get_of_malformed_name_is_bad_request(tenant, name):
    response = get(tenant, name)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"] == "ImageTags must be retrieved with <name>:<tag>"


def test_imagetag_not_found_message_names_missing_object(tenant):
    tenant.stream("web")
    stream, tag = get(tenant, "nope:x"), get(tenant, "web:x")
    assert (stream.status_code, tag.status_code) == (404, 404)
    assert stream.json()["message"] == 'imagetags.image.openshift.io "nope" not found'
    assert tag.json()["message"] == 'imagetags.image.openshift.io "web:x" not found'


@pytest.mark.case("api 177")
def test_imagetag_put_rejects_fields_other_than_spec(tenant, pushed):
    before = get(tenant, "web:v1").json()

    def refused(**changes):
        response = put(tenant, "web:v1", before | changes)
        assert response.status_code == 422
        return causes(response)

    assert refused(status=None) == {"status": ONLY_SPEC}
    items = [before["status"]["items"][0] | {"image": "other"}]
    assert refused(status=before["status"] | {"items": items}) == {"status": ONLY_SPEC}
    labels = before["metadata"] | {"labels": {"app": "other"}}
    assert refused(metadata=labels) == {"metadata": ONLY_SPEC}
    annotations = before["metadata"] | {"annotations": {}}
    assert refused(metadata=annotations) == {"metadata": ONLY_SPEC}
    changed = put(
        tenant,
        "web:v1",
        before | {"spec": before["spec"] | {"annotations": {"a": "b"}}, "image": {}},
    )
    assert changed.status_code == 200
    assert changed.json()["spec"]["annotations"] == {"a": "b"}
    assert changed.json()["image"]["metadata"]["name"] == pushed


@pytest.mark.case("api 178")
def test_imagetag_put_without_status_requires_empty_history(tenant, digest):
    tenant.stream("web", tracking_tag("pending", "later"))
    tenant.push("web", "seen", digest())
    response = put(tenant, "web:seen", itag("web:seen"))
    assert response.status_code == 422
    assert causes(response)["status"] == ONLY_SPEC
    assert put(tenant, "web:pending", itag("web:pending")).status_code == 200
    assert put(tenant, "web:new", itag("web:new")).status_code == 201
    assert put(tenant, "created:new", itag("created:new")).status_code == 201


@pytest.mark.case("api 179")
def test_imagetag_put_without_spec_removes_spec_tag_and_keeps_history(tenant, pushed):
    before = get(tenant, "web:v1").json()
    response = put(tenant, "web:v1", before | {"spec": None})
    assert (response.status_code, response.json()["spec"]) == (200, None)
    assert response.json()["status"] == before["status"]
    assert spec_tags(tenant) == {}
    assert histories(tenant)["v1"] == before["status"]["items"]
    again = put(tenant, "web:v1", response.json())
    assert (again.status_code, again.json()["spec"]) == (200, None)
    restored = put(tenant, "web:v1", response.json() | {"spec": before["spec"]})
    assert restored.status_code == 201


def test_imagetag_put_with_other_resource_version_is_conflict(tenant, pushed):
    body = get(tenant, "web:v1").json()
    current = body["metadata"]["resourceVersion"]
    body["metadata"]["resourceVersion"] = "1"
    response = put(tenant, "web:v1", body)
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert response.json()["message"] == (
        'Operation cannot be fulfilled on imagetags.image.openshift.io "web:v1": another caller '
        f"has updated the resource version to {current}"
    )
    body["metadata"] |= {"name": "nope:v1"}
    missing = put(tenant, "nope:v1", body)
    assert missing.status_code == 404
    assert missing.json()["message"] == 'imagetags.image.openshift.io "nope:v1" not found'


def test_imagetag_patch_is_put_of_patched_representation(tenant, pushed):
    response = tenant.patch("imagetags", "web:v1", {"spec": {"annotations": {"a": "b"}}})
    assert response.status_code == 200, response.text
    assert response.json()["spec"]["annotations"] == {"of": "tag", "a": "b"}
    patch = [{"op": "add", "path": "/spec", "value": itag("x")["spec"]}]
    created = tenant.patch("imagetags", "web:new", patch, "json")
    assert created.status_code == 201, created.text
    labelled = tenant.patch("imagetags", "web:v1", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status_code == 422
    assert causes(labelled) == {"metadata": ONLY_SPEC}


def test_imagetag_apply_creates_and_updates(tenant):
    body = {"apiVersion": "image.openshift.io/v1", "kind": "ImageTag", **itag("web:v1")}
    params = {"fieldManager": "me"}
    created = tenant.patch("imagetags", "web:v1", body, "apply", params=params)
    assert created.status_code == 201, created.text
    body["spec"]["annotations"] = {"a": "b"}
    changed = tenant.patch("imagetags", "web:v1", body, "apply", params=params)
    assert changed.status_code == 200, changed.text
    assert changed.json()["spec"]["annotations"] == {"a": "b"}


@pytest.mark.case("api 180")
def test_imagetag_list_contains_every_tag_without_image(tenant, pushed, digest):
    tenant.stream("app", tag_from("ref", "q/x:1", reference=True), tracking_tag("a", "later"))
    tenant.push("app", "seen", digest())
    found = tenant.get("imagetags").json()
    assert (found["kind"], found["apiVersion"]) == ("ImageTagList", "image.openshift.io/v1")
    names = [each["metadata"]["name"] for each in found["items"]]
    assert names == ["app:a", "app:ref", "app:seen", "web:v1"]
    assert [each["image"] for each in found["items"]] == [None] * 4
    shown = {each["metadata"]["name"]: each for each in found["items"]}
    assert shown["app:a"]["status"] is None
    assert shown["app:seen"]["spec"] is None
    assert not {"kind", "apiVersion"} & set(found["items"][0])
    params = {"fieldSelector": "metadata.name=app:seen"}
    [only] = tenant.get("imagetags", params=params).json()["items"]
    assert only["metadata"]["name"] == "app:seen"
    [only] = tenant.get("imagetags", params={"labelSelector": "app=web"}).json()["items"]
    assert only["metadata"]["name"] == "web:v1"
    everywhere = tenant.admin.get(f"{IMAGE_API}/imagetags").json()["items"]
    own = [each for each in everywhere if each["metadata"]["namespace"] == tenant.ns]
    assert [each["metadata"]["name"] for each in own] == names


def test_imagetag_watch_is_not_allowed(tenant):
    response = tenant.get("imagetags", params={"watch": "1"})
    assert (response.status_code, response.json()["reason"]) == (405, "MethodNotAllowed")
    expected = 'watch is not supported on resources of kind "imagetags.image.openshift.io"'
    assert response.json()["message"] == expected
    assert tenant.admin.delete(tenant.path("imagetags")).status_code == 405


@pytest.mark.case("api 181")
def test_imagetag_delete_removes_history_but_keeps_image(tenant, pushed):
    body = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    response = tenant.delete("imagetags", "web:v1", json=body)
    assert response.status_code == 409
    assert response.json()["message"] == (
        'Operation cannot be fulfilled on imagetags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    deleted = tenant.delete("imagetags", "web:v1")
    assert (deleted.status_code, deleted.json()) == (200, BARE_SUCCESS)
    assert spec_tags(tenant) == {}
    assert histories(tenant) == {}
    assert read_image(tenant, pushed)["metadata"]["name"] == pushed
    again = tenant.delete("imagetags", "web:v1")
    assert again.status_code == 404
    assert again.json()["message"] == 'imagetags.image.openshift.io "web:v1" not found'


def test_imagetag_dry_runs_store_nothing(tenant, pushed):
    before = tenant.get("imagestreams", "web").json()
    dry_run = {"dryRun": "All"}
    created = tenant.post("imagetags", itag("web:v9"), params=dry_run)
    assert created.status_code == 201
    version = before["metadata"]["resourceVersion"]
    assert created.json()["metadata"]["resourceVersion"] == version
    created_stream = tenant.post("imagetags", itag("created:v1"), params=dry_run)
    assert created_stream.status_code == 201
    assert created_stream.json()["metadata"]["uid"]
    assert "resourceVersion" not in created_stream.json()["metadata"]
    assert put(tenant, "created:v1", itag("created:v1"), **dry_run).status_code == 201
    body = {"spec": {"annotations": {"a": "b"}}}
    patched = tenant.patch("imagetags", "web:v1", body, params=dry_run)
    assert (patched.status_code, patched.json()["spec"]["annotations"]["a"]) == (200, "b")
    deleted = tenant.delete("imagetags", "web:v1", params=dry_run)
    assert (deleted.status_code, deleted.json()) == (200, BARE_SUCCESS)
    assert tenant.get("imagestreams", "web").json() == before
    assert tenant.get("imagestreams", "created").status_code == 404
