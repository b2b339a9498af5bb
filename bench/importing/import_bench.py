"""Measures imports from docker-registry, relative to the rate of that registry alone."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.bench_environment import (
    MULTI_TAGS,
    PROJECT_ROOT,
    REPEATED_TAGS,
    DatabaseFactory,
    open_latency_proxy,
)
from bench.bench_report import ResultTable

TAGSTREAM_COMMAND = Path(sys.executable).with_name("tagstream")
MIN_REQUESTS = 1 + MULTI_TAGS * (1 + 8 + 8 + 8)
LATENCY_MS = 20
MAX_IN_FLIGHT = 32  # the maximum that an operator may allow
LARGE_TAG_COUNT = 10_000
# The same import by OpenShift's importer on the same machine, at 20 and at 0 ms.
OPENSHIFT_LATENCY_SECONDS, OPENSHIFT_LOCAL_SECONDS = 82.0, 8.8
# Tables that an unchanged import must not write. Rows of jobs and of the schedule change with
# every import, whatever it finds.
IMAGE_TABLES = ("images", "image_layers", "image_manifests", "image_sources", "sources")
STREAM_TABLES = ("tags", "tag_events", "image_streams")


class ImportBench:
    """Measures imports from the registry at `port`. `record_requests` runs first: others replay
    them.
    """

    def __init__(self, table: ResultTable, port: int, directory: Path) -> None:
        self._table = table
        self._port = port
        self._request_log = directory / "requests"
        self._directory = directory

    def record_requests(self, databases: DatabaseFactory) -> None:
        """Record the requests of an import of `multi` and of a second import of `repeated`, and
        count them.
        """
        requests = self._run_recorded(databases.create(), "multi", 1)
        self._request_log.write_text("\n".join(requests))
        add = self._table.add
        kinds = Counter(_request_kind(line) for line in requests)
        add("multi, first import: requests", len(requests), "", most=MIN_REQUESTS)
        add("… sent twice", len(requests) - len(set(requests)), "", most=0)
        for kind in ("GET tags", "GET manifests", "GET blobs"):
            add(f"… {kind} (multi)", kinds.pop(kind, 0))
        add("… of other kinds", sum(kinds.values()), "", most=0)
        recorded = self._run_recorded(databases.create(), "repeated", 2)
        tag_list_indexes = [
            index for index, line in enumerate(recorded) if _request_kind(line) == "GET tags"
        ]
        second_import = recorded[tag_list_indexes[-1] :]
        kinds = Counter(_request_kind(line) for line in second_import)
        add("repeated, first import: requests", tag_list_indexes[-1])
        add("repeated, unchanged: requests", len(second_import), "", most=1 + REPEATED_TAGS)
        add("… GET tags (repeated)", kinds["GET tags"], "", most=1)
        add("… HEAD manifests (repeated)", kinds["HEAD manifests"], "", most=REPEATED_TAGS)
        add("… GET manifests (repeated)", kinds["GET manifests"], "", most=0)
        add("… GET blobs (repeated)", kinds["GET blobs"], "", most=0)

    def _run_recorded(self, database: str, repository: str, times: int) -> list[str]:
        """Return the requests of an import, as a proxy recorded them."""
        record = self._directory / "record"
        with open_latency_proxy(self._port, 0, record) as proxy_port:
            run_imports(database, f"127.0.0.1:{proxy_port}/{repository}", times=times)
        lines = record.read_text().splitlines()
        return [" ".join(line.split()[:2]) for line in lines if line.endswith("HTTP/1.1")]

    def measure_first_import(self, kind: str, databases: DatabaseFactory) -> None:
        """Measure `multi` at 0 and at 20 ms, each right after a replay of the same requests.

        At 20 ms also with the maximum of requests in flight, not only the default.
        """
        local_seconds = self._measure_against_replay(
            self._port, f"multi at 0 ms, {kind}", databases.create()
        )
        self._table.add(
            f"… ratio to OpenShift's {OPENSHIFT_LOCAL_SECONDS} s ({kind})",
            local_seconds / OPENSHIFT_LOCAL_SECONDS,
            "",
            most=0.6,
        )
        with open_latency_proxy(self._port, LATENCY_MS) as proxy_port:
            latency_seconds = self._measure_against_replay(
                proxy_port, f"multi at {LATENCY_MS} ms, {kind}", databases.create()
            )
            name = f"multi at {LATENCY_MS} ms, {MAX_IN_FLIGHT} in flight, {kind}"
            max_in_flight_seconds = self._measure_against_replay(
                proxy_port, name, databases.create(), least=0.8, in_flight=MAX_IN_FLIGHT
            )
        label = f"ratio to OpenShift's {OPENSHIFT_LATENCY_SECONDS:.0f} s ({kind})"
        self._table.add(f"… {label}", latency_seconds / OPENSHIFT_LATENCY_SECONDS, "")
        self._table.add(
            f"… with {MAX_IN_FLIGHT} in flight, {label}",
            max_in_flight_seconds / OPENSHIFT_LATENCY_SECONDS,
            most=1 / 16,
        )

    def _measure_against_replay(
        self,
        port: int,
        name: str,
        database: str,
        *,
        least: float | None = None,
        in_flight: int = 16,
    ) -> float:
        add = self._table.add
        replay_seconds = min(
            replay_requests(port, connections, self._request_log) for connections in (32, 64)
        )
        record = run_imports(database, f"127.0.0.1:{port}/multi", in_flight=in_flight)[0]
        add(f"{name}: registry alone", replay_seconds, "s")
        add(f"{name}: wall", record["wall"], "s")
        rate_ratio = replay_seconds / record["wall"]
        add(f"{name}: rate relative to registry alone", rate_ratio, "", least=least)
        add(f"{name}: CPU", record["cpu"], "s")
        add(f"{name}: peak memory", record["peak"], "MiB", most=150)
        return float(record["wall"])

    def measure_unchanged_import(self, kind: str, databases: DatabaseFactory) -> None:
        """Measure a second import of `repeated`, where nothing changed: its writes and duration."""
        first, second = run_imports(databases.create(), f"127.0.0.1:{self._port}/repeated", times=2)
        add = self._table.add
        writes = second["writes"]
        add(f"repeated, first import, {kind}: wall", first["wall"], "s")
        add(f"repeated, unchanged, {kind}: wall", second["wall"], "s")
        add(
            f"… writes to images ({kind})",
            sum(writes.get(name, 0) for name in IMAGE_TABLES),
            most=0,
        )
        add(
            f"… writes to streams ({kind})",
            sum(writes.get(name, 0) for name in STREAM_TABLES),
            most=0,
        )

    def measure_command(self) -> None:
        """Measure the command: its help, and the import of one tag into an empty data directory."""
        help_times = [_time_command("--help")[0] for _ in range(5)]
        add = self._table.add
        add("tagstream --help: wall", statistics.median(help_times), "s", most=0.3)
        tag_requests = self._directory / "tag"
        with (
            open_latency_proxy(self._port, 0, tag_requests) as proxy_port,
            tempfile.TemporaryDirectory() as work_dir,
        ):
            wall, _ = _time_command(
                "import", f"127.0.0.1:{proxy_port}/single:v1.7", data_dir=work_dir
            )
            lines = tag_requests.read_text().splitlines()
        requests = [" ".join(line.split()[:2]) for line in lines if line.endswith("HTTP/1.1")]
        tag_requests.write_text("\n".join(requests))
        replay_seconds = replay_requests(self._port, 1, tag_requests)
        add(
            "tagstream import of one tag, cold: without the registry's time",
            wall - replay_seconds,
            "s",
            most=1.5,
        )


def measure_memory(table: ResultTable, stub: int, databases: DatabaseFactory) -> None:
    """Measure a worker that imports 10,000 tags, and one that runs 20 imports, against the stub."""
    host = f"127.0.0.1:{stub}"
    large_import = run_imports(databases.create(), f"{host}/many-{LARGE_TAG_COUNT}")[0]
    table.add(f"{LARGE_TAG_COUNT:,} tags: requests", large_import["requests"])
    table.add(f"{LARGE_TAG_COUNT:,} tags: wall", large_import["wall"], "s")
    table.add(f"{LARGE_TAG_COUNT:,} tags: CPU", large_import["cpu"], "s")
    table.add(f"{LARGE_TAG_COUNT:,} tags: peak memory", large_import["peak"], "MiB", most=150)
    small_imports = run_imports(
        databases.create(), *(f"{host}/few{each}-200" for each in range(20))
    )
    table.add("20 imports of 200 tags: memory after the 10th", small_imports[9]["resident"], "MiB")
    table.add("… after the 20th", small_imports[19]["resident"], "MiB")
    grown = small_imports[19]["resident"] - small_imports[9]["resident"]
    table.add("… grown from the 10th to the 20th", grown, "MiB", most=2)


def run_imports(
    database: str, *references: str, times: int = 1, in_flight: int = 16
) -> list[dict[str, Any]]:
    """Run imports in a process of their own and return its records."""
    options = ("--times", str(times), "--in-flight", str(in_flight))
    output = _run_module("bench.importing.import_runner", database, *references, *options)
    records: list[dict[str, Any]] = json.loads(output)
    return records


def replay_requests(port: int, connections: int, requests: Path) -> float:
    """Replay recorded requests with the raw client and return the seconds that they took."""
    return float(
        _run_module("bench.importing.raw_client", str(port), str(connections), str(requests))
    )


def _run_module(module: str, *arguments: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT_ROOT,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if completed.returncode:
        raise SystemExit(f"bench: {module} {' '.join(arguments)} ended with {completed.returncode}")
    return completed.stdout


def _time_command(*arguments: str, data_dir: str = "") -> tuple[float, float]:
    """Return wall and CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        [TAGSTREAM_COMMAND, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, "TAGSTREAM_DATA_DIR": data_dir} if data_dir else None,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def _request_kind(line: str) -> str:
    method, target = line.split()
    return f"{method} {target.partition('?')[0].split('/')[-2]}"
