"""What an API process holds as long as it lives, handed down to every request."""

from __future__ import annotations

from dataclasses import dataclass

from celery import Celery
from sqlalchemy import Engine

from api.auth import Gatekeeper
from api.follower import Feed
from api.hub import Hub
from api.threads import Threads
from api.watch_guard import WatchGuard
from models.settings import Settings
from models.store.cipher import Cipher
from models.streams.rules import ImportRules


@dataclass(slots=True)
class House:
    """One per process. `counter` is where jobs are put, `threads` where the database waits.

    `feed` is the log of changes, as clients see its objects.
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
    feed: Feed
