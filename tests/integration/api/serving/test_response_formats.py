"""Formats of responses: JSON, YAML, Table, metadata only (api-3.1, api-13.1, api-13.9)."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.integration.api.tenant import tag_from, tracking_tag

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def table(tenant, resource, name="", **params):
    response = tenant.get(resource, name, headers={"Accept": KUBECTL}, params=params)
    assert response.status_code == 200, response.text
    assert response.json()["kind"] == "Table"
    return response.json()


def cells(found):
    return [row["cells"] for row in found["rows"]]


def ago(**span):
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def observe(tenant, name, *histories):
    """Write the status of the tags of a stream."""
    stream = tenant.get("imagestreams", name).json()
    stream["status"]["tags"] = list(histories)
    response = tenant.put("imagestreams", f"{name}/status", stream)
    assert response.status_code == 200, response.text


def history(tag, *events, **more):
    return {"tag": tag, "items": list(events), **more}


def event(image="", generation=1, created=None, reference="quay.io/x/y"):
    return {
        "created": created or ago(minutes=5),
        "dockerImageReference": reference,
        "image": image,
        "generation": generation,
    }


@pytest.mark.case("api 113")
def test_imagetag_table_shows_origin_and_state(tenant, digest):
    one, two = digest(), digest("b")
    tenant.image(one)
    tenant.stream("src", tag_from("v1", "quay.io/x/y:v1"))
    tenant.push("src", "c", one)
    tenant.stream(
        "foo",
        tag_from("ref", "a/b:c", reference=True),
        tracking_tag("tag", "src:c"),
        tracking_tag("image", f"src@{one}", "ImageStreamImage"),
        tag_from("sched", "a/b:c", importPolicy={"scheduled": True}),
        tracking_tag("track", "other"),
        tag_from("failed", "a/b:none"),
    )
    stream = tenant.get("imagestreams", "foo").json()
    wanted = {each["name"]: each["generation"] for each in stream["spec"]["tags"]}
    failure = {
        "type": "ImportSuccess",
        "status": "False",
        "reason": "AbjectFailure",
        "message": "it failed",
        "generation": wanted["failed"],
        "lastTransitionTime": ago(hours=2),
    }
    days = ago(days=2)
    observe(
        tenant,
        "foo",
        history("pushed", event(one, 0, days)),
        history("ref", event(one, wanted["ref"], days), event(two, 1, ago(days=3))),
        history("failed", conditions=[failure]),
    )
    found = {row[0]: row[1:] for row in cells(table(tenant, "imagetags")) if row[0] != "src:c"}
    assert found["foo:pushed"] == ["Push", f"image/{one}", 1, "2 days ago"]
    assert found["foo:ref"] == ["Ref", f"image/{one}", 2, "2 days ago"]
    assert found["foo:sched"] == ["Scheduled", "a/b:c", None, ""]
    assert found["foo:tag"][0] == "Tag"
    assert found["foo:track"] == ["Track", "istag/other", None, ""]
    assert found["foo:failed"] == ["Tag", "ImportFailed (AbjectFailure)", None, "2 hours ago"]


@pytest.mark.case("api 114")
def test_stream_list_table_has_columns_and_metadata(tenant, digest):
    image = digest()
    tenant.stream("app", tag_from("v1", "quay.io/x/y:v1"))
    tenant.push("app", "v1", image)
    found = table(tenant, "imagestreams")
    headings = [column["name"] for column in found["columnDefinitions"]]
    assert headings == ["Name", "Image Repository", "Tags", "Updated"]
    name, repository, tags, updated = cells(found)[0]
    assert (name, repository, tags) == ("app", f"reg.local:5000/{tenant.ns}/app", "v1")
    assert updated.endswith(" ago")
    shown = found["rows"][0]["object"]
    assert shown.keys() == {"kind", "apiVersion", "metadata"}
    assert (shown["kind"], shown["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert shown["metadata"]["namespace"] == tenant.ns
    listed = tenant.get("imagestreams").json()
    assert found["metadata"]["resourceVersion"] == listed["metadata"]["resourceVersion"]


def test_stream_get_table_has_one_row(tenant):
    stored = tenant.stream("app")
    found = table(tenant, "imagestreams", "app")
    assert len(found["rows"]) == 1
    version = stored["metadata"]["resourceVersion"]
    assert found["metadata"] == {"resourceVersion": version}


def test_table_page_has_continue_token(tenant):
    for name in ("a", "b", "c"):
        tenant.stream(name)
    found = table(tenant, "imagestreams", limit=2)
    assert [row[0] for row in cells(found)] == ["a", "b"]
    assert found["metadata"]["remainingItemCount"] == 1
    rest = table(tenant, "imagestreams", limit=2, **{"continue": found["metadata"]["continue"]})
    assert [row[0] for row in cells(rest)] == ["c"]


@pytest.mark.case("api 115")
def test_stream_table_truncates_tags_cell(tenant, digest):
    image, now = digest(), ago(seconds=30)
    tenant.image(image)
    tenant.stream("app")
    tags = ["dry", "m1", "m2", "man", "mlist", "noref", "t1", "track", "weird/tag"]
    observe(tenant, "app", *(history(tag, event(image, 1, now)) for tag in tags))
    [row] = cells(table(tenant, "imagestreams"))
    assert row[2] == "dry,m1,m2,man,mlist,noref,t1,track + 1 more..."


@pytest.mark.case("api 116")
def test_table_rows_include_requested_object(tenant):
    tenant.stream("app")
    none = table(tenant, "imagestreams", includeObject="None")
    assert none["rows"][0]["object"] is None
    whole = table(tenant, "imagestreams", includeObject="Object")["rows"][0]["object"]
    assert whole["kind"] == "ImageStream"
    assert whole["apiVersion"] == "image.openshift.io/v1"
    assert whole["spec"] == {"lookupPolicy": {"local": False}}
    for params in ({"includeObject": "Foo"}, {"includeObject": "Foo", "watch": "1"}):
        response = tenant.get("imagestreams", headers={"Accept": TABLE}, params=params)
        assert response.status_code == 400
        assert response.json()["message"] == (
            'Unable to convert to Table as requested: includeObject: Invalid value: "Foo": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )


@pytest.mark.case("api 117")
def test_table_of_unknown_version_is_not_acceptable(tenant):
    unknown_version = TABLE.replace("v=v1", "v=v2")
    response = tenant.get("imagestreams", headers={"Accept": unknown_version})
    assert (response.status_code, response.json()["reason"]) == (406, "NotAcceptable")
    expected = "only the following media types are accepted: application/json, application/yaml"
    assert response.json()["message"] == expected
    plain = tenant.get("imagestreams", headers={"Accept": f"{unknown_version},application/json"})
    assert plain.json()["kind"] == "ImageStreamList"


@pytest.mark.case("api 118")
@pytest.mark.parametrize(
    ("part", "kind"),
    [("layers", "ImageStreamLayers"), ("secrets", "SecretList"), ("status", "ImageStream")],
)
def test_subresource_without_columns_is_json(tenant, part, kind):
    tenant.stream("app")
    response = tenant.get("imagestreams", f"app/{part}", headers={"Accept": KUBECTL})
    assert response.json()["kind"] == kind


@pytest.mark.case("api 119")
@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "x"])
def test_unsupported_accept_header_is_not_acceptable(tenant, accept):
    response = tenant.get("imagestreams", headers={"Accept": accept})
    assert (response.status_code, response.json()["reason"]) == (406, "NotAcceptable")
    expected = (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
    )
    assert response.json()["message"].startswith(expected)
    assert response.json()["details"] == {}


@pytest.mark.case("api 119")
def test_create_with_unacceptable_accept_header_stores_nothing(tenant):
    headers = {"Accept": "text/html"}
    body = {"metadata": {"name": "app"}}
    assert tenant.post("imagestreams", body, headers=headers).status_code == 406
    assert tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*",
        "application/vnd.kubernetes.protobuf,application/json",
        "text/html, application/json;q=0.9, */*;q=0.8",
        "application/json; charset=utf-8",
    ],
)
def test_accept_header_falls_back_to_json(tenant, accept):
    response = tenant.get("imagestreams", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["kind"] == "ImageStreamList"


@pytest.mark.case("api 120")
def test_yaml_bodies_are_accepted_and_returned(tenant):
    text = (
        "apiVersion: image.openshift.io/v1\nkind: ImageStream\n"
        "metadata:\n  name: app\n  annotations:\n    a: '2026-01-02T03:04:05Z'\n    b: 'yes'\n"
    )
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    response = tenant.admin.post(tenant.path("imagestreams"), content=text, headers=headers)
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/yaml"
    shown = tenant.get("imagestreams", "app", headers={"Accept": "application/yaml"})
    assert yaml.load(shown.text, yaml.BaseLoader)["metadata"]["name"] == "app"
    stored = tenant.get("imagestreams", "app").json()
    annotations = stored["metadata"]["annotations"]
    assert annotations == {"a": "2026-01-02T03:04:05Z", "b": "yes"}
    listed = tenant.get("imagestreams", headers={"Accept": "application/yaml"})
    assert yaml.safe_load(listed.text)["kind"] == "ImageStreamList"


@pytest.mark.case("api 120")
@pytest.mark.parametrize("kind", ["text/yaml", "text/plain", "application/xml"])
def test_unsupported_content_type_is_rejected(tenant, kind):
    headers = {"Content-Type": kind}
    response = tenant.admin.post(tenant.path("imagestreams"), content="{}", headers=headers)
    assert (response.status_code, response.json()["reason"]) == (415, "UnsupportedMediaType")
    assert response.json()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.case("api 120")
@pytest.mark.parametrize("kind", ["", "application/json", "application/json; charset=utf-8"])
def test_json_body_without_content_type_is_accepted(tenant, kind):
    headers = {"Content-Type": kind}
    text = '{"metadata":{"name":"app"}}'
    response = tenant.admin.post(tenant.path("imagestreams"), content=text, headers=headers)
    assert response.status_code == 201


def test_error_status_is_yaml_if_requested(tenant):
    response = tenant.get("imagestreams", "none", headers={"Accept": "application/yaml"})
    assert response.status_code == 404
    assert yaml.safe_load(response.text)["reason"] == "NotFound"


@pytest.mark.case("api 121")
def test_partial_object_metadata_is_returned_if_requested(tenant):
    tenant.stream("app")
    response = tenant.get("imagestreams", headers={"Accept": PARTIAL_LIST})
    body = response.json()
    assert body["kind"] == "PartialObjectMetadataList"
    [item] = body["items"]
    assert item.keys() == {"kind", "apiVersion", "metadata"}
    assert item["kind"] == "PartialObjectMetadata"
    one = tenant.get("imagestreams", "app", headers={"Accept": PARTIAL}).json()
    assert one == item
    wrong = tenant.get("imagestreams", headers={"Accept": PARTIAL})
    assert wrong.status_code == 406
    assert wrong.json()["message"].startswith(
        "you requested PartialObjectMetadata, but the requested object is a list ("
    )
    assert tenant.get("imagestreams", "app", headers={"Accept": PARTIAL_LIST}).status_code == 406


def test_tables_of_other_kinds_have_columns(tenant, digest):
    image = digest()
    tenant.stream("app")
    tenant.push("app", "v1", image)
    row = cells(table(tenant, "imagestreamtags"))[0]
    assert (row[0], row[1], row[3]) == ("app:v1", f"quay.io/x/y@{image}", image)
    row = cells(table(tenant, "imagestreamtags", "app:v1"))[0]
    assert (row[0], row[1], row[3]) == ("app:v1", f"quay.io/x/y@{image}", image)
    row = cells(table(tenant, "imagestreamimages", f"app@{image}"))[0]
    assert (row[2], row[3]) == (f"quay.io/x/y@{image}", image)
    secrets = f"/api/v1/namespaces/{tenant.ns}/secrets"
    tenant.admin.post(secrets, json={"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    headers = {"Accept": KUBECTL}
    [row] = cells(tenant.admin.get(secrets, headers=headers).json())
    assert row[:3] == ["s", "Opaque", 1]
    shown = tenant.admin.get(f"/api/v1/namespaces/{tenant.ns}", headers=headers).json()
    assert cells(shown)[0][:2] == [tenant.ns, "Active"]
    path = f"/apis/project.openshift.io/v1/projects/{tenant.ns}"
    assert cells(tenant.admin.get(path, headers=headers).json())[0] == [tenant.ns, "", "Active"]
