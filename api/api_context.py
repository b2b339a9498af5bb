"""The application context of an API process: settings, engine, caches, threads."""

from __future__ import annotations

from dataclasses import dataclass

from celery import Celery
from sqlalchemy import Engine

from api.auth.token_authenticator import TokenAuthenticator
from api.serving.executor import ThreadExecutor
from api.watch.change_reader import ChangeReader
from api.watch.reauthorization import WatchReauthorizer
from api.watch.watch_cache import WatchCache
from models.config.live_policies import LivePolicies
from models.config.settings import Settings
from models.store.database.cipher import Cipher
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_policies import RegistryPolicies

RULES_MAX_AGE_SECONDS = 1.0  # the maximum age of the rules that a request applies


@dataclass(slots=True)
class ApiContext:
    """The application context; one per process.

    `job_queue` is the Celery application that jobs are published to. `executor` runs everything
    that waits for the database. `change_reader` reads the change log as the objects that clients
    see. `writes_audit_log` is whether each mutation writes an audit entry.
    """

    settings: Settings
    engine: Engine
    live_policies: LivePolicies
    cipher: Cipher
    job_queue: Celery
    executor: ThreadExecutor
    authenticator: TokenAuthenticator
    watch_cache: WatchCache
    watch_reauthorizer: WatchReauthorizer
    change_reader: ChangeReader
    writes_audit_log: bool = True

    @property
    def rules(self) -> ImportRules:
        """Return the import rules of settings and Registry objects.

        They are read from the database at most once a second.
        """
        self.live_policies.refresh(RULES_MAX_AGE_SECONDS)
        return self.live_policies.rules

    @property
    def policies(self) -> RegistryPolicies:
        """Return the policies of the Registry objects, of the same age as `rules`."""
        self.live_policies.refresh(RULES_MAX_AGE_SECONDS)
        return self.live_policies.policies
