"""Streams and tags as JSON text that the database itself puts together.

What is asked for most is shown exactly as it is stored. Rows, resources and dicts on the way would
cost ten times the query, so here one statement prints a whole stream: one row, however many tags
and events it has. What comes out equals `load_stream(…).wire()`, decorated, which tests hold it to.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from models.store.serializers.json_sql import ODD, Dialect
from models.store.serializers.metadata_json import Addresses, print_metadata, quote

Key = tuple[str, str]
# SQLite's allocator has one lock: two threads that print pages are slower than one.
_IN_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class StreamText:
    """`text` is the JSON object without its opening brace: kind and apiVersion may come first."""

    namespace: str
    name: str
    text: str


def read_stream_text(
    connection: Connection, namespace: str, name: str, addresses: Addresses | None
) -> str | None:
    """The text of one stream. None where there is none, or where it has to go the long way."""
    found = connection.exec_driver_sql(
        _one_stream(connection.dialect.name), {"namespace": namespace, "name": name}
    ).fetchone()
    if found is None or _is_odd(found):
        return None
    return _print_stream(found, addresses)


def read_stored_text(connection: Connection, namespace: str, name: str) -> str | None:
    """The same with the addresses that are stored, as the log of changes keeps it."""
    return read_stream_text(connection, namespace, name, None)


def load_stream_texts(connection: Connection, ids: Sequence[int]) -> dict[int, str] | None:
    """Whole objects as they are stored, by id. None where one has to go the long way."""
    if not ids:
        return {}
    is_postgres = connection.dialect.name == "postgresql"
    values = {"ids": list(ids) if is_postgres else json.dumps(list(ids))}
    rows = connection.exec_driver_sql(_by_id(connection.dialect.name), values).fetchall()
    if any(map(_is_odd, rows)):
        return None
    return {row[-1]: f"{{{_print_stream(row, None)}" for row in rows}


def list_stream_texts(
    connection: Connection,
    *,
    namespace: str | None = None,
    limit: int,
    after: Key | None = None,
    addresses: Addresses,
) -> list[StreamText] | None:
    """A page of streams in the order of namespace and name, behind `after`.

    None where one of them has to go the long way.
    """
    if namespace is not None and after is not None and after[0] != namespace:
        return None
    statement = _page(connection.dialect.name, namespace is not None, after is not None)
    values = {"limit": limit, "namespace": namespace}
    values |= zip(("after_namespace", "after_name"), after or (), strict=False)
    with _IN_TURN if connection.dialect.name == "sqlite" else nullcontext():
        rows = connection.exec_driver_sql(statement, values).fetchall()
    if any(map(_is_odd, rows)):
        return None
    return [StreamText(row[0], row[1], _print_stream(row, addresses)) for row in rows]


def _is_odd(row: Sequence[Any]) -> bool:
    """Whether a tag of the stream has to go the long way."""
    return row[11] is not None and ODD in row[11]


def _print_stream(row: Sequence[Any], addresses: Addresses | None) -> str:
    local, repository, wishes, histories, own, public = row[9:15]
    if addresses is not None:
        own, public = addresses(row[0], row[1], repository)
    spec = f'"lookupPolicy":{{"local":{"true" if local else "false"}}}'
    if repository:
        spec += f',"dockerImageRepository":{quote(repository)}'
    if wishes:
        spec += f',"tags":[{wishes}]'
    status = f'"dockerImageRepository":{quote(own)}'
    if public:
        status += f',"publicDockerImageRepository":{quote(public)}'
    if histories:
        status += f',"tags":[{histories}]'
    metadata = print_metadata(row)
    return f'"metadata":{metadata},"spec":{{{spec}}},"status":{{{status}}}}}'


@lru_cache
def _one_stream(name: str) -> str:
    dialect = Dialect(name)
    here = (
        f"s.namespace = {dialect.parameter('namespace')} AND s.name = {dialect.parameter('name')}"
    )
    return f"SELECT {dialect.stream} FROM image_streams AS s WHERE {here}"  # noqa: S608


@lru_cache
def _by_id(name: str) -> str:
    dialect = Dialect(name)
    chosen = "= ANY(%(ids)s)" if name == "postgresql" else "IN (SELECT value FROM json_each(:ids))"
    return f"SELECT {dialect.stream}, s.id FROM image_streams AS s WHERE s.id {chosen}"  # noqa: S608


@lru_cache
def _page(name: str, in_namespace: bool, behind: bool) -> str:
    dialect = Dialect(name)
    wanted = []
    if in_namespace:
        wanted.append(f"s.namespace = {dialect.parameter('namespace')}")
    last = dialect.parameter("after_name")
    if behind and in_namespace:
        wanted.append(f"s.name > {last}")
    elif behind:
        place = dialect.parameter("after_namespace")
        wanted.append(f"(s.namespace, s.name) > ({place}, {last})")
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    limit = dialect.parameter("limit")
    page = f"{where} ORDER BY s.namespace, s.name LIMIT {limit}"
    return f"SELECT {dialect.stream} FROM image_streams AS s{page}"  # noqa: S608
