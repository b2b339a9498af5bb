"""A fixture: an engine on a new database of each kind, with the schema and the namespace `ns`."""

import pytest

from models.store.access.namespace_store import ensure_namespace
from models.store.database.session import open_engine, transaction, upgrade_database
from tests.integration.store.sample_objects import NOW


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    upgrade_database(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)
    yield engine
    engine.dispose()
