"""Images, streams and requests to store: small, and told apart by a word."""

import hashlib
from datetime import UTC, datetime, timedelta

from models.images.compressed_image import pack_image
from models.resources.image import Image, ImageLayer, ImageManifest
from models.resources.imports import ImageStreamImport
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import (
    ImageStream,
    ImageStreamSpec,
    ImageStreamStatus,
    NamedTagEventList,
    TagEvent,
    TagReference,
)
from models.store.database.session import transaction
from models.store.streams.stream_store import load_stream, save_stream

START = 3  # the version of an empty store: `default`, `openshift` and `ns` are there
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OCI = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def digest(word):
    return "sha256:" + hashlib.sha256(word.encode()).hexdigest()


def image(word, *, layers=("base", "top"), repository="quay.io/team/app", **fields):
    fields.setdefault("docker_image_metadata", {"Id": digest(f"config {word}"), "Size": 7})
    return Image(
        metadata=ObjectMeta(
            name=digest(word), annotations={"image.openshift.io/dockerLayersOrder": "ascending"}
        ),
        docker_image_reference=f"{repository}@{digest(word)}",
        docker_image_layers=[
            ImageLayer(name=digest(layer), size=size, media_type=LAYER)
            for size, layer in enumerate(layers, start=1)
        ],
        docker_image_manifest_media_type=OCI,
        **fields,
    )


def index(word, *children):
    return Image(
        metadata=ObjectMeta(name=digest(word)),
        docker_image_reference=f"quay.io/team/app@{digest(word)}",
        docker_image_manifest_media_type="application/vnd.oci.image.index.v1+json",
        docker_image_manifests=[
            ImageManifest(
                digest=digest(child),
                media_type=OCI,
                manifest_size=500,
                architecture="arm",
                os="linux",
                variant=child,
            )
            for child in children
        ],
    )


def packed(word, **parts):
    return pack_image(image(word, **parts))


def event(word, *, created=NOW, generation=1):
    return TagEvent(
        created=created,
        docker_image_reference=f"quay.io/team/app@{digest(word)}",
        image=digest(word),
        generation=generation,
    )


def wish(name, *, source=None, kind="DockerImage", **fields):
    source = source or f"quay.io/team/app:{name}"
    fields.setdefault("generation", 1)
    return TagReference(name=name, from_=ObjectReference(kind=kind, name=source), **fields)


def stream(name="app", *, namespace="ns", spec=(), status=None, **metadata):
    """`status` maps tags to the words of their events, or to the events, newest first."""
    histories = [
        NamedTagEventList(
            tag=tag, items=[event(each) if isinstance(each, str) else each for each in events]
        )
        for tag, events in (status or {}).items()
    ]
    return ImageStream(
        metadata=ObjectMeta(name=name, namespace=namespace, generation=1, **metadata),
        spec=ImageStreamSpec(tags=list(spec)),
        status=ImageStreamStatus(tags=histories),
    )


def stored(engine, old, new, *, now=NOW):
    """Save in a transaction of its own."""
    with transaction(engine) as session:
        return save_stream(session, old, new, now=now)


def loaded(engine, name="app", *, namespace="ns", history=None):
    with transaction(engine, write=False) as session:
        return load_stream(session, namespace, name, history=history)


def with_event(stream, tag, *events):
    """The stream with events put in front of a tag's history."""
    history = stream.status_tag(tag) or NamedTagEventList(tag=tag)
    return stream.with_status_tag(history.replace(items=[*events, *(history.items or [])]))


def images_of(stream, tag):
    history = stream.status_tag(tag)
    return [item.image for item in history.items or []]


def request(name="app", *, namespace="ns", source="quay.io/team/app:1"):
    return ImageStreamImport.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "import": True,
                "images": [{"from": {"kind": "DockerImage", "name": source}, "to": {"name": "1"}}],
            },
        }
    )
