"""Whose rights, and whose turn, a request to a registry has."""

from __future__ import annotations

from dataclasses import dataclass

from worker.registry.credentials import Keyring

NOBODY = Keyring()


@dataclass(frozen=True, slots=True)
class Access:
    """`tenant` and `lane` decide whose turn it is; `keyring` what may be shown to registries."""

    keyring: Keyring = NOBODY
    tenant: str = ""
    lane: str = "interactive"
