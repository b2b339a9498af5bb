"""An index's entries: which child a Legacy import takes, and what is no image at all."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ContentError
from models.images.manifest import IndexDocument
from models.oci import Descriptor

MOST_NESTED = 3
MOST_VISITS = 2000
MOST_BYTES = 32 * 1024 * 1024
ATTESTATION = "vnd.docker.reference.type"
_FALLBACK = ("amd64", "linux")
_NEWEST_ARM_FIRST = {"v8": 0, "v7": 1, "v6": 2}


@dataclass(frozen=True, slots=True)
class PlatformPreference:
    """Which child of an index a Legacy import takes (`import.md` 3.6, B14); empty: no wish."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


NO_PREFERENCE = PlatformPreference()


@dataclass(slots=True)
class Reach:
    """What one top-level manifest has led to so far, and no further (`registry.md` 5.2)."""

    reference: str
    visits: int = 0
    size: int = 0

    def count(self, content: bytes) -> None:
        """One manifest more. Raises ContentError `content.too_large`."""
        self.visits += 1
        self.size += len(content)
        if self.visits > MOST_VISITS or self.size > MOST_BYTES:
            raise ContentError(
                f"the index leads to more than {MOST_VISITS} manifests or "
                f"{MOST_BYTES // 2**20} MiB; it is not followed any further",
                code="content.too_large",
                reference=self.reference,
            )


def is_attestation(entry: Descriptor) -> bool:
    """Whether an entry is a build's provenance, not an image (`import.md` B7)."""
    if entry.annotations.get(ATTESTATION) == "attestation-manifest":
        return True
    platform = entry.platform
    return platform is not None and (platform.architecture, platform.os) == ("unknown", "unknown")


def has_platform(entry: Descriptor) -> bool:
    """Whether an entry says enough of its platform; if not, its child's config does (B12)."""
    platform = entry.platform
    return platform is not None and bool(platform.architecture and platform.os)


def choose_child(index: IndexDocument, prefer: PlatformPreference) -> Descriptor | None:
    """The entry that a Legacy import takes: the wished platform, else amd64/linux, else the first.

    None where the index holds no image. An entry without a platform is taken only as the last
    resort; `prefer` has its architecture and os filled in by the caller (`import.md` 3.6).
    """
    images = [entry for entry in index.manifests if not is_attestation(entry)]
    for architecture, system in ((prefer.architecture, prefer.os), _FALLBACK):
        matching = [
            entry
            for entry in images
            if entry.platform is not None
            and (entry.platform.architecture, entry.platform.os) == (architecture, system)
        ]
        if matching:
            return _choose_variant(matching, prefer.variant)
    return images[0] if images else None


def _choose_variant(entries: list[Descriptor], wished: str) -> Descriptor:
    """The wished variant; else for 32-bit arm the newest; else the first (B14)."""
    for entry in entries:
        if wished and entry.platform is not None and entry.platform.variant == wished:
            return entry
    if entries[0].platform is not None and entries[0].platform.architecture == "arm":
        return min(entries, key=_age_of_arm)
    return entries[0]


def _age_of_arm(entry: Descriptor) -> int:
    variant = entry.platform.variant if entry.platform is not None else ""
    return _NEWEST_ARM_FIRST.get(variant, len(_NEWEST_ARM_FIRST))
