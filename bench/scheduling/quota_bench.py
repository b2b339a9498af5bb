"""Measures a quota of a hundred requests a minute under ten busy workers and an interactive client.

The registry counts the requests that it admits and responds with 429 beyond them. No request should
be refused, nearly all of the quota should be used, and the interactive client should not have to
wait.
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

from bench.bench_environment import PROJECT_ROOT
from bench.bench_report import ResultTable
from bench.importing import corpus_documents
from tests.fakeregistry.server import FakeRegistry
from tests.servers import Redis
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.egress_policy import EgressPolicy

WORKER_COUNT = 10
QUOTA_REQUESTS, QUOTA_WINDOW_SECONDS = 100, 60.0
WARM_UP_WINDOWS, MEASURED_WINDOWS = 1, 3
TAG_COUNT = 100
USER_PAUSE_SECONDS = 7.0
MIN_QUOTA_USED_PERCENT = 95.0
MAX_USER_WAIT_SECONDS = 2.0
WORKER_SCRIPT = PROJECT_ROOT / "tests" / "e2e" / "quota_check_process.py"


def measure_quota(
    table: ResultTable,
    *,
    kinds: tuple[str, ...] = ("sliding", "fixed", "bucket"),
    window: float = QUOTA_WINDOW_SECONDS,
) -> None:
    """Measure the quota for each way in which a registry may count."""
    for counting in kinds:
        with FakeRegistry() as registry, Redis() as redis:
            fill_registry(registry)
            quota = registry.quota(QUOTA_REQUESTS, window, counts=counting)
            with run_workers(redis.url, registry.host):
                waits = asyncio.run(
                    fetch_interactively(
                        redis.url, registry.host, (WARM_UP_WINDOWS + MEASURED_WINDOWS) * window
                    )
                )
            end = quota.admitted[-1][0]
            used = sum(when > end - MEASURED_WINDOWS * window for when, _ in quota.admitted)
        name = f"quota of {QUOTA_REQUESTS} in {window:g} s ({counting}), {WORKER_COUNT} workers"
        table.add(f"{name}: refused", len(quota.refused), "", most=0)
        table.add(
            f"{name}: used",
            100 * used / MEASURED_WINDOWS / QUOTA_REQUESTS,
            "%",
            least=MIN_QUOTA_USED_PERCENT,
        )
        median_ms, longest = 1000 * statistics.median(waits), max(waits)
        table.add(f"{name}: wait of an interactive request, p50", median_ms, "ms")
        name += ": wait of an interactive request, maximum"
        table.add(name, longest, "s", most=MAX_USER_WAIT_SECONDS)


def fill_registry(registry: FakeRegistry) -> None:
    """Push the tags that are checked."""
    for number in range(TAG_COUNT):
        config = corpus_documents.make_config("amd64", f"quota {number}")
        content = corpus_documents.make_manifest(config, number)
        registry.push("team/app", tag=f"v{number}", manifest=content, config=config)


@contextmanager
def run_workers(redis_url: str, host: str) -> Iterator[None]:
    """Run processes that check tags as fast as the limits admit, for the duration of the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER_SCRIPT), redis_url, host, str(TAG_COUNT), "1"],
            cwd=PROJECT_ROOT,
            env={**os.environ, "PYTHONPATH": str(Path(PROJECT_ROOT))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(WORKER_COUNT)
    ]
    try:
        yield
    finally:
        for process in processes:
            last_line = cast("str", process.communicate(timeout=30)[0]).splitlines()[-1]
            assert not json.loads(last_line)["errors"], last_line


async def fetch_interactively(redis_url: str, host: str, seconds: float) -> list[float]:
    """Fetch a manifest every USER_PAUSE_SECONDS and return the seconds that each one took."""
    config = ClientConfig(policy=EgressPolicy(embedded=True), redis_url=redis_url)
    client = RegistryClient(config)
    source, request_context = (
        SourceRepository(host, "team/app"),
        RequestContext(tenant="interactive"),
    )
    waits = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        await client.fetch_manifest(source, "v1", request_context)
        waits.append(time.perf_counter() - started)
        await asyncio.sleep(USER_PAUSE_SECONDS)
    await client.close()
    return waits
