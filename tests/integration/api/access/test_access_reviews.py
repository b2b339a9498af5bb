"""Access reviews, users and projects over HTTP (api-15.2, api-15.4, api-15.5, api-15.6)."""

import pytest

from tests.unit.api.codec.test_protobuf_decoder import EMPTY, PROTOBUF, envelope, message

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
REVIEWS = f"{AUTHORIZATION}/selfsubjectaccessreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PROJECTS = "/apis/project.openshift.io/v1/projects"
REQUESTS = "/apis/project.openshift.io/v1/projectrequests"
PB = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
IMAGE = "image.openshift.io"


def layers(namespace, **more):
    return {
        "namespace": namespace,
        "verb": "get",
        "group": IMAGE,
        "resource": "imagestreams",
        "subresource": "layers",
        **more,
    }


def may(client, **attributes):
    response = client.post(REVIEWS, json={"spec": {"resourceAttributes": attributes}})
    assert response.status_code == 201, response.text
    status = response.json()["status"]
    assert "denied" not in status
    return status["allowed"]


@pytest.mark.case("api 219")
def test_self_review_denies_pull_to_viewer_and_allows_puller(tenant):
    viewer = tenant.user(("view", tenant.ns))
    puller = tenant.user(("puller", tenant.ns), name=f"{tenant.user_name}-p")
    one = tenant.user(("puller", tenant.ns, "app"), name=f"{tenant.user_name}-o")
    assert not may(viewer, **layers(tenant.ns))
    assert may(puller, **layers(tenant.ns))
    assert not may(puller, **layers(tenant.other))
    assert may(one, **layers(tenant.ns, name="app"))
    assert not may(one, **layers(tenant.ns, name="web"))
    assert may(tenant.admin, verb="*", group="*", resource="*")
    assert not may(viewer, verb="*", group="*", resource="*")


@pytest.mark.case("api 219")
def test_self_review_accepts_protobuf_of_kubectl(tenant):
    attributes = message(
        (1, tenant.ns), (2, "get"), (3, IMAGE), (4, ""), (5, "imagestreams"), (6, "layers"), (7, "")
    )
    raw = message((1, message(*EMPTY)), (2, message((1, attributes))), (3, message((1, False))))
    body = envelope("SelfSubjectAccessReview", raw, version="authorization.k8s.io/v1")
    for role, expected in (("view", False), ("puller", True)):
        client = tenant.user((role, tenant.ns), name=f"{tenant.user_name}-{role}")
        response = client.post(REVIEWS, content=body, headers=PB)
        assert response.status_code == 201
        assert response.headers["Content-Type"] == "application/json"
        found = response.json()
        assert found["kind"] == "SelfSubjectAccessReview"
        assert found["apiVersion"] == "authorization.k8s.io/v1"
        assert found["status"]["allowed"] is expected


def test_self_review_of_path_returns_allowed(tenant):
    viewer = tenant.user(("view", tenant.ns))
    for path, expected in (("/version", True), ("/metrics", False)):
        spec = {"nonResourceAttributes": {"verb": "get", "path": path}}
        response = viewer.post(REVIEWS, json={"spec": spec})
        assert response.json()["status"]["allowed"] is expected


def test_self_review_without_attributes_is_invalid(tenant):
    response = tenant.admin.post(REVIEWS, json={"spec": {}})
    assert response.status_code == 422


def test_self_rules_review_lists_rules_of_namespace(tenant):
    viewer = tenant.user(("view", tenant.ns))
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    raw = message((1, message(*EMPTY)), (2, message((1, tenant.ns))))
    body = envelope("SelfSubjectRulesReview", raw, version="authorization.k8s.io/v1")
    by_protobuf = viewer.post(path, content=body, headers=PB)
    by_json = viewer.post(path, json={"spec": {"namespace": tenant.ns}})
    assert (by_protobuf.status_code, by_json.status_code) == (201, 201)
    status = by_json.json()["status"]
    assert by_protobuf.json()["status"] == status
    assert status["incomplete"] is False
    seen = [rule for rule in status["resourceRules"] if "imagestreams" in rule["resources"]]
    assert any({"get", "list", "watch"} <= set(rule["verbs"]) for rule in seen)
    assert not any("create" in rule["verbs"] for rule in seen)
    assert status["nonResourceRules"][0]["verbs"] == ["get"]


def test_access_review_of_others_requires_permission(tenant):
    viewer = tenant.user(("view", tenant.ns))
    spec = {"user": tenant.user_name, "resourceAttributes": layers(tenant.ns)}
    everywhere = f"{AUTHORIZATION}/subjectaccessreviews"
    local = f"{AUTHORIZATION}/namespaces/{tenant.ns}/localsubjectaccessreviews"
    for path in (everywhere, local):
        response = tenant.admin.post(path, json={"spec": spec})
        assert response.status_code == 201, response.text
        assert response.json()["status"]["allowed"] is False
        assert viewer.post(path, json={"spec": spec}).status_code == 403
    spec["resourceAttributes"] = layers(tenant.other)
    assert tenant.admin.post(local, json={"spec": spec}).status_code == 422


@pytest.mark.case("api 220")
def test_self_subject_review_returns_user_info(tenant):
    unbound = tenant.user()
    body = envelope("SelfSubjectReview", message((1, b"")), version="authentication.k8s.io/v1")
    response = unbound.post(SELF, content=body, headers=PB)
    assert response.status_code == 201
    found = response.json()
    assert (found["kind"], found["apiVersion"]) == (
        "SelfSubjectReview",
        "authentication.k8s.io/v1",
    )
    info = found["status"]["userInfo"]
    assert info["username"] == tenant.user_name
    assert "system:authenticated" in info["groups"]
    assert tenant.admin.get(SELF).status_code == 405


@pytest.mark.case("api 221")
def test_user_tilde_returns_current_user(tenant):
    found = tenant.user().get("/apis/user.openshift.io/v1/users/~").json()
    assert (found["kind"], found["apiVersion"]) == ("User", "user.openshift.io/v1")
    assert found["metadata"]["name"] == tenant.user_name
    assert "system:authenticated" in found["groups"]
    assert found["identities"] is None


@pytest.mark.case("api 221")
def test_project_request_makes_requester_its_admin(tenant):
    member = tenant.user()
    requestable = member.get(REQUESTS)
    assert requestable.status_code == 200
    assert (requestable.json()["kind"], requestable.json()["status"]) == ("Status", "Success")
    name = f"{tenant.ns}-mine"
    body = {"metadata": {"name": name}, "displayName": "Mine", "description": "all of it"}
    made = member.post(REQUESTS, json=body)
    assert made.status_code == 201
    assert made.json()["kind"] == "Project"
    assert made.json()["metadata"]["annotations"] == {
        "openshift.io/requester": tenant.user_name,
        "openshift.io/display-name": "Mine",
        "openshift.io/description": "all of it",
    }
    listed = member.get(PROJECTS).json()
    assert listed["kind"] == "ProjectList"
    assert [each["metadata"]["name"] for each in listed["items"]] == [name]
    assert member.get(f"{PROJECTS}/{name}").json()["status"] == {"phase": "Active"}
    stream = {"metadata": {"name": "app"}}
    assert member.post(tenant.path("imagestreams", ns=name), json=stream).status_code == 201
    secret = {"metadata": {"name": "s"}}
    assert member.post(f"/api/v1/namespaces/{name}/secrets", json=secret).status_code == 201
    again = member.post(REQUESTS, json=body)
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    expected = f'project.project.openshift.io "{name}" already exists'
    assert again.json()["message"] == expected
    assert member.delete(f"{PROJECTS}/{name}").status_code == 200
    assert tenant.admin.get(f"/api/v1/namespaces/{name}").status_code == 404


@pytest.mark.case("api 221")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("openshift", 'with the name "openshift"'),
        ("kube", 'with the name "kube"'),
        ("openshift-infra", 'starting with "openshift-"'),
    ],
)
def test_project_request_of_reserved_name_is_forbidden(api_server, name, why):
    response = api_server.admin.post(REQUESTS, json={"metadata": {"name": name}})
    assert response.status_code == 403
    assert response.json()["message"].endswith(f"cannot request a project {why}")


@pytest.mark.case("api 221")
def test_project_list_contains_only_namespaces_with_role(tenant):
    viewer = tenant.user(("view", tenant.ns))
    listed = viewer.get(PROJECTS).json()
    assert [each["metadata"]["name"] for each in listed["items"]] == [tenant.ns]
    assert viewer.get(f"{PROJECTS}/{tenant.ns}").status_code == 200
    assert viewer.get(f"{PROJECTS}/{tenant.other}").status_code == 403
    assert viewer.delete(f"{PROJECTS}/{tenant.ns}").status_code == 403
    everything = tenant.admin.get(PROJECTS).json()["items"]
    assert {tenant.ns, tenant.other} <= {each["metadata"]["name"] for each in everything}
    missing = tenant.admin.get(f"{PROJECTS}/none")
    assert missing.status_code == 404
    assert missing.json()["message"] == 'projects.project.openshift.io "none" not found'


def test_oauth_metadata_path_is_not_found(tenant):
    response = tenant.admin.get("/.well-known/oauth-authorization-server")
    assert response.status_code == 404


def names(response):
    assert response.status_code == 200, response.text
    return [each["metadata"]["name"] for each in response.json()["items"]]


def test_project_field_selector_hides_projects_without_role(tenant):
    viewer = tenant.user(("view", tenant.ns))
    mine, other = ({"fieldSelector": f"metadata.name={n}"} for n in (tenant.ns, tenant.other))
    assert names(viewer.get(PROJECTS, params=mine)) == [tenant.ns]
    assert names(viewer.get(PROJECTS, params=other)) == []
    watch = {"watch": "1", "timeoutSeconds": "1"}
    assert viewer.get(PROJECTS, params=other | watch).text == ""
    assert viewer.get(PROJECTS, params=mine | watch).text.count("\n") == 1


def test_project_pages_are_of_one_snapshot_and_caller(tenant):
    viewer = tenant.user(("view", tenant.ns), ("view", tenant.other))
    first = viewer.get(PROJECTS, params={"limit": 1})
    assert names(first) == [tenant.ns]
    metadata = first.json()["metadata"]
    name = f"{tenant.ns}-new"
    tenant.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    second = viewer.get(PROJECTS, params={"limit": 1, "continue": metadata["continue"]})
    assert names(second) == [tenant.other]
    assert "continue" not in second.json()["metadata"]
    then = {"resourceVersion": metadata["resourceVersion"], "resourceVersionMatch": "Exact"}
    assert names(viewer.get(PROJECTS, params=then)) == [tenant.ns, tenant.other]
    item = viewer.get(PROJECTS, params=then).json()["items"][0]
    assert item["status"] == {"phase": "Active"}
