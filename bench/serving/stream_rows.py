"""Inserts tens of thousands of streams into the tables directly: POSTs would take too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import Engine, func, select

from bench.importing.store_bench import digest, make_image
from models.images.image_builder import LAYERS_ASCENDING
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import allocate_versions
from models.store.changes.change_pruning import raise_floor
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from models.store.tables.streams import StreamRow, TagEventRow, TagRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILLED_IMAGES = 2000
CHUNK = 5000
_STREAM_COLUMNS = [
    "id",
    "namespace",
    "name",
    "uid",
    "version",
    "generation",
    "created",
    "labels",
    "annotations",
    "lookup_local",
    "spec_repository",
    "status_repository",
    "public_repository",
]
_TAG_COLUMNS = [
    "id",
    "stream_id",
    "name",
    "in_spec",
    "spec_annotations",
    "from_kind",
    "from_namespace",
    "from_name",
    "spec_reference",
    "spec_generation",
    "insecure",
    "scheduled",
    "import_mode",
    "reference_policy",
    "in_status",
    "head_id",
]
_EVENT_COLUMNS = ["id", "tag_id", "created", "image", "reference", "generation"]


@dataclass(frozen=True, slots=True)
class StreamSet:
    """Streams `app-000000`, `app-000001`, … of one namespace, all of the same size."""

    namespace: str
    streams: int
    tags: int = 10
    events: int = 5


def fill_images(engine: Engine, count: int = FILLED_IMAGES) -> None:
    """Save images of twelve rows, which the events refer to."""
    for start in range(0, count, 500):
        with transaction(engine) as session:
            batch = [make_image(number, LAYERS_ASCENDING) for number in range(start, start + 500)]
            save_images(session, batch, now=NOW)


def fill_streams(engine: Engine, stream_set: StreamSet) -> None:
    """Insert the streams as if they had been imported long ago: the change log has no entries of
    them.
    """
    with transaction(engine) as session:
        ensure_namespace(session, stream_set.namespace, now=NOW)
        first = allocate_versions(session, stream_set.streams)
        raise_floor(session, first + stream_set.streams - 1)
        ids = [
            (session.scalar(select(func.max(row.id))) or 0) + 1
            for row in (StreamRow, TagRow, TagEventRow)
        ]
    stream_id, tag_id, event_id = ids
    _copy_rows(
        engine, "image_streams", _STREAM_COLUMNS, _stream_rows(engine, stream_set, stream_id, first)
    )
    _copy_rows(engine, "tags", _TAG_COLUMNS, _tag_rows(stream_set, stream_id, tag_id, event_id))
    _copy_rows(
        engine, "tag_events", _EVENT_COLUMNS, _event_rows(engine, stream_set, tag_id, event_id)
    )
    _refresh_statistics(engine)


def stream_name(number: int) -> str:
    return f"app-{number:06}"


def tag_name(number: int) -> str:
    return f"v1.{number}"


def _stream_rows(
    engine: Engine, stream_set: StreamSet, first: int, version: int
) -> Iterator[Sequence[object]]:
    for number in range(stream_set.streams):
        uid = UUID(int=(first + number) << 64)
        yield (
            first + number,
            stream_set.namespace,
            stream_name(number),
            uid.hex if engine.dialect.name == "sqlite" else uid,
            version + number,
            1,
            _database_time(engine, NOW),
            '{"app":"bench"}',
            '{"openshift.io/image.dockerRepositoryCheck":"2026-01-01T00:00:00Z"}',
            False,
            "",
            "",
            "",
        )


def _tag_rows(
    stream_set: StreamSet, stream: int, first: int, event: int
) -> Iterator[Sequence[object]]:
    for number in range(stream_set.streams * stream_set.tags):
        stream_index, tag_number = divmod(number, stream_set.tags)
        name = tag_name(tag_number)
        yield (
            first + number,
            stream + stream_index,
            name,
            True,
            None,
            "DockerImage",
            "",
            f"quay.io/bench/app:{name}",
            False,
            1,
            False,
            False,
            "Legacy",
            "Source",
            True,
            event + (number + 1) * stream_set.events - 1,
        )


def _event_rows(
    engine: Engine, stream_set: StreamSet, tag: int, first: int
) -> Iterator[Sequence[object]]:
    images = [digest(f"image {number}") for number in range(FILLED_IMAGES)]
    times = [
        _database_time(engine, NOW + timedelta(hours=hour)) for hour in range(stream_set.events)
    ]
    for number in range(stream_set.streams * stream_set.tags * stream_set.events):
        tag_index, event_number = divmod(number, stream_set.events)
        image = images[(tag_index * 7 + event_number) % FILLED_IMAGES]
        reference = f"quay.io/bench/app@{image}"
        yield (
            first + number,
            tag + tag_index,
            times[event_number],
            image,
            reference,
            event_number + 1,
        )


def _database_time(engine: Engine, time: datetime) -> object:
    if engine.dialect.name == "postgresql":
        return time
    return time.strftime("%Y-%m-%d %H:%M:%S.%f")


def _copy_rows(
    engine: Engine, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Insert rows by COPY, or on SQLite by one large transaction."""
    pooled = engine.raw_connection()
    try:
        driver = pooled.driver_connection
        names = ", ".join(columns)
        if isinstance(driver, psycopg.Connection):
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as to:
                for row in rows:
                    to.write_row(row)
            driver.commit()
            return
        assert driver is not None
        placeholders = ", ".join("?" * len(columns))
        driver.execute("BEGIN IMMEDIATE")
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({placeholders})", rows)
        driver.execute("COMMIT")
    finally:
        pooled.close()


def _refresh_statistics(engine: Engine) -> None:
    """Refresh what a database refreshes over time: statistics, and the next sequence ids."""
    pooled = engine.raw_connection()
    try:
        driver = pooled.driver_connection
        assert driver is not None
        if isinstance(driver, psycopg.Connection):
            driver.autocommit = True
            for table in ("image_streams", "tags", "tag_events"):
                driver.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                )
            driver.execute("VACUUM ANALYZE")
            driver.autocommit = False
        else:
            driver.execute("ANALYZE")
    finally:
        pooled.close()
