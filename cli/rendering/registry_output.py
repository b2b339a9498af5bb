"""Finds Registry objects by host or name, and prints them with their state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cli.backend.api_paths import resource_path
from cli.backend.rest_client import RestClient
from cli.rendering.formatting import format_age, format_until
from cli.rendering.output import Cell, print_columns, print_names
from cli.rendering.table_output import PrintOptions, print_documents
from models.errors import NotFoundError
from models.resources.registries import Registry
from models.streams.registries.registry_mirrors import normalise_scope

SYNC_GROUP = "sync.tagstream.io"
REGISTRIES_RESOURCE = "registries"
_STYLES = {"Healthy": "green", "RateLimited": "yellow", "Unreachable": "red", "Unknown": "dim"}
_CIRCUIT_STYLES = {"Closed": "dim", "Open": "red", "HalfOpen": "yellow"}


def list_registries(rest: RestClient) -> list[Registry]:
    """List all Registry objects in the order of their names."""
    path = resource_path(SYNC_GROUP, REGISTRIES_RESOURCE)
    return [Registry.model_validate(wire) for wire in rest.list_objects(path)]


def find_registry(rest: RestClient, wanted: str) -> Registry | None:
    """Find the Registry of that host, or else of that object name."""
    registries = list_registries(rest)
    scope = normalise_scope(wanted)
    by_name = [each for each in registries if each.metadata.name == wanted]
    by_host = [each for each in registries if normalise_scope(each.spec.host) == scope]
    return next(iter([*by_host, *by_name]), None)


def require_registry(rest: RestClient, wanted: str) -> Registry:
    """Find a Registry like `find_registry`. Raises NotFoundError if there is none."""
    found = find_registry(rest, wanted)
    if found is None:
        raise NotFoundError(resource=REGISTRIES_RESOURCE, name=wanted, group=SYNC_GROUP)
    return found


def print_registries(registries: Sequence[Registry], print_options: PrintOptions) -> int:
    """Print registries in the requested format and return how many."""
    match print_options.style:
        case "name":
            print_names(f"registry.{SYNC_GROUP}/{each.metadata.name}" for each in registries)
        case "json" | "yaml":
            wires = [each.wire() for each in registries]
            print_documents("Registry", wires, print_options, version=f"{SYNC_GROUP}/v1")
        case _ if registries:
            header = ["HOST", "HEALTH", "RATE", "IN-FLIGHT", "QUOTA", "TAGS", "CIRCUIT"]
            if print_options.wide:
                header += ["POLICY", "LAST-REPORT", "LAST-ERROR"]
            print_columns(header, [_row(each, print_options) for each in registries])
    return len(registries)


def _row(registry: Registry, print_options: PrintOptions) -> list[Cell]:
    status = registry.status
    circuit = circuit_state = "" if status.circuit_breaker is None else status.circuit_breaker.state
    if status.circuit_breaker is not None and status.circuit_breaker.open_until_time is not None:
        until = format_until(status.circuit_breaker.open_until_time, print_options.now)
        circuit += f", next probe {until}"
    health = status.health
    if status.cooldown_end_time is not None:
        health += f", ends {format_until(status.cooldown_end_time, print_options.now)}"
    row: list[Cell] = [
        (registry.spec.host, "bold"),
        (health, _STYLES.get(status.health, "")),
        _rate(registry),
        f"{status.requests_in_flight}/{status.concurrency}" if status.concurrency else "-",
        _quota(registry, print_options.now),
        _tags(registry),
        (circuit or "-", _CIRCUIT_STYLES.get(circuit_state, "dim")),
    ]
    if print_options.wide:
        seen = format_age(status.last_report_time, print_options.now) or "never"
        row += [describe_policy(registry), (seen, "dim"), status.last_error]
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
    """Format the quota with the smallest remaining fraction, and when it resets."""
    quotas = registry.status.quotas
    if not quotas:
        return "-"
    least = min(quotas, key=lambda quota: quota.remaining / max(1, quota.limit))
    reset = "" if least.reset_time is None else f", resets {format_until(least.reset_time, now)}"
    return f"{least.remaining}/{least.limit}{reset}"


def _tags(registry: Registry) -> str:
    scheduled, overdue = registry.status.tags_scheduled, registry.status.tags_overdue
    return f"{scheduled:,} ({overdue:,} overdue)" if overdue else f"{scheduled:,}"


def describe_policy(registry: Registry) -> str:
    """Describe the policy of the object's spec in a few words."""
    spec = registry.spec
    parts = [
        _format_bool(spec.blocked, "blocked", "not blocked"),
        _format_bool(spec.insecure, "insecure", "verified"),
        _format_bool(spec.suspended, "suspended", "not suspended"),
        "" if spec.rate is None else f"rate {spec.rate:g}",
        "" if spec.concurrency is None else f"concurrency {spec.concurrency}",
        f"every {spec.interval}" if spec.interval else "",
    ]
    if spec.mirrors:
        locations = " ".join(each.location for each in spec.mirrors)
        parts.append(f"{'only ' if spec.never_contact_source else ''}mirrors {locations}")
    return ", ".join(filter(None, parts)) or "no policy, the settings apply"


def _format_bool(value: bool | None, if_true: str, if_false: str) -> str:
    return "" if value is None else if_true if value else if_false
