"""Unchanged checks from end to end: beat, Redis, one worker process, PostgreSQL, and a registry.

Rows come due evenly, somewhat faster than they should be looked at; and once all at one moment, as
after an outage. The rate is theirs from the first turn to the last row that was settled, so it
holds ticks, claims, messages, requests and statements.
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

from bench.bench_environment import Databases, Publisher, open_plain_registry, open_stub
from bench.bench_report import Table
from bench.importing import corpus_documents
from bench.importing.import_bench import replay
from bench.importing.stub_registry import HOSTS, config_of
from bench.scheduling.role_processes import Roles, family_seconds
from bench.scheduling.schedule_rows import fill_sources
from bench.serving.server_processes import cpu_seconds
from models.reference import Reference
from models.streams.imports.import_outcome import Target
from worker.job_queue import moment

REAL, FREE, BACKLOG = 20_000, 90_000, 40_000
IMAGES = 50
LEAST_PART, LEAST_RATE = 0.85, 2500.0
FASTER = 1.2  # than they should be looked at, rows come due
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Told:
    """How the looks at all rows went, in seconds of wall and of each one's processor."""

    seconds: float
    spent: dict[str, float]
    others: int  # rows that came out otherwise than unchanged


def measure_checks(
    table: Table, databases: Databases, home: Path, *, real: int = REAL, free: int = FREE
) -> None:
    _against_registry(table, databases, home, real)
    _against_stub(table, databases, home, free, rate=FASTER * LEAST_RATE)
    _against_stub(table, databases, home, min(free, BACKLOG), rate=0.0)


def _against_registry(table: Table, databases: Databases, home: Path, count: int) -> None:
    with open_plain_registry() as registry:
        digests = asyncio.run(_publish(registry.url, count))
        names = [f"check-{number:05}" for number in range(count)]
        requests = home / "heads"
        requests.write_text("\n".join(f"HEAD /v2/checks/manifests/{name}" for name in names))
        host = f"127.0.0.1:{registry.port}"
        sources = [
            _source(f"{host}/checks:{name}", digests[number % IMAGES])
            for number, name in enumerate(names)
        ]
        own = min(replay(registry.port, connections, requests) for connections in (32, 64))
        rate = FASTER * LEAST_PART * count / own
        told = run_checks(databases, home, [host], sources, registry.pid, rate=rate)
        own = min(own, replay(registry.port, 32, requests))
    name = f"{count:,} unchanged tags in docker-registry"
    table.add(f"{name}: the registry's own rate", count / own, "HEAD/s")
    part = _add(table, name, told, count) * own / count
    table.add(f"{name}: of the registry's own rate", part, "", least=LEAST_PART)


def _against_stub(
    table: Table, databases: Databases, home: Path, count: int, *, rate: float
) -> None:
    with open_stub() as port:
        hosts = [f"127.0.0.{number}:{port}" for number in range(1, HOSTS + 1)]
        sources = []
        for number in range(count):
            app, tag = divmod(number, 1000)
            repository = f"team/app-{app}"
            known = corpus_documents.digest_of(
                corpus_documents.make_manifest(config_of(repository, tag), tag)
            )
            name = f"{hosts[number % HOSTS]}/{repository}:tag-{tag:05}"
            sources.append(_source(name, known))
        requests = home / "heads"
        requests.write_text("\n".join(_head_line(source) for _, _, source, _ in sources))
        own = min(replay(port, connections, requests) for connections in (32, 64))
        told = run_checks(databases, home, hosts, sources, None, rate=rate)
    name = f"{count:,} unchanged tags in {HOSTS} stubs, {f'{rate:,.0f}/s' if rate else 'at once'}"
    table.add(f"{name}: the stub's own rate", count / own, "HEAD/s")
    _add(table, name, told, count, least=LEAST_RATE if rate else None)


def _add(table: Table, name: str, told: Told, count: int, *, least: float | None = None) -> float:
    rate = count / told.seconds
    table.add(f"{name}: checks", rate, "/s", least=least)
    table.add(f"{name}: not unchanged", told.others, "", most=0)
    for who, seconds in told.spent.items():
        table.add(f"{name}: CPU of {who}", 1000 * seconds / count, "ms each")
    return rate


def run_checks(
    databases: Databases,
    home: Path,
    hosts: Sequence[str],
    sources: Sequence[tuple[str, str, str, str]],
    registry: int | None,
    *,
    rate: float = 0.0,
) -> Told:
    """Let rows come due, `rate` a second or all at once, until a worker has looked at each."""
    place = home / f"checks-{len(list(home.iterdir()))}"
    place.mkdir()
    quick = {"TAGSTREAM_REGISTRY_RATE": "0", "TAGSTREAM_LOG_LEVEL": "WARNING"}
    with Roles(databases.make(), place, hosts, **quick) as roles:
        fill_sources(roles.engine, sources)
        roles.start_beat()
        time.sleep(4)  # everybody has started, and ticks
        before = _spent(roles, databases, registry)
        began = moment()
        _let_come_due(roles.engine, began, rate)
        last = _wait(roles, began, len(sources))
        after = _spent(roles, databases, registry)
        others = _others(roles.engine)
    spent = {who: seconds - before.get(who, 0.0) for who, seconds in after.items()}
    return Told((last - began).total_seconds(), spent, others)


def _let_come_due(engine: Engine, at: datetime, rate: float) -> None:
    """So many a second from a moment on; at a rate of 0 all at once."""
    turn = ":at + id * CAST(:gap AS double precision) * interval '1 second'"
    gap = 1 / rate if rate else 0.0
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE scheduled_tags SET due = {turn}, next_look = {turn}"),
            {"at": at, "gap": gap},
        )


def _wait(roles: Roles, began: datetime, count: int) -> datetime:
    """The moment at which the last row was settled."""
    asked = text("SELECT count(*), max(checked) FROM scheduled_tags WHERE checked >= :began")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.5)
        roles.check()
        with roles.engine.connect() as connection:
            done, last = connection.execute(asked, {"began": began}).one()
        if done == count:
            found: datetime = last
            return found
    raise SystemExit(f"bench: {done} of {count} checks in {PATIENCE} s\n{roles.output[-3000:]}")


def _others(engine: Engine) -> int:
    with engine.connect() as connection:
        asked = text("SELECT count(*) FROM scheduled_tags WHERE decision <> 'same'")
        return int(connection.execute(asked).scalar_one())


def _spent(roles: Roles, databases: Databases, registry: int | None) -> dict[str, float]:
    found = roles.spent()
    if databases.pid is not None:
        found["PostgreSQL"] = family_seconds(databases.pid)
    if registry is not None:
        found["the registry"] = cpu_seconds(registry)
    return found


def _source(text_: str, digest: str) -> tuple[str, str, str, str]:
    key = Target(Reference.parse(text_)).key()
    return key.partition("/")[0], key, text_, digest


def _head_line(source: str) -> str:
    name, _, tag = source.partition("/")[2].rpartition(":")
    return f"HEAD /v2/{name}/manifests/{tag}"


async def _publish(url: str, count: int) -> list[str]:
    """`count` tags of some images in the repository `checks`; the images' digests."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        publisher = Publisher(url, session)
        await asyncio.gather(
            *(
                publisher.blob("checks", corpus_documents.layer(n))
                for n in range(corpus_documents.LAYER_NAMES)
            )
        )
        contents = []
        for number in range(IMAGES):
            config = corpus_documents.make_config("amd64", f"checks {number}")
            await publisher.blob("checks", config)
            contents.append(corpus_documents.make_manifest(config, number))
        await asyncio.gather(
            *(
                publisher.manifest(
                    "checks", f"check-{each:05}", contents[each % IMAGES], corpus_documents.MANIFEST
                )
                for each in range(count)
            )
        )
    return [corpus_documents.digest_of(content) for content in contents]
