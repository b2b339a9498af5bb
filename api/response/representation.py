"""From what a kind shows to what the client asked for: JSON, YAML, a table, or metadata alone."""

from __future__ import annotations

from typing import Any

from api.kinds.kind_base import Kind
from api.printers.table_printer import (
    build_partial,
    build_partial_list,
    build_table,
    parse_include,
    single_metadata,
)
from api.request.api_request import Call
from api.request.content_negotiation import Media
from api.response.http_response import Reply, encode_json, encode_yaml


def shape_object(
    call: Call, media: Media, kind: Kind, shown: dict[str, Any], *, code: int = 200
) -> Reply:
    """One object, or a Status that a kind answers instead."""
    if shown.get("kind") == "Status":
        return reply_with(call, media, shown, code)
    if media.kind == "table":
        table = build_table(
            kind.info.kind,
            [shown],
            list_metadata=single_metadata(shown),
            include=parse_include(call.parameter("includeObject")),
            now=call.now,
            version=media.table_version,
        )
        return reply_with(call, media, table, code)
    if media.kind == "partial":
        return reply_with(call, media, build_partial(shown, version=media.table_version), code)
    return reply_with(call, media, shown, code)


def shape_list(
    call: Call, media: Media, kind: Kind, items: list[dict[str, Any]], metadata: dict[str, Any]
) -> Reply:
    """A list; its items carry neither kind nor apiVersion (`api.md` B1.1)."""
    if media.kind == "table":
        table = build_table(
            kind.info.kind,
            items,
            list_metadata=metadata,
            include=parse_include(call.parameter("includeObject")),
            now=call.now,
            version=media.table_version,
        )
        return reply_with(call, media, table, 200)
    if media.kind == "partial_list":
        return reply_with(
            call, media, build_partial_list(items, metadata, version=media.table_version), 200
        )
    return reply_with(call, media, build_list(kind, items, metadata), 200)


def build_list(kind: Kind, items: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    """The list object of a kind."""
    bare = [
        {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        for item in items
    ]
    return {
        "kind": kind.info.list_kind,
        "apiVersion": kind.info.api_version,
        "metadata": metadata,
        "items": bare,
    }


def reply_with(call: Call, media: Media, value: dict[str, Any], code: int) -> Reply:
    """A value as it is, in the form that was agreed on."""
    body = encode_yaml(value) if media.kind == "yaml" else encode_json(value)
    return Reply(code, body, media.content_type, warnings=call.warnings)
