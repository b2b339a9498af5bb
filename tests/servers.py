"""Real servers for tests: docker-registry, Redis, PostgreSQL. Each on a free port, in a temporary
directory, gone when the block ends. A binary that is missing is a failure, never a skip.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import bcrypt
import httpx
import psycopg
import pytest

from tests.fakeregistry.content import compute_digest, guess_type, manifest_digest

_PATIENCE = 30.0
_TRIES = 5
_POSTGRES_HOMES = "/usr/lib/postgresql/*/bin"
_LINE = re.compile(r'"([A-Z]+ \S+) HTTP/1\.[01]" (\d+)')


def find_binary(name, *, beside=()):
    """The path of a program, or the failure of the test."""
    found = shutil.which(name)
    for place in beside:
        candidates = sorted(Path("/").glob(f"{place.lstrip('/')}/{name}"))
        found = str(candidates[-1]) if candidates else found
    if found is None:
        pytest.fail(f"{name} is not installed; `make servers` installs it")
    return found


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process that listens on `port`; it dies with us. `with` it, or start() and stop()."""

    name = ""
    stop_signal = signal.SIGTERM

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix=f"tagstream-{self.name}-"))
        self.port = 0
        self._process = None

    def command(self):
        """What to run; called with `port` chosen."""
        raise NotImplementedError

    def is_ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def prepare(self):
        """What has to be there before the first start."""

    def run_as(self):
        """Keywords for Popen that say who runs it."""
        return {}

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def output(self):
        """What the server has said so far."""
        return (self.directory / "output").read_text(errors="replace")

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Start it on a new port; another process may take a port between choice and use."""
        try:
            self.prepare()
            for _ in range(_TRIES):
                self.port = free_port()
                if self._launch():
                    return self
            pytest.fail(f"{self.name} does not start:\n{self.output[-2000:]}")
        except BaseException:
            self.stop()
            raise

    def restart(self):
        """Start it again where it was, after stop(keep=True)."""
        if not self._launch():
            pytest.fail(f"{self.name} does not start again:\n{self.output[-2000:]}")

    def stop(self, *, keep=False):
        """Stop it, and forget its data unless `keep`."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _launch(self):
        with_us = shutil.which("setpriv")
        prefix = [with_us, "--pdeathsig", "KILL"] if with_us else []
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, *self.command()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self.run_as(),
            )
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError, httpx.TransportError, psycopg.OperationalError):
                if self.is_ready():
                    return True
            time.sleep(0.02)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process = None
        return False


class DockerRegistry(Server):
    """docker-registry on files, with schema1 and deletes: open, or with `users`, or with `tokens`.

    `users` maps names to passwords (htpasswd); `tokens` is a running TokenServer. With one of
    them, `push` and `delete` show the right credential themselves.
    """

    name = "docker-registry"

    def __init__(self, *, users=None, tokens=None):
        super().__init__()
        self.users = users or {}
        self.tokens = tokens
        self._client = None

    def prepare(self):
        if self.users:
            lines = (f"{name}:{_bcrypt(password)}" for name, password in self.users.items())
            (self.directory / "htpasswd").write_text("\n".join(lines) + "\n")
        if self.tokens:
            (self.directory / "tokens.crt").write_bytes(self.tokens.certificate)

    def command(self):
        (self.directory / "config.yml").write_text(json.dumps(self._settings()))
        return [find_binary("docker-registry"), "serve", "config.yml"]

    def _settings(self):
        settings = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.directory / "storage")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.host, "secret": "for tests only"},
            "compatibility": {"schema1": {"enabled": True}},
            "validation": {"manifests": {"urls": {"allow": ["^https?://"]}}},
        }
        if self.users:
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": "htpasswd"}}
        if self.tokens:
            settings["auth"] = {
                "token": {
                    "realm": self.tokens.realm,
                    "service": self.tokens.service,
                    "issuer": self.tokens.issuer,
                    "rootcertbundle": "tokens.crt",
                }
            }
        return settings

    def is_ready(self):
        return httpx.get(f"{self.url}/v2/", timeout=2).status_code in {200, 401}

    def stop(self, *, keep=False):
        if self._client is not None:
            self._client.close()
            self._client = None
        super().stop(keep=keep)

    @property
    def url(self):
        return f"http://{self.host}"

    def authorization(self, repository):
        """Headers that may do anything with `repository`."""
        if self.tokens:
            token = self.tokens.mint({repository: ["pull", "push", "delete"]})
            return {"Authorization": f"Bearer {token}"}
        if self.users:
            user, password = next(iter(self.users.items()))
            login = httpx.BasicAuth(user.encode(), password.encode())
            request = httpx.Request("GET", self.url)
            return {"Authorization": next(login.auth_flow(request)).headers["Authorization"]}
        return {}

    def request(self, method, path, *, repository="", **how):
        """A request below `/v2/` by somebody who may do anything."""
        if self._client is None:
            self._client = httpx.Client(trust_env=False, timeout=30)
        headers = {**self.authorization(repository), **how.pop("headers", {})}
        url = path if path.startswith("http") else f"{self.url}/v2/{path}"
        return self._client.request(method, url, headers=headers, **how)

    def push(self, repository, *, tag=None, manifest, media_type=None, config=None, blobs=()):
        """Push a manifest, after config and blobs; its digest. What it points at must be there."""
        for blob in (*([] if config is None else [config]), *blobs):
            self.push_blob(repository, blob)
        digest = manifest_digest(manifest)
        kind = media_type or guess_type(manifest)
        answer = self.put_manifest(repository, tag or digest, manifest, kind)
        assert answer.status_code == 201, answer.text
        return answer.headers["Docker-Content-Digest"]

    def put_manifest(self, repository, name, manifest, media_type):
        """The bare answer to pushing a manifest."""
        return self.request(
            "PUT",
            f"{repository}/manifests/{name}",
            repository=repository,
            content=manifest,
            headers={"Content-Type": media_type},
        )

    def push_blob(self, repository, content):
        begun = self.request("POST", f"{repository}/blobs/uploads/", repository=repository)
        assert begun.status_code == 202, begun.text
        digest = compute_digest(content)
        where = httpx.URL(begun.headers["Location"]).copy_add_param("digest", digest)
        kind = {"Content-Type": "application/octet-stream"}
        ended = self.request(
            "PUT", str(where), repository=repository, content=content, headers=kind
        )
        assert ended.status_code == 201, ended.text
        return digest

    def delete(self, repository, digest):
        """Delete a manifest by its digest; its tags go with it."""
        path = f"{repository}/manifests/{digest}"
        answer = self.request("DELETE", path, repository=repository)
        assert answer.status_code == 202, answer.text

    def requests(self, repository=""):
        """The lines "METHOD /path?query" of the access log that are about `repository`.

        The registry writes a line after the answer is out, so this waits until nothing is added.
        """
        seen = None
        while seen != (seen := self.output):
            time.sleep(0.05)
        wanted = f" /v2/{repository}/" if repository else " /"
        return [line for line, _ in _LINE.findall(seen) if wanted in line]


def _bcrypt(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


class Redis(Server):
    """redis-server that keeps nothing."""

    name = "redis"

    def command(self):
        keep_nothing = ["--save", "", "--appendonly", "no"]
        where = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [find_binary("redis-server"), *where, *keep_nothing]

    @property
    def url(self):
        return f"redis://{self.host}/0"

    def clear(self):
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(16) == b"+OK\r\n"


class Postgres(Server):
    """PostgreSQL that trusts everybody on this machine and forgets all in a power cut.

    It refuses to run as root, so root runs it as `postgres`.
    """

    name = "postgres"
    stop_signal = signal.SIGINT

    def __init__(self):
        super().__init__()
        self._numbers = itertools.count(1)
        self._data = self.directory / "data"

    def run_as(self):
        if os.geteuid():
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    def prepare(self):
        if not os.geteuid():
            shutil.chown(self.directory, "postgres", "postgres")
        initdb = find_binary("initdb", beside=[_POSTGRES_HOMES])
        how = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [initdb, *how, "-D", self._data],
            cwd=self.directory,
            capture_output=True,
            text=True,
            **self.run_as(),
        )
        assert made.returncode == 0, made.stderr

    def command(self):
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
        }
        options = (f"-c{name}={value}" for name, value in settings.items())
        return [find_binary("postgres", beside=[_POSTGRES_HOMES]), "-D", self._data, *options]

    def is_ready(self):
        with self._connect():
            return True

    def url(self, database="postgres"):
        return f"postgresql://postgres@{self.host}/{database}"

    def create_database(self, *, template="template0"):
        """The name of a new database, a copy of `template` (nobody may be connected to that)."""
        name = f"test_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name):
        """Drop a database, whoever is connected to it."""
        with self._connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _connect(self):
        return psycopg.connect(self.url(), autocommit=True, connect_timeout=5)
