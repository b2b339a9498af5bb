"""Permissions of roles: verbs, namespaces, streams (api-16.4, api-16.5, api-16.7, api-16.9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.access.builtin_roles import (
    ALL_VERBS,
    GRANTABLE_ROLES,
    GRANTS,
    IMAGE_API_GROUP,
    PROJECT_API_GROUP,
    ROLE_RULES,
)
from models.access.rbac import (
    Caller,
    RoleBinding,
    find_binding,
    is_allowed,
    is_path_allowed,
    may_import_from_anywhere,
    may_pull,
    namespace_rules,
    path_rules,
    review_source,
    visible_namespaces,
)

CORE, AUTHORIZATION = "", "authorization.k8s.io"


def make_caller(*bindings, user="bob", **more):
    """Return a caller with bindings: `role`, `role@namespace` or `role@namespace/stream`."""
    return Caller(user, bindings=tuple(map(parse_binding, bindings)), **more)


def parse_binding(text):
    role, _, scope = text.partition("@")
    namespace, _, stream = scope.partition("/")
    return RoleBinding(role, namespace or "*", stream)


def may(caller, verb, resource, namespace="ns1", name="", *, group=IMAGE_API_GROUP):
    resource, _, subresource = resource.partition("/")
    return is_allowed(
        caller,
        verb=verb,
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


ADMIN = [("delete", "namespaces", CORE), ("patch", "projects", PROJECT_API_GROUP)]
EDIT = [
    *((verb, "imagestreams", IMAGE_API_GROUP) for verb in ALL_VERBS),
    ("delete", "imagestreamtags", IMAGE_API_GROUP),
    ("update", "imagetags", IMAGE_API_GROUP),
    ("get", "imagestreamimages", IMAGE_API_GROUP),
    ("create", "imagestreammappings", IMAGE_API_GROUP),
    ("create", "imagestreamimports", IMAGE_API_GROUP),
    ("get", "imagestreams/status", IMAGE_API_GROUP),
    ("get", "imagestreams/secrets", IMAGE_API_GROUP),
    ("get", "imagestreams/layers", IMAGE_API_GROUP),
    ("update", "imagestreams/layers", IMAGE_API_GROUP),
    ("create", "secrets", CORE),
    ("create", "importjobs", "sync.tagstream.io"),
]
VIEW = [
    ("get", "imagestreams", IMAGE_API_GROUP),
    ("watch", "imagestreams", IMAGE_API_GROUP),
    ("list", "imagetags", IMAGE_API_GROUP),
    ("list", "imagestreamtags", IMAGE_API_GROUP),
    ("get", "imagestreamimages", IMAGE_API_GROUP),
    ("get", "imagestreams/status", IMAGE_API_GROUP),
    ("get", "projects", PROJECT_API_GROUP),
    ("get", "namespaces", CORE),
    ("get", "scheduledtags", "sync.tagstream.io"),
    ("list", "scheduledtags", "sync.tagstream.io"),
]
PULL, PUSH = (
    ("get", "imagestreams/layers", IMAGE_API_GROUP),
    ("update", "imagestreams/layers", IMAGE_API_GROUP),
)
CREATE = ("create", "imagestreams", IMAGE_API_GROUP)
NEVER_GRANTED = [
    ("update", "imagestreams/status", IMAGE_API_GROUP),
    ("create", "images", IMAGE_API_GROUP),
    ("get", "images", IMAGE_API_GROUP),
    ("create", "namespaces", CORE),
    ("create", "subjectaccessreviews", AUTHORIZATION),
    ("impersonate", "users", CORE),
]


def object_name(verb, resource):
    return "ns1" if resource in {"namespaces", "projects"} and verb != "create" else ""


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        ("admin", [*ADMIN, *EDIT, *VIEW], NEVER_GRANTED),
        ("edit", [*EDIT, *VIEW], [*ADMIN, *NEVER_GRANTED]),
        ("view", VIEW, [*ADMIN, *NEVER_GRANTED, PULL, PUSH, CREATE, ("get", "secrets", CORE)]),
        (
            "view",
            [],
            [
                ("get", "imagestreams/secrets", IMAGE_API_GROUP),
                ("update", "imagetags", IMAGE_API_GROUP),
            ],
        ),
        (
            "puller",
            [PULL],
            [*NEVER_GRANTED, PUSH, CREATE, ("get", "imagestreams", IMAGE_API_GROUP)],
        ),
        (
            "pusher",
            [PULL, PUSH, CREATE],
            [*NEVER_GRANTED, ("get", "imagestreams", IMAGE_API_GROUP)],
        ),
    ],
)
@pytest.mark.case("api 11")
def test_role_grants_verbs_only_in_its_namespace(role, allowed, denied):
    bob = make_caller(f"{role}@ns1")
    for verb, resource, group in allowed:
        assert may(bob, verb, resource, name=object_name(verb, resource), group=group), (
            verb,
            resource,
        )
        elsewhere = object_name(verb, resource) and "ns2"
        assert not may(bob, verb, resource, "ns2", elsewhere, group=group), (verb, resource)
    for verb, resource, group in denied:
        assert not may(bob, verb, resource, name=object_name(verb, resource), group=group), resource


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        (
            "signer",
            ["get images", "create imagesignatures", "delete imagesignatures"],
            ["list images"],
        ),
        (
            "auditor",
            ["list images", "get imagestreams/layers", "list imagestreams"],
            ["delete images"],
        ),
        (
            "pruner",
            ["list images", "delete images", "update imagestreams/status"],
            ["create images"],
        ),
    ],
)
def test_cluster_role_grants_cluster_scoped_images(role, allowed, denied):
    bob, bound = make_caller(role), make_caller(f"{role}@ns1")
    for permission in allowed:
        verb, resource = permission.split()
        scope = "" if "stream" not in resource else "ns1"
        assert may(bob, verb, resource, scope), permission
        if not scope:
            assert not may(bound, verb, resource, scope), permission
    for permission in denied:
        assert not may(bob, *permission.split(), ""), permission


def test_pruner_may_list_workloads_that_oc_adm_prune_reads():
    for group, resource in [("", "pods"), ("apps", "deployments"), ("batch", "cronjobs")]:
        assert may(make_caller("pruner"), "list", resource, "", group=group)
        assert not may(make_caller("edit"), "list", resource, "", group=group)


@pytest.mark.parametrize("binding", ["admin", "cluster-admin"])
def test_admin_of_all_namespaces_may_do_anything(binding):
    bob = make_caller(binding)
    assert bob.is_cluster_admin
    assert may(bob, "*", "*", "", group="*")
    assert may(bob, "frobnicate", "teapots/spouts", "ns9", "x", group="kitchen")
    assert not make_caller("admin@ns1").is_cluster_admin
    assert not may(make_caller("admin@ns1"), "*", "*", group="*")


def test_list_of_all_namespaces_requires_cluster_wide_role():
    assert may(make_caller("view"), "list", "imagestreams", "")
    assert not may(make_caller("view@ns1", "view@ns2"), "list", "imagestreams", "")
    assert may(make_caller("view"), "list", "namespaces", "", group="")
    assert not may(make_caller("view@ns1"), "list", "namespaces", "", group="")


def test_star_verb_requires_all_eight_verbs():
    bob = make_caller("edit@ns1")
    assert may(bob, "*", "imagestreams")
    assert not may(bob, "*", "imagestreamimports")
    assert not may(make_caller("view@ns1"), "*", "imagestreams")


@pytest.mark.parametrize("role", ["puller", "pusher"])
def test_binding_to_one_stream_grants_no_other_stream(role):
    bob = make_caller(f"{role}@ns1/app")
    assert may_pull(bob, "ns1", "app")
    assert not may_pull(bob, "ns1", "other")
    assert not may_pull(bob, "ns1", "")
    assert not may_pull(bob, "ns2", "app")
    assert not may(bob, "create", "imagestreams")
    assert may(bob, "get", "projects", "", "ns1", group=PROJECT_API_GROUP)


@pytest.mark.case("api 63", "api 64")
def test_source_review_of_other_namespace_requires_pull_permission():
    assert review_source(make_caller("edit@ns1"), "ns2", "src") == ""
    assert review_source(make_caller("edit@ns1", "puller@ns2"), "ns2", "src") is None
    assert review_source(make_caller("edit@ns1", "view@ns2"), "ns2", "src") == ""


def test_authenticated_caller_reads_but_never_writes_shared_namespace():
    unbound = make_caller()
    assert may(unbound, "list", "imagestreams", "openshift")
    assert may_pull(unbound, "openshift", "python")
    assert not may(unbound, "create", "imagestreams", "openshift")
    assert not may(unbound, "get", "imagestreams/secrets", "openshift")
    assert not may(unbound, "list", "imagestreams", "ns1")
    assert not may(Caller("x", groups=()), "list", "imagestreams", "openshift")


def test_authenticated_caller_may_review_only_itself():
    unbound = make_caller()
    assert may(unbound, "create", "selfsubjectaccessreviews", "", group=AUTHORIZATION)
    assert may(unbound, "list", "projects", "", group=PROJECT_API_GROUP)
    assert may(unbound, "get", "users", "", "~", group="user.openshift.io")
    assert not may(unbound, "get", "users", "", "bob", group="user.openshift.io")
    assert not may(unbound, "create", "subjectaccessreviews", "", group=AUTHORIZATION)
    assert not may(unbound, "create", "projectrequests", "", group=PROJECT_API_GROUP)
    provisioner = make_caller("self-provisioner")
    assert may(provisioner, "create", "projectrequests", "", group=PROJECT_API_GROUP)
    assert visible_namespaces(provisioner) == set()


def test_permission_on_namespace_object_comes_from_binding_in_it():
    bob = make_caller("admin@ns1")
    assert may(bob, "delete", "namespaces", "", "ns1", group="")
    assert not may(bob, "delete", "namespaces", "", "ns2", group="")
    assert not may(make_caller("edit@ns1"), "delete", "namespaces", "", "ns1", group="")


@pytest.mark.parametrize(
    ("bindings", "seen"),
    [
        (["view@a", "puller@b/app"], {"a", "b"}),
        ([], set()),
        (["signer"], set()),
        (["view"], None),
        (["puller"], None),
        (["admin"], None),
        (["pruner", "view@a"], None),
    ],
)
def test_visible_namespaces_are_those_with_a_role(bindings, seen):
    assert visible_namespaces(make_caller(*bindings)) == seen


@pytest.mark.case("api 210")
def test_allow_list_exemption_requires_create_images():
    assert may_import_from_anywhere(make_caller("admin"), "ns1")
    assert not may_import_from_anywhere(make_caller("edit"), "ns1")
    assert not may_import_from_anywhere(make_caller("admin@ns1"), "ns1")


@pytest.mark.parametrize(
    ("path", "open_to_all"),
    [
        ("/", True),
        ("/api", True),
        ("/apis/image.openshift.io/v1", True),
        ("/openapi/v3", True),
        ("/version/", True),
        ("/metrics", False),
        ("/apisomething", False),
        ("/debug/pprof", False),
    ],
)
def test_discovery_paths_are_open_and_others_require_cluster_admin(path, open_to_all):
    assert is_path_allowed(make_caller(), verb="get", path=path) is open_to_all
    assert is_path_allowed(make_caller("admin"), verb="get", path=path)
    assert not is_path_allowed(make_caller(), verb="post", path=path)
    assert not is_path_allowed(Caller("x", groups=()), verb="get", path=path)


def test_find_binding_returns_the_granting_binding():
    found = find_binding(
        make_caller("view@ns1", "puller@ns2/app"),
        verb="get",
        group=IMAGE_API_GROUP,
        resource="imagestreams",
        subresource="layers",
        namespace="ns2",
        name="app",
    )
    assert str(found) == "puller in ns2 on app"
    assert str(RoleBinding("admin")) == "admin everywhere"


def test_namespace_rules_contain_only_bindings_of_that_namespace():
    printed = namespace_rules(make_caller("puller@ns2/app", "view@ns1"), "ns2")
    assert printed[0] == {
        "verbs": ["get"],
        "apiGroups": [IMAGE_API_GROUP],
        "resources": ["imagestreams/layers"],
        "resourceNames": ["app"],
    }
    assert not any("imagestreams" in rule["resources"] for rule in printed)
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in namespace_rules(
        make_caller("admin"), "x"
    )
    assert path_rules(make_caller("admin"))[0] == {"verbs": ["*"], "nonResourceURLs": ["*"]}
    assert path_rules(Caller("x", groups=())) == []


ROLE = st.sampled_from([*GRANTABLE_ROLES, "self-provisioner", "unknown-role"])
BINDING = st.builds(
    RoleBinding, ROLE, st.sampled_from(["*", "ns1", "ns2"]), st.sampled_from(["", "app"])
)
CALLER = st.builds(Caller, st.just("bob"), bindings=st.lists(BINDING, max_size=4).map(tuple))
KEYS = sorted({key for role in GRANTS.values() for key in role})


@given(CALLER, st.sampled_from(KEYS), st.sampled_from(["", "ns1", "ns2"]), BINDING)
def test_additional_binding_never_revokes_a_permission(caller, key, namespace, more):
    group, resource, verb = key
    richer = Caller(caller.user, bindings=(*caller.bindings, more))
    before = may(caller, verb, resource, namespace, "app", group=group)
    assert may(richer, verb, resource, namespace, "app", group=group) >= before


@given(CALLER, st.sampled_from(KEYS), st.sampled_from(["ns1", "ns2"]))
def test_namespace_rules_agree_with_is_allowed(caller, key, namespace):
    group, resource, verb = key
    if "*" in key or group == PROJECT_API_GROUP or (group, resource) == ("", "namespaces"):
        return
    printed = any(
        {"*", verb} & set(rule["verbs"])
        and {"*", group} & set(rule["apiGroups"])
        and {"*", resource} & set(rule["resources"])
        and "app" in rule.get("resourceNames", ["app"])
        for rule in namespace_rules(caller, namespace)
    )
    assert may(caller, verb, resource, namespace, "app", group=group) == printed


def test_builtin_roles_form_a_hierarchy():
    for low, high in [
        ("view", "edit"),
        ("edit", "admin"),
        ("puller", "pusher"),
        ("auditor", "pruner"),
    ]:
        assert set(GRANTS[low]) <= set(GRANTS[high]), (low, high)
    assert set(GRANTABLE_ROLES) == {*ROLE_RULES, "cluster-admin"} - {
        "self-provisioner",
        "everybody",
        "shared",
    }
