"""What goes into a request to a registry and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from models.reference import DOCKER_HUB, DOCKER_HUB_API, HUB_HOSTS, Reference

ANONYMOUS = ""
KNOCK = "?"  # a request without rights, by somebody who has some and will be asked for them


@dataclass(frozen=True, slots=True)
class Place:
    """One repository at one registry, as the client identifies it (`registry.md` 1.2).

    `registry` is host or host:port in lower case, `docker.io` for Docker Hub; `insecure` lets
    the certificate go unverified and plain http be tried after https (`import.md` 3.2).
    """

    registry: str
    repository: str
    insecure: bool = False

    @classmethod
    def of(cls, reference: Reference, *, insecure: bool = False) -> Place:
        """The place that `reference`, however written, means."""
        full = reference.with_defaults()
        registry = full.registry.lower()
        registry = DOCKER_HUB if registry in HUB_HOSTS else registry
        return cls(registry, full.repository_name(), insecure)

    @property
    def api_host(self) -> str:
        """Host[:port] that serves the API."""
        return DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """Registry and repository: identity for caches, credentials and budgets."""
        return f"{self.registry}/{self.repository}"

    def reference(self, wanted: str) -> str:
        """The place with a tag or digest, as error texts name it (`import.md` 1.5)."""
        return f"{self.name}{'@' if ':' in wanted else ':'}{wanted}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Verified bytes. `digest` was computed from them (of signed schema1: from the payload).

    `scope` says by whose right the registry answered: `ANONYMOUS`, or the credential's id.
    """

    content: bytes
    digest: str
    content_type: str
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer to a HEAD: the digest that the registry claims, or None where it claims none."""

    digest: str | None
    scope: str = ANONYMOUS


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags of a repository in the order they came, each once.

    `complete` is False when a page failed or a guard stopped the listing; `reason` then says why.
    `dropped` counts what was no tag, `companions` are signatures and the like that were left out
    (`registry.md` 2.6, 2.7). `hints` maps tags to digests where the registry told them (Google).
    """

    tags: tuple[str, ...]
    complete: bool = True
    reason: str = ""
    dropped: int = 0
    companions: tuple[str, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request as the exchange sends it; without `reads_body` only the headers are wanted.

    `cap` bounds the body in bytes, `deadline` in seconds
    everything: connect, redirects, headers and body.

    `place` decides the policy (addresses, TLS, plain http) for every hop. `redirects` says how far
    an answer may send us: "registry" 5 hops anywhere the policy admits, "token" 2 on the same
    origin, "same-origin", or "none". Headers that carry rights are dropped when the origin changes.

    `scope` names the right that is used; limits are kept by it. `kind` tells apart what registries
    count: `head` and `get` of manifests, `other`, and `token`, which no registry's quota counts.
    """

    method: str
    url: str
    place: Place
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cap: int = 64 * 1024
    deadline: float = 30.0
    redirects: str = "registry"
    reads_body: bool = True
    scope: str = ANONYMOUS
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status: the body is complete and within the cap.

    `url` is where the answer came from in the end; `headers` are that answer's.
    """

    status: int
    headers: httpx.Headers
    content: bytes
    url: str
