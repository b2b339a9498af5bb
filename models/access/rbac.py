"""Authorization of one caller: role bindings and the decisions that follow from them (api-16.5).

A binding grants a role in one namespace or (`*`) in all of them, optionally for one image stream
only. `admin` bound to `*` is cluster-admin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NotRequired, TypedDict, Unpack

from models.access.builtin_roles import (
    ADMIN,
    ALLOW_ALL,
    AUTHENTICATED_ROLE,
    CLUSTER_ADMIN,
    DISCOVERY_PATHS,
    GRANTS,
    IMAGE_API_GROUP,
    OPENSHIFT_VIEWER_ROLE,
    PROJECT_API_GROUP,
    ROLE_RULES,
    PolicyRule,
)

ALL_NAMESPACES = "*"
AUTHENTICATED = "system:authenticated"
USER_KIND, GROUP_KIND = "User", "Group"
# Resources whose object name is the namespace that the request concerns.
_NAMESPACE_RESOURCES = frozenset({("", "namespaces"), (PROJECT_API_GROUP, "projects")})


@dataclass(frozen=True, slots=True)
class RoleBinding:
    """A role and the namespace where it holds.

    `subject` is the user or group it was granted to; it is empty where the binding is implied.
    """

    role: str
    namespace: str = ALL_NAMESPACES
    stream: str = ""
    subject_kind: str = USER_KIND
    subject: str = ""

    @property
    def is_cluster_admin(self) -> bool:
        return (
            self.namespace == ALL_NAMESPACES
            and not self.stream
            and self.role in {ADMIN, CLUSTER_ADMIN}
        )

    def covers(self, namespace: str) -> bool:
        """Return whether the binding holds in `namespace`; the cluster scope is the empty
        namespace.
        """
        return self.namespace == ALL_NAMESPACES or (namespace != "" and self.namespace == namespace)

    def __str__(self) -> str:
        where = "everywhere" if self.namespace == ALL_NAMESPACES else f"in {self.namespace}"
        return f"{self.role} {where}" + (f" on {self.stream}" if self.stream else "")


_IMPLIED_BINDINGS = (
    RoleBinding(AUTHENTICATED_ROLE, subject_kind=GROUP_KIND, subject=AUTHENTICATED),
    RoleBinding(OPENSHIFT_VIEWER_ROLE, "openshift", subject_kind=GROUP_KIND, subject=AUTHENTICATED),
)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A stored bearer token, without its secret value."""

    name: str
    user: str
    groups: tuple[str, ...]
    uid: str
    created: datetime
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who sent a request, with every role binding that applies to that user.

    `impersonator` is the user who sent the request with `--as`; it is empty without impersonation.
    `credential` is the digest of the bearer token.
    """

    user: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    bindings: tuple[RoleBinding, ...] = ()
    uid: str = ""
    impersonator: str = ""
    credential: str = field(default="", repr=False, compare=False)

    @property
    def is_cluster_admin(self) -> bool:
        return any(binding.is_cluster_admin for binding in self.bindings)


class AccessAttributes(TypedDict):
    """The attributes of one authorization request: verb, group, resource and object.

    Without `namespace` the request concerns the cluster scope, or all namespaces.
    """

    verb: str
    group: str
    resource: str
    subresource: NotRequired[str]
    namespace: NotRequired[str]
    name: NotRequired[str]


def is_allowed(caller: Caller, **attributes: Unpack[AccessAttributes]) -> bool:
    """Return whether a role binding of the caller allows the request."""
    return find_binding(caller, **attributes) is not None


def find_binding(
    caller: Caller,
    *,
    verb: str,
    group: str,
    resource: str,
    subresource: str = "",
    namespace: str = "",
    name: str = "",
) -> RoleBinding | None:
    """Return the role binding that allows the request, or None where no binding does.

    A request for a Namespace or Project object is decided in the namespace of that name.
    """
    if (group, resource) in _NAMESPACE_RESOURCES and not namespace:
        namespace = name
    key = (group, f"{resource}/{subresource}" if subresource else resource, verb)
    for binding in _effective_bindings(caller):
        if binding.is_cluster_admin:
            return binding
        if not binding.covers(namespace):
            continue
        if binding.stream and not (
            (resource == "imagestreams" and name == binding.stream)
            or (group, resource) in _NAMESPACE_RESOURCES
        ):
            continue
        names = GRANTS.get(binding.role, {}).get(key)
        if names is not None and (not names or name in names):
            return binding
    return None


def is_path_allowed(caller: Caller, *, verb: str, path: str) -> bool:
    """Return whether the caller may request a path that is not a resource (api-16.3, api-16.4).

    Every authenticated user may read the discovery paths.
    """
    if caller.is_cluster_admin:
        return True
    if AUTHENTICATED not in caller.groups or verb not in {"get", "head", "options"}:
        return False
    return path == "/" or any(
        path == root or path.startswith(f"{root}/") for root in DISCOVERY_PATHS
    )


def may_pull(caller: Caller, namespace: str, stream: str) -> bool:
    """Return whether the caller may `get imagestreams/layers` of a stream (api-16.7, api-16.8).

    That permission is needed to pull an image, and to tag from this stream in another namespace.
    """
    return is_allowed(
        caller,
        verb="get",
        group=IMAGE_API_GROUP,
        resource="imagestreams",
        subresource="layers",
        namespace=namespace,
        name=stream,
    )


def review_source(caller: Caller, namespace: str, stream: str) -> str | None:
    """Review a `from` in another namespace: return None if the caller may use it, else ""
    (api-16.8).

    The text of the refusal is empty so that it does not disclose whether the source exists.
    """
    return None if may_pull(caller, namespace, stream) else ""


def may_import_from_anywhere(caller: Caller, namespace: str) -> bool:
    """Return whether the check of the allow-list before an import's fetch is skipped (api-16.7,
    api-29.4).

    Role `edit` may create mappings and is checked nevertheless (acceptance 210): as upstream, the
    resource that counts is `imagestreammapping` (singular), which only cluster-admin is granted.
    """
    return is_allowed(
        caller, verb="create", group=IMAGE_API_GROUP, resource="images"
    ) or is_allowed(
        caller,
        verb="create",
        group=IMAGE_API_GROUP,
        resource="imagestreammapping",
        namespace=namespace,
    )


def visible_namespaces(caller: Caller) -> set[str] | None:
    """Return the namespaces in which the caller has a role, or None for all of them (api-15.4).

    `openshift`, which every authenticated user may read, is not listed unless a binding names it.
    """
    namespaces: set[str] = set()
    for binding in caller.bindings:
        if binding.namespace != ALL_NAMESPACES:
            namespaces.add(binding.namespace)
        elif binding.is_cluster_admin or (PROJECT_API_GROUP, "projects", "get") in GRANTS.get(
            binding.role, {}
        ):
            return None
    return namespaces


def namespace_rules(caller: Caller, namespace: str) -> list[dict[str, Any]]:
    """Return what the caller may do in a namespace, in the form of SelfSubjectRulesReview
    (api-15.3).
    """
    rules_wire: list[dict[str, Any]] = []
    for binding in _effective_bindings(caller):
        if not binding.covers(namespace):
            continue
        rules = (ALLOW_ALL,) if binding.is_cluster_admin else ROLE_RULES.get(binding.role, ())
        for rule in rules:
            wire = _rule_wire(rule, binding.stream)
            if wire is not None and wire not in rules_wire:
                rules_wire.append(wire)
    return rules_wire


def _rule_wire(rule: PolicyRule, stream: str) -> dict[str, Any] | None:
    """Return one rule in wire form, or None where a binding to one stream leaves nothing of the
    rule.
    """
    resources, names = rule.resources, rule.names
    if stream and not {(rule.group, each) for each in resources} <= _NAMESPACE_RESOURCES:
        resources = tuple(each for each in resources if each.split("/")[0] == "imagestreams")
        names = (stream,)
    if not resources:
        return None
    wire: dict[str, Any] = {
        "verbs": list(rule.verbs),
        "apiGroups": [rule.group],
        "resources": list(resources),
    }
    return wire | {"resourceNames": list(names)} if names else wire


def path_rules(caller: Caller) -> list[dict[str, Any]]:
    """Return the non-resource paths that the caller may read, in the form of
    SelfSubjectRulesReview.
    """
    rules: list[dict[str, Any]] = []
    if caller.is_cluster_admin:
        rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    if AUTHENTICATED in caller.groups:
        paths = sorted(("/", *DISCOVERY_PATHS, *(f"{path}/*" for path in DISCOVERY_PATHS)))
        rules.append({"verbs": ["get"], "nonResourceURLs": paths})
    return rules


def _effective_bindings(caller: Caller) -> Iterator[RoleBinding]:
    """Yield the caller's own bindings, then those that every authenticated user has."""
    yield from caller.bindings
    if AUTHENTICATED in caller.groups:
        yield from _IMPLIED_BINDINGS
