"""POST of streams (api-5.1, api-6.1, api-23.1, api-23.2)."""

import re

import pytest

from tests.integration.api.tenant import causes, tag_from, tracking_tag


@pytest.mark.case("api 12")
def test_stream_create_fills_kind_and_defaults(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "app"}})
    found = response.json()
    assert response.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageStream", "image.openshift.io/v1")
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["uid"]
    assert found["spec"] == {"lookupPolicy": {"local": False}}
    assert found["status"] == {"dockerImageRepository": f"reg.local:5000/{tenant.ns}/app"}


@pytest.mark.case("api 13")
def test_stream_create_of_existing_name_already_exists(tenant):
    tenant.stream("app")
    response = tenant.post("imagestreams", {"metadata": {"name": "app"}})
    assert response.status_code == 409
    assert response.json()["reason"] == "AlreadyExists"
    assert response.json()["message"] == 'imagestreams.image.openshift.io "app" already exists'


@pytest.mark.case("api 14", "api 15")
@pytest.mark.parametrize("name", ["Bad_Name", "bad..name", "-bad", "a__b"])
def test_stream_create_rejects_invalid_name(tenant, name):
    response = tenant.post("imagestreams", {"metadata": {"name": name}})
    assert response.status_code == 422
    assert 'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"' in causes(response)["metadata.name"]


@pytest.mark.case("api 16")
def test_stream_create_rejects_too_long_name(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "a" * 300}})
    assert response.status_code == 422
    text = "'namespace/name' cannot be longer than 255 characters"
    assert text in causes(response)["metadata.name"]


@pytest.mark.case("api 17")
def test_stream_create_requires_name(tenant):
    response = tenant.post("imagestreams", {"metadata": {}})
    assert response.status_code == 422
    expected = "Required value: name or generateName is required"
    assert causes(response)["metadata.name"] == expected


@pytest.mark.case("api 18")
def test_stream_create_generates_name_with_five_letters(tenant):
    response = tenant.post("imagestreams", {"metadata": {"generateName": "gen-"}})
    assert response.status_code == 201
    name = response.json()["metadata"]["name"]
    assert re.fullmatch("gen-[bcdfghjklmnpqrstvwxz2456789]{5}", name)


@pytest.mark.case("api 19")
def test_stream_create_with_other_namespace_in_body_is_bad_request(tenant):
    body = {"metadata": {"name": "app", "namespace": tenant.other}}
    response = tenant.post("imagestreams", body)
    assert response.status_code == 400
    assert response.json()["message"] == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


@pytest.mark.case("api 20")
def test_stream_create_in_missing_namespace_is_not_found(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "app"}}, ns="zz")
    assert response.status_code == 404
    assert response.json()["message"] == 'namespaces "zz" not found'
    assert response.json()["details"] == {"name": "zz", "kind": "namespaces"}


@pytest.mark.case("api 21")
def test_stream_create_ignores_server_owned_fields(tenant):
    body = {
        "metadata": {
            "name": "app",
            "uid": "mine",
            "creationTimestamp": "2001-01-01T00:00:00Z",
            "generation": 77,
            "deletionTimestamp": "2001-01-01T00:00:00Z",
        },
        "status": {
            "tags": [
                {
                    "tag": "x",
                    "items": [
                        {
                            "created": "2001-01-01T00:00:00Z",
                            "dockerImageReference": "q/x:1",
                            "image": "i",
                            "generation": 1,
                        }
                    ],
                }
            ]
        },
    }
    found = tenant.post("imagestreams", body).json()
    assert found["metadata"]["uid"] != "mine"
    assert found["metadata"]["creationTimestamp"] > "2020"
    assert found["metadata"]["generation"] == 1
    assert "deletionTimestamp" not in found["metadata"]
    assert "tags" not in found["status"]


@pytest.mark.case("api 22")
def test_stream_create_rejects_other_kind(tenant):
    response = tenant.post(
        "imagestreams",
        {"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "x"}},
    )
    assert response.status_code == 400
    expected = 'Image in version "v1" cannot be handled as a ImageStream'
    assert response.json()["message"].startswith(expected)


@pytest.mark.case("api 23")
@pytest.mark.parametrize("body", ["", "{bad", "[]"])
def test_stream_create_of_no_object_is_bad_request(tenant, body):
    response = tenant.admin.post(
        tenant.path("imagestreams"), content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")


@pytest.mark.case("api 24")
def test_stream_create_with_field_of_wrong_type_is_bad_request(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "x"}, "spec": "str"})
    assert response.status_code == 400
    expected = 'ImageStream in version "v1" cannot be handled as a ImageStream: '
    assert response.json()["message"].startswith(expected)


@pytest.mark.case("api 25")
def test_stream_create_rejects_invalid_label_key(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "x", "labels": {"bad key!": "v"}}})
    assert response.status_code == 422
    text = causes(response)["metadata.labels"]
    assert 'Invalid value: "bad key!": name part must consist of alphanumeric characters' in text


@pytest.mark.case("api 26")
def test_stream_create_rejects_unqualified_finalizer(tenant):
    response = tenant.post("imagestreams", {"metadata": {"name": "x", "finalizers": ["a"]}})
    assert response.status_code == 422
    assert "fully qualified" in causes(response)["metadata.finalizers[0]"]


@pytest.mark.case("api 27")
def test_stream_create_fills_defaults_of_spec_tag(tenant):
    found = tenant.stream("app", tag_from("v1", "quay.io/x/y:v1"))
    assert found["spec"]["tags"] == [
        {
            "name": "v1",
            "annotations": None,
            "from": {"kind": "DockerImage", "name": "quay.io/x/y:v1"},
            "generation": 1,
            "importPolicy": {"importMode": "Legacy"},
            "referencePolicy": {"type": "Source"},
        }
    ]
    assert "tags" not in found["status"]


@pytest.mark.case("api 28")
def test_stream_create_records_event_of_reference_tag(tenant):
    found = tenant.stream("app", tag_from("ref", "q/x:1", reference=True))
    [tag] = found["status"]["tags"]
    [event] = tag["items"]
    assert tag["tag"] == "ref"
    assert (event["dockerImageReference"], event["image"], event["generation"]) == ("q/x:1", "", 1)


@pytest.mark.case("api 29")
def test_stream_create_records_event_of_tracking_tag(tenant):
    found = tenant.stream(
        "app", tracking_tag("latest", "dev"), tag_from("dev", "q/x:1", reference=True)
    )
    seen = {tag["tag"]: tag["items"][0]["dockerImageReference"] for tag in found["status"]["tags"]}
    assert seen == {"dev": "q/x:1", "latest": "q/x:1"}


@pytest.mark.case("api 30")
def test_stream_create_keeps_last_of_duplicate_tags(tenant):
    found = tenant.stream("app", tag_from("t", "q/x:1"), tag_from("t", "q/x:2"))
    assert [tag["from"]["name"] for tag in found["spec"]["tags"]] == ["q/x:2"]


@pytest.mark.case("api 31")
def test_stream_create_accepts_tag_without_source(tenant):
    found = tenant.stream("app", {"name": "t", "annotations": {"a": "b"}})
    assert found["spec"]["tags"][0]["annotations"] == {"a": "b"}


@pytest.mark.case("api 32", "api 33", "api 34", "api 35", "api 36", "api 38", "api 39", "api 40")
@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        pytest.param(
            {"tags": [{"name": "t", "from": {"kind": "Foo", "name": "x"}}]},
            "spec.tags[t].from.kind",
            "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
            id="kind",
        ),
        pytest.param({"tags": [tag_from("t", "")]}, "spec.tags[t].from.name", "Required value"),
        pytest.param(
            {"tags": [tag_from("t", "Bad Ref!!")]},
            "spec.tags[t].from.name",
            'Invalid value: "Bad Ref!!": invalid reference format',
        ),
        pytest.param(
            {"tags": [tracking_tag("t", "a:b:c")]},
            "spec.tags[t].from.name",
            "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>",
        ),
        pytest.param(
            {"tags": [tracking_tag("t", "other:b")]},
            "spec.tags[t].from.name",
            'Not found: "other:b"',
        ),
        pytest.param(
            {"tags": [tracking_tag("t", "a") | {"importPolicy": {"scheduled": True}}]},
            "spec.tags[t].importPolicy.scheduled",
            "only tags pointing to Docker repositories may be scheduled for background import",
        ),
        pytest.param(
            {"tags": [tag_from("t", "q/x:1", importPolicy={"importMode": "Foo"})]},
            "spec.tags[t].importPolicy.importMode",
            "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'",
        ),
        pytest.param(
            {"tags": [tag_from("t", "q/x:1", referencePolicy={"type": "Bar"})]},
            "spec.tags[t].referencePolicy.type",
            'valid values are "Source", "Local"',
        ),
        pytest.param(
            {"dockerImageRepository": "quay.io/a/b:tag"},
            "spec.dockerImageRepository",
            "the repository name may not contain a tag",
        ),
        pytest.param(
            {"dockerImageRepository": "quay.io/a/b@sha256:" + "a" * 64},
            "spec.dockerImageRepository",
            "the repository name may not contain an ID",
        ),
    ],
)
def test_stream_create_reports_invalid_spec_field(tenant, spec, field, text):
    response = tenant.post("imagestreams", {"metadata": {"name": "x"}, "spec": spec})
    assert response.status_code == 422
    assert text in causes(response)[field]


@pytest.mark.case("api 37")
def test_stream_create_accepts_tracking_tag_of_missing_tag(tenant):
    tenant.stream("other")
    found = tenant.stream("app", tracking_tag("t", "other:b"))
    assert found["spec"]["tags"][0]["from"]["name"] == "other:b"
    assert "tags" not in found["status"]
