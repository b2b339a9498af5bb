"""Blocked, insecure and mirrored registries, and the sources that serve a reference.

Mirror definitions are merged as imports-2.19 says. Unlike upstream, blocked and insecure scopes may
have paths or wildcards (imports-2.16, imports-2.17), each endpoint is insecure or not by itself
(imports-2.18), and a source that is never to be contacted is not contacted (imports-2.20).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from models.reference import DOCKER_HUB, DOCKER_HUB_HOSTS, Reference, is_digest

MirrorKind = Literal["digest", "tag"]


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """Mirrors of one source scope in the order in which they were written; `kind` is what they
    serve.
    """

    source: str
    mirrors: tuple[str, ...] = ()
    kind: MirrorKind = "digest"
    never_contact_source: bool = False


@dataclass(frozen=True, slots=True)
class MirroredScope:
    """One source scope with its merged mirrors."""

    source: str
    digest: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    never_contact_source: bool = False


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """The operator's configuration of registries. A scope is `host[:port][/path…]` or `*.domain`.

    `allowed` and `verified` scopes are narrower exceptions to blocked and to insecure ones.
    """

    blocked: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    mirrored: tuple[MirroredScope, ...] = ()
    allowed: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()

    def is_blocked(self, reference: Reference) -> bool:
        """Return whether nothing may be requested: the scope is blocked and no mirror serves it
        (imports-2.17).
        """
        name = reference.repository_key()
        return _is_within(name, self.blocked, self.allowed) and not self.manifest_sources(reference)

    def is_insecure(self, endpoint: str) -> bool:
        """Return whether the endpoint's certificate is not verified and http may be tried
        (imports-2.18).
        """
        return _is_within(normalise_scope(endpoint), self.insecure, self.verified)

    def manifest_sources(self, reference: Reference) -> tuple[Reference, ...]:
        """Return the sources of a manifest in order: mirrors first, then the written one
        (imports-2.20).
        """
        return self._sources(reference, "digest" if is_digest(reference.id) else "tag")

    def tag_list_sources(self, reference: Reference) -> tuple[Reference, ...]:
        """Return the sources of a tag list in order: tag mirrors first (imports-2.20)."""
        return self._sources(reference, "tag")

    def _sources(self, reference: Reference, kind: MirrorKind) -> tuple[Reference, ...]:
        if not self.mirrored and not self.blocked:
            return (reference,)
        name = reference.repository_key()
        matching = [entry for entry in self.mirrored if scope_contains(entry.source, name)]
        matching.sort(key=lambda entry: len(entry.source), reverse=True)
        locations = [
            mirror + name[len(_matched_prefix(entry.source, name)) :]
            for entry in matching[:1]
            for mirror in (entry.digest if kind == "digest" else entry.tag)
        ]
        contacts_source = not (matching and matching[0].never_contact_source)
        if contacts_source:
            locations.append(name)
        allowed = [
            location
            for location in locations
            if not _is_within(location, self.blocked, self.allowed)
            and (contacts_source or location != name)
        ]
        return tuple(
            reference if location == name else _relocate(reference, location)
            for location in allowed
        )


def build_registry_config(
    blocked: Iterable[str],
    insecure: Iterable[str],
    rules: Iterable[MirrorRule],
    *,
    allowed: Iterable[str] = (),
    verified: Iterable[str] = (),
) -> RegistryConfig:
    """Build the configuration with merged mirrors (imports-2.19, imports-2.20)."""
    known = [_normalise_rule(rule) for rule in rules]
    scopes = [_merge_scope(source, known) for source in sorted({rule.source for rule in known})]
    return RegistryConfig(
        blocked=_normalise_scopes(blocked),
        insecure=_normalise_scopes(insecure),
        mirrored=tuple(_inherit_mirrors(scope, scopes) for scope in scopes),
        allowed=_normalise_scopes(allowed),
        verified=_normalise_scopes(verified),
    )


def _normalise_rule(rule: MirrorRule) -> MirrorRule:
    mirrors = tuple(normalise_scope(mirror) for mirror in rule.mirrors)
    return replace(rule, source=normalise_scope(rule.source), mirrors=mirrors)


def _normalise_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(normalise_scope, scopes)))


def normalise_scope(scope: str) -> str:
    """Normalize a scope: host in lower case, one name for Docker Hub, no slash at the end."""
    host, slash, path = scope.strip().rstrip("/").partition("/")
    host = host.lower()
    return f"{DOCKER_HUB if host in DOCKER_HUB_HOSTS else host}{slash}{path}"


def _merge_scope(source: str, rules: Sequence[MirrorRule]) -> MirroredScope:
    own_rules = [rule for rule in rules if rule.source == source]
    lists: dict[MirrorKind, list[tuple[str, ...]]] = {"digest": [], "tag": []}
    for rule in own_rules:
        if set(rule.mirrors) - {source}:
            lists[rule.kind].append(rule.mirrors)
    return MirroredScope(
        source,
        digest=merge_mirrors(source, lists["digest"]),
        tag=merge_mirrors(source, lists["tag"]),
        never_contact_source=any(rule.never_contact_source for rule in own_rules),
    )


def _inherit_mirrors(scope: MirroredScope, all_scopes: Sequence[MirroredScope]) -> MirroredScope:
    """Give a scope without mirrors those of the narrowest mirrored scope that contains it."""
    if scope.digest or scope.tag:
        return scope
    enclosing = [
        other
        for other in all_scopes
        if (other.digest or other.tag) and scope_contains(other.source, scope.source)
    ]
    if not enclosing:
        return scope
    narrowest = max(enclosing, key=lambda other: len(other.source))
    suffix = scope.source[len(_matched_prefix(narrowest.source, scope.source)) :]
    return replace(
        scope,
        digest=tuple(mirror + suffix for mirror in narrowest.digest),
        tag=tuple(mirror + suffix for mirror in narrowest.tag),
    )


def merge_mirrors(source: str, lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Merge lists into one order that respects every list where they agree, else lexical order.

    Example: `[a, c]` and `[b, c]` merge into `a, b, c`. The source itself is dropped from the end.
    """
    after: dict[str, set[str]] = {}
    for mirrors in lists:
        chain = list(mirrors) if source in mirrors else [*mirrors, source]
        for mirror in chain:
            after.setdefault(mirror, set())
        for earlier, later in pairwise(chain):
            if earlier != later:
                after[earlier].add(later)
    order = _sort_topologically(after)
    if order and order[-1] == source:
        order.pop()
    return tuple(order)


def _sort_topologically(after: dict[str, set[str]]) -> list[str]:
    """Sort by Kahn's algorithm; in a cycle the lexically first unused node goes first."""
    predecessor_counts = {node: sum(node in later for later in after.values()) for node in after}
    ready = sorted(node for node, count in predecessor_counts.items() if not count)
    order: list[str] = []
    used: set[str] = set()
    while len(order) < len(after):
        if not ready:
            ready = [min(node for node in after if node not in used)]
        node = ready.pop(0)
        if node in used:
            continue
        used.add(node)
        order.append(node)
        freed = []
        for later in sorted(after[node]):
            predecessor_counts[later] -= 1
            if predecessor_counts[later] == 0 and later not in used:
                freed.append(later)
        ready.extend(freed)
    return order


def _is_within(name: str, scopes: Collection[str], exceptions: Collection[str]) -> bool:
    """Return whether a scope contains `name` and no narrower exception does."""
    found = [scope for scope in scopes if scope_contains(scope, name)]
    if not found or not exceptions:
        return bool(found)
    exception_specificities = [
        _specificity(scope) for scope in exceptions if scope_contains(scope, name)
    ]
    return not exception_specificities or max(map(_specificity, found)) > max(
        exception_specificities
    )


def _specificity(scope: str) -> tuple[bool, int]:
    """Return a key that is greater for the narrower of two scopes that contain the same name."""
    return not scope.startswith("*."), len(scope)


def scope_contains(scope: str, name: str) -> bool:
    """Return whether `name` equals `scope` or lies below it, at a boundary."""
    if scope.startswith("*."):
        return name.partition("/")[0].endswith(scope[1:])
    return name == scope or name.startswith(scope + "/")


def _matched_prefix(scope: str, name: str) -> str:
    """Return the part of `name` that `scope` matches: the host for a wildcard."""
    return name.partition("/")[0] if scope.startswith("*.") else scope


def _relocate(reference: Reference, location: str) -> Reference:
    """Return the reference at another repository, with its tag and digest."""
    host, _, path = location.partition("/")
    namespace, slash, name = path.partition("/")
    if not slash:
        namespace, name = "", path
    return Reference(host, namespace, name, reference.tag, reference.id)
