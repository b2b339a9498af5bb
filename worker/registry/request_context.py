"""Whose rights, and whose turn, a request to a registry has."""

from __future__ import annotations

from dataclasses import dataclass

from worker.registry.auth.credentials import Keyring

NOBODY = Keyring()


@dataclass(frozen=True, slots=True)
class Access:
    """`tenant` and `lane` decide whose turn it is; `keyring` what may be shown to registries.

    `retries` says whether what fails for a moment is tried again within the request; None leaves it
    to the lane: what the calendar asks for (`scheduled`) has the calendar's own backoff.
    """

    keyring: Keyring = NOBODY
    tenant: str = ""
    lane: str = "interactive"
    retries: bool | None = None

    @property
    def tries_again(self) -> bool:
        """Whether there are retries."""
        return self.lane != "scheduled" if self.retries is None else self.retries
