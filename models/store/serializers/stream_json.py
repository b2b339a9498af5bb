"""Streams as JSON text that the database itself builds.

Reads of streams are the most frequent requests, and show what is stored. Rows, resources and dicts
in between would cost ten times the query, so one statement prints a whole stream: one row, however
many tags and events it has. The result equals `load_stream(…).wire()` after decoration; a test
compares the two.
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

from models.store.serializers.json_sql import UNPRINTABLE_MARK, JsonDialect
from models.store.serializers.metadata_json import DeriveRepositories, print_metadata, quote_json

StreamKey = tuple[str, str]
# SQLite's memory allocator has a single lock: two threads that print pages are slower than one.
_SQLITE_PRINT_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class StreamText:
    """A stream as JSON; `text` lacks its opening brace: kind and apiVersion come first."""

    namespace: str
    name: str
    text: str


def load_stream_text(
    connection: Connection, namespace: str, name: str, addresses: DeriveRepositories | None
) -> str | None:
    """Return the JSON of one stream without its opening brace.

    Return None if there is none, or if it cannot be printed in SQL and has to be built from rows.
    """
    found = connection.exec_driver_sql(
        _stream_statement(connection.dialect.name), {"namespace": namespace, "name": name}
    ).fetchone()
    if found is None or _is_unprintable(found):
        return None
    return _print_stream(found, addresses)


def load_stored_stream_text(connection: Connection, namespace: str, name: str) -> str | None:
    """Return the JSON of one stream with its stored addresses, as the change log keeps it."""
    return load_stream_text(connection, namespace, name, None)


def load_stream_texts(connection: Connection, ids: Sequence[int]) -> dict[int, str] | None:
    """Return whole objects as they are stored, by id; None if one has to be built from rows."""
    if not ids:
        return {}
    is_postgres = connection.dialect.name == "postgresql"
    values = {"ids": list(ids) if is_postgres else json.dumps(list(ids))}
    rows = connection.exec_driver_sql(
        _streams_by_id_statement(connection.dialect.name), values
    ).fetchall()
    if any(map(_is_unprintable, rows)):
        return None
    return {row[-1]: f"{{{_print_stream(row, None)}" for row in rows}


def list_stream_texts(
    connection: Connection,
    *,
    namespace: str | None = None,
    limit: int,
    after: StreamKey | None = None,
    addresses: DeriveRepositories,
) -> list[StreamText] | None:
    """Return a page of streams in the order of namespace and name, after the key `after`.

    Return None if one of them has to be built from rows.
    """
    if namespace is not None and after is not None and after[0] != namespace:
        return None
    statement = _page_statement(connection.dialect.name, namespace is not None, after is not None)
    values = {"limit": limit, "namespace": namespace}
    values |= zip(("after_namespace", "after_name"), after or (), strict=False)
    with _SQLITE_PRINT_LOCK if connection.dialect.name == "sqlite" else nullcontext():
        rows = connection.exec_driver_sql(statement, values).fetchall()
    if any(map(_is_unprintable, rows)):
        return None
    return [StreamText(row[0], row[1], _print_stream(row, addresses)) for row in rows]


def _is_unprintable(row: Sequence[Any]) -> bool:
    """Return whether a tag of the stream has fields that SQL does not print."""
    return row[11] is not None and UNPRINTABLE_MARK in row[11]


def _print_stream(row: Sequence[Any], addresses: DeriveRepositories | None) -> str:
    is_local_lookup, repository, spec_tags, histories, status_repository, public = row[9:15]
    if addresses is not None:
        status_repository, public = addresses(row[0], row[1], repository)
    spec = f'"lookupPolicy":{{"local":{"true" if is_local_lookup else "false"}}}'
    if repository:
        spec += f',"dockerImageRepository":{quote_json(repository)}'
    if spec_tags:
        spec += f',"tags":[{spec_tags}]'
    status = f'"dockerImageRepository":{quote_json(status_repository)}'
    if public:
        status += f',"publicDockerImageRepository":{quote_json(public)}'
    if histories:
        status += f',"tags":[{histories}]'
    metadata = print_metadata(row)
    return f'"metadata":{metadata},"spec":{{{spec}}},"status":{{{status}}}}}'


@lru_cache
def _stream_statement(name: str) -> str:
    dialect = JsonDialect(name)
    condition = (
        f"s.namespace = {dialect.parameter('namespace')} AND s.name = {dialect.parameter('name')}"
    )
    return f"SELECT {dialect.stream} FROM image_streams AS s WHERE {condition}"  # noqa: S608


@lru_cache
def _streams_by_id_statement(name: str) -> str:
    dialect = JsonDialect(name)
    id_condition = (
        "= ANY(%(ids)s)" if name == "postgresql" else "IN (SELECT value FROM json_each(:ids))"
    )
    return f"SELECT {dialect.stream}, s.id FROM image_streams AS s WHERE s.id {id_condition}"  # noqa: S608


@lru_cache
def _page_statement(name: str, in_namespace: bool, has_after: bool) -> str:
    dialect = JsonDialect(name)
    conditions = []
    if in_namespace:
        conditions.append(f"s.namespace = {dialect.parameter('namespace')}")
    last = dialect.parameter("after_name")
    if has_after and in_namespace:
        conditions.append(f"s.name > {last}")
    elif has_after:
        after_namespace = dialect.parameter("after_namespace")
        conditions.append(f"(s.namespace, s.name) > ({after_namespace}, {last})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = dialect.parameter("limit")
    page = f"{where} ORDER BY s.namespace, s.name LIMIT {limit}"
    return f"SELECT {dialect.stream} FROM image_streams AS s{page}"  # noqa: S608
