"""Egress policy: which addresses, names, ports and URLs may be contacted.

The policy is enforced where the socket is opened, on the resolved address, for every connection:
registry, token server, redirect target (registry-26.3). Denied networks are in registry-26.4, names
in registry-26.5, ports in registry-26.6.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from models.errors import EgressRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `is_global` alone lets several of these through, and differs between Python's patch levels.
DENIED_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("168.63.129.16/32", "::/128", "::1/128", "::/96", "::ffff:0:0/96", "64:ff9b::/96"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
# What embedded mode, on a user's own machine, may reach besides the internet (registry-26.8).
_PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7"),
    )
)
# Within the networks above, and never allowed: cloud metadata services.
_METADATA_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
        *("fd00:ec2::254/128", "fd20:ce::254/128", "fe80::/10"),
    )
)
_DENIED_SUFFIXES = (".localhost", ".local", ".internal", ".svc", ".cluster.local")
_METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_DENIED_NAMES = frozenset({"localhost", "svc", *_METADATA_NAMES})
_PLAIN_PORT = 80
_TLS_PORT = 443
# No space, control character or backslash; no user name and no escapes before the path.
_URL = re.compile(r"https?://[!-$&-.0->A-[\]-~]+(?:[/?#][!-[\]-~]*)?", re.IGNORECASE)
# One text for blocked, closed and silent hosts, so that a tenant cannot tell them apart
# (registry-26.10).
UNREACHABLE_TEXT = (
    "the registry cannot be reached from here; if it is a private one, the operator has to allow "
    "it (TAGSTREAM_EGRESS_ALLOW)"
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """A private registry that the operator allows: a name or a network, and a port (0 for any).

    `tenant` limits it to one namespace (registry-26.7).
    """

    host: str
    port: int = 0
    network: Network | None = None
    tenant: str = ""

    @classmethod
    def parse(cls, host: str, port: int = 0, tenant: str = "") -> Allowance:
        """Parse the operator's text: a CIDR, an address or a name."""
        try:
            return cls(host, port, ipaddress.ip_network(host, strict=False), tenant)
        except ValueError:
            return cls(host.lower(), port, None, tenant)

    def admits_name(self, host: str, port: int) -> bool:
        return self.network is None and host == self.host and self.port in {0, port}

    def admits_address(self, address: Address, port: int) -> bool:
        if self.network is None or self.port not in {0, port}:
            return False
        return address.version == self.network.version and address in self.network


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The hosts that may be contacted: public ones and those that the operator allows.

    `embedded` is for a process on a user's own machine.
    """

    embedded: bool = False
    ports: frozenset[int] = frozenset({443, 5000, 5443, 8443})
    allowances: tuple[Allowance, ...] = ()

    def for_tenant(self, tenant: str) -> EgressPolicy:
        """Return the policy for one namespace; equal policies share connections (registry-20.3)."""
        if all(not allowance.tenant for allowance in self.allowances):
            return self
        allowances = tuple(each for each in self.allowances if each.tenant in {"", tenant})
        return EgressPolicy(self.embedded, self.ports, allowances)

    def check_name(self, host: str, port: int, *, plain: bool = False) -> None:
        """Refuse a name or port before any lookup. Raises EgressRefusedError.

        `plain` admits port 80. A port that is allowed for networks only is left to
        `check_addresses`, because the addresses are not yet known.
        """
        host = _normalize_host(host)
        address = parse_address(host)
        if address is not None:
            self.check_addresses(host, port, [address], plain=plain)
            return
        if self._allows_name(host, port):
            return
        if host in _METADATA_NAMES or (not self.embedded and _is_private_name(host)):
            raise egress_refused_error("policy.name")
        networks = (each for each in self.allowances if each.network is not None)
        if not self._allows_port(port, plain=plain) and all(
            n.port not in {0, port} for n in networks
        ):
            raise egress_refused_error("policy.port")

    def check_addresses(
        self, host: str, port: int, addresses: Iterable[Address], *, plain: bool = True
    ) -> None:
        """Refuse the whole name if one of its addresses is denied. Raises EgressRefusedError."""
        is_allowed_name = self._allows_name(_normalize_host(host), port)
        for address in addresses:
            if self._allows_address(address, port):
                continue
            if not is_allowed_name and not self._allows_port(port, plain=plain):
                raise egress_refused_error("policy.port")
            is_allowed_private = (self.embedded or is_allowed_name) and _is_in(
                address, _PRIVATE_NETWORKS
            )
            if _is_in(address, _METADATA_NETWORKS) or not (
                is_allowed_private or is_public(address)
            ):
                raise egress_refused_error("policy.address")

    def may_reveal_cause(self, host: str, port: int, addresses: Iterable[Address] = ()) -> bool:
        """Return whether a caller may learn why a host did not answer (registry-26.10).

        `addresses` are those that the name resolved to at its last lookup.
        """
        if self.embedded or not self.allowances:
            return self.embedded
        host = _normalize_host(host)
        address = parse_address(host)
        known_addresses = [address] if address is not None else list(addresses)
        if self._allows_name(host, port):
            return True
        return bool(known_addresses) and all(
            self._allows_address(each, port) for each in known_addresses
        )

    def may_redirect(self, host: str, port: int, *, own_port: int) -> bool:
        """Return whether a registry at `own_port` may redirect to this port (registry-7.5)."""
        if self.embedded or port in {_TLS_PORT, own_port}:
            return True
        address = parse_address(host)
        return self._allows_name(host, port) or (
            address is not None and self._allows_address(address, port)
        )

    def _allows_name(self, host: str, port: int) -> bool:
        return any(each.admits_name(host, port) for each in self.allowances)

    def _allows_address(self, address: Address, port: int) -> bool:
        return any(each.admits_address(address, port) for each in self.allowances)

    def _allows_port(self, port: int, *, plain: bool) -> bool:
        return self.embedded or port in self.ports or (plain and port == _PLAIN_PORT)


def _normalize_host(host: str) -> str:
    """Return a host in lower case, without brackets and without a trailing dot."""
    return host.lower().strip("[]").removesuffix(".")


def is_public(address: Address) -> bool:
    """Return whether an address is public, so that anyone could run a registry there."""
    if _is_in(address, DENIED_NETWORKS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_private_name(host: str) -> bool:
    return (
        "." not in host
        or host in _DENIED_NAMES
        or host.endswith(_DENIED_SUFFIXES)
        or host.startswith("kubernetes")
    )


def is_loopback(host: str) -> bool:
    """Return whether a host (without its port) is this machine's loopback."""
    host = _normalize_host(host)
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


@lru_cache(maxsize=4096)
def parse_address(host: str) -> Address | None:
    """Return the address that `host` is in canonical spelling, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == net.version and address in net for net in networks)


def egress_refused_error(code: str) -> EgressRefusedError:
    """Return a refusal whose text says only what to do, never why (registry-26.10)."""
    return EgressRefusedError(UNREACHABLE_TEXT, code=code)


def check_url(url: str) -> SplitResult:
    """Parse an absolute http(s) URL that a registry may have chosen.

    Raises EgressRefusedError `policy.url` for user names, escapes in the host, backslashes and
    addresses that are not canonical (registry-26.9).
    """
    if _URL.fullmatch(url) is None:
        raise egress_refused_error("policy.url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise egress_refused_error("policy.url") from error
    host = parts.hostname or ""
    if not host or port == 0 or (_is_numeric(host) and parse_address(host) is None):
        raise egress_refused_error("policy.url")
    return parts


def _is_numeric(host: str) -> bool:
    """Return whether a resolver may read the name as an address, as it does `127.1` or `0x7f.1`."""
    last = host.removesuffix(".").rsplit(".", 1)[-1]
    return last.isdigit() or last.startswith("0x")


def origin_of(parts: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port, defaults filled in: the origin (registry-1.8)."""
    default = _TLS_PORT if parts.scheme == "https" else _PLAIN_PORT
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default
