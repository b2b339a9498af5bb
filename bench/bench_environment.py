"""The world that is measured: Debian's docker-registry with its corpora, wires, databases, a stub.

Everything listens on loopback, lives in temporary directories, and is gone when the block ends.

| corpus | what it holds |
|---|---|
| `multi` | 100 tags, each an index of 8 platforms and 8 attestations |
| `single` | 200 tags, each an image |
| `same` | 300 tags, each an image |
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from bench.importing import corpus_documents
from tests.servers import DockerRegistry, Postgres, free_port

HOME = Path(__file__).parents[1]
SIDE_BY_SIDE = 16
PATIENCE = 10.0
MULTI_TAGS, SINGLE_TAGS, SAME_TAGS = 100, 200, 300


class Registry(DockerRegistry):
    """docker-registry as it comes, without an access log."""

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = super()._settings()
        settings["log"] = {"level": "error", "accesslog": {"disabled": True}}
        return settings


class Database(Postgres):
    """PostgreSQL as it comes: every commit reaches the disk."""

    def command(self) -> list[str]:
        words: list[str] = super().command()
        own = ("-cfsync=", "-csynchronous_commit=", "-cfull_page_writes=", "-cautovacuum=")
        own += ("-cshared_buffers=",)
        return [word for word in words if not str(word).startswith(own)]


class Scratch(Postgres):
    """PostgreSQL that forgets all in a power cut, and has room: for hours on a clock of ours."""

    def command(self) -> list[str]:
        words: list[str] = super().command()
        own = ("-cautovacuum=", "-cshared_buffers=")
        kept = [word for word in words if not str(word).startswith(own)]
        room = ["-cshared_buffers=1GB", "-cmax_wal_size=8GB", "-cautovacuum_naptime=10s"]
        return [*kept, *room]


class Publisher:
    """Fills a registry by HTTP, as many pushes side by side as it bears."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)

    async def push_corpora(self) -> None:
        for repository in ("multi", "single", "same"):
            await asyncio.gather(
                *(
                    self.blob(repository, corpus_documents.layer(n))
                    for n in range(corpus_documents.LAYER_NAMES)
                )
            )
        await asyncio.gather(
            *(self.index("multi", number) for number in range(MULTI_TAGS)),
            *(self.image("single", number) for number in range(SINGLE_TAGS)),
            *(self.image("same", number) for number in range(SAME_TAGS)),
        )

    async def image(self, repository: str, number: int) -> None:
        config = corpus_documents.make_config("amd64", f"{repository} {number}")
        await self.blob(repository, config)
        content = corpus_documents.make_manifest(config, number)
        await self.manifest(repository, f"v1.{number}", content, corpus_documents.MANIFEST)

    async def index(self, repository: str, number: int) -> None:
        entries = []
        provenance = []
        statement = corpus_documents.make_config("unknown", f"attestation {number}")
        await self.blob(repository, statement)
        for place, platform in enumerate(corpus_documents.PLATFORMS):
            config = corpus_documents.make_config(platform[0], f"{number} {place}", platform[1])
            await self.blob(repository, config)
            content = corpus_documents.make_manifest(config, number + place)
            await self.manifest(
                repository, corpus_documents.digest_of(content), content, corpus_documents.MANIFEST
            )
            entries.append(corpus_documents.descriptor(content, platform))
            told = corpus_documents.make_attestation(statement, place)
            await self.manifest(
                repository, corpus_documents.digest_of(told), told, corpus_documents.MANIFEST
            )
            provenance.append(corpus_documents.attestation_descriptor(told, content))
        document = {
            "schemaVersion": 2,
            "mediaType": corpus_documents.INDEX,
            "manifests": [*entries, *provenance],
        }
        await self.manifest(
            repository, f"v1.{number}", corpus_documents.pack(document), corpus_documents.INDEX
        )

    async def blob(self, repository: str, content: bytes) -> None:
        url = f"{self._url}/v2/{repository}/blobs/uploads/"
        async with self._turns:
            async with self._session.post(url) as answer:
                place = answer.headers["Location"]
            glue = "&" if "?" in place else "?"
            target = f"{place}{glue}digest={corpus_documents.digest_of(content)}"
            async with self._session.put(target, data=content) as answer:
                answer.raise_for_status()

    async def manifest(self, repository: str, name: str, content: bytes, kind: str) -> None:
        url = f"{self._url}/v2/{repository}/manifests/{name}"
        headers = {"Content-Type": kind}
        async with self._turns, self._session.put(url, data=content, headers=headers) as answer:
            answer.raise_for_status()


@contextmanager
def open_registry() -> Iterator[int]:
    """The port of a registry that holds the corpora."""
    with Registry() as registry:
        asyncio.run(_fill(registry.url))
        yield registry.port


async def _fill(url: str) -> None:
    async with aiohttp.ClientSession(trust_env=False) as session:
        await Publisher(url, session).push_corpora()


@contextmanager
def open_wire(target: int, milliseconds: float, record: Path | None = None) -> Iterator[int]:
    """The port of a wire to `target` with that round trip; requests are noted in `record`."""
    more = [str(record)] if record is not None else []
    with _child("bench.importing.latency_proxy", str(target), str(milliseconds), *more) as port:
        yield port


@contextmanager
def open_plain_registry() -> Iterator[Registry]:
    """A registry that holds nothing yet."""
    with Registry() as registry:
        yield registry


@contextmanager
def open_stub() -> Iterator[int]:
    """The port of a registry that costs almost nothing."""
    with _child("bench.importing.stub_registry") as port:
        yield port


@contextmanager
def open_databases(directory: Path) -> Iterator[dict[str, Databases]]:
    """Makers of fresh databases, by kind."""
    with Database() as server:
        yield {"SQLite": Files(directory), "PostgreSQL": Server(server)}


class Databases:
    """Makes databases, each fresh."""

    @property
    def pid(self) -> int | None:
        """The server's process, where there is one."""
        return None

    def make(self) -> str:
        """The URL of a new one."""
        raise NotImplementedError


class Files(Databases):
    """SQLite."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = 0

    def make(self) -> str:
        self._made += 1
        return f"sqlite:///{self._directory / f'bench-{self._made}.db'}"


class Server(Databases):
    """PostgreSQL."""

    def __init__(self, server: Database) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        pid: int = self._server.pid
        return pid

    def make(self) -> str:
        url: str = self._server.url(self._server.create_database())
        return url


@contextmanager
def _child(module: str, *words: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", module, str(port), *words], cwd=HOME)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: {process.args} does not start")
