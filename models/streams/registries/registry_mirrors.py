"""Which registries are blocked, insecure or mirrored, and where a reference is asked for.

The merge of mirror definitions is that of `import.md` 2.5. Unlike upstream, blocked and insecure
scopes with paths or wildcards count, each endpoint decides for itself whether it is insecure, and
a source that is never to be contacted is not contacted (Q10 to Q13).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from models.reference import DOCKER_HUB, HUB_HOSTS, Reference, is_digest

MirrorKind = Literal["digest", "tag"]


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """Mirrors of one source scope, in the order they were written; `kind` says what they serve."""

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
class Registries:
    """The operator's word on registries. Scopes are `host[:port][/path…]` or `*.domain`.

    Narrower scopes that are `allowed` after all, or `verified`, are exceptions to wider ones.
    """

    blocked: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    mirrored: tuple[MirroredScope, ...] = ()
    allowed: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()

    def is_blocked(self, reference: Reference) -> bool:
        """Whether nothing may be asked for: the scope is blocked and no mirror stands in for it."""
        name = reference.repository_key()
        return _is_within(name, self.blocked, self.allowed) and not self.sources(reference)

    def is_insecure(self, endpoint: str) -> bool:
        """Whether that endpoint's certificate goes unverified and plain http may be tried."""
        return _is_within(normal_scope(endpoint), self.insecure, self.verified)

    def sources(self, reference: Reference) -> tuple[Reference, ...]:
        """Where a manifest is asked for, in order: mirrors first, then what was written."""
        return self._sources(reference, "digest" if is_digest(reference.id) else "tag")

    def list_sources(self, reference: Reference) -> tuple[Reference, ...]:
        """Where a tag list is asked for: tag mirrors first (Q13)."""
        return self._sources(reference, "tag")

    def _sources(self, reference: Reference, kind: MirrorKind) -> tuple[Reference, ...]:
        if not self.mirrored and not self.blocked:
            return (reference,)
        name = reference.repository_key()
        fitting = [entry for entry in self.mirrored if scope_holds(entry.source, name)]
        fitting.sort(key=lambda entry: len(entry.source), reverse=True)
        places = [
            mirror + name[len(_matched(entry.source, name)) :]
            for entry in fitting[:1]
            for mirror in (entry.digest if kind == "digest" else entry.tag)
        ]
        contact = not (fitting and fitting[0].never_contact_source)
        if contact:
            places.append(name)
        allowed = [
            place
            for place in places
            if not _is_within(place, self.blocked, self.allowed) and (contact or place != name)
        ]
        return tuple(reference if place == name else _moved(reference, place) for place in allowed)


def build_registries(
    blocked: Iterable[str],
    insecure: Iterable[str],
    rules: Iterable[MirrorRule],
    *,
    allowed: Iterable[str] = (),
    verified: Iterable[str] = (),
) -> Registries:
    """The configuration as written, merged (`import.md` 2.5, build steps 1 to 5)."""
    known = [_normalised(rule) for rule in rules]
    scopes = [_merged(source, known) for source in sorted({rule.source for rule in known})]
    return Registries(
        blocked=_normal_scopes(blocked),
        insecure=_normal_scopes(insecure),
        mirrored=tuple(_inherit(scope, scopes) for scope in scopes),
        allowed=_normal_scopes(allowed),
        verified=_normal_scopes(verified),
    )


def _normalised(rule: MirrorRule) -> MirrorRule:
    mirrors = tuple(normal_scope(mirror) for mirror in rule.mirrors)
    return replace(rule, source=normal_scope(rule.source), mirrors=mirrors)


def _normal_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(normal_scope, scopes)))


def normal_scope(scope: str) -> str:
    """Hosts in lower case, Docker Hub under one name, no slash at the end."""
    host, slash, path = scope.strip().rstrip("/").partition("/")
    host = host.lower()
    return f"{DOCKER_HUB if host in HUB_HOSTS else host}{slash}{path}"


def _merged(source: str, rules: Sequence[MirrorRule]) -> MirroredScope:
    mine = [rule for rule in rules if rule.source == source]
    lists: dict[MirrorKind, list[tuple[str, ...]]] = {"digest": [], "tag": []}
    for rule in mine:
        if set(rule.mirrors) - {source}:
            lists[rule.kind].append(rule.mirrors)
    return MirroredScope(
        source,
        digest=merge_mirrors(source, lists["digest"]),
        tag=merge_mirrors(source, lists["tag"]),
        never_contact_source=any(rule.never_contact_source for rule in mine),
    )


def _inherit(scope: MirroredScope, all_scopes: Sequence[MirroredScope]) -> MirroredScope:
    """A scope without mirrors has those of the narrowest mirrored scope around it."""
    if scope.digest or scope.tag:
        return scope
    around = [
        other
        for other in all_scopes
        if (other.digest or other.tag) and scope_holds(other.source, scope.source)
    ]
    if not around:
        return scope
    outer = max(around, key=lambda other: len(other.source))
    rest = scope.source[len(_matched(outer.source, scope.source)) :]
    return replace(
        scope,
        digest=tuple(mirror + rest for mirror in outer.digest),
        tag=tuple(mirror + rest for mirror in outer.tag),
    )


def merge_mirrors(source: str, lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """One order that respects every list's order where they agree; lexical where they do not."""
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
    """Kahn's order; of a cycle the lexically first unused node goes first."""
    waits = {node: sum(node in later for later in after.values()) for node in after}
    ready = sorted(node for node, count in waits.items() if not count)
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
            waits[later] -= 1
            if waits[later] == 0 and later not in used:
                freed.append(later)
        ready.extend(freed)
    return order


def _is_within(name: str, scopes: Collection[str], exceptions: Collection[str]) -> bool:
    """Whether a scope holds `name`, and no narrower exception does."""
    found = [scope for scope in scopes if scope_holds(scope, name)]
    if not found or not exceptions:
        return bool(found)
    against = [_width(scope) for scope in exceptions if scope_holds(scope, name)]
    return not against or max(map(_width, found)) > max(against)


def _width(scope: str) -> tuple[bool, int]:
    """Greater for the narrower of two scopes that hold the same name."""
    return not scope.startswith("*."), len(scope)


def scope_holds(scope: str, name: str) -> bool:
    """Whether `name` is `scope` or lies below it, at a boundary."""
    if scope.startswith("*."):
        return name.partition("/")[0].endswith(scope[1:])
    return name == scope or name.startswith(scope + "/")


def _matched(scope: str, name: str) -> str:
    """The part of `name` that `scope` stands for: of a wildcard, the host."""
    return name.partition("/")[0] if scope.startswith("*.") else scope


def _moved(reference: Reference, place: str) -> Reference:
    """The reference at another place, with its tag and digest."""
    host, _, path = place.partition("/")
    namespace, slash, name = path.partition("/")
    if not slash:
        namespace, name = "", path
    return Reference(host, namespace, name, reference.tag, reference.id)
