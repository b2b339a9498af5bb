"""What every test may ask for: registries that misbehave, real servers, both databases."""

import pytest
from hypothesis import settings

from tests.fakeregistry.certificates import Authority
from tests.fakeregistry.server import FakeRegistry

settings.register_profile("ci", deadline=None)
settings.load_profile("ci")


@pytest.fixture
def fake():
    """A fake registry over plain http, empty and open."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(scope="session")
def authority():
    """The throwaway certificate authority behind `tls_fake`."""
    return Authority()


@pytest.fixture(scope="session")
def authority_file(authority, tmp_path_factory):
    """The authority's certificate as a PEM file for clients."""
    return authority.write(tmp_path_factory.mktemp("authority") / "ca.crt")


@pytest.fixture
def tls_fake(authority):
    """A fake registry over TLS, for 127.0.0.1, localhost and names below `.test`."""
    with FakeRegistry(tls=authority.issue()) as registry:
        yield registry


@pytest.fixture
def open_fake():
    """Opens as many more fake registries as a test needs; takes what FakeRegistry takes."""
    opened = []

    def open_one(**how):
        opened.append(FakeRegistry(**how).start())
        return opened[-1]

    yield open_one
    for registry in opened:
        registry.close()
