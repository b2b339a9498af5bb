"""Importing a module has no side effects: no setting is read, no application is built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "worker", "scheduler", "api", "cli", "bench", "demo")
# Programs of Celery's command line: their import builds the application from the environment.
ENTRY_POINTS = ("worker.celery_main", "scheduler.beat_main")
MODULES = [
    module
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__main__.py" and "migrations" not in path.parts
    for module in [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")]
    if module not in ENTRY_POINTS
]
# No setting can be read with these: each is refused by its type.
BROKEN = {
    "TAGSTREAM_WORKER_THREADS": "many",
    "TAGSTREAM_DATABASE_URL": "nonsense",
    "TAGSTREAM_LOG_FORMAT": "nonsense",
    "TAGSTREAM_CHECK_LEASE": "nonsense",
    "TAGSTREAM_KEY_FILE": "/nonexistent",
    "HOME": "/nonexistent",
}
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, repr(error))
"""


def run(code, *arguments):
    environment = {**os.environ, **BROKEN, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout


def test_the_environment_is_broken():
    code = "from models.config.settings import load_settings\nload_settings()"
    with pytest.raises(subprocess.CalledProcessError):
        run(code)


def test_every_module_is_imported_in_a_broken_environment():
    assert len(MODULES) > 300
    assert run(IMPORT_ALL, *MODULES) == ""


@pytest.fixture(scope="module")
def graph():
    import grimp

    return grimp.build_graph("models", "worker", "scheduler", "api", "cli", cache_dir=None)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_entry_points_are_imported_by_no_module(graph, name):
    assert graph.find_modules_that_directly_import(name) == set()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_entry_points_read_the_environment_and_refuse_a_broken_one(name):
    with pytest.raises(subprocess.CalledProcessError):
        run(f"import {name}")


def test_no_two_modules_import_each_other(graph):
    cycles = [
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(importer=imported, imported=module)
    ]
    assert cycles == []
