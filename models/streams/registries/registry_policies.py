"""The operator's word on each registry, as Registry objects have it. Pure.

What an object leaves out is what the nearest wider one says (`*.domain`), and else what the
settings say. Of blocked and insecure scopes the narrowest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from models.resources.registries import RegistrySpec
from models.streams.registries.registry_mirrors import (
    MirrorKind,
    MirrorRule,
    normal_scope,
    scope_holds,
)
from models.streams.schedule.check_interval import parse_interval


@dataclass(frozen=True, slots=True)
class RegistryPolicy:
    """How one registry is to be treated. None: as the settings have it; `interval` in seconds."""

    rate: float | None = None
    concurrency: int | None = None
    suspended: bool = False
    interval: int | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One Registry object: its scope in normal form, and its spec."""

    scope: str
    spec: RegistrySpec


class Policies:
    """All Registry objects as one value, never changed; `version` tells two apart."""

    __slots__ = (
        "_by_host",
        "_exact",
        "_wide",
        "blocked",
        "insecure",
        "intervals",
        "mirrors",
        "version",
    )

    def __init__(self, specs: Iterable[RegistrySpec] = (), *, version: int = 0) -> None:
        entries = [_Entry(normal_scope(spec.host), spec) for spec in specs]
        entries.sort(key=lambda entry: entry.scope)
        self.version = version
        self.blocked = _said((entry.scope, entry.spec.blocked) for entry in entries)
        self.insecure = _said((entry.scope, entry.spec.insecure) for entry in entries)
        self.mirrors = tuple(rule for entry in entries for rule in _mirror_rules(entry))
        self.intervals = tuple(
            (entry.scope, entry.spec.interval) for entry in entries if entry.spec.interval
        )
        self._exact = {entry.scope: entry.spec for entry in entries if _is_whole(entry.scope)}
        wide = [entry for entry in entries if entry.scope.startswith("*.")]
        self._wide = sorted(wide, key=lambda entry: len(entry.scope), reverse=True)
        self._by_host: dict[str, RegistryPolicy] = {}

    def policy(self, host: str) -> RegistryPolicy:
        """What counts for a registry, by any of its names: host or host:port."""
        found = self._by_host.get(host)
        if found is None:
            found = self._find(normal_scope(host))
            if len(self._by_host) < 4096:
                self._by_host[host] = found
        return found

    def _find(self, name: str) -> RegistryPolicy:
        policy = RegistryPolicy()
        for entry in reversed(self._wide):
            if scope_holds(entry.scope, name):
                policy = _narrowed(policy, entry.spec)
        exact = self._exact.get(name)
        return policy if exact is None else _narrowed(policy, exact)


def _narrowed(policy: RegistryPolicy, spec: RegistrySpec) -> RegistryPolicy:
    """The policy with all that a narrower object says."""
    if spec.rate is not None:
        policy = replace(policy, rate=spec.rate)
    if spec.concurrency is not None:
        policy = replace(policy, concurrency=spec.concurrency)
    if spec.suspended is not None:
        policy = replace(policy, suspended=spec.suspended)
    if spec.interval:
        policy = replace(policy, interval=parse_interval(spec.interval))
    return policy


def _said(pairs: Iterable[tuple[str, bool | None]]) -> dict[str, bool]:
    return {scope: value for scope, value in pairs if value is not None}


def _mirror_rules(entry: _Entry) -> Iterable[MirrorRule]:
    """The mirrors of an object, once for each kind of thing that they serve."""
    kinds: tuple[MirrorKind, ...] = ("digest", "tag")
    for kind in kinds:
        places = tuple(each.location for each in entry.spec.mirrors if each.kind in {"", kind})
        if places:
            yield MirrorRule(entry.scope, places, kind, entry.spec.never_contact_source)


def _is_whole(scope: str) -> bool:
    return "/" not in scope and not scope.startswith("*.")


NO_POLICIES = Policies()
