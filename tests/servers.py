"""Real servers for tests: docker-registry, Redis, PostgreSQL.

Each listens on a free port and stores its data in a temporary directory; both are gone when the
block ends. A missing program is a failure, never a skip.
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

_START_TIMEOUT_SECONDS = 30.0
_MAX_START_ATTEMPTS = 5
_POSTGRES_HOMES = "/usr/lib/postgresql/*/bin"
_ACCESS_LOG_LINE = re.compile(r'"([A-Z]+ \S+) HTTP/1\.[01]" (\d+)')


def find_binary(name, *, beside=()):
    """Return the path of a program; fail the test if it is not installed.

    `beside` are patterns of further directories; the last match wins.
    """
    found = shutil.which(name)
    for directory in beside:
        candidates = sorted(Path("/").glob(f"{directory.lstrip('/')}/{name}"))
        found = str(candidates[-1]) if candidates else found
    if found is None:
        pytest.fail(f"{name} is not installed; `make servers` installs it")
    return found


def free_port():
    """Return a port on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process that listens on `port` and is killed when this process dies.

    Use it in a `with` block, or call start() and stop().
    """

    name = ""
    stop_signal = signal.SIGTERM

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix=f"tagstream-{self.name}-"))
        self.port = 0
        self._process = None

    def command(self):
        """Return the command to run; `port` is chosen before."""
        raise NotImplementedError

    def is_ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def prepare(self):
        """Create what has to exist before the first start."""

    def run_as(self):
        """Return keyword arguments for Popen that set the user of the process."""
        return {}

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def output(self):
        """What the server has printed so far."""
        return (self.directory / "output").read_text(errors="replace")

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Start it on a new port; try again if another process takes the port before it does."""
        try:
            self.prepare()
            for _ in range(_MAX_START_ATTEMPTS):
                self.port = free_port()
                if self._launch():
                    return self
            pytest.fail(f"{self.name} does not start:\n{self.output[-2000:]}")
        except BaseException:
            self.stop()
            raise

    def restart(self):
        """Start it again on its port and data, after stop(keep=True)."""
        if not self._launch():
            pytest.fail(f"{self.name} does not start again:\n{self.output[-2000:]}")

    def stop(self, *, keep=False):
        """Stop it, and delete its data unless `keep`."""
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
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, *self.command()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self.run_as(),
            )
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
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
    """docker-registry on files, with schema1 and deletes.

    Without arguments it needs no authentication. `users` maps names to passwords (htpasswd);
    `tokens` is a running TokenServer. With one of them, `push` and `delete` send a valid
    credential.
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
        """Return headers that allow every action on `repository`."""
        if self.tokens:
            token = self.tokens.mint({repository: ["pull", "push", "delete"]})
            return {"Authorization": f"Bearer {token}"}
        if self.users:
            user, password = next(iter(self.users.items()))
            login = httpx.BasicAuth(user.encode(), password.encode())
            request = httpx.Request("GET", self.url)
            return {"Authorization": next(login.auth_flow(request)).headers["Authorization"]}
        return {}

    def request(self, method, path, *, repository="", **options):
        """Send a request below `/v2/` with a credential for every action on `repository`."""
        if self._client is None:
            self._client = httpx.Client(trust_env=False, timeout=30)
        headers = {**self.authorization(repository), **options.pop("headers", {})}
        url = path if path.startswith("http") else f"{self.url}/v2/{path}"
        return self._client.request(method, url, headers=headers, **options)

    def push(self, repository, *, tag=None, manifest, media_type=None, config=None, blobs=()):
        """Push config and blobs, then the manifest; return its digest.

        Everything that the manifest refers to must exist.
        """
        for blob in (*([] if config is None else [config]), *blobs):
            self.push_blob(repository, blob)
        digest = manifest_digest(manifest)
        media_type = media_type or guess_type(manifest)
        response = self.put_manifest(repository, tag or digest, manifest, media_type)
        assert response.status_code == 201, response.text
        return response.headers["Docker-Content-Digest"]

    def put_manifest(self, repository, name, manifest, media_type):
        """Push a manifest; return the response."""
        return self.request(
            "PUT",
            f"{repository}/manifests/{name}",
            repository=repository,
            content=manifest,
            headers={"Content-Type": media_type},
        )

    def push_blob(self, repository, content):
        started = self.request("POST", f"{repository}/blobs/uploads/", repository=repository)
        assert started.status_code == 202, started.text
        digest = compute_digest(content)
        location = httpx.URL(started.headers["Location"]).copy_add_param("digest", digest)
        headers = {"Content-Type": "application/octet-stream"}
        completed = self.request(
            "PUT", str(location), repository=repository, content=content, headers=headers
        )
        assert completed.status_code == 201, completed.text
        return digest

    def delete(self, repository, digest):
        """Delete a manifest by its digest, and with it its tags."""
        path = f"{repository}/manifests/{digest}"
        response = self.request("DELETE", path, repository=repository)
        assert response.status_code == 202, response.text

    def requests(self, repository=""):
        """Return the lines "METHOD /path?query" of the access log that concern `repository`.

        The registry writes a line after it has sent the response, so this waits until the log
        does not grow.
        """
        seen = None
        while seen != (seen := self.output):
            time.sleep(0.05)
        wanted = f" /v2/{repository}/" if repository else " /"
        return [line for line, _ in _ACCESS_LOG_LINE.findall(seen) if wanted in line]


def _bcrypt(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


class Redis(Server):
    """redis-server without persistence."""

    name = "redis"

    def command(self):
        no_persistence = ["--save", "", "--appendonly", "no"]
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [find_binary("redis-server"), *address, *no_persistence]

    @property
    def url(self):
        return f"redis://{self.host}/0"

    def clear(self):
        """Delete every key."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(16) == b"+OK\r\n"


class Postgres(Server):
    """PostgreSQL that trusts every local connection and does not sync its writes to disk.

    PostgreSQL refuses to run as root, so root runs it as `postgres`.
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
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        created = subprocess.run(
            [initdb, *options, "--no-sync", "-D", self._data],
            cwd=self.directory,
            capture_output=True,
            text=True,
            **self.run_as(),
        )
        assert created.returncode == 0, created.stderr

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
        """Create a copy of `template`, to which no client may be connected; return its name."""
        name = f"test_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name):
        """Drop a database, even while clients are connected to it."""
        with self._connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _connect(self):
        return psycopg.connect(self.url(), autocommit=True, connect_timeout=5)
