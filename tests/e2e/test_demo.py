"""Tests of `make demo`: its output, and the first screen of the README that shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_demo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def shown():
    """One run of the demo for all tests of this module."""
    return run_demo()


@pytest.mark.timeout(120)
def test_demo_imports_repository_and_detects_updated_tag(shown):
    assert shown.returncode == 0, shown.stderr
    assert "14 tags imported (14 new, 0 updated) into default/weather" in shown.stderr
    assert re.search(r"^latest   sha256:\w+   3 platforms", shown.stdout, re.MULTILINE)
    assert "linux/arm64/v8" in shown.stdout
    history, then = shown.stdout.split("$ tagstream history weather:latest")[1:]
    events = re.findall(r"sha256:\w+", history)
    assert len(set(events)) == 2
    assert re.findall(r"sha256:\w+", then) == events[1:]
    newest, first = re.findall(r"^\S{36} .*", then, re.MULTILINE)
    assert re.search("weather +succeeded +1 .* schedule ", newest)
    assert re.search("weather +succeeded +14 .* user ", first)


@pytest.mark.timeout(120)
def test_readme_first_screen_shows_demo_output(shown):
    """The screen may leave lines out; digests, times and ports may differ."""
    screen = (ROOT / "README.md").read_text().split("```text\n")[1].split("```")[0].splitlines()
    lines = f"$ make demo\n{shown.stdout}\n{shown.stderr}".splitlines()
    printed = {without_variable_parts(line) for line in lines} | {"", "…"}
    assert [line for line in screen if without_variable_parts(line) not in printed] == []


def without_variable_parts(line):
    """Return the parts of a line that are equal in every run."""
    variable = r"sha256:\w+|\d{4}-\d\d-\d\d \S+|\d+s ago|(localhost|127\.0\.0\.1):\d+|in \S+ s$"
    return " ".join(re.sub(variable, " * ", line).split())


def test_demo_reports_unreachable_repository():
    shown = run_demo("127.0.0.1:1/team/app")
    assert shown.returncode != 0 or "127.0.0.1:1" in shown.stderr
    assert "Traceback" not in shown.stderr
