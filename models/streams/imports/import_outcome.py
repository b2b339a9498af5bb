"""What an import wants and what it got: targets, and one outcome for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.errors import TagstreamError
from models.images.compressed_image import PackedImage
from models.images.image_index import NO_PREFERENCE, PlatformPreference
from models.reference import Reference
from models.streams.imports.tag_list_guard import SeenList


@dataclass(frozen=True, slots=True)
class Target:
    """One manifest to fetch. Equal targets are fetched once; `reference` is as written.

    `reference` has a tag or an id (a missing tag was defaulted to `latest`); it is not otherwise
    defaulted, because its written form is what gets stored (`import.md` 3.1). `with_content`
    keeps manifest and config text in the Image (`import.md` 2.9).
    """

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    prefer: PlatformPreference = NO_PREFERENCE
    with_content: bool = False

    def key(self) -> str:
        """One text for all targets that a registry answers alike; the key of `Known`."""
        found = self.reference.id or self.reference.tag or "latest"
        prefer = f"{self.prefer.os}/{self.prefer.architecture}/{self.prefer.variant}"
        mode = self.import_mode or "Legacy"
        return f"{self.reference.repository_key()} {found} {mode} {prefer}"


@dataclass(frozen=True, slots=True)
class RepositoryTarget:
    """A repository whose tags are listed and imported; `limit` -1 takes all, 0 none."""

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    limit: int = 50
    with_content: bool = False

    def tag_target(self, tag: str) -> Target:
        """The target of one of its tags."""
        written = self.reference
        return Target(
            reference=Reference(written.registry, written.namespace, written.name, tag),
            import_mode=self.import_mode,
            insecure=self.insecure,
            with_content=self.with_content,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What the last import of a target saw: enough to answer it from one HEAD (B2).

    `source_digest` is the digest of the top-level manifest; `image` names the Image that came of
    it (the same, or the chosen child), which the store holds.
    """

    source_digest: str
    image: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The target's Image, the Images of its children, and the top-level digest behind them.

    `scope` says by whose right the registry answered: empty for anonymous, else the credential's
    id. It decides who may reuse what was fetched (`registry.md` C7).
    """

    image: PackedImage
    manifests: tuple[PackedImage, ...] = ()
    source_digest: str = ""
    scope: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no Image."""

    error: TagstreamError


Outcome = Imported | Failed


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """`spec.images[i]`: its target, or the error that needed no request; `tag` as in 2.7."""

    tag: str
    target: Target | None = None
    error: TagstreamError | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request will fetch. `images` are in the request's order."""

    images: tuple[PlannedImage, ...] = ()
    repository: RepositoryTarget | None = None
    repository_error: TagstreamError | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every distinct target of `images`, in first-seen order, digests first (3.1)."""
        found = dict.fromkeys(p.target for p in self.images if p.target is not None)
        return tuple(sorted(found, key=lambda target: not target.reference.id))


@dataclass(frozen=True, slots=True)
class RepositoryOutcome:
    """A listing and what became of its tags, in priority order.

    `error` is set when the listing itself failed; then `tags` and `additional_tags` are empty.
    `lists` are all that were read, believed or not.
    """

    tags: tuple[tuple[str, Outcome], ...] = ()
    additional_tags: tuple[str, ...] = ()
    error: TagstreamError | None = None
    warnings: tuple[str, ...] = ()
    lists: tuple[SeenList, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Everything one import fetched: an outcome for each target, and the repository's."""

    targets: Mapping[Target, Outcome] = field(default_factory=dict)
    repository: RepositoryOutcome | None = None
