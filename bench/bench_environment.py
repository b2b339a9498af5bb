"""The measured environment: docker-registry with its corpora, latency proxies, databases, a stub.

Everything listens on loopback, lives in temporary directories, and is removed when the block ends.

| corpus | content |
|---|---|
| `multi` | 100 tags, each an index of 8 platforms and 8 attestations |
| `single` | 200 tags, each an image |
| `repeated` | 300 tags, each an image; imported twice |
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

PROJECT_ROOT = Path(__file__).parents[1]
MAX_PARALLEL_PUSHES = 16
PROCESS_TIMEOUT_SECONDS = 10.0
MULTI_TAGS, SINGLE_TAGS, REPEATED_TAGS = 100, 200, 300


class QuietDockerRegistry(DockerRegistry):
    """docker-registry with its default configuration, without an access log."""

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = super()._settings()
        settings["log"] = {"level": "error", "accesslog": {"disabled": True}}
        return settings


class DurablePostgres(Postgres):
    """PostgreSQL as in production: every commit is written to disk."""

    def command(self) -> list[str]:
        """Return the test server's command without its options that trade durability for speed."""
        arguments: list[str] = super().command()
        dropped_prefixes = (
            "-cfsync=",
            "-csynchronous_commit=",
            "-cfull_page_writes=",
            "-cautovacuum=",
        )
        dropped_prefixes += ("-cshared_buffers=",)
        return [
            argument for argument in arguments if not str(argument).startswith(dropped_prefixes)
        ]


class ScratchPostgres(Postgres):
    """PostgreSQL without durability and with much memory, for simulated hours."""

    def command(self) -> list[str]:
        """Return the test server's command with larger buffers."""
        arguments: list[str] = super().command()
        dropped_prefixes = ("-cautovacuum=", "-cshared_buffers=")
        remaining = [
            argument for argument in arguments if not str(argument).startswith(dropped_prefixes)
        ]
        buffers = ["-cshared_buffers=1GB", "-cmax_wal_size=8GB", "-cautovacuum_naptime=10s"]
        return [*remaining, *buffers]


class CorpusPublisher:
    """Pushes images to a registry over HTTP, up to MAX_PARALLEL_PUSHES requests at a time."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._push_permits = asyncio.Semaphore(MAX_PARALLEL_PUSHES)

    async def push_corpora(self) -> None:
        """Push all three corpora."""
        for repository in ("multi", "single", "repeated"):
            await asyncio.gather(
                *(
                    self.push_blob(repository, corpus_documents.layer_content(n))
                    for n in range(corpus_documents.DISTINCT_LAYERS)
                )
            )
        await asyncio.gather(
            *(self.push_index("multi", number) for number in range(MULTI_TAGS)),
            *(self.push_image("single", number) for number in range(SINGLE_TAGS)),
            *(self.push_image("repeated", number) for number in range(REPEATED_TAGS)),
        )

    async def push_image(self, repository: str, number: int) -> None:
        """Push an image with its config under the tag `v1.NUMBER`; its layers must exist."""
        config = corpus_documents.make_config("amd64", f"{repository} {number}")
        await self.push_blob(repository, config)
        content = corpus_documents.make_manifest(config, number)
        await self.push_manifest(repository, f"v1.{number}", content, corpus_documents.MANIFEST)

    async def push_index(self, repository: str, number: int) -> None:
        """Push an index of 8 platforms with 8 attestations under the tag `v1.NUMBER`."""
        entries = []
        provenance = []
        statement = corpus_documents.make_config("unknown", f"attestation {number}")
        await self.push_blob(repository, statement)
        for platform_index, platform in enumerate(corpus_documents.PLATFORMS):
            config = corpus_documents.make_config(
                platform[0], f"{number} {platform_index}", platform[1]
            )
            await self.push_blob(repository, config)
            content = corpus_documents.make_manifest(config, number + platform_index)
            await self.push_manifest(
                repository, corpus_documents.digest_of(content), content, corpus_documents.MANIFEST
            )
            entries.append(corpus_documents.manifest_descriptor(content, platform))
            attestation = corpus_documents.make_attestation(statement, platform_index)
            await self.push_manifest(
                repository,
                corpus_documents.digest_of(attestation),
                attestation,
                corpus_documents.MANIFEST,
            )
            provenance.append(corpus_documents.attestation_descriptor(attestation, content))
        document = {
            "schemaVersion": 2,
            "mediaType": corpus_documents.INDEX,
            "manifests": [*entries, *provenance],
        }
        await self.push_manifest(
            repository,
            f"v1.{number}",
            corpus_documents.encode_document(document),
            corpus_documents.INDEX,
        )

    async def push_blob(self, repository: str, content: bytes) -> None:
        """Push a blob."""
        url = f"{self._url}/v2/{repository}/blobs/uploads/"
        async with self._push_permits:
            async with self._session.post(url) as response:
                upload_url = response.headers["Location"]
            separator = "&" if "?" in upload_url else "?"
            target = f"{upload_url}{separator}digest={corpus_documents.digest_of(content)}"
            async with self._session.put(target, data=content) as response:
                response.raise_for_status()

    async def push_manifest(
        self, repository: str, name: str, content: bytes, media_type: str
    ) -> None:
        """Push a manifest under a tag or digest."""
        url = f"{self._url}/v2/{repository}/manifests/{name}"
        headers = {"Content-Type": media_type}
        async with (
            self._push_permits,
            self._session.put(url, data=content, headers=headers) as response,
        ):
            response.raise_for_status()


@contextmanager
def open_registry() -> Iterator[int]:
    """Run a registry that holds the corpora, and yield its port."""
    with QuietDockerRegistry() as registry:
        asyncio.run(_fill_registry(registry.url))
        yield registry.port


async def _fill_registry(url: str) -> None:
    async with aiohttp.ClientSession(trust_env=False) as session:
        await CorpusPublisher(url, session).push_corpora()


@contextmanager
def open_latency_proxy(
    target: int, milliseconds: float, record: Path | None = None
) -> Iterator[int]:
    """Run a proxy to port `target` with that round trip time, and yield its port.

    The first line of every request is appended to `record`.
    """
    log_arguments = [str(record)] if record is not None else []
    with _child_process(
        "bench.importing.latency_proxy", str(target), str(milliseconds), *log_arguments
    ) as port:
        yield port


@contextmanager
def open_empty_registry() -> Iterator[QuietDockerRegistry]:
    """Run an empty registry."""
    with QuietDockerRegistry() as registry:
        yield registry


@contextmanager
def open_stub() -> Iterator[int]:
    """Run a stub registry, which costs almost no CPU time, and yield its port."""
    with _child_process("bench.importing.stub_registry") as port:
        yield port


@contextmanager
def open_databases(directory: Path) -> Iterator[dict[str, DatabaseFactory]]:
    """Yield factories of empty databases, by kind."""
    with DurablePostgres() as server:
        yield {"SQLite": SqliteFactory(directory), "PostgreSQL": PostgresFactory(server)}


class DatabaseFactory:
    """Creates empty databases of one kind."""

    @property
    def pid(self) -> int | None:
        """Return the process id of the database server, or None if there is none."""
        return None

    def create(self) -> str:
        """Create a database and return its URL."""
        raise NotImplementedError


class SqliteFactory(DatabaseFactory):
    """Creates SQLite databases."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._created = 0

    def create(self) -> str:
        self._created += 1
        return f"sqlite:///{self._directory / f'bench-{self._created}.db'}"


class PostgresFactory(DatabaseFactory):
    """Creates databases on one PostgreSQL server."""

    def __init__(self, server: DurablePostgres) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        pid: int = self._server.pid
        return pid

    def create(self) -> str:
        url: str = self._server.url(self._server.create_database())
        return url


@contextmanager
def _child_process(module: str, *arguments: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port), *arguments], cwd=PROJECT_ROOT
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(PROCESS_TIMEOUT_SECONDS)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: {process.args} did not start; its error is printed above")
