"""One request while it is being answered: who asks for what, and how its body is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from api.api_context import House
from api.request.request_info import Target
from models.access.rbac import Caller
from models.api_errors import BadRequestError, RequestTimeoutError, TooLargeError

MOST_BYTES = 3 * 1024 * 1024
BODY_SECONDS = 60.0
MOST_PARAMETERS = 200


@dataclass(slots=True)
class Call:
    """What a handler needs to know. `warnings` go out as headers."""

    house: House
    caller: Caller
    target: Target
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
        """The first value of a query parameter; empty where there is none."""
        values = self.query.get(name)
        return values[0] if values else ""

    @property
    def wants_watch(self) -> bool:
        """`?watch=` with anything but 0, false or nothing (`api.md` C15)."""
        return self.target.watched or self.parameter("watch") not in {"", "0", "false"}


def read_headers(scope: Scope) -> dict[str, str]:
    """Header names in lower case; doubled headers are joined by a comma."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def read_query(scope: Scope) -> dict[str, list[str]]:
    """The query's parameters; empty values are kept."""
    raw: bytes = scope.get("query_string", b"")
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except (UnicodeDecodeError, ValueError):
        raise BadRequestError("the query cannot be read") from None


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """The whole body. TooLargeError past 3 MiB, RequestTimeoutError when it does not come."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 12 or int(declared) > MOST_BYTES):
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequestError("the client went away before its body was complete")
                part = message.get("body", b"")
                size += len(part)
                if size > MOST_BYTES:
                    raise _too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RequestTimeoutError("the request's body did not come in time") from None


def _too_large() -> TooLargeError:
    return TooLargeError(f"Request entity too large: limit is {MOST_BYTES}")
