"""Imports against the real registry, beside what that registry itself can serve."""

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

from bench.bench_environment import HOME, MULTI_TAGS, SAME_TAGS, Databases, open_wire
from bench.bench_report import Table

TAGSTREAM = Path(sys.executable).with_name("tagstream")
LEAST_REQUESTS = 1 + MULTI_TAGS * (1 + 8 + 8 + 8)
FAR = 20  # milliseconds
CEILING = 32  # requests in flight that an operator may allow
MANY = 10_000
ORIGINAL_FAR, ORIGINAL_NEAR = 82.0, 8.8  # seconds that the original takes (`engine.md` 2)
# Job rows, the calendar and their like change with every import, whatever it finds.
CONTENT = ("images", "image_layers", "image_manifests", "image_sources", "sources")
STREAM = ("tags", "tag_events", "image_streams")  # a job's own steps are changes too


class Imports:
    """The registry under `port`, and what is asked of it, once it was listened to."""

    def __init__(self, table: Table, port: int, directory: Path) -> None:
        self._table = table
        self._port = port
        self._list = directory / "requests"
        self._directory = directory

    def listen(self, databases: Databases) -> None:
        """What an import of `multi` asks, and a second import of `same`, by kind."""
        asked = self._recorded(databases.make(), "multi", 1)
        self._list.write_text("\n".join(asked))
        add = self._table.add
        kinds = Counter(_kind(line) for line in asked)
        add("multi, first import: requests", len(asked), "", most=LEAST_REQUESTS)
        add("… asked twice", len(asked) - len(set(asked)), "", most=0)
        for kind in ("GET tags", "GET manifests", "GET blobs"):
            add(f"… {kind} (multi)", kinds.pop(kind, 0))
        add("… of other kinds", sum(kinds.values()), "", most=0)
        both = self._recorded(databases.make(), "same", 2)
        lists = [place for place, line in enumerate(both) if _kind(line) == "GET tags"]
        again = both[lists[-1] :]
        kinds = Counter(_kind(line) for line in again)
        add("same, first import: requests", lists[-1])
        add("same, unchanged: requests", len(again), "", most=1 + SAME_TAGS)
        add("… GET tags (same)", kinds["GET tags"], "", most=1)
        add("… HEAD manifests (same)", kinds["HEAD manifests"], "", most=SAME_TAGS)
        add("… GET manifests (same)", kinds["GET manifests"], "", most=0)
        add("… GET blobs (same)", kinds["GET blobs"], "", most=0)

    def _recorded(self, database: str, repository: str, times: int) -> list[str]:
        """The requests of an import, as they went over a wire."""
        record = self._directory / "record"
        with open_wire(self._port, 0, record) as wire:
            run_imports(database, f"127.0.0.1:{wire}/{repository}", times=times)
        lines = record.read_text().splitlines()
        return [" ".join(line.split()[:2]) for line in lines if line.endswith("HTTP/1.1")]

    def first(self, kind: str, databases: Databases) -> None:
        """`multi` at no distance and at 20 ms, each right after what the registry serves.

        At 20 ms also with the operator's ceiling of requests in flight, not just the default.
        """
        near = self._pair(self._port, f"multi at 0 ms, {kind}", databases.make())
        self._table.add(
            f"… to the original's {ORIGINAL_NEAR} s ({kind})", near / ORIGINAL_NEAR, "", most=0.6
        )
        with open_wire(self._port, FAR) as wire:
            far = self._pair(wire, f"multi at {FAR} ms, {kind}", databases.make())
            name = f"multi at {FAR} ms, {CEILING} in flight, {kind}"
            widest = self._pair(wire, name, databases.make(), least=0.8, in_flight=CEILING)
        original = f"to the original's {ORIGINAL_FAR:.0f} s ({kind})"
        self._table.add(f"… {original}", far / ORIGINAL_FAR, "")
        self._table.add(
            f"… with {CEILING} in flight {original}", widest / ORIGINAL_FAR, most=1 / 16
        )

    def _pair(
        self,
        port: int,
        name: str,
        database: str,
        *,
        least: float | None = None,
        in_flight: int = 16,
    ) -> float:
        add = self._table.add
        own = min(replay(port, connections, self._list) for connections in (32, 64))
        record = run_imports(database, f"127.0.0.1:{port}/multi", in_flight=in_flight)[0]
        add(f"{name}: the registry's own", own, "s")
        add(f"{name}: wall", record["wall"], "s")
        add(f"{name}: of the registry's own rate", own / record["wall"], "", least=least)
        add(f"{name}: CPU", record["cpu"], "s")
        add(f"{name}: peak memory", record["peak"], "MiB", most=150)
        return float(record["wall"])

    def again(self, kind: str, databases: Databases) -> None:
        """`same`, unchanged: what it writes and how long it takes."""
        first, second = run_imports(databases.make(), f"127.0.0.1:{self._port}/same", times=2)
        add = self._table.add
        writes = second["writes"]
        add(f"same, first import, {kind}: wall", first["wall"], "s")
        add(f"same, unchanged, {kind}: wall", second["wall"], "s")
        add(f"… writes to images ({kind})", sum(writes.get(name, 0) for name in CONTENT), most=0)
        add(f"… writes to streams ({kind})", sum(writes.get(name, 0) for name in STREAM), most=0)

    def command(self) -> None:
        """The command: its help, and one tag imported by it from nothing."""
        help_times = [_timed("--help")[0] for _ in range(5)]
        add = self._table.add
        add("tagstream --help: wall", statistics.median(help_times), "s", most=0.3)
        tag = self._directory / "tag"
        with open_wire(self._port, 0, tag) as wire, tempfile.TemporaryDirectory() as home:
            wall, _ = _timed("import", f"127.0.0.1:{wire}/single:v1.7", home=home)
            lines = tag.read_text().splitlines()
        asked = [" ".join(line.split()[:2]) for line in lines if line.endswith("HTTP/1.1")]
        tag.write_text("\n".join(asked))
        own = replay(self._port, 1, tag)
        add("tagstream import of one tag, cold: beyond the registry", wall - own, "s", most=1.5)


def measure_memory(table: Table, stub: int, databases: Databases) -> None:
    """A worker with very many tags, and one with many imports, against the stub."""
    host = f"127.0.0.1:{stub}"
    large = run_imports(databases.make(), f"{host}/many-{MANY}")[0]
    table.add(f"{MANY:,} tags: requests", large["requests"])
    table.add(f"{MANY:,} tags: wall", large["wall"], "s")
    table.add(f"{MANY:,} tags: CPU", large["cpu"], "s")
    table.add(f"{MANY:,} tags: peak memory", large["peak"], "MiB", most=150)
    small = run_imports(databases.make(), *(f"{host}/few{each}-200" for each in range(20)))
    table.add("20 imports of 200 tags: memory after the 10th", small[9]["resident"], "MiB")
    table.add("… after the 20th", small[19]["resident"], "MiB")
    grown = small[19]["resident"] - small[9]["resident"]
    table.add("… grown from the 10th to the 20th", grown, "MiB", most=2)


def run_imports(
    database: str, *references: str, times: int = 1, in_flight: int = 16
) -> list[dict[str, Any]]:
    more = ("--times", str(times), "--in-flight", str(in_flight))
    told = _output("bench.importing.import_runner", database, *references, *more)
    records: list[dict[str, Any]] = json.loads(told)
    return records


def replay(port: int, connections: int, requests: Path) -> float:
    return float(_output("bench.importing.raw_client", str(port), str(connections), str(requests)))


def _output(module: str, *words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=HOME,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if ended.returncode:
        raise SystemExit(f"bench: {module} {' '.join(words)} ended with {ended.returncode}")
    return ended.stdout


def _timed(*words: str, home: str = "") -> tuple[float, float]:
    """Wall and CPU seconds of the command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [TAGSTREAM, *words],
        check=True,
        capture_output=True,
        env={**os.environ, "TAGSTREAM_DATA_DIR": home} if home else None,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, spent


def _kind(line: str) -> str:
    method, target = line.split()
    return f"{method} {target.partition('?')[0].split('/')[-2]}"
