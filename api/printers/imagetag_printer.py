"""The Table row of an ImageTag: its origin and its state (api-13.5, api-13.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_ago


def image_tag_cells(tag: Mapping[str, Any], now: datetime) -> list[Any]:
    """Return name, spec, status, number of events, and the age of the newest event or failure."""
    spec, status = tag.get("spec") or {}, tag.get("status") or {}
    origin, source, status_text = _describe_spec(spec)
    items = status.get("items") or []
    times: list[str] = []
    if items:
        newest_event = items[0]
        times.append(str(newest_event.get("created") or ""))
        if _is_older_generation(newest_event, spec):
            status_text = "Importing"
        else:
            source = _image_reference_of(newest_event)
            origin = _resolve_origin(origin, source, newest_event, spec)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ImportSuccess" and condition.get("status") == "False":
            reason = condition.get("reason", "")
            status_text = f"ImportFailed ({reason})"
            times.append(str(condition.get("lastTransitionTime") or ""))
    updated = format_ago(max(times, default=""), now)
    name = tag.get("metadata", {}).get("name", "")
    return [name, origin, status_text or source, len(items) or None, updated]


def _describe_spec(spec: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the spec column, the source and the status, as far as the spec determines them.

    The status is empty if the spec is valid.
    """
    source_reference = spec.get("from")
    if not source_reference:
        return "", "", ""
    origin = "Tag"
    if spec.get("reference"):
        origin = "Ref"
    if (spec.get("importPolicy") or {}).get("scheduled"):
        origin = "Scheduled"
    kind, name = source_reference.get("kind", ""), source_reference.get("name", "")
    if kind == "DockerImage":
        return origin, name, ""
    if kind == "ImageStreamImage":
        _, at, image = name.partition("@")
        return (origin, f"image/{image}", "") if at else (origin, "", "InvalidRefName")
    if kind == "ImageStreamTag":
        namespace = source_reference.get("namespace", "")
        source = f"istag {namespace}/{name}" if namespace else f"istag/{name}"
        return (origin if ":" in name else "Track"), source, ""
    return origin, "", "InvalidRefKind"


def _is_older_generation(newest_event: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Return whether the newest event belongs to an older generation of the spec tag."""
    observed_generation, desired_generation = (
        newest_event.get("generation") or 0,
        spec.get("generation") or 0,
    )
    return 0 < observed_generation < desired_generation


def _image_reference_of(newest_event: Mapping[str, Any]) -> str:
    image = newest_event.get("image")
    return f"image/{image}" if image else str(newest_event.get("dockerImageReference", ""))


def _resolve_origin(
    origin: str, source: str, newest_event: Mapping[str, Any], spec: Mapping[str, Any]
) -> str:
    """Return the spec column: an image without a matching spec tag was pushed.

    A tag that tracks another one stays `Track`.
    """
    observed_generation, desired_generation = (
        newest_event.get("generation") or 0,
        spec.get("generation") or 0,
    )
    if source and not origin:
        return "Push"
    if origin != "Track" and observed_generation > desired_generation > 0:
        return "Push"
    return origin
