"""Writes of ImageStreamTags: each becomes a spec tag of its stream (api-24.5, api-24.7)."""

import re

import pytest

from tests.integration.api.pushed_images import read_image
from tests.integration.api.stream_tag_requests import (
    get,
    histories,
    istag,
    patch,
    post,
    put,
    spec_tags,
)
from tests.integration.api.tenant import causes

ONLY_ANNOTATIONS = "may not update fields other than metadata.annotations"


@pytest.mark.case("api 159")
def test_istag_put_annotations_appear_in_metadata_tag_and_image(tenant, pushed):
    body = get(tenant, "web:v1").json()
    body["metadata"]["annotations"] = {"n": "w"}
    response = put(tenant, "web:v1", body)
    assert response.status_code == 200
    for found in (response.json(), get(tenant, "web:v1").json()):
        assert found["metadata"]["annotations"] == {"n": "w"}
        assert found["tag"]["annotations"] == {"n": "w"}
        assert found["image"]["metadata"]["annotations"] == {"n": "w"}
    assert "annotations" not in read_image(tenant, pushed)["metadata"]


@pytest.mark.case("api 160")
@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"app": "other"}},
        {"uid": "00000000-0000-0000-0000-000000000000"},
        {"finalizers": ["a.io/b"]},
    ],
)
def test_istag_put_rejects_metadata_other_than_annotations(tenant, pushed, change):
    body = get(tenant, "web:v1").json()
    body["metadata"] |= change
    response = put(tenant, "web:v1", body)
    assert response.status_code == 422
    assert causes(response) == {"metadata": f'Invalid value: "": {ONLY_ANNOTATIONS}'}
    expected = f'"web:v1" is invalid: metadata: Invalid value: "": {ONLY_ANNOTATIONS}'
    assert response.json()["message"].endswith(expected)


@pytest.mark.case("api 161")
def test_istag_put_accepts_missing_labels_and_version(tenant, pushed):
    body = get(tenant, "web:v1").json()
    del body["metadata"]["labels"]
    del body["metadata"]["resourceVersion"]
    response = put(tenant, "web:v1", body)
    assert response.status_code == 200
    assert response.json()["metadata"]["labels"] == {"app": "web"}


@pytest.mark.case("api 162")
def test_istag_put_with_other_resource_version_is_conflict(tenant, pushed):
    body = get(tenant, "web:v1").json()
    current = body["metadata"]["resourceVersion"]
    body["metadata"]["resourceVersion"] = "1"
    response = put(tenant, "web:v1", body)
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert response.json()["message"] == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": another '
        f"caller has updated the resource version to {current}"
    )


@pytest.mark.case("api 163")
def test_istag_put_with_null_tag_keeps_spec_tag(tenant, pushed):
    before = spec_tags(tenant)["v1"]
    response = put(tenant, "web:v1", {"metadata": {"name": "web:v1"}, "tag": None})
    assert (response.status_code, response.json()["tag"]) == (200, before)
    assert spec_tags(tenant)["v1"] == before


def test_istag_put_ignores_server_owned_fields(tenant, pushed):
    before = get(tenant, "web:v1").json()
    changed = before | {
        "lookupPolicy": {"local": True},
        "generation": 99,
        "image": {"metadata": {"name": "other"}},
        "conditions": [{"type": "ImportSuccess", "status": "False"}],
    }
    response = put(tenant, "web:v1", changed)
    assert response.status_code == 200
    assert response.json() == before


@pytest.mark.case("api 164")
def test_istag_put_creates_tag_and_stream(tenant):
    tenant.stream("web")
    assert put(tenant, "web:new", istag("web:new")).status_code == 201
    assert put(tenant, "brand:new", istag("brand:new")).status_code == 201
    assert set(spec_tags(tenant, "brand")) == {"new"}
    body = istag("brand2:new", metadata={"name": "brand2:new", "resourceVersion": "5"})
    response = put(tenant, "brand2:new", body)
    assert response.status_code == 404
    expected = 'imagestreamtags.image.openshift.io "brand2:new" not found'
    assert response.json()["message"] == expected


@pytest.mark.case("api 165")
def test_istag_put_without_tag_creates_nothing(tenant):
    tenant.stream("web")
    response = put(tenant, "web:new2", istag("web:new2", None))
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"] == (
        f"imagestreamtag new2 is not a spec tag in imagestream {tenant.ns}/web, cannot be updated"
    )


@pytest.mark.case("api 166")
def test_istag_put_of_history_only_tag_is_bad_request(tenant, pushed, digest):
    tenant.push("web", "seen", digest())
    body = get(tenant, "web:seen").json()
    body["metadata"]["annotations"] = {"a": "b"}
    response = put(tenant, "web:seen", body)
    assert response.status_code == 400
    assert response.json()["message"] == (
        f"imagestreamtag seen is not a spec tag in imagestream {tenant.ns}/web, cannot be updated"
    )


@pytest.mark.case("api 167")
def test_istag_patch_is_put_of_patched_representation(tenant, pushed):
    annotated = patch(tenant, "web:v1", {"metadata": {"annotations": {"n": "w"}}})
    assert (annotated.status_code, annotated.json()["tag"]["annotations"]) == (200, {"n": "w"})
    labelled = patch(tenant, "web:v1", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status_code == 422
    assert causes(labelled) == {"metadata": f'Invalid value: "": {ONLY_ANNOTATIONS}'}
    before = tenant.get("imagestreams", "web").json()["metadata"]["generation"]
    json_patch = [{"op": "replace", "path": "/tag/from/name", "value": "elsewhere"}]
    response = patch(tenant, "web:v1", json_patch, "json")
    assert response.status_code == 200
    assert response.json()["tag"]["from"]["name"] == "elsewhere"
    assert response.json()["tag"]["generation"] == before + 1
    tag = {"from": {"kind": "DockerImage", "name": "registry.invalid/x/y:2"}}
    for absent in ("web:absent", "created:v1"):
        created = patch(tenant, absent, {"tag": {"name": "x"} | tag}, "strategic")
        assert created.status_code == 201, created.text
    assert set(spec_tags(tenant)) == {"v1", "absent"}
    nothing = patch(tenant, "web:nothing", {"metadata": {"annotations": {"a": "b"}}})
    assert nothing.status_code == 400


def test_istag_write_validates_metadata(tenant, pushed):
    wrong = {"annotations": {"bad key!": "x"}}
    created = post(
        tenant, "web:v9", metadata={"name": "web:v9", "labels": {"bad key!": "x"}, **wrong}
    )
    assert created.status_code == 422
    text = 'Invalid value: "bad key!": name part must consist of alphanumeric characters'
    assert set(causes(created)) == {"metadata.labels", "metadata.annotations"}
    assert causes(created)["metadata.annotations"].startswith(text)
    replaced = put(tenant, "web:v1", istag("web:v1", metadata={"name": "web:v1", **wrong}))
    assert replaced.status_code == 422
    assert causes(replaced)["metadata.annotations"].startswith(text)


def test_istag_create_generates_name(tenant):
    response = post(tenant, "", metadata={"generateName": "web:v-"})
    assert response.status_code == 201
    name = response.json()["metadata"]["name"]
    assert re.fullmatch("web:v-[bcdfghjklmnpqrstvwxz2456789]{5}", name)
    assert get(tenant, "web:v1").status_code == 404


def test_istag_patch_of_tag_annotations_changes_nothing(tenant, pushed):
    patch(tenant, "web:v1", {"metadata": {"annotations": {"n": "w"}}})
    before = get(tenant, "web:v1").json()
    for body in ({"tag": {"annotations": {"other": "x"}}}, {"tag": None}):
        response = patch(tenant, "web:v1", body)
        assert (response.status_code, response.json()) == (200, before)


def test_istag_apply_creates_and_updates(tenant):
    body = {"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag", **istag("web:v1")}
    created = patch(tenant, "web:v1", body, "apply", fieldManager="me")
    assert created.status_code == 201, created.text
    body["metadata"]["annotations"] = {"a": "b"}
    changed = patch(tenant, "web:v1", body, "apply", fieldManager="me")
    assert changed.status_code == 200, changed.text
    assert changed.json()["tag"]["annotations"] == {"a": "b"}
    assert "managedFields" not in changed.json()["metadata"]


@pytest.mark.case("api 168")
def test_istag_with_local_policy_points_to_internal_registry(tenant, pushed):
    response = patch(tenant, "web:v1", {"tag": {"referencePolicy": {"type": "Local"}}})
    assert response.status_code == 200
    expected = f"reg.local:5000/{tenant.ns}/web@{pushed}"
    assert response.json()["image"]["dockerImageReference"] == expected
    assert get(tenant, "web:v1").json()["image"]["dockerImageReference"] == expected


@pytest.mark.case("api 169")
def test_istag_put_of_oc_tag_raises_generation(tenant, pushed):
    before = tenant.get("imagestreams", "web").json()["metadata"]["generation"]
    body = {
        "kind": "ImageStreamTag",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "web:v1", "namespace": tenant.ns},
        "tag": {
            "name": "v1",
            "annotations": None,
            "from": {"kind": "DockerImage", "name": "registry.invalid/app:v3"},
            "generation": 0,
            "importPolicy": {"importMode": "Legacy"},
            "referencePolicy": {"type": "Source"},
        },
        "generation": 0,
        "lookupPolicy": {"local": False},
        "image": {"metadata": {}, "dockerImageMetadata": None},
    }
    for generation in (before + 1, before + 2):
        response = put(tenant, "web:v1", body)
        assert response.status_code == 200, response.text
        assert response.json()["tag"]["generation"] == generation
        stream = tenant.get("imagestreams", "web").json()
        assert stream["metadata"]["generation"] == generation


def test_istag_dry_runs_store_nothing(tenant, pushed):
    before = tenant.get("imagestreams", "web").json()
    dry_run = {"dryRun": "All"}
    created = post(tenant, "web:v9", params=dry_run)
    assert created.status_code == 201
    version = before["metadata"]["resourceVersion"]
    assert created.json()["metadata"]["resourceVersion"] == version
    created_stream = post(tenant, "created:v1", params=dry_run)
    assert created_stream.status_code == 201
    assert created_stream.json()["metadata"]["uid"]
    assert "resourceVersion" not in created_stream.json()["metadata"]
    assert put(tenant, "created:v1", istag("created:v1"), **dry_run).status_code == 201
    assert put(tenant, "web:v1", istag("web:v1"), **dry_run).status_code == 200
    patched = patch(tenant, "web:v1", {"metadata": {"annotations": {"a": "b"}}}, **dry_run)
    assert (patched.status_code, patched.json()["tag"]["annotations"]) == (200, {"a": "b"})
    assert post(tenant, "web:v1", params=dry_run).status_code == 409
    assert tenant.get("imagestreams", "web").json() == before
    assert tenant.get("imagestreams", "created").status_code == 404


def test_istag_from_other_namespace_requires_pull_permission(tenant, digest):
    """The response does not reveal whether the source exists (api-16.8)."""
    tenant.stream("src", ns=tenant.other)
    tenant.push("src", "v1", digest(), ns=tenant.other)
    editor = tenant.user(("edit", tenant.ns), ("view", tenant.other))
    roles = ("edit", tenant.ns), ("puller", tenant.other, "src")
    puller = tenant.user(*roles, name=f"{tenant.user_name}p")

    def tag_from_other(name, kind="imagestreamtags", who=editor):
        source = {"kind": "ImageStreamTag", "namespace": tenant.other, "name": name}
        key = "tag" if kind == "imagestreamtags" else "spec"
        body = {"metadata": {"name": "web:v1"}, key: {"name": "v1", "from": source}}
        return who.put(tenant.path(kind, "web:v1"), json=body)

    for kind in ("imagestreamtags", "imagetags"):
        for source in ("src", "nope"):
            response = tag_from_other(f"{source}:v1", kind)
            assert response.status_code == 422, response.text
            expected = f'Forbidden: {tenant.other}/{source}: "" ""'
            assert causes(response) == {"spec.tags[v1].from": expected}
    assert tenant.get("imagestreams", "web").status_code == 404
    assert tag_from_other("src:v1", who=puller).status_code == 201
    assert set(histories(tenant)) == {"v1"}
