"""Registry: the policy of one registry, and its status (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire

DISCOVERED_LABEL = "sync.tagstream.io/discovered"
# Values of mirrorSourcePolicy, as in OpenShift's ImageTagMirrorSet.
ALLOW_CONTACTING_SOURCE, NEVER_CONTACT_SOURCE = "AllowContactingSource", "NeverContactSource"
MIRROR_SOURCE_POLICIES = (ALLOW_CONTACTING_SOURCE, NEVER_CONTACT_SOURCE)


class RegistryMirror(Wire):
    """A location that has the registry's content as well: `host[:port][/path]`.

    `kind` is the kind of reference that it serves: `digest`, `tag`, or (empty) both.
    """

    location: Annotated[str, ALWAYS] = ""
    kind: str = ""


class RegistrySpec(Wire):
    """The policy. The server's settings apply to fields that are omitted.

    `host` is `host[:port]`, `host/path` or `*.domain`. `mirror_source_policy` is
    AllowContactingSource (also if omitted) or NeverContactSource. `rate` is scheduled checks a
    second, 0 for no limit; `concurrency` is requests in flight; `interval` is how often tags are
    checked that request no interval themselves.
    """

    host: str = ""
    blocked: bool | None = None
    insecure: bool | None = None
    mirrors: list[RegistryMirror] = Field(default_factory=list)
    mirror_source_policy: str = ""
    rate: float | None = None
    concurrency: int | None = None
    suspended: bool | None = None
    interval: str = ""

    @property
    def never_contact_source(self) -> bool:
        """Return whether only the mirrors may be contacted."""
        return self.mirror_source_policy == NEVER_CONTACT_SOURCE

    def wire(self) -> dict[str, Any]:
        """Return the JSON object; `false` and `0` that were set are kept: they are no defaults."""
        return super().wire() | _explicit_values(self, "blocked", "insecure", "rate", "suspended")


class RegistryCircuitBreaker(Wire):
    """The circuit breaker: `state` is Closed, Open or HalfOpen. It is open until a time."""

    state: Annotated[str, ALWAYS] = ""
    open_until_time: Time | None = None


class RegistryQuota(Wire):
    """A quota that the registry reported; `credential` is `anonymous` or an opaque short id."""

    credential: Annotated[str, ALWAYS] = ""
    limit: Annotated[int, ALWAYS] = 0
    remaining: Annotated[int, ALWAYS] = 0
    reset_time: Time | None = None


class RegistryStatus(Wire):
    """The status that workers report: `health` is Healthy, RateLimited, Unreachable or Unknown.

    `rate` and `concurrency` are the limits that apply now. `cooldown_end_time` is when the last of
    the registry's rate limits (429) ends, `last_report_time` when a worker last reported.
    """

    health: Annotated[str, ALWAYS] = "Unknown"
    requests_in_flight: Annotated[int, ALWAYS] = 0
    requests_queued: int = 0
    concurrency: int = 0
    rate: float | None = None
    circuit_breaker: RegistryCircuitBreaker | None = None
    quotas: list[RegistryQuota] = Field(default_factory=list)
    cooldown_end_time: Time | None = None
    tags_scheduled: Annotated[int, ALWAYS] = 0
    tags_overdue: Annotated[int, ALWAYS] = 0
    last_error: str = ""
    last_report_time: Time | None = None
    conditions: list[dict[str, Any]] = Field(default_factory=list)

    def wire(self) -> dict[str, Any]:
        """Return the JSON object; a rate of 0 (no limit) is kept."""
        return super().wire() | _explicit_values(self, "rate")


class Registry(Wire):
    """A registry, or a part of one: its policy and its status."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[RegistrySpec, ALWAYS] = RegistrySpec()
    status: Annotated[RegistryStatus, ALWAYS] = RegistryStatus()


def _explicit_values(part: Wire, *names: str) -> dict[str, Any]:
    """Return the fields that are not None; whole numbers without a fraction."""
    values = {name: getattr(part, name) for name in names}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
        if value is not None
    }
