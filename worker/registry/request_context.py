"""The context of a request to a registry: credentials, tenant, priority and retries."""

from __future__ import annotations

from dataclasses import dataclass

from worker.registry.auth.credentials import Keyring

EMPTY_KEYRING = Keyring()


@dataclass(frozen=True, slots=True)
class RequestContext:
    """For whom a request is made, and how.

    `tenant` (the namespace) and `priority` decide the order in which requests are admitted;
    `keyring` holds the credentials that may be sent. `retries` says whether transient failures are
    retried within the request; None leaves it to the priority: `scheduled` checks are not retried,
    because the schedule repeats them with its own backoff (registry-15.2).
    """

    keyring: Keyring = EMPTY_KEYRING
    tenant: str = ""
    priority: str = "interactive"
    retries: bool | None = None

    @property
    def retries_enabled(self) -> bool:
        """Whether transient failures are retried within the request."""
        return self.priority != "scheduled" if self.retries is None else self.retries
