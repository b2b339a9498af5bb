"""Registry clients for tests, closed at the end."""

import pytest

from tests.integration.registry.rights import OWN_MACHINE
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient


@pytest.fixture
async def open_client():
    """Opens clients that do not wait between their retries; takes what they are made of."""
    opened = []

    def open_one(policy=OWN_MACHINE, *, world=None, **config):
        settings = ClientConfig(policy=policy, **{"retry_pause": (0.0, 0.0), **config})
        opened.append(RegistryClient(settings, **(world or {})))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.close()


@pytest.fixture
def client(open_client):
    """A client on one person's own machine."""
    return open_client()
