"""The permit of one request at a registry host, as an async context manager."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from worker.registry.limits.fair_queue import PRIORITY_LEVELS
from worker.registry.request_context import RequestContext


class PermitIssuer(Protocol):
    """The host limiter, as a permit sees it."""

    async def acquire(self, permit: HostPermit) -> None:
        """Wait until the request may be sent. Raises RegistryError where it may not."""

    def release(self, permit: HostPermit, error: BaseException | None) -> None:
        """Return the permit after the request; `error` is what ended it."""


@dataclass(slots=True, eq=False)
class HostPermit:
    """The permit to send one request; it is acquired on entry and released on exit.

    `scope` is the credential scope whose limits apply, None for none. `send_time` is the time for
    which the request is counted in its quota; `is_uncounted` says that its kind is not counted,
    `is_completed` that its end has been recorded in the quota.
    """

    issuer: PermitIssuer
    request_context: RequestContext
    scope: str | None
    kind: str
    priority: int = field(init=False)
    started_at: float = 0.0
    is_probe: bool = False
    send_time: float | None = None
    is_uncounted: bool = False
    is_completed: bool = False

    def __post_init__(self) -> None:
        self.priority = PRIORITY_LEVELS.get(self.request_context.priority, PRIORITY_LEVELS["bulk"])

    async def __aenter__(self) -> Self:
        await self.issuer.acquire(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.issuer.release(self, error)
