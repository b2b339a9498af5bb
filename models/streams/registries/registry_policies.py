"""Policies of registries from Registry objects. Pure.

A field that an object omits comes from the next wider object (`*.domain`), else from the settings.
Of blocked and insecure scopes the narrowest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from models.resources.registries import RegistrySpec
from models.streams.registries.registry_mirrors import (
    MirrorKind,
    MirrorRule,
    normalise_scope,
    scope_contains,
)
from models.streams.schedule.check_interval import parse_interval


@dataclass(frozen=True, slots=True)
class RegistryPolicy:
    """The policy of one registry; None is the settings' value, `interval` is in seconds."""

    rate: float | None = None
    concurrency: int | None = None
    suspended: bool = False
    interval: int | None = None


@dataclass(frozen=True, slots=True)
class _PolicyEntry:
    """One Registry object: its normalized scope and its spec."""

    scope: str
    spec: RegistrySpec


class RegistryPolicies:
    """All Registry objects as one immutable value; `version` tells two of them apart."""

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
        entries = [_PolicyEntry(normalise_scope(spec.host), spec) for spec in specs]
        entries.sort(key=lambda entry: entry.scope)
        self.version = version
        self.blocked = _explicit_values((entry.scope, entry.spec.blocked) for entry in entries)
        self.insecure = _explicit_values((entry.scope, entry.spec.insecure) for entry in entries)
        self.mirrors = tuple(rule for entry in entries for rule in _build_mirror_rules(entry))
        self.intervals = tuple(
            (entry.scope, entry.spec.interval) for entry in entries if entry.spec.interval
        )
        self._exact = {
            entry.scope: entry.spec for entry in entries if _is_whole_registry(entry.scope)
        }
        wildcard_entries = [entry for entry in entries if entry.scope.startswith("*.")]
        self._wide = sorted(wildcard_entries, key=lambda entry: len(entry.scope), reverse=True)
        self._by_host: dict[str, RegistryPolicy] = {}

    def policy(self, host: str) -> RegistryPolicy:
        """Return the policy of a registry by any of its names: host or host:port."""
        found = self._by_host.get(host)
        if found is None:
            found = self._find(normalise_scope(host))
            if len(self._by_host) < 4096:
                self._by_host[host] = found
        return found

    def _find(self, name: str) -> RegistryPolicy:
        policy = RegistryPolicy()
        for entry in reversed(self._wide):
            if scope_contains(entry.scope, name):
                policy = _override_policy(policy, entry.spec)
        exact = self._exact.get(name)
        return policy if exact is None else _override_policy(policy, exact)


def _override_policy(policy: RegistryPolicy, spec: RegistrySpec) -> RegistryPolicy:
    """Return the policy with every field that a narrower object sets."""
    if spec.rate is not None:
        policy = replace(policy, rate=spec.rate)
    if spec.concurrency is not None:
        policy = replace(policy, concurrency=spec.concurrency)
    if spec.suspended is not None:
        policy = replace(policy, suspended=spec.suspended)
    if spec.interval:
        policy = replace(policy, interval=parse_interval(spec.interval))
    return policy


def _explicit_values(pairs: Iterable[tuple[str, bool | None]]) -> dict[str, bool]:
    return {scope: value for scope, value in pairs if value is not None}


def _build_mirror_rules(entry: _PolicyEntry) -> Iterable[MirrorRule]:
    """Yield the mirrors of an object, one rule for each kind of request that they serve."""
    kinds: tuple[MirrorKind, ...] = ("digest", "tag")
    for kind in kinds:
        locations = tuple(each.location for each in entry.spec.mirrors if each.kind in {"", kind})
        if locations:
            yield MirrorRule(entry.scope, locations, kind, entry.spec.never_contact_source)


def _is_whole_registry(scope: str) -> bool:
    return "/" not in scope and not scope.startswith("*.")


NO_POLICIES = RegistryPolicies()
