"""Where an answer came from, and the request that follows from it."""

from __future__ import annotations

from collections.abc import Mapping

from worker.registry.registry_types import Answer, Outgoing


def is_elsewhere(answer: Answer, outgoing: Outgoing) -> bool:
    """Whether a redirect led away: that server's challenge is none of ours to answer (C2)."""
    return answer.url != outgoing.url and _netloc(answer.url) != _netloc(outgoing.url)


def _netloc(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()


def where_answered(outgoing: Outgoing, answer: Answer) -> Outgoing:
    """The same request at the scheme that worked, where https fell back to plain http."""
    if answer.url.startswith("https://") or not outgoing.url.startswith("https://"):
        return outgoing
    if is_elsewhere(answer, outgoing):
        return outgoing
    return like(outgoing, "http" + outgoing.url[5:], outgoing.headers)


def at_base(outgoing: Outgoing, base_url: str) -> Outgoing:
    """The same request by plain http, where that is what its registry is known to speak."""
    if not base_url.startswith("http://") or not outgoing.url.startswith("https://"):
        return outgoing
    url = "http" + outgoing.url[5:]
    return like(outgoing, url, outgoing.headers) if url.startswith(base_url + "/") else outgoing


def by_right(outgoing: Outgoing, scope: str) -> Outgoing:
    """The same request, and whose limits it is subject to."""
    return like(outgoing, outgoing.url, outgoing.headers, scope=scope)


def like(
    outgoing: Outgoing, url: str, headers: Mapping[str, str], *, scope: str | None = None
) -> Outgoing:
    """The same request at another URL, with other headers; by another right where one is given."""
    return Outgoing(
        method=outgoing.method,
        url=url,
        place=outgoing.place,
        headers=headers,
        body=outgoing.body,
        cap=outgoing.cap,
        deadline=outgoing.deadline,
        redirects=outgoing.redirects,
        reads_body=outgoing.reads_body,
        scope=outgoing.scope if scope is None else scope,
        kind=outgoing.kind,
    )
