"""Which digests which repository served, by whose right: what may be reused and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.registry.registry_types import ANONYMOUS


@dataclass(slots=True)
class Held:
    """Which digests which repository served, by whose right: place name → digest → scopes."""

    by_place: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, place: str, digest: str, scope: str) -> None:
        self.by_place.setdefault(place, {}).setdefault(digest, set()).add(scope)

    def allows(self, place: str, digest: str, scope: str) -> bool:
        """Whether who was just let in as `scope` may see what is held (`registry.md` C7, I11)."""
        scopes = self.by_place.get(place, {}).get(digest, ())
        return ANONYMOUS in scopes or scope in scopes

    def scopes(self) -> Mapping[tuple[str, str], list[str]]:
        """The digests of each place and scope."""
        found: dict[tuple[str, str], list[str]] = {}
        for place, digests in self.by_place.items():
            for digest, scopes in digests.items():
                for scope in scopes:
                    found.setdefault((place, scope), []).append(digest)
        return found
