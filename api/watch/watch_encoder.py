"""The wire format of watch events, one JSON document a line, shared by all watchers (clients-3.2).

A thousand watchers of one stream get the same bytes. Encoded events are cached for one second only,
so that ages in Tables stay correct and the cache stays small.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.response.http_response import encode_compact_json
from api.watch.watch_event import MatchedEvent
from models.errors import TagstreamError, status_of
from models.store.changes.change_log import Verb

# The annotation of the bookmark after the initial events, which `oc wait` needs (clients-3.3).
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}
ENCODED_EVENT_TTL_SECONDS = 1.0
MAX_CACHED_EVENTS = 256
CHUNK_BYTES = 64 * 2**10

BuildTable = Callable[[list[dict[str, Any]], dict[str, Any], bool], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WatchEncoder:
    """The form of the objects of one watch. Encoders with the same `key` give the same bytes.

    `show` converts the object of an event to the shown one. `table(objects, list metadata, with
    columns)` returns a Table of shown objects (api-12.8); None sends the objects themselves.
    """

    key: str
    kind: str
    api_version: str
    show: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    table: BuildTable | None = None

    def encode_event(self, matched: MatchedEvent, *, first: bool) -> bytes:
        """Return the line of an event; the first one of a Table watch has the columns."""
        body = matched.event.body
        if self.show is not None or self.table is not None:
            shown = json.loads(body)
            if self.show is not None:
                shown = self.show(shown)
            return self.encode_object(matched.verb, shown, first=first)
        return _encode_line(matched.verb, body)

    def encode_object(self, verb: str, shown: Mapping[str, Any], *, first: bool) -> bytes:
        """Return the line of a shown object, such as a synthetic ADDED."""
        if "kind" not in shown:
            shown = {"kind": self.kind, "apiVersion": self.api_version, **shown}
        if self.table is None:
            return _encode_line(verb, encode_compact_json(shown))
        metadata = {"resourceVersion": shown["metadata"].get("resourceVersion", "")}
        return _encode_line(verb, encode_compact_json(self.table([dict(shown)], metadata, first)))

    def encode_bookmark(self, version: int, *, first: bool, initial: bool = False) -> bytes:
        """Return a bookmark: all events up to `version` were sent.

        `initial` marks the end of the initial events (`sendInitialEvents`).
        """
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial:
            metadata["annotations"] = INITIAL_EVENTS_END
        if self.table is None:
            object_ = {"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}
        else:
            object_ = self.table([], metadata, first)
        return _encode_line("BOOKMARK", encode_compact_json(object_))


class EncodedEventCache:
    """The events encoded within the last second, for the other watchers that were woken too."""

    def __init__(self) -> None:
        self._cached: dict[tuple[int, Verb, str, bool], bytes] = {}

    def encode(self, encoder: WatchEncoder, matched: MatchedEvent, *, first: bool) -> bytes:
        """Return the line of an event in the form of an encoder."""
        key = (matched.event.version, matched.verb, encoder.key, first)
        encoded = self._cached.get(key)
        if encoded is None:
            encoded = encoder.encode_event(matched, first=first)
            if len(self._cached) >= MAX_CACHED_EVENTS:
                self._cached.clear()
            if not self._cached:
                asyncio.get_running_loop().call_later(ENCODED_EVENT_TTL_SECONDS, self._cached.clear)
            self._cached[key] = encoded
        return encoded


def chunk_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines joined to chunks of about 64 KiB; no line is split."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)


def encode_error(error: TagstreamError) -> bytes:
    """Return the last line of a watch that fails."""
    status = {"kind": "Status", "apiVersion": "v1", **status_of(error)}
    return _encode_line("ERROR", encode_compact_json(status))


def _encode_line(verb: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (verb.encode(), body)
