"""Targets of an import, and one outcome for each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.errors import TagstreamError
from models.images.compressed_image import PackedImage
from models.images.image_index import NO_PREFERENCE, PlatformPreference
from models.reference import Reference
from models.streams.imports.tag_list_guard import ObservedTagList


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """One manifest to fetch. Equal targets are fetched once; `reference` is as written.

    `reference` has a tag or an id (a missing tag is defaulted to `latest`). No other default is
    applied, because the written form is stored (imports-3.1, imports-3.4). `with_content` keeps
    manifest and config text in the Image (imports-2.15).
    """

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    platform_preference: PlatformPreference = NO_PREFERENCE
    with_content: bool = False

    def key(self) -> str:
        """Return one text for all targets that a registry answers in the same way, the key of
        `KnownImage`.
        """
        tag_or_digest = self.reference.id or self.reference.tag or "latest"
        prefer = self.platform_preference
        platform = f"{prefer.os}/{prefer.architecture}/{prefer.variant}"
        mode = self.import_mode or "Legacy"
        return f"{self.reference.repository_key()} {tag_or_digest} {mode} {platform}"


@dataclass(frozen=True, slots=True)
class RepositoryImportTarget:
    """A repository whose tags are listed and imported; `limit` -1 imports all of them, 0 none."""

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    limit: int = 50
    with_content: bool = False

    def tag_target(self, tag: str) -> ImportTarget:
        """Return the target of one of its tags."""
        repository = self.reference
        return ImportTarget(
            reference=Reference(repository.registry, repository.namespace, repository.name, tag),
            import_mode=self.import_mode,
            insecure=self.insecure,
            with_content=self.with_content,
        )


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What the last import of a target fetched: enough to answer it from one HEAD (imports-3.9).

    `source_digest` is the digest of the top-level manifest. `image` names the Image that was built
    from it (the same manifest, or the selected child), which the store holds.
    """

    source_digest: str
    image: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The target's Image, the Images of its children, and the digest of the top-level manifest.

    `credential_scope` is empty for an anonymous fetch, else the id of the credential. It decides
    who may reuse the fetched content (registry-27.4).
    """

    image: PackedImage
    manifests: tuple[PackedImage, ...] = ()
    source_digest: str = ""
    credential_scope: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The reason why there is no Image."""

    error: TagstreamError


ImportOutcome = Imported | Failed


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """`spec.images[i]` as planned: its target, or an error that needs no request.

    `tag` is the tag that is fetched, empty for a digest (imports-2.14).
    """

    tag: str
    target: ImportTarget | None = None
    error: TagstreamError | None = None


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What one request fetches. `images` are in the request's order."""

    images: tuple[PlannedImage, ...] = ()
    repository: RepositoryImportTarget | None = None
    repository_error: TagstreamError | None = None

    @property
    def targets(self) -> tuple[ImportTarget, ...]:
        """Return the distinct targets of `images` in order of first occurrence, digests first
        (imports-3.1).
        """
        found = dict.fromkeys(p.target for p in self.images if p.target is not None)
        return tuple(sorted(found, key=lambda target: not target.reference.id))


@dataclass(frozen=True, slots=True)
class RepositoryOutcome:
    """The tag list of a repository and the outcomes of its tags, in priority order.

    `error` is set where listing failed; then `tags` and `additional_tags` are empty. `lists` are
    all tag lists that were read, accepted or not.
    """

    tags: tuple[tuple[str, ImportOutcome], ...] = ()
    additional_tags: tuple[str, ...] = ()
    error: TagstreamError | None = None
    warnings: tuple[str, ...] = ()
    lists: tuple[ObservedTagList, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportOutcomes:
    """Everything that one import fetched: an outcome for each target, and the repository's."""

    targets: Mapping[ImportTarget, ImportOutcome] = field(default_factory=dict)
    repository: RepositoryOutcome | None = None
