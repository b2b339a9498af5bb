"""One server for many tests, and for each test its own namespaces."""

import pytest

from tests.api_test_server import ApiTestServer
from tests.integration.api.tenant import Tenant, numbers, tracking_tag


@pytest.fixture(scope="session")
def api_server(tmp_path_factory):
    """A server on SQLite without a worker: streams stay as they were written."""
    with ApiTestServer(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.fixture(scope="session")
def worker_server(tmp_path_factory):
    """A server with an embedded worker; at most five tags of a repository are imported."""
    data_dir = tmp_path_factory.mktemp("busy")
    with ApiTestServer(data_dir, worker=True, max_tags_per_repository=5) as found:
        yield found


@pytest.fixture
def tenant(api_server):
    return Tenant(api_server)


@pytest.fixture
def worker_tenant(worker_server):
    """A tenant whose imports are run."""
    return Tenant(worker_server)


@pytest.fixture
def digest():
    """Return a function that makes digests that no other test uses."""

    def make(letter="a"):
        return "sha256:" + f"{next(numbers):08x}" + letter * 56

    return make


@pytest.fixture
def pushed(tenant, digest):
    """Create a stream `web` whose spec tag `v1` points to an image; return its digest."""
    name = digest()
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"of": "stream"}},
        "spec": {"tags": [tracking_tag("v1", "later")]},
    }
    assert tenant.post("imagestreams", body).status_code == 201
    assert tenant.push("web", "v1", name).status_code == 201
    return name
