"""Import rules of a running process, reloaded when Registry objects change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from models.config.import_config import build_import_rules
from models.config.settings import Settings
from models.errors import TagstreamError
from models.store.database.session import transaction
from models.store.registries.registry_store import load_policies, load_policies_version
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_policies import NO_POLICIES, RegistryPolicies

log = structlog.get_logger()


class LivePolicies:
    """The current rules of one process; one instance for each process.

    `refresh` costs one small query, and more only if a Registry object has changed. A caller that
    finds another thread refreshing, or the database unavailable, keeps the rules it has.
    """

    def __init__(
        self, settings: Settings, engine: Engine, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rules: ImportRules = build_import_rules(settings)
        self.policies: RegistryPolicies = NO_POLICIES
        self.settings = settings
        self.engine = engine
        self._clock = clock
        self._checked_at: float | None = None
        self._refresh_lock = threading.Lock()

    def refresh(self, max_age_seconds: float = 0.0) -> bool:
        """Reload the policies unless that was done less than `max_age_seconds` ago.

        Returns whether they have changed. With a maximum age of 0 the call waits for a refresh in
        another thread.
        """
        if self._checked_at is not None and self._clock() - self._checked_at < max_age_seconds:
            return False
        if not self._refresh_lock.acquire(blocking=max_age_seconds == 0.0):
            return False
        try:
            return self._reload()
        except TagstreamError as error:
            log.warning("registry_policies.reload_failed", error=str(error))
            return False
        finally:
            self._checked_at = self._clock()
            self._refresh_lock.release()

    def _reload(self) -> bool:
        with transaction(self.engine, write=False) as session:
            if load_policies_version(session) == self.policies.version:
                return False
            policies = load_policies(session)
        self.rules = build_import_rules(self.settings, policies)
        self.policies = policies
        return True
