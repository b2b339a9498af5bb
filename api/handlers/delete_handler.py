"""DELETE: of one object, or of all that a selection finds (`api.md` C12, C13)."""

from __future__ import annotations

from typing import Any

from api.codec.body_decoder import decode_options
from api.handlers.read_handler import collect, selection_of
from api.kinds.kind_base import Kind, Work, do_work
from api.kinds.stored_kind import StoredKind
from api.request.api_request import Call
from api.request.content_negotiation import negotiate
from api.request.query_options import DeleteOptions, parse_delete_options, parse_list_options
from api.response.http_response import Reply
from api.response.representation import shape_list, shape_object
from models.api_errors import MethodNotAllowedError


def delete_object(call: Call, kind: Kind) -> Reply:
    """One object: 200 with a Status, or with the object that finalizers still hold."""
    media = negotiate(call.accept, table=kind.has_table, partial="object")
    kind.check_name(call.target.name)
    options = _options(call)

    def step(work: Work) -> dict[str, Any]:
        return kind.delete(work, call.target.namespace, call.target.name, options)

    shown = do_work(call.house, call.caller, step, now=call.now, dry_run=options.dry_run)
    # Accepted, not done: finalizers hold it, and the client said that it knows of them (A.3).
    waits = shown.get("kind") != "Status" and options.orphan is False
    return shape_object(call, media, kind, shown, code=202 if waits else 200)


def delete_collection(call: Call, kind: Kind) -> Reply:
    """Everything that a list with the same query would show; the answer is that list."""
    if not isinstance(kind, StoredKind):
        raise MethodNotAllowedError
    media = negotiate(call.accept, table=kind.has_table, partial="list")
    options = _options(call)
    listed = parse_list_options(call.query)
    selects = selection_of(call, kind, listed)

    def step(work: Work) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        listing = collect(work, call, kind, listed, selects)
        for shown in listing.items:
            metadata = shown["metadata"]
            old = kind.load(work, metadata.get("namespace", ""), metadata["name"], lock=True)
            if old is not None:
                kind.delete_loaded(work, old)
        return listing.items, listing.metadata

    items, metadata = do_work(call.house, call.caller, step, now=call.now, dry_run=options.dry_run)
    return shape_list(call, media, kind, items, metadata)


def _options(call: Call) -> DeleteOptions:
    body = decode_options(call.content_type, call.body) if call.body.strip() else None
    return parse_delete_options(call.query, body)
