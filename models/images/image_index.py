"""Entries of an image index: the child that a Legacy import selects, and entries that are no
images.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ContentError
from models.images.manifest import IndexDocument
from models.oci import Descriptor

MAX_INDEX_DEPTH = 3
MAX_INDEX_MANIFESTS = 2000
MAX_INDEX_BYTES = 32 * 1024 * 1024
ATTESTATION_ANNOTATION = "vnd.docker.reference.type"
_FALLBACK_PLATFORM = ("amd64", "linux")
_ARM_VARIANT_RANKS = {"v8": 0, "v7": 1, "v6": 2}


@dataclass(frozen=True, slots=True)
class PlatformPreference:
    """The platform that a Legacy import selects from an index (imports-3.15, imports-3.16); empty:
    any.
    """

    architecture: str = ""
    os: str = ""
    variant: str = ""


NO_PREFERENCE = PlatformPreference()


@dataclass(slots=True)
class IndexTraversalBudget:
    """The number and bytes of manifests that one top-level manifest has led to (registry-23.4)."""

    reference: str
    manifests: int = 0
    size: int = 0

    def add_manifest(self, content: bytes) -> None:
        """Count one more manifest. Raises ContentError `content.too_large` beyond the bounds."""
        self.manifests += 1
        self.size += len(content)
        if self.manifests > MAX_INDEX_MANIFESTS or self.size > MAX_INDEX_BYTES:
            raise ContentError(
                f"the index leads to more than {MAX_INDEX_MANIFESTS} manifests or "
                f"{MAX_INDEX_BYTES // 2**20} MiB; it is not followed any further",
                code="content.too_large",
                reference=self.reference,
            )


def is_attestation(entry: Descriptor) -> bool:
    """Return whether an entry is the provenance of a build, not an image (imports-3.19)."""
    if entry.annotations.get(ATTESTATION_ANNOTATION) == "attestation-manifest":
        return True
    platform = entry.platform
    return platform is not None and (platform.architecture, platform.os) == ("unknown", "unknown")


def has_platform(entry: Descriptor) -> bool:
    """Return whether an entry has architecture and os; if not, they come from the child's config.

    That is imports-3.20.
    """
    platform = entry.platform
    return platform is not None and bool(platform.architecture and platform.os)


def choose_child(index: IndexDocument, prefer: PlatformPreference) -> Descriptor | None:
    """Return the entry that a Legacy import selects: preferred platform, else amd64/linux, else
    first.

    Returns None where the index holds no image. An entry without a platform is selected as a last
    resort only. The caller fills in the architecture and os of `prefer` (imports-3.15).
    """
    images = [entry for entry in index.manifests if not is_attestation(entry)]
    for architecture, system in ((prefer.architecture, prefer.os), _FALLBACK_PLATFORM):
        matching = [
            entry
            for entry in images
            if entry.platform is not None
            and (entry.platform.architecture, entry.platform.os) == (architecture, system)
        ]
        if matching:
            return _choose_variant(matching, prefer.variant)
    return images[0] if images else None


def _choose_variant(entries: list[Descriptor], variant: str) -> Descriptor:
    """Return the entry of the preferred variant; else the newest for 32-bit arm, else the first
    (imports-3.16).
    """
    for entry in entries:
        if variant and entry.platform is not None and entry.platform.variant == variant:
            return entry
    if entries[0].platform is not None and entries[0].platform.architecture == "arm":
        return min(entries, key=_arm_variant_rank)
    return entries[0]


def _arm_variant_rank(entry: Descriptor) -> int:
    variant = entry.platform.variant if entry.platform is not None else ""
    return _ARM_VARIANT_RANKS.get(variant, len(_ARM_VARIANT_RANKS))
