"""Link header fields: where the next page is (RFC 8288, `registry.md` 2.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.transport.egress_policy import check_url, origin_of

LONGEST_FIELD = 16 * 1024
LONGEST_QUERY = 4 * 1024
_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?"""
)


@dataclass(frozen=True, slots=True)
class Link:
    """A target and its parameters, whose names are in lower case; the first of equals wins."""

    target: str
    parameters: Mapping[str, str]

    @property
    def relations(self) -> list[str]:
        """The relation types, in lower case."""
        return self.parameters.get("rel", "").lower().split()


def parse_links(fields: Iterable[str]) -> Iterator[Link]:
    """Every link of all Link fields. What cannot be read ends its field."""
    for field in fields:
        text = field[:LONGEST_FIELD]
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
    """The target of the link to the next page, if there is one.

    A single link without any relation is taken for it: such servers exist.
    """
    links = list(parse_links(fields))
    for link in links:
        if "next" in link.relations:
            return link.target
    if len(links) == 1 and "rel" not in links[0].parameters:
        return links[0].target
    return None


def next_page(fields: Iterable[str], *, page: str, first: str) -> str | None:
    """The address of the page after `page`, whose listing began at `first`; None: no more.

    Cursors are opaque, so the target is used as it came. EgressRefusedError
    `policy.link_cross_origin` for another origin, ProtocolError for another path.
    """
    target = next_target(fields)
    if target is None:
        return None
    url = urljoin(page, target)
    parts, start = check_url(url), check_url(first)
    if origin_of(parts) != origin_of(start):
        raise EgressRefusedError(
            "the link to the next page leads to another registry; it was not followed",
            code="policy.link_cross_origin",
        )
    if parts.path != start.path:
        raise ProtocolError(
            "the link to the next page leads to another list; it was not followed",
            code="protocol.link",
        )
    if len(parts.query) > LONGEST_QUERY:
        raise ProtocolError("the link to the next page is too long", code="protocol.link")
    return url.partition("#")[0]
