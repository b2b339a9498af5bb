"""The HTTP response: status code, encoded body, headers; and the response of an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from starlette.types import Receive, Send

from api.served_resources import ResourceInfo
from api.serving.client_disconnect import cancel_on_disconnect
from models.errors import TagstreamError, status_of

JSON = "application/json"
YAML = "application/yaml"


@dataclass(slots=True)
class HttpResponse:
    """A response; `body` is complete, or an iterator of chunks that are flushed one by one."""

    code: int
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    async def send(
        self, send: Send, receive: Receive, *, audit_id: str, head: bool = False
    ) -> None:
        """Send the response. Raises ClientDisconnectedError if the client disconnects meanwhile."""
        headers = [
            (b"content-type", self.content_type.encode("latin-1")),
            (b"cache-control", b"no-cache, private"),
            (b"audit-id", audit_id.encode()),
        ]
        headers.extend(
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in self.headers.items()
        )
        if "cache-control" in {name.lower() for name in self.headers}:
            headers.pop(1)
        headers.extend((b"warning", _format_warning(text)) for text in self.warnings)
        if isinstance(self.body, bytes):
            headers.append((b"content-length", str(len(self.body)).encode()))
        start = {"type": "http.response.start", "status": self.code, "headers": headers}
        await send(start)
        if isinstance(self.body, bytes):
            body = b"" if head else self.body
            await send({"type": "http.response.body", "body": body})
            return
        async with cancel_on_disconnect(receive):
            async for chunk in self.body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def encode_json(value: Any) -> bytes:
    """Return compact JSON with a newline at its end, the form of every JSON response (api-2.1)."""
    return encode_compact_json(value) + b"\n"


def encode_compact_json(value: Any) -> bytes:
    """Return compact JSON without a newline, as a watch event embeds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    return text.encode("utf-8", "replace")


def encode_json_text(*parts: str) -> bytes:
    """Return JSON texts, joined and completed with a newline, as a response body."""
    return "".join((*parts, "\n")).encode("utf-8", "replace")


def encode_json_list(
    info: ResourceInfo, items: Sequence[str], metadata: Mapping[str, Any]
) -> bytes:
    """Return the list of objects that are JSON texts already."""
    list_head = {"kind": info.list_kind, "apiVersion": info.api_version, "metadata": dict(metadata)}
    text = json.dumps(list_head, ensure_ascii=False, separators=(",", ":"))
    return encode_json_text(text[:-1], ',"items":[', ",".join(items), "]}")


def encode_yaml(value: Any) -> bytes:
    """Return the value as a YAML document."""
    text = yaml.dump(
        value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text.encode("utf-8", "replace")


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def error_response(error: BaseException, *, as_yaml: bool = False) -> HttpResponse:
    """Return the Status of an error as a response, with the headers that clients act on.

    Clients act on `reason` and `code` (clients-1.5). `Retry-After` is set for every error that
    names a time, and is 1 for other transient errors (api-4.3). The body is YAML if `as_yaml`,
    which is whether `Accept` begins with `application/yaml` (api-3.7).
    """
    # A job that failed as a whole has its own Status.
    found = getattr(error, "status", None) or status_of(error)
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", **found}
    status.setdefault("code", 500)
    continue_token = getattr(error, "again", "")
    if continue_token:
        status["metadata"] = {"continue": continue_token}
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is None and isinstance(error, TagstreamError) and error.transient:
        retry_after = 1
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    body = encode_yaml(status) if as_yaml else encode_json(status)
    return HttpResponse(status["code"], body, YAML if as_yaml else JSON, headers)


def build_success_status(details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a Status `Success` with optional details (api-4.6)."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
    }
    return status | {"details": dict(details)} if details else status


def _format_warning(text: str) -> bytes:
    """Return a warning value as in RFC 7234 5.5, with agent `-` (api-9.7)."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode("utf-8", "replace")
