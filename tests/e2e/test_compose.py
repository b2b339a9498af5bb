"""docker-compose.yml does what it says. Where there is no Docker, the commands of its services run
on this machine: hosts, ports and places of files are rewritten, nothing else.
"""

import os
import re
import socket
import subprocess
import tomllib
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml
from cryptography.fernet import Fernet

from tests.e2e.conftest import BIN, HOME, Role, fill, until
from tests.scrapes import scrape, told
from tests.servers import Postgres, Redis, find_binary

COMPOSE = yaml.safe_load((HOME / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (HOME / "Dockerfile").read_text()
OURS = {"migrate", "api", "worker", "scheduler"}
PASSWORD = "s3:cr/t @ home"


def test_the_house_is_whole():
    assert set(SERVICES) == {"postgres", "redis", "flower"} | OURS


def test_only_flower_needs_a_profile():
    assert {name for name, it in SERVICES.items() if "profiles" in it} == {"flower"}
    assert SERVICES["flower"]["profiles"] == ["flower"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_stops_comes_back(name):
    expected = "on-failure" if name == "migrate" else "unless-stopped"
    assert SERVICES[name]["restart"] == expected


@pytest.mark.parametrize("name", set(SERVICES) - {"migrate"})
def test_a_service_that_stays_tells_its_health(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert other == "migrate"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("postgres", "/var/lib/postgresql/data"),
        ("redis", "/data"),
        ("api", "/var/lib/tagstream"),
    ],
)
def test_data_outlives_its_container(name, place):
    [volume] = SERVICES[name]["volumes"]
    kept, where = volume.split(":")
    assert where == place
    assert kept in COMPOSE["volumes"]


def test_secrets_are_files_and_nowhere_else():
    assert all(list(it) == ["file"] for it in COMPOSE["secrets"].values())
    for service in SERVICES.values():
        granted = set(service.get("secrets", []))
        assert granted <= set(COMPOSE["secrets"])
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in granted
            assert not re.search(r"://[^/@]*:[^/@]*@", value), "a password in a URL"
    assert "/secrets/" in (HOME / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_there_can_be_several_of_those(name):
    assert not {"container_name", "ports", "hostname"} & set(SERVICES[name])


def test_no_port_is_open_to_the_world():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_holds_every_room_and_does_not_run_as_root():
    project = tomllib.loads((HOME / "pyproject.toml").read_text())
    rooms = {
        room.rstrip("*") for room in project["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == rooms
    admitted = (HOME / ".dockerignore").read_text().split()
    named = re.search(r"^COPY (.+) \./$", DOCKERFILE, re.MULTILINE)[1].split()
    assert {f"!{name}" for name in (*rooms, *named)} <= set(admitted)
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1] != "root"
    assert "--require-hashes" in DOCKERFILE


class Composed:
    """The file's services on this machine."""

    def __init__(self, directory, postgres, redis, registry):
        self.directory = directory
        self.roles = {}
        self._postgres = postgres
        self._redis = redis
        self._port = free_port()
        self._replaced = {
            "0.0.0.0:8443": f"127.0.0.1:{self._port}",
            "127.0.0.1:8443": f"127.0.0.1:{self._port}",
            "0.0.0.0:9464": "127.0.0.1:0",
            "/var/lib/tagstream": f"{directory}/api",
            "postgres:5432": postgres.host,
            "redis:6379": redis.host,
            "/run/secrets/": f"{directory}/secrets/",
            "find /tmp ": f"find {directory} ",
            "/tmp/": f"{directory}/",
            "$$": "$",
        }
        self._more = {
            "PATH": f"{BIN}:{os.environ['PATH']}:{_postgres_home()}",
            "HOME": str(directory),
            "HOSTNAME": socket.gethostname(),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "TAGSTREAM_EGRESS_ALLOW": f'[{{"host": "127.0.0.1", "port": {registry.port}}}]',
            "TAGSTREAM_INSECURE_REGISTRIES": f'["{registry.host}"]',
            "TAGSTREAM_CHECK_INTERVAL": "PT1S",
        }

    def here(self, text):
        there = "|".join(map(re.escape, self._replaced))
        return re.sub(there, lambda found: self._replaced[found[0]], text)

    def variables(self, name):
        written = SERVICES[name].get("environment", {})
        return {**{key: self.here(value) for key, value in written.items()}, **self._more}

    def command(self, name, *other):
        """What the container would run; `other` instead of the command, as `compose run` has it."""
        entry = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)
        parts = SERVICES[name].get("entrypoint", entry) + list(other or SERVICES[name]["command"])
        found = [self.here(part) for part in parts]
        return [str(BIN / found[0]), *found[1:]]

    def start(self, name):
        output = self.directory / f"{name}.log"
        self.roles[name] = Role(self.command(name), output, self.variables(name))
        return self.roles[name]

    def run(self, name, *other):
        return subprocess.run(
            self.command(name, *other),
            cwd=self.directory,
            env=self.variables(name),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def is_healthy(self, name):
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        words = [self.here(word) for word in words]
        if kind == "CMD-SHELL":
            words = ["sh", "-c", words[0]]
        if name in self.roles:  # in its container it is the first process
            words[-1] = words[-1].replace("-1@", f"-{self.roles[name].pid}@")
        if words[0] == "redis-cli":
            words[1:1] = ["-p", str(self._redis.port)]
        done = subprocess.run(
            words, cwd=HOME, env=self.variables(name), capture_output=True, timeout=60
        )
        return done.returncode == 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def _postgres_home():
    return Path(find_binary("pg_isready", beside=["/usr/lib/postgresql/*/bin"])).parent


class ComposedRedis(Redis):
    """The file's own command, where `redis` would run it."""

    def command(self):
        name, *words = SERVICES["redis"]["command"]
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [find_binary(name), *words, *where]


@contextmanager
def _guarded_postgres():
    """What the postgres image makes of its environment: one user, one database, one password."""
    with Postgres() as server:
        made = SERVICES["postgres"]["environment"]
        user, database = made["POSTGRES_USER"], made["POSTGRES_DB"]
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE DATABASE {database} OWNER {user}")
            (server.directory / "data" / "pg_hba.conf").write_text(
                f"host all {user} 127.0.0.1/32 scram-sha-256\n"
                "host all postgres 127.0.0.1/32 trust\n"
            )
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def composed(tmp_path, fake):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "postgres_password").write_text(f"{PASSWORD}\n")
    (secrets / "tagstream_key").write_text(f"{Fernet.generate_key().decode()}\n")
    with _guarded_postgres() as postgres, ComposedRedis() as redis:
        house = Composed(tmp_path, postgres, redis, fake)
        yield house
        for role in house.roles.values():
            role.kill()


def test_the_services_come_up_in_turn_import_and_keep_looking(composed, fake):
    fill(fake, 5)
    for server in ("postgres", "redis"):
        assert composed.is_healthy(server)
    for _ in range(2):  # it comes back at every `up`
        migrated = composed.run("migrate")
        assert migrated.returncode == 0, migrated.stderr

    assert not composed.is_healthy("scheduler")
    assert not composed.is_healthy("api")
    api = composed.start("api")
    worker = composed.start("worker")
    scheduler = composed.start("scheduler")
    for name in ("api", "worker", "scheduler"):
        until(lambda name=name: composed.is_healthy(name), within=40)

    imported = composed.run("worker", "import", f"{fake.host}/team/app", "--all", "--scheduled")
    assert imported.returncode == 0, imported.stderr
    assert len(imported.stdout.splitlines()) >= 5
    shown = composed.run("worker", "get", "jobs", "-o", "json")
    assert '"succeeded"' in shown.stdout.lower()
    assert PASSWORD not in imported.stderr + worker.output + scheduler.output
    for role in (api, worker, scheduler):
        assert "process_cpu_seconds_total" in scrape(role)
    imports = {"registry": fake.host, "result": "changed", "reason": "", "trigger": "user"}
    assert told("tagstream_imports_total", page=scrape(worker), **imports) == 5
    for role in (api, worker):
        assert told("tagstream_jobs", page=scrape(role), state="queued", lane="bulk") == 0
        assert told("tagstream_source_up", page=scrape(role), source="broker") == 1

    fake.forget_requests()
    until(lambda: len({line for line in fake.requests if line.startswith("HEAD")}) == 5)

    assert api.stop() == 0
    assert worker.stop() == 0
    assert scheduler.stop() == 0
    assert not composed.is_healthy("worker")
    assert "import.finished" in worker.output
