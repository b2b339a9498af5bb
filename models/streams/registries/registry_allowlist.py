"""`allowedRegistriesForImport`: which hosts and ports may be imported from (`import.md` 2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from models.errors import UsageError
from models.reference import Reference

_SHOWN = 5


class Transport(Enum):
    """How a reference may be reached: decides which port it is looked up with."""

    SECURE = "secure"
    INSECURE = "insecure"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class AllowList:
    """Host and port globs in order. An empty list allows nothing; no list at all allows all."""

    entries: tuple[tuple[str, str], ...] = ()
    repositories: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, domains: Iterable[tuple[str, bool]], *, internal_hostname: str = ""
    ) -> AllowList:
        """From (domain[:port], insecure) pairs. UsageError for a text with too many colons."""
        entries: list[tuple[str, str]] = []
        if internal_hostname:
            entries.append(_host_and_port(internal_hostname, insecure=False))
        entries.extend(_host_and_port(domain, insecure=insecure) for domain, insecure in domains)
        return cls(tuple(dict.fromkeys(entries)))

    def with_repositories(self, references: Iterable[Reference]) -> AllowList:
        """The same list that also admits these references' repositories (grandfathering, 6.6)."""
        known = {reference.with_defaults().as_repository().exact() for reference in references}
        return AllowList(self.entries, self.repositories | known)

    def refusal(self, reference: Reference, transport: Transport) -> str:
        """Why `reference` may not be imported; empty where it may."""
        if reference.with_defaults().as_repository().exact() in self.repositories:
            return ""
        if transport is Transport.ANY:
            host, _, port = (reference.registry or "docker.io").partition(":")
        else:
            host, port = reference.registry_host_port(insecure=transport is Transport.INSECURE)
        return self.refusal_of_host(host, port, shown=reference.registry)

    def refusal_of_host(self, host: str, port: str, *, shown: str = "") -> str:
        """Why that host and port (empty: not known) may not be asked; empty where it may."""
        names = [host]
        if host in {"index.docker.io", "registry-1.docker.io"}:
            names.insert(0, "docker.io")
        if any(self._admits(name, port) for name in names):
            return ""
        shown = shown or (f"{host}:{port}" if port else host)
        if not self.entries:
            return f'registry "{shown}" not allowed by empty whitelist'
        quoted = [f'"{entry_host}:{entry_port}"' for entry_host, entry_port in self.entries]
        if len(quoted) > _SHOWN:
            left = len(quoted) - (_SHOWN - 1)
            quoted = [*quoted[: _SHOWN - 1], f"and {left} more ..."]
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


def _host_and_port(domain: str, *, insecure: bool) -> tuple[str, str]:
    parts = domain.split(":")
    if len(parts) > 2:
        raise UsageError(f'failed to parse allowed registry "{domain}": too many colons')
    if len(parts) == 2:
        return parts[0], parts[1]
    return domain, "80" if insecure else "443"


def glob_matches(pattern: str, text: str) -> bool:
    """Whether `text` fits a pattern with `*` (any run, also empty) and `?` (one character)."""
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    parts = (wild.get(character, re.escape(character)) for character in pattern)
    return re.compile("".join(parts), re.DOTALL)
