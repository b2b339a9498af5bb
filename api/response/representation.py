"""Representations of objects and lists in the negotiated form: JSON, YAML, Table, metadata only."""

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
from api.request.api_request import ApiRequest
from api.request.content_negotiation import NegotiatedMedia
from api.response.http_response import HttpResponse, encode_json, encode_yaml


def object_response(
    request: ApiRequest,
    media: NegotiatedMedia,
    kind: Kind,
    shown: dict[str, Any],
    *,
    code: int = 200,
) -> HttpResponse:
    """Return the response for one object, or for the Status that a kind returns instead of one."""
    if shown.get("kind") == "Status":
        return build_response(request, media, shown, code)
    if media.kind == "table":
        table = build_table(
            kind.info.kind,
            [shown],
            list_metadata=single_metadata(shown),
            include=parse_include(request.parameter("includeObject")),
            now=request.now,
            version=media.table_version,
        )
        return build_response(request, media, table, code)
    if media.kind == "partial":
        return build_response(
            request, media, build_partial(shown, version=media.table_version), code
        )
    return build_response(request, media, shown, code)


def list_response(
    request: ApiRequest,
    media: NegotiatedMedia,
    kind: Kind,
    items: list[dict[str, Any]],
    metadata: dict[str, Any],
) -> HttpResponse:
    """Return the response for a list."""
    if media.kind == "table":
        table = build_table(
            kind.info.kind,
            items,
            list_metadata=metadata,
            include=parse_include(request.parameter("includeObject")),
            now=request.now,
            version=media.table_version,
        )
        return build_response(request, media, table, 200)
    if media.kind == "partial_list":
        return build_response(
            request, media, build_partial_list(items, metadata, version=media.table_version), 200
        )
    return build_response(request, media, build_list(kind, items, metadata), 200)


def build_list(kind: Kind, items: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the list object of a kind; its items carry neither kind nor apiVersion (api-11.1)."""
    list_items = [
        {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        for item in items
    ]
    return {
        "kind": kind.info.list_kind,
        "apiVersion": kind.info.api_version,
        "metadata": metadata,
        "items": list_items,
    }


def build_response(
    request: ApiRequest, media: NegotiatedMedia, value: dict[str, Any], code: int
) -> HttpResponse:
    """Return a value as it is, in JSON or in YAML as negotiated."""
    body = encode_yaml(value) if media.kind == "yaml" else encode_json(value)
    return HttpResponse(code, body, media.content_type, warnings=request.warnings)
