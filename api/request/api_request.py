"""One API request in progress: caller, target, headers, query, and the reading of its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from api.api_context import ApiContext
from api.request.request_info import RequestInfo
from models.access.rbac import Caller
from models.api_errors import BadRequestError, RequestTimeoutError, TooLargeError

MAX_BODY_BYTES = 3 * 1024 * 1024
BODY_TIMEOUT_SECONDS = 60.0
MAX_QUERY_PARAMETERS = 200


@dataclass(slots=True)
class ApiRequest:
    """One API request, as handlers get it; `warnings` are sent as `Warning` headers."""

    context: ApiContext
    caller: Caller
    target: RequestInfo
    method: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]
    now: datetime
    receive: Receive
    body: bytes = b""
    warnings: list[str] = field(default_factory=list)

    @property
    def accept(self) -> str:
        return self.headers.get("accept", "")

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    def parameter(self, name: str) -> str:
        """Return the first value of a query parameter; empty if it is not given."""
        values = self.query.get(name)
        return values[0] if values else ""

    @property
    def wants_watch(self) -> bool:
        """Return whether `?watch=` is given and is not 0, false or empty (api-12.1)."""
        return self.target.watched or self.parameter("watch") not in {"", "0", "false"}


def parse_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by name in lower case; repeated headers are joined by a comma."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def parse_query(scope: Scope) -> dict[str, list[str]]:
    """Return the query parameters, including empty values. Raises BadRequestError if unparsable."""
    raw: bytes = scope.get("query_string", b"")
    try:
        return parse_qs(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_PARAMETERS
        )
    except (UnicodeDecodeError, ValueError):
        raise BadRequestError(
            f"the query is not ASCII or has more than {MAX_QUERY_PARAMETERS} parameters"
        ) from None


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Return the whole body.

    Raises TooLargeError past 3 MiB, RequestTimeoutError after 60 seconds (api-2.2), BadRequestError
    if the client disconnects.
    """
    declared = headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 12 or int(declared) > MAX_BODY_BYTES):
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequestError("the client disconnected before the body was complete")
                part = message.get("body", b"")
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RequestTimeoutError(
            f"the request body was not complete after {BODY_TIMEOUT_SECONDS:g} s"
        ) from None


def _too_large() -> TooLargeError:
    return TooLargeError(f"Request entity too large: limit is {MAX_BODY_BYTES}")
