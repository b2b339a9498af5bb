"""Fills the tables with schedules of any size, by statements that generate their rows.

Row `i` checks source `i % sources` of registry `source % registries`. Rows of the same source have
the same due time, as the scheduler would have set it.
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
TAGS_PER_STREAM = 100
KNOWN_DIGEST = digest_of(b"known image")


@dataclass(frozen=True, slots=True)
class ScheduleSize:
    """The number of rows, whose first due times are spread evenly over `spread_seconds` from `BASE`
    on.
    """

    rows: int
    registries: int
    spread_seconds: float
    sources: int = 0  # 0: one for each row
    with_tags: bool = False  # whether to insert the rows of the tags too, which workers read


def fill_schedule(engine: Engine, schedule: ScheduleSize) -> None:
    """Fill an empty database with streams, tags and schedule rows, then refresh its statistics."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _insert_statements(engine.dialect.name, schedule):
            connection.execute(text(statement))
        if engine.dialect.name == "postgresql":  # the triggers were disabled above
            columns = "id, namespace, stream, tag, host, key"
            fill = f"INSERT INTO schedule_lookup ({columns}) SELECT {columns} FROM scheduled_tags"
            connection.execute(text(fill))
    refresh_statistics(engine)


def fill_sources(engine: Engine, sources: Sequence[tuple[str, str, str, str]]) -> None:
    """Insert a row for each (host, key, source, known digest), none of them due.

    Works on PostgreSQL only.
    """
    count = len(sources)
    with engine.begin() as connection:
        for statement in _insert_statements(
            engine.dialect.name, ScheduleSize(count, 1, 1.0, with_tags=True)
        ):
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
        new_values = (
            "FROM unnest(CAST(:ids AS bigint[]), CAST(:host AS text[]), CAST(:key AS text[]),"
            " CAST(:source AS text[]), CAST(:known AS text[])) AS n(id, host, key, source, known)"
            " WHERE t.id = n.id"
        )
        connection.execute(
            text(
                "UPDATE scheduled_tags AS t SET host = n.host, key = n.key, source = n.source,"
                f" due_at = NULL, next_check_at = NULL {new_values}"
            ),
            values,
        )
        connection.execute(
            text(f"UPDATE tags AS t SET known_key = n.key, known_source = n.known {new_values}"),
            values,
        )
    refresh_statistics(engine)


def refresh_statistics(engine: Engine) -> None:
    """Refresh the statistics, as a database does on its own over time."""
    with engine.connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        if engine.dialect.name == "postgresql":
            plain.execute(text("VACUUM ANALYZE"))
            plain.execute(text("CHECKPOINT"))
        else:
            plain.execute(text("ANALYZE"))


def host_of(registry: int) -> str:
    """Return the host of the registry with that number."""
    return f"r{registry}.example"


def _insert_statements(dialect: str, schedule: ScheduleSize) -> list[str]:
    streams = -(-schedule.rows // TAGS_PER_STREAM)
    sources = schedule.sources or schedule.rows
    tag = f"CAST(i % {TAGS_PER_STREAM} AS text)"
    stream = f"i / {TAGS_PER_STREAM} + 1"
    registry = f"CAST(i % {sources} % {schedule.registries} AS text)"
    source = f"'r' || {registry} || '.example/team/app:v' || CAST(i % {sources} AS text)"
    key = (
        f"'r' || {registry} || '.example/team/app v' || CAST(i % {sources} AS text) || ' Legacy //'"
    )
    due_time = _timestamp_sql(dialect, f"(i % {sources}) * {schedule.spread_seconds / sources!r}")
    now = _timestamp_sql(dialect, "0")
    false, true = ("false", "true") if dialect == "postgresql" else ("0", "1")
    uid = "CAST(lpad(to_hex(i), 32, '0') AS uuid)"
    if dialect == "sqlite":
        uid = "printf('%032x', i)"
    statements = []
    statements.append(
        "INSERT INTO image_streams (id, namespace, name, uid, version, generation, created,"
        " lookup_local, spec_repository, status_repository, public_repository) "
        f"{_number_table(dialect, streams)} SELECT i + 1, '{NAMESPACE}', 'app-' || CAST(i AS text),"
        f" {uid}, i + 1, 1, {now}, {false}, '', '', '' FROM n",
    )
    if schedule.with_tags:
        statements.append(
            "INSERT INTO tags (id, stream_id, name, in_spec, from_kind, from_name, spec_reference,"
            " spec_generation, insecure, scheduled, import_mode, reference_policy, in_status,"
            " known_key, known_source) "
            f"{_number_table(dialect, schedule.rows)} SELECT i + 1, {stream}, 'v' || {tag}, {true},"
            f" 'DockerImage', {source}, {false}, 1, {false}, {true}, 'Legacy', 'Source', {true},"
            f" {key}, '{KNOWN_DIGEST}' FROM n"
        )
    statements.append(
        "INSERT INTO scheduled_tags (id, stream_id, namespace, stream, tag, host, key, source,"
        " insecure, scheduled, suspended, needs_due_time, due_at, next_check_at,"
        " consecutive_failures, reason, error_code, message, last_transition_at, wait_seconds,"
        " etag, worker) "
        f"{_number_table(dialect, schedule.rows)} SELECT i + 1, {stream}, '{NAMESPACE}',"
        f" 'app-' || CAST(i / {TAGS_PER_STREAM} AS text), 'v' || {tag},"
        f" 'r' || {registry} || '.example', {key}, {source}, {false}, {true}, {false}, {false},"
        f" {due_time}, {due_time}, 0, 'Unchanged', '', '', {now}, 0, '', '' FROM n"
    )
    return statements


def _number_table(dialect: str, count: int) -> str:
    """Build a common table expression `n` of the numbers `i` from 0 on."""
    if dialect == "postgresql":
        return f"WITH n(i) AS (SELECT generate_series(0, {count - 1}))"
    next_number = f"SELECT i + 1 FROM n WHERE i < {count - 1}"
    return f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL {next_number})"


def _timestamp_sql(dialect: str, seconds: str) -> str:
    """Build the time `seconds` after `BASE` in the database's representation."""
    base = int(BASE.timestamp())
    if dialect == "postgresql":
        return f"to_timestamp({base} + {seconds})"
    return f"strftime('%Y-%m-%d %H:%M:%f', {base} + {seconds}, 'unixepoch') || '000'"
