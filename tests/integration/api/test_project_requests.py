"""Projects asked for, and reviews about others, on both databases."""

import threading

import pytest

from api.auth.access_reviews import review_access, review_local_access
from api.projects import describe_user, may_request_project, request_project
from models.access.rbac import Binding, Caller, visible_namespaces
from models.api_errors import BadRequestError, ForbiddenPathError
from models.errors import AlreadyExistsError, ForbiddenError, InvalidObjectError
from models.store.access.namespace_store import load_namespace
from models.store.access.token_store import bind, bindings_of
from models.store.database.session import open_engine, transaction, upgrade
from tests.integration.store.things import NOW

IMAGE = "image.openshift.io"
ANN = Caller("ann", bindings=(Binding("self-provisioner"),))


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def ask(engine, name="mine", caller=ANN, **said):
    with transaction(engine) as session:
        return request_project(session, {"metadata": {"name": name}, **said}, caller, now=NOW)


def roles(engine, user):
    with transaction(engine, write=False) as session:
        return bindings_of(session, user, [])


@pytest.mark.case("api 221")
def test_whoever_asks_for_a_project_is_its_admin(engine):
    assert may_request_project(ANN)[1]["status"] == "Success"
    code, project = ask(engine, displayName="Mine", description="all of it")
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
    assert roles(engine, "ann") == (Binding("admin", "mine", subject="ann"),)
    assert visible_namespaces(Caller("ann", bindings=roles(engine, "ann"))) == {"mine"}
    with transaction(engine, write=False) as session:
        namespace = load_namespace(session, "mine")
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "mine"}


def test_a_project_belongs_to_whoever_asked_first(engine):
    ask(engine)
    bob = Caller("bob", bindings=ANN.bindings)
    with pytest.raises(
        AlreadyExistsError, match=r'^project\.project\.openshift\.io "mine" already'
    ):
        ask(engine, caller=bob)
    assert roles(engine, "bob") == ()


def test_of_two_that_ask_at_once_one_gets_it(engine):
    outcomes = []

    def attempt(user):
        try:
            outcomes.append((ask(engine, caller=Caller(user, bindings=ANN.bindings)), user)[1])
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


def test_a_role_that_outlived_a_project_does_not_open_the_next_of_its_name(engine):
    with transaction(engine) as session:
        bind(session, "User", "old", "edit", "mine", now=NOW)
    ask(engine)
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
def test_some_names_are_not_given_away(engine, name, why):
    with pytest.raises(ForbiddenError) as caught:
        ask(engine, name)
    assert caught.value.message == (
        f'project.project.openshift.io "{name}" is forbidden: cannot request a project {why}'
    )


def test_a_name_that_only_begins_like_a_reserved_one_is_free(engine):
    assert ask(engine, "kuber")[0] == 201


@pytest.mark.parametrize(
    ("name", "said", "place"),
    [
        ("", {}, "metadata.name"),
        ("Mine", {}, "metadata.name"),
        ("a" * 64, {}, "metadata.name"),
        ("a.b", {}, "metadata.name"),
        ("mine", {"displayName": "a\nb"}, "metadata.annotations[openshift.io/display-name]"),
    ],
)
def test_a_request_that_makes_no_sense_is_invalid(engine, name, said, place):
    with pytest.raises(InvalidObjectError) as caught:
        ask(engine, name, **said)
    assert [error.field for error in caught.value.errors] == [place]


@pytest.mark.parametrize("body", [{"metadata": []}, {"metadata": {"name": 7}}, {"displayName": 7}])
def test_a_request_of_the_wrong_shape_is_a_bad_request(engine, body):
    with pytest.raises(BadRequestError), transaction(engine) as session:
        request_project(session, {"metadata": {"name": "x"}} | body, ANN, now=NOW)


def test_without_the_right_nobody_asks(engine):
    nobody = Caller("nobody")
    for attempt in (lambda: may_request_project(nobody), lambda: ask(engine, caller=nobody)):
        with pytest.raises(ForbiddenPathError, match=r"^You may not request a new project"):
            attempt()


@pytest.mark.case("api 221")
def test_a_user_is_who_the_token_says():
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
            code, answer = review_access(session, body, Caller("root"))
        else:
            code, answer = review_local_access(session, body, Caller("root"), namespace)
    assert code == 201
    return answer


def about(namespace):
    attributes = {"verb": "get", "group": IMAGE, "resource": "imagestreams"}
    return {"resourceAttributes": attributes | {"namespace": namespace}}


def test_a_review_about_others_looks_up_their_roles_and_those_of_the_groups_it_names(engine):
    with transaction(engine) as session:
        bind(session, "User", "ann", "view", "ns1", now=NOW)
        bind(session, "Group", "team", "view", "ns2", now=NOW)
    answers = [
        review(engine, {**about(namespace), **subject})["status"]["allowed"]
        for namespace in ("ns1", "ns2")
        for subject in ({"user": "ann"}, {"groups": ["team"]}, {"user": "x", "groups": ["y"]})
    ]
    assert answers == [True, False, False, False, True, False]


def test_a_local_review_stays_in_its_namespace(engine):
    answer = review(engine, {**about("ns1"), "user": "ann"}, "ns1")
    assert answer["metadata"] == {"namespace": "ns1"}
    assert answer["status"] == {"allowed": False, "reason": ""}
    with pytest.raises(InvalidObjectError, match=r"must match metadata\.namespace"):
        review(engine, {**about("ns2"), "user": "ann"}, "ns1")
    with pytest.raises(BadRequestError, match="must match namespace: ns1"):
        review(engine, {**about("ns1"), "user": "ann"}, "ns1", {"namespace": "ns2"})
    path = {"resourceAttributes": None, "nonResourceAttributes": {"path": "/", "verb": "get"}}
    with pytest.raises(InvalidObjectError, match="disallowed on this kind of request"):
        review(engine, {**path, "user": "ann"}, "ns1")


def test_a_review_about_nobody_is_invalid(engine):
    with pytest.raises(InvalidObjectError, match="at least one of user or group"):
        review(engine, about("ns1"))
