"""DELETE of one object, or of every object that a selector matches (api-10.1, api-10.5).

kubectl waits for the object that the details of the Status name (clients-4.3).
"""

from __future__ import annotations

from typing import Any

from api.codec.body_decoder import decode_options
from api.handlers.read_handler import build_selection, collect
from api.kinds.kind_base import Kind, UnitOfWork, run_transaction
from api.kinds.stored_kind import StoredKind
from api.request.api_request import ApiRequest
from api.request.content_negotiation import negotiate
from api.request.query_options import DeleteOptions, parse_delete_options, parse_list_options
from api.response.http_response import HttpResponse
from api.response.representation import list_response, object_response
from models.api_errors import MethodNotAllowedError


def delete_object(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Delete one object: 200 with a Status, or with the object that finalizers still hold."""
    media = negotiate(request.accept, table=kind.has_table, partial="object")
    kind.check_name(request.target.name)
    options = _options(request)

    def step(work: UnitOfWork) -> dict[str, Any]:
        return kind.delete(work, request.target.namespace, request.target.name, options)

    shown = run_transaction(
        request.context, request.caller, step, now=request.now, dry_run=options.dry_run
    )
    # 202: finalizers hold the object, and by `orphanDependents=false` the client shows that it
    # expects this (api-1.4).
    is_pending = shown.get("kind") != "Status" and options.orphan is False
    return object_response(request, media, kind, shown, code=202 if is_pending else 200)


def delete_collection(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Delete everything that a list with the same query would return, and return that list."""
    if not isinstance(kind, StoredKind):
        raise MethodNotAllowedError
    media = negotiate(request.accept, table=kind.has_table, partial="list")
    options = _options(request)
    list_options = parse_list_options(request.query)
    selection = build_selection(request, kind, list_options)

    def step(work: UnitOfWork) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        listing = collect(work, request, kind, list_options, selection)
        for shown in listing.items:
            metadata = shown["metadata"]
            old = kind.load(work, metadata.get("namespace", ""), metadata["name"], lock=True)
            if old is not None:
                kind.delete_loaded(work, old)
        return listing.items, listing.metadata

    items, metadata = run_transaction(
        request.context, request.caller, step, now=request.now, dry_run=options.dry_run
    )
    return list_response(request, media, kind, items, metadata)


def _options(request: ApiRequest) -> DeleteOptions:
    body = decode_options(request.content_type, request.body) if request.body.strip() else None
    return parse_delete_options(request.query, body)
