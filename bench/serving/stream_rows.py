"""Streams by the ten thousand, put into the tables directly: POSTs would take too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import Engine, func, select

from bench.importing.store_bench import digest, make_image
from models.images.image_builder import ASCENDING
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import next_versions, raise_floor
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from models.store.tables.streams import EventRow, StreamRow, TagRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGES = 2000
CHUNK = 5000
_STREAM = [
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
_TAG = [
    "id",
    "stream_id",
    "name",
    "wanted",
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
    "seen",
    "head_id",
]
_EVENT = ["id", "tag_id", "created", "image", "reference", "generation"]


@dataclass(frozen=True, slots=True)
class Lot:
    """Streams `app-00000`, `app-00001`, … of one namespace, all of the same size."""

    namespace: str
    streams: int
    tags: int = 10
    events: int = 5


def fill_images(engine: Engine, count: int = IMAGES) -> None:
    """Images of twelve rows, for the events to name."""
    for start in range(0, count, 500):
        with transaction(engine) as session:
            batch = [make_image(number, ASCENDING) for number in range(start, start + 500)]
            save_images(session, batch, now=NOW)


def fill_streams(engine: Engine, lot: Lot) -> None:
    """All of a lot, as if it had been imported long ago: nothing of it is in the log."""
    with transaction(engine) as session:
        ensure_namespace(session, lot.namespace, now=NOW)
        first = next_versions(session, lot.streams)
        raise_floor(session, first + lot.streams - 1)
        ids = [
            (session.scalar(select(func.max(row.id))) or 0) + 1
            for row in (StreamRow, TagRow, EventRow)
        ]
    stream_id, tag_id, event_id = ids
    _put(engine, "image_streams", _STREAM, _streams(engine, lot, stream_id, first))
    _put(engine, "tags", _TAG, _tags(lot, stream_id, tag_id, event_id))
    _put(engine, "tag_events", _EVENT, _events(engine, lot, tag_id, event_id))
    _settle(engine)


def stream_name(number: int) -> str:
    return f"app-{number:06}"


def tag_name(number: int) -> str:
    return f"v1.{number}"


def _streams(engine: Engine, lot: Lot, first: int, version: int) -> Iterator[Sequence[object]]:
    for number in range(lot.streams):
        uid = UUID(int=(first + number) << 64)
        yield (
            first + number,
            lot.namespace,
            stream_name(number),
            uid.hex if engine.dialect.name == "sqlite" else uid,
            version + number,
            1,
            _moment(engine, NOW),
            '{"app":"bench"}',
            '{"openshift.io/image.dockerRepositoryCheck":"2026-01-01T00:00:00Z"}',
            False,
            "",
            "",
            "",
        )


def _tags(lot: Lot, stream: int, first: int, event: int) -> Iterator[Sequence[object]]:
    for number in range(lot.streams * lot.tags):
        place, tag = divmod(number, lot.tags)
        name = tag_name(tag)
        yield (
            first + number,
            stream + place,
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
            event + (number + 1) * lot.events - 1,
        )


def _events(engine: Engine, lot: Lot, tag: int, first: int) -> Iterator[Sequence[object]]:
    images = [digest(f"image {number}") for number in range(IMAGES)]
    moments = [_moment(engine, NOW + timedelta(hours=hour)) for hour in range(lot.events)]
    for number in range(lot.streams * lot.tags * lot.events):
        place, event = divmod(number, lot.events)
        image = images[(place * 7 + event) % IMAGES]
        reference = f"quay.io/bench/app@{image}"
        yield first + number, tag + place, moments[event], image, reference, event + 1


def _moment(engine: Engine, moment: datetime) -> object:
    if engine.dialect.name == "postgresql":
        return moment
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _put(
    engine: Engine, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """COPY, or SQLite's many inserts in one transaction."""
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
        marks = ", ".join("?" * len(columns))
        driver.execute("BEGIN IMMEDIATE")
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        driver.execute("COMMIT")
    finally:
        pooled.close()


def _settle(engine: Engine) -> None:
    """What a database does by and by: statistics, and the next ids of its sequences."""
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
