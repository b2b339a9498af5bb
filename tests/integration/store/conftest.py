"""An engine on a fresh database of each kind: its schema ready, and the namespace `ns`."""

import pytest

from models.store.access.namespace_store import ensure_namespace
from models.store.database.session import open_engine, transaction, upgrade
from tests.integration.store.things import NOW


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    upgrade(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)
    yield engine
    engine.dispose()
