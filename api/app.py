"""The ASGI application: authenticates, authorizes and dispatches requests, and answers failures.

The caller is authenticated before anything of the request is processed, and authorized before the
answer tells whether anything exists (api-2.7, api-16.1). Every failure is answered with a Status.
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

from api.api_context import ApiContext
from api.auth.audit_log import record_mutation
from api.handlers.delete_handler import delete_collection, delete_object
from api.handlers.read_handler import get_object, list_objects
from api.handlers.watch_handler import watch_objects
from api.handlers.write_handler import create_object, patch_object, replace_object
from api.kinds.kind_index import KINDS
from api.non_resource_paths import build_empty_list_response, handle_non_resource_path
from api.request.api_request import ApiRequest, parse_headers, parse_query, read_body
from api.request.request_info import parse_request_info, split_path
from api.response.http_response import HttpResponse, error_response
from api.serving.client_disconnect import ClientDisconnectedError
from api.serving.health_endpoints import handle_health
from api.serving.metrics_endpoint import CLIENT_CLOSED_REQUEST, RequestMetrics, handle_metrics
from api.virtual_resources import VIRTUAL_HANDLERS
from models.api_errors import MethodNotAllowedError, NoSuchResourceError, UnavailableError
from models.errors import StoreUnavailableError, TagstreamError

log = structlog.get_logger()

_MUTATING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_READ_HANDLERS = {"get": get_object, "list": list_objects, "watch": watch_objects}
_WRITE_HANDLERS = {
    "create": create_object,
    "update": replace_object,
    "patch": patch_object,
    "delete": delete_object,
    "deletecollection": delete_collection,
}


def build_api(
    context: ApiContext, *, lifespan: Callable[[], AsyncIterator[None]] | None = None
) -> Starlette:
    """Return the ASGI application of one process; `lifespan` runs while the process serves."""

    @asynccontextmanager
    async def run_lifespan(_app: Starlette) -> AsyncIterator[None]:
        if lifespan is None:
            yield
            return
        async with asynccontextmanager(lifespan)():
            yield

    app = Starlette(lifespan=run_lifespan)
    # The default and not a mount: the patterns of a mount do not match paths that contain a line
    # break, and every request has to pass through ApiApplication.
    app.router.default = ApiApplication(context)
    return app


class ApiApplication:
    """The entry point of every request."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        audit_id = str(uuid4())
        bind_contextvars(audit_id=audit_id)  # each request has its own task, hence its own context
        request_metrics = RequestMetrics(scope)
        try:
            response = await self._handle(scope, receive, audit_id)
        except ClientDisconnectedError:
            request_metrics.record_response(CLIENT_CLOSED_REQUEST)
            return
        except StoreUnavailableError as error:
            log.warning("api.database_unavailable", error=str(error))
            response = error_response(
                UnavailableError("the database is unavailable or busy; try again")
            )
        except TagstreamError as error:
            response = error_response(error, as_yaml=_wants_yaml(scope))
        except Exception as error:  # the outermost frame of a request: a bug is answered with 500
            log.exception("api.unhandled_error", path=scope.get("path", ""))
            response = error_response(error)
        request_metrics.record_response(response.code)
        open_watch = (
            nullcontext() if isinstance(response.body, bytes) else request_metrics.track_watch()
        )
        with suppress(ClientDisconnectedError), open_watch:
            await response.send(send, receive, audit_id=audit_id, head=scope["method"] == "HEAD")

    async def _handle(self, scope: Scope, receive: Receive, audit_id: str) -> HttpResponse:
        segments = split_path(scope.get("raw_path") or scope["path"].encode())
        if segments and segments[0] in {"healthz", "livez", "readyz"}:
            return await handle_health(self._context, segments, parse_query(scope))
        headers = parse_headers(scope)
        peer = (scope.get("client") or ("", 0))[0]
        caller = await self._context.authenticator.authenticate(headers, peer)
        if segments == ["metrics"]:
            return await handle_metrics(self._context, caller, scope["method"])
        target = parse_request_info(segments)
        if target is None:
            return handle_non_resource_path(
                caller, scope["method"], segments, headers, parse_query(scope)
            )
        request = ApiRequest(
            self._context,
            caller,
            target,
            scope["method"],
            headers,
            parse_query(scope),
            datetime.now(UTC).replace(microsecond=0),
            receive,
        )
        return await _serve(request, audit_id)


async def _serve(request: ApiRequest, audit_id: str) -> HttpResponse:
    verb = request.target.verb(request.method, watch=request.wants_watch)
    is_audited = verb in _MUTATING_VERBS and request.context.writes_audit_log
    try:
        response = await _authorize_and_dispatch(request, verb)
    except BaseException as error:
        if is_audited:
            code = error.http if isinstance(error, TagstreamError) else 500
            record_mutation(
                request.caller,
                verb,
                request.target,
                code=code,
                audit_id=audit_id,
                reason=str(error),
            )
        raise
    if is_audited:
        record_mutation(
            request.caller,
            verb,
            request.target,
            code=response.code,
            audit_id=audit_id,
            dry_run="dryRun" in request.query,
        )
    return response


async def _authorize_and_dispatch(request: ApiRequest, verb: str) -> HttpResponse:
    target = request.target
    request.caller = await request.context.authenticator.authorize(
        request.caller,
        verb=verb,
        group=target.group,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
    )
    if target.info is None or not target.is_served:
        return _unserved_response(request)
    if request.method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        raise MethodNotAllowedError
    if request.method != "GET":
        request.body = await read_body(request.receive, request.headers)
    virtual_handler = VIRTUAL_HANDLERS.get((target.group, target.full_resource))
    if virtual_handler is not None:
        return await virtual_handler(request, verb)
    return await _dispatch_verb(request, verb)


async def _dispatch_verb(request: ApiRequest, verb: str) -> HttpResponse:
    info = request.target.info
    assert info is not None
    kind = KINDS[info.group, info.resource]
    if verb == "watch":
        return await watch_objects(request, kind)
    if not request.target.allows(request.method):
        raise MethodNotAllowedError
    read_handler: Callable[..., Awaitable[HttpResponse]] | None = _READ_HANDLERS.get(verb)
    if read_handler is not None:
        return await read_handler(request, kind)
    return await request.context.executor.run(_WRITE_HANDLERS[verb], request, kind)


def _unserved_response(request: ApiRequest) -> HttpResponse:
    """Return the response to a request for a resource that is not served.

    That is an empty list for the workloads that `oc adm prune images` reads; else
    NoSuchResourceError.
    """
    target = request.target
    response = None
    if request.method == "GET" and not target.name and not target.watched:
        response = build_empty_list_response(target.group, target.version, target.resource)
    if response is None:
        raise NoSuchResourceError
    return response


def _wants_yaml(scope: Scope) -> bool:
    accept = dict(scope["headers"]).get(b"accept", b"")
    return bool(accept.startswith(b"application/yaml"))
