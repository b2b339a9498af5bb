"""Everything that has a target, measured in one run, as one table.

python -m bench [--rounds 3] [--only client,store,imports,memory,command] [--no-page]
python -m bench --only api
python -m bench --only schedule
python -m bench --only quota
python -m bench --only simulation [--tags 1000000] [--registries 2000] [--hours 4] [--tick 2]

The API takes some ten minutes by itself, the schedule some twenty, and each has a page of its own;
so has the simulation at full size. The schedule's parts are checks, tick, day, noticed, simulation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.bench_environment import HOME, Databases, open_databases, open_registry, open_stub
from bench.bench_report import API_PAGE, SCHEDULE_PAGE, SIMULATION_PAGE, Table, render, write_page
from bench.importing import store_bench
from bench.importing.import_bench import Imports, measure_memory
from bench.scheduling.quota_bench import measure_quota
from bench.scheduling.schedule_bench import SCHEDULE_PARTS, measure_schedule
from bench.scheduling.simulation import Scale
from bench.serving.api_bench import ApiBench
from models.store.database.session import open_engine, upgrade

PARTS = ("client", "store", "imports", "memory", "command")
LEAST_CLIENT = {("HEAD", 16): 3000.0, ("GET", 16): 2500.0}
LEAST_STORE = {"SQLite": 2500.0, "PostgreSQL": 1500.0}
IMAGES = 5000


def read_words(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    usual = Scale()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--tags", type=int, default=usual.tags)
    parser.add_argument("--registries", type=int, default=usual.registries)
    parser.add_argument("--hours", type=float, default=usual.hours)
    parser.add_argument("--tick", type=float, default=usual.tick)
    return parser.parse_args(words)


def main() -> None:
    chosen = read_words()
    parts = chosen.only.split(",")
    if set(parts) & {"schedule", *SCHEDULE_PARTS}:
        measure_time(chosen, parts)
        return
    is_whole = set(parts) == set(PARTS)
    table = Table()
    if "quota" in parts:
        measure_quota(table)
        show(table, page=False, rounds=1)
        return
    with tempfile.TemporaryDirectory() as home, open_databases(Path(home)) as databases:
        if "client" in parts:
            measure_client(table, chosen.rounds)
        if "store" in parts:
            measure_store(table, databases, chosen.rounds)
        if "memory" in parts:
            with open_stub() as stub:
                measure_memory(table, stub, databases["SQLite"])
        if "api" in parts:
            measure_api(table, databases, Path(home))
            show(table, page=False, rounds=1)
            if parts == ["api"] and not chosen.no_page:
                write_page(table, "python -m bench --only api", 1, API_PAGE)
            return
        if "imports" in parts or "command" in parts:
            print("filling the registry", flush=True)
            with open_registry() as port:
                imports = Imports(table, port, Path(home))
                measure_imports(imports, databases, parts, chosen.rounds)
                show(table, page=is_whole and not chosen.no_page, rounds=chosen.rounds)
        else:
            show(table, page=False, rounds=chosen.rounds)


def measure_time(chosen: argparse.Namespace, parts: list[str]) -> None:
    """The schedule, or parts of it."""
    table = Table()
    scale = Scale(chosen.tags, chosen.registries, chosen.hours, tick=chosen.tick)
    command = f"python -m bench --only {chosen.only}"
    alone = parts == ["simulation"]
    if scale != Scale():
        command += f" --tags {scale.tags} --registries {scale.registries} --hours {scale.hours:g}"
    rounds = 1 if alone else chosen.rounds
    with tempfile.TemporaryDirectory() as home, open_databases(Path(home)) as databases:
        plots = measure_schedule(
            table,
            databases,
            Path(home),
            parts=SCHEDULE_PARTS if "schedule" in parts else parts,
            rounds=rounds,
            scale=scale,
            plots="simulation" if alone else "schedule",
        )
        show(table, page=False, rounds=rounds)
    if not chosen.no_page and (alone or parts == ["schedule"]):
        page = SIMULATION_PAGE if alone else SCHEDULE_PAGE
        write_page(table, command, rounds, page, plots)


def show(table: Table, *, page: bool, rounds: int) -> None:
    """The table, before the world is taken down: that takes a while on a slow disk."""
    print()
    print(render(list(table.rows.values())), flush=True)
    if page:
        write_page(table, "make bench", rounds)


def measure_imports(
    imports: Imports, databases: dict[str, Databases], parts: list[str], rounds: int
) -> None:
    if "imports" in parts:
        imports.listen(databases["SQLite"])
    for _ in range(rounds):
        if "imports" in parts:
            for kind, maker in databases.items():
                imports.first(kind, maker)
                imports.again(kind, maker)
        if "command" in parts:
            imports.command()


def measure_client(table: Table, rounds: int) -> None:
    """The client alone on one core; where others keep it waiting, its CPU time tells."""
    with open_stub() as port:
        for _ in range(rounds):
            for method in ("HEAD", "GET", "BLOB"):
                for in_flight in (1, 16, 64):
                    words = ["bench.importing.client_bench", str(port), method, str(in_flight)]
                    told = subprocess.run(
                        [sys.executable, "-m", *words],
                        cwd=HOME,
                        check=True,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                    found = json.loads(told.stdout)
                    name = f"client alone, {method}, {in_flight} in flight"
                    least = LEAST_CLIENT.get((method, in_flight))
                    table.add(name, found["rate"], "/s", least=least)
                    table.add(f"{name}: CPU", found["cpu_ms"], "ms each")


def measure_api(table: Table, databases: dict[str, Databases], home: Path) -> None:
    bench = ApiBench(table, home)
    for kind, maker in databases.items():
        bench.measure(kind, maker)


def measure_store(table: Table, databases: dict[str, Databases], rounds: int) -> None:
    for kind, maker in databases.items():
        for _ in range(rounds):
            engine = open_engine(maker.make())
            upgrade(engine)
            batch = [store_bench.make_image(number) for number in range(IMAGES)]
            seconds = 0.0
            for start in range(0, IMAGES, 1000):
                part = batch[start : start + 1000]
                began = time.perf_counter()
                store_bench.store_images(engine, part)
                seconds += time.perf_counter() - began
            engine.dispose()
            name = f"store, {kind}: images of 12 rows"
            table.add(name, IMAGES / seconds, "/s", least=LEAST_STORE[kind])


if __name__ == "__main__":
    main()
