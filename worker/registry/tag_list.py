"""The list of a repository's tags, page by page (`registry.md` 2.6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from models.errors import ContentError, ProtocolError, RegistryError
from models.oci import media_type_of, strict_json
from models.reference import is_digest
from worker.registry.registry_types import ANONYMOUS, Answer, TagList
from worker.registry.transport.error_responses import plain_text, read_warnings
from worker.registry.transport.link_header import next_page

PAGE_SIZE = 1000
MOST_PAGES = 2000
MOST_BYTES = 64 * 1024 * 1024
MOST_SECONDS = 600.0
LARGEST_PAGE = 8 * 1024 * 1024
_MOST_NODES = 2_000_000
_LONG = 256 * 1024
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_COMPANION = re.compile(r"sha256-[a-f0-9]{64}(?:\.(?:sig|att|sbom))?", re.ASCII)
_JSON_TYPES = frozenset({"", "application/json", "text/plain", "application/octet-stream"})

FetchPage = Callable[[str], Awaitable[tuple[Answer, str]]]


@dataclass(slots=True)
class _Listing:
    """What the pages so far have told."""

    tags: dict[str, None] = field(default_factory=dict)
    companions: dict[str, None] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    dropped: int = 0
    size: int = 0
    scope: str = ANONYMOUS

    def add(self, document: dict[str, Any]) -> bool:
        """Take in a page; whether it told anything new."""
        before = len(self.tags) + len(self.companions)
        for tag in document["tags"] or ():
            if (
                not isinstance(tag, str)
                or not _TAG.fullmatch(tag)
                or tag in self.tags
                or tag in self.companions
            ):
                self.dropped += 1
            elif _COMPANION.fullmatch(tag):
                self.companions[tag] = None
            else:
                self.tags[tag] = None
        self.hints.update(_hints_of(document))
        return len(self.tags) + len(self.companions) > before

    def finish(self, reason: str = "") -> TagList:
        """The list as it stands; a reason says why it is not complete."""
        return TagList(
            tags=tuple(self.tags),
            complete=not reason,
            reason=reason,
            dropped=self.dropped,
            companions=tuple(self.companions),
            hints={tag: digest for tag, digest in self.hints.items() if tag in self.tags},
            scope=self.scope,
            warnings=tuple(self.warnings),
        )


async def collect_tags(fetch: FetchPage, first: str, *, most: int) -> TagList:
    """All pages from `first` on. `fetch` gives a page's answer, status 200, and its right.

    A failure of the first page is raised; a later one, and every guard, ends the listing as
    incomplete.
    """
    listing = _Listing()
    try:
        async with asyncio.timeout(MOST_SECONDS):
            return await _follow(fetch, first, listing, most=most)
    except TimeoutError:
        return listing.finish(f"the listing took longer than {MOST_SECONDS:g} s")


async def _follow(fetch: FetchPage, first: str, listing: _Listing, *, most: int) -> TagList:
    url: str | None = first
    seen: set[str] = set()
    while url is not None:
        if url in seen:
            return listing.finish("the pages of the list lead in a circle")
        if len(seen) >= MOST_PAGES:
            return listing.finish(f"the list has more than {MOST_PAGES} pages")
        try:
            answer, listing.scope = await fetch(url)
            document = await _read_page(answer)
        except RegistryError as error:
            if not seen:
                raise
            return listing.finish(error.text)
        if not seen:
            first = _moved(first, answer.url)
        seen.update((url, answer.url))
        listing.size += len(answer.content)
        listing.warnings.update(dict.fromkeys(read_warnings(answer)))
        is_new = listing.add(document)
        try:
            url = next_page(answer.headers.get_list("link"), page=answer.url, first=first)
        except RegistryError as error:
            return listing.finish(error.text)
        if url is None:
            break
        reason = _guard(listing, is_new=is_new, most=most)
        if reason:
            return listing.finish(reason)
    if len(listing.tags) > most:
        return listing.finish(f"the repository has more than {most} tags")
    return listing.finish()


def _guard(listing: _Listing, *, is_new: bool, most: int) -> str:
    """Why no further page is asked for, or nothing."""
    if not is_new:
        return "a page of the list added no new tag"
    if len(listing.tags) + len(listing.companions) >= most:
        return f"the repository has more than {most} tags"
    if listing.size > MOST_BYTES:
        return f"the list is larger than {MOST_BYTES // (1024 * 1024)} MiB"
    return ""


def _moved(first: str, answered: str) -> str:
    """`first` by the scheme that worked, where the same host answered."""
    plain = first.replace("https://", "http://", 1)
    return plain if answered.partition("?")[0] == plain.partition("?")[0] else first


async def _read_page(answer: Answer) -> dict[str, Any]:
    """A page's document, whose `tags` is a list or None."""
    media_type = media_type_of(answer.headers.get("content-type", ""))
    if media_type not in _JSON_TYPES and not media_type.endswith("+json"):
        raise ProtocolError(
            f"the registry answered with {plain_text(media_type)!r} instead of a list of tags",
            code="protocol.unexpected_type",
        )
    if len(answer.content) < _LONG:
        document = strict_json(answer.content, max_nodes=_MOST_NODES)
    else:
        document = await asyncio.to_thread(strict_json, answer.content, max_nodes=_MOST_NODES)
    if not isinstance(document, dict) or "tags" not in document:
        raise ContentError("the list of tags has no tags", code="content.invalid")
    if document["tags"] is not None and not isinstance(document["tags"], list):
        raise ContentError("the list of tags is no list", code="content.invalid")
    return document


def _hints_of(document: dict[str, Any]) -> dict[str, str]:
    """Tag → digest, where the registry tells it (Google's `manifest` map, `registry.md` 2.4)."""
    manifests = document.get("manifest")
    if not isinstance(manifests, dict):
        return {}
    found = {}
    for digest, about in manifests.items():
        tags = about.get("tag") if isinstance(about, dict) else None
        if isinstance(tags, list) and is_digest(digest) and digest == digest.lower():
            found.update({tag: digest for tag in tags if isinstance(tag, str)})
    return found
