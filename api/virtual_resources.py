"""Handlers of resources that are not stored objects: reviews, users, project requests, imports.

Also the list of a stream's pull secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from api.auth.access_reviews import (
    review_access,
    review_local_access,
    review_self,
    review_self_access,
    review_self_rules,
)
from api.codec.body_decoder import decode_body
from api.handlers.read_handler import ListSelection, build_selection
from api.image_stream_imports import create_import
from api.kinds.core import SecretKind
from api.kinds.kind_base import UnitOfWork, read_transaction, run_transaction
from api.projects import create_project, describe_user, review_project_request
from api.request.api_request import ApiRequest
from api.request.content_negotiation import negotiate
from api.request.query_options import parse_create_options, parse_list_options
from api.response.http_response import HttpResponse, encode_json
from api.response.representation import build_response
from api.served_resources import (
    ACCESS_REVIEWS,
    IMAGE,
    LOCAL_ACCESS_REVIEWS,
    PROJECT_REQUESTS,
    SELF_ACCESS_REVIEWS,
    SELF_REVIEWS,
    SELF_RULES_REVIEWS,
    STREAM_IMPORTS,
    STREAM_SECRETS,
    USERS,
    ResourceInfo,
)
from models.api_errors import MethodNotAllowedError
from models.store.access.secret_store import EXCLUDE_SECRET_ANNOTATION, PULL_SECRET_TYPES
from models.store.changes.change_log import latest_version

VirtualHandler = Callable[[ApiRequest, str], Awaitable[HttpResponse]]
CodeAndBody = tuple[int, dict[str, Any]]


async def _handle_imports(request: ApiRequest, verb: str) -> HttpResponse:
    if verb != "create" or request.target.name:
        raise MethodNotAllowedError
    return await create_import(request)


async def _handle_stream_secrets(request: ApiRequest, verb: str) -> HttpResponse:
    """Return the pull secrets of the stream's namespace; the stream need not exist (api-26.5).

    The list is complete: `limit` has no effect, since the rest of a shorter list could not be
    fetched.
    """
    if verb != "get":
        raise MethodNotAllowedError
    media = negotiate(request.accept, table=False, partial=None)
    options = parse_list_options(request.query)
    kind = SecretKind()
    selection = build_selection(request, kind, options)
    value = await request.context.executor.run(_list_secrets, request, kind, selection)
    return build_response(request, media, value, 200)


def _list_secrets(
    request: ApiRequest, kind: SecretKind, selection: ListSelection
) -> dict[str, Any]:
    with read_transaction(request.context, request.caller, now=request.now) as work:
        found = kind.page(work, request.target.namespace, limit=100_000, after=None)
        version = latest_version(work.session)
    items = [
        {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}}
        for each in found
        if each.get("type") in PULL_SECRET_TYPES
        and each["metadata"].get("annotations", {}).get(EXCLUDE_SECRET_ANNOTATION) != "true"
        and (selection.matches is None or selection.matches(each))
    ]
    return {
        "kind": "SecretList",
        "apiVersion": f"{IMAGE}/v1",
        "metadata": {"resourceVersion": str(version)},
        "items": items,
    }


def _review_handler(
    info: ResourceInfo, review: Callable[[UnitOfWork, dict[str, Any], ApiRequest], CodeAndBody]
) -> VirtualHandler:
    async def handle_review(request: ApiRequest, verb: str) -> HttpResponse:
        if verb != "create" or request.target.name:
            raise MethodNotAllowedError
        media = negotiate(request.accept, table=False, partial=None)
        parse_create_options(request.query)
        body = decode_body(
            request.content_type,
            request.body,
            kind=info.kind,
            group=info.group,
            version=info.version,
            model=None,
        ).object

        def step() -> CodeAndBody:
            with read_transaction(request.context, request.caller, now=request.now) as work:
                return review(work, body, request)

        code, value = await request.context.executor.run(step)
        return build_response(request, media, value, code)

    return handle_review


async def _handle_project_requests(request: ApiRequest, verb: str) -> HttpResponse:
    media = negotiate(request.accept, table=False, partial=None)
    if verb == "list":
        code, value = review_project_request(request.caller)
    elif verb == "create" and not request.target.name:
        options = parse_create_options(request.query)
        info = PROJECT_REQUESTS
        body = decode_body(
            request.content_type,
            request.body,
            kind=info.kind,
            group=info.group,
            version=info.version,
            model=None,
        ).object
        code, value = await request.context.executor.run(
            run_transaction,
            request.context,
            request.caller,
            lambda work: create_project(work.session, body, work.caller, now=work.now),
            now=request.now,
            dry_run=options.dry_run,
        )
        request.context.authenticator.invalidate(request.caller)
    else:
        raise MethodNotAllowedError
    return build_response(request, media, value, code)


async def _handle_users(request: ApiRequest, verb: str) -> HttpResponse:
    if verb != "get" or request.target.name != "~":
        raise MethodNotAllowedError
    code, value = describe_user(request.caller)
    return HttpResponse(code, encode_json(value))


_HANDLERS_BY_RESOURCE: dict[ResourceInfo, VirtualHandler] = {
    STREAM_IMPORTS: _handle_imports,
    STREAM_SECRETS: _handle_stream_secrets,
    PROJECT_REQUESTS: _handle_project_requests,
    USERS: _handle_users,
    SELF_REVIEWS: _review_handler(
        SELF_REVIEWS, lambda _work, body, request: review_self(body, request.caller)
    ),
    SELF_ACCESS_REVIEWS: _review_handler(
        SELF_ACCESS_REVIEWS, lambda _work, body, request: review_self_access(body, request.caller)
    ),
    SELF_RULES_REVIEWS: _review_handler(
        SELF_RULES_REVIEWS, lambda _work, body, request: review_self_rules(body, request.caller)
    ),
    ACCESS_REVIEWS: _review_handler(
        ACCESS_REVIEWS,
        lambda work, body, request: review_access(work.session, body, request.caller),
    ),
    LOCAL_ACCESS_REVIEWS: _review_handler(
        LOCAL_ACCESS_REVIEWS,
        lambda work, body, request: review_local_access(
            work.session, body, request.caller, request.target.namespace
        ),
    ),
}
VIRTUAL_HANDLERS = {
    (info.group, info.resource): handler for info, handler in _HANDLERS_BY_RESOURCE.items()
}
