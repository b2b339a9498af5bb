"""The built-in roles and the policy rules that each one grants (api-16.9).

A rule holds in the namespace that its role is bound to; in a binding to `*` it holds in every
namespace and for cluster-scoped resources too. A role that is bound to one namespace therefore
never reaches cluster-scoped resources such as images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

IMAGE_API_GROUP = "image.openshift.io"
SYNC_API_GROUP = "sync.tagstream.io"
PROJECT_API_GROUP = "project.openshift.io"
USER_API_GROUP = "user.openshift.io"
AUTHORIZATION_API_GROUP = "authorization.k8s.io"
AUTHENTICATION_API_GROUP = "authentication.k8s.io"

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list", "watch")
WILDCARD = "*"

CLUSTER_ADMIN = "cluster-admin"
ADMIN = "admin"
SELF_PROVISIONER = "self-provisioner"
AUTHENTICATED_ROLE = "everybody"
OPENSHIFT_VIEWER_ROLE = "shared"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Verbs on resources of one API group. `names` limits the rule to objects with these names."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


_STREAM_RESOURCES = ("imagestreamimages", "imagestreams", "imagestreams/status")
_TAG_RESOURCES = ("imagestreamtags", "imagetags")
_LAYER_RESOURCES = ("imagestreams/layers",)

_READ_NAMESPACE_RULES = (
    PolicyRule("", ("namespaces",), READ_VERBS),
    PolicyRule(PROJECT_API_GROUP, ("projects",), READ_VERBS),
)
_GET_PROJECT_RULES = (PolicyRule(PROJECT_API_GROUP, ("projects",), ("get",)),)
_SCHEDULE_RULE = PolicyRule(SYNC_API_GROUP, ("scheduledtags",), ("get", "list"))
_EVENTS_RULE = PolicyRule("", ("events",), READ_VERBS)
# Registries are cluster-scoped: a role that is bound to one namespace does not reach them.
_REGISTRIES_RULE = PolicyRule(SYNC_API_GROUP, ("registries",), READ_VERBS)
_READ_RULES = (
    PolicyRule(IMAGE_API_GROUP, (*_STREAM_RESOURCES, *_TAG_RESOURCES), READ_VERBS),
    PolicyRule(SYNC_API_GROUP, ("importjobs",), READ_VERBS),
    _SCHEDULE_RULE,
    _EVENTS_RULE,
    _REGISTRIES_RULE,
)
_VIEW_RULES = (*_READ_RULES, *_READ_NAMESPACE_RULES)
# `create` of a virtual resource needs no right on what it writes: imagestreammappings writes
# Images, imagestreamimports uses the namespace's pull secrets (api-16.6).
_EDIT_RULES = (
    PolicyRule(IMAGE_API_GROUP, ("imagestreams", *_TAG_RESOURCES), ALL_VERBS),
    PolicyRule(IMAGE_API_GROUP, ("imagestreamimages", "imagestreams/status"), READ_VERBS),
    PolicyRule(IMAGE_API_GROUP, ("imagestreamimports", "imagestreammappings"), ("create",)),
    PolicyRule(IMAGE_API_GROUP, ("imagestreams/secrets",), ("get",)),
    PolicyRule(IMAGE_API_GROUP, _LAYER_RESOURCES, ("get", "update")),
    PolicyRule(SYNC_API_GROUP, ("importjobs",), ALL_VERBS),
    _SCHEDULE_RULE,
    _EVENTS_RULE,
    _REGISTRIES_RULE,
    PolicyRule("", ("secrets",), ALL_VERBS),
    *_READ_NAMESPACE_RULES,
)
_UPDATE_VERBS = ("delete", "patch", "update")
_ADMIN_RULES = (
    *_EDIT_RULES,
    PolicyRule("", ("namespaces",), _UPDATE_VERBS),
    PolicyRule("", ("events",), ("delete",)),
    PolicyRule(PROJECT_API_GROUP, ("projects",), _UPDATE_VERBS),
    PolicyRule(AUTHORIZATION_API_GROUP, ("localsubjectaccessreviews",), ("create",)),
)
_PULLER_RULES = (PolicyRule(IMAGE_API_GROUP, _LAYER_RESOURCES, ("get",)), *_GET_PROJECT_RULES)
_PUSHER_RULES = (
    PolicyRule(IMAGE_API_GROUP, _LAYER_RESOURCES, ("get", "update")),
    PolicyRule(IMAGE_API_GROUP, ("imagestreams",), ("create",)),
    *_GET_PROJECT_RULES,
)
_SIGNER_RULES = (
    PolicyRule(IMAGE_API_GROUP, ("images",), ("get",)),
    PolicyRule(IMAGE_API_GROUP, ("imagesignatures",), ("create", "delete")),
)
_AUDITOR_RULES = (
    PolicyRule(IMAGE_API_GROUP, ("images", *_LAYER_RESOURCES), READ_VERBS),
    *_VIEW_RULES,
)
# What `oc adm prune images` reads before it begins (api-30.6).
_WORKLOAD_RULES = (
    PolicyRule("", ("limitranges", "pods", "replicationcontrollers"), ("list",)),
    PolicyRule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), ("list",)),
    PolicyRule("apps.openshift.io", ("deploymentconfigs",), ("list",)),
    PolicyRule("batch", ("cronjobs", "jobs"), ("list",)),
    PolicyRule("build.openshift.io", ("buildconfigs", "builds"), ("list",)),
)
_PRUNER_RULES = (
    *_AUDITOR_RULES,
    PolicyRule(IMAGE_API_GROUP, ("imagestreams/status",), ("update",)),
    PolicyRule(IMAGE_API_GROUP, ("images",), ("delete",)),
    *_WORKLOAD_RULES,
)
# Every authenticated user has these (api-16.4). Lists of projects show only the user's own.
_AUTHENTICATED_RULES = (
    PolicyRule(AUTHENTICATION_API_GROUP, ("selfsubjectreviews",), ("create",)),
    PolicyRule(
        AUTHORIZATION_API_GROUP,
        ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        ("create",),
    ),
    PolicyRule(USER_API_GROUP, ("users",), ("get",), names=("~",)),
    PolicyRule(PROJECT_API_GROUP, ("projects",), ("list", "watch")),
)
# Every authenticated user can view and pull namespace `openshift` (api-16.4).
_OPENSHIFT_VIEWER_RULES = (*_VIEW_RULES, PolicyRule(IMAGE_API_GROUP, _LAYER_RESOURCES, ("get",)))

ALLOW_ALL = PolicyRule(WILDCARD, (WILDCARD,), (WILDCARD,))
"""The only rule of cluster-admin: every verb on every resource."""

ROLE_RULES: Mapping[str, tuple[PolicyRule, ...]] = {
    ADMIN: _ADMIN_RULES,
    "edit": _EDIT_RULES,
    "view": _VIEW_RULES,
    "puller": _PULLER_RULES,
    "pusher": _PUSHER_RULES,
    "signer": _SIGNER_RULES,
    "auditor": _AUDITOR_RULES,
    "pruner": _PRUNER_RULES,
    SELF_PROVISIONER: (PolicyRule(PROJECT_API_GROUP, ("projectrequests",), ("create", "list")),),
    AUTHENTICATED_ROLE: _AUTHENTICATED_RULES,
    OPENSHIFT_VIEWER_ROLE: _OPENSHIFT_VIEWER_RULES,
}
GRANTABLE_ROLES = (
    *(ADMIN, "edit", "view", "puller", "pusher", "signer", "auditor", "pruner"),
    CLUSTER_ADMIN,
)
"""The roles that an administrator can bind to a user or group; the others are implied."""

CLUSTER_ROLES = frozenset({CLUSTER_ADMIN, "signer", "auditor", "pruner"})
"""Roles that can be bound to `*` only (api-16.9)."""

STREAM_ROLES = frozenset({"puller", "pusher"})
"""Roles whose binding can be limited to one image stream."""

DISCOVERY_PATHS = ("/api", "/apis", "/openapi", "/version")
"""Path prefixes that every authenticated user may read; `/` alone may be read as well."""

GrantKey = tuple[str, str, str]


def _expand_rules(rules: Iterable[PolicyRule]) -> dict[GrantKey, tuple[str, ...]]:
    """Return every granted (group, resource, verb) with the object names it is limited to (empty:
    all).

    The verb `*`, which `oc auth can-i '*'` asks about, is granted where all eight verbs are
    granted.
    """
    grants: dict[GrantKey, tuple[str, ...]] = {}
    for rule in rules:
        for resource in rule.resources:
            verbs = {
                verb for group, named, verb in grants if (group, named) == (rule.group, resource)
            }
            verbs.update(rule.verbs)
            wildcard = (WILDCARD,) if verbs.issuperset(ALL_VERBS) else ()
            for verb in (*rule.verbs, *wildcard):
                key = (rule.group, resource, verb)
                grants[key] = rule.names if grants.get(key, rule.names) else ()
    return grants


GRANTS: Mapping[str, Mapping[GrantKey, tuple[str, ...]]] = {
    role: _expand_rules(rules) for role, rules in ROLE_RULES.items()
}
