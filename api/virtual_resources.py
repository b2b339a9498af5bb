"""Resources that are no stored objects: reviews, users, requests, imports, lists of secrets."""

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
from api.handlers.read_handler import Selects, selection_of
from api.image_stream_imports import post_import
from api.kinds.core import SecretKind
from api.kinds.kind_base import Work, do_work, reading
from api.projects import describe_user, may_request_project, request_project
from api.request.api_request import Call
from api.request.content_negotiation import negotiate
from api.request.query_options import parse_create_options, parse_list_options
from api.response.http_response import Reply, encode_json
from api.response.representation import reply_with
from api.served_resources import (
    ACCESS,
    IMAGE,
    LOCAL_ACCESS,
    PROJECT_REQUESTS,
    SELF,
    SELF_ACCESS,
    SELF_RULES,
    STREAM_IMPORTS,
    STREAM_SECRETS,
    USERS,
    ResourceInfo,
)
from models.api_errors import MethodNotAllowedError
from models.store.access.secret_store import EXCLUDED, PULL_TYPES
from models.store.changes.change_log import latest_version

Respond = Callable[[Call, str], Awaitable[Reply]]
Answer = tuple[int, dict[str, Any]]


async def _imports(call: Call, verb: str) -> Reply:
    if verb != "create" or call.target.name:
        raise MethodNotAllowedError
    return await post_import(call)


async def _stream_secrets(call: Call, verb: str) -> Reply:
    """The pull secrets of the stream's namespace; the stream itself need not exist (B14).

    All of them at once: a `limit` may be passed by, but what it left out could not be asked for.
    """
    if verb != "get":
        raise MethodNotAllowedError
    media = negotiate(call.accept, table=False, partial=None)
    options = parse_list_options(call.query)
    kind = SecretKind()
    selects = selection_of(call, kind, options)
    value = await call.house.threads.run(_list_secrets, call, kind, selects)
    return reply_with(call, media, value, 200)


def _list_secrets(call: Call, kind: SecretKind, selects: Selects) -> dict[str, Any]:
    with reading(call.house, call.caller, now=call.now) as work:
        found = kind.page(work, call.target.namespace, limit=100_000, after=None)
        version = latest_version(work.session)
    items = [
        {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}}
        for each in found
        if each.get("type") in PULL_TYPES
        and each["metadata"].get("annotations", {}).get(EXCLUDED) != "true"
        and (selects.matches is None or selects.matches(each))
    ]
    return {
        "kind": "SecretList",
        "apiVersion": f"{IMAGE}/v1",
        "metadata": {"resourceVersion": str(version)},
        "items": items,
    }


def _review(info: ResourceInfo, review: Callable[[Work, dict[str, Any], Call], Answer]) -> Respond:
    async def answer(call: Call, verb: str) -> Reply:
        if verb != "create" or call.target.name:
            raise MethodNotAllowedError
        media = negotiate(call.accept, table=False, partial=None)
        parse_create_options(call.query)
        body = decode_body(
            call.content_type,
            call.body,
            kind=info.kind,
            group=info.group,
            version=info.version,
            model=None,
        ).object

        def step() -> Answer:
            with reading(call.house, call.caller, now=call.now) as work:
                return review(work, body, call)

        code, value = await call.house.threads.run(step)
        return reply_with(call, media, value, code)

    return answer


async def _project_requests(call: Call, verb: str) -> Reply:
    media = negotiate(call.accept, table=False, partial=None)
    if verb == "list":
        code, value = may_request_project(call.caller)
    elif verb == "create" and not call.target.name:
        options = parse_create_options(call.query)
        info = PROJECT_REQUESTS
        body = decode_body(
            call.content_type,
            call.body,
            kind=info.kind,
            group=info.group,
            version=info.version,
            model=None,
        ).object
        code, value = await call.house.threads.run(
            do_work,
            call.house,
            call.caller,
            lambda work: request_project(work.session, body, work.caller, now=work.now),
            now=call.now,
            dry_run=options.dry_run,
        )
        call.house.gatekeeper.forget(call.caller)
    else:
        raise MethodNotAllowedError
    return reply_with(call, media, value, code)


async def _users(call: Call, verb: str) -> Reply:
    if verb != "get" or call.target.name != "~":
        raise MethodNotAllowedError
    code, value = describe_user(call.caller)
    return Reply(code, encode_json(value))


_ANSWERS: dict[ResourceInfo, Respond] = {
    STREAM_IMPORTS: _imports,
    STREAM_SECRETS: _stream_secrets,
    PROJECT_REQUESTS: _project_requests,
    USERS: _users,
    SELF: _review(SELF, lambda _work, body, call: review_self(body, call.caller)),
    SELF_ACCESS: _review(
        SELF_ACCESS, lambda _work, body, call: review_self_access(body, call.caller)
    ),
    SELF_RULES: _review(SELF_RULES, lambda _work, body, call: review_self_rules(body, call.caller)),
    ACCESS: _review(
        ACCESS, lambda work, body, call: review_access(work.session, body, call.caller)
    ),
    LOCAL_ACCESS: _review(
        LOCAL_ACCESS,
        lambda work, body, call: review_local_access(
            work.session, body, call.caller, call.target.namespace
        ),
    ),
}
SPECIAL = {(info.group, info.resource): answer for info, answer in _ANSWERS.items()}
