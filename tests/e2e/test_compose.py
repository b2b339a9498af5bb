"""Tests of docker-compose.yml and the Dockerfile.

Tests have no Docker: the commands of the services run on this machine, and only hosts, ports and
file paths are rewritten.
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

from tests.e2e.conftest import BIN, ROOT, RoleProcess, fill, until
from tests.scrapes import sample_value, scrape
from tests.servers import Postgres, Redis, find_binary

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {"migrate", "api", "worker", "scheduler"}
PASSWORD = "s3:cr/t @ home"


def test_compose_file_has_all_services():
    assert set(SERVICES) == {"postgres", "redis", "flower"} | OURS


def test_compose_profile_is_needed_by_flower_only():
    assert {name for name, it in SERVICES.items() if "profiles" in it} == {"flower"}
    assert SERVICES["flower"]["profiles"] == ["flower"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_restart_policy(name):
    expected = "on-failure" if name == "migrate" else "unless-stopped"
    assert SERVICES[name]["restart"] == expected


@pytest.mark.parametrize("name", set(SERVICES) - {"migrate"})
def test_long_running_service_has_healthcheck(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_service_waits_for_its_dependencies(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert other == "migrate"


@pytest.mark.parametrize(
    ("name", "expected_path"),
    [
        ("postgres", "/var/lib/postgresql/data"),
        ("redis", "/data"),
        ("api", "/var/lib/tagstream"),
    ],
)
def test_service_data_is_in_a_volume(name, expected_path):
    [volume] = SERVICES[name]["volumes"]
    volume_name, path = volume.split(":")
    assert path == expected_path
    assert volume_name in COMPOSE["volumes"]


def test_compose_secrets_are_only_in_files():
    assert all(list(it) == ["file"] for it in COMPOSE["secrets"].values())
    for service in SERVICES.values():
        granted = set(service.get("secrets", []))
        assert granted <= set(COMPOSE["secrets"])
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in granted
            assert not re.search(r"://[^/@]*:[^/@]*@", value), "a password in a URL"
    assert "/secrets/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_scalable_service_has_no_unique_name_or_port(name):
    assert not {"container_name", "ports", "hostname"} & set(SERVICES[name])


def test_compose_ports_are_bound_to_localhost():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_image_has_every_package_and_does_not_run_as_root():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {package.rstrip("*") for package in found}
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == packages
    allowed = (ROOT / ".dockerignore").read_text().split()
    named = re.search(r"^COPY (.+) \./$", DOCKERFILE, re.MULTILINE)[1].split()
    assert {f"!{name}" for name in (*packages, *named)} <= set(allowed)
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1] != "root"
    assert "--require-hashes" in DOCKERFILE


class LocalServices:
    """The services of the compose file as processes of this machine."""

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
        self._variables = {
            "PATH": f"{BIN}:{os.environ['PATH']}:{_postgres_home()}",
            "HOME": str(directory),
            "HOSTNAME": socket.gethostname(),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "TAGSTREAM_EGRESS_ALLOW": f'[{{"host": "127.0.0.1", "port": {registry.port}}}]',
            "TAGSTREAM_INSECURE_REGISTRIES": f'["{registry.host}"]',
            "TAGSTREAM_CHECK_INTERVAL": "PT1S",
        }

    def rewrite(self, text):
        """Return a text of the compose file with the hosts, ports and paths of this machine."""
        originals = "|".join(map(re.escape, self._replaced))
        return re.sub(originals, lambda found: self._replaced[found[0]], text)

    def variables(self, name):
        environment = SERVICES[name].get("environment", {})
        rewritten = {key: self.rewrite(value) for key, value in environment.items()}
        return {**rewritten, **self._variables}

    def command(self, name, *other):
        """Return what the container runs; `other` replaces the command, as in `compose run`."""
        entry = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)
        parts = SERVICES[name].get("entrypoint", entry) + list(other or SERVICES[name]["command"])
        found = [self.rewrite(part) for part in parts]
        return [str(BIN / found[0]), *found[1:]]

    def start(self, name):
        output = self.directory / f"{name}.log"
        self.roles[name] = RoleProcess(self.command(name), output, self.variables(name))
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
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        command = [self.rewrite(argument) for argument in command]
        if kind == "CMD-SHELL":
            command = ["sh", "-c", command[0]]
        if name in self.roles:  # in its container the process has the id 1
            command[-1] = command[-1].replace("-1@", f"-{self.roles[name].pid}@")
        if command[0] == "redis-cli":
            command[1:1] = ["-p", str(self._redis.port)]
        done = subprocess.run(
            command, cwd=ROOT, env=self.variables(name), capture_output=True, timeout=60
        )
        return done.returncode == 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def _postgres_home():
    return Path(find_binary("pg_isready", beside=["/usr/lib/postgresql/*/bin"])).parent


class ComposeRedis(Redis):
    """Redis with the command of the compose file."""

    def command(self):
        name, *arguments = SERVICES["redis"]["command"]
        local = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [find_binary(name), *arguments, *local]


@contextmanager
def _password_postgres():
    """Open what the postgres image creates from its environment: user, database and password."""
    with Postgres() as server:
        environment = SERVICES["postgres"]["environment"]
        user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
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
def local_services(tmp_path, fake):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "postgres_password").write_text(f"{PASSWORD}\n")
    (secrets / "tagstream_key").write_text(f"{Fernet.generate_key().decode()}\n")
    with _password_postgres() as postgres, ComposeRedis() as redis:
        services = LocalServices(tmp_path, postgres, redis, fake)
        yield services
        for role in services.roles.values():
            role.kill()


def test_compose_services_start_import_and_check_on_schedule(local_services, fake):
    fill(fake, 5)
    for server in ("postgres", "redis"):
        assert local_services.is_healthy(server)
    for _ in range(2):  # it runs at every `up`
        migrated = local_services.run("migrate")
        assert migrated.returncode == 0, migrated.stderr

    assert not local_services.is_healthy("scheduler")
    assert not local_services.is_healthy("api")
    api = local_services.start("api")
    worker = local_services.start("worker")
    scheduler = local_services.start("scheduler")
    for name in ("api", "worker", "scheduler"):
        until(lambda name=name: local_services.is_healthy(name), within=40)

    imported = local_services.run(
        "worker", "import", f"{fake.host}/team/app", "--all", "--scheduled"
    )
    assert imported.returncode == 0, imported.stderr
    assert len(imported.stdout.splitlines()) >= 5
    shown = local_services.run("worker", "get", "jobs", "-o", "json")
    assert '"succeeded"' in shown.stdout.lower()
    assert PASSWORD not in imported.stderr + worker.output + scheduler.output
    for role in (api, worker, scheduler):
        assert "process_cpu_seconds_total" in scrape(role)
    imports = {"registry": fake.host, "outcome": "new", "reason": "", "trigger": "user"}
    assert sample_value("tagstream_import_targets_total", page=scrape(worker), **imports) == 5
    for role in (api, worker):
        assert (
            sample_value("tagstream_jobs", page=scrape(role), state="queued", priority="bulk") == 0
        )
        assert sample_value("tagstream_scrape_source_up", page=scrape(role), source="broker") == 1

    fake.forget_requests()
    until(lambda: len({line for line in fake.requests if line.startswith("HEAD")}) == 5)

    assert api.stop() == 0
    assert worker.stop() == 0
    assert scheduler.stop() == 0
    assert not local_services.is_healthy("worker")
    assert "import.finished" in worker.output
