"""What an API process holds as long as it lives, handed down to every request."""

from __future__ import annotations

from dataclasses import dataclass

from celery import Celery
from sqlalchemy import Engine

from api.auth.token_authenticator import Gatekeeper
from api.serving.executor import Threads
from api.watch.change_reader import Feed
from api.watch.reauthorization import WatchGuard
from api.watch.watch_cache import Hub
from models.config.live_policies import LiveRules
from models.config.settings import Settings
from models.store.database.cipher import Cipher
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_policies import Policies

RULES_SECONDS = 1.0  # how old the rules may be that requests go by


@dataclass(slots=True)
class House:
    """One per process. `counter` is where jobs are put, `threads` where the database waits.

    `feed` is the log of changes, as clients see its objects. `audited`: whether a line is written
    for every mutation.
    """

    settings: Settings
    engine: Engine
    live: LiveRules
    cipher: Cipher
    counter: Celery
    threads: Threads
    gatekeeper: Gatekeeper
    hub: Hub
    guard: WatchGuard
    feed: Feed
    audited: bool = True

    @property
    def rules(self) -> ImportRules:
        """What settings and Registry objects say; a look at the database, at most once a second."""
        self.live.look(RULES_SECONDS)
        return self.live.rules

    @property
    def policies(self) -> Policies:
        """What Registry objects say, as new as `rules`."""
        self.live.look(RULES_SECONDS)
        return self.live.policies
