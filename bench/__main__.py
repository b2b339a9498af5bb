"""Runs the benchmarks that have a target and prints one table of results.

    python -m bench [--rounds 3] [--only client,store,imports,memory,command] [--no-page]
    python -m bench --only api
    python -m bench --only schedule
    python -m bench --only quota
    python -m bench --only simulation [--tags 1000000] [--registries 2000] [--hours 4] [--tick 2]

The API takes some ten minutes, the schedule some twenty, and each has its own page of results; so
has the simulation at full size. The parts of the schedule are checks, tick, day, latency,
simulation.
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

from bench.bench_environment import (
    PROJECT_ROOT,
    DatabaseFactory,
    open_databases,
    open_registry,
    open_stub,
)
from bench.bench_report import (
    API_PAGE,
    SCHEDULE_PAGE,
    SIMULATION_PAGE,
    ResultTable,
    render,
    write_page,
)
from bench.importing import store_bench
from bench.importing.import_bench import ImportBench, measure_memory
from bench.scheduling.quota_bench import measure_quota
from bench.scheduling.schedule_bench import SCHEDULE_PARTS, measure_schedule
from bench.scheduling.simulation_types import SimulationScale
from bench.serving.api_bench import ApiBench
from models.store.database.session import open_engine, upgrade_database

PARTS = ("client", "store", "imports", "memory", "command")
MIN_CLIENT_RATES = {("HEAD", 16): 3000.0, ("GET", 16): 2500.0}
MIN_STORE_RATES = {"SQLite": 2500.0, "PostgreSQL": 1500.0}
STORED_IMAGES = 5000


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    defaults = SimulationScale()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--tags", type=int, default=defaults.tags)
    parser.add_argument("--registries", type=int, default=defaults.registries)
    parser.add_argument("--hours", type=float, default=defaults.hours)
    parser.add_argument("--tick", type=float, default=defaults.tick)
    return parser.parse_args(argv)


def main() -> None:
    """Run the parts that the command line names."""
    args = parse_arguments()
    parts = args.only.split(",")
    if set(parts) & {"schedule", *SCHEDULE_PARTS}:
        run_schedule_bench(args, parts)
        return
    runs_all_parts = set(parts) == set(PARTS)
    table = ResultTable()
    if "quota" in parts:
        measure_quota(table)
        print_results(table, page=False, rounds=1)
        return
    with tempfile.TemporaryDirectory() as work_dir, open_databases(Path(work_dir)) as databases:
        if "client" in parts:
            measure_client(table, args.rounds)
        if "store" in parts:
            measure_store(table, databases, args.rounds)
        if "memory" in parts:
            with open_stub() as stub:
                measure_memory(table, stub, databases["SQLite"])
        if "api" in parts:
            measure_api(table, databases, Path(work_dir))
            print_results(table, page=False, rounds=1)
            if parts == ["api"] and not args.no_page:
                write_page(table, "python -m bench --only api", 1, API_PAGE)
            return
        if "imports" in parts or "command" in parts:
            print("filling the registry", flush=True)
            with open_registry() as port:
                imports = ImportBench(table, port, Path(work_dir))
                measure_imports(imports, databases, parts, args.rounds)
                print_results(table, page=runs_all_parts and not args.no_page, rounds=args.rounds)
        else:
            print_results(table, page=False, rounds=args.rounds)


def run_schedule_bench(args: argparse.Namespace, parts: list[str]) -> None:
    """Measure the schedule, or parts of it."""
    table = ResultTable()
    scale = SimulationScale(args.tags, args.registries, args.hours, tick=args.tick)
    command = f"python -m bench --only {args.only}"
    only_simulation = parts == ["simulation"]
    if scale != SimulationScale():
        command += f" --tags {scale.tags} --registries {scale.registries} --hours {scale.hours:g}"
    rounds = 1 if only_simulation else args.rounds
    with tempfile.TemporaryDirectory() as work_dir, open_databases(Path(work_dir)) as databases:
        plots = measure_schedule(
            table,
            databases,
            Path(work_dir),
            parts=SCHEDULE_PARTS if "schedule" in parts else parts,
            rounds=rounds,
            scale=scale,
            plots="simulation" if only_simulation else "schedule",
        )
        print_results(table, page=False, rounds=rounds)
    if not args.no_page and (only_simulation or parts == ["schedule"]):
        page = SIMULATION_PAGE if only_simulation else SCHEDULE_PAGE
        write_page(table, command, rounds, page, plots)


def print_results(table: ResultTable, *, page: bool, rounds: int) -> None:
    """Print the table before the servers are stopped, which takes a while on a slow disk."""
    print()
    print(render(list(table.rows.values())), flush=True)
    if page:
        write_page(table, "make bench", rounds)


def measure_imports(
    imports: ImportBench, databases: dict[str, DatabaseFactory], parts: list[str], rounds: int
) -> None:
    """Measure imports from the filled registry, on each database, once a round."""
    if "imports" in parts:
        imports.record_requests(databases["SQLite"])
    for _ in range(rounds):
        if "imports" in parts:
            for kind, factory in databases.items():
                imports.measure_first_import(kind, factory)
                imports.measure_unchanged_import(kind, factory)
        if "command" in parts:
            imports.measure_command()


def measure_client(table: ResultTable, rounds: int) -> None:
    """Measure the registry client alone on one core.

    On a busy machine the CPU time says more than the rate.
    """
    with open_stub() as port:
        for _ in range(rounds):
            for method in ("HEAD", "GET", "BLOB"):
                for in_flight in (1, 16, 64):
                    arguments = ["bench.importing.client_bench", str(port), method, str(in_flight)]
                    completed = subprocess.run(
                        [sys.executable, "-m", *arguments],
                        cwd=PROJECT_ROOT,
                        check=True,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                    found = json.loads(completed.stdout)
                    name = f"client alone, {method}, {in_flight} in flight"
                    min_rate = MIN_CLIENT_RATES.get((method, in_flight))
                    table.add(name, found["rate"], "/s", least=min_rate)
                    table.add(f"{name}: CPU", found["cpu_ms"], "ms each")


def measure_api(table: ResultTable, databases: dict[str, DatabaseFactory], work_dir: Path) -> None:
    """Measure the API server on each kind of database."""
    bench = ApiBench(table, work_dir)
    for kind, factory in databases.items():
        bench.measure(kind, factory)


def measure_store(table: ResultTable, databases: dict[str, DatabaseFactory], rounds: int) -> None:
    """Measure how many images a second the store saves, on each kind of database."""
    for kind, factory in databases.items():
        for _ in range(rounds):
            engine = open_engine(factory.create())
            upgrade_database(engine)
            batch = [store_bench.make_image(number) for number in range(STORED_IMAGES)]
            seconds = 0.0
            for start in range(0, STORED_IMAGES, 1000):
                part = batch[start : start + 1000]
                started = time.perf_counter()
                store_bench.save_bench_images(engine, part)
                seconds += time.perf_counter() - started
            engine.dispose()
            name = f"store, {kind}: images of 12 rows"
            table.add(name, STORED_IMAGES / seconds, "/s", least=MIN_STORE_RATES[kind])


if __name__ == "__main__":
    main()
