"""What a write does to generations and derived fields (`import.md` 6.1 to 6.4, 6.8)."""

from __future__ import annotations

from collections.abc import Mapping

from models.resources.stream import (
    ImageStream,
    ImageStreamSpec,
    ImageStreamStatus,
    NamedTagEventList,
    TagReference,
)
from models.streams.imports.import_rules import ImportRules


def prepare_create(stream: ImageStream, *, keep_status: bool) -> ImageStream:
    """A new stream: generation 1 everywhere; only imports may bring a status (6.2)."""
    tags = [tag.replace(generation=1) for tag in stream.spec.tags]
    return stream.replace(
        metadata=stream.metadata.replace(generation=1),
        spec=stream.spec.replace(tags=tags),
        status=stream.status if keep_status else ImageStreamStatus(),
    )


def prepare_update(
    old: ImageStream, new: ImageStream, *, keep_status: bool
) -> tuple[ImageStream, frozenset[str]]:
    """The stream with its generations set, and the names of new or changed spec tags (6.3).

    A spec tag's generation is the server's: 0 asks for a new import, anything else is restored.
    """
    stored = {tag.name: tag for tag in old.spec.tags}
    tags = [_restore_generation(tag, stored.get(tag.name)) for tag in new.spec.tags]
    spec = new.spec.replace(tags=tags)
    generation = old.metadata.generation
    if generation == 0 or not specs_equal(old.spec, spec):
        generation += 1
    namespace = new.metadata.namespace
    changed = frozenset(
        tag.name
        for tag in tags
        if tag.name not in stored or tag_changed(stored[tag.name], tag, namespace=namespace)
    )
    tags = [
        tag.replace(generation=generation) if tag.name in changed or not tag.generation else tag
        for tag in tags
    ]
    status = new.status if keep_status else old.status
    kept = [history for history in status.tags if history.items or history.conditions]
    return (
        new.replace(
            metadata=new.metadata.replace(generation=generation),
            spec=spec.replace(tags=tags),
            status=status if len(kept) == len(status.tags) else status.replace(tags=kept),
        ),
        changed,
    )


def _restore_generation(tag: TagReference, old: TagReference | None) -> TagReference:
    if old is None or tag.generation in {0, old.generation}:
        return tag
    return tag.replace(generation=old.generation)


def tag_changed(old: TagReference, new: TagReference, *, namespace: str) -> bool:
    """Whether a spec tag changed enough to be acted on (6.4)."""
    if new.from_ is None or not (new.from_.kind or new.from_.name):
        return False
    old_name = old.from_.name if old.from_ is not None else ""
    old_place = (old.from_.namespace if old.from_ is not None else "") or namespace
    if old_place != (new.from_.namespace or namespace) or old_name != new.from_.name:
        return True
    if old.reference != new.reference:
        return True
    if old.import_policy.import_mode != new.import_policy.import_mode:
        return True
    return new.generation == 0 and bool(old.generation)


def specs_equal(old: ImageStreamSpec, new: ImageStreamSpec) -> bool:
    """Semantic equality: null and empty are the same."""
    if old is new:
        return True
    if (old.lookup_policy, old.docker_image_repository) != (
        new.lookup_policy,
        new.docker_image_repository,
    ):
        return False
    if len(old.tags) != len(new.tags):
        return False
    return all(
        one is other or one == other or one.wire() == other.wire() or _tags_equal(one, other)
        for one, other in zip(old.tags, new.tags, strict=True)
    )


def _tags_equal(old: TagReference, new: TagReference) -> bool:
    return old.replace(annotations=old.annotations or None) == new.replace(
        annotations=new.annotations or None
    )


def decorate(stream: ImageStream, rules: ImportRules) -> ImageStream:
    """The stream with the addresses that are derived on every read and write (6.1)."""
    metadata, status = stream.metadata, stream.status
    repository, public = derive_addresses(
        rules, metadata.namespace, metadata.name, stream.spec.docker_image_repository
    )
    if (status.docker_image_repository, status.public_docker_image_repository) == (
        repository,
        public,
    ):
        return stream
    return stream.replace(
        status=status.replace(
            docker_image_repository=repository, public_docker_image_repository=public
        )
    )


def derive_addresses(
    rules: ImportRules, namespace: str, name: str, repository: str
) -> tuple[str, str]:
    """A stream's own and public repository (`api.md` B2.5); empty where there is none."""
    place = f"{namespace or 'default'}/{name}"
    if rules.internal_hostname:
        repository = f"{rules.internal_hostname}/{place}"
    public = f"{rules.external_hostnames[0]}/{place}" if rules.external_hostnames else ""
    return repository, public


def settle_status(old: ImageStream, new: ImageStream) -> ImageStream:
    """A write through `/status`: spec restored, generations of new heads filled in (6.8)."""
    stored = {history.tag: history for history in old.status.tags}
    wishes = {tag.name: tag for tag in old.spec.tags}
    histories = [
        _settle_history(history, stored.get(history.tag), wishes, old.metadata.generation)
        for history in new.status.tags
    ]
    return new.replace(
        metadata=new.metadata.replace(generation=old.metadata.generation),
        spec=old.spec,
        status=new.status.replace(tags=histories),
    )


def _settle_history(
    history: NamedTagEventList,
    old: NamedTagEventList | None,
    wishes: Mapping[str, TagReference],
    stream_generation: int,
) -> NamedTagEventList:
    if not history.items or history.items[0].generation:
        return history
    head = history.items[0]
    generation = stream_generation
    wish = wishes.get(history.tag)
    if old is not None and old.items and wish is not None and wish.generation:
        before = old.items[0]
        unchanged = (before.image, before.docker_image_reference) == (
            head.image,
            head.docker_image_reference,
        )
        generation = stream_generation if unchanged else wish.generation
    return history.replace(items=[head.replace(generation=generation), *history.items[1:]])
