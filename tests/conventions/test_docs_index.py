"""docs/index.md lists every page once, and the pages for developers name what exists."""

import re
import subprocess
import sys

import pytest

from tests.conventions.test_files import ROOT

INDEX = (ROOT / "docs/index.md").read_text()
DEVELOPMENT = (ROOT / "docs/development/howto.md").read_text()
PAGES = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - {
    "index.md"
}
PYTEST = re.findall(r"^\.venv/bin/python -m pytest (.+)$", DEVELOPMENT, re.MULTILINE)


def test_every_page_is_listed_once():
    listed = re.findall(r"\]\(((?!\.\.)[^)]+\.md)\)", INDEX)
    assert sorted(listed) == sorted(PAGES)


def test_groups_are_those_of_diataxis():
    assert re.findall(r"^## (.+)$", INDEX, re.MULTILINE) == [
        "Tutorial",
        "How-to",
        "Reference",
        "Explanation",
        "Specification",
        "Development",
    ]


@pytest.mark.parametrize("page", ["docs/development/howto.md", "CONTRIBUTING.md"])
def test_named_files_exist(page):
    named = re.findall(r"`((?:[\w*]+/)+[\w*.]*)`", (ROOT / page).read_text())
    assert len(named) > 4
    assert [name for name in named if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("page", ["docs/development/howto.md", "CONTRIBUTING.md"])
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`", (ROOT / page).read_text()))
    assert named
    assert named <= targets


@pytest.mark.parametrize("arguments", PYTEST)
def test_commands_that_run_tests_name_existing_tests(arguments):
    paths = [each for each in arguments.split() if each.startswith("tests/")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_command_that_runs_one_test_module_succeeds():
    command = [sys.executable, "-m", "pytest", *PYTEST[0].split(), "-n", "0"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
