"""The row of an ImageTag: how the tag came to be, and where it stands (`api.md` C16)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_ago


def image_tag_cells(tag: Mapping[str, Any], now: datetime) -> list[Any]:
    """Name, spec, status, number of events, age of the last of them or of the failure."""
    spec, status = tag.get("spec") or {}, tag.get("status") or {}
    origin, source, standing = _wish(spec)
    items = status.get("items") or []
    moments: list[str] = []
    if items:
        head = items[0]
        moments.append(str(head.get("created") or ""))
        if _is_older(head, spec):
            standing = "Importing"
        else:
            source = _seen(head)
            origin = _origin(origin, source, head, spec)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ImportSuccess" and condition.get("status") == "False":
            reason = condition.get("reason", "")
            standing = f"ImportFailed ({reason})"
            moments.append(str(condition.get("lastTransitionTime") or ""))
    updated = format_ago(max(moments, default=""), now)
    name = tag.get("metadata", {}).get("name", "")
    return [name, origin, standing or source, len(items) or None, updated]


def _wish(spec: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the spec alone tells: the spec column, the source, and a status if the wish is odd."""
    wanted = spec.get("from")
    if not wanted:
        return "", "", ""
    origin = "Tag"
    if spec.get("reference"):
        origin = "Ref"
    if (spec.get("importPolicy") or {}).get("scheduled"):
        origin = "Scheduled"
    kind, name = wanted.get("kind", ""), wanted.get("name", "")
    if kind == "DockerImage":
        return origin, name, ""
    if kind == "ImageStreamImage":
        _, at, image = name.partition("@")
        return (origin, f"image/{image}", "") if at else (origin, "", "InvalidRefName")
    if kind == "ImageStreamTag":
        namespace = wanted.get("namespace", "")
        source = f"istag {namespace}/{name}" if namespace else f"istag/{name}"
        return (origin if ":" in name else "Track"), source, ""
    return origin, "", "InvalidRefKind"


def _is_older(head: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether the newest event answers an older wish than the present one."""
    seen, wished = head.get("generation") or 0, spec.get("generation") or 0
    return 0 < seen < wished


def _seen(head: Mapping[str, Any]) -> str:
    image = head.get("image")
    return f"image/{image}" if image else str(head.get("dockerImageReference", ""))


def _origin(origin: str, source: str, head: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """An image that nobody wished for was pushed; a tracking tag stays one."""
    seen, wished = head.get("generation") or 0, spec.get("generation") or 0
    if source and not origin:
        return "Push"
    if origin != "Track" and seen > wished > 0:
        return "Push"
    return origin
