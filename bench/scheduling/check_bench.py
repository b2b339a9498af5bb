"""Measures unchanged checks from end to end: beat, Redis, one worker process, PostgreSQL, a
registry.

Rows come due evenly, somewhat faster than the target rate, and once all at the same time, as after
an outage. The rate counts from the first due time to the last settled row, so it includes ticks,
claims, messages, requests and statements.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
from sqlalchemy import Engine, text

from bench.bench_environment import CorpusPublisher, DatabaseFactory, open_empty_registry, open_stub
from bench.bench_report import ResultTable
from bench.importing import corpus_documents
from bench.importing.import_bench import replay_requests
from bench.importing.stub_registry import HOST_COUNT, make_registered_config
from bench.scheduling.role_processes import RoleProcesses, process_tree_cpu_seconds
from bench.scheduling.schedule_rows import fill_sources
from bench.serving.server_processes import cpu_seconds
from models.reference import Reference
from models.streams.imports.import_outcome import ImportTarget
from worker.job_queue import precise_utc_now

REGISTRY_ROWS, STUB_ROWS, BACKLOG_ROWS = 20_000, 90_000, 40_000
DISTINCT_IMAGES = 50
MIN_RATE_RATIO, MIN_CHECK_RATE = 0.85, 2500.0
DUE_RATE_FACTOR = 1.2  # rows come due at this multiple of the target rate
CHECKS_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The checks of all rows: wall seconds, and CPU seconds of each process."""

    seconds: float
    cpu_seconds_by_process: dict[str, float]
    not_unchanged: int  # rows with any outcome but unchanged


def measure_checks(
    table: ResultTable,
    databases: DatabaseFactory,
    work_dir: Path,
    *,
    registry_rows: int = REGISTRY_ROWS,
    stub_rows: int = STUB_ROWS,
) -> None:
    """Measure checks against docker-registry and against the stub: evenly due, and all at once."""
    _measure_with_registry(table, databases, work_dir, registry_rows)
    _measure_with_stub(table, databases, work_dir, stub_rows, rate=DUE_RATE_FACTOR * MIN_CHECK_RATE)
    _measure_with_stub(table, databases, work_dir, min(stub_rows, BACKLOG_ROWS), rate=0.0)


def _measure_with_registry(
    table: ResultTable, databases: DatabaseFactory, work_dir: Path, count: int
) -> None:
    with open_empty_registry() as registry:
        digests = asyncio.run(_publish_tags(registry.url, count))
        names = [f"check-{number:05}" for number in range(count)]
        requests = work_dir / "heads"
        requests.write_text("\n".join(f"HEAD /v2/checks/manifests/{name}" for name in names))
        host = f"127.0.0.1:{registry.port}"
        sources = [
            _build_source(f"{host}/checks:{name}", digests[number % DISTINCT_IMAGES])
            for number, name in enumerate(names)
        ]
        replay_seconds = min(
            replay_requests(registry.port, connections, requests) for connections in (32, 64)
        )
        rate = DUE_RATE_FACTOR * MIN_RATE_RATIO * count / replay_seconds
        run = run_checks(databases, work_dir, [host], sources, registry.pid, rate=rate)
        replay_seconds = min(replay_seconds, replay_requests(registry.port, 32, requests))
    name = f"{count:,} unchanged tags in docker-registry"
    table.add(f"{name}: rate of registry alone", count / replay_seconds, "HEAD/s")
    rate_ratio = _add_run(table, name, run, count) * replay_seconds / count
    table.add(f"{name}: rate relative to registry alone", rate_ratio, "", least=MIN_RATE_RATIO)


def _measure_with_stub(
    table: ResultTable, databases: DatabaseFactory, work_dir: Path, count: int, *, rate: float
) -> None:
    with open_stub() as port:
        hosts = [f"127.0.0.{number}:{port}" for number in range(1, HOST_COUNT + 1)]
        sources = []
        for number in range(count):
            app_number, tag_number = divmod(number, 1000)
            repository = f"team/app-{app_number}"
            known_digest = corpus_documents.digest_of(
                corpus_documents.make_manifest(
                    make_registered_config(repository, tag_number), tag_number
                )
            )
            name = f"{hosts[number % HOST_COUNT]}/{repository}:tag-{tag_number:05}"
            sources.append(_build_source(name, known_digest))
        requests = work_dir / "heads"
        requests.write_text("\n".join(_head_request(source) for _, _, source, _ in sources))
        replay_seconds = min(
            replay_requests(port, connections, requests) for connections in (32, 64)
        )
        run = run_checks(databases, work_dir, hosts, sources, None, rate=rate)
    name = (
        f"{count:,} unchanged tags in {HOST_COUNT} stubs, {f'{rate:,.0f}/s' if rate else 'at once'}"
    )
    table.add(f"{name}: rate of stub alone", count / replay_seconds, "HEAD/s")
    _add_run(table, name, run, count, least=MIN_CHECK_RATE if rate else None)


def _add_run(
    table: ResultTable, name: str, run: CheckRun, count: int, *, least: float | None = None
) -> float:
    rate = count / run.seconds
    table.add(f"{name}: checks", rate, "/s", least=least)
    table.add(f"{name}: not unchanged", run.not_unchanged, "", most=0)
    for process, seconds in run.cpu_seconds_by_process.items():
        table.add(f"{name}: CPU of {process}", 1000 * seconds / count, "ms each")
    return rate


def run_checks(
    databases: DatabaseFactory,
    work_dir: Path,
    hosts: Sequence[str],
    sources: Sequence[tuple[str, str, str, str]],
    registry: int | None,
    *,
    rate: float = 0.0,
) -> CheckRun:
    """Let rows come due, `rate` a second or all at once, until a worker has checked them all."""
    run_dir = work_dir / f"checks-{len(list(work_dir.iterdir()))}"
    run_dir.mkdir()
    settings = {"TAGSTREAM_REGISTRY_RATE": "0", "TAGSTREAM_LOG_LEVEL": "WARNING"}
    with RoleProcesses(databases.create(), run_dir, hosts, **settings) as roles:
        fill_sources(roles.engine, sources)
        roles.start_beat()
        time.sleep(4)  # until all processes have started
        cpu_before = _cpu_seconds_by_process(roles, databases, registry)
        started = precise_utc_now()
        _spread_due_times(roles.engine, started, rate)
        last_checked = _wait_for_checks(roles, started, len(sources))
        cpu_after = _cpu_seconds_by_process(roles, databases, registry)
        not_unchanged = _count_not_unchanged(roles.engine)
    spent = {
        process: seconds - cpu_before.get(process, 0.0) for process, seconds in cpu_after.items()
    }
    return CheckRun((last_checked - started).total_seconds(), spent, not_unchanged)


def _spread_due_times(engine: Engine, start: datetime, rate: float) -> None:
    """Spread the due times from `start` on, `rate` a second; at a rate of 0 all are due at once."""
    due_time_sql = ":at + id * CAST(:gap AS double precision) * interval '1 second'"
    interval_seconds = 1 / rate if rate else 0.0
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE scheduled_tags SET due_at = {due_time_sql}, next_check_at = {due_time_sql}"
            ),
            {"at": start, "gap": interval_seconds},
        )


def _wait_for_checks(roles: RoleProcesses, started: datetime, count: int) -> datetime:
    """Wait until every row is settled and return when the last one was."""
    query = text(
        "SELECT count(*), max(last_check_at) FROM scheduled_tags WHERE last_check_at >= :began"
    )
    deadline = time.monotonic() + CHECKS_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.5)
        roles.check_alive()
        with roles.engine.connect() as connection:
            checked_count, last_checked = connection.execute(query, {"began": started}).one()
        if checked_count == count:
            last_checked_time: datetime = last_checked
            return last_checked_time
    message = f"bench: only {checked_count} of {count} checks in {CHECKS_TIMEOUT_SECONDS} s"
    raise SystemExit(f"{message}\n{roles.output[-3000:]}")


def _count_not_unchanged(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM scheduled_tags WHERE reason <> 'Unchanged'")
        return int(connection.execute(query).scalar_one())


def _cpu_seconds_by_process(
    roles: RoleProcesses, databases: DatabaseFactory, registry: int | None
) -> dict[str, float]:
    seconds = roles.cpu_seconds_by_process()
    if databases.pid is not None:
        seconds["PostgreSQL"] = process_tree_cpu_seconds(databases.pid)
    if registry is not None:
        seconds["the registry"] = cpu_seconds(registry)
    return seconds


def _build_source(text_: str, digest: str) -> tuple[str, str, str, str]:
    key = ImportTarget(Reference.parse(text_)).key()
    return key.partition("/")[0], key, text_, digest


def _head_request(source: str) -> str:
    name, _, tag = source.partition("/")[2].rpartition(":")
    return f"HEAD /v2/{name}/manifests/{tag}"


async def _publish_tags(url: str, count: int) -> list[str]:
    """Publish `count` tags of some images in the repository `checks` and return the images'
    digests.
    """
    async with aiohttp.ClientSession(trust_env=False) as session:
        publisher = CorpusPublisher(url, session)
        await asyncio.gather(
            *(
                publisher.push_blob("checks", corpus_documents.layer_content(n))
                for n in range(corpus_documents.DISTINCT_LAYERS)
            )
        )
        contents = []
        for number in range(DISTINCT_IMAGES):
            config = corpus_documents.make_config("amd64", f"checks {number}")
            await publisher.push_blob("checks", config)
            contents.append(corpus_documents.make_manifest(config, number))
        await asyncio.gather(
            *(
                publisher.push_manifest(
                    "checks",
                    f"check-{each:05}",
                    contents[each % DISTINCT_IMAGES],
                    corpus_documents.MANIFEST,
                )
                for each in range(count)
            )
        )
    return [corpus_documents.digest_of(content) for content in contents]
