"""The roles of `api.md` D.5, each with what it grants. The table is the whole truth.

A rule counts inside the namespace that its role is bound to; bound to `*`, also at the cluster
scope. Cluster-wide resources (images) are therefore out of reach of a role bound to a namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

IMAGE = "image.openshift.io"
SYNC = "sync.tagstream.io"
PROJECT = "project.openshift.io"
USER = "user.openshift.io"
AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"

EVERY_VERB = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ = ("get", "list", "watch")
ANY = "*"

CLUSTER_ADMIN = "cluster-admin"
ADMIN = "admin"
SELF_PROVISIONER = "self-provisioner"
EVERYBODY = "everybody"
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on resources of one group; `names` limits it to objects of these names."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


_CONTENT = ("imagestreamimages", "imagestreams", "imagestreams/status")
_TAGS = ("imagestreamtags", "imagetags")
_LAYERS = ("imagestreams/layers",)

_NAMESPACE = (Rule("", ("namespaces",), READ), Rule(PROJECT, ("projects",), READ))
_IN_PROJECT = (Rule(PROJECT, ("projects",), ("get",)),)
_CALENDAR = Rule(SYNC, ("scheduledtags",), ("get", "list"))
_EVENTS = Rule("", ("events",), READ)
# Out of reach of whoever has a role in one namespace only, as it is no namespace's.
_REGISTRIES = Rule(SYNC, ("registries",), READ)
_LOOK = (
    Rule(IMAGE, (*_CONTENT, *_TAGS), READ),
    Rule(SYNC, ("importjobs",), READ),
    _CALENDAR,
    _EVENTS,
    _REGISTRIES,
)
_VIEW = (*_LOOK, *_NAMESPACE)
_EDIT = (
    Rule(IMAGE, ("imagestreams", *_TAGS), EVERY_VERB),
    Rule(IMAGE, ("imagestreamimages", "imagestreams/status"), READ),
    Rule(IMAGE, ("imagestreamimports", "imagestreammappings"), ("create",)),
    Rule(IMAGE, ("imagestreams/secrets",), ("get",)),
    Rule(IMAGE, _LAYERS, ("get", "update")),
    Rule(SYNC, ("importjobs",), EVERY_VERB),
    _CALENDAR,
    _EVENTS,
    _REGISTRIES,
    Rule("", ("secrets",), EVERY_VERB),
    *_NAMESPACE,
)
_OWN = ("delete", "patch", "update")
_ADMIN = (
    *_EDIT,
    Rule("", ("namespaces",), _OWN),
    Rule("", ("events",), ("delete",)),
    Rule(PROJECT, ("projects",), _OWN),
    Rule(AUTHORIZATION, ("localsubjectaccessreviews",), ("create",)),
)
_PULLER = (Rule(IMAGE, _LAYERS, ("get",)), *_IN_PROJECT)
_PUSHER = (
    Rule(IMAGE, _LAYERS, ("get", "update")),
    Rule(IMAGE, ("imagestreams",), ("create",)),
    *_IN_PROJECT,
)
_SIGNER = (
    Rule(IMAGE, ("images",), ("get",)),
    Rule(IMAGE, ("imagesignatures",), ("create", "delete")),
)
_AUDITOR = (Rule(IMAGE, ("images", *_LAYERS), READ), *_VIEW)
# What `oc adm prune images` reads before it begins (`api.md` F.12).
_WORKLOADS = (
    Rule("", ("limitranges", "pods", "replicationcontrollers"), ("list",)),
    Rule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), ("list",)),
    Rule("apps.openshift.io", ("deploymentconfigs",), ("list",)),
    Rule("batch", ("cronjobs", "jobs"), ("list",)),
    Rule("build.openshift.io", ("buildconfigs", "builds"), ("list",)),
)
_PRUNER = (
    *_AUDITOR,
    Rule(IMAGE, ("imagestreams/status",), ("update",)),
    Rule(IMAGE, ("images",), ("delete",)),
    *_WORKLOADS,
)
# Open to whoever is authenticated (`api.md` D.1): lists of projects show only one's own.
_EVERYBODY = (
    Rule(AUTHENTICATION, ("selfsubjectreviews",), ("create",)),
    Rule(AUTHORIZATION, ("selfsubjectaccessreviews", "selfsubjectrulesreviews"), ("create",)),
    Rule(USER, ("users",), ("get",), names=("~",)),
    Rule(PROJECT, ("projects",), ("list", "watch")),
)
# Everyone authenticated can view and pull namespace `openshift` (`api.md` D.5).
_SHARED = (*_VIEW, Rule(IMAGE, _LAYERS, ("get",)))

EVERYTHING = Rule(ANY, (ANY,), (ANY,))
"""What cluster-admin may."""

RULES: Mapping[str, tuple[Rule, ...]] = {
    ADMIN: _ADMIN,
    "edit": _EDIT,
    "view": _VIEW,
    "puller": _PULLER,
    "pusher": _PUSHER,
    "signer": _SIGNER,
    "auditor": _AUDITOR,
    "pruner": _PRUNER,
    SELF_PROVISIONER: (Rule(PROJECT, ("projectrequests",), ("create", "list")),),
    EVERYBODY: _EVERYBODY,
    SHARED: _SHARED,
}
ROLES = (
    *(ADMIN, "edit", "view", "puller", "pusher", "signer", "auditor", "pruner"),
    CLUSTER_ADMIN,
)
"""The roles that may be given away; the others are implied."""

CLUSTER_ROLES = frozenset({CLUSTER_ADMIN, "signer", "auditor", "pruner"})
"""Bound to `*` only (`api.md` D.5)."""

STREAM_ROLES = frozenset({"puller", "pusher"})
"""These may be limited to one stream."""

OPEN_PATHS = ("/api", "/apis", "/openapi", "/version")
"""Open to whoever is authenticated, with what lies below them; so is `/` alone."""

Key = tuple[str, str, str]


def _spread(rules: Iterable[Rule]) -> dict[Key, tuple[str, ...]]:
    """Every group, resource and verb, with the names it is limited to.

    `*` as a verb is asked for by `auth can-i '*'`: granted where all eight verbs are.
    """
    found: dict[Key, tuple[str, ...]] = {}
    for rule in rules:
        for resource in rule.resources:
            verbs = {
                verb for group, named, verb in found if (group, named) == (rule.group, resource)
            }
            verbs.update(rule.verbs)
            wide = (ANY,) if verbs.issuperset(EVERY_VERB) else ()
            for verb in (*rule.verbs, *wide):
                key = (rule.group, resource, verb)
                found[key] = rule.names if found.get(key, rule.names) else ()
    return found


GRANTS: Mapping[str, Mapping[Key, tuple[str, ...]]] = {
    role: _spread(rules) for role, rules in RULES.items()
}
