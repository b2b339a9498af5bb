"""What each role grants, where, and to whom (`api.md` D)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.access.builtin_roles import EVERY_VERB, GRANTS, IMAGE, PROJECT, ROLES, RULES
from models.access.rbac import (
    Binding,
    Caller,
    allowed,
    allowed_path,
    find_binding,
    may_import_from_anywhere,
    may_pull,
    path_rules_of,
    review_source,
    rules_of,
    visible_namespaces,
)

CORE, AUTHORIZATION = "", "authorization.k8s.io"


def who(*bindings, user="bob", **more):
    """`role`, `role@namespace` or `role@namespace/stream`."""
    return Caller(user, bindings=tuple(map(parse, bindings)), **more)


def parse(text):
    role, _, place = text.partition("@")
    namespace, _, stream = place.partition("/")
    return Binding(role, namespace or "*", stream)


def may(caller, verb, resource, namespace="ns1", name="", *, group=IMAGE):
    resource, _, subresource = resource.partition("/")
    return allowed(
        caller,
        verb=verb,
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


ADMIN = [("delete", "namespaces", CORE), ("patch", "projects", PROJECT)]
EDIT = [
    *((verb, "imagestreams", IMAGE) for verb in EVERY_VERB),
    ("delete", "imagestreamtags", IMAGE),
    ("update", "imagetags", IMAGE),
    ("get", "imagestreamimages", IMAGE),
    ("create", "imagestreammappings", IMAGE),
    ("create", "imagestreamimports", IMAGE),
    ("get", "imagestreams/status", IMAGE),
    ("get", "imagestreams/secrets", IMAGE),
    ("get", "imagestreams/layers", IMAGE),
    ("update", "imagestreams/layers", IMAGE),
    ("create", "secrets", CORE),
    ("create", "importjobs", "sync.tagstream.io"),
]
VIEW = [
    ("get", "imagestreams", IMAGE),
    ("watch", "imagestreams", IMAGE),
    ("list", "imagetags", IMAGE),
    ("list", "imagestreamtags", IMAGE),
    ("get", "imagestreamimages", IMAGE),
    ("get", "imagestreams/status", IMAGE),
    ("get", "projects", PROJECT),
    ("get", "namespaces", CORE),
    ("get", "scheduledtags", "sync.tagstream.io"),
    ("list", "scheduledtags", "sync.tagstream.io"),
]
PULL, PUSH = ("get", "imagestreams/layers", IMAGE), ("update", "imagestreams/layers", IMAGE)
CREATE = ("create", "imagestreams", IMAGE)
NEVER = [
    ("update", "imagestreams/status", IMAGE),
    ("create", "images", IMAGE),
    ("get", "images", IMAGE),
    ("create", "namespaces", CORE),
    ("create", "subjectaccessreviews", AUTHORIZATION),
    ("impersonate", "users", CORE),
]


def named(verb, resource):
    return "ns1" if resource in {"namespaces", "projects"} and verb != "create" else ""


@pytest.mark.parametrize(
    ("role", "yes", "no"),
    [
        ("admin", [*ADMIN, *EDIT, *VIEW], NEVER),
        ("edit", [*EDIT, *VIEW], [*ADMIN, *NEVER]),
        ("view", VIEW, [*ADMIN, *NEVER, PULL, PUSH, CREATE, ("get", "secrets", CORE)]),
        ("view", [], [("get", "imagestreams/secrets", IMAGE), ("update", "imagetags", IMAGE)]),
        ("puller", [PULL], [*NEVER, PUSH, CREATE, ("get", "imagestreams", IMAGE)]),
        ("pusher", [PULL, PUSH, CREATE], [*NEVER, ("get", "imagestreams", IMAGE)]),
    ],
)
@pytest.mark.case("api 11")
def test_a_role_grants_what_it_should_in_its_namespace_and_nothing_elsewhere(role, yes, no):
    bob = who(f"{role}@ns1")
    for verb, resource, group in yes:
        assert may(bob, verb, resource, name=named(verb, resource), group=group), (verb, resource)
        elsewhere = named(verb, resource) and "ns2"
        assert not may(bob, verb, resource, "ns2", elsewhere, group=group), (verb, resource)
    for verb, resource, group in no:
        assert not may(bob, verb, resource, name=named(verb, resource), group=group), resource


@pytest.mark.parametrize(
    ("role", "yes", "no"),
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
def test_a_cluster_role_reaches_images(role, yes, no):
    bob, bound = who(role), who(f"{role}@ns1")
    for words in yes:
        verb, resource = words.split()
        place = "" if "stream" not in resource else "ns1"
        assert may(bob, verb, resource, place), words
        if not place:
            assert not may(bound, verb, resource, place), words
    for words in no:
        assert not may(bob, *words.split(), ""), words


def test_the_pruner_may_list_what_oc_adm_prune_reads():
    for group, resource in [("", "pods"), ("apps", "deployments"), ("batch", "cronjobs")]:
        assert may(who("pruner"), "list", resource, "", group=group)
        assert not may(who("edit"), "list", resource, "", group=group)


@pytest.mark.parametrize("binding", ["admin", "cluster-admin"])
def test_an_admin_of_everything_may_do_anything_whatever_it_is_called(binding):
    bob = who(binding)
    assert bob.is_cluster_admin
    assert may(bob, "*", "*", "", group="*")
    assert may(bob, "frobnicate", "teapots/spouts", "ns9", "x", group="kitchen")
    assert not who("admin@ns1").is_cluster_admin
    assert not may(who("admin@ns1"), "*", "*", group="*")


def test_a_list_over_all_namespaces_needs_a_role_everywhere():
    assert may(who("view"), "list", "imagestreams", "")
    assert not may(who("view@ns1", "view@ns2"), "list", "imagestreams", "")
    assert may(who("view"), "list", "namespaces", "", group="")
    assert not may(who("view@ns1"), "list", "namespaces", "", group="")


def test_a_star_verb_stands_for_all_eight():
    bob = who("edit@ns1")
    assert may(bob, "*", "imagestreams")
    assert not may(bob, "*", "imagestreamimports")
    assert not may(who("view@ns1"), "*", "imagestreams")


@pytest.mark.parametrize("role", ["puller", "pusher"])
def test_a_binding_to_one_stream_opens_no_other(role):
    bob = who(f"{role}@ns1/app")
    assert may_pull(bob, "ns1", "app")
    assert not may_pull(bob, "ns1", "other")
    assert not may_pull(bob, "ns1", "")
    assert not may_pull(bob, "ns2", "app")
    assert not may(bob, "create", "imagestreams")
    assert may(bob, "get", "projects", "", "ns1", group=PROJECT)


@pytest.mark.case("api 63", "api 64")
def test_tagging_from_another_namespace_needs_the_right_to_pull_there():
    assert review_source(who("edit@ns1"), "ns2", "src") == ""
    assert review_source(who("edit@ns1", "puller@ns2"), "ns2", "src") is None
    assert review_source(who("edit@ns1", "view@ns2"), "ns2", "src") == ""


def test_everybody_reads_the_shared_namespace_and_writes_nothing_there():
    nobody = who()
    assert may(nobody, "list", "imagestreams", "openshift")
    assert may_pull(nobody, "openshift", "python")
    assert not may(nobody, "create", "imagestreams", "openshift")
    assert not may(nobody, "get", "imagestreams/secrets", "openshift")
    assert not may(nobody, "list", "imagestreams", "ns1")
    assert not may(Caller("x", groups=()), "list", "imagestreams", "openshift")


def test_everybody_may_ask_about_themselves_alone():
    nobody = who()
    assert may(nobody, "create", "selfsubjectaccessreviews", "", group=AUTHORIZATION)
    assert may(nobody, "list", "projects", "", group=PROJECT)
    assert may(nobody, "get", "users", "", "~", group="user.openshift.io")
    assert not may(nobody, "get", "users", "", "bob", group="user.openshift.io")
    assert not may(nobody, "create", "subjectaccessreviews", "", group=AUTHORIZATION)
    assert not may(nobody, "create", "projectrequests", "", group=PROJECT)
    provisioner = who("self-provisioner")
    assert may(provisioner, "create", "projectrequests", "", group=PROJECT)
    assert visible_namespaces(provisioner) == set()


def test_a_namespace_is_asked_for_inside_itself():
    bob = who("admin@ns1")
    assert may(bob, "delete", "namespaces", "", "ns1", group="")
    assert not may(bob, "delete", "namespaces", "", "ns2", group="")
    assert not may(who("edit@ns1"), "delete", "namespaces", "", "ns1", group="")


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
def test_the_namespaces_one_sees_are_those_of_ones_roles(bindings, seen):
    assert visible_namespaces(who(*bindings)) == seen


@pytest.mark.case("api 210")
def test_only_who_may_create_images_escapes_the_allow_list():
    assert may_import_from_anywhere(who("admin"), "ns1")
    assert not may_import_from_anywhere(who("edit"), "ns1")
    assert not may_import_from_anywhere(who("admin@ns1"), "ns1")


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
def test_discovery_is_open_and_the_rest_is_for_the_cluster_admin(path, open_to_all):
    assert allowed_path(who(), verb="get", path=path) is open_to_all
    assert allowed_path(who("admin"), verb="get", path=path)
    assert not allowed_path(who(), verb="post", path=path)
    assert not allowed_path(Caller("x", groups=()), verb="get", path=path)


def test_the_binding_that_allows_it_says_so():
    found = find_binding(
        who("view@ns1", "puller@ns2/app"),
        verb="get",
        group=IMAGE,
        resource="imagestreams",
        subresource="layers",
        namespace="ns2",
        name="app",
    )
    assert str(found) == "puller in ns2 on app"
    assert str(Binding("admin")) == "admin everywhere"


def test_the_rules_of_a_namespace_are_those_that_count_there():
    printed = rules_of(who("puller@ns2/app", "view@ns1"), "ns2")
    assert printed[0] == {
        "verbs": ["get"],
        "apiGroups": [IMAGE],
        "resources": ["imagestreams/layers"],
        "resourceNames": ["app"],
    }
    assert not any("imagestreams" in rule["resources"] for rule in printed)
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in rules_of(who("admin"), "x")
    assert path_rules_of(who("admin"))[0] == {"verbs": ["*"], "nonResourceURLs": ["*"]}
    assert path_rules_of(Caller("x", groups=())) == []


ROLE = st.sampled_from([*ROLES, "self-provisioner", "unheard-of"])
BINDING = st.builds(
    Binding, ROLE, st.sampled_from(["*", "ns1", "ns2"]), st.sampled_from(["", "app"])
)
CALLER = st.builds(Caller, st.just("bob"), bindings=st.lists(BINDING, max_size=4).map(tuple))
KEYS = sorted({key for role in GRANTS.values() for key in role})


@given(CALLER, st.sampled_from(KEYS), st.sampled_from(["", "ns1", "ns2"]), BINDING)
def test_another_binding_never_takes_a_right_away(caller, key, namespace, more):
    group, resource, verb = key
    richer = Caller(caller.user, bindings=(*caller.bindings, more))
    before = may(caller, verb, resource, namespace, "app", group=group)
    assert may(richer, verb, resource, namespace, "app", group=group) >= before


@given(CALLER, st.sampled_from(KEYS), st.sampled_from(["ns1", "ns2"]))
def test_the_printed_rules_are_the_rights(caller, key, namespace):
    group, resource, verb = key
    if "*" in key or group == PROJECT or (group, resource) == ("", "namespaces"):
        return
    printed = any(
        {"*", verb} & set(rule["verbs"])
        and {"*", group} & set(rule["apiGroups"])
        and {"*", resource} & set(rule["resources"])
        and "app" in rule.get("resourceNames", ["app"])
        for rule in rules_of(caller, namespace)
    )
    assert may(caller, verb, resource, namespace, "app", group=group) == printed


def test_whoever_edits_may_view_and_whoever_administers_may_edit():
    for low, high in [
        ("view", "edit"),
        ("edit", "admin"),
        ("puller", "pusher"),
        ("auditor", "pruner"),
    ]:
        assert set(GRANTS[low]) <= set(GRANTS[high]), (low, high)
    assert set(ROLES) == {*RULES, "cluster-admin"} - {"self-provisioner", "everybody", "shared"}
