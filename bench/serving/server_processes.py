"""A tagstream server in processes of its own, as an operator runs it, and load for it.

PostgreSQL: `tagstream api`, beside Redis and a worker. SQLite: `tagstream up`.
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

from bench.bench_environment import HOME
from models.access.rbac import EVERYWHERE, USER_KIND
from models.store.access.token_store import bind, create_token
from models.store.database.session import open_engine, transaction, upgrade
from tests.servers import Redis, free_port

TAGSTREAM = Path(sys.executable).with_name("tagstream")
PATIENCE = 30.0
CONNECTIONS = 16
SECONDS = 4.0
Request = Sequence[str | None]


class Serving:
    """Use it as a context; `engine` is the same database from here."""

    def __init__(self, url: str, home: Path, *, worker: bool = False, **variables: str) -> None:
        self.engine = open_engine(url)
        upgrade(self.engine)
        self.port = free_port()
        self.url = url
        self._home = home
        self._worker = worker
        self._stack = ExitStack()
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TAGSTREAM_DATABASE_URL": url,
            "TAGSTREAM_DATA_DIR": str(home / "data"),
            "TAGSTREAM_LOG_LEVEL": "ERROR",
            "TAGSTREAM_INTERNAL_REGISTRY_HOSTNAME": "registry.local:5000",
            "TAGSTREAM_KEY": Fernet.generate_key().decode(),
            **variables,
        }
        with transaction(self.engine) as session:
            now = datetime.now(UTC)
            self.token = create_token(session, name="bench", user="bench", now=now)
            bind(session, USER_KIND, "bench", "admin", EVERYWHERE, now=now)

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
            self._wait()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.engine.dispose()

    @property
    def authority(self) -> str:
        return str(self._home / "data" / "pki" / "ca.crt")

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def output(self) -> str:
        """What all processes have said."""
        return "".join(each.read_text() for each in sorted(self._home.glob("*.log")))

    def client(self) -> httpx.Client:
        """One for whoever asks a few questions."""
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=self.authority,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=120,
        )

    def load(
        self,
        requests: Sequence[Request],
        *,
        seconds: float = SECONDS,
        connections: int = CONNECTIONS,
        once: bool = False,
    ) -> dict[str, Any]:
        """What the load generator measured; `cpu` is the server's milliseconds a response."""
        order = {
            "port": self.port,
            "authority": self.authority,
            "token": self.token,
            "connections": connections,
            "seconds": seconds,
            "requests": requests,
            "once": once,
        }
        spent = cpu_seconds(self.pid)
        told = subprocess.run(
            [sys.executable, "-m", "bench.serving.load_generator"],
            cwd=HOME,
            check=True,
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            text=True,
        )
        found: dict[str, Any] = json.loads(told.stdout)
        spent = cpu_seconds(self.pid) - spent
        found["cpu"] = 1000 * spent / found["done"] * seconds / (seconds + 0.5)
        return found

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._home / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [TAGSTREAM, *words],
                cwd=HOME,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(end_process, process)
        return process

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                with self.client() as client:
                    if client.get("/readyz").status_code == 200:
                        return
            except (OSError, httpx.TransportError):
                time.sleep(0.1)
        raise SystemExit(f"bench: the server does not start\n{self.output[-2000:]}")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
