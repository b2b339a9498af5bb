"""The API as clients see it, beside what was wished for: reads, writes, watches and imports.

The server is a process of its own (`server_processes.py`), so is the load (`load_generator.py`): 16
connections over TLS that are kept alive, each with one request in flight.
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

from bench.bench_environment import Databases, open_stub
from bench.bench_report import Table
from bench.serving import stream_rows
from bench.serving.server_processes import Request, Serving, cpu_seconds
from bench.serving.stream_rows import Lot, stream_name, tag_name
from bench.serving.watch_bench import Watchers, resident_mib

API = "/apis/image.openshift.io/v1"
MERGE = "application/merge-patch+json"
STREAMS, SIZES = 10_000, (1_000, 10_000, 100_000)
PAGE = 500
WATCHERS, OPEN, CHANGES, IMPORTS = 1_000, 5_000, 20, 40
FLATTEST = 1.5  # how much slower the largest store may be than the smallest


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to send, and what is wished for. `least` is a rate, `most` seconds at the 99th."""

    name: str
    requests: Sequence[Request]
    least: float | None = None
    most: float | None = None
    once: bool = False


class ApiBench:
    """Measures one kind of database after another."""

    def __init__(self, table: Table, home: Path) -> None:
        self._table = table
        self._home = home
        self._made = 0

    def measure(self, kind: str, maker: Databases) -> None:
        """All of it on one kind of database."""
        with self._serving(maker) as serving:
            print(f"filling {kind}", flush=True)
            self._loads(kind, serving)
        with self._serving(maker) as serving:
            asyncio.run(self._watches(kind, serving))
        self._sizes(kind, maker)
        self._imports(kind, maker)

    @contextmanager
    def _serving(
        self, maker: Databases, *lots: Lot, worker: bool = False, **variables: str
    ) -> Iterator[Serving]:
        self._made += 1
        home = self._home / f"server-{self._made}"
        home.mkdir()
        serving = Serving(maker.make(), home, worker=worker, **variables)
        for lot in lots:
            stream_rows.fill_streams(serving.engine, lot)
        with serving:
            yield serving

    # -- rates --

    def _loads(self, kind: str, serving: Serving) -> None:
        stream_rows.fill_images(serving.engine)
        stream_rows.fill_streams(serving.engine, Lot("bench", STREAMS))
        stream_rows.fill_streams(serving.engine, Lot("large", 1, tags=1000))
        base = self._load(kind, serving, Load("GET /version", [_get("/version")]))
        for load in _reads():
            rate = self._load(kind, serving, load)
            self._table.add(f"… of what /version has ({load.name}, {kind})", rate / base)
        self._pages(kind, serving)
        for load in _writes():
            self._load(kind, serving, load)

    def _load(self, kind: str, serving: Serving, load: Load) -> float:
        found = serving.load(load.requests, once=load.once)
        assert set(found["codes"]) <= {"200", "201"}, found["codes"]
        name = f"{kind}: {load.name}"
        self._table.add(name, found["rate"], "/s", least=load.least)
        self._table.add(f"{name}, median", 1000 * found["median"], "ms")
        most = None if load.most is None else 1000 * load.most
        self._table.add(f"{name}, p99", 1000 * found["p99"], "ms", most=most)
        self._table.add(f"{name}, CPU of the server", found["cpu"], "ms each")
        rate: float = found["rate"]
        return rate

    def _pages(self, kind: str, serving: Serving) -> None:
        with serving.client() as client:
            pages = _walk(client, "bench")
            assert len(pages) == STREAMS // PAGE
            first, last = _median(client, pages[0]), _median(client, pages[-1])
        load = Load(f"{PAGE} streams a page", [_get(each) for each in pages], least=11)
        self._load(kind, serving, load)
        self._table.add(f"… last page to the first ({kind})", last / first, most=FLATTEST)

    # -- watches --

    async def _watches(self, kind: str, serving: Serving) -> None:
        url = serving.url
        watchers = Watchers(serving.port, tls=True, ask=_watch(serving))
        await watchers.open(WATCHERS)
        delays = await watchers.hear(url, CHANGES)
        name = f"{kind}: a change to {WATCHERS:,} watchers"
        self._table.add(f"{name}, median", statistics.median(delays), "s")
        last = statistics.quantiles(delays, n=100)[98]
        self._table.add(f"{name}, p99", last, "s", most=1.0)
        watchers.ask = _watch(serving)
        await watchers.open(OPEN - WATCHERS)
        await watchers.hear(url, 1)
        name = f"{kind}: memory with {OPEN:,} open watches"
        self._table.add(name, resident_mib(serving.pid), "MiB", most=200)
        spent = cpu_seconds(serving.pid)
        await asyncio.sleep(5)
        idle = 20 * (cpu_seconds(serving.pid) - spent)
        self._table.add(f"{kind}: CPU of {OPEN:,} idle watches", idle, "% of a core")

    # -- growth --

    def _sizes(self, kind: str, maker: Databases) -> None:
        """One question at a time, of small and of large stores."""
        found: dict[str, list[float]] = {"GET": [], "page": []}
        for size in SIZES:
            with (
                self._serving(maker, Lot("bench", size, tags=1, events=1)) as serving,
                serving.client() as client,
            ):
                dice = random.Random(size)
                streams = [stream_name(dice.randrange(size)) for _ in range(200)]
                times = [_time(client, f"{_streams('bench')}/{each}") for each in streams]
                found["GET"].append(statistics.median(times))
                found["page"].append(_median(client, f"{_streams('bench')}?limit={PAGE}", 15))
            for what, seconds in found.items():
                self._table.add(f"{kind}: {what} of {size:,} streams", 1000 * seconds[-1], "ms")
        for what, seconds in found.items():
            ratio = seconds[-1] / seconds[0]
            name = f"… {what}: {SIZES[-1]:,} to {SIZES[0]:,} ({kind})"
            self._table.add(name, ratio, most=FLATTEST)

    # -- imports --

    def _imports(self, kind: str, maker: Databases) -> None:
        """What the way through the API adds to the worker's own time."""
        with open_stub() as stub:
            allowed = {
                "TAGSTREAM_EGRESS_ALLOW": json.dumps([{"host": "127.0.0.1", "port": stub}]),
                "TAGSTREAM_INSECURE_REGISTRIES": json.dumps([f"127.0.0.1:{stub}"]),
                "TAGSTREAM_LOG_LEVEL": "INFO",
                "TAGSTREAM_LOG_FORMAT": "json",
            }
            lot = Lot("bench", 1, tags=1, events=1)
            with (
                self._serving(maker, lot, worker=True, **allowed) as serving,
                serving.client() as client,
            ):
                taken = [_import(client, stub, number) for number in range(IMPORTS)]
                own = _work_times(serving.output)
        beyond = [seconds - own[f"bench/{name}"] for name, seconds in taken][2:]
        median = 1000 * statistics.median(beyond)
        self._table.add(f"{kind}: an import, beyond the worker's time, p50", median, "ms", most=30)
        median = 1000 * statistics.median(own.values())
        self._table.add(f"{kind}: … the worker's time", median, "ms")


def _reads() -> list[Load]:
    dice = random.Random(1)
    names = [stream_name(dice.randrange(STREAMS)) for _ in range(5000)]
    tags = [f"{name}:{tag_name(dice.randrange(10))}" for name in names]
    path = f"{API}/namespaces/bench"
    return [
        Load("GET a tag", [_get(f"{path}/imagestreamtags/{tag}") for tag in tags], 1000, 0.05),
        Load("GET a stream of 10 tags", [_get(f"{_streams('bench')}/{n}") for n in names], 900),
        Load("GET a stream of 1,000 tags", [_get(f"{_streams('large')}/{stream_name(0)}")], 50),
    ]


def _writes() -> list[Load]:
    dice = random.Random(2)
    spec: dict[str, Any] = {"tags": [{"name": "v1", "annotations": {"team": "bench"}}]}
    new: list[Request] = [
        (
            "POST",
            _streams("bench"),
            "application/json",
            json.dumps({"metadata": {"name": f"new-{number}"}, "spec": spec}),
        )
        for number in range(20_000)
    ]
    patches: list[Request] = [
        (
            "PATCH",
            f"{_streams('bench')}/{stream_name(dice.randrange(STREAMS))}",
            MERGE,
            json.dumps({"metadata": {"annotations": {"number": str(number)}}}),
        )
        for number in range(20_000)
    ]
    return [
        Load("create a stream", new, 400, once=True),
        Load("PATCH a stream of 10 tags", patches, 300, once=True),
    ]


def _streams(namespace: str) -> str:
    return f"{API}/namespaces/{namespace}/imagestreams"


def _get(path: str) -> Request:
    return ("GET", path, None, None)


def _watch(serving: Serving) -> bytes:
    """A watch for what changes from now on."""
    with serving.client() as client:
        found = client.get(_streams("ns")).raise_for_status().json()
    version = found["metadata"]["resourceVersion"]
    path = f"{_streams('ns')}?watch=true&resourceVersion={version}"
    token = serving.token
    return f"GET {path} HTTP/1.1\r\nHost: watch\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _walk(client: httpx.Client, namespace: str) -> list[str]:
    """The paths of all pages of a list."""
    first = path = f"{_streams(namespace)}?limit={PAGE}"
    paths = [first]
    while True:
        token = client.get(path).raise_for_status().json()["metadata"].get("continue")
        if not token:
            return paths
        path = f"{first}&continue={token}"
        paths.append(path)


def _time(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began


def _median(client: httpx.Client, path: str, rounds: int = 7) -> float:
    return statistics.median(_time(client, path) for _ in range(rounds))


def _work_times(output: str) -> dict[str, float]:
    """The seconds of each import, by stream: the rows know only whole ones, so the log is asked."""
    lines = [json.loads(line) for line in output.splitlines() if '"import.finished"' in line]
    return {line["stream"]: line["seconds"] for line in lines}


def _import(client: httpx.Client, stub: int, number: int) -> tuple[str, float]:
    """A tag of its own for each; the stream, and the seconds until the answer was there."""
    name = f"imported-{number}"
    source = {"kind": "DockerImage", "name": f"127.0.0.1:{stub}/app:tag-{number:05}"}
    images = [{"from": source, "to": {"name": "latest"}}]
    body = {"metadata": {"name": name}, "spec": {"import": True, "images": images}}
    path = f"{API}/namespaces/bench/imagestreamimports"
    began = time.perf_counter()
    answer = client.post(path, json=body).raise_for_status().json()
    taken = time.perf_counter() - began
    told = answer["status"]["images"][0]["status"]
    assert told.get("status") == "Success", told
    return name, taken
