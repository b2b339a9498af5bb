"""What an import wants and what it got: targets, and one outcome for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.errors import TagstreamError
from models.images.index import NO_PREFERENCE, PlatformPreference
from models.reference import Reference
from models.resources.image import Image


@dataclass(frozen=True, slots=True)
class Target:
    """One manifest to fetch. Equal targets are fetched once; `reference` is as written.

    `reference` has a tag or an id (a missing tag was defaulted to `latest`); it is not otherwise
    defaulted, because its written form is what gets stored (`import.md` 3.1).
    """

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    prefer: PlatformPreference = NO_PREFERENCE


@dataclass(frozen=True, slots=True)
class RepositoryTarget:
    """A repository whose tags are listed and imported; `limit` -1 takes all, 0 none."""

    reference: Reference
    import_mode: str = "Legacy"
    insecure: bool = False
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Known:
    """What the last import of a target saw: enough to answer it from one HEAD (B2).

    `source_digest` is the digest of the top-level manifest; `image` may be a child of it.
    """

    source_digest: str
    image: Image
    manifests: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """The target's Image, the Images of its children, and the top-level digest behind them."""

    image: Image
    manifests: tuple[Image, ...] = ()
    source_digest: str = ""
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
        """Every distinct target of `images`, in first-seen order."""
        found = [planned.target for planned in self.images if planned.target is not None]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class RepositoryOutcome:
    """A listing and what became of its tags, in priority order.

    `error` is set when the listing itself failed; then `tags` and `additional_tags` are empty.
    """

    tags: tuple[tuple[str, Outcome], ...] = ()
    additional_tags: tuple[str, ...] = ()
    error: TagstreamError | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Everything one import fetched: an outcome for each target, and the repository's."""

    targets: Mapping[Target, Outcome] = field(default_factory=dict)
    repository: RepositoryOutcome | None = None
