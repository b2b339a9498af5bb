"""Texts of denied access, access reviews, the audit log and the login throttle (api-16.1)."""

import json
from types import SimpleNamespace

import pytest
import structlog

from api.auth.access_reviews import review_self, review_self_access, review_self_rules
from api.auth.audit_log import record_mutation
from api.auth.login_throttle import LoginThrottle
from api.auth.token_authenticator import require_access, require_path_access
from models.access.rbac import Caller, RoleBinding, is_allowed
from models.api_errors import BadRequestError, ForbiddenPathError
from models.errors import ForbiddenError, InvalidObjectError, status_of

IMAGE, PROJECT = "image.openshift.io", "project.openshift.io"
UNBOUND = Caller("guest")
ROOT = Caller("root", bindings=(RoleBinding("admin"),))


def refusal(caller=UNBOUND, **attributes):
    attributes.setdefault("group", IMAGE)
    assert not is_allowed(caller, **attributes)
    with pytest.raises(ForbiddenError) as caught:
        require_access(caller, **attributes)
    status = status_of(caught.value)
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    return status


@pytest.mark.case("api 8")
def test_forbidden_list_names_user_verb_resource_and_namespace():
    status = refusal(verb="list", resource="imagestreams", namespace="ns1")
    assert status["message"] == (
        'imagestreams.image.openshift.io is forbidden: User "guest" cannot list resource '
        '"imagestreams" in API group "image.openshift.io" in the namespace "ns1"'
    )
    assert status["details"] == {"group": IMAGE, "kind": "imagestreams"}


@pytest.mark.case("api 9")
def test_forbidden_subresource_names_its_object():
    status = refusal(
        verb="update", resource="imagestreams", subresource="status", namespace="ns1", name="l1"
    )
    assert status["message"] == (
        'imagestreams.image.openshift.io "l1" is forbidden: User "guest" cannot update resource '
        '"imagestreams/status" in API group "image.openshift.io" in the namespace "ns1"'
    )
    assert status["details"] == {"name": "l1", "group": IMAGE, "kind": "imagestreams"}


@pytest.mark.case("api 10")
def test_forbidden_cluster_scoped_resource_names_cluster_scope():
    assert refusal(verb="create", resource="images")["message"] == (
        'images.image.openshift.io is forbidden: User "guest" cannot create resource "images" in '
        'API group "image.openshift.io" at the cluster scope'
    )


def test_forbidden_core_resource_has_no_group_suffix():
    assert refusal(verb="list", group="", resource="secrets", namespace="n")["message"] == (
        'secrets is forbidden: User "guest" cannot list resource "secrets" in API group "" in '
        'the namespace "n"'
    )


def test_forbidden_project_names_its_own_namespace():
    assert refusal(verb="delete", group=PROJECT, resource="projects", name="n")["message"] == (
        'projects.project.openshift.io "n" is forbidden: User "guest" cannot delete resource '
        '"projects" in API group "project.openshift.io" in the namespace "n"'
    )


def test_forbidden_path_is_named():
    with pytest.raises(ForbiddenPathError) as caught:
        require_path_access(UNBOUND, verb="get", path="/metrics")
    status = status_of(caught.value)
    assert status["message"] == 'forbidden: User "guest" cannot get path "/metrics"'
    assert status["details"] == {}
    require_path_access(UNBOUND, verb="get", path="/version")
    require_path_access(ROOT, verb="get", path="/metrics")


def test_forbidden_project_request_has_text_of_openshift():
    with pytest.raises(ForbiddenPathError, match=r"^You may not request a new project via"):
        require_access(UNBOUND, verb="list", group=PROJECT, resource="projectrequests")


@pytest.mark.case("api 220")
def test_self_review_returns_user_info_of_caller():
    caller = Caller("ann", ("system:authenticated", "team"), uid="u-1")
    code, response = review_self({"kind": "SelfSubjectReview", "metadata": {}}, caller)
    assert code == 201
    assert response == {
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


def review(caller, **attributes):
    body = {"spec": {"resourceAttributes": {"group": IMAGE, "namespace": "ns1", **attributes}}}
    code, response = review_self_access(body, caller)
    assert code == 201
    assert response["spec"] == body["spec"]
    return response["status"]


@pytest.mark.case("api 219")
def test_self_access_review_denies_viewer_and_allows_puller():
    layers = {"verb": "get", "resource": "imagestreams", "subresource": "layers"}
    viewer = Caller("v", bindings=(RoleBinding("view", "ns1"),))
    puller = Caller("p", bindings=(RoleBinding("puller", "ns1"),))
    assert review(viewer, **layers) == {"allowed": False, "reason": ""}
    assert review(puller, **layers) == {"allowed": True, "reason": "allowed by role puller in ns1"}
    assert review(viewer, verb="get", resource="imagestreams")["allowed"]


def test_self_access_review_supports_stars_and_paths():
    assert review(ROOT, verb="*", resource="*", group="*")["allowed"]
    assert not review(UNBOUND, verb="*", resource="*", group="*")["allowed"]
    path = {"spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}}
    assert not review_self_access(path, UNBOUND)[1]["status"]["allowed"]
    assert review_self_access(path, ROOT)[1]["status"]["allowed"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"resourceAttributes": None, "nonResourceAttributes": {}},
        {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}},
    ],
)
def test_self_access_review_requires_exactly_one_attributes_field(spec):
    with pytest.raises(
        InvalidObjectError, match=r'^SelfSubjectAccessReview.authorization.k8s.io ""'
    ):
        review_self_access({"spec": spec}, UNBOUND)


@pytest.mark.parametrize(
    "body", [{"spec": []}, {"spec": {"resourceAttributes": {"verb": ["get"]}}}, {"spec": "x"}]
)
def test_self_access_review_of_wrong_type_is_bad_request(body):
    with pytest.raises(BadRequestError):
        review_self_access(body, UNBOUND)


def test_self_rules_review_lists_rules_of_namespace():
    puller = Caller("p", bindings=(RoleBinding("puller", "ns1"),))
    code, response = review_self_rules({"spec": {"namespace": "ns1"}}, puller)
    assert code == 201
    status = response["status"]
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


def target(resource="imagestreams", group=IMAGE, **attributes):
    attributes_with_defaults = {"namespace": "ns1", "name": "app", **attributes}
    return SimpleNamespace(full_resource=resource, group=group, **attributes_with_defaults)


@pytest.fixture
def audit_lines(capsys):
    """Return the audit log at log level ERROR, parsed from JSON lines."""
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


def test_audit_log_records_mutation_at_any_log_level(audit_lines):
    caller = Caller("ann", impersonator="root", credential="c0ffee")
    record_mutation(caller, "delete", target(), code=200, audit_id="a-1")
    assert audit_lines() == [
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
def test_audit_log_records_outcome(audit_lines, code, outcome):
    record_mutation(UNBOUND, "create", target("secrets", ""), code=code, audit_id="a")
    [line] = audit_lines()
    assert (line["resource"], line["outcome"]) == ("secrets", outcome)


def test_audit_log_omits_reads_and_reviews(audit_lines):
    record_mutation(UNBOUND, "list", target(), code=200, audit_id="a")
    access_review = target("selfsubjectaccessreviews", "authorization.k8s.io")
    record_mutation(UNBOUND, "create", access_review, code=201, audit_id="a")
    assert audit_lines() == []


def test_audit_log_escapes_control_characters(audit_lines):
    record_mutation(
        Caller("x\x1b[2J"), "delete", target(name="a\nb" * 9000), code=404, audit_id="a"
    )
    [line] = audit_lines()
    assert line["user"] == "x\ufffd[2J"
    assert len(line["name"]) == 300
    assert "\n" not in line["name"]


def test_login_throttle_blocks_until_tokens_refill():
    attempts = LoginThrottle(burst=3, per_second=1)
    for _ in range(3):
        assert not attempts.is_blocked("10.0.0.1", 100.0)
        attempts.record_failure("10.0.0.1", 100.0)
    assert attempts.is_blocked("10.0.0.1", 100.5)
    assert not attempts.is_blocked("10.0.0.2", 100.5)
    assert not attempts.is_blocked("10.0.0.1", 101.0)


def test_login_throttle_counts_ipv6_network_as_one_address():
    attempts = LoginThrottle(burst=1, per_second=1)
    attempts.record_failure("2001:db8:1:2::1", 100.0)
    assert attempts.is_blocked("2001:db8:1:2:ffff::9", 100.0)
    assert not attempts.is_blocked("2001:db8:1:3::1", 100.0)
    attempts.record_failure("::ffff:10.0.0.1", 100.0)
    assert attempts.is_blocked("10.0.0.1", 100.0)
    assert not attempts.is_blocked("unknown:", 100.0)


def test_login_throttle_bounds_number_of_addresses():
    attempts = LoginThrottle(burst=1, per_second=0)
    for number in range(10_001):
        attempts.record_failure(str(number), 100.0)
    assert not attempts.is_blocked("0", 100.0)
    assert attempts.is_blocked("10000", 100.0)
