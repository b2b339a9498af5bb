"""Which tags are looked at again by the clock (`import.md` 7.1)."""

from __future__ import annotations

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.stream import ImageStream, NamedTagEventList, TagReference
from models.streams.trigger import is_importable


def scheduled_tags(stream: ImageStream) -> list[TagReference]:
    """The spec tags that are due for a look by the clock, in name order."""
    histories = {history.tag: history for history in stream.status.tags}
    return [tag for tag in stream.spec.tags if is_scheduled(tag, histories.get(tag.name))]


def is_scheduled(tag: TagReference, history: NamedTagEventList | None) -> bool:
    """Whether a tag is looked at again; a digest that was imported cannot change (Q53)."""
    if not is_importable(tag) or not tag.import_policy.scheduled or tag.from_ is None:
        return False
    try:
        reference = Reference.parse(tag.from_.name)
    except InvalidReferenceError:
        return False
    return not (reference.id and _is_imported(tag, history))


def _is_imported(tag: TagReference, history: NamedTagEventList | None) -> bool:
    if history is None or not history.items or tag.generation is None:
        return False
    return history.items[0].generation >= tag.generation


def with_next_generation(stream: ImageStream) -> ImageStream:
    """A local copy on which every scheduled tag is due (7.4 step 4); never stored."""
    due = {tag.name for tag in scheduled_tags(stream)}
    generation = stream.metadata.generation + 1
    tags = [
        tag.replace(generation=generation) if tag.name in due else tag for tag in stream.spec.tags
    ]
    return stream.replace(spec=stream.spec.replace(tags=tags))
