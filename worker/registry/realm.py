"""Where we may be sent for a token, and which credentials may go there (`registry.md` 3.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from worker.registry.guard import check_url, origin_of, parse_address, refused


def resolve_realm(realm: str, *, request_url: str, loose: bool) -> str:
    """The token server's URL, absolute and without tricks. Raises EgressRefusedError.

    A registry behind a TLS proxy that announces `http://` for its own host means https. `loose`
    admits plain http, as it was admitted for the registry itself.
    """
    url = urljoin(request_url, realm)
    parts = check_url(url)
    if parts.fragment:
        raise refused("policy.realm")
    registry = urlsplit(request_url)
    if parts.scheme == "http" and registry.scheme == "https":
        if parts.hostname != registry.hostname:
            raise refused("policy.realm")
        return "https" + url[4:]
    if parts.scheme == "http" and not loose:
        raise refused("policy.realm")
    return url


def is_expected_port(url: str, *, request_url: str) -> bool:
    """Whether the realm's port is https's own or the registry's (S10)."""
    port, own = origin_of(urlsplit(url))[2], origin_of(urlsplit(request_url))[2]
    return port in {443, own}


def may_have_credentials(
    realm: str, *, request_url: str, registry: str, trusted: Mapping[str, Collection[str]]
) -> bool:
    """Whether this registry's credentials may be shown to that token server."""
    host, own = _netloc(realm), _netloc(request_url)
    if host == own:
        return True
    if host in trusted.get(registry, ()) or host.partition(":")[0] in trusted.get(registry, ()):
        return True
    realm_origin, own_origin = origin_of(urlsplit(realm)), origin_of(urlsplit(request_url))
    if realm_origin[1] == own_origin[1]:
        return realm_origin[2] in {443, own_origin[2]} and realm_origin[0] == "https"
    if realm_origin[2] not in {443, own_origin[2]}:
        return False
    domain = registrable_domain(realm_origin[1])
    return bool(domain) and domain == registrable_domain(own_origin[1])


def _netloc(url: str) -> str:
    return urlsplit(url).netloc.lower()


@cache
def registrable_domain(host: str) -> str:
    """The name that somebody registered (eTLD+1, private suffixes included); empty for none."""
    if parse_address(host.strip("[]")) is not None or "." not in host:
        return ""
    return str(_suffixes()(host).top_domain_under_public_suffix)


@cache
def _suffixes() -> Any:
    import tldextract  # noqa: PLC0415 - a large list, needed for foreign token servers only

    return tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
    )
