"""Tag lists: the tags of a repository, collected page by page.

A list starts with `n=1000` and follows `Link` headers (registry-5.1). Registries are untrusted
peers, so every loop here is bounded (registry-5.7).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from models.errors import ContentError, ProtocolError, RegistryError
from models.oci import media_type_of, strict_json
from models.reference import is_digest
from worker.registry.registry_types import ANONYMOUS, RegistryResponse, TagList
from worker.registry.transport.error_responses import parse_warnings, plain_text
from worker.registry.transport.link_header import next_page_url

PAGE_SIZE = 1000
MAX_TAG_PAGES = 2000
MAX_LISTING_BYTES = 64 * 1024 * 1024
LISTING_TIMEOUT_SECONDS = 600.0
MAX_PAGE_BYTES = 8 * 1024 * 1024
_MAX_JSON_NODES = 2_000_000
_PARSE_IN_THREAD_BYTES = 256 * 1024
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ARTIFACT_TAG = re.compile(r"sha256-[a-f0-9]{64}(?:\.(?:sig|att|sbom))?", re.ASCII)
_JSON_TYPES = frozenset({"", "application/json", "text/plain", "application/octet-stream"})

FetchPage = Callable[[str], Awaitable[tuple[RegistryResponse, str]]]


@dataclass(slots=True)
class _TagListBuilder:
    """The tags of the pages that were read so far."""

    tags: dict[str, None] = field(default_factory=dict)
    artifact_tags: dict[str, None] = field(default_factory=dict)
    digest_hints: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    dropped: int = 0
    size_bytes: int = 0
    scope: str = ANONYMOUS

    def add_page(self, document: dict[str, Any]) -> bool:
        """Add the tags of a page and return whether any of them was new.

        Entries that are no valid tags, or occur again, are dropped and counted (registry-5.5);
        tags of signatures and similar artifacts are listed apart (registry-5.6).
        """
        before = len(self.tags) + len(self.artifact_tags)
        for tag in document["tags"] or ():
            if (
                not isinstance(tag, str)
                or not _TAG.fullmatch(tag)
                or tag in self.tags
                or tag in self.artifact_tags
            ):
                self.dropped += 1
            elif _ARTIFACT_TAG.fullmatch(tag):
                self.artifact_tags[tag] = None
            else:
                self.tags[tag] = None
        self.digest_hints.update(_digest_hints_of(document))
        return len(self.tags) + len(self.artifact_tags) > before

    def build(self, reason: str = "") -> TagList:
        """Return the list as it stands; a `reason` makes it incomplete."""
        return TagList(
            tags=tuple(self.tags),
            complete=not reason,
            reason=reason,
            dropped=self.dropped,
            artifact_tags=tuple(self.artifact_tags),
            digest_hints={
                tag: digest for tag, digest in self.digest_hints.items() if tag in self.tags
            },
            scope=self.scope,
            warnings=tuple(self.warnings),
        )


async def collect_tags(fetch_page: FetchPage, first_url: str, *, max_tags: int) -> TagList:
    """Return the tags of all pages from `first_url` on, at most `max_tags`.

    `fetch_page` returns a page's response, whose status is 200, and the credential scope that it
    was served by. A failure of the first page is raised; a failure of a later page, and every
    bound, ends the list as incomplete (registry-5.7, registry-5.8).
    """
    listing = _TagListBuilder()
    try:
        async with asyncio.timeout(LISTING_TIMEOUT_SECONDS):
            return await _follow_pages(fetch_page, first_url, listing, max_tags=max_tags)
    except TimeoutError:
        return listing.build(f"the listing took longer than {LISTING_TIMEOUT_SECONDS:g} s")


async def _follow_pages(
    fetch_page: FetchPage, first_url: str, listing: _TagListBuilder, *, max_tags: int
) -> TagList:
    url: str | None = first_url
    visited_urls: set[str] = set()
    while url is not None:
        if url in visited_urls:
            return listing.build("the pages of the list form a loop")
        if len(visited_urls) >= MAX_TAG_PAGES:
            return listing.build(f"the list has more than {MAX_TAG_PAGES} pages")
        try:
            response, listing.scope = await fetch_page(url)
            document = await _read_page(response)
        except RegistryError as error:
            if not visited_urls:
                raise
            return listing.build(error.text)
        if not visited_urls:
            first_url = _with_answered_scheme(first_url, response.url)
        visited_urls.update((url, response.url))
        listing.size_bytes += len(response.content)
        listing.warnings.update(dict.fromkeys(parse_warnings(response)))
        is_new = listing.add_page(document)
        try:
            url = next_page_url(
                response.headers.get_list("link"), page_url=response.url, first_url=first_url
            )
        except RegistryError as error:
            return listing.build(error.text)
        if url is None:
            break
        reason = _stop_reason(listing, is_new=is_new, max_tags=max_tags)
        if reason:
            return listing.build(reason)
    if len(listing.tags) > max_tags:
        return listing.build(f"the repository has more than {max_tags} tags")
    return listing.build()


def _stop_reason(listing: _TagListBuilder, *, is_new: bool, max_tags: int) -> str:
    """Return why no further page is fetched, or an empty text."""
    if not is_new:
        return "a page of the list added no new tag"
    if len(listing.tags) + len(listing.artifact_tags) >= max_tags:
        return f"the repository has more than {max_tags} tags"
    if listing.size_bytes > MAX_LISTING_BYTES:
        return f"the list is larger than {MAX_LISTING_BYTES // (1024 * 1024)} MiB"
    return ""


def _with_answered_scheme(first_url: str, answered_url: str) -> str:
    """Return `first_url` with http where the same URL was answered after https had failed.

    Links are compared with the origin of the first page, so its scheme must be the one that worked.
    """
    plain_http_url = first_url.replace("https://", "http://", 1)
    return (
        plain_http_url
        if answered_url.partition("?")[0] == plain_http_url.partition("?")[0]
        else first_url
    )


async def _read_page(response: RegistryResponse) -> dict[str, Any]:
    """Return the document of a page, whose `tags` is a list or None (registry-5.4).

    Raises ProtocolError `protocol.unexpected_type` and ContentError `content.invalid`. Large pages
    are parsed on a thread, so that the event loop is not blocked.
    """
    media_type = media_type_of(response.headers.get("content-type", ""))
    if media_type not in _JSON_TYPES and not media_type.endswith("+json"):
        raise ProtocolError(
            f"the registry answered with {plain_text(media_type)!r} instead of a list of tags",
            code="protocol.unexpected_type",
        )
    if len(response.content) < _PARSE_IN_THREAD_BYTES:
        document = strict_json(response.content, max_nodes=_MAX_JSON_NODES)
    else:
        document = await asyncio.to_thread(strict_json, response.content, max_nodes=_MAX_JSON_NODES)
    if not isinstance(document, dict) or "tags" not in document:
        raise ContentError("the list of tags has no tags", code="content.invalid")
    if document["tags"] is not None and not isinstance(document["tags"], list):
        raise ContentError("the list of tags is no list", code="content.invalid")
    return document


def _digest_hints_of(document: dict[str, Any]) -> dict[str, str]:
    """Return tag → digest where the registry reports it (Google's `manifest` map, registry-5.9)."""
    manifests = document.get("manifest")
    if not isinstance(manifests, dict):
        return {}
    found = {}
    for digest, properties in manifests.items():
        tags = properties.get("tag") if isinstance(properties, dict) else None
        if isinstance(tags, list) and is_digest(digest) and digest == digest.lower():
            found.update({tag: digest for tag in tags if isinstance(tag, str)})
    return found
