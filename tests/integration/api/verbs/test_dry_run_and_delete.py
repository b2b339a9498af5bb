"""Dry runs, field validation and deletes (api-9.1, api-9.4, api-10.1, api-10.5)."""

import pytest

from tests.integration.api.tenant import tag_from


@pytest.mark.case("api 85", "api 87")
def test_dry_run_create_returns_object_but_stores_nothing(tenant):
    body = {"metadata": {"name": "app"}}
    response = tenant.post("imagestreams", body, params={"dryRun": "All"})
    assert response.status_code == 201
    assert response.json()["metadata"]["uid"]
    assert "resourceVersion" not in response.json()["metadata"]
    assert tenant.get("imagestreams", "app").status_code == 404
    tenant.stream("app")
    assert tenant.post("imagestreams", body, params={"dryRun": "All"}).status_code == 409


@pytest.mark.case("api 86")
@pytest.mark.parametrize("value", ["Foo", ""])
def test_dry_run_of_unknown_value_is_invalid(tenant, value):
    response = tenant.post("imagestreams", {"metadata": {"name": "x"}}, params={"dryRun": value})
    assert response.status_code == 422
    assert response.json()["message"] == (
        f'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["{value}"]: '
        'supported values: "All"'
    )


@pytest.mark.case("api 88")
def test_dry_run_delete_keeps_object(tenant):
    tenant.stream("app")
    assert tenant.delete("imagestreams", "app", json={"dryRun": ["All"]}).status_code == 200
    assert tenant.get("imagestreams", "app").status_code == 200


DUPLICATE_FIELDS = '{"metadata":{"name":"NAME"},"spec":{"foo":1},"spec":{"foo":1}}'


def post_text(tenant, text, **params):
    return tenant.admin.post(
        tenant.path("imagestreams"),
        content=text.replace("NAME", params.pop("name", "x")),
        headers={"Content-Type": "application/json"},
        params=params,
    )


@pytest.mark.case("api 89")
def test_strict_validation_names_unknown_and_duplicate_fields(tenant):
    response = post_text(tenant, DUPLICATE_FIELDS, fieldValidation="Strict")
    assert response.status_code == 400
    message = response.json()["message"]
    assert "strict decoding error: " in message
    assert 'unknown field "spec.foo"' in message
    assert 'duplicate field "spec"' in message


@pytest.mark.case("api 90", "api 91")
def test_field_validation_warnings_are_headers_unless_ignored(tenant):
    text = '{"metadata":{"name":"NAME"},"spec":{"foo":1}}'
    for params in ({"fieldValidation": "Warn", "name": "a"}, {"name": "b"}):
        response = post_text(tenant, text, **params)
        assert response.status_code == 201
        assert response.headers["warning"] == r'299 - "unknown field \"spec.foo\""'
    ignored = post_text(tenant, text, fieldValidation="Ignore", name="c")
    assert ignored.status_code == 201
    assert "warning" not in ignored.headers


@pytest.mark.case("api 92")
def test_unknown_field_validation_value_is_invalid(tenant):
    response = post_text(tenant, '{"metadata":{"name":"x"}}', fieldValidation="Foo")
    assert response.status_code == 422
    expected = 'fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore"'
    assert expected in response.json()["message"]


@pytest.mark.case("api 94")
def test_delete_returns_status_with_details(tenant):
    stream = tenant.stream("app")
    response = tenant.delete("imagestreams", "app")
    assert response.status_code == 200
    assert response.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": "app",
            "group": "image.openshift.io",
            "kind": "imagestreams",
            "uid": stream["metadata"]["uid"],
        },
    }
    assert tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 95")
@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"uid": "x"}, "the UID in the precondition (x) does not match the UID in record"),
        (
            {"resourceVersion": "1"},
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion",
        ),
    ],
)
def test_delete_with_failing_precondition_is_conflict(tenant, condition, text):
    tenant.stream("app")
    response = tenant.delete("imagestreams", "app", json={"preconditions": condition})
    assert response.status_code == 409
    assert text in response.json()["message"]


@pytest.mark.case("api 96", "api 97")
def test_delete_ignores_propagation_policy(tenant):
    for policy in ("Foreground", "Orphan", "Background"):
        tenant.stream("app")
        params = {"propagationPolicy": policy}
        assert tenant.delete("imagestreams", "app", params=params).status_code == 200
        assert tenant.get("imagestreams", "app").status_code == 404
    tenant.stream("app")
    wrong = tenant.delete("imagestreams", "app", params={"propagationPolicy": "Foo"})
    assert wrong.status_code == 422


@pytest.mark.case("api 98")
def test_delete_waits_for_removal_of_finalizers(tenant):
    body = {"metadata": {"name": "app", "finalizers": ["x.io/y"]}}
    assert tenant.post("imagestreams", body).status_code == 201
    response = tenant.delete("imagestreams", "app")
    assert response.status_code == 200
    assert response.json()["metadata"]["deletionTimestamp"]
    again = tenant.post("imagestreams", body)
    assert again.status_code == 409
    assert again.json()["message"].startswith("object is being deleted: ")
    released = tenant.patch("imagestreams", "app", {"metadata": {"finalizers": None}})
    assert released.status_code == 200
    assert tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 99")
def test_delete_collection_deletes_by_label_selector(tenant):
    for number in range(5):
        labels = {"g": "y"} if number < 2 else {}
        body = {"metadata": {"name": f"l{number}", "labels": labels}}
        assert tenant.post("imagestreams", body).status_code == 201
    response = tenant.admin.request(
        "DELETE", tenant.path("imagestreams"), params={"labelSelector": "g=y"}
    )
    assert response.status_code == 200
    assert response.json()["kind"] == "ImageStreamList"
    assert [item["metadata"]["name"] for item in response.json()["items"]] == ["l0", "l1"]
    remaining = tenant.get("imagestreams").json()["items"]
    assert [item["metadata"]["name"] for item in remaining] == ["l2", "l3", "l4"]


def test_delete_of_empty_collection_returns_empty_list(tenant):
    tenant.stream("keep", tag_from("v1", "q/1"), ns=tenant.other)
    response = tenant.admin.request("DELETE", tenant.path("imagestreams"))
    assert response.json()["items"] == []
    assert tenant.get("imagestreams", "keep", ns=tenant.other).status_code == 200
