"""What a check of a tag comes to."""

from __future__ import annotations

from dataclasses import dataclass

from worker.registry.words import Fetched


@dataclass(frozen=True, slots=True)
class Checked:
    """What a registry says a tag is now. `digest` None: only an import can tell.

    `scope` is the right that was used, `etag` what to send the next time, `fetched` the manifest
    where it had to be fetched; `unchanged` whether it is what was known.
    """

    digest: str | None
    scope: str = ""
    etag: str = ""
    fetched: Fetched | None = None
    unchanged: bool = False
