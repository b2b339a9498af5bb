"""The rules of a process that runs, as Registry objects change them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from models.config.import_config import build_rules
from models.config.settings import Settings
from models.errors import TagstreamError
from models.store.database.session import transaction
from models.store.registries.registry_store import load_policies, policies_version
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_policies import NO_POLICIES, Policies

log = structlog.get_logger()


class LiveRules:
    """One per process. `look` costs one small query, and more only where something has changed.

    Whoever finds another one looking, or the database away, goes on with what was known.
    """

    def __init__(
        self, settings: Settings, engine: Engine, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rules: ImportRules = build_rules(settings)
        self.policies: Policies = NO_POLICIES
        self.settings = settings
        self.engine = engine
        self._clock = clock
        self._looked: float | None = None
        self._looking = threading.Lock()

    def look(self, older_than: float = 0.0) -> bool:
        """Look whether policies have changed, unless that was done so many seconds ago or less.

        Whether they have.
        """
        if self._looked is not None and self._clock() - self._looked < older_than:
            return False
        if not self._looking.acquire(blocking=older_than == 0.0):
            return False
        try:
            return self._refresh()
        except TagstreamError as error:
            log.warning("policies.unreadable", error=str(error))
            return False
        finally:
            self._looked = self._clock()
            self._looking.release()

    def _refresh(self) -> bool:
        with transaction(self.engine, write=False) as session:
            if policies_version(session) == self.policies.version:
                return False
            policies = load_policies(session)
        self.rules = build_rules(self.settings, policies)
        self.policies = policies
        return True
