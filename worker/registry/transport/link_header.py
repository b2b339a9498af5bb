"""Link headers: parsing, and the URL of the next page (RFC 8288, registry-5.2, registry-5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.transport.egress_policy import check_url, origin_of

MAX_FIELD_LENGTH = 16 * 1024
MAX_QUERY_LENGTH = 4 * 1024
_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?"""
)


@dataclass(frozen=True, slots=True)
class Link:
    """A target and its parameters, names in lower case; of duplicates the first one counts."""

    target: str
    parameters: Mapping[str, str]

    @property
    def relations(self) -> list[str]:
        """The relation types, in lower case."""
        return self.parameters.get("rel", "").lower().split()


def parse_links(fields: Iterable[str]) -> Iterator[Link]:
    """Yield the links of all Link fields; text that cannot be parsed ends its field."""
    for field in fields:
        text = field[:MAX_FIELD_LENGTH]
        found = _TARGET.match(text)
        while found is not None:
            target, end = found.group(1), found.end()
            parameters: dict[str, str] = {}
            while (parameter := _PARAMETER.match(text, end)) is not None:
                name, quoted, bare = parameter.groups()
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare or ""
                if name is not None:
                    parameters.setdefault(name.lower(), value)
                end = parameter.end()
            yield Link(target.strip(), parameters)
            found = _TARGET.match(text, end)


def next_target(fields: Iterable[str]) -> str | None:
    """Return the target of the link to the next page, or None.

    A single link without any relation counts as that link: such servers exist (registry-5.2).
    """
    links = list(parse_links(fields))
    for link in links:
        if "next" in link.relations:
            return link.target
    if len(links) == 1 and "rel" not in links[0].parameters:
        return links[0].target
    return None


def next_page_url(fields: Iterable[str], *, page_url: str, first_url: str) -> str | None:
    """Return the URL of the page after `page_url` in the list that started at `first_url`, or None.

    Cursors are opaque, so the target is used as received. Raises EgressRefusedError
    `policy.link_cross_origin` for another origin than that of the first page, and ProtocolError
    `protocol.link` for another path (registry-5.3).
    """
    target = next_target(fields)
    if target is None:
        return None
    url = urljoin(page_url, target)
    parts, first_parts = check_url(url), check_url(first_url)
    if origin_of(parts) != origin_of(first_parts):
        raise EgressRefusedError(
            "the link to the next page leads to another registry; it was not followed",
            code="policy.link_cross_origin",
        )
    if parts.path != first_parts.path:
        raise ProtocolError(
            "the link to the next page leads to another list; it was not followed",
            code="protocol.link",
        )
    if len(parts.query) > MAX_QUERY_LENGTH:
        raise ProtocolError("the link to the next page is too long", code="protocol.link")
    return url.partition("#")[0]
