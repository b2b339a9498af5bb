"""What the store carries: images a second, a large stream saved, a long history opened.

    python -m bench.importing.store_bench [DATABASE_URL] [--images 5000] [--events 100000]

Without a URL it measures SQLite in a temporary directory. A PostgreSQL database should be an
empty one made for this. Each figure is the median of its rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from sqlalchemy import Engine

from models.images.compressed_image import PackedImage, pack_image
from models.resources.image import Image, ImageLayer
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import (
    ImageStream,
    ImageStreamSpec,
    ImageStreamStatus,
    NamedTagEventList,
    TagEvent,
    TagReference,
)
from models.store.database.session import open_engine, transaction, upgrade
from models.store.images.image_store import save_images
from models.store.streams.stream_store import load_stream, save_stream
from models.store.streams.tag_histories import event_at

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAYERS = 11  # with the image itself, twelve rows
ROUNDS = 5
TAGS = 10
OCI = "application/vnd.oci.image.manifest.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar+gzip"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--events", type=int, default=100_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        engine = open_engine(chosen.url or f"sqlite:///{Path(home) / 'bench.db'}")
        upgrade(engine)
        print(f"{engine.dialect.name}")
        measure_images(engine, chosen.images)
        measure_large_stream(engine, 10_000)
        measure_open(engine, chosen.events)
        engine.dispose()


def measure_images(engine: Engine, number: int) -> None:
    """Images of twelve rows, in transactions as large as an import of that many tags."""
    names = count()
    rates = []
    for _ in range(ROUNDS):
        batch = [make_image(next(names)) for _ in range(number // ROUNDS)]
        seconds = timed(lambda batch=batch: store_images(engine, batch))
        rates.append(len(batch) / seconds)
    print(f"  images stored a second        {statistics.median(rates):10,.0f}")


def measure_large_stream(engine: Engine, tags: int) -> None:
    """A stream of many tags: created, opened, and given an event for each tag."""
    new = make_stream("large", tags, 1)
    created = timed(lambda: store_stream(engine, None, new))
    opened = timed_median(lambda: open_stream(engine, "large"))
    old = open_stream(engine, "large")
    moved = with_events(old)
    updated = timed(lambda: store_stream(engine, old, moved))
    print(f"  {tags:,} tags created, seconds  {created:10.3f}")
    print(f"  … opened, seconds             {opened:10.3f}")
    print(f"  … an event for each, seconds  {updated:10.3f}")


def measure_open(engine: Engine, events: int) -> None:
    """Ten tags with one event each, and with very many: opening either should cost the same."""
    store_stream(engine, None, make_stream("short", TAGS, 1))
    first = make_stream("long", TAGS, 1)
    store_stream(engine, None, first)
    each = events // TAGS
    for start in range(1, each, 10_000):
        old = open_stream(engine, "long")
        grown = with_events(old, min(10_000, each - start), start)
        store_stream(engine, old, grown)
    short = timed_median(lambda: open_stream(engine, "short"), 200)
    long = timed_median(lambda: open_stream(engine, "long"), 200)
    print(f"  opened with {TAGS} events, ms      {short * 1000:10.3f}")
    print(f"  opened with {events:,} events, ms {long * 1000:10.3f}   ratio {long / short:.2f}")
    moment = NOW + timedelta(seconds=each // 2)
    then = timed_median(lambda: event_then(engine, moment), 200)
    print(f"  what a tag meant then, ms     {then * 1000:10.3f}")


def store_images(engine: Engine, images: list[PackedImage]) -> None:
    with transaction(engine) as session:
        save_images(session, images, now=NOW)


def store_stream(engine: Engine, old: ImageStream | None, new: ImageStream) -> None:
    with transaction(engine) as session:
        save_stream(session, old, new, now=NOW)


def open_stream(engine: Engine, name: str) -> ImageStream:
    with transaction(engine, write=False) as session:
        stream = load_stream(session, "bench", name)
    assert stream is not None
    return stream


def event_then(engine: Engine, moment: datetime) -> None:
    with transaction(engine, write=False) as session:
        assert event_at(session, "bench", "long", "tag-00003", moment) is not None


def make_image(number: int, annotations: Mapping[str, str] | None = None) -> PackedImage:
    """An image whose metadata has the size of an ordinary one's, some 3 KB."""
    metadata = {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": digest(f"config {number}"),
        "Created": "2026-01-01T00:00:00Z",
        "ContainerConfig": {},
        "Config": {
            "Env": [f"VARIABLE_{each}=/opt/some/path/{each}/bin" for each in range(20)],
            "Labels": {f"org.example.label.{each}": f"value {each} " * 4 for each in range(30)},
        },
    }
    layers = [
        ImageLayer(name=digest(f"layer {number % 50} {each}"), size=10_000, media_type=TAR)
        for each in range(LAYERS)
    ]
    name = digest(f"image {number}")
    return pack_image(
        Image(
            metadata=ObjectMeta(name=name, annotations=dict(annotations or {})),
            docker_image_reference=f"quay.io/bench/app@{name}",
            docker_image_metadata=metadata,
            docker_image_layers=layers,
            docker_image_manifest_media_type=OCI,
        )
    )


def make_stream(name: str, tags: int, events: int) -> ImageStream:
    names = [f"tag-{number:05}" for number in range(tags)]
    wishes = [
        TagReference(
            name=tag,
            generation=1,
            from_=ObjectReference(kind="DockerImage", name=f"quay.io/bench/app:{tag}"),
        )
        for tag in names
    ]
    histories = [NamedTagEventList(tag=tag, items=make_events(tag, events, 0)) for tag in names]
    return ImageStream(
        metadata=ObjectMeta(name=name, namespace="bench", generation=1),
        spec=ImageStreamSpec(tags=wishes),
        status=ImageStreamStatus(tags=histories),
    )


def with_events(stream: ImageStream, more: int = 1, start: int = 1) -> ImageStream:
    histories = [
        history.replace(items=[*make_events(history.tag, more, start), *(history.items or [])])
        for history in stream.status.tags
    ]
    return stream.replace(status=stream.status.replace(tags=histories))


def make_events(tag: str, number: int, start: int) -> list[TagEvent]:
    """Newest first, a second apart."""
    made = []
    for place in range(start + number - 1, start - 1, -1):
        image = digest(f"{tag} {place}")
        made.append(
            TagEvent(
                created=NOW + timedelta(seconds=place),
                docker_image_reference=f"quay.io/bench/app@{image}",
                image=image,
                generation=place + 1,
            )
        )
    return made


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def timed_median(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    return statistics.median(timed(action) for _ in range(rounds))


if __name__ == "__main__":
    main()
