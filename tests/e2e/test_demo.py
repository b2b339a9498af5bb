"""`make demo` shows what it promises, with a real registry as the outside world."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]


def play(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.timeout(120)
def test_the_demo_imports_a_repository_and_shows_how_a_tag_moved(tmp_path):
    shown = play()
    assert shown.returncode == 0, shown.stderr
    assert "14 tags imported, 14 changed into default/weather" in shown.stderr
    assert "15 tags imported, 2 changed into default/weather" in shown.stderr
    assert re.search(r"^latest   sha256:\w+   3 platforms", shown.stdout, re.MULTILINE)
    assert "linux/arm64/v8" in shown.stdout
    history, then = shown.stdout.split("$ tagstream history weather:latest")[1:]
    events = re.findall(r"sha256:\w+", history)
    assert len(set(events)) == 2
    assert re.findall(r"sha256:\w+", then) == events[1:]


def test_the_demo_says_when_a_repository_cannot_be_reached():
    shown = play("127.0.0.1:1/team/app")
    assert shown.returncode != 0 or "127.0.0.1:1" in shown.stderr
    assert "Traceback" not in shown.stderr
