"""Requests of an administrator's reimport: existing tags of a stream are imported again."""

from __future__ import annotations

from collections.abc import Collection

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream, TagReference
from models.streams.imports.import_trigger import build_import_request, is_importable


def build_reimport_request(
    stream: ImageStream,
    tags: Collection[str] | None = None,
    *,
    failed_only: bool = False,
    registry: str = "",
) -> ImageStreamImport | None:
    """Build a request for the stream's importable tags (all, or those named); None if there is
    none.

    `failed_only` selects tags with a condition, `registry` those from that host. The stream's own
    repository is listed again as well, unless a selection was made.
    """
    failing = {history.tag for history in stream.status.tags if history.conditions}
    chosen = [
        tag
        for tag in stream.spec.tags
        if is_importable(tag)
        and (tags is None or tag.name in tags)
        and (not failed_only or tag.name in failing)
        and (not registry or _is_from_registry(tag, registry))
    ]
    with_repository = tags is None and not failed_only and not registry
    with_repository = with_repository and bool(stream.spec.docker_image_repository)
    if not chosen and not with_repository:
        return None
    return build_import_request(
        stream, chosen, with_repository=with_repository, with_precondition=False
    )


def _is_from_registry(tag: TagReference, registry: str) -> bool:
    try:
        reference = Reference.parse(tag.from_.name if tag.from_ is not None else "")
    except InvalidReferenceError:
        return False
    return _registry_of(reference) == _registry_of(Reference(registry, "", "any"))


def _registry_of(reference: Reference) -> str:
    """Return the canonical registry name; all aliases of Docker Hub have one."""
    return reference.repository_key().partition("/")[0]
