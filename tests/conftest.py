"""What every test may ask for: registries that misbehave, real servers, both databases."""

import pytest
from hypothesis import settings

from models.store.database.session import open_engine, upgrade
from tests.fakeregistry.canary import Canary
from tests.fakeregistry.certificates import Authority
from tests.fakeregistry.server import FakeRegistry
from tests.fakeregistry.tokenserver import TokenServer
from tests.servers import DockerRegistry, Postgres, Redis

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


@pytest.fixture(scope="session")
def docker_registry():
    """One docker-registry for all tests of this process."""
    with DockerRegistry() as server:
        yield server


@pytest.fixture
def registry(docker_registry):
    """A real registry, open, with schema1 and deletes. Take repository names of your own."""
    return docker_registry


@pytest.fixture(scope="session")
def registry_basic():
    """A real registry that wants Basic: `users` has its one user, `s3:crèt` is the password."""
    with DockerRegistry(users={"team": "s3:crèt"}) as server:
        yield server


@pytest.fixture(scope="session")
def docker_registry_with_tokens():
    """One docker-registry with token authentication, and its token service."""
    with TokenServer() as tokens, DockerRegistry(tokens=tokens) as server:
        yield server


@pytest.fixture
def registry_token(docker_registry_with_tokens):
    """A real registry that wants tokens; `tokens` issues them, to nobody yet (`tokens.allow`)."""
    docker_registry_with_tokens.tokens.reset()
    return docker_registry_with_tokens


@pytest.fixture(scope="session")
def redis_server():
    """One Redis for all tests of this process."""
    with Redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """A Redis that holds nothing."""
    redis_server.clear()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server():
    """One PostgreSQL for all tests of this process."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server):
    """A PostgreSQL database without tables, for one test."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """The name of a database that has its tables already, to be copied."""
    name = postgres_server.create_database()
    engine = open_engine(postgres_server.url(name))
    upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def ready_database_url(request, tmp_path):
    """A database of each kind in turn; on PostgreSQL the tables are there, to save the time."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tagstream.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(template=request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A database without tables, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tagstream.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def no_secret_leaks(caplog, capsys):
    """A Canary: put its `secret` where secrets go; it must not turn up in logs or output."""
    caplog.set_level("DEBUG")
    canary = Canary()
    yield canary
    output = capsys.readouterr()
    canary.check(caplog.text, *(record.__dict__ for record in caplog.records))
    canary.check(output.out, output.err)
