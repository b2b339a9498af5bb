"""Token servers (realms): whether one may be contacted, and whether it may receive credentials.

The registry names its token server, so an attacker may have named it. There are two separate
checks: whether we contact it at all (registry-11.1 to registry-11.3), and whether it may receive
the credentials that are meant for the registry (registry-11.4).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from models.reference import DOCKER_HUB
from worker.registry.transport.egress_policy import (
    check_url,
    egress_refused_error,
    origin_of,
    parse_address,
)

_HTTPS_PORT = 443
# Known without the Public Suffix List, which is slow to load.
_KNOWN_TOKEN_SERVERS = {DOCKER_HUB: "auth.docker.io"}
# Suffixes of networks, not of owners: two names that share one may belong to different owners.
_INTERNAL_SUFFIXES = frozenset({"internal", "local", "localdomain", "localhost", "svc"})


def resolve_realm(realm: str, *, request_url: str, allow_plain_http: bool) -> str:
    """Return the absolute, checked URL of the token server. Raises EgressRefusedError.

    A registry behind a TLS proxy may announce `http://` for its own host; https is used then
    (registry-11.2). `allow_plain_http` admits plain http, as it was admitted for the registry.
    """
    try:
        if urlsplit(realm).scheme and not urlsplit(realm).netloc:
            raise egress_refused_error("policy.realm")
        url = urljoin(request_url, realm)
    except ValueError as error:
        raise egress_refused_error("policy.realm") from error
    parts = check_url(url)
    if "#" in url:
        raise egress_refused_error("policy.realm")
    registry = urlsplit(request_url)
    if parts.scheme == "http" and registry.scheme == "https":
        if parts.hostname != registry.hostname:
            raise egress_refused_error("policy.realm")
        return "https" + url[4:]
    if parts.scheme == "http" and not allow_plain_http:
        raise egress_refused_error("policy.realm")
    return url


def check_port(url: str, *, request_url: str, trusted_hosts: Collection[str]) -> None:
    """Raise EgressRefusedError for a port that is not allowed (registry-11.3).

    Allowed are 443, the registry's own port, and what the operator lists.
    """
    port, registry_port = origin_of(urlsplit(url))[2], origin_of(urlsplit(request_url))[2]
    if port not in {_HTTPS_PORT, registry_port} and not _is_trusted(url, trusted_hosts):
        raise egress_refused_error("policy.realm")


def trusted_token_servers(
    trusted_hosts: Mapping[str, Collection[str]], *, registry: str, api_host: str
) -> Sequence[str]:
    """Return the token servers, host or host:port, that the operator lists for this registry."""
    if not trusted_hosts:
        return ()
    return [entry for name in {registry, api_host} for entry in trusted_hosts.get(name, ())]


def may_receive_credentials(
    realm: str, *, request_url: str, registry: str, trusted_hosts: Collection[str]
) -> bool:
    """Return whether a token server may receive this registry's credentials (registry-11.4)."""
    if urlsplit(realm).netloc.lower() == urlsplit(request_url).netloc.lower():
        return True
    if _is_trusted(realm, trusted_hosts):
        return True
    _, host, port = origin_of(urlsplit(realm))
    _, registry_host, registry_port = origin_of(urlsplit(request_url))
    if port not in {_HTTPS_PORT, registry_port}:
        return False
    if host in {registry_host, _KNOWN_TOKEN_SERVERS.get(registry)}:
        return True
    domain = registrable_domain(host)
    return bool(domain) and domain == registrable_domain(registry_host)


def _is_trusted(url: str, trusted_hosts: Collection[str]) -> bool:
    """Return whether the operator lists a server; an entry without port has the default one."""
    parts = urlsplit(url)
    names = {parts.netloc.lower()}
    scheme, host, port = origin_of(parts)
    if port == {"https": _HTTPS_PORT, "http": 80}[scheme]:
        names |= {host, f"{host}:{port}"}
    return any(entry.lower() in names for entry in trusted_hosts)


@lru_cache(maxsize=1024)
def registrable_domain(host: str) -> str:
    """Return the registrable domain (eTLD+1, private suffixes included), or an empty text.

    Under an unknown suffix it is the last two labels: `gitlab.team.corp` belongs to `team.corp`
    (registry-11.5).
    """
    labels = host.split(".")
    if parse_address(host.strip("[]")) is not None or len(labels) < 2:
        return ""
    found = _suffixes()(host)
    if found.suffix:
        return f"{found.domain}.{found.suffix}" if found.domain else ""
    if labels[-1] in _INTERNAL_SUFFIXES or host.endswith(".cluster.local"):
        return ""
    return ".".join(labels[-2:])


@cache
def _suffixes() -> Any:
    import tldextract  # noqa: PLC0415 - a large list, needed for token servers elsewhere only

    return tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
    )
