"""Record of which digests a repository served to which credential: who may reuse what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.registry.registry_types import ANONYMOUS


@dataclass(slots=True)
class ContentAccess:
    """Which digests were served to whom: repository name → digest → credential scopes."""

    by_repository: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, repository: str, digest: str, scope: str) -> None:
        self.by_repository.setdefault(repository, {}).setdefault(digest, set()).add(scope)

    def allows(self, repository: str, digest: str, scope: str) -> bool:
        """Return whether a caller with `scope` may reuse the stored content (registry-27.4).

        Content that was served anonymously is for everyone; any other only for its own scope.
        """
        scopes = self.by_repository.get(repository, {}).get(digest, ())
        return ANONYMOUS in scopes or scope in scopes

    def digests_by_scope(self) -> Mapping[tuple[str, str], list[str]]:
        """Return the digests by repository name and credential scope."""
        digests_by_scope: dict[tuple[str, str], list[str]] = {}
        for repository, digests in self.by_repository.items():
            for digest, scopes in digests.items():
                for scope in scopes:
                    digests_by_scope.setdefault((repository, scope), []).append(digest)
        return digests_by_scope
