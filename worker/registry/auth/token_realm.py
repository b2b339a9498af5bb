"""Where we may be sent for a token, and which credentials may go there (`registry.md` 3.4).

The registry names its token server, so an attacker may have named it. Two gates: whether we talk
to it at all, and whether it may see the credentials that are meant for the registry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from models.reference import DOCKER_HUB
from worker.registry.transport.egress_policy import check_url, origin_of, parse_address, refused

_HTTPS_PORT = 443
# Known without the list of public suffixes, which takes its time to load.
_OWN_SERVERS = {DOCKER_HUB: "auth.docker.io"}
# Names of a network, not of an owner: a shared ending says nothing.
_NOBODYS = frozenset({"internal", "local", "localdomain", "localhost", "svc"})


def resolve_realm(realm: str, *, request_url: str, loose: bool) -> str:
    """The token server's URL, absolute and without tricks. Raises EgressRefusedError.

    A registry behind a TLS proxy that announces `http://` for its own host means https. `loose`
    admits plain http, as it was admitted for the registry itself.
    """
    try:
        if urlsplit(realm).scheme and not urlsplit(realm).netloc:
            raise refused("policy.realm")
        url = urljoin(request_url, realm)
    except ValueError as error:
        raise refused("policy.realm") from error
    parts = check_url(url)
    if "#" in url:
        raise refused("policy.realm")
    registry = urlsplit(request_url)
    if parts.scheme == "http" and registry.scheme == "https":
        if parts.hostname != registry.hostname:
            raise refused("policy.realm")
        return "https" + url[4:]
    if parts.scheme == "http" and not loose:
        raise refused("policy.realm")
    return url


def check_port(url: str, *, request_url: str, trusted: Collection[str]) -> None:
    """Refuse a port that is neither https's nor the registry's own, nor the operator's wish (S10).

    Raises EgressRefusedError.
    """
    port, own = origin_of(urlsplit(url))[2], origin_of(urlsplit(request_url))[2]
    if port not in {_HTTPS_PORT, own} and not _is_listed(url, trusted):
        raise refused("policy.realm")


def trusted_servers(
    trusted: Mapping[str, Collection[str]], *, registry: str, api_host: str
) -> Sequence[str]:
    """The token servers, host or host:port, that the operator listed for this registry."""
    if not trusted:
        return ()
    return [entry for name in {registry, api_host} for entry in trusted.get(name, ())]


def may_have_credentials(
    realm: str, *, request_url: str, registry: str, trusted: Collection[str]
) -> bool:
    """Whether this registry's credentials may be shown to that token server."""
    if urlsplit(realm).netloc.lower() == urlsplit(request_url).netloc.lower():
        return True
    if _is_listed(realm, trusted):
        return True
    _, host, port = origin_of(urlsplit(realm))
    _, own_host, own_port = origin_of(urlsplit(request_url))
    if port not in {_HTTPS_PORT, own_port}:
        return False
    if host in {own_host, _OWN_SERVERS.get(registry)}:
        return True
    domain = registrable_domain(host)
    return bool(domain) and domain == registrable_domain(own_host)


def _is_listed(url: str, trusted: Collection[str]) -> bool:
    """An entry without a port stands for the one of the URL's scheme."""
    parts = urlsplit(url)
    names = {parts.netloc.lower()}
    scheme, host, port = origin_of(parts)
    if port == {"https": _HTTPS_PORT, "http": 80}[scheme]:
        names |= {host, f"{host}:{port}"}
    return any(entry.lower() in names for entry in trusted)


@lru_cache(maxsize=1024)
def registrable_domain(host: str) -> str:
    """The name that somebody registered (eTLD+1, private suffixes included); empty for none.

    Where the list knows no suffix, the last label is one: `gitlab.team.corp` is `team.corp`'s.
    """
    labels = host.split(".")
    if parse_address(host.strip("[]")) is not None or len(labels) < 2:
        return ""
    found = _suffixes()(host)
    if found.suffix:
        return f"{found.domain}.{found.suffix}" if found.domain else ""
    if labels[-1] in _NOBODYS or host.endswith(".cluster.local"):
        return ""
    return ".".join(labels[-2:])


@cache
def _suffixes() -> Any:
    import tldextract  # noqa: PLC0415 - a large list, needed for foreign token servers only

    return tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
    )
