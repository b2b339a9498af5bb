"""Fixtures for all tests: fake registries, real servers, both databases."""

import pytest
from hypothesis import settings

from models.store.database.session import open_engine, upgrade_database
from tests.fakeregistry.certificates import Authority
from tests.fakeregistry.leak_detector import LeakDetector
from tests.fakeregistry.server import FakeRegistry
from tests.fakeregistry.token_server import TokenServer
from tests.servers import DockerRegistry, Postgres, Redis

settings.register_profile("ci", deadline=None)
settings.load_profile("ci")


@pytest.fixture
def fake():
    """A fake registry over plain HTTP, empty and without authentication."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(scope="session")
def authority():
    """The temporary certificate authority behind `tls_fake`."""
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
    """Open further fake registries; the arguments are those of FakeRegistry."""
    opened = []

    def open_one(**options):
        opened.append(FakeRegistry(**options).start())
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
    """A real registry without authentication, with schema1 and deletes.

    All tests share it: use unique repository names.
    """
    return docker_registry


@pytest.fixture(scope="session")
def registry_basic():
    """A real registry with Basic authentication: user `team`, password `s3:crèt`."""
    with DockerRegistry(users={"team": "s3:crèt"}) as server:
        yield server


@pytest.fixture(scope="session")
def docker_registry_with_tokens():
    """One docker-registry with token authentication, and its token service."""
    with TokenServer() as tokens, DockerRegistry(tokens=tokens) as server:
        yield server


@pytest.fixture
def registry_token(docker_registry_with_tokens):
    """A real registry with token authentication; `tokens.allow` grants access, at first none."""
    docker_registry_with_tokens.tokens.reset()
    return docker_registry_with_tokens


@pytest.fixture(scope="session")
def redis_server():
    """One Redis for all tests of this process."""
    with Redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """The URL of an empty Redis."""
    redis_server.clear()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server():
    """One PostgreSQL for all tests of this process."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a PostgreSQL database without tables, for one test."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """The name of a PostgreSQL database with all tables, to be used as a template."""
    name = postgres_server.create_database()
    engine = open_engine(postgres_server.url(name))
    upgrade_database(engine)
    engine.dispose()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def ready_database_url(request, tmp_path):
    """The URL of a SQLite and of a PostgreSQL database; on PostgreSQL the tables exist already.

    Copying a template is faster than running the migrations.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tagstream.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(template=request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The URL of a SQLite and of a PostgreSQL database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tagstream.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def no_secret_leaks(caplog, capsys):
    """A LeakDetector whose `secret` must not appear in logs or output when the test ends."""
    caplog.set_level("DEBUG")
    detector = LeakDetector()
    yield detector
    output = capsys.readouterr()
    detector.check(caplog.text, *(record.__dict__ for record in caplog.records))
    detector.check(output.out, output.err)
