"""The administrator's wish to look again at tags as they stand."""

from __future__ import annotations

from collections.abc import Collection

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream, TagReference
from models.streams.imports.import_trigger import build_import, is_importable


def reimport_request(
    stream: ImageStream,
    tags: Collection[str] | None = None,
    *,
    failed_only: bool = False,
    registry: str = "",
) -> ImageStreamImport | None:
    """A request for the stream's importable tags (all, or those named), or None for nothing.

    `failed_only` takes tags that carry a condition, `registry` those from that host. The stream's
    own repository is listed again too, unless the wish is narrower than the whole stream.
    """
    failing = {history.tag for history in stream.status.tags if history.conditions}
    chosen = [
        tag
        for tag in stream.spec.tags
        if is_importable(tag)
        and (tags is None or tag.name in tags)
        and (not failed_only or tag.name in failing)
        and (not registry or _comes_from(tag, registry))
    ]
    whole = tags is None and not failed_only and not registry
    whole = whole and bool(stream.spec.docker_image_repository)
    if not chosen and not whole:
        return None
    return build_import(stream, chosen, whole=whole, guarded=False)


def _comes_from(tag: TagReference, registry: str) -> bool:
    try:
        written = Reference.parse(tag.from_.name if tag.from_ is not None else "")
    except InvalidReferenceError:
        return False
    return _host_of(written) == _host_of(Reference(registry, "", "any"))


def _host_of(reference: Reference) -> str:
    """The registry under its one name, Docker Hub's aliases included."""
    return reference.repository_key().partition("/")[0]
