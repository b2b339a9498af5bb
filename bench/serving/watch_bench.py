"""Measures the delivery of a change to 1,000 watchers, and the memory of 5,000 open watches.

python -m bench.serving.watch_bench [--watchers 1000] [--changes 50] [--open 5000] [--plain]

The server is a separate process: uvicorn with the reflector and the watch cache of the API, over
TLS. The watchers are sockets of this process, which also writes; both share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from api.watch.change_reader import ChangeReader, Reflector
from api.watch.watch_cache import WatchCache, WatchEventPage
from api.watch.watch_encoder import WatchEncoder
from api.watch.watch_stream import WatchRequest, stream_watch
from bench.bench_environment import PROJECT_ROOT, open_databases
from bench.bench_report import ResultTable, render
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, ImageStreamSpec, TagReference
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.streams.stream_store import load_stream, save_stream
from tests.fakeregistry.certificates import Authority

ENCODER = WatchEncoder("ImageStream", "ImageStream", "image.openshift.io/v1")
HOST = "127.0.0.1"
WATCH_REQUEST = b"GET /watch HTTP/1.1\r\nHost: watch\r\n\r\n"
MAX_DELIVERY_SECONDS, MAX_MEMORY_MIB = 1.0, 200.0
OPEN_BATCH_SIZE = 50


def main() -> None:
    """Run the bench, or the server of the bench with `--serve`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--open", type=int, default=5000)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "HOME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], Path(args.serve[1]), tls=not args.plain)
        return
    table = ResultTable()
    with tempfile.TemporaryDirectory() as work_dir, open_databases(Path(work_dir)) as databases:
        for kind, factory in databases.items():
            asyncio.run(measure(table, kind, factory.create(), Path(work_dir), args))
    print(render(list(table.rows.values())))


async def measure(
    table: ResultTable, kind: str, url: str, work_dir: Path, args: argparse.Namespace
) -> None:
    """Measure delivery and memory on one database, with one server."""
    upgrade_database(open_engine(url))
    certificate = Authority().issue()
    (work_dir / "tls.crt").write_bytes(certificate.chain)
    (work_dir / "tls.key").write_bytes(certificate.key)
    arguments = [
        "-m",
        "bench.serving.watch_bench",
        "--serve",
        url,
        str(work_dir),
        *(["--plain"] * args.plain),
    ]
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [sys.executable, *arguments], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        watchers = WatchClients(port, tls=not args.plain)
        await watchers.open(args.watchers)
        delays = await watchers.measure_delivery(url, args.changes)
        name = f"watch, {kind}: delivery of a change to {args.watchers} watchers"
        table.add(f"{name}, median", statistics.median(delays), "s")
        p99 = statistics.quantiles(delays, n=100)[98]
        table.add(f"{name}, p99", p99, "s", most=MAX_DELIVERY_SECONDS)
        await watchers.open(args.open - args.watchers)
        await watchers.measure_delivery(url, 1)
        name = f"watch, {kind}: memory with {args.open} open watches"
        table.add(name, resident_mib(server.pid), "MiB", most=MAX_MEMORY_MIB)
        cpu_before = cpu_seconds(server.pid)
        await asyncio.sleep(10)
        idle_percent = 100 * (cpu_seconds(server.pid) - cpu_before) / 10
        table.add(f"watch, {kind}: CPU of {args.open} idle watches", idle_percent, "% of a core")
    finally:
        server.kill()
        server.wait()


class WatchClients:
    """Open watches; each records when an event arrived."""

    def __init__(self, port: int, *, tls: bool, request: bytes = WATCH_REQUEST) -> None:
        self._port = port
        self.request = request
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if tls else None
        if self._tls is not None:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._count = 0
        self._arrived: list[tuple[str, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """Open so many more watches, a few at a time."""
        for start in range(0, count, OPEN_BATCH_SIZE):
            await asyncio.gather(
                *(self._open_one() for _ in range(min(OPEN_BATCH_SIZE, count - start)))
            )

    async def measure_delivery(self, url: str, changes: int) -> list[float]:
        """Return the seconds from the end of each commit to its event at each watcher."""
        engine = open_engine(url)
        self._arrived.clear()
        committed: dict[str, float] = {}
        for number in range(changes):
            version = await asyncio.to_thread(save_change, engine, number)
            committed[version] = time.monotonic()
            await asyncio.sleep(0.3)
        wanted = changes * self._count
        for _ in range(600):
            if len(self._arrived) >= wanted:
                break
            await asyncio.sleep(0.05)
        engine.dispose()
        assert len(self._arrived) == wanted, f"{len(self._arrived)} of {wanted} events arrived"
        return [arrived - committed[version] for version, arrived in self._arrived]

    async def _open_one(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port, ssl=self._tls)
        writer.write(self.request)
        await reader.readuntil(b"\r\n\r\n")
        self._count += 1
        task = asyncio.create_task(self._read(reader, writer))
        self._tasks.add(task)

    async def _read(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"{"):
                arrived = time.monotonic()
                version = json.loads(line)["object"]["metadata"]["resourceVersion"]
                self._arrived.append((version, arrived))


def save_change(engine: Any, number: int) -> str:
    """Change the watched stream and return its new version."""
    with transaction(engine) as session:
        old = load_stream(session, "ns", "app", for_update=True)
        new = old or make_stream()
        metadata = new.metadata.replace(annotations={"number": str(number), "at": str(time.time())})
        stored = save_stream(session, old, new.replace(metadata=metadata), now=datetime.now(UTC))
    return stored.metadata.resource_version


def make_stream() -> ImageStream:
    """Build a stream of 20 tags."""
    tags = [
        TagReference(
            name=f"v{n}", from_=ObjectReference(kind="DockerImage", name=f"quay.io/team/app:v{n}")
        )
        for n in range(20)
    ]
    metadata = ObjectMeta(name="app", namespace="ns", generation=1)
    return ImageStream(metadata=metadata, spec=ImageStreamSpec(tags=tags))


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kib) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the server's process --


def serve(url: str, work_dir: Path, *, tls: bool) -> None:
    """Serve watches of streams and nothing else; the first line of output is the port."""
    engine = open_engine(url)
    change_reader = ChangeReader(engine, convert_change=lambda found: found.object)

    async def read_change_log(kind: str, after: int) -> WatchEventPage:
        return await asyncio.to_thread(change_reader.read, kind, after)

    watch_cache = WatchCache(read_change_log)
    reflector = Reflector(engine, watch_cache, change_reader)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for piece in stream_body():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def stream_body() -> AsyncIterator[bytes]:
        request = WatchRequest("ImageStream", ENCODER, namespace="ns", start=None, bookmarks=False)
        return stream_watch(watch_cache, request, list_nothing)

    async def list_nothing() -> tuple[list[dict[str, Any]], int]:
        return [], 0

    async def run_lifespan(receive: Any, send: Any) -> None:
        await receive()
        reflector.start()
        await watch_cache.wait_until_started(asyncio.get_running_loop().time() + 30)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch_cache.close()
        reflector.stop()
        await send({"type": "lifespan.shutdown.complete"})

    config = uvicorn.Config(
        app,
        host=HOST,
        port=0,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        backlog=2048,
        ssl_certfile=work_dir / "tls.crt" if tls else None,
        ssl_keyfile=work_dir / "tls.key" if tls else None,
    )
    listener = config.bind_socket()
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
