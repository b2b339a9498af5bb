"""The registry client: fetches manifests, blobs, tag lists and referrers, verified.

All content that it returns hashes to the requested digest, or to the digest that is returned with
it. Retries, credentials, limits and the egress policy are in the layers below; this package knows
nothing of streams. It sends only the requests of registry-2.1, and none of registry-2.2.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Collection, Mapping

from models.errors import ContentError, ProtocolError
from models.oci import ACCEPT_MANIFESTS, OCI_INDEX
from worker.registry.api_request_sender import ApiRequestSender
from worker.registry.auth.challenge_responder import AuthorizedResponse
from worker.registry.client_config import ClientConfig
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.digest_verification import DIGEST_MISMATCH, verify_blob, verify_manifest
from worker.registry.endpoints import blob_path, manifest_path, tags_path
from worker.registry.limits.concurrency import LocalLimitBackend
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.limits.shared_concurrency import RedisLimitBackend
from worker.registry.referrers import Referrers, ReferrersFinder
from worker.registry.registry_types import (
    HeadResult,
    RegistryResponse,
    SourceRepository,
    TagList,
    VerifiedContent,
)
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import TagChecker, TagCheckResult
from worker.registry.tag_list import MAX_PAGE_BYTES, PAGE_SIZE, collect_tags
from worker.registry.transport.connector import Lookup, system_lookup
from worker.registry.transport.http_exchange import HttpExchange
from worker.registry.transport.request_retry import RandomUniform

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_BLOB_BYTES = 4 * 1024 * 1024
_ACCEPT_BLOBS = "application/octet-stream, */*;q=0.1"
_CONTENT_RANGE = re.compile(r"bytes \d+-\d+/(\d+)", re.ASCII)
# A presigned URL may refuse a HEAD where it serves a GET (registry-7.3).
_HEAD_REFUSED_STATUSES = frozenset({304, 400, 401, 403, 404, 405, 406, 415, 501})
_NO_REFERRERS_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 501})


class RegistryClient:
    """The client of one process and event loop.

    `lookup` resolves names, `clock` tells the time, and `random_uniform` draws the waits between
    retries; tests pass their own.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        lookup: Lookup = system_lookup,
        clock: Clock = SYSTEM_CLOCK,
        random_uniform: RandomUniform = random.uniform,
    ) -> None:
        self.config = config
        uses_redis = config.redis_url.startswith(("redis://", "rediss://", "unix://"))
        self.hosts = HostLimiters(
            initial_concurrency=config.concurrency_start,
            max_concurrency=config.concurrency,
            limit_backend=RedisLimitBackend(config.redis_url, clock=clock)
            if uses_redis
            else LocalLimitBackend(clock),
            rate=config.registry_rate,
            clock=clock,
        )
        self.exchange = HttpExchange(config, self.hosts, lookup=lookup)
        self._api = ApiRequestSender(
            self.exchange, self.hosts, config, clock=clock, random_uniform=random_uniform
        )
        self._referrers_finder = ReferrersFinder(self, clock)
        self.tag_checker = TagChecker(self, clock)

    async def fetch_manifest(
        self, source: SourceRepository, tag_or_digest: str, request_context: RequestContext
    ) -> VerifiedContent:
        """Fetch the manifest of a tag or digest, verified.

        Raises RegistryError with the reference in its text. After a digest mismatch the request is
        sent once more, because proxies truncate (registry-3.3).
        """

        async def fetch() -> VerifiedContent:
            authorized = await self.fetch_manifest_response(
                "GET", source, tag_or_digest, request_context
            )
            return await verify_manifest(
                authorized.response,
                tag_or_digest,
                reference=source.reference(tag_or_digest),
                scope=authorized.scope,
                warnings=authorized.warnings,
            )

        return await _retry_on_digest_mismatch(fetch)

    async def head_manifest(
        self, source: SourceRepository, tag_or_digest: str, request_context: RequestContext
    ) -> HeadResult:
        """Fetch the digest that a tag points to by HEAD: a hint, see `TagChecker.head`."""
        return await self.tag_checker.head(source, tag_or_digest, request_context)

    async def check_tag(
        self,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
        *,
        known_digest: str,
        etag: str = "",
    ) -> TagCheckResult:
        """Check whether a tag still points to the known digest, see `TagChecker.check`."""
        return await self.tag_checker.check(
            source, tag_or_digest, request_context, known_digest=known_digest, etag=etag
        )

    async def fetch_manifest_response(
        self,
        method: str,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
        *,
        accepted_statuses: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> AuthorizedResponse:
        """Fetch one response about a manifest, unverified.

        Its status is 200 or one of `accepted_statuses`; raises RegistryError for any other. The
        `Accept` list is always the same (registry-2.4).
        """
        is_head = method == "HEAD"
        path = manifest_path(source, tag_or_digest)
        return await self._api.send(
            method,
            source,
            path,
            request_context,
            accept=ACCEPT_MANIFESTS,
            max_bytes=0 if is_head else MAX_MANIFEST_BYTES,
            timeout_seconds=self.config.head_seconds if is_head else self.config.manifest_seconds,
            reference=source.reference(tag_or_digest),
            accepted_statuses=accepted_statuses,
            headers=headers,
            kind="head" if is_head else "get",
        )

    async def fetch_blob(
        self,
        source: SourceRepository,
        digest: str,
        request_context: RequestContext,
        *,
        max_bytes: int = MAX_BLOB_BYTES,
        declared_size: int | None = None,
    ) -> VerifiedContent:
        """Fetch a blob of at most `max_bytes`, verified.

        `declared_size` is the size in its descriptor: above `max_bytes` it raises ContentError
        `content.too_large` without a request (registry-7.1).
        """
        path, reference = blob_path(source, digest), source.reference(digest)
        if declared_size is not None and declared_size > max_bytes:
            raise ContentError(
                "response body too large", code="content.too_large", reference=reference
            )

        async def fetch() -> VerifiedContent:
            authorized = await self._api.send(
                "GET",
                source,
                path,
                request_context,
                accept=_ACCEPT_BLOBS,
                max_bytes=max_bytes,
                timeout_seconds=self.config.manifest_seconds,
                reference=reference,
                is_blob=True,
            )
            return verify_blob(
                authorized.response,
                digest,
                reference=reference,
                declared_size=declared_size,
                scope=authorized.scope,
                warnings=authorized.warnings,
            )

        return await _retry_on_digest_mismatch(fetch)

    async def fetch_blob_size(
        self, source: SourceRepository, digest: str, request_context: RequestContext
    ) -> int:
        """Fetch the size of a blob in bytes, without reading it (registry-7.3)."""
        path, reference = blob_path(source, digest), source.reference(digest)
        authorized = await self._api.send(
            "HEAD",
            source,
            path,
            request_context,
            accept=_ACCEPT_BLOBS,
            max_bytes=0,
            timeout_seconds=self.config.head_seconds,
            reference=reference,
            is_blob=True,
            accepted_statuses=_HEAD_REFUSED_STATUSES,
        )
        length = authorized.response.headers.get("content-length", "")
        if authorized.response.status == 200 and length.isdigit():
            return int(length)
        return await self._fetch_size_by_range(source, path, request_context, reference=reference)

    async def _fetch_size_by_range(
        self,
        source: SourceRepository,
        path: str,
        request_context: RequestContext,
        *,
        reference: str,
    ) -> int:
        """Fetch the size by a GET of one byte: presigned URLs refuse HEAD (registry-7.3)."""
        authorized = await self._api.send(
            "GET",
            source,
            path,
            request_context,
            accept=_ACCEPT_BLOBS,
            max_bytes=0,
            timeout_seconds=self.config.head_seconds,
            reference=reference,
            is_blob=True,
            accepted_statuses=frozenset({206}),
            headers={"Range": "bytes=0-0"},
            reads_body=False,
        )
        headers = authorized.response.headers
        match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if match is not None:
            return int(match.group(1))
        length = headers.get("content-length", "")
        if authorized.response.status == 200 and length.isdigit():
            return int(length)
        raise ProtocolError(
            f"missing content-length header for request: {reference}",
            code="protocol.length",
            reference=reference,
        )

    async def fetch_tags(
        self, source: SourceRepository, request_context: RequestContext, *, max_tags: int = 500_000
    ) -> TagList:
        """Fetch the tags of a repository; the list says whether it is complete (registry-5.1)."""
        path = tags_path(source)

        async def fetch_page(url: str) -> tuple[RegistryResponse, str]:
            authorized = await self._api.send(
                "GET",
                source,
                url,
                request_context,
                accept="application/json",
                max_bytes=MAX_PAGE_BYTES,
                timeout_seconds=self.config.page_seconds,
                reference=source.name,
            )
            return authorized.response, authorized.scope

        first_url = f"{self.exchange.base_url(source)}{path}?n={PAGE_SIZE}"
        return await collect_tags(fetch_page, first_url, max_tags=max_tags)

    async def fetch_referrers(
        self,
        source: SourceRepository,
        digest: str,
        request_context: RequestContext,
        *,
        artifact_type: str = "",
        artifact_tags: Collection[str] | None = None,
    ) -> Referrers:
        """Fetch what refers to a manifest: signatures, attestations and the like; best effort.

        `artifact_tags` are those of a tag list, where there is one: other tags are then not tried.
        """
        return await self._referrers_finder.find(
            source,
            digest,
            request_context,
            artifact_type=artifact_type,
            artifact_tags=artifact_tags,
        )

    async def fetch_referrers_page(
        self, source: SourceRepository, path: str, request_context: RequestContext
    ) -> RegistryResponse:
        """Fetch a page of the referrers API, of any status; never from another origin
        (registry-6.3).
        """
        authorized = await self._api.send(
            "GET",
            source,
            path,
            request_context,
            accept=OCI_INDEX,
            max_bytes=MAX_MANIFEST_BYTES,
            timeout_seconds=self.config.manifest_seconds,
            reference=source.name,
            accepted_statuses=_NO_REFERRERS_STATUSES,
            redirects="same-origin",
        )
        return authorized.response

    async def close(self) -> None:
        """Close every connection and release every lease."""
        await self.exchange.close()
        await self.hosts.close()


async def _retry_on_digest_mismatch(
    fetch: Callable[[], Awaitable[VerifiedContent]],
) -> VerifiedContent:
    try:
        return await fetch()
    except ContentError as error:
        if error.code != DIGEST_MISMATCH:
            raise
    return await fetch()
