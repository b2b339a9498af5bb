"""Builders of requests and streams, registry contents, and an in-memory store of one stream."""

from datetime import UTC, datetime, timedelta

from models.errors import ManifestUnknownError
from models.images.compressed_image import pack_image, unpack_image
from models.images.image_builder import pull_spec
from models.reference import normalise_pull_spec
from models.resources.image import Image
from models.resources.imports import ImageStreamImport
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.streams.imports.apply_import import apply_import
from models.streams.imports.import_outcome import (
    Failed,
    Imported,
    ImportOutcomes,
    RepositoryOutcome,
)
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_response import build_import_response
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.tag_priority import prioritize_tags
from models.streams.writes.object_defaults import default_import

REG = "reg.example:5000"
CHECKED = "openshift.io/image.dockerRepositoryCheck"
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
DIGEST_1 = "sha256:" + "d1" * 32
DIGEST_2 = "sha256:" + "d2" * 32
DIGEST_3 = "sha256:" + "d3" * 32


def img(name, *, to=None, kind="DockerImage", manifest=False, reference_policy=None, **policy):
    """Return `spec.images[i]` as clients write it."""
    return {
        "from": {"kind": kind, "name": name},
        **({"to": {"name": to}} if to is not None else {}),
        "importPolicy": policy,
        **({"referencePolicy": {"type": reference_policy}} if reference_policy else {}),
        **({"includeManifest": True} if manifest else {}),
    }


def isi(*images, repository=None, do=True, name="is", namespace="ns", **meta):
    """Return an ImageStreamImport, decoded but not defaulted."""
    if isinstance(repository, str):
        repository = {"from": {"kind": "DockerImage", "name": repository}}
    spec = {"import": do, "images": list(images), "repository": repository}
    return ImageStreamImport.model_validate(
        {"metadata": {"name": name, "namespace": namespace, **meta}, "spec": spec}
    )


def stream_of(spec=(), status=(), *, name="is", namespace="ns", repository="", **meta):
    """Return an ImageStream from wire dictionaries of its tags."""
    return ImageStream.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace, "generation": 1, **meta},
            "spec": {"tags": list(spec), "dockerImageRepository": repository},
            "status": {"tags": list(status)},
        }
    )


def spec_tag(name, source=None, *, kind="DockerImage", namespace="", generation=1, **rest):
    """Return a spec tag."""
    origin = {"kind": kind, "name": source, "namespace": namespace} if source is not None else None
    return {"name": name, "from": origin, "generation": generation, **rest}


def event(reference, image, generation=1, *, at=NOON):
    return {
        "created": at,
        "dockerImageReference": reference,
        "image": image,
        "generation": generation,
    }


def history(tag, *events, conditions=()):
    return {"tag": tag, "items": list(events) or None, "conditions": list(conditions)}


def items(stream, tag):
    """Return (image, generation) of each event, newest first."""
    found = stream.status_tag(tag)
    return [] if found is None else [(e.image, e.generation) for e in found.items or []]


def failure(stream, tag):
    """Return reason, message and generation of the tag's one condition, or None."""
    found = stream.status_tag(tag)
    if found is None or not found.conditions:
        return None
    (condition,) = found.conditions
    assert (condition.type, condition.status) == ("ImportSuccess", "False")
    return condition.reason, condition.message, condition.generation


class RegistryContents:
    """Contents of registries: `repository:tag` → digest, or an error to fail with."""

    def __init__(self, **tags):
        self.tags = {}

    def put(self, name, content):
        self.tags[name] = content

    def fetch_target(self, target):
        """Return an outcome as the fetcher would."""
        written = target.reference
        wanted = written.exact()
        content = written.id or self.tags.get(wanted)
        if isinstance(content, Exception):
            return Failed(content)
        if content is None:
            return Failed(ManifestUnknownError(reference=normalise_pull_spec(wanted)))
        if isinstance(content, Imported):
            return content
        image = Image(
            metadata=ObjectMeta(name=content),
            docker_image_reference=pull_spec(written, content),
            docker_image_manifest="{}" if target.with_content else "",
        )
        return Imported(pack_image(image), source_digest=content)

    def fetch(self, plan):
        targets = {target: self.fetch_target(target) for target in plan.targets}
        return ImportOutcomes(targets, plan.repository and self._list(plan, targets))

    def _list(self, plan, targets):
        wanted = plan.repository
        repository = wanted.reference.exact()
        listed = self.tags.get(repository)
        if wanted.limit == 0:
            return RepositoryOutcome()
        if isinstance(listed, Exception):
            return RepositoryOutcome(error=listed)
        names = [
            name.removeprefix(repository + ":")
            for name in self.tags
            if name.startswith(repository + ":")
        ]
        names = prioritize_tags(names)
        limit = len(names) if wanted.limit < 0 else wanted.limit
        ready = {target.key() for target in targets}
        late = [tag for tag in names[limit:] if wanted.tag_target(tag).key() in ready]
        chosen = [*names[:limit], *late]
        return RepositoryOutcome(
            tags=tuple((tag, self.fetch_target(wanted.tag_target(tag))) for tag in chosen),
            additional_tags=tuple(tag for tag in names[limit:] if tag not in late),
        )


class InMemoryStore:
    """A store of one stream; like the real one it loads only the newest event of each tag."""

    def __init__(self, contents=None, stream=None, *, rules=None):
        self.contents = contents or RegistryContents()
        self.stream = stream
        self.rules = rules or ImportRules()
        self.version = 10
        self.writes = 0
        self.now = NOON

    def heads(self):
        """Return the stream with at most one event for each tag."""
        if self.stream is None:
            return None
        tags = [
            tag.replace(items=tag.items[:1] if tag.items else None)
            for tag in self.stream.status.tags
        ]
        return self.stream.replace(status=self.stream.status.replace(tags=tags))

    def run(self, request, *, max_tags=None, usage=None):
        """Plan, fetch, apply and store one request, a minute after the previous one."""
        self.now += timedelta(minutes=1)
        request = default_import(request, mode=self.rules.default_import_mode)
        old = self.heads()
        self.request = request
        self.plan = plan_import(request, old, self.rules, max_tags=max_tags)
        self.outcomes = self.contents.fetch(self.plan)
        self.result = apply_import(
            old, request, self.plan, self.outcomes, now=self.now, rules=self.rules, usage=usage
        )
        if self.result.changed:
            self._store(old, self.result.stream)
        return self.result

    def response(self):
        """Return the response to the last request, as a client sees it."""
        return build_import_response(
            self.request, self.plan, self.outcomes, self.result, load_image=unpack_image
        ).wire()["status"]

    def _store(self, old, new):
        """Prepend new events and keep the stored ones, as the store does."""
        self.writes += 1
        self.version += 1
        before = {tag.tag: tag for tag in (old.status.tags if old else [])}
        full = {tag.tag: tag for tag in (self.stream.status.tags if self.stream else [])}
        tags = []
        for tag in new.status.tags:
            rest = (full[tag.tag].items or [])[1:] if tag.tag in full else []
            tags.append(tag.replace(items=[*(tag.items or []), *rest] or None))
            assert len(tag.items or []) >= len(
                before[tag.tag].items or [] if tag.tag in before else []
            )
        meta = new.metadata.replace(resource_version=str(self.version), uid="u")
        self.stream = new.replace(metadata=meta, status=new.status.replace(tags=tags))
