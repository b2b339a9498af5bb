"""Registries at the desk: found by their host or name, shown with how they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cli.backend.api_paths import path_of
from cli.backend.rest_client import Rest
from cli.rendering.formatting import format_age, format_ahead
from cli.rendering.output import Cell, print_columns, print_names
from cli.rendering.table_output import Look, print_documents
from models.errors import NotFoundError
from models.resources.registries import Registry
from models.streams.registries.registry_mirrors import normal_scope

SYNC_GROUP = "sync.tagstream.io"
RESOURCE = "registries"
_STYLES = {"Healthy": "green", "Limited": "yellow", "Down": "red", "Unknown": "dim"}
_BREAKERS = {"closed": "dim", "open": "red", "half-open": "yellow"}


def list_registries(rest: Rest) -> list[Registry]:
    """All of them, in the order of names."""
    path = path_of(SYNC_GROUP, RESOURCE)
    return [Registry.model_validate(wire) for wire in rest.pages(path)]


def find_registry(rest: Rest, wanted: str) -> Registry | None:
    """The one of that name, or the one that speaks for that host."""
    every = list_registries(rest)
    scope = normal_scope(wanted)
    named = [each for each in every if each.metadata.name == wanted]
    meant = [each for each in every if normal_scope(each.spec.host) == scope]
    return next(iter([*meant, *named]), None)


def need_registry(rest: Rest, wanted: str) -> Registry:
    """As `find_registry`; NotFoundError where there is none."""
    found = find_registry(rest, wanted)
    if found is None:
        raise NotFoundError(resource=RESOURCE, name=wanted, group=SYNC_GROUP)
    return found


def print_registries(registries: Sequence[Registry], look: Look) -> int:
    """Registries in the form that was asked for; how many."""
    match look.style:
        case "name":
            print_names(f"registry.{SYNC_GROUP}/{each.metadata.name}" for each in registries)
        case "json" | "yaml":
            wires = [each.wire() for each in registries]
            print_documents("Registry", wires, look, version=f"{SYNC_GROUP}/v1")
        case _ if registries:
            header = ["HOST", "HEALTH", "RATE", "IN-FLIGHT", "QUOTA", "TAGS", "BREAKER"]
            if look.wide:
                header += ["POLICY", "LAST-SEEN", "LAST-ERROR"]
            print_columns(header, [_row(each, look) for each in registries])
    return len(registries)


def _row(registry: Registry, look: Look) -> list[Cell]:
    status = registry.status
    breaker = status.breaker.state if status.breaker is not None else "-"
    if status.breaker is not None and status.breaker.until is not None:
        breaker += f", tried {format_ahead(status.breaker.until, look.now)}"
    health = status.health
    if status.limited_until is not None:
        health += f", over {format_ahead(status.limited_until, look.now)}"
    state = "" if status.breaker is None else status.breaker.state
    row: list[Cell] = [
        (registry.spec.host, "bold"),
        (health, _STYLES.get(status.health, "")),
        _rate(registry),
        f"{status.in_flight}/{status.limit}" if status.limit else "-",
        _quota(registry, look.now),
        _tags(registry),
        (breaker, _BREAKERS.get(state, "dim")),
    ]
    if look.wide:
        seen = format_age(status.last_seen, look.now) or "never"
        row += [policy_words(registry), (seen, "dim"), status.last_error]
    return row


def _rate(registry: Registry) -> Cell:
    spec, rate = registry.spec, registry.status.rate
    if spec.blocked:
        return "blocked", "red"
    if spec.suspended:
        return "suspended", "yellow"
    if rate is None:
        return "-"
    return f"{rate:g}/s" if rate else "no limit"


def _quota(registry: Registry, now: datetime) -> str:
    """Of the quota that is the nearest to its end, and when there is more."""
    quotas = registry.status.quotas
    if not quotas:
        return "-"
    least = min(quotas, key=lambda quota: quota.remaining / max(1, quota.limit))
    more = "" if least.resets is None else f", more {format_ahead(least.resets, now)}"
    return f"{least.remaining}/{least.limit}{more}"


def _tags(registry: Registry) -> str:
    followed, pending = registry.status.tags_followed, registry.status.tags_pending
    return f"{followed:,} ({pending:,} due)" if pending else f"{followed:,}"


def policy_words(registry: Registry) -> str:
    """What the object itself says, in a few words."""
    spec = registry.spec
    said = [
        _switch(spec.blocked, "blocked", "open"),
        _switch(spec.insecure, "insecure", "verified"),
        _switch(spec.suspended, "suspended", "looked at"),
        "" if spec.rate is None else f"rate {spec.rate:g}",
        "" if spec.concurrency is None else f"concurrency {spec.concurrency}",
        f"every {spec.interval}" if spec.interval else "",
    ]
    if spec.mirrors:
        places = " ".join(each.location for each in spec.mirrors)
        said.append(f"{'only ' if spec.never_contact_source else ''}mirrors {places}")
    return ", ".join(filter(None, said)) or "as the settings have it"


def _switch(value: bool | None, on: str, off: str) -> str:
    return "" if value is None else on if value else off
