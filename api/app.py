"""The ASGI application: who asks, for what, may they; then the verb, and every failure a Status.

Nothing is looked at before the caller is known, and nothing is told before the caller's right is
(`api.md` C2, D.1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.api_context import House
from api.auth.audit_log import record_mutation
from api.handlers.delete_handler import delete_collection, delete_object
from api.handlers.read_handler import get_object, list_objects
from api.handlers.watch_handler import watch_objects
from api.handlers.write_handler import create_object, patch_object, replace_object
from api.kinds.kind_index import KINDS
from api.non_resource_paths import answer_empty_list, answer_open
from api.request.api_request import Call, read_body, read_headers, read_query
from api.request.request_info import find_target, split_path
from api.response.http_response import Reply, refuse
from api.serving.client_disconnect import ClientGoneError
from api.serving.health_endpoints import answer_health
from api.serving.metrics_endpoint import CLIENT_GONE, Asked, answer_metrics
from api.virtual_resources import SPECIAL
from models.api_errors import MethodNotAllowedError, NoSuchResourceError, UnavailableError
from models.errors import StoreAwayError, TagstreamError

log = structlog.get_logger()

_CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_READERS = {"get": get_object, "list": list_objects, "watch": watch_objects}
_WRITERS = {
    "create": create_object,
    "update": replace_object,
    "patch": patch_object,
    "delete": delete_object,
    "deletecollection": delete_collection,
}


def build_api(
    house: House, *, lifespan: Callable[[], AsyncIterator[None]] | None = None
) -> Starlette:
    """The application of one process. `lifespan` runs around its life."""

    @asynccontextmanager
    async def live(_app: Starlette) -> AsyncIterator[None]:
        if lifespan is None:
            yield
            return
        async with asynccontextmanager(lifespan)():
            yield

    app = Starlette(lifespan=live)
    # Not a mount: its patterns know no line ends, and everything has to come in by the door.
    app.router.default = Door(house)
    return app


class Door:
    """Where every request comes in."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        audit_id = str(uuid4())
        bind_contextvars(audit_id=audit_id)  # each request has a task, hence a context, of its own
        asked = Asked(scope)
        try:
            reply = await self._answer(scope, receive, audit_id)
        except ClientGoneError:
            asked.answered(CLIENT_GONE)
            return
        except StoreAwayError as error:
            log.warning("api.store_away", error=str(error))
            reply = refuse(UnavailableError("the database is away or busy; try again"))
        except TagstreamError as error:
            reply = refuse(error, as_yaml=_wants_yaml(scope))
        except Exception as error:  # one of the three places that may
            log.exception("api.bug", path=scope.get("path", ""))
            reply = refuse(error)
        asked.answered(reply.code)
        watching = nullcontext() if isinstance(reply.body, bytes) else asked.watching()
        with suppress(ClientGoneError), watching:
            await reply.send(send, receive, audit_id=audit_id, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, audit_id: str) -> Reply:
        segments = split_path(scope.get("raw_path") or scope["path"].encode())
        if segments and segments[0] in {"healthz", "livez", "readyz"}:
            return await answer_health(self._house, segments, read_query(scope))
        headers = read_headers(scope)
        peer = (scope.get("client") or ("", 0))[0]
        caller = await self._house.gatekeeper.admit(headers, peer)
        if segments == ["metrics"]:
            return await answer_metrics(self._house, caller, scope["method"])
        target = find_target(segments)
        if target is None:
            return answer_open(caller, scope["method"], segments, headers, read_query(scope))
        call = Call(
            self._house,
            caller,
            target,
            scope["method"],
            headers,
            read_query(scope),
            datetime.now(UTC).replace(microsecond=0),
            receive,
        )
        return await _serve(call, audit_id)


async def _serve(call: Call, audit_id: str) -> Reply:
    verb = call.target.verb(call.method, watch=call.wants_watch)
    audited = verb in _CHANGES and call.house.audited
    try:
        reply = await _carry_out(call, verb)
    except BaseException as error:
        if audited:
            code = error.http if isinstance(error, TagstreamError) else 500
            record_mutation(
                call.caller, verb, call.target, code=code, audit_id=audit_id, reason=str(error)
            )
        raise
    if audited:
        record_mutation(
            call.caller,
            verb,
            call.target,
            code=reply.code,
            audit_id=audit_id,
            dry_run="dryRun" in call.query,
        )
    return reply


async def _carry_out(call: Call, verb: str) -> Reply:
    target = call.target
    call.caller = await call.house.gatekeeper.authorise(
        call.caller,
        verb=verb,
        group=target.group,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
    )
    if target.info is None or not target.serves:
        return _stand_in(call)
    if call.method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        raise MethodNotAllowedError
    if call.method != "GET":
        call.body = await read_body(call.receive, call.headers)
    special = SPECIAL.get((target.group, target.full_resource))
    if special is not None:
        return await special(call, verb)
    return await _by_verb(call, verb)


async def _by_verb(call: Call, verb: str) -> Reply:
    info = call.target.info
    assert info is not None
    kind = KINDS[info.group, info.resource]
    if verb == "watch":
        return await watch_objects(call, kind)
    if not call.target.allows(call.method):
        raise MethodNotAllowedError
    reader: Callable[..., Awaitable[Reply]] | None = _READERS.get(verb)
    if reader is not None:
        return await reader(call, kind)
    return await call.house.threads.run(_WRITERS[verb], call, kind)


def _stand_in(call: Call) -> Reply:
    """For what we do not serve: nothing, but for the workloads that pruning asks for."""
    target = call.target
    found = None
    if call.method == "GET" and not target.name and not target.watched:
        found = answer_empty_list(target.group, target.version, target.resource)
    if found is None:
        raise NoSuchResourceError
    return found


def _wants_yaml(scope: Scope) -> bool:
    accept = dict(scope["headers"]).get(b"accept", b"")
    return bool(accept.startswith(b"application/yaml"))
