"""Measures the store: images saved a second, a large stream, and a long history.

    python -m bench.importing.store_bench [DATABASE_URL] [--images 5000] [--events 100000]

Without a URL it measures SQLite in a temporary directory. A PostgreSQL database must be empty. Each
figure is the median of its rounds.
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
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.images.image_store import save_images
from models.store.streams.stream_store import load_stream, save_stream
from models.store.streams.tag_histories import load_event_at

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE_LAYERS = 11  # with the image itself, twelve rows
ROUNDS = 5
TAGS = 10
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def main() -> None:
    """Measure the database of the command line and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--events", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        engine = open_engine(args.url or f"sqlite:///{Path(directory) / 'bench.db'}")
        upgrade_database(engine)
        print(f"{engine.dialect.name}")
        measure_images(engine, args.images)
        measure_large_stream(engine, 10_000)
        measure_history(engine, args.events)
        engine.dispose()


def measure_images(engine: Engine, image_count: int) -> None:
    """Measure saving images of twelve rows, in transactions as large as an import of that many
    tags.
    """
    names = count()
    rates = []
    for _ in range(ROUNDS):
        batch = [make_image(next(names)) for _ in range(image_count // ROUNDS)]
        seconds = time_action(lambda batch=batch: save_bench_images(engine, batch))
        rates.append(len(batch) / seconds)
    print(f"  images stored a second        {statistics.median(rates):10,.0f}")


def measure_large_stream(engine: Engine, tags: int) -> None:
    """Measure a stream of many tags: created, loaded, and given an event for each tag."""
    new = make_stream("large", tags, 1)
    created = time_action(lambda: save_bench_stream(engine, None, new))
    loaded = median_time(lambda: load_bench_stream(engine, "large"))
    old = load_bench_stream(engine, "large")
    with_new_events = with_events(old)
    updated = time_action(lambda: save_bench_stream(engine, old, with_new_events))
    print(f"  {tags:,} tags created, seconds  {created:10.3f}")
    print(f"  … loaded, seconds             {loaded:10.3f}")
    print(f"  … an event for each, seconds  {updated:10.3f}")


def measure_history(engine: Engine, events: int) -> None:
    """Measure loading ten tags with one event each and with very many: the cost should be equal."""
    save_bench_stream(engine, None, make_stream("short", TAGS, 1))
    base_stream = make_stream("long", TAGS, 1)
    save_bench_stream(engine, None, base_stream)
    events_per_tag = events // TAGS
    for start in range(1, events_per_tag, 10_000):
        old = load_bench_stream(engine, "long")
        with_more_events = with_events(old, min(10_000, events_per_tag - start), start)
        save_bench_stream(engine, old, with_more_events)
    short_seconds = median_time(lambda: load_bench_stream(engine, "short"), 200)
    long_seconds = median_time(lambda: load_bench_stream(engine, "long"), 200)
    print(f"  loaded with {TAGS} events, ms      {short_seconds * 1000:10.3f}")
    print(f"  loaded with {events:,} events, ms {long_seconds * 1000:10.3f}", end="")
    print(f"   ratio {long_seconds / short_seconds:.2f}")
    past_time = NOW + timedelta(seconds=events_per_tag // 2)
    event_at_seconds = median_time(lambda: read_past_event(engine, past_time), 200)
    print(f"  image of a tag at a time, ms  {event_at_seconds * 1000:10.3f}")


def save_bench_images(engine: Engine, images: list[PackedImage]) -> None:
    with transaction(engine) as session:
        save_images(session, images, now=NOW)


def save_bench_stream(engine: Engine, old: ImageStream | None, new: ImageStream) -> None:
    with transaction(engine) as session:
        save_stream(session, old, new, now=NOW)


def load_bench_stream(engine: Engine, name: str) -> ImageStream:
    with transaction(engine, write=False) as session:
        stream = load_stream(session, "bench", name)
    assert stream is not None
    return stream


def read_past_event(engine: Engine, past_time: datetime) -> None:
    with transaction(engine, write=False) as session:
        assert load_event_at(session, "bench", "long", "tag-00003", past_time) is not None


def make_image(number: int, annotations: Mapping[str, str] | None = None) -> PackedImage:
    """Build an image with metadata of ordinary size, some 3 KB."""
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
        ImageLayer(name=digest(f"layer {number % 50} {each}"), size=10_000, media_type=LAYER_TYPE)
        for each in range(IMAGE_LAYERS)
    ]
    name = digest(f"image {number}")
    return pack_image(
        Image(
            metadata=ObjectMeta(name=name, annotations=dict(annotations or {})),
            docker_image_reference=f"quay.io/bench/app@{name}",
            docker_image_metadata=metadata,
            docker_image_layers=layers,
            docker_image_manifest_media_type=MANIFEST_TYPE,
        )
    )


def make_stream(name: str, tags: int, events: int) -> ImageStream:
    names = [f"tag-{number:05}" for number in range(tags)]
    spec_tags = [
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
        spec=ImageStreamSpec(tags=spec_tags),
        status=ImageStreamStatus(tags=histories),
    )


def with_events(stream: ImageStream, more: int = 1, start: int = 1) -> ImageStream:
    histories = [
        history.replace(items=[*make_events(history.tag, more, start), *(history.items or [])])
        for history in stream.status.tags
    ]
    return stream.replace(status=stream.status.replace(tags=histories))


def make_events(tag: str, number: int, start: int) -> list[TagEvent]:
    """Build events, newest first, one second apart."""
    events = []
    for position in range(start + number - 1, start - 1, -1):
        image = digest(f"{tag} {position}")
        events.append(
            TagEvent(
                created=NOW + timedelta(seconds=position),
                docker_image_reference=f"quay.io/bench/app@{image}",
                image=image,
                generation=position + 1,
            )
        )
    return events


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def time_action(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def median_time(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    return statistics.median(time_action(action) for _ in range(rounds))


if __name__ == "__main__":
    main()
