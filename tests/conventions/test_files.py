"""The house itself: what its files promise is there."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=HOME, check=True, capture_output=True, text=True
).stdout.split()


def test_the_lock_pins_every_package_with_hashes_and_names_no_host():
    lock = (HOME / "requirements.lock").read_text()
    assert "://" not in lock
    packages = re.findall(r"^[A-Za-z0-9._-]+==\S+ \\$", lock, re.MULTILINE)
    pinned = re.findall(r"^[A-Za-z0-9._-]+==", lock, re.MULTILINE)
    assert len(packages) == len(pinned) > 50


def test_every_command_of_the_readme_is_a_target_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(), re.MULTILINE))
    commands = set(re.findall(r"^make ([a-z]+)", (HOME / "README.md").read_text(), re.MULTILINE))
    assert commands
    assert commands <= targets


# `celery -A worker worker` and `celery -A scheduler beat` look for these names.
APPS = {
    "worker/__init__.py": "from worker.celery_app import app as app",
    "scheduler/__init__.py": "from scheduler.beat import app as app",
}


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith("__init__.py")])
def test_a_room_says_what_it_knows_and_holds_no_code(name):
    text = (HOME / name).read_text().strip()
    text = text.removesuffix(APPS.get(name, "")).strip()
    assert text.startswith('"""')
    assert text.endswith('"""')
    assert text.count('"""') == 2


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith(".py")])
def test_a_module_tells_its_subject_and_stays_under_four_hundred_lines(name):
    text = (HOME / name).read_text()
    assert text.startswith('"""')
    if not name.startswith("tests/"):
        assert len(text.splitlines()) <= 400


def test_every_test_module_has_a_name_of_its_own():
    """Two of one name can not be collected in one run."""
    found = [Path(name) for name in TRACKED if Path(name).name.startswith("test_")]
    names: dict[str, list[Path]] = {}
    for path in found:
        names.setdefault(path.name, []).append(path)
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith(".py")])
def test_a_function_is_one_step_of_a_story(name):
    """Past 60 lines it is none."""
    found = ast.walk(ast.parse((HOME / name).read_text()))
    functions = [each for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno >= 60]
    if not name.startswith("models/store/migrations/"):
        assert long == []
