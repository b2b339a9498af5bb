"""Small images, streams and requests to store; a text such as `a` makes an image's digest."""

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

INITIAL_VERSION = (
    3  # the version of a new store, with the namespaces `default`, `openshift` and `ns`
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OCI = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def image(text, *, layers=("base", "top"), repository="quay.io/team/app", **fields):
    fields.setdefault("docker_image_metadata", {"Id": digest(f"config {text}"), "Size": 7})
    return Image(
        metadata=ObjectMeta(
            name=digest(text), annotations={"image.openshift.io/dockerLayersOrder": "ascending"}
        ),
        docker_image_reference=f"{repository}@{digest(text)}",
        docker_image_layers=[
            ImageLayer(name=digest(layer), size=size, media_type=LAYER)
            for size, layer in enumerate(layers, start=1)
        ],
        docker_image_manifest_media_type=OCI,
        **fields,
    )


def index(text, *children):
    return Image(
        metadata=ObjectMeta(name=digest(text)),
        docker_image_reference=f"quay.io/team/app@{digest(text)}",
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


def packed_image(text, **parts):
    return pack_image(image(text, **parts))


def event(text, *, created=NOW, generation=1):
    return TagEvent(
        created=created,
        docker_image_reference=f"quay.io/team/app@{digest(text)}",
        image=digest(text),
        generation=generation,
    )


def spec_tag(name, *, source=None, kind="DockerImage", **fields):
    source = source or f"quay.io/team/app:{name}"
    fields.setdefault("generation", 1)
    return TagReference(name=name, from_=ObjectReference(kind=kind, name=source), **fields)


def stream(name="app", *, namespace="ns", spec=(), status=None, **metadata):
    """Return a stream; `status` maps tags to events or to texts of images, newest first."""
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


def commit_stream(engine, old, new, *, now=NOW):
    """Save a stream in a transaction of its own; return it as stored."""
    with transaction(engine) as session:
        return save_stream(session, old, new, now=now)


def read_stream(engine, name="app", *, namespace="ns", history=None):
    """Load a stream in a transaction of its own."""
    with transaction(engine, write=False) as session:
        return load_stream(session, namespace, name, history=history)


def with_event(stream, tag, *events):
    """Return the stream with events put in front of a tag's history."""
    history = stream.status_tag(tag) or NamedTagEventList(tag=tag)
    return stream.with_status_tag(history.replace(items=[*events, *(history.items or [])]))


def images_of(stream, tag):
    """Return the digests of a tag's events, newest first."""
    history = stream.status_tag(tag)
    return [item.image for item in history.items or []]


def import_request(name="app", *, namespace="ns", source="quay.io/team/app:1"):
    return ImageStreamImport.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "import": True,
                "images": [{"from": {"kind": "DockerImage", "name": source}, "to": {"name": "1"}}],
            },
        }
    )
