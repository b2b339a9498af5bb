"""Project requests and access reviews about others, on both databases (api-15.2, api-15.5)."""

import threading

import pytest

from api.auth.access_reviews import review_access, review_local_access
from api.projects import create_project, describe_user, review_project_request
from models.access.rbac import Caller, RoleBinding, visible_namespaces
from models.api_errors import BadRequestError, ForbiddenPathError
from models.errors import AlreadyExistsError, ForbiddenError, InvalidObjectError
from models.store.access.namespace_store import load_namespace
from models.store.access.token_store import bind_role, load_bindings
from models.store.database.session import open_engine, transaction, upgrade_database
from tests.integration.store.sample_objects import NOW

IMAGE = "image.openshift.io"
ANN = Caller("ann", bindings=(RoleBinding("self-provisioner"),))


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    upgrade_database(engine)
    yield engine
    engine.dispose()


def request_project(engine, name="mine", caller=ANN, **fields):
    with transaction(engine) as session:
        return create_project(session, {"metadata": {"name": name}, **fields}, caller, now=NOW)


def roles(engine, user):
    with transaction(engine, write=False) as session:
        return load_bindings(session, user, [])


@pytest.mark.case("api 221")
def test_project_request_binds_admin_to_requester(engine):
    assert review_project_request(ANN)[1]["status"] == "Success"
    code, project = request_project(engine, displayName="Mine", description="all of it")
    assert code == 201
    assert (project["kind"], project["apiVersion"]) == ("Project", "project.openshift.io/v1")
    assert project["metadata"]["name"] == "mine"
    assert project["metadata"]["resourceVersion"]
    assert project["metadata"]["annotations"] == {
        "openshift.io/description": "all of it",
        "openshift.io/display-name": "Mine",
        "openshift.io/requester": "ann",
    }
    assert project["spec"] == {"finalizers": ["kubernetes"]}
    assert project["status"] == {"phase": "Active"}
    assert roles(engine, "ann") == (RoleBinding("admin", "mine", subject="ann"),)
    assert visible_namespaces(Caller("ann", bindings=roles(engine, "ann"))) == {"mine"}
    with transaction(engine, write=False) as session:
        namespace = load_namespace(session, "mine")
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "mine"}


def test_project_request_of_existing_project_already_exists(engine):
    request_project(engine)
    bob = Caller("bob", bindings=ANN.bindings)
    with pytest.raises(
        AlreadyExistsError, match=r'^project\.project\.openshift\.io "mine" already'
    ):
        request_project(engine, caller=bob)
    assert roles(engine, "bob") == ()


def test_concurrent_project_requests_have_one_winner(engine):
    outcomes = []

    def attempt(user):
        try:
            outcomes.append(
                (request_project(engine, caller=Caller(user, bindings=ANN.bindings)), user)[1]
            )
        except AlreadyExistsError:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt, args=(user,)) for user in ("ann", "bob", "cid")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    [winner] = [user for user in outcomes if user]
    assert len(outcomes) == 3
    assert [user for user in ("ann", "bob", "cid") if roles(engine, user)] == [winner]


def test_project_request_removes_stale_role_bindings(engine):
    with transaction(engine) as session:
        bind_role(session, "User", "old", "edit", "mine", now=NOW)
    request_project(engine)
    assert roles(engine, "old") == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("openshift", 'with the name "openshift"'),
        ("kube", 'with the name "kube"'),
        ("openshift-infra", 'starting with "openshift-"'),
        ("kubernetes-x", 'starting with "kubernetes-"'),
        ("kube-system", 'starting with "kube-"'),
    ],
)
def test_create_project_of_reserved_name_is_forbidden(engine, name, why):
    with pytest.raises(ForbiddenError) as caught:
        request_project(engine, name)
    assert caught.value.message == (
        f'project.project.openshift.io "{name}" is forbidden: cannot request a project {why}'
    )


def test_create_project_accepts_name_similar_to_reserved(engine):
    assert request_project(engine, "kuber")[0] == 201


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("", {}, "metadata.name"),
        ("Mine", {}, "metadata.name"),
        ("a" * 64, {}, "metadata.name"),
        ("a.b", {}, "metadata.name"),
        ("mine", {"displayName": "a\nb"}, "metadata.annotations[openshift.io/display-name]"),
    ],
)
def test_create_project_reports_invalid_field(engine, name, fields, field):
    with pytest.raises(InvalidObjectError) as caught:
        request_project(engine, name, **fields)
    assert [error.field for error in caught.value.errors] == [field]


@pytest.mark.parametrize("body", [{"metadata": []}, {"metadata": {"name": 7}}, {"displayName": 7}])
def test_create_project_of_wrong_type_is_bad_request(engine, body):
    with pytest.raises(BadRequestError), transaction(engine) as session:
        create_project(session, {"metadata": {"name": "x"}} | body, ANN, now=NOW)


def test_project_request_requires_self_provisioner_role(engine):
    unbound = Caller("guest")
    for attempt in (
        lambda: review_project_request(unbound),
        lambda: request_project(engine, caller=unbound),
    ):
        with pytest.raises(ForbiddenPathError, match=r"^You may not request a new project"):
            attempt()


@pytest.mark.case("api 221")
def test_describe_user_returns_user_of_token():
    assert describe_user(Caller("ann", ("system:authenticated",), uid="u")) == (
        200,
        {
            "kind": "User",
            "apiVersion": "user.openshift.io/v1",
            "metadata": {"name": "ann", "uid": "u"},
            "groups": ["system:authenticated"],
            "identities": None,
        },
    )


def review(engine, spec, namespace=None, metadata=None):
    spec = {
        "resourceAttributes": {"verb": "get", "group": IMAGE, "resource": "imagestreams"}
    } | spec
    body = {"metadata": metadata or {}, "spec": spec}
    with transaction(engine, write=False) as session:
        if namespace is None:
            code, response = review_access(session, body, Caller("root"))
        else:
            code, response = review_local_access(session, body, Caller("root"), namespace)
    assert code == 201
    return response


def pull_attributes(namespace):
    attributes = {"verb": "get", "group": IMAGE, "resource": "imagestreams"}
    return {"resourceAttributes": attributes | {"namespace": namespace}}


def test_access_review_uses_roles_of_user_or_groups(engine):
    with transaction(engine) as session:
        bind_role(session, "User", "ann", "view", "ns1", now=NOW)
        bind_role(session, "Group", "team", "view", "ns2", now=NOW)
    responses = [
        review(engine, {**pull_attributes(namespace), **subject})["status"]["allowed"]
        for namespace in ("ns1", "ns2")
        for subject in ({"user": "ann"}, {"groups": ["team"]}, {"user": "x", "groups": ["y"]})
    ]
    assert responses == [True, False, False, False, True, False]


def test_local_access_review_requires_its_namespace(engine):
    response = review(engine, {**pull_attributes("ns1"), "user": "ann"}, "ns1")
    assert response["metadata"] == {"namespace": "ns1"}
    assert response["status"] == {"allowed": False, "reason": ""}
    with pytest.raises(InvalidObjectError, match=r"must match metadata\.namespace"):
        review(engine, {**pull_attributes("ns2"), "user": "ann"}, "ns1")
    with pytest.raises(BadRequestError, match="must match namespace: ns1"):
        review(engine, {**pull_attributes("ns1"), "user": "ann"}, "ns1", {"namespace": "ns2"})
    path = {"resourceAttributes": None, "nonResourceAttributes": {"path": "/", "verb": "get"}}
    with pytest.raises(InvalidObjectError, match="disallowed on this kind of request"):
        review(engine, {**path, "user": "ann"}, "ns1")


def test_access_review_without_user_or_group_is_invalid(engine):
    with pytest.raises(InvalidObjectError, match="at least one of user or group"):
        review(engine, pull_attributes("ns1"))
