"""Fetches manifests, blobs and tag lists: reference in, verified bytes out.

Everything that comes out hashes to what was asked for, or to what is said beside it. Retries,
rights, budgets and guards stand below; streams are unheard of here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Collection, Mapping

from models.errors import (
    ContentError,
    ManifestUnknownError,
    ProtocolError,
    RegistryError,
)
from models.oci import ACCEPT_MANIFESTS, OCI_INDEX
from worker.registry.auth.authenticator import Authenticator, Authorized
from worker.registry.client_config import ClientConfig
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.digest_verification import DIGEST_MISMATCH, verify_blob, verify_manifest
from worker.registry.endpoints import blob_path, manifest_path, tags_path
from worker.registry.limits.concurrency import LocalSlots
from worker.registry.limits.host_limiters import Hosts
from worker.registry.limits.shared_concurrency import RedisSlots
from worker.registry.referrers import Finder, Referrers
from worker.registry.registry_types import KNOCK, Answer, Fetched, Outgoing, Place, Seen, TagList
from worker.registry.request_context import Access
from worker.registry.tag_check import Checked, Checker
from worker.registry.tag_list import LARGEST_PAGE, PAGE_SIZE, collect_tags
from worker.registry.transport.connector import Lookup, look_up
from worker.registry.transport.error_responses import (
    describe_status,
    error_of,
    supports_api,
)
from worker.registry.transport.http_exchange import Exchange
from worker.registry.transport.request_retry import Dice, with_retries
from worker.registry.ttl_cache import Remembered

LARGEST_MANIFEST = 4 * 1024 * 1024
LARGEST_BLOB = 4 * 1024 * 1024
PING_KEPT = 600.0
_ACCEPT_BLOBS = "application/octet-stream, */*;q=0.1"
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)", re.ASCII)
# A presigned address may refuse a HEAD where it serves a GET (`registry.md` 2.8).
_HEAD_REFUSED = frozenset({304, 400, 401, 403, 404, 405, 406, 415, 501})
_NO_REFERRERS = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 501})


class RegistryClient:
    """One per process and loop. `lookup`, `clock` and `dice` are the world's, for those who
    bring their own.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        lookup: Lookup = look_up,
        clock: Clock = SYSTEM_CLOCK,
        dice: Dice = random.uniform,
    ) -> None:
        self.config = config
        self._clock = clock
        self._dice = dice
        shared = config.redis_url.startswith(("redis://", "rediss://", "unix://"))
        self.hosts = Hosts(
            start=config.concurrency_start,
            most=config.concurrency,
            slots=RedisSlots(config.redis_url, clock=clock) if shared else LocalSlots(clock),
            rate=config.registry_rate,
            clock=clock,
        )
        self.exchange = Exchange(config, self.hosts, lookup=lookup)
        self._auth = Authenticator(self.exchange, config, clock=clock)
        self._finder = Finder(self, clock)
        self.checker = Checker(self, clock)
        self._pings = Remembered(clock, seconds=PING_KEPT)

    async def fetch_manifest(self, place: Place, wanted: str, access: Access) -> Fetched:
        """The manifest of a tag or digest, verified. Raises RegistryError naming the reference.

        A digest mismatch is asked for once more: proxies truncate.
        """

        async def ask() -> Fetched:
            authorized = await self.ask_manifest("GET", place, wanted, access)
            return await verify_manifest(
                authorized.answer,
                wanted,
                reference=place.reference(wanted),
                scope=authorized.scope,
                warnings=authorized.warnings,
            )

        return await _twice_if_damaged(ask)

    async def head_manifest(self, place: Place, wanted: str, access: Access) -> Seen:
        """What the registry says a tag or digest means now: a hint, see `Checker.head`."""
        return await self.checker.head(place, wanted, access)

    async def check_manifest(
        self, place: Place, wanted: str, access: Access, *, known: str, etag: str = ""
    ) -> Checked:
        """Whether a tag is still what was known of it, see `Checker.check`."""
        return await self.checker.check(place, wanted, access, known=known, etag=etag)

    async def ask_manifest(
        self,
        method: str,
        place: Place,
        wanted: str,
        access: Access,
        *,
        also: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> Authorized:
        """One answer about a manifest, unverified, of status 200 or one of `also`."""
        heads = method == "HEAD"
        path = manifest_path(place, wanted)
        return await self._ask(
            method,
            place,
            path,
            access,
            accept=ACCEPT_MANIFESTS,
            cap=0 if heads else LARGEST_MANIFEST,
            seconds=self.config.head_seconds if heads else self.config.manifest_seconds,
            reference=place.reference(wanted),
            also=also,
            headers=headers,
            kind="head" if heads else "get",
        )

    async def fetch_blob(
        self,
        place: Place,
        digest: str,
        access: Access,
        *,
        cap: int = LARGEST_BLOB,
        declared: int | None = None,
    ) -> Fetched:
        """A small blob, verified. `declared` is the size its descriptor names."""
        path, reference = blob_path(place, digest), place.reference(digest)
        if declared is not None and declared > cap:
            raise ContentError(
                "response body too large", code="content.too_large", reference=reference
            )

        async def ask() -> Fetched:
            authorized = await self._ask(
                "GET",
                place,
                path,
                access,
                accept=_ACCEPT_BLOBS,
                cap=cap,
                seconds=self.config.manifest_seconds,
                reference=reference,
                blob=True,
            )
            return verify_blob(
                authorized.answer,
                digest,
                reference=reference,
                declared=declared,
                scope=authorized.scope,
                warnings=authorized.warnings,
            )

        return await _twice_if_damaged(ask)

    async def blob_size(self, place: Place, digest: str, access: Access) -> int:
        """How large a blob is, without reading it."""
        path, reference = blob_path(place, digest), place.reference(digest)
        authorized = await self._ask(
            "HEAD",
            place,
            path,
            access,
            accept=_ACCEPT_BLOBS,
            cap=0,
            seconds=self.config.head_seconds,
            reference=reference,
            blob=True,
            also=_HEAD_REFUSED,
        )
        length = authorized.answer.headers.get("content-length", "")
        if authorized.answer.status == 200 and length.isdigit():
            return int(length)
        return await self._probe_size(place, path, access, reference=reference)

    async def _probe_size(self, place: Place, path: str, access: Access, *, reference: str) -> int:
        """By asking for one byte: presigned addresses refuse a HEAD (`registry.md` 2.8)."""
        authorized = await self._ask(
            "GET",
            place,
            path,
            access,
            accept=_ACCEPT_BLOBS,
            cap=0,
            seconds=self.config.head_seconds,
            reference=reference,
            blob=True,
            also=frozenset({206}),
            headers={"Range": "bytes=0-0"},
            reads_body=False,
        )
        headers = authorized.answer.headers
        found = _RANGE.fullmatch(headers.get("content-range", ""))
        if found is not None:
            return int(found.group(1))
        length = headers.get("content-length", "")
        if authorized.answer.status == 200 and length.isdigit():
            return int(length)
        raise ProtocolError(
            f"missing content-length header for request: {reference}",
            code="protocol.length",
            reference=reference,
        )

    async def list_tags(self, place: Place, access: Access, *, most: int = 500_000) -> TagList:
        """Every tag of a repository, or an incomplete list that says so."""
        path = tags_path(place)

        async def fetch(url: str) -> tuple[Answer, str]:
            authorized = await self._ask(
                "GET",
                place,
                url,
                access,
                accept="application/json",
                cap=LARGEST_PAGE,
                seconds=self.config.page_seconds,
                reference=place.name,
            )
            return authorized.answer, authorized.scope

        first = f"{self.exchange.base_url(place)}{path}?n={PAGE_SIZE}"
        return await collect_tags(fetch, first, most=most)

    async def fetch_referrers(
        self,
        place: Place,
        digest: str,
        access: Access,
        *,
        artifact_type: str = "",
        companions: Collection[str] | None = None,
    ) -> Referrers:
        """What refers to a manifest: signatures, attestations and the like; best effort.

        `companions`: those of a listing at hand, so that no others are looked for.
        """
        return await self._finder.find(
            place, digest, access, artifact_type=artifact_type, companions=companions
        )

    async def ask_referrers(self, place: Place, path: str, access: Access) -> Answer:
        """A page of the referrers API, whatever its status; never from another server (2.7)."""
        authorized = await self._ask(
            "GET",
            place,
            path,
            access,
            accept=OCI_INDEX,
            cap=LARGEST_MANIFEST,
            seconds=self.config.manifest_seconds,
            reference=place.name,
            also=_NO_REFERRERS,
            redirects="same-origin",
        )
        return authorized.answer

    async def ping(self, place: Place, access: Access) -> Answer:
        """What `GET /v2/` answers."""
        url = f"{self.exchange.base_url(place)}/v2/"
        return await self.exchange.send(
            Outgoing("GET", url, place, deadline=self.config.token_seconds, scope=KNOCK), access
        )

    async def _ask(
        self,
        method: str,
        place: Place,
        path: str,
        access: Access,
        *,
        accept: str,
        cap: int,
        seconds: float,
        reference: str,
        blob: bool = False,
        also: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
        reads_body: bool = True,
        redirects: str = "registry",
        kind: str = "other",
    ) -> Authorized:
        """One request with rights and retries; any status but 200 and `also` is an error."""
        host = self.hosts.host(place)
        sent = {"Accept": accept, **(headers or {})}

        async def attempt() -> Authorized:
            url = path if "://" in path else self.exchange.base_url(place) + path
            outgoing = Outgoing(
                method=method,
                url=url,
                place=place,
                headers=sent,
                cap=cap,
                deadline=seconds,
                reads_body=reads_body,
                redirects=redirects,
                kind=kind,
            )
            authorized = await self._auth.request(outgoing, access)
            status = authorized.answer.status
            if status == 200 or status in also:
                return authorized
            raise error_of(authorized.answer, reference=reference, blob=blob)

        try:
            return await with_retries(
                attempt,
                host=host,
                pauses=self.config.retry_pause,
                clock=self._clock,
                dice=self._dice,
                retries=access.tries_again,
            )
        except ManifestUnknownError as error:
            await self._check_is_registry(place, access, error, reference=reference)
            raise
        except RegistryError as error:
            if error.reference:
                raise
            raise error.about(reference) from error

    async def _check_is_registry(
        self, place: Place, access: Access, error: ManifestUnknownError, *, reference: str
    ) -> None:
        """After a 404 that no registry wrote: is there a registry at all (`registry.md` 4.3)?"""
        if not error.text.startswith("error parsing HTTP"):
            return
        said = self._pings.get(place.api_host)
        if said is None:
            answer = await self.ping(place, access)
            said = "" if supports_api(answer) else describe_status(answer.status)
            self._pings.put(place.api_host, said)
        if said:
            raise ProtocolError(
                f'endpoint "{self.exchange.base_url(place)}" does not support v2 API (got {said})',
                code="protocol.not_a_registry",
                reference=reference,
            ) from error

    async def close(self) -> None:
        """Close every connection and give back every share."""
        await self.exchange.close()
        await self.hosts.close()


async def _twice_if_damaged(ask: Callable[[], Awaitable[Fetched]]) -> Fetched:
    try:
        return await ask()
    except ContentError as error:
        if error.code != DIGEST_MISMATCH:
            raise
    return await ask()
