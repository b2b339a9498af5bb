"""Types of the registry client: source repository, request, response and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from models.reference import DOCKER_HUB, DOCKER_HUB_API, DOCKER_HUB_HOSTS, Reference

# Credential scopes: ids of credentials, and these two.
ANONYMOUS = ""
# A request without credentials by a caller who has some: its response is usually the challenge.
CHALLENGE_PROBE = "?"


@dataclass(frozen=True, slots=True)
class SourceRepository:
    """One repository at one registry, as the client identifies it (registry-1.6).

    `registry` is host or host:port in lower case, `docker.io` for Docker Hub. With `insecure` the
    certificate is not verified and plain http is tried after https (imports-3.6, imports-3.7).
    """

    registry: str
    repository: str
    insecure: bool = False

    @classmethod
    def from_reference(cls, reference: Reference, *, insecure: bool = False) -> SourceRepository:
        """Return the repository that a reference, in any spelling, resolves to."""
        full_reference = reference.with_defaults()
        registry = full_reference.registry.lower()
        registry = DOCKER_HUB if registry in DOCKER_HUB_HOSTS else registry
        return cls(registry, full_reference.repository_name(), insecure)

    @property
    def api_host(self) -> str:
        """The host[:port] that serves the API; Docker Hub has one of its own (registry-1.7)."""
        return DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """Registry and repository: the key of caches, credentials and limits."""
        return f"{self.registry}/{self.repository}"

    def reference(self, tag_or_digest: str) -> str:
        """Return the repository with a tag or digest, as error texts name it (imports-1.9)."""
        return f"{self.name}{'@' if ':' in tag_or_digest else ':'}{tag_or_digest}"


@dataclass(frozen=True, slots=True)
class VerifiedContent:
    """Verified bytes of a manifest or blob.

    `digest` was computed from the bytes (for signed schema1: from the payload). `scope` is the
    credential by which the registry served them: `ANONYMOUS`, or the credential's id.
    """

    content: bytes
    digest: str
    content_type: str
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadResult:
    """The result of a HEAD: the digest that the registry claims, or None where it claims none."""

    digest: str | None
    scope: str = ANONYMOUS


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags of a repository, in the order in which they were received, each once.

    `complete` is False when a page failed or a bound ended the listing; `reason` then says why.
    `dropped` counts entries that are no tags (registry-5.5). `artifact_tags` are the tags of
    signatures and similar artifacts, which are listed apart (registry-5.6). `digest_hints` maps
    tags to digests where the registry reports them, as Google's do (registry-5.9).
    """

    tags: tuple[str, ...]
    complete: bool = True
    reason: str = ""
    dropped: int = 0
    artifact_tags: tuple[str, ...] = ()
    digest_hints: Mapping[str, str] = field(default_factory=dict)
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryRequest:
    """One request as `HttpExchange` sends it. Without `reads_body` only the headers are read.

    `max_bytes` bounds the body; `timeout_seconds` bounds everything: connect, redirects, headers
    and body (registry-2.5).

    `source` decides the policy (addresses, TLS, plain http) for every hop. `redirects` says which
    redirects are followed: "registry" up to 5 to any target that the policy admits, "token" and
    "same-origin" up to 2 on the same origin, "none" no redirect at all (registry-7.4). Headers that
    carry credentials are dropped when the origin changes (registry-7.7).

    `scope` names the credential that is used; limits are kept for each scope. `kind` is what
    registries count apart: `head` and `get` of manifests, `other`, and `token`, which counts
    against no registry's quota (registry-17.5).
    """

    method: str
    url: str
    source: SourceRepository
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    max_bytes: int = 64 * 1024
    timeout_seconds: float = 30.0
    redirects: str = "registry"
    reads_body: bool = True
    scope: str = ANONYMOUS
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class RegistryResponse:
    """A response of any status, with a complete body of at most `max_bytes`.

    `url` is the URL that answered after all redirects; `headers` are of that response.
    """

    status: int
    headers: httpx.Headers
    content: bytes
    url: str
