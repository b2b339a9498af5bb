"""What a client reads when it may not, who it may be, and what the audit says of it."""

import json
from types import SimpleNamespace

import pytest
import structlog

from api.auth.access_reviews import review_self, review_self_access, review_self_rules
from api.auth.audit_log import record_mutation
from api.auth.login_throttle import Attempts
from api.auth.token_authenticator import require, require_path
from models.access.rbac import Binding, Caller, allowed
from models.api_errors import BadRequestError, ForbiddenPathError
from models.errors import ForbiddenError, InvalidObjectError, status_of

IMAGE, PROJECT = "image.openshift.io", "project.openshift.io"
NOBODY = Caller("nobody")
ROOT = Caller("root", bindings=(Binding("admin"),))


def refusal(caller=NOBODY, **wish):
    wish.setdefault("group", IMAGE)
    assert not allowed(caller, **wish)
    with pytest.raises(ForbiddenError) as caught:
        require(caller, **wish)
    status = status_of(caught.value)
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    return status


@pytest.mark.case("api 8")
def test_a_refused_list_names_user_verb_resource_group_and_namespace():
    status = refusal(verb="list", resource="imagestreams", namespace="ns1")
    assert status["message"] == (
        'imagestreams.image.openshift.io is forbidden: User "nobody" cannot list resource '
        '"imagestreams" in API group "image.openshift.io" in the namespace "ns1"'
    )
    assert status["details"] == {"group": IMAGE, "kind": "imagestreams"}


@pytest.mark.case("api 9")
def test_a_refused_subresource_is_named_with_its_object():
    status = refusal(
        verb="update", resource="imagestreams", subresource="status", namespace="ns1", name="l1"
    )
    assert status["message"] == (
        'imagestreams.image.openshift.io "l1" is forbidden: User "nobody" cannot update resource '
        '"imagestreams/status" in API group "image.openshift.io" in the namespace "ns1"'
    )
    assert status["details"] == {"name": "l1", "group": IMAGE, "kind": "imagestreams"}


@pytest.mark.case("api 10")
def test_a_refusal_at_the_cluster_scope_says_so():
    assert refusal(verb="create", resource="images")["message"] == (
        'images.image.openshift.io is forbidden: User "nobody" cannot create resource "images" in '
        'API group "image.openshift.io" at the cluster scope'
    )


def test_a_resource_of_the_core_group_stands_alone():
    assert refusal(verb="list", group="", resource="secrets", namespace="n")["message"] == (
        'secrets is forbidden: User "nobody" cannot list resource "secrets" in API group "" in '
        'the namespace "n"'
    )


def test_a_namespace_is_refused_inside_itself():
    assert refusal(verb="delete", group=PROJECT, resource="projects", name="n")["message"] == (
        'projects.project.openshift.io "n" is forbidden: User "nobody" cannot delete resource '
        '"projects" in API group "project.openshift.io" in the namespace "n"'
    )


def test_a_refused_path_is_named():
    with pytest.raises(ForbiddenPathError) as caught:
        require_path(NOBODY, verb="get", path="/metrics")
    status = status_of(caught.value)
    assert status["message"] == 'forbidden: User "nobody" cannot get path "/metrics"'
    assert status["details"] == {}
    require_path(NOBODY, verb="get", path="/version")
    require_path(ROOT, verb="get", path="/metrics")


def test_whoever_may_not_request_projects_is_told_in_the_words_of_oc():
    with pytest.raises(ForbiddenPathError, match=r"^You may not request a new project via"):
        require(NOBODY, verb="list", group=PROJECT, resource="projectrequests")


@pytest.mark.case("api 220")
def test_a_self_review_says_who_one_is():
    caller = Caller("ann", ("system:authenticated", "team"), uid="u-1")
    code, answer = review_self({"kind": "SelfSubjectReview", "metadata": {}}, caller)
    assert code == 201
    assert answer == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "status": {
            "userInfo": {
                "username": "ann",
                "uid": "u-1",
                "groups": ["system:authenticated", "team"],
                "extra": {},
            }
        },
    }


def ask(caller, **attributes):
    body = {"spec": {"resourceAttributes": {"group": IMAGE, "namespace": "ns1", **attributes}}}
    code, answer = review_self_access(body, caller)
    assert code == 201
    assert answer["spec"] == body["spec"]
    return answer["status"]


@pytest.mark.case("api 219")
def test_an_access_review_tells_a_viewer_from_a_puller():
    layers = {"verb": "get", "resource": "imagestreams", "subresource": "layers"}
    viewer = Caller("v", bindings=(Binding("view", "ns1"),))
    puller = Caller("p", bindings=(Binding("puller", "ns1"),))
    assert ask(viewer, **layers) == {"allowed": False, "reason": ""}
    assert ask(puller, **layers) == {"allowed": True, "reason": "allowed by role puller in ns1"}
    assert ask(viewer, verb="get", resource="imagestreams")["allowed"]


def test_an_access_review_knows_stars_and_paths():
    assert ask(ROOT, verb="*", resource="*", group="*")["allowed"]
    assert not ask(NOBODY, verb="*", resource="*", group="*")["allowed"]
    path = {"spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}}
    assert not review_self_access(path, NOBODY)[1]["status"]["allowed"]
    assert review_self_access(path, ROOT)[1]["status"]["allowed"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"resourceAttributes": None, "nonResourceAttributes": {}},
        {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}},
    ],
)
def test_an_access_review_asks_one_thing(spec):
    with pytest.raises(
        InvalidObjectError, match=r'^SelfSubjectAccessReview.authorization.k8s.io ""'
    ):
        review_self_access({"spec": spec}, NOBODY)


@pytest.mark.parametrize(
    "body", [{"spec": []}, {"spec": {"resourceAttributes": {"verb": ["get"]}}}, {"spec": "x"}]
)
def test_a_review_of_the_wrong_shape_is_a_bad_request(body):
    with pytest.raises(BadRequestError):
        review_self_access(body, NOBODY)


def test_a_rules_review_lists_the_rules_of_its_namespace():
    puller = Caller("p", bindings=(Binding("puller", "ns1"),))
    code, answer = review_self_rules({"spec": {"namespace": "ns1"}}, puller)
    assert code == 201
    status = answer["status"]
    assert status["incomplete"] is False
    layers = {"verbs": ["get"], "apiGroups": [IMAGE], "resources": ["imagestreams/layers"]}
    assert layers in status["resourceRules"]
    assert (
        layers
        not in review_self_rules({"spec": {"namespace": "x"}}, puller)[1]["status"]["resourceRules"]
    )
    assert "/version" in status["nonResourceRules"][0]["nonResourceURLs"]
    with pytest.raises(BadRequestError, match="no namespace on request"):
        review_self_rules({"spec": {"namespace": ""}}, puller)


def target(resource="imagestreams", group=IMAGE, **place):
    known = {"namespace": "ns1", "name": "app", **place}
    return SimpleNamespace(full_resource=resource, group=group, **known)


@pytest.fixture
def lines(capsys):
    """The audit as an operator at log level ERROR has it, as JSON lines."""
    import sys

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.configure(**before)


def test_a_mutation_leaves_one_line_whatever_the_log_level(lines):
    caller = Caller("ann", impersonator="root", credential="c0ffee")
    record_mutation(caller, "delete", target(), code=200, audit_id="a-1")
    assert lines() == [
        {
            "event": "audit",
            "level": "info",
            "user": "ann",
            "impersonator": "root",
            "verb": "delete",
            "resource": "imagestreams.image.openshift.io",
            "namespace": "ns1",
            "name": "app",
            "outcome": "done",
            "code": 200,
            "audit_id": "a-1",
        }
    ]


@pytest.mark.parametrize(
    ("code", "outcome"), [(201, "done"), (403, "refused"), (409, "refused"), (500, "failed")]
)
def test_the_audit_says_how_it_ended(lines, code, outcome):
    record_mutation(NOBODY, "create", target("secrets", ""), code=code, audit_id="a")
    [line] = lines()
    assert (line["resource"], line["outcome"]) == ("secrets", outcome)


def test_reading_and_reviews_leave_no_audit(lines):
    record_mutation(NOBODY, "list", target(), code=200, audit_id="a")
    review = target("selfsubjectaccessreviews", "authorization.k8s.io")
    record_mutation(NOBODY, "create", review, code=201, audit_id="a")
    assert lines() == []


def test_a_name_cannot_drive_the_terminal_that_shows_the_audit(lines):
    record_mutation(
        Caller("x\x1b[2J"), "delete", target(name="a\nb" * 9000), code=404, audit_id="a"
    )
    [line] = lines()
    assert line["user"] == "x\ufffd[2J"
    assert len(line["name"]) == 300
    assert "\n" not in line["name"]


def test_failures_fill_a_bucket_that_time_empties():
    attempts = Attempts(burst=3, per_second=1)
    for _ in range(3):
        assert not attempts.is_blocked("10.0.0.1", 100.0)
        attempts.count("10.0.0.1", 100.0)
    assert attempts.is_blocked("10.0.0.1", 100.5)
    assert not attempts.is_blocked("10.0.0.2", 100.5)
    assert not attempts.is_blocked("10.0.0.1", 101.0)


def test_the_addresses_of_one_ipv6_network_share_a_bucket():
    attempts = Attempts(burst=1, per_second=1)
    attempts.count("2001:db8:1:2::1", 100.0)
    assert attempts.is_blocked("2001:db8:1:2:ffff::9", 100.0)
    assert not attempts.is_blocked("2001:db8:1:3::1", 100.0)
    attempts.count("::ffff:10.0.0.1", 100.0)
    assert attempts.is_blocked("10.0.0.1", 100.0)
    assert not attempts.is_blocked("strange:", 100.0)


def test_the_book_of_failures_does_not_grow_without_end():
    attempts = Attempts(burst=1, per_second=0)
    for number in range(10_001):
        attempts.count(str(number), 100.0)
    assert not attempts.is_blocked("0", 100.0)
    assert attempts.is_blocked("10000", 100.0)
