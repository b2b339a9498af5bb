"""What an API process holds as long as it lives, handed down to every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery
from sqlalchemy import Engine

from api.auth import Gatekeeper
from api.hub import Hub
from api.threads import Threads
from api.watch_guard import WatchGuard
from models.settings import Settings
from models.store.changes import FeedEvent
from models.store.cipher import Cipher
from models.streams.rules import ImportRules


@dataclass(slots=True)
class House:
    """One per process. `counter` is where jobs are put, `threads` where the database waits.

    `open_object` makes what is shown of what the log of changes holds.
    """

    settings: Settings
    engine: Engine
    rules: ImportRules
    cipher: Cipher
    counter: Celery
    threads: Threads
    gatekeeper: Gatekeeper
    hub: Hub
    guard: WatchGuard
    open_object: Callable[[FeedEvent], dict[str, Any]]
