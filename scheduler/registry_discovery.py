"""Registries that the calendar follows get an object each, for the operator to find and change."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Engine

from models.store.database.session import transaction
from models.store.registries.registry_store import discover_registries, unknown_hosts

log = structlog.get_logger()

MOST_AT_ONCE = 100


def find_registries(engine: Engine, *, now: datetime) -> int:
    """How many were new. Who only looks, and finds none, keeps no writer waiting."""
    with transaction(engine, write=False) as session:
        if not unknown_hosts(session, limit=1):
            return 0
    with transaction(engine) as session:
        found = discover_registries(session, now=now, limit=MOST_AT_ONCE)
    log.info("registries.found", count=found)
    return found
