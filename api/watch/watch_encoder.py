"""How an event is written on the wire: one JSON document a line, shared by all who want the same.

A thousand watchers of one stream get the same bytes. What was printed for them is forgotten a
moment later, so that ages in tables stay true and memory stays small.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.response.http_response import print_json
from api.watch.watch_event import Seen
from models.errors import TagstreamError, status_of
from models.store.changes.change_log import Verb

END_OF_INITIAL = {"k8s.io/initial-events-end": "true"}
KEPT_SECONDS = 1.0
MOST_KEPT = 256
CHUNK = 64 * 2**10

BuildTable = Callable[[list[dict[str, Any]], dict[str, Any], bool], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    """How objects of a kind are shown to one watcher. Shapes with the same `key` print the same.

    `show` makes the shown object of an event's. `table(objects, list metadata, with columns)`
    makes a Table of shown objects (`api.md` C16); None: the objects themselves.
    """

    key: str
    kind: str
    api_version: str
    show: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    table: BuildTable | None = None

    def print_event(self, seen: Seen, *, first: bool) -> bytes:
        """The line of an event; the first one of a Table watch has the columns."""
        body = seen.event.body
        if self.show is not None or self.table is not None:
            shown = json.loads(body)
            if self.show is not None:
                shown = self.show(shown)
            return self.print_object(seen.verb, shown, first=first)
        return _line(seen.verb, body)

    def print_object(self, verb: str, shown: Mapping[str, Any], *, first: bool) -> bytes:
        """The line of a shown object, such as a synthetic ADDED."""
        if "kind" not in shown:
            shown = {"kind": self.kind, "apiVersion": self.api_version, **shown}
        if self.table is None:
            return _line(verb, print_json(shown))
        metadata = {"resourceVersion": shown["metadata"].get("resourceVersion", "")}
        return _line(verb, print_json(self.table([dict(shown)], metadata, first)))

    def print_bookmark(self, version: int, *, first: bool, initial: bool = False) -> bytes:
        """All up to `version` was told; `initial`: so was all that there is (WatchList)."""
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial:
            metadata["annotations"] = END_OF_INITIAL
        if self.table is None:
            object_ = {"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}
        else:
            object_ = self.table([], metadata, first)
        return _line("BOOKMARK", print_json(object_))


class Lines:
    """The lines that were printed a moment ago, for the other watchers who were woken too."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Verb, str, bool], bytes] = {}

    def line(self, shape: Shape, seen: Seen, *, first: bool) -> bytes:
        """The line of an event in a shape."""
        key = (seen.event.version, seen.verb, shape.key, first)
        line = self._kept.get(key)
        if line is None:
            line = shape.print_event(seen, first=first)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            if not self._kept:
                asyncio.get_running_loop().call_later(KEPT_SECONDS, self._kept.clear)
            self._kept[key] = line
        return line


def join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, put together to pieces worth sending."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def print_error(error: TagstreamError) -> bytes:
    """The last line of a watch that cannot go on."""
    status = {"kind": "Status", "apiVersion": "v1", **status_of(error)}
    return _line("ERROR", print_json(status))


def _line(verb: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (verb.encode(), body)
