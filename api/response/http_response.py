"""What goes back to the client: a code, a body in the form it asked for, and headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from starlette.types import Receive, Send

from api.served_resources import ResourceInfo
from api.serving.client_disconnect import while_present
from models.errors import TagstreamError, status_of

JSON = "application/json"
YAML = "application/yaml"


@dataclass(slots=True)
class Reply:
    """`body` is complete, or comes in pieces that are flushed one by one."""

    code: int
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    async def send(
        self, send: Send, receive: Receive, *, audit_id: str, head: bool = False
    ) -> None:
        """Write it out. ClientGoneError when a client goes away between two pieces."""
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
        headers.extend((b"warning", _warning(text)) for text in self.warnings)
        if isinstance(self.body, bytes):
            headers.append((b"content-length", str(len(self.body)).encode()))
        start = {"type": "http.response.start", "status": self.code, "headers": headers}
        await send(start)
        if isinstance(self.body, bytes):
            body = b"" if head else self.body
            await send({"type": "http.response.body", "body": body})
            return
        async with while_present(receive):
            async for piece in self.body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def encode_json(value: Any) -> bytes:
    """Compact JSON with a newline at its end, as every answer is written (`api.md` C1)."""
    return print_json(value) + b"\n"


def print_json(value: Any) -> bytes:
    """The same without a newline, as it stands in an event of a watch."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    return text.encode("utf-8", "replace")


def print_text(*parts: str) -> bytes:
    """What is JSON already, as every answer is written."""
    return "".join((*parts, "\n")).encode("utf-8", "replace")


def print_list(info: ResourceInfo, items: Sequence[str], metadata: Mapping[str, Any]) -> bytes:
    """A list of objects that are JSON already."""
    head = {"kind": info.list_kind, "apiVersion": info.api_version, "metadata": dict(metadata)}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
    return print_text(text[:-1], ',"items":[', ",".join(items), "]}")


def encode_yaml(value: Any) -> bytes:
    """The same as YAML."""
    text = yaml.dump(
        value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text.encode("utf-8", "replace")


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def refuse(error: BaseException, *, as_yaml: bool = False) -> Reply:
    """The Status that a failure becomes, with the headers that clients act on."""
    # A job that failed as a whole left its own Status.
    found = getattr(error, "status", None) or status_of(error)
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", **found}
    status.setdefault("code", 500)
    again = getattr(error, "again", "")
    if again:
        status["metadata"] = {"continue": again}
    headers = {}
    wait = getattr(error, "retry_after", None)
    if wait is None and isinstance(error, TagstreamError) and error.transient:
        wait = 1
    if wait is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    body = encode_yaml(status) if as_yaml else encode_json(status)
    return Reply(status["code"], body, YAML if as_yaml else JSON, headers)


def status_success(details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A Status that says Success (`api.md` C4)."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
    }
    return status | {"details": dict(details)} if details else status


def _warning(text: str) -> bytes:
    """RFC 7234 warn-text; agent `-` (`api.md` C11)."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode("utf-8", "replace")
