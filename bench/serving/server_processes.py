"""Runs a tagstream server in its own processes, as an operator does, and loads it.

PostgreSQL: `tagstream api` with Redis and a worker. SQLite: `tagstream up`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from cryptography.fernet import Fernet

from bench.bench_environment import PROJECT_ROOT
from models.access.rbac import ALL_NAMESPACES, USER_KIND
from models.store.access.token_store import bind_role, create_token
from models.store.database.session import open_engine, transaction, upgrade_database
from tests.servers import Redis, free_port

TAGSTREAM_BINARY = Path(sys.executable).with_name("tagstream")
SERVER_TIMEOUT_SECONDS = 30.0
CONNECTION_COUNT = 16
LOAD_SECONDS = 4.0
LoadRequest = Sequence[str | None]


class ServerProcesses:
    """A context manager of the server's processes; `engine` is their database."""

    def __init__(self, url: str, work_dir: Path, *, worker: bool = False, **variables: str) -> None:
        self.engine = open_engine(url)
        upgrade_database(self.engine)
        self.port = free_port()
        self.url = url
        self._work_dir = work_dir
        self._worker = worker
        self._stack = ExitStack()
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(work_dir),
            "TAGSTREAM_DATABASE_URL": url,
            "TAGSTREAM_DATA_DIR": str(work_dir / "data"),
            "TAGSTREAM_LOG_LEVEL": "ERROR",
            "TAGSTREAM_INTERNAL_REGISTRY_HOSTNAME": "registry.local:5000",
            "TAGSTREAM_KEY": Fernet.generate_key().decode(),
            **variables,
        }
        with transaction(self.engine) as session:
            now = datetime.now(UTC)
            self.token = create_token(session, name="bench", user="bench", now=now)
            bind_role(session, USER_KIND, "bench", "admin", ALL_NAMESPACES, now=now)

    def __enter__(self) -> Self:
        with self._stack as stack:
            listen = ["--listen", f"127.0.0.1:{self.port}"]
            if self.engine.dialect.name == "sqlite":
                self._server = self._start("up", *listen)
            else:
                redis = stack.enter_context(Redis())
                self._variables["TAGSTREAM_BROKER_URL"] = redis.url
                self._server = self._start("api", *listen)
                if self._worker:
                    self._start("worker")
            self._wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.engine.dispose()

    @property
    def authority(self) -> str:
        return str(self._work_dir / "data" / "pki" / "ca.crt")

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def output(self) -> str:
        """Return the output of all processes."""
        return "".join(each.read_text() for each in sorted(self._work_dir.glob("*.log")))

    def client(self) -> httpx.Client:
        """Open a client for single requests."""
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=self.authority,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=120,
        )

    def run_load(
        self,
        requests: Sequence[LoadRequest],
        *,
        seconds: float = LOAD_SECONDS,
        connections: int = CONNECTION_COUNT,
        once: bool = False,
    ) -> dict[str, Any]:
        """Run the load generator and return its report; `cpu` is the server's milliseconds per
        response.
        """
        order = {
            "port": self.port,
            "authority": self.authority,
            "token": self.token,
            "connections": connections,
            "seconds": seconds,
            "requests": requests,
            "once": once,
        }
        cpu_before = cpu_seconds(self.pid)
        completed = subprocess.run(
            [sys.executable, "-m", "bench.serving.load_generator"],
            cwd=PROJECT_ROOT,
            check=True,
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            text=True,
        )
        found: dict[str, Any] = json.loads(completed.stdout)
        cpu_before = cpu_seconds(self.pid) - cpu_before
        found["cpu"] = 1000 * cpu_before / found["done"] * seconds / (seconds + 0.5)
        return found

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._work_dir / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [TAGSTREAM_BINARY, *arguments],
                cwd=PROJECT_ROOT,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(stop_process, process)
        return process

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                with self.client() as client:
                    if client.get("/readyz").status_code == 200:
                        return
            except (OSError, httpx.TransportError):
                time.sleep(0.1)
        raise SystemExit(f"bench: the server did not start\n{self.output[-2000:]}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process; kill it if it does not end in time."""
    process.terminate()
    try:
        process.wait(SERVER_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
