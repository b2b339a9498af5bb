"""What the registry client carries by itself, against a stub that costs nothing.

    python -m bench.importing.client_bench PORT METHOD IN_FLIGHT [SECONDS]

METHOD is HEAD, GET (a manifest of 2.4 KB, verified) or BLOB (a config of 8 KB, verified). Prints
requests a second and the CPU milliseconds of each, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from bench.importing.corpus_documents import digest_of
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.transport.egress_policy import EgressPolicy

SECONDS = 1.0
WARM_UP = 300


async def measure(port: int, method: str, in_flight: int, seconds: float) -> dict[str, float]:
    config = ClientConfig(
        policy=EgressPolicy(embedded=True), concurrency_start=in_flight, concurrency=in_flight
    )
    client = RegistryClient(config)
    ask = await _prepare(client, Place(f"127.0.0.1:{port}", "app"), method)
    try:
        for _ in range(WARM_UP):
            await ask()
        before = client.exchange.sent
        done, found = await _repeat(ask, in_flight, seconds)
        assert client.exchange.sent - before == done, "not every answer came from the stub"
        return found
    finally:
        await client.close()


async def _prepare(
    client: RegistryClient, place: Place, method: str
) -> Callable[[], Awaitable[object]]:
    access = Access()
    if method == "HEAD":
        return lambda: client.head_manifest(place, "tag-00000", access)
    manifest = await client.fetch_manifest(place, "tag-00000", access)
    if method == "GET":
        return lambda: client.fetch_manifest(place, manifest.digest, access)
    config = json.loads(manifest.content)["config"]
    blob = await client.fetch_blob(place, config["digest"], access, declared=config["size"])
    assert digest_of(blob.content) == config["digest"]
    return lambda: client.fetch_blob(place, config["digest"], access, declared=config["size"])


async def _repeat(
    ask: Callable[[], Awaitable[object]], in_flight: int, seconds: float
) -> tuple[int, dict[str, float]]:
    done = 0
    end = time.perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await ask()
            done += 1

    began, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    return done, {"rate": done / wall, "cpu_ms": cpu / done * 1000}


if __name__ == "__main__":
    where, kind, number, *length = sys.argv[1:]
    found = uvloop.run(
        measure(int(where), kind, int(number), float(length[0]) if length else SECONDS)
    )
    print(json.dumps(found))
