"""Which paths and methods there are, and how much one may send (`api.md` C1, C2, C12, C17 to C19).

Cases 1 to 6, 122 to 125, 222 to 225.
"""

import json
import re

import pytest

from tests.apiserver import IMAGE_API
from tests.integration.api.rooms import tag_from

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


def refusal(answer):
    body = answer.json()
    return body["code"], body["reason"], body["message"], body["details"]


@pytest.mark.case("api 1")
def test_the_image_group_has_eleven_resources(world):
    found = world.admin.get("/apis/image.openshift.io/v1").json()
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
def test_everything_is_discovered_at_once(world):
    accept = f"{AGGREGATED},application/json"
    answer = world.admin.get("/apis", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == AGGREGATED
    assert answer.json()["kind"] == "APIGroupDiscoveryList"
    groups = {each["metadata"]["name"]: each for each in answer.json()["items"]}
    [version] = groups["image.openshift.io"]["versions"]
    resources = {each["resource"]: each for each in version["resources"]}
    streams = resources["imagestreams"]
    assert streams["scope"] == "Namespaced"
    assert streams["shortNames"] == ["is"]
    parts = [each["subresource"] for each in streams["subresources"]]
    assert sorted(parts) == ["layers", "secrets", "status"]
    headers = {"Accept": accept, "If-None-Match": answer.headers["ETag"]}
    assert world.admin.get("/apis", headers=headers).status_code == 304
    core = world.admin.get("/api", headers={"Accept": accept})
    assert core.headers["Content-Type"] == AGGREGATED
    [item] = core.json()["items"]
    assert item["versions"][0]["version"] == "v1"


@pytest.mark.case("api 3")
def test_groups_are_discovered_one_by_one(world):
    found = world.admin.get("/apis", headers={"Accept": "application/json"}).json()
    assert found["kind"] == "APIGroupList"
    groups = {each["name"]: each for each in found["groups"]}
    image = groups["image.openshift.io"]
    expected = {"groupVersion": "image.openshift.io/v1", "version": "v1"}
    assert image["preferredVersion"] == expected
    assert image["versions"] == [expected]
    for name in groups:
        group = world.admin.get(f"/apis/{name}").json()
        assert (group["kind"], group["name"]) == ("APIGroup", name)
        resources = world.admin.get(f"/apis/{name}/v1").json()
        assert (resources["kind"], resources["groupVersion"]) == ("APIResourceList", f"{name}/v1")
    assert world.admin.get("/api").json()["versions"] == ["v1"]
    core = world.admin.get("/api/v1").json()
    assert {each["name"] for each in core["resources"]} >= {"namespaces", "secrets"}


@pytest.mark.case("api 4")
@pytest.mark.parametrize(
    "path", ["/api", "/apis", "/version", "/api/v1", "/apis/image.openshift.io/v1"]
)
def test_a_slash_at_the_end_does_not_matter(world, path):
    plain, slash = world.admin.get(path), world.admin.get(f"{path}/")
    assert (plain.status_code, slash.status_code) == (200, 200)
    assert plain.json() == slash.json()


@pytest.mark.case("api 5")
def test_the_version_is_a_semantic_one(world):
    found = world.admin.get("/version").json()
    assert re.fullmatch(r"v\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?", found["gitVersion"])
    assert all(isinstance(each, str) for each in found.values())
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")


@pytest.mark.case("api 6")
@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_told_to_everybody(world, path):
    answer = world.client().get(path)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["Content-Type"].startswith("text/plain")
    verbose = world.client().get(path, params={"verbose": ""})
    assert verbose.status_code == 200
    assert verbose.text.rstrip().endswith(f"{path[1:]} check passed")


def test_the_index_lists_paths(world):
    assert "/apis/image.openshift.io/v1" in world.admin.get("/").json()["paths"]
    assert world.admin.head("/").status_code == 200


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
def test_a_method_that_makes_no_sense_is_not_allowed(room, method, resource, name):
    room.stream("app")
    answer = room.admin.request(method, room.path(resource, name), json={})
    assert answer.status_code == 405
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert refusal(answer) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.case("api 123")
@pytest.mark.parametrize("resource", ["imagestreammappings", "imagestreamimports"])
def test_what_can_only_be_created_cannot_be_listed(room, resource):
    assert refusal(room.get(resource)) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.case("api 123")
def test_signatures_cannot_be_listed(world):
    answer = world.admin.get(f"{IMAGE_API}/imagesignatures")
    assert refusal(answer) == (405, "MethodNotAllowed", NOT_ALLOWED, {})


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", [f"{IMAGE_API}/imagestreams", "/api/v1/secrets"])
def test_over_all_namespaces_there_are_only_lists(room, method, path):
    """What a slip would delete otherwise."""
    room.stream("kept")
    answer = room.admin.request(method, path, json={"metadata": {"name": "x"}})
    assert refusal(answer) == (405, "MethodNotAllowed", NOT_ALLOWED, {})
    assert room.get("imagestreams", "kept").status_code == 200


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
def test_what_is_not_there_is_not_found(room, path):
    room.stream("app")
    answer = room.admin.get(IMAGE_API + path.format(ns=room.ns))
    assert refusal(answer) == (404, "NotFound", NOT_FOUND, {})


@pytest.mark.parametrize(
    "path",
    ["/apis/image.openshift.io/v2/images", "/apis/image.openshift.io/v2", "/foo", "/apis/x.y/v1/z"],
)
def test_neither_are_other_versions_and_groups(world, path):
    assert refusal(world.admin.get(path)) == (404, "NotFound", NOT_FOUND, {})


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
def test_pruning_finds_no_workloads(world, path):
    found = world.admin.get(path).json()
    assert found["kind"].endswith("List")
    assert found["items"] == []


@pytest.mark.case("api 125")
def test_a_body_has_its_limit(room):
    filler = "x" * 3_200_000
    body = {"metadata": {"name": "app", "annotations": {"a": filler}}}
    answer = room.post("imagestreams", body)
    assert answer.status_code == 413
    assert answer.json()["reason"] == "RequestEntityTooLarge"
    assert answer.json()["message"] == "Request entity too large: limit is 3145728"


@pytest.mark.case("api 125")
def test_a_body_of_unknown_length_has_it_too(room):
    def pieces():
        for _ in range(60):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    answer = room.admin.post(room.path("imagestreams"), content=pieces(), headers=headers)
    assert answer.status_code == 413


def test_a_body_below_the_limit_is_read(room):
    body = {"metadata": {"name": "app"}} | {"spec": {"tags": []}}
    text = json.dumps(body) + " " * 3_000_000
    headers = {"Content-Type": "application/json"}
    answer = room.admin.post(room.path("imagestreams"), content=text, headers=headers)
    assert answer.status_code == 201


@pytest.mark.case("api 222")
def test_openapi_is_kept_by_its_hash(world):
    index = world.admin.get("/openapi/v3")
    entry = index.json()["paths"]["apis/image.openshift.io/v1"]
    url = entry["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/image.openshift.io/v1?hash=")
    headers = {"If-None-Match": index.headers["ETag"]}
    assert world.admin.get("/openapi/v3", headers=headers).status_code == 304
    answer = world.admin.get(url)
    headers = {"If-None-Match": answer.headers["ETag"]}
    assert world.admin.get(url, headers=headers).status_code == 304
    assert "immutable" in answer.headers["Cache-Control"]
    document = answer.json()
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
def test_the_second_openapi_is_an_empty_one(world):
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = world.admin.get("/openapi/v2", headers={"Accept": accept})
    assert answer.status_code == 200
    kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert answer.headers["Content-Type"] == kind
    assert answer.content == b""
    assert world.admin.get("/openapi/v2").json()["swagger"] == "2.0"


@pytest.mark.case("api 224")
def test_names_may_be_percent_encoded(room, digest):
    image = digest()
    room.image(image)
    room.stream("web", tag_from("v1", "quay.io/x/y:v1"))
    assert room.map("web", "v1", image).status_code == 201
    for raw, encoded in (
        (f"imagestreamtags/{'web:v1'}", "imagestreamtags/web%3Av1"),
        (f"imagetags/{'web:v1'}", "imagetags/web%3av1"),
        (
            f"imagestreamimages/web@{image}",
            f"imagestreamimages/web%40{image.replace(':', '%3A')}",
        ),
    ):
        plain, coded = room.get(raw), room.get(encoded)
        assert (plain.status_code, coded.status_code) == (200, 200), raw
        assert plain.json() == coded.json()


def test_an_encoded_slash_stays_inside_a_name(room):
    answer = room.get("imagestreams", "a%2Fstatus")
    assert answer.status_code == 404
    expected = 'imagestreams.image.openshift.io "a/status" not found'
    assert answer.json()["message"] == expected


@pytest.mark.parametrize("tail", ["imagestreams/%00", "imagestreams/%ff", "imagestreams/a%00b"])
def test_a_path_that_is_no_text_is_a_bad_request(room, tail):
    assert room.get(tail).status_code == 400


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
def test_a_delete_takes_options_or_none(room, sent):
    room.stream("app")
    assert room.delete("imagestreams", "app", **sent).status_code == 200
    assert room.get("imagestreams", "app").status_code == 404


def test_a_get_may_say_a_content_type(room):
    headers = {"Content-Type": "application/json"}
    assert room.get("imagestreams", headers=headers).status_code == 200


def test_what_nobody_knows_in_a_query_is_ignored(room):
    assert room.get("imagestreams", params={"foo": "bar", "pretty": "true"}).status_code == 200


def test_every_answer_has_the_headers_of_its_kind(room):
    answer = room.get("imagestreams")
    assert answer.headers["Audit-Id"]
    assert answer.headers["Cache-Control"] == "no-cache, private"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Date"]
    assert answer.text.endswith("}\n")
    assert "\n" not in answer.text[:-1]
