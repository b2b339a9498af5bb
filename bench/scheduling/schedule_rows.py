"""Calendars of any size, put into the tables by statements that make their own rows.

Row `i` follows source `i % sources` of registry `source % registries`. Followers of one source
have the same turn, as the scheduler would have given it to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from bench.importing.corpus_documents import digest_of

BASE = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE = "bench"
TAGS_A_STREAM = 100
KNOWN = digest_of(b"what there is")


@dataclass(frozen=True, slots=True)
class Agenda:
    """So many rows, whose first turns are spread evenly over `within` seconds from `BASE` on."""

    rows: int
    registries: int
    within: float
    sources: int = 0  # 0: as many as there are rows
    known: bool = False  # whether the tags' own rows are wanted too, as workers read them


def fill_agenda(engine: Engine, agenda: Agenda) -> None:
    """Streams, tags and calendar rows of an empty database, with statistics at the end."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _statements(engine.dialect.name, agenda):
            connection.execute(text(statement))
        if engine.dialect.name == "postgresql":  # whose triggers were off meanwhile
            words = "id, namespace, stream, tag, host, key"
            fill = f"INSERT INTO scheduled_places ({words}) SELECT {words} FROM scheduled_tags"
            connection.execute(text(fill))
    settle_statistics(engine)


def fill_sources(engine: Engine, sources: Sequence[tuple[str, str, str, str]]) -> None:
    """A row for each (host, key, source, known digest), none of them due. PostgreSQL only."""
    count = len(sources)
    with engine.begin() as connection:
        for statement in _statements(engine.dialect.name, Agenda(count, 1, 1.0, known=True)):
            connection.execute(text(statement))
        values: dict[str, Any] = {
            "ids": list(range(1, count + 1)),
            **dict(
                zip(
                    ("host", "key", "source", "known"),
                    map(list, zip(*sources, strict=True)),
                    strict=True,
                )
            ),
        }
        news = (
            "FROM unnest(CAST(:ids AS bigint[]), CAST(:host AS text[]), CAST(:key AS text[]),"
            " CAST(:source AS text[]), CAST(:known AS text[])) AS n(id, host, key, source, known)"
            " WHERE t.id = n.id"
        )
        connection.execute(
            text(
                "UPDATE scheduled_tags AS t SET host = n.host, key = n.key, source = n.source,"
                f" due = NULL, next_look = NULL {news}"
            ),
            values,
        )
        connection.execute(
            text(f"UPDATE tags AS t SET known_key = n.key, known_source = n.known {news}"), values
        )
    settle_statistics(engine)


def settle_statistics(engine: Engine) -> None:
    """What a database does by and by."""
    with engine.connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        if engine.dialect.name == "postgresql":
            plain.execute(text("VACUUM ANALYZE"))
            plain.execute(text("CHECKPOINT"))
        else:
            plain.execute(text("ANALYZE"))


def host_of(registry: int) -> str:
    return f"r{registry}.example"


def _statements(dialect: str, agenda: Agenda) -> list[str]:
    streams = -(-agenda.rows // TAGS_A_STREAM)
    sources = agenda.sources or agenda.rows
    tag = f"CAST(i % {TAGS_A_STREAM} AS text)"
    stream = f"i / {TAGS_A_STREAM} + 1"
    place = f"CAST(i % {sources} % {agenda.registries} AS text)"
    source = f"'r' || {place} || '.example/team/app:v' || CAST(i % {sources} AS text)"
    key = f"'r' || {place} || '.example/team/app v' || CAST(i % {sources} AS text) || ' Legacy //'"
    turn = _moment(dialect, f"(i % {sources}) * {agenda.within / sources!r}")
    now = _moment(dialect, "0")
    false, true = ("false", "true") if dialect == "postgresql" else ("0", "1")
    uid = "CAST(lpad(to_hex(i), 32, '0') AS uuid)"
    if dialect == "sqlite":
        uid = "printf('%032x', i)"
    made = []
    made.append(
        "INSERT INTO image_streams (id, namespace, name, uid, version, generation, created,"
        " lookup_local, spec_repository, status_repository, public_repository) "
        f"{_numbers(dialect, streams)} SELECT i + 1, '{NAMESPACE}', 'app-' || CAST(i AS text),"
        f" {uid}, i + 1, 1, {now}, {false}, '', '', '' FROM n",
    )
    if agenda.known:
        made.append(
            "INSERT INTO tags (id, stream_id, name, wanted, from_kind, from_name, spec_reference,"
            " spec_generation, insecure, scheduled, import_mode, reference_policy, seen,"
            " known_key, known_source) "
            f"{_numbers(dialect, agenda.rows)} SELECT i + 1, {stream}, 'v' || {tag}, {true},"
            f" 'DockerImage', {source}, {false}, 1, {false}, {true}, 'Legacy', 'Source', {true},"
            f" {key}, '{KNOWN}' FROM n"
        )
    made.append(
        "INSERT INTO scheduled_tags (id, stream_id, namespace, stream, tag, host, key, source,"
        " insecure, scheduled, suspended, fresh, due, next_look, failures, decision, reason,"
        " message, decided, waited, etag, carrier) "
        f"{_numbers(dialect, agenda.rows)} SELECT i + 1, {stream}, '{NAMESPACE}',"
        f" 'app-' || CAST(i / {TAGS_A_STREAM} AS text), 'v' || {tag}, 'r' || {place} || '.example',"
        f" {key}, {source}, {false}, {true}, {false}, {false}, {turn}, {turn}, 0, 'same', '', '',"
        f" {now}, 0, '', '' FROM n"
    )
    return made


def _numbers(dialect: str, count: int) -> str:
    """A table `n` of the numbers `i` from 0 on."""
    if dialect == "postgresql":
        return f"WITH n(i) AS (SELECT generate_series(0, {count - 1}))"
    grow = f"SELECT i + 1 FROM n WHERE i < {count - 1}"
    return f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL {grow})"


def _moment(dialect: str, seconds: str) -> str:
    """So many seconds after `BASE`, as the database keeps a moment."""
    base = int(BASE.timestamp())
    if dialect == "postgresql":
        return f"to_timestamp({base} + {seconds})"
    return f"strftime('%Y-%m-%d %H:%M:%f', {base} + {seconds}, 'unixepoch') || '000'"
