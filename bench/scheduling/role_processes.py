"""The processes of a schedule, as an operator runs them: Redis, a worker, beat.

Beat only sends ticks; the worker carries them, as it carries the checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet

from bench.bench_environment import HOME
from bench.serving.server_processes import cpu_seconds, end_process
from models.store.database.session import open_engine, upgrade
from tests.servers import Redis

BIN = Path(sys.executable).parent


class Roles:
    """Use it as a context; beat starts when it is told to. `engine` is the database from here."""

    def __init__(self, url: str, home: Path, registries: Sequence[str], **variables: str) -> None:
        self.engine = open_engine(url)
        upgrade(self.engine)
        self._home = home
        self._stack = ExitStack()
        self._pids: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = {host.rpartition(":")[2] for host in registries}
        allowed = [{"host": "127.0.0.0/8", "port": port} for port in sorted(ports)]
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(HOME),  # what is measured is the code beside the bench
            "TAGSTREAM_DATABASE_URL": url,
            "TAGSTREAM_DATA_DIR": str(home / "data"),
            "TAGSTREAM_KEY": Fernet.generate_key().decode(),
            "TAGSTREAM_EGRESS_ALLOW": json.dumps(allowed),
            "TAGSTREAM_INSECURE_REGISTRIES": json.dumps(list(registries)),
            **variables,
        }

    def __enter__(self) -> Self:
        with self._stack as stack:
            redis = stack.enter_context(Redis())
            self.variables["TAGSTREAM_BROKER_URL"] = redis.url
            self._pids["Redis"] = redis.pid
            self._pids["worker"] = self._start("worker", str(BIN / "tagstream"), "worker")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.engine.dispose()

    def start_beat(self) -> None:
        schedule = str(self._home / "beat")
        celery = [str(BIN / "celery"), "-A", "scheduler", "beat", "--pidfile", ""]
        self._pids["beat"] = self._start("beat", *celery, "--schedule", schedule)

    def check(self) -> None:
        """Ends the bench where one of them has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise SystemExit(f"bench: {name} has ended\n{self.output[-3000:]}")

    def spent(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    @property
    def output(self) -> str:
        """What all processes have said."""
        return "".join(each.read_text() for each in sorted(self._home.glob("*.log")))

    def _start(self, name: str, *command: str) -> int:
        with (self._home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=HOME,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes[name] = process
        self._stack.callback(end_process, process)
        return process.pid


def family_seconds(parent: int) -> float:
    """Processor seconds of a process and its living children, as PostgreSQL has them."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return cpu_seconds(parent) + sum(_seconds_or_none(int(pid)) for pid in children)


def _seconds_or_none(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0
