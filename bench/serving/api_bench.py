"""Measures the API as clients see it: reads, writes, watches and imports, with their targets.

The server runs in its own process (`server_processes.py`), and so does the load
(`load_generator.py`): 16 persistent connections over TLS, each with one request in flight.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.bench_environment import DatabaseFactory, open_stub
from bench.bench_report import ResultTable
from bench.serving import stream_rows
from bench.serving.server_processes import LoadRequest, ServerProcesses, cpu_seconds
from bench.serving.stream_rows import StreamSet, stream_name, tag_name
from bench.serving.watch_bench import WatchClients, resident_mib

API = "/apis/image.openshift.io/v1"
MERGE_PATCH = "application/merge-patch+json"
STREAM_COUNT, STORE_SIZES = 10_000, (1_000, 10_000, 100_000)
LIST_LIMIT = 500
WATCHER_COUNT, OPEN_WATCHES, CHANGE_COUNT, IMPORT_COUNT = 1_000, 5_000, 20, 40
MAX_SIZE_RATIO = 1.5  # of the time on the largest store to that on the smallest


@dataclass(frozen=True, slots=True)
class LoadScenario:
    """The requests of a load and its targets: `least` is a rate, `most` the 99th percentile in
    seconds.
    """

    name: str
    requests: Sequence[LoadRequest]
    least: float | None = None
    most: float | None = None
    once: bool = False


class ApiBench:
    """Measures the API server on one kind of database after another."""

    def __init__(self, table: ResultTable, work_dir: Path) -> None:
        self._table = table
        self._work_dir = work_dir
        self._server_count = 0

    def measure(self, kind: str, factory: DatabaseFactory) -> None:
        """Measure everything on one kind of database."""
        with self._start_server(factory) as server:
            print(f"filling {kind}", flush=True)
            self._measure_rates(kind, server)
        with self._start_server(factory) as server:
            asyncio.run(self._measure_watches(kind, server))
        self._measure_sizes(kind, factory)
        self._measure_imports(kind, factory)

    @contextmanager
    def _start_server(
        self,
        factory: DatabaseFactory,
        *stream_sets: StreamSet,
        worker: bool = False,
        **variables: str,
    ) -> Iterator[ServerProcesses]:
        self._server_count += 1
        work_dir = self._work_dir / f"server-{self._server_count}"
        work_dir.mkdir()
        server = ServerProcesses(factory.create(), work_dir, worker=worker, **variables)
        for stream_set in stream_sets:
            stream_rows.fill_streams(server.engine, stream_set)
        with server:
            yield server

    # -- rates --

    def _measure_rates(self, kind: str, server: ServerProcesses) -> None:
        stream_rows.fill_images(server.engine)
        stream_rows.fill_streams(server.engine, StreamSet("bench", STREAM_COUNT))
        stream_rows.fill_streams(server.engine, StreamSet("large", 1, tags=1000))
        base_rate = self._measure_load(
            kind, server, LoadScenario("GET /version", [_get_request("/version")])
        )
        for scenario in _read_scenarios():
            rate = self._measure_load(kind, server, scenario)
            name = f"… rate relative to /version ({scenario.name}, {kind})"
            self._table.add(name, rate / base_rate)
        self._measure_pages(kind, server)
        for scenario in _write_scenarios():
            self._measure_load(kind, server, scenario)

    def _measure_load(self, kind: str, server: ServerProcesses, scenario: LoadScenario) -> float:
        found = server.run_load(scenario.requests, once=scenario.once)
        assert set(found["codes"]) <= {"200", "201"}, found["codes"]
        name = f"{kind}: {scenario.name}"
        self._table.add(name, found["rate"], "/s", least=scenario.least)
        self._table.add(f"{name}, median", 1000 * found["median"], "ms")
        most = None if scenario.most is None else 1000 * scenario.most
        self._table.add(f"{name}, p99", 1000 * found["p99"], "ms", most=most)
        self._table.add(f"{name}, CPU of the server", found["cpu"], "ms each")
        rate: float = found["rate"]
        return rate

    def _measure_pages(self, kind: str, server: ServerProcesses) -> None:
        with server.client() as client:
            pages = _page_paths(client, "bench")
            assert len(pages) == STREAM_COUNT // LIST_LIMIT
            first, last = _median_time(client, pages[0]), _median_time(client, pages[-1])
        scenario = LoadScenario(
            f"{LIST_LIMIT} streams a page", [_get_request(each) for each in pages], least=11
        )
        self._measure_load(kind, server, scenario)
        name = f"… time of the last page relative to the first ({kind})"
        self._table.add(name, last / first, most=MAX_SIZE_RATIO)

    # -- watches --

    async def _measure_watches(self, kind: str, server: ServerProcesses) -> None:
        url = server.url
        watchers = WatchClients(server.port, tls=True, request=_watch_request(server))
        await watchers.open(WATCHER_COUNT)
        delays = await watchers.measure_delivery(url, CHANGE_COUNT)
        name = f"{kind}: delivery of a change to {WATCHER_COUNT:,} watchers"
        self._table.add(f"{name}, median", statistics.median(delays), "s")
        p99 = statistics.quantiles(delays, n=100)[98]
        self._table.add(f"{name}, p99", p99, "s", most=1.0)
        watchers.request = _watch_request(server)
        await watchers.open(OPEN_WATCHES - WATCHER_COUNT)
        await watchers.measure_delivery(url, 1)
        name = f"{kind}: memory with {OPEN_WATCHES:,} open watches"
        self._table.add(name, resident_mib(server.pid), "MiB", most=200)
        cpu_before = cpu_seconds(server.pid)
        await asyncio.sleep(5)
        idle_percent = 20 * (cpu_seconds(server.pid) - cpu_before)
        self._table.add(
            f"{kind}: CPU of {OPEN_WATCHES:,} idle watches", idle_percent, "% of a core"
        )

    # -- growth --

    def _measure_sizes(self, kind: str, factory: DatabaseFactory) -> None:
        """Measure single requests on small and on large stores."""
        found: dict[str, list[float]] = {"GET": [], "page": []}
        for size in STORE_SIZES:
            with (
                self._start_server(factory, StreamSet("bench", size, tags=1, events=1)) as server,
                server.client() as client,
            ):
                rng = random.Random(size)
                streams = [stream_name(rng.randrange(size)) for _ in range(200)]
                times = [
                    _time_request(client, f"{_streams_path('bench')}/{each}") for each in streams
                ]
                found["GET"].append(statistics.median(times))
                found["page"].append(
                    _median_time(client, f"{_streams_path('bench')}?limit={LIST_LIMIT}", 15)
                )
            for request_kind, seconds in found.items():
                self._table.add(
                    f"{kind}: {request_kind} of {size:,} streams", 1000 * seconds[-1], "ms"
                )
        for request_kind, seconds in found.items():
            ratio = seconds[-1] / seconds[0]
            name = f"… {request_kind}: {STORE_SIZES[-1]:,} relative to {STORE_SIZES[0]:,} ({kind})"
            self._table.add(name, ratio, most=MAX_SIZE_RATIO)

    # -- imports --

    def _measure_imports(self, kind: str, factory: DatabaseFactory) -> None:
        """Measure the time that an import through the API takes beyond the worker's own."""
        with open_stub() as stub:
            settings = {
                "TAGSTREAM_EGRESS_ALLOW": json.dumps([{"host": "127.0.0.1", "port": stub}]),
                "TAGSTREAM_INSECURE_REGISTRIES": json.dumps([f"127.0.0.1:{stub}"]),
                "TAGSTREAM_LOG_LEVEL": "INFO",
                "TAGSTREAM_LOG_FORMAT": "json",
            }
            stream_set = StreamSet("bench", 1, tags=1, events=1)
            with (
                self._start_server(factory, stream_set, worker=True, **settings) as server,
                server.client() as client,
            ):
                durations = [_import_tag(client, stub, number) for number in range(IMPORT_COUNT)]
                worker_seconds = _worker_seconds(server.output)
        overhead = [seconds - worker_seconds[f"bench/{name}"] for name, seconds in durations][2:]
        median = 1000 * statistics.median(overhead)
        self._table.add(f"{kind}: an import, without the worker's time, p50", median, "ms", most=30)
        median = 1000 * statistics.median(worker_seconds.values())
        self._table.add(f"{kind}: … the worker's time", median, "ms")


def _read_scenarios() -> list[LoadScenario]:
    rng = random.Random(1)
    names = [stream_name(rng.randrange(STREAM_COUNT)) for _ in range(5000)]
    tags = [f"{name}:{tag_name(rng.randrange(10))}" for name in names]
    path = f"{API}/namespaces/bench"
    return [
        LoadScenario(
            "GET a tag", [_get_request(f"{path}/imagestreamtags/{tag}") for tag in tags], 1000, 0.05
        ),
        LoadScenario(
            "GET a stream of 10 tags",
            [_get_request(f"{_streams_path('bench')}/{n}") for n in names],
            900,
        ),
        LoadScenario(
            "GET a stream of 1,000 tags",
            [_get_request(f"{_streams_path('large')}/{stream_name(0)}")],
            50,
        ),
    ]


def _write_scenarios() -> list[LoadScenario]:
    rng = random.Random(2)
    spec: dict[str, Any] = {"tags": [{"name": "v1", "annotations": {"team": "bench"}}]}
    new: list[LoadRequest] = [
        (
            "POST",
            _streams_path("bench"),
            "application/json",
            json.dumps({"metadata": {"name": f"new-{number}"}, "spec": spec}),
        )
        for number in range(20_000)
    ]
    patches: list[LoadRequest] = [
        (
            "PATCH",
            f"{_streams_path('bench')}/{stream_name(rng.randrange(STREAM_COUNT))}",
            MERGE_PATCH,
            json.dumps({"metadata": {"annotations": {"number": str(number)}}}),
        )
        for number in range(20_000)
    ]
    return [
        LoadScenario("create a stream", new, 400, once=True),
        LoadScenario("PATCH a stream of 10 tags", patches, 300, once=True),
    ]


def _streams_path(namespace: str) -> str:
    return f"{API}/namespaces/{namespace}/imagestreams"


def _get_request(path: str) -> LoadRequest:
    return ("GET", path, None, None)


def _watch_request(server: ServerProcesses) -> bytes:
    """Build the request of a watch that starts now."""
    with server.client() as client:
        found = client.get(_streams_path("ns")).raise_for_status().json()
    version = found["metadata"]["resourceVersion"]
    path = f"{_streams_path('ns')}?watch=true&resourceVersion={version}"
    token = server.token
    return f"GET {path} HTTP/1.1\r\nHost: watch\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _page_paths(client: httpx.Client, namespace: str) -> list[str]:
    """List the paths of all pages of a list."""
    first = path = f"{_streams_path(namespace)}?limit={LIST_LIMIT}"
    paths = [first]
    while True:
        token = client.get(path).raise_for_status().json()["metadata"].get("continue")
        if not token:
            return paths
        path = f"{first}&continue={token}"
        paths.append(path)


def _time_request(client: httpx.Client, path: str) -> float:
    started = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - started


def _median_time(client: httpx.Client, path: str, rounds: int = 7) -> float:
    return statistics.median(_time_request(client, path) for _ in range(rounds))


def _worker_seconds(output: str) -> dict[str, float]:
    """Return the seconds of each import by stream, from the log: rows have whole seconds only."""
    lines = [json.loads(line) for line in output.splitlines() if '"import.finished"' in line]
    return {line["stream"]: line["seconds"] for line in lines}


def _import_tag(client: httpx.Client, stub: int, number: int) -> tuple[str, float]:
    """Import a tag into a new stream; return the stream and the seconds until the response."""
    name = f"imported-{number}"
    source = {"kind": "DockerImage", "name": f"127.0.0.1:{stub}/app:tag-{number:05}"}
    images = [{"from": source, "to": {"name": "latest"}}]
    body = {"metadata": {"name": name}, "spec": {"import": True, "images": images}}
    path = f"{API}/namespaces/bench/imagestreamimports"
    started = time.perf_counter()
    response = client.post(path, json=body).raise_for_status().json()
    duration = time.perf_counter() - started
    status = response["status"]["images"][0]["status"]
    assert status.get("status") == "Success", status
    return name, duration
