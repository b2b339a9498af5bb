"""Create and update strategy of ImageStreams: generations and derived fields.

The rules are imports-6.1, imports-6.2, imports-6.3, imports-6.4 and imports-6.11.
"""

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


def prepare_create(stream: ImageStream, *, accept_status: bool) -> ImageStream:
    """Set generation 1 on a new stream and its tags; only imports bring a status (imports-6.2)."""
    tags = [tag.replace(generation=1) for tag in stream.spec.tags]
    return stream.replace(
        metadata=stream.metadata.replace(generation=1),
        spec=stream.spec.replace(tags=tags),
        status=stream.status if accept_status else ImageStreamStatus(),
    )


def prepare_update(
    old: ImageStream, new: ImageStream, *, accept_status: bool
) -> tuple[ImageStream, frozenset[str]]:
    """Return the stream with its generations, and the names of new or changed spec tags
    (imports-6.3).

    The server owns a spec tag's generation: 0 requests a new import, any other value is restored.
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
        if tag.name not in stored or is_tag_changed(stored[tag.name], tag, namespace=namespace)
    )
    tags = [
        tag.replace(generation=generation) if tag.name in changed or not tag.generation else tag
        for tag in tags
    ]
    status = new.status if accept_status else old.status
    non_empty = [history for history in status.tags if history.items or history.conditions]
    return (
        new.replace(
            metadata=new.metadata.replace(generation=generation),
            spec=spec.replace(tags=tags),
            status=status if len(non_empty) == len(status.tags) else status.replace(tags=non_empty),
        ),
        changed,
    )


def _restore_generation(tag: TagReference, old: TagReference | None) -> TagReference:
    if old is None or tag.generation in {0, old.generation}:
        return tag
    return tag.replace(generation=old.generation)


def is_tag_changed(old: TagReference, new: TagReference, *, namespace: str) -> bool:
    """Return whether a spec tag changed in a way that needs an event or an import (imports-6.4)."""
    if new.from_ is None or not (new.from_.kind or new.from_.name):
        return False
    old_name = old.from_.name if old.from_ is not None else ""
    old_namespace = (old.from_.namespace if old.from_ is not None else "") or namespace
    if old_namespace != (new.from_.namespace or namespace) or old_name != new.from_.name:
        return True
    if old.reference != new.reference:
        return True
    if old.import_policy.import_mode != new.import_policy.import_mode:
        return True
    return new.generation == 0 and bool(old.generation)


def specs_equal(old: ImageStreamSpec, new: ImageStreamSpec) -> bool:
    """Return whether two specs are semantically equal: null and empty are the same."""
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
    """Fill in the repository addresses, which are derived on every read and write (imports-6.1)."""
    metadata, status = stream.metadata, stream.status
    repository, public = derive_repositories(
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


def derive_repositories(
    rules: ImportRules, namespace: str, name: str, repository: str
) -> tuple[str, str]:
    """Return a stream's own and public repository; empty where there is none (api-19.6)."""
    path = f"{namespace or 'default'}/{name}"
    if rules.internal_hostname:
        repository = f"{rules.internal_hostname}/{path}"
    public = f"{rules.external_hostnames[0]}/{path}" if rules.external_hostnames else ""
    return repository, public


def prepare_status_update(old: ImageStream, new: ImageStream) -> ImageStream:
    """Restore the spec in a write of `/status`, and fill in generations of new events
    (imports-6.11).
    """
    stored = {history.tag: history for history in old.status.tags}
    desired_tags = {tag.name: tag for tag in old.spec.tags}
    histories = [
        _fill_head_generation(
            history, stored.get(history.tag), desired_tags, old.metadata.generation
        )
        for history in new.status.tags
    ]
    return new.replace(
        metadata=new.metadata.replace(generation=old.metadata.generation),
        spec=old.spec,
        status=new.status.replace(tags=histories),
    )


def _fill_head_generation(
    history: NamedTagEventList,
    old: NamedTagEventList | None,
    desired_tags: Mapping[str, TagReference],
    stream_generation: int,
) -> NamedTagEventList:
    if not history.items or history.items[0].generation:
        return history
    head = history.items[0]
    generation = stream_generation
    desired = desired_tags.get(history.tag)
    if old is not None and old.items and desired is not None and desired.generation:
        before = old.items[0]
        unchanged = (before.image, before.docker_image_reference) == (
            head.image,
            head.docker_image_reference,
        )
        generation = stream_generation if unchanged else desired.generation
    return history.replace(items=[head.replace(generation=generation), *history.items[1:]])
