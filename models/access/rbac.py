"""Who asks, and whether they may (`api.md` D).

Rights are bindings: a role, in one namespace or (`*`) everywhere, perhaps for one stream only.
`admin` bound to `*` is cluster-admin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NotRequired, TypedDict, Unpack

from models.access.builtin_roles import (
    ADMIN,
    CLUSTER_ADMIN,
    EVERYBODY,
    EVERYTHING,
    GRANTS,
    IMAGE,
    OPEN_PATHS,
    PROJECT,
    RULES,
    SHARED,
    Rule,
)

EVERYWHERE = "*"
AUTHENTICATED = "system:authenticated"
USER_KIND, GROUP_KIND = "User", "Group"
# Resources that are themselves the namespace which their name says.
_ROOMS = frozenset({("", "namespaces"), (PROJECT, "projects")})


@dataclass(frozen=True, slots=True)
class Binding:
    """A role and where it counts. `subject` is whom it was given to; empty where implied."""

    role: str
    namespace: str = EVERYWHERE
    stream: str = ""
    subject_kind: str = USER_KIND
    subject: str = ""

    @property
    def is_cluster_admin(self) -> bool:
        return (
            self.namespace == EVERYWHERE and not self.stream and self.role in {ADMIN, CLUSTER_ADMIN}
        )

    def covers(self, namespace: str) -> bool:
        """Whether it counts in a namespace; the cluster scope is the empty one."""
        return self.namespace == EVERYWHERE or (namespace != "" and self.namespace == namespace)

    def __str__(self) -> str:
        where = "everywhere" if self.namespace == EVERYWHERE else f"in {self.namespace}"
        return f"{self.role} {where}" + (f" on {self.stream}" if self.stream else "")


_IMPLIED = (
    Binding(EVERYBODY, subject_kind=GROUP_KIND, subject=AUTHENTICATED),
    Binding(SHARED, "openshift", subject_kind=GROUP_KIND, subject=AUTHENTICATED),
)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token as it is remembered: never what it says."""

    name: str
    user: str
    groups: tuple[str, ...]
    uid: str
    created: datetime
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request, with every binding that speaks for them.

    `impersonator` is who really asked (`--as`). `credential` is the digest of their token.
    """

    user: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    bindings: tuple[Binding, ...] = ()
    uid: str = ""
    impersonator: str = ""
    credential: str = field(default="", repr=False, compare=False)

    @property
    def is_cluster_admin(self) -> bool:
        return any(binding.is_cluster_admin for binding in self.bindings)


class Wish(TypedDict):
    """What somebody wants to do to what; no namespace: at the cluster scope, or in all of them."""

    verb: str
    group: str
    resource: str
    subresource: NotRequired[str]
    namespace: NotRequired[str]
    name: NotRequired[str]


def allowed(caller: Caller, **wish: Unpack[Wish]) -> bool:
    """Whether the caller may do that, by the rights they came in with."""
    return find_binding(caller, **wish) is not None


def find_binding(
    caller: Caller,
    *,
    verb: str,
    group: str,
    resource: str,
    subresource: str = "",
    namespace: str = "",
    name: str = "",
) -> Binding | None:
    """The binding that allows it; None when nothing does."""
    if (group, resource) in _ROOMS and not namespace:
        namespace = name
    key = (group, f"{resource}/{subresource}" if subresource else resource, verb)
    for binding in _bindings(caller):
        if binding.is_cluster_admin:
            return binding
        if not binding.covers(namespace):
            continue
        if binding.stream and not (
            (resource == "imagestreams" and name == binding.stream) or (group, resource) in _ROOMS
        ):
            continue
        names = GRANTS.get(binding.role, {}).get(key)
        if names is not None and (not names or name in names):
            return binding
    return None


def allowed_path(caller: Caller, *, verb: str, path: str) -> bool:
    """Whether the caller may ask for a path that is no resource: discovery is open to all."""
    if caller.is_cluster_admin:
        return True
    if AUTHENTICATED not in caller.groups or verb not in {"get", "head", "options"}:
        return False
    return path == "/" or any(path == root or path.startswith(f"{root}/") for root in OPEN_PATHS)


def may_pull(caller: Caller, namespace: str, stream: str) -> bool:
    """`get imagestreams/layers`: pulls, and tagging from this stream elsewhere (D.3, D.4)."""
    return allowed(
        caller,
        verb="get",
        group=IMAGE,
        resource="imagestreams",
        subresource="layers",
        namespace=namespace,
        name=stream,
    )


def review_source(caller: Caller, namespace: str, stream: str) -> str | None:
    """The answer that a cross-namespace `from` is checked with (D.4): None for yes.

    The text of a refusal is empty: whether the source exists is nobody's business.
    """
    return None if may_pull(caller, namespace, stream) else ""


def may_import_from_anywhere(caller: Caller, namespace: str) -> bool:
    """Whether the allow-list is not asked before an import's fetch (D.3).

    `edit` may create mappings and is nevertheless asked (acceptance 210): as upstream, the right
    that counts is called `imagestreammapping`, which no role but cluster-admin holds.
    """
    return allowed(caller, verb="create", group=IMAGE, resource="images") or allowed(
        caller, verb="create", group=IMAGE, resource="imagestreammapping", namespace=namespace
    )


def visible_namespaces(caller: Caller) -> set[str] | None:
    """The namespaces in which the caller has a role; None: all of them (C21).

    `openshift`, which everybody may read, is not among them unless somebody said so.
    """
    seen: set[str] = set()
    for binding in caller.bindings:
        if binding.namespace != EVERYWHERE:
            seen.add(binding.namespace)
        elif binding.is_cluster_admin or (PROJECT, "projects", "get") in GRANTS.get(
            binding.role, {}
        ):
            return None
    return seen


def rules_of(caller: Caller, namespace: str) -> list[dict[str, Any]]:
    """What the caller may do in a namespace, as SelfSubjectRulesReview prints it (C20)."""
    found: list[dict[str, Any]] = []
    for binding in _bindings(caller):
        if not binding.covers(namespace):
            continue
        rules = (EVERYTHING,) if binding.is_cluster_admin else RULES.get(binding.role, ())
        for rule in rules:
            printed = _print_rule(rule, binding.stream)
            if printed is not None and printed not in found:
                found.append(printed)
    return found


def _print_rule(rule: Rule, stream: str) -> dict[str, Any] | None:
    """One rule on the wire; None when a binding to one stream leaves nothing of it."""
    resources, names = rule.resources, rule.names
    if stream and not {(rule.group, each) for each in resources} <= _ROOMS:
        resources = tuple(each for each in resources if each.split("/")[0] == "imagestreams")
        names = (stream,)
    if not resources:
        return None
    printed: dict[str, Any] = {
        "verbs": list(rule.verbs),
        "apiGroups": [rule.group],
        "resources": list(resources),
    }
    return printed | {"resourceNames": list(names)} if names else printed


def path_rules_of(caller: Caller) -> list[dict[str, Any]]:
    """The paths that the caller may ask for, as SelfSubjectRulesReview prints them."""
    rules: list[dict[str, Any]] = []
    if caller.is_cluster_admin:
        rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    if AUTHENTICATED in caller.groups:
        paths = sorted(("/", *OPEN_PATHS, *(f"{path}/*" for path in OPEN_PATHS)))
        rules.append({"verbs": ["get"], "nonResourceURLs": paths})
    return rules


def _bindings(caller: Caller) -> Iterator[Binding]:
    """The caller's own, then what everybody has who is authenticated."""
    yield from caller.bindings
    if AUTHENTICATED in caller.groups:
        yield from _IMPLIED
