"""Registry clients for tests, closed at the end."""

import pytest

from tests.integration.registry.client_helpers import EMBEDDED_POLICY
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient


@pytest.fixture
async def open_client():
    """Open clients that do not wait between their retries; the arguments are their settings."""
    opened = []

    def open_one(policy=EMBEDDED_POLICY, *, dependencies=None, **config):
        settings = ClientConfig(policy=policy, **{"retry_pause": (0.0, 0.0), **config})
        opened.append(RegistryClient(settings, **(dependencies or {})))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.close()


@pytest.fixture
def client(open_client):
    """A client with the policy of an embedded server."""
    return open_client()
