"""Measures the registry client alone, against a stub that costs almost no CPU time.

    python -m bench.importing.client_bench PORT METHOD IN_FLIGHT [SECONDS]

METHOD is HEAD, GET (a manifest of 2.4 KB, verified) or BLOB (a config of 8 KB, verified). Prints
requests a second and CPU milliseconds per request, as JSON.
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
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.egress_policy import EgressPolicy

MEASURED_SECONDS = 1.0
WARM_UP_REQUESTS = 300


async def measure(port: int, method: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Measure the rate of one kind of request with so many in flight."""
    config = ClientConfig(
        policy=EgressPolicy(embedded=True), concurrency_start=in_flight, concurrency=in_flight
    )
    client = RegistryClient(config)
    send_request = await _prepare_request(
        client, SourceRepository(f"127.0.0.1:{port}", "app"), method
    )
    try:
        for _ in range(WARM_UP_REQUESTS):
            await send_request()
        before = client.exchange.sent_count
        done, found = await _repeat_request(send_request, in_flight, seconds)
        assert client.exchange.sent_count - before == done, "not every response is from the stub"
        return found
    finally:
        await client.close()


async def _prepare_request(
    client: RegistryClient, source: SourceRepository, method: str
) -> Callable[[], Awaitable[object]]:
    request_context = RequestContext()
    if method == "HEAD":
        return lambda: client.head_manifest(source, "tag-00000", request_context)
    manifest = await client.fetch_manifest(source, "tag-00000", request_context)
    if method == "GET":
        return lambda: client.fetch_manifest(source, manifest.digest, request_context)
    config = json.loads(manifest.content)["config"]
    blob = await client.fetch_blob(
        source, config["digest"], request_context, declared_size=config["size"]
    )
    assert digest_of(blob.content) == config["digest"]
    return lambda: client.fetch_blob(
        source, config["digest"], request_context, declared_size=config["size"]
    )


async def _repeat_request(
    send_request: Callable[[], Awaitable[object]], in_flight: int, seconds: float
) -> tuple[int, dict[str, float]]:
    done = 0
    end_time = time.perf_counter() + seconds

    async def send_until_end() -> None:
        nonlocal done
        while time.perf_counter() < end_time:
            await send_request()
            done += 1

    started, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send_until_end() for _ in range(in_flight)))
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    return done, {"rate": done / wall, "cpu_ms": cpu / done * 1000}


if __name__ == "__main__":
    port_arg, method_arg, in_flight_arg, *seconds_arg = sys.argv[1:]
    found = uvloop.run(
        measure(
            int(port_arg),
            method_arg,
            int(in_flight_arg),
            float(seconds_arg[0]) if seconds_arg else MEASURED_SECONDS,
        )
    )
    print(json.dumps(found))
