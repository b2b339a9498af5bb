"""A change on its way to 1,000 watchers, and what 5,000 open watches weigh.

python -m bench.serving.watch_bench [--watchers 1000] [--changes 50] [--open 5000] [--plain]

The server is a process of its own: uvicorn with the follower and the hub as the API has them, over
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

from api.watch.change_reader import Feed, Follower
from api.watch.watch_cache import Hub, Page
from api.watch.watch_encoder import Shape
from api.watch.watch_stream import WatchRequest, watch_body
from bench.bench_environment import HOME, open_databases
from bench.bench_report import Table, render
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, ImageStreamSpec, TagReference
from models.store.database.session import open_engine, transaction, upgrade
from models.store.streams.stream_store import load_stream, save_stream
from tests.fakeregistry.certificates import Authority

SHAPE = Shape("ImageStream", "ImageStream", "image.openshift.io/v1")
HOST = "127.0.0.1"
ASK = b"GET /watch HTTP/1.1\r\nHost: watch\r\n\r\n"
MOST_SECONDS, MOST_MIB = 1.0, 200.0
AT_ONCE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--open", type=int, default=5000)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "HOME"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve[0], Path(chosen.serve[1]), tls=not chosen.plain)
        return
    table = Table()
    with tempfile.TemporaryDirectory() as home, open_databases(Path(home)) as databases:
        for kind, maker in databases.items():
            asyncio.run(measure(table, kind, maker.make(), Path(home), chosen))
    print(render(list(table.rows.values())))


async def measure(
    table: Table, kind: str, url: str, home: Path, chosen: argparse.Namespace
) -> None:
    """Both numbers on one database, with one server."""
    upgrade(open_engine(url))
    certificate = Authority().issue()
    (home / "tls.crt").write_bytes(certificate.chain)
    (home / "tls.key").write_bytes(certificate.key)
    words = [
        "-m",
        "bench.serving.watch_bench",
        "--serve",
        url,
        str(home),
        *(["--plain"] * chosen.plain),
    ]
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [sys.executable, *words], cwd=HOME, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        watchers = Watchers(port, tls=not chosen.plain)
        await watchers.open(chosen.watchers)
        delays = await watchers.hear(url, chosen.changes)
        name = f"watch, {kind}: a change to {chosen.watchers} watchers"
        table.add(f"{name}, median", statistics.median(delays), "s")
        last = statistics.quantiles(delays, n=100)[98]
        table.add(f"{name}, p99", last, "s", most=MOST_SECONDS)
        await watchers.open(chosen.open - chosen.watchers)
        await watchers.hear(url, 1)
        name = f"watch, {kind}: memory with {chosen.open} open watches"
        table.add(name, resident_mib(server.pid), "MiB", most=MOST_MIB)
        spent = cpu_seconds(server.pid)
        await asyncio.sleep(10)
        idle = 100 * (cpu_seconds(server.pid) - spent) / 10
        table.add(f"watch, {kind}: CPU of {chosen.open} idle watches", idle, "% of a core")
    finally:
        server.kill()
        server.wait()


class Watchers:
    """Open watches; each notes when a line came."""

    def __init__(self, port: int, *, tls: bool, ask: bytes = ASK) -> None:
        self._port = port
        self.ask = ask
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if tls else None
        if self._tls is not None:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._count = 0
        self._arrived: list[tuple[str, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """As many more, a few at a time."""
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._open_one() for _ in range(min(AT_ONCE, count - start))))

    async def hear(self, url: str, changes: int) -> list[float]:
        """Seconds from the end of each commit to each watcher's line."""
        engine = open_engine(url)
        self._arrived.clear()
        committed: dict[str, float] = {}
        for number in range(changes):
            version = await asyncio.to_thread(write, engine, number)
            committed[version] = time.monotonic()
            await asyncio.sleep(0.3)
        wanted = changes * self._count
        for _ in range(600):
            if len(self._arrived) >= wanted:
                break
            await asyncio.sleep(0.05)
        engine.dispose()
        assert len(self._arrived) == wanted, f"{len(self._arrived)} of {wanted} lines came"
        return [came - committed[version] for version, came in self._arrived]

    async def _open_one(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port, ssl=self._tls)
        writer.write(self.ask)
        await reader.readuntil(b"\r\n\r\n")
        self._count += 1
        task = asyncio.create_task(self._read(reader, writer))
        self._tasks.add(task)

    async def _read(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"{"):
                came = time.monotonic()
                version = json.loads(line)["object"]["metadata"]["resourceVersion"]
                self._arrived.append((version, came))


def write(engine: Any, number: int) -> str:
    """Change the one stream that is watched; the version it has now."""
    with transaction(engine) as session:
        old = load_stream(session, "ns", "app", for_update=True)
        new = old or make_stream()
        metadata = new.metadata.replace(annotations={"number": str(number), "at": str(time.time())})
        stored = save_stream(session, old, new.replace(metadata=metadata), now=datetime.now(UTC))
    return stored.metadata.resource_version


def make_stream() -> ImageStream:
    """A stream of 20 tags."""
    tags = [
        TagReference(
            name=f"v{n}", from_=ObjectReference(kind="DockerImage", name=f"quay.io/team/app:v{n}")
        )
        for n in range(20)
    ]
    metadata = ObjectMeta(name="app", namespace="ns", generation=1)
    return ImageStream(metadata=metadata, spec=ImageStreamSpec(tags=tags))


def resident_mib(pid: int) -> float:
    """The memory that a process holds now."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kib) / 1024


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the server's process --


def serve(url: str, home: Path, *, tls: bool) -> None:
    """A server that knows nothing but watching streams; its port is the first line it prints."""
    engine = open_engine(url)
    feed = Feed(engine, open_object=lambda found: found.object)

    async def read_past(kind: str, after: int) -> Page:
        return await asyncio.to_thread(feed.read, kind, after)

    hub = Hub(read_past)
    follower = Follower(engine, hub, feed)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for piece in watch():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def watch() -> AsyncIterator[bytes]:
        request = WatchRequest("ImageStream", SHAPE, namespace="ns", start=None, bookmarks=False)
        return watch_body(hub, request, nothing)

    async def nothing() -> tuple[list[dict[str, Any]], int]:
        return [], 0

    async def live(receive: Any, send: Any) -> None:
        await receive()
        follower.start()
        await hub.started(asyncio.get_running_loop().time() + 30)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        hub.close()
        follower.stop()
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
        ssl_certfile=home / "tls.crt" if tls else None,
        ssl_keyfile=home / "tls.key" if tls else None,
    )
    listening = config.bind_socket()
    listening.listen(2048)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
