"""A hundred requests a minute, ten workers that always want more, and a person now and then.

The registry counts what it admits and answers 429 beyond that. Nobody should ever be refused,
nearly all of the quota should be used, and the person should not notice.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from bench.bench_environment import HOME
from bench.bench_report import Table
from bench.importing import corpus_documents
from tests.fakeregistry.server import FakeRegistry
from tests.servers import Redis
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.transport.egress_policy import EgressPolicy

WORKERS = 10
LIMIT, WINDOW = 100, 60.0
WARM_UP, MEASURED = 1, 3
TAGS = 100
PAUSE = 7.0
LEAST_USED = 95.0
LONGEST_WAIT = 2.0
WORKER = HOME / "tests" / "e2e" / "quota_worker.py"


def measure_quota(
    table: Table, *, kinds: tuple[str, ...] = ("sliding", "fixed", "bucket"), window: float = WINDOW
) -> None:
    for counts in kinds:
        with FakeRegistry() as registry, Redis() as redis:
            fill(registry)
            quota = registry.quota(LIMIT, window, counts=counts)
            with workers(redis.url, registry.host):
                waits = asyncio.run(
                    be_a_person(redis.url, registry.host, (WARM_UP + MEASURED) * window)
                )
            end = quota.admitted[-1][0]
            used = sum(when > end - MEASURED * window for when, _ in quota.admitted)
        name = f"quota of {LIMIT} in {window:g} s ({counts}), {WORKERS} workers"
        table.add(f"{name}: refused", len(quota.refused), "", most=0)
        table.add(f"{name}: used", 100 * used / MEASURED / LIMIT, "%", least=LEAST_USED)
        table.add(f"{name}: a person waits, p50", 1000 * statistics.median(waits), "ms")
        table.add(f"{name}: a person waits, longest", max(waits), "s", most=LONGEST_WAIT)


def fill(registry: FakeRegistry) -> None:
    for number in range(TAGS):
        config = corpus_documents.make_config("amd64", f"quota {number}")
        content = corpus_documents.make_manifest(config, number)
        registry.push("team/app", tag=f"v{number}", manifest=content, config=config)


@contextmanager
def workers(redis_url: str, host: str) -> Iterator[None]:
    """Processes that check tags as fast as they are let."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), redis_url, host, str(TAGS), "1"],
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(Path(HOME))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(WORKERS)
    ]
    try:
        yield
    finally:
        for process in processes:
            told = cast("str", process.communicate(timeout=30)[0]).splitlines()[-1]
            assert not json.loads(told)["errors"], told


async def be_a_person(redis_url: str, host: str, seconds: float) -> list[float]:
    """How long each manifest took that somebody waited for."""
    config = ClientConfig(policy=EgressPolicy(embedded=True), redis_url=redis_url)
    client = RegistryClient(config)
    place, access = Place(host, "team/app"), Access(tenant="person")
    waits = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await client.fetch_manifest(place, "v1", access)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    await client.close()
    return waits
