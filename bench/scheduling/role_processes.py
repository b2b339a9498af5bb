"""Runs the processes of the schedule as an operator does: Redis, a worker, beat.

Beat only sends ticks; the worker runs them, like the checks.
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

from bench.bench_environment import PROJECT_ROOT
from bench.serving.server_processes import cpu_seconds, stop_process
from models.store.database.session import open_engine, upgrade_database
from tests.servers import Redis

BIN = Path(sys.executable).parent


class RoleProcesses:
    """A context manager of the processes. `engine` is their database; beat starts with
    `start_beat`.
    """

    def __init__(
        self, url: str, work_dir: Path, registries: Sequence[str], **variables: str
    ) -> None:
        self.engine = open_engine(url)
        upgrade_database(self.engine)
        self._work_dir = work_dir
        self._stack = ExitStack()
        self._pids: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = {host.rpartition(":")[2] for host in registries}
        allowed = [{"host": "127.0.0.0/8", "port": port} for port in sorted(ports)]
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(work_dir),
            "PYTHONPATH": str(PROJECT_ROOT),  # measure this checkout, not an installed version
            "TAGSTREAM_DATABASE_URL": url,
            "TAGSTREAM_DATA_DIR": str(work_dir / "data"),
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
        """Start celery beat."""
        schedule = str(self._work_dir / "beat")
        celery = [str(BIN / "celery"), "-A", "scheduler.beat_main", "beat", "--pidfile", ""]
        self._pids["beat"] = self._start("beat", *celery, "--schedule", schedule)

    def check_alive(self) -> None:
        """Exit the bench if one of the processes has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise SystemExit(f"bench: {name} has ended\n{self.output[-3000:]}")

    def cpu_seconds_by_process(self) -> dict[str, float]:
        """Return the CPU seconds of each process so far."""
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    @property
    def output(self) -> str:
        """Return the output of all processes."""
        return "".join(each.read_text() for each in sorted(self._work_dir.glob("*.log")))

    def _start(self, name: str, *command: str) -> int:
        with (self._work_dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=PROJECT_ROOT,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes[name] = process
        self._stack.callback(stop_process, process)
        return process.pid


def process_tree_cpu_seconds(parent: int) -> float:
    """Return the CPU seconds of a process and its live children, as of PostgreSQL."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return cpu_seconds(parent) + sum(_cpu_seconds_or_zero(int(pid)) for pid in children)


def _cpu_seconds_or_zero(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0
