"""An engine on a fresh database of each kind, its schema ready."""

import pytest

from models.store.session import open_engine, upgrade


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()
