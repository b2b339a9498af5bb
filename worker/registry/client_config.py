"""Configuration of the registry client, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.config.settings import Settings
from worker.registry.transport.egress_policy import Allowance, EgressPolicy


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """All options of the registry client.

    `ca_file` is a PEM file that is added to the system's roots (registry-20.6). `concurrency` and
    `concurrency_start` count requests in flight at one registry; `registry_rate` counts scheduled
    checks a second at one registry, 0 for no limit. With `redis_url` all processes share the limits
    of a registry; empty keeps them in this process. `retry_pause` are the longest waits in seconds
    before each retry, and the fields that end in `_seconds` are deadlines (registry-2.1).
    """

    policy: EgressPolicy
    user_agent: str = ""
    ca_file: Path | None = None
    credentials_over_http: bool = False
    trusted_realm_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    concurrency_start: int = 8
    concurrency: int = 16
    registry_rate: float = 50.0
    redis_url: str = ""
    retry_pause: tuple[float, float] = (0.5, 2.0)
    dns_seconds: float = 3.0
    head_seconds: float = 15.0
    manifest_seconds: float = 30.0
    page_seconds: float = 60.0
    token_seconds: float = 15.0


def build_client_config(settings: Settings) -> ClientConfig:
    """Return the registry client's configuration from the process settings."""
    return ClientConfig(
        policy=EgressPolicy(
            embedded=settings.embedded,
            ports=frozenset(settings.egress_ports),
            allowances=tuple(
                Allowance.parse(entry.host, entry.port, entry.namespace)
                for entry in settings.egress_allow
            ),
        ),
        user_agent=user_agent(),
        ca_file=settings.additional_trusted_ca,
        credentials_over_http=settings.credentials_over_http,
        trusted_realm_hosts={
            registry: tuple(hosts) for registry, hosts in settings.trusted_realm_hosts.items()
        },
        concurrency_start=settings.registry_concurrency_start,
        concurrency=settings.registry_concurrency,
        registry_rate=settings.registry_rate,
        redis_url=settings.broker_url.get_secret_value() if settings.broker_url else "",
    )


def user_agent() -> str:
    """Return the `User-Agent` header, `tagstream/<version>` (registry-2.3)."""
    try:
        return f"tagstream/{version('tagstream')}"
    except PackageNotFoundError:
        return "tagstream"
