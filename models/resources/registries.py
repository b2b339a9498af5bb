"""Registry: the operator's word on one registry, and how it is (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire

DISCOVERED = "sync.tagstream.io/discovered"


class RegistryMirror(Wire):
    """Where the registry's content may be had as well: `host[:port][/path]`.

    `kind` says what it serves: `digest`, `tag`, or (empty) both.
    """

    location: Annotated[str, ALWAYS] = ""
    kind: str = ""


class RegistrySpec(Wire):
    """The policy. What is left out stays as the server's settings have it.

    `host` is `host[:port]`, `host/path` or `*.domain`. `rate` is scheduled checks a second, 0 for
    no limit; `concurrency` is requests in flight; `interval` is how often tags from there are
    looked at that ask for nothing themselves.
    """

    host: str = ""
    blocked: bool | None = None
    insecure: bool | None = None
    mirrors: list[RegistryMirror] = Field(default_factory=list)
    never_contact_source: bool = False
    rate: float | None = None
    concurrency: int | None = None
    suspended: bool | None = None
    interval: str = ""

    def wire(self) -> dict[str, Any]:
        """As usual, but what was said stays visible: `false` and `0` are not silence here."""
        return super().wire() | _said(self, "blocked", "insecure", "rate", "suspended")


class RegistryBreaker(Wire):
    """Whether requests are kept away: `state` is `closed`, `open` or `half-open`."""

    state: Annotated[str, ALWAYS] = ""
    until: Time | None = None


class RegistryQuota(Wire):
    """What the registry said of its quota. `credential` is `anonymous` or an opaque short id."""

    credential: Annotated[str, ALWAYS] = ""
    limit: Annotated[int, ALWAYS] = 0
    remaining: Annotated[int, ALWAYS] = 0
    resets: Time | None = None


class RegistryStatus(Wire):
    """How the registry is, as its workers tell: `health` is Healthy, Limited, Down or Unknown.

    `rate` and `limit` are what counts at the moment. `limited_until` is when the last of the
    registry's refusals (429) is over, `last_seen` when a worker last told of it.
    """

    health: Annotated[str, ALWAYS] = "Unknown"
    in_flight: Annotated[int, ALWAYS] = 0
    waiting: int = 0
    limit: int = 0
    rate: float | None = None
    breaker: RegistryBreaker | None = None
    quotas: list[RegistryQuota] = Field(default_factory=list)
    limited_until: Time | None = None
    tags_followed: Annotated[int, ALWAYS] = 0
    tags_pending: Annotated[int, ALWAYS] = 0
    last_error: str = ""
    last_seen: Time | None = None
    conditions: list[dict[str, Any]] = Field(default_factory=list)

    def wire(self) -> dict[str, Any]:
        """As usual, but a rate of 0 (no limit) stays visible."""
        return super().wire() | _said(self, "rate")


class Registry(Wire):
    """A registry, or a part of one: policy and state."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[RegistrySpec, ALWAYS] = RegistrySpec()
    status: Annotated[RegistryStatus, ALWAYS] = RegistryStatus()


def _said(part: Wire, *names: str) -> dict[str, Any]:
    """Those of the fields that are not None; whole numbers without a fraction."""
    values = {name: getattr(part, name) for name in names}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
        if value is not None
    }
