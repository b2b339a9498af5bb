"""Paths, methods, body limit, discovery and OpenAPI (api-2.2, api-2.4, api-14.1, api-14.3)."""

import json
import re

import pytest

from tests.api_test_server import IMAGE_API
from tests.integration.api.tenant import tag_from

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VIRTUAL = ["create", "delete", "get", "list", "patch", "update"]
# name, kind, namespaced, singular, short names, categories, verbs
ROWS = [
    ("images", "Image", False, "image", [], [], ALL),
    ("imagesignatures", "ImageSignature", False, "imagesignature", [], [], ["create", "delete"]),
    ("imagestreamimages", "ImageStreamImage", True, "imagestreamimage", ["isimage"], [], ["get"]),
    ("imagestreamimports", "ImageStreamImport", True, "imagestreamimport", [], [], ["create"]),
    ("imagestreammappings", "ImageStreamMapping", True, "imagestreammapping", [], [], ["create"]),
    ("imagestreams", "ImageStream", True, "imagestream", ["is"], ["all"], ALL),
    ("imagestreams/layers", "ImageStreamLayers", True, "", [], [], ["get"]),
    ("imagestreams/secrets", "SecretList", True, "", [], [], ["get"]),
    ("imagestreams/status", "ImageStream", True, "", [], [], ["get", "patch", "update"]),
    ("imagestreamtags", "ImageStreamTag", True, "imagestreamtag", ["istag"], [], VIRTUAL),
    ("imagetags", "ImageTag", True, "imagetag", ["itag"], [], VIRTUAL),
]
NOT_ALLOWED = "the server does not allow this method on the requested resource"
NOT_FOUND = "the server could not find the requested resource"


def refusal(response):
    body = response.json()
    return body["code"], body["reason"], body["message"], body["details"]


@pytest.mark.case("api 1")
def test_image_group_discovery_lists_eleven_resources(api_server):
    found = api_server.admin.get("/apis/image.openshift.io/v1").json()
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "image.openshift.io/v1")
    rows = [
        (
            each["name"],
            each["kind"],
            each["namespaced"],
            each["singularName"],
            each.get("shortNames", []),
            each.get("categories", []),
            each["verbs"],
        )
        for each in found["resources"]
    ]
    assert sorted(rows) == sorted(ROWS)


@pytest.mark.case("api 2")
def test_aggregated_discovery_is_served_with_etag(api_server):
    accept = f"{AGGREGATED},application/json"
    response = api_server.admin.get("/apis", headers={"Accept": accept})
    assert response.headers["Content-Type"] == AGGREGATED
    assert response.json()["kind"] == "APIGroupDiscoveryList"
    groups = {each["metadata"]["name"]: each for each in response.json()["items"]}
    [version] = groups["image.openshift.io"]["versions"]
    resources = {each["resource"]: each for each in version["resources"]}
    streams = resources["imagestreams"]
    assert streams["scope"] == "Namespaced"
    assert streams["shortNames"] == ["is"]
    parts = [each["subresource"] for each in streams["subresources"]]
    assert sorted(parts) == ["layers", "secrets", "status"]
    headers = {"Accept": accept, "If-None-Match": response.headers["ETag"]}
    assert api_server.admin.get("/apis", headers=headers).status_code == 304
    core = api_server.admin.get("/api", headers={"Accept": accept})
    assert core.headers["Content-Type"] == AGGREGATED
    [item] = core.json()["items"]
    assert item["versions"][0]["version"] == "v1"


@pytest.mark.case("api 3")
def test_unaggregated_discovery_lists_each_group(api_server):
    found = api_server.admin.get("/apis", headers={"Accept": "application/json"}).json()
    assert found["kind"] == "APIGroupList"
    groups = {each["name"]: each for each in found["groups"]}
    image = groups["image.openshift.io"]
    expected = {"groupVersion": "image.openshift.io/v1", "version": "v1"}
    assert image["preferredVersion"] == expected
    assert image["versions"] == [expected]
    for name in groups:
        group = api_server.admin.get(f"/apis/{name}").json()
        assert (group["kind"], group["name"]) == ("APIGroup", name)
        resources = api_server.admin.get(f"/apis/{name}/v1").json()
        assert (resources["kind"], resources["groupVersion"]) == ("APIResourceList", f"{name}/v1")
    assert api_server.admin.get("/api").json()["versions"] == ["v1"]
    core = api_server.admin.get("/api/v1").json()
    assert {each["name"] for each in core["resources"]} >= {"namespaces", "secrets"}


@pytest.mark.case("api 4")
@pytest.mark.parametrize(
    "path", ["/api", "/apis", "/version", "/api/v1", "/apis/image.openshift.io/v1"]
)
def test_discovery_path_with_trailing_slash_is_equivalent(api_server, path):
    plain, slash = api_server.admin.get(path), api_server.admin.get(f"{path}/")
    assert (plain.status_code, slash.status_code) == (200, 200)
    assert plain.json() == slash.json()


@pytest.mark.case("api 5")
def test_version_endpoint_returns_semantic_version(api_server):
    found = api_server.admin.get("/version").json()
    assert re.fullmatch(r"v\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?", found["gitVersion"])
    assert all(isinstance(each, str) for each in found.values())
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")


@pytest.mark.case("api 6")
@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_endpoints_need_no_authentication(api_server, path):
    response = api_server.client().get(path)
    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["Content-Type"].startswith("text/plain")
    verbose = api_server.client().get(path, params={"verbose": ""})
    assert verbose.status_code == 200
    assert verbose.text.rstrip().endswith(f"{path[1:]} check passed")


def test_index_lists_paths(api_server):
    assert "/apis/image.openshift.io/v1" in api_server.admin.get("/").json()["paths"]
    assert api_server.admin.head("/").status_code == 200


@pytest.mark.case("api 122")
@pytest.mark.parametrize(
    ("method", "resource", "name"),
    [
        ("HEAD", "imagestreams", ""),
        ("OPTIONS", "imagestreams", ""),
        ("PUT", "imagestreams", ""),
        ("PATCH", "imagestreams", ""),
        ("POST", "imagestreams", "app"),
        ("POST", "imagestreamtags", "app:v1"),
        ("HEAD", "imagestreams", "app"),
        ("DELETE", "imagestreamtags", ""),
        ("TRACE", "imagestreams", ""),
    ],
)
def test_unsupported_method_is_not_allowed(tenant, method, resource, name):
    tenant.stream("app")
    response = tenant.admin.request(method, tenant.path(resource, name), json={})
    assert response.status_code == 405
    if method == "HEAD":
        assert response.content == b""
    else:
        assert refusal(response) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.case("api 123")
@pytest.mark.parametrize("resource", ["imagestreammappings", "imagestreamimports"])
def test_create_only_resource_cannot_be_listed(tenant, resource):
    assert refusal(tenant.get(resource)) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.case("api 123")
def test_imagesignatures_cannot_be_listed(api_server):
    response = api_server.admin.get(f"{IMAGE_API}/imagesignatures")
    assert refusal(response) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", [f"{IMAGE_API}/imagestreams", "/api/v1/secrets"])
def test_write_over_all_namespaces_is_not_allowed(tenant, method, path):
    """A mistyped request would otherwise delete the objects of all namespaces."""
    tenant.stream("remaining")
    response = tenant.admin.request(method, path, json={"metadata": {"name": "x"}})
    assert refusal(response) == (405, "MethodNotAllowed", NOT_ALLOWED, {})
    assert tenant.get("imagestreams", "remaining").status_code == 200


@pytest.mark.case("api 124")
@pytest.mark.parametrize(
    "path",
    [
        "/namespaces/{ns}/imagestreamimages",
        "/watch/imagestreamtags",
        "/watch/imagestreamtags/app:v1",
        "/watch/foos",
        "/namespaces/{ns}/foos",
        "/namespaces/{ns}",
        "/namespaces/{ns}/imagestreams/app/foo",
        "/namespaces/{ns}/imagestreams/app/status/more",
        "/namespaces/{ns}/imagestreammappings/x",
        "/namespaces/{ns}/images",
        "/imagestreams/app",
        "/foos",
    ],
)
def test_unknown_resource_path_is_not_found(tenant, path):
    tenant.stream("app")
    response = tenant.admin.get(IMAGE_API + path.format(ns=tenant.ns))
    assert refusal(response) == (404, "NotFound", NOT_FOUND, {})


@pytest.mark.parametrize(
    "path",
    ["/apis/image.openshift.io/v2/images", "/apis/image.openshift.io/v2", "/foo", "/apis/x.y/v1/z"],
)
def test_unknown_version_or_group_is_not_found(api_server, path):
    assert refusal(api_server.admin.get(path)) == (404, "NotFound", NOT_FOUND, {})


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/pods",
        "/api/v1/replicationcontrollers",
        "/api/v1/limitranges",
        "/apis/apps/v1/deployments",
        "/apis/batch/v1/cronjobs",
    ],
)
def test_workload_lists_for_pruning_are_empty(api_server, path):
    found = api_server.admin.get(path).json()
    assert found["kind"].endswith("List")
    assert found["items"] == []


@pytest.mark.case("api 125")
def test_body_over_limit_is_too_large(tenant):
    filler = "x" * 3_200_000
    body = {"metadata": {"name": "app", "annotations": {"a": filler}}}
    response = tenant.post("imagestreams", body)
    assert response.status_code == 413
    assert response.json()["reason"] == "RequestEntityTooLarge"
    assert response.json()["message"] == "Request entity too large: limit is 3145728"


@pytest.mark.case("api 125")
def test_chunked_body_over_limit_is_too_large(tenant):
    def chunks():
        for _ in range(60):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    response = tenant.admin.post(tenant.path("imagestreams"), content=chunks(), headers=headers)
    assert response.status_code == 413


def test_body_below_limit_is_accepted(tenant):
    body = {"metadata": {"name": "app"}} | {"spec": {"tags": []}}
    text = json.dumps(body) + " " * 3_000_000
    headers = {"Content-Type": "application/json"}
    response = tenant.admin.post(tenant.path("imagestreams"), content=text, headers=headers)
    assert response.status_code == 201


@pytest.mark.case("api 222")
def test_openapi_v3_is_served_with_hash_and_etag(api_server):
    index = api_server.admin.get("/openapi/v3")
    entry = index.json()["paths"]["apis/image.openshift.io/v1"]
    url = entry["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/image.openshift.io/v1?hash=")
    headers = {"If-None-Match": index.headers["ETag"]}
    assert api_server.admin.get("/openapi/v3", headers=headers).status_code == 304
    response = api_server.admin.get(url)
    headers = {"If-None-Match": response.headers["ETag"]}
    assert api_server.admin.get(url, headers=headers).status_code == 304
    assert "immutable" in response.headers["Cache-Control"]
    document = response.json()
    path = document["paths"][f"{IMAGE_API}/namespaces/{{namespace}}/imagestreams/{{name}}"]
    patch = path["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "image.openshift.io",
        "version": "v1",
        "kind": "ImageStream",
    }
    parameters = {(each["name"], each["in"]) for each in patch["parameters"]}
    assert ("fieldValidation", "query") in parameters
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


@pytest.mark.case("api 223")
def test_openapi_v2_is_empty(api_server):
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    response = api_server.admin.get("/openapi/v2", headers={"Accept": accept})
    assert response.status_code == 200
    kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert response.headers["Content-Type"] == kind
    assert response.content == b""
    assert api_server.admin.get("/openapi/v2").json()["swagger"] == "2.0"


@pytest.mark.case("api 224")
def test_percent_encoded_names_are_equivalent(tenant, digest):
    image = digest()
    tenant.image(image)
    tenant.stream("web", tag_from("v1", "quay.io/x/y:v1"))
    assert tenant.push("web", "v1", image).status_code == 201
    for raw, encoded in (
        (f"imagestreamtags/{'web:v1'}", "imagestreamtags/web%3Av1"),
        (f"imagetags/{'web:v1'}", "imagetags/web%3av1"),
        (
            f"imagestreamimages/web@{image}",
            f"imagestreamimages/web%40{image.replace(':', '%3A')}",
        ),
    ):
        plain, coded = tenant.get(raw), tenant.get(encoded)
        assert (plain.status_code, coded.status_code) == (200, 200), raw
        assert plain.json() == coded.json()


def test_encoded_slash_belongs_to_name(tenant):
    response = tenant.get("imagestreams", "a%2Fstatus")
    assert response.status_code == 404
    expected = 'imagestreams.image.openshift.io "a/status" not found'
    assert response.json()["message"] == expected


@pytest.mark.parametrize("tail", ["imagestreams/%00", "imagestreams/%ff", "imagestreams/a%00b"])
def test_path_with_invalid_characters_is_bad_request(tenant, tail):
    assert tenant.get(tail).status_code == 400


@pytest.mark.case("api 225")
@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"kind": "DeleteOptions", "apiVersion": "image.openshift.io/v1"}},
        {"json": {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}},
        {"json": {}},
        {"headers": {"Content-Type": "application/json"}},
        {},
    ],
)
def test_delete_accepts_options_or_no_body(tenant, sent):
    tenant.stream("app")
    assert tenant.delete("imagestreams", "app", **sent).status_code == 200
    assert tenant.get("imagestreams", "app").status_code == 404


def test_get_accepts_content_type_header(tenant):
    headers = {"Content-Type": "application/json"}
    assert tenant.get("imagestreams", headers=headers).status_code == 200


def test_unknown_query_parameters_are_ignored(tenant):
    assert tenant.get("imagestreams", params={"foo": "bar", "pretty": "true"}).status_code == 200


def test_response_has_standard_headers(tenant):
    response = tenant.get("imagestreams")
    assert response.headers["Audit-Id"]
    assert response.headers["Cache-Control"] == "no-cache, private"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Date"]
    assert response.text.endswith("}\n")
    assert "\n" not in response.text[:-1]
