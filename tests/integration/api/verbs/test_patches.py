"""PATCH with the four types of patches (api-7.1 to api-7.4, api-8.1)."""

import pytest

from tests.integration.api.tenant import causes, tag_from


def names(response):
    return [tag["name"] for tag in response.json()["spec"]["tags"]]


@pytest.mark.case("api 71", "api 72", "api 73", "api 74", "api 75")
def test_patch_types_merge_or_replace_lists(tenant):
    tenant.stream("st", tag_from("v1", "q/1"))

    def strategic(spec):
        return tenant.patch("imagestreams", "st", {"spec": spec}, "strategic")

    assert names(strategic({"tags": [tag_from("v9", "q/9")]})) == ["v1", "v9"]
    assert names(strategic({"tags": [{"name": "v9", "$patch": "delete"}]})) == ["v1"]
    ordered = {
        "$setElementOrder/tags": [{"name": "zz"}, {"name": "v1"}],
        "tags": [tag_from("zz", "q/z")],
    }
    assert names(strategic(ordered)) == ["v1", "zz"]
    merged = {"spec": {"tags": [tag_from("only", "q/o")]}}
    assert names(tenant.patch("imagestreams", "st", merged)) == ["only"]
    added = [{"op": "add", "path": "/spec/tags/-", "value": tag_from("more", "q/m")}]
    assert names(tenant.patch("imagestreams", "st", added, "json")) == ["more", "only"]


@pytest.mark.case("api 76")
def test_json_patch_with_failing_test_is_invalid(tenant):
    tenant.stream("st")
    patch = [{"op": "test", "path": "/metadata/name", "value": "other"}]
    response = tenant.patch("imagestreams", "st", patch, "json")
    assert (response.status_code, response.json()["reason"]) == (422, "Invalid")
    expected = "the server rejected our request due to an error in our request"
    assert response.json()["message"] == expected


@pytest.mark.case("api 77")
@pytest.mark.parametrize(
    ("kind", "body"), [("json", '{"a":1}'), ("merge", "[1]"), ("merge", "nonsense")]
)
def test_patch_of_undecodable_body_is_bad_request(tenant, kind, body):
    tenant.stream("st")
    response = tenant.patch("imagestreams", "st", body, kind)
    assert response.status_code == 400
    assert response.json()["message"].startswith("error decoding patch: ")


@pytest.mark.case("api 78")
def test_patch_of_other_media_type_is_unsupported(tenant):
    tenant.stream("st")
    response = tenant.patch("imagestreams", "st", {}, "application/json")
    assert response.status_code == 415


@pytest.mark.case("api 79")
def test_patch_rejects_other_uid_name_and_resource_version(tenant):
    tenant.stream("st")

    def patch(**metadata):
        return tenant.patch("imagestreams", "st", {"metadata": metadata})

    uid = patch(uid="00000000-0000-0000-0000-000000000000")
    assert uid.status_code == 422
    assert "field is immutable" in causes(uid)["metadata.uid"]
    assert patch(name="other").status_code == 400
    assert patch(resourceVersion="1").status_code == 409


@pytest.mark.case("api 80")
def test_strategic_patch_null_removes_annotation(tenant):
    body = {"metadata": {"name": "st", "annotations": {"a": "1", "b": "2"}}}
    assert tenant.post("imagestreams", body).status_code == 201
    patch = {"metadata": {"annotations": {"a": None, "c": "3"}}}
    found = tenant.patch("imagestreams", "st", patch, "strategic").json()
    assert found["metadata"]["annotations"] == {"b": "2", "c": "3"}


def applied(source):
    return {
        "apiVersion": "image.openshift.io/v1",
        "kind": "ImageStream",
        "metadata": {"name": "st"},
        "spec": {"tags": [tag_from("v1", source)]},
    }


def apply(tenant, body, **params):
    return tenant.patch("imagestreams", "st", body, "apply", params=params)


@pytest.mark.case("api 81", "api 82", "api 83")
def test_server_side_apply_conflicts_with_other_manager(tenant):
    assert apply(tenant, applied("q/1"), fieldManager="a").status_code == 201
    without_manager = apply(tenant, applied("q/1"))
    assert without_manager.status_code == 422
    assert (
        "fieldManager: Required value: is required for apply patch"
        in without_manager.json()["message"]
    )
    other = apply(tenant, applied("q/2"), fieldManager="b")
    assert other.status_code == 409
    [cause] = other.json()["details"]["causes"]
    assert cause["reason"] == "FieldManagerConflict"
    assert cause["field"] == '.spec.tags[name="v1"].from'
    forced = apply(tenant, applied("q/2"), fieldManager="b", force="true")
    assert forced.status_code == 200
    assert forced.json()["spec"]["tags"][0]["from"]["name"] == "q/2"


@pytest.mark.case("api 84")
def test_force_is_forbidden_for_merge_patch(tenant):
    tenant.stream("st")
    response = tenant.patch("imagestreams", "st", {}, params={"force": "true"})
    assert response.status_code == 422
    assert (
        "force: Forbidden: may not be specified for non-apply patch" in response.json()["message"]
    )


@pytest.mark.case("api 93")
def test_strict_patch_with_unknown_field_is_invalid(tenant):
    tenant.stream("st")
    params = {"fieldValidation": "Strict"}
    response = tenant.patch("imagestreams", "st", {"spec": {"foo": 1}}, params=params)
    assert response.status_code == 422
    assert 'strict decoding error: unknown field "spec.foo"' in response.json()["message"]
