"""Rules for files: pinned requirements, README commands, docstrings, sizes, unique test names."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split()


def test_requirements_lock_pins_packages_with_hashes_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    packages = re.findall(r"^[A-Za-z0-9._-]+==\S+ \\$", lock, re.MULTILINE)
    pinned = re.findall(r"^[A-Za-z0-9._-]+==", lock, re.MULTILINE)
    assert len(packages) == len(pinned) > 50


def test_readme_make_commands_are_makefile_targets():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(
        re.findall(r"(?:^\$ |`)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert commands
    assert commands <= targets


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith("__init__.py")])
def test_package_init_has_a_docstring_and_no_code(name):
    text = (ROOT / name).read_text().strip()
    assert text.startswith('"""')
    assert text.endswith('"""')
    assert text.count('"""') == 2


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith(".py")])
def test_module_has_a_docstring_and_at_most_400_lines(name):
    text = (ROOT / name).read_text()
    assert text.startswith('"""')
    if not name.startswith("tests/"):
        assert len(text.splitlines()) <= 400


def test_test_module_names_are_unique():
    """pytest cannot collect two modules of one name in one run."""
    found = [Path(name) for name in TRACKED if Path(name).name.startswith("test_")]
    names: dict[str, list[Path]] = {}
    for path in found:
        names.setdefault(path.name, []).append(path)
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith(".py")])
def test_functions_have_at_most_60_lines(name):
    found = ast.walk(ast.parse((ROOT / name).read_text()))
    functions = [each for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno >= 60]
    if not name.startswith("models/store/migrations/"):
        assert long == []
