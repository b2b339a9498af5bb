"""May I, who am I, what is mine: reviews, users, projects (`api.md` C20, C21): cases 219 to 221."""

import pytest

from tests.unit.api.test_protobuf_bodies import EMPTY, PROTOBUF, envelope, message

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
    answer = client.post(REVIEWS, json={"spec": {"resourceAttributes": attributes}})
    assert answer.status_code == 201, answer.text
    status = answer.json()["status"]
    assert "denied" not in status
    return status["allowed"]


@pytest.mark.case("api 219")
def test_a_viewer_may_not_pull_and_a_puller_may(room):
    viewer = room.user(("view", room.ns))
    puller = room.user(("puller", room.ns), name=f"{room.who}-p")
    one = room.user(("puller", room.ns, "app"), name=f"{room.who}-o")
    assert not may(viewer, **layers(room.ns))
    assert may(puller, **layers(room.ns))
    assert not may(puller, **layers(room.other))
    assert may(one, **layers(room.ns, name="app"))
    assert not may(one, **layers(room.ns, name="web"))
    assert may(room.admin, verb="*", group="*", resource="*")
    assert not may(viewer, verb="*", group="*", resource="*")


@pytest.mark.case("api 219")
def test_kubectl_asks_in_protobuf(room):
    attributes = message(
        (1, room.ns), (2, "get"), (3, IMAGE), (4, ""), (5, "imagestreams"), (6, "layers"), (7, "")
    )
    raw = message((1, message(*EMPTY)), (2, message((1, attributes))), (3, message((1, False))))
    body = envelope("SelfSubjectAccessReview", raw, version="authorization.k8s.io/v1")
    for role, expected in (("view", False), ("puller", True)):
        client = room.user((role, room.ns), name=f"{room.who}-{role}")
        answer = client.post(REVIEWS, content=body, headers=PB)
        assert answer.status_code == 201
        assert answer.headers["Content-Type"] == "application/json"
        found = answer.json()
        assert found["kind"] == "SelfSubjectAccessReview"
        assert found["apiVersion"] == "authorization.k8s.io/v1"
        assert found["status"]["allowed"] is expected


def test_a_path_may_be_asked_about(room):
    viewer = room.user(("view", room.ns))
    for path, expected in (("/version", True), ("/metrics", False)):
        spec = {"nonResourceAttributes": {"verb": "get", "path": path}}
        answer = viewer.post(REVIEWS, json={"spec": spec})
        assert answer.json()["status"]["allowed"] is expected


def test_a_review_of_nothing_is_invalid(room):
    answer = room.admin.post(REVIEWS, json={"spec": {}})
    assert answer.status_code == 422


def test_rules_are_told(room):
    viewer = room.user(("view", room.ns))
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    raw = message((1, message(*EMPTY)), (2, message((1, room.ns))))
    body = envelope("SelfSubjectRulesReview", raw, version="authorization.k8s.io/v1")
    told = viewer.post(path, content=body, headers=PB)
    said = viewer.post(path, json={"spec": {"namespace": room.ns}})
    assert (told.status_code, said.status_code) == (201, 201)
    status = said.json()["status"]
    assert told.json()["status"] == status
    assert status["incomplete"] is False
    seen = [rule for rule in status["resourceRules"] if "imagestreams" in rule["resources"]]
    assert any({"get", "list", "watch"} <= set(rule["verbs"]) for rule in seen)
    assert not any("create" in rule["verbs"] for rule in seen)
    assert status["nonResourceRules"][0]["verbs"] == ["get"]


def test_only_those_who_may_ask_about_others(room):
    viewer = room.user(("view", room.ns))
    spec = {"user": room.who, "resourceAttributes": layers(room.ns)}
    everywhere = f"{AUTHORIZATION}/subjectaccessreviews"
    local = f"{AUTHORIZATION}/namespaces/{room.ns}/localsubjectaccessreviews"
    for path in (everywhere, local):
        answer = room.admin.post(path, json={"spec": spec})
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"]["allowed"] is False
        assert viewer.post(path, json={"spec": spec}).status_code == 403
    spec["resourceAttributes"] = layers(room.other)
    assert room.admin.post(local, json={"spec": spec}).status_code == 422


@pytest.mark.case("api 220")
def test_everybody_may_ask_who_they_are(room):
    nobody = room.user()
    body = envelope("SelfSubjectReview", message((1, b"")), version="authentication.k8s.io/v1")
    answer = nobody.post(SELF, content=body, headers=PB)
    assert answer.status_code == 201
    found = answer.json()
    assert (found["kind"], found["apiVersion"]) == (
        "SelfSubjectReview",
        "authentication.k8s.io/v1",
    )
    info = found["status"]["userInfo"]
    assert info["username"] == room.who
    assert "system:authenticated" in info["groups"]
    assert room.admin.get(SELF).status_code == 405


@pytest.mark.case("api 221")
def test_a_user_is_who_they_are(room):
    found = room.user().get("/apis/user.openshift.io/v1/users/~").json()
    assert (found["kind"], found["apiVersion"]) == ("User", "user.openshift.io/v1")
    assert found["metadata"]["name"] == room.who
    assert "system:authenticated" in found["groups"]
    assert found["identities"] is None


@pytest.mark.case("api 221")
def test_a_project_belongs_to_whoever_asked_for_it(room):
    member = room.user()
    asked = member.get(REQUESTS)
    assert asked.status_code == 200
    assert (asked.json()["kind"], asked.json()["status"]) == ("Status", "Success")
    name = f"{room.ns}-mine"
    body = {"metadata": {"name": name}, "displayName": "Mine", "description": "all of it"}
    made = member.post(REQUESTS, json=body)
    assert made.status_code == 201
    assert made.json()["kind"] == "Project"
    assert made.json()["metadata"]["annotations"] == {
        "openshift.io/requester": room.who,
        "openshift.io/display-name": "Mine",
        "openshift.io/description": "all of it",
    }
    listed = member.get(PROJECTS).json()
    assert listed["kind"] == "ProjectList"
    assert [each["metadata"]["name"] for each in listed["items"]] == [name]
    assert member.get(f"{PROJECTS}/{name}").json()["status"] == {"phase": "Active"}
    stream = {"metadata": {"name": "app"}}
    assert member.post(room.path("imagestreams", ns=name), json=stream).status_code == 201
    secret = {"metadata": {"name": "s"}}
    assert member.post(f"/api/v1/namespaces/{name}/secrets", json=secret).status_code == 201
    again = member.post(REQUESTS, json=body)
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    expected = f'project.project.openshift.io "{name}" already exists'
    assert again.json()["message"] == expected
    assert member.delete(f"{PROJECTS}/{name}").status_code == 200
    assert room.admin.get(f"/api/v1/namespaces/{name}").status_code == 404


@pytest.mark.case("api 221")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("openshift", 'with the name "openshift"'),
        ("kube", 'with the name "kube"'),
        ("openshift-infra", 'starting with "openshift-"'),
    ],
)
def test_some_names_are_not_given_away(world, name, why):
    answer = world.admin.post(REQUESTS, json={"metadata": {"name": name}})
    assert answer.status_code == 403
    assert answer.json()["message"].endswith(f"cannot request a project {why}")


@pytest.mark.case("api 221")
def test_projects_are_those_that_one_has_a_role_in(room):
    viewer = room.user(("view", room.ns))
    listed = viewer.get(PROJECTS).json()
    assert [each["metadata"]["name"] for each in listed["items"]] == [room.ns]
    assert viewer.get(f"{PROJECTS}/{room.ns}").status_code == 200
    assert viewer.get(f"{PROJECTS}/{room.other}").status_code == 403
    assert viewer.delete(f"{PROJECTS}/{room.ns}").status_code == 403
    everything = room.admin.get(PROJECTS).json()["items"]
    assert {room.ns, room.other} <= {each["metadata"]["name"] for each in everything}
    missing = room.admin.get(f"{PROJECTS}/none")
    assert missing.status_code == 404
    assert missing.json()["message"] == 'projects.project.openshift.io "none" not found'


def test_password_login_is_not_offered(room):
    answer = room.admin.get("/.well-known/oauth-authorization-server")
    assert answer.status_code == 404


def names(answer):
    assert answer.status_code == 200, answer.text
    return [each["metadata"]["name"] for each in answer.json()["items"]]


def test_a_project_that_one_has_no_role_in_is_not_found_by_its_name_either(room):
    viewer = room.user(("view", room.ns))
    mine, other = ({"fieldSelector": f"metadata.name={n}"} for n in (room.ns, room.other))
    assert names(viewer.get(PROJECTS, params=mine)) == [room.ns]
    assert names(viewer.get(PROJECTS, params=other)) == []
    watch = {"watch": "1", "timeoutSeconds": "1"}
    assert viewer.get(PROJECTS, params=other | watch).text == ""
    assert viewer.get(PROJECTS, params=mine | watch).text.count("\n") == 1


def test_pages_of_projects_are_of_one_moment_and_ones_own(room):
    viewer = room.user(("view", room.ns), ("view", room.other))
    first = viewer.get(PROJECTS, params={"limit": 1})
    assert names(first) == [room.ns]
    metadata = first.json()["metadata"]
    name = f"{room.ns}-new"
    room.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    second = viewer.get(PROJECTS, params={"limit": 1, "continue": metadata["continue"]})
    assert names(second) == [room.other]
    assert "continue" not in second.json()["metadata"]
    then = {"resourceVersion": metadata["resourceVersion"], "resourceVersionMatch": "Exact"}
    assert names(viewer.get(PROJECTS, params=then)) == [room.ns, room.other]
    item = viewer.get(PROJECTS, params=then).json()["items"][0]
    assert item["status"] == {"phase": "Active"}
