"""Allow-list of registries, `allowedRegistriesForImport` (imports-2.6, imports-2.9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from models.errors import UsageError
from models.reference import Reference

_MAX_SHOWN_ENTRIES = 5


class Transport(Enum):
    """The transport that a reference may be fetched with; it decides the port that is looked up."""

    SECURE = "secure"
    INSECURE = "insecure"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class AllowList:
    """Globs of host and port, in order.

    An empty list allows nothing; no list at all allows everything.
    """

    entries: tuple[tuple[str, str], ...] = ()
    repositories: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, domains: Iterable[tuple[str, bool]], *, internal_hostname: str = ""
    ) -> AllowList:
        """Parse (domain[:port], insecure) pairs.

        Raises UsageError for a text with more than one colon.
        """
        entries: list[tuple[str, str]] = []
        if internal_hostname:
            entries.append(_parse_host_port(internal_hostname, insecure=False))
        entries.extend(_parse_host_port(domain, insecure=insecure) for domain, insecure in domains)
        return cls(tuple(dict.fromkeys(entries)))

    def with_repositories(self, references: Iterable[Reference]) -> AllowList:
        """Return the list that also admits the repositories of these references.

        A stream may keep what it referred to before the list was made stricter (imports-6.16).
        """
        known = {reference.with_defaults().as_repository().exact() for reference in references}
        return AllowList(self.entries, self.repositories | known)

    def refusal_reason(self, reference: Reference, transport: Transport) -> str:
        """Return why `reference` may not be imported, or empty text where it may (imports-2.10)."""
        if reference.with_defaults().as_repository().exact() in self.repositories:
            return ""
        if transport is Transport.ANY:
            host, _, port = (reference.registry or "docker.io").partition(":")
        else:
            host, port = reference.registry_host_port(insecure=transport is Transport.INSECURE)
        return self.host_refusal_reason(host, port, shown=reference.registry)

    def host_refusal_reason(self, host: str, port: str, *, shown: str = "") -> str:
        """Return why that host and port (empty: unknown) may not be contacted, or empty text where
        it may.
        """
        names = [host]
        if host in {"index.docker.io", "registry-1.docker.io"}:
            names.insert(0, "docker.io")
        if any(self._admits(name, port) for name in names):
            return ""
        shown = shown or (f"{host}:{port}" if port else host)
        if not self.entries:
            return f'registry "{shown}" not allowed by empty whitelist'
        quoted = [f'"{entry_host}:{entry_port}"' for entry_host, entry_port in self.entries]
        if len(quoted) > _MAX_SHOWN_ENTRIES:
            omitted = len(quoted) - (_MAX_SHOWN_ENTRIES - 1)
            quoted = [*quoted[: _MAX_SHOWN_ENTRIES - 1], f"and {omitted} more ..."]
        return f'registry "{shown}" not allowed by whitelist: {", ".join(quoted)}'

    def _admits(self, host: str, port: str) -> bool:
        for entry_host, entry_port in self.entries:
            if not glob_matches(entry_host, host):
                continue
            if port and glob_matches(entry_port, port):
                return True
            if not port and entry_port in {"80", "443", "*"}:
                return True
        return False


def _parse_host_port(domain: str, *, insecure: bool) -> tuple[str, str]:
    parts = domain.split(":")
    if len(parts) > 2:
        raise UsageError(f'failed to parse allowed registry "{domain}": too many colons')
    if len(parts) == 2:
        return parts[0], parts[1]
    return domain, "80" if insecure else "443"


def glob_matches(pattern: str, text: str) -> bool:
    """Return whether `text` matches a pattern with `*` (any text, also empty) and `?` (one
    character).
    """
    return _compile_glob(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compile_glob(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    parts = (wild.get(character, re.escape(character)) for character in pattern)
    return re.compile("".join(parts), re.DOTALL)
