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


@pytest.fixture(scope="module")
def shown():
    """The whole show, played once."""
    return play()


@pytest.mark.timeout(120)
def test_the_demo_imports_a_repository_and_a_tag_that_moved_is_noticed_by_itself(shown):
    assert shown.returncode == 0, shown.stderr
    assert "14 tags imported, 14 changed into default/weather" in shown.stderr
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
def test_the_first_screen_shows_what_the_demo_shows(shown):
    """Word for word, but for digests, moments and ports, and for what the screen leaves out."""
    screen = (HOME / "README.md").read_text().split("```")[1].strip().splitlines()
    lines = f"$ make demo\n{shown.stdout}\n{shown.stderr}".splitlines()
    played = {without_chance(line) for line in lines} | {"", "…"}
    assert [line for line in screen if without_chance(line) not in played] == []


def without_chance(line):
    """What two performances have in common."""
    chance = r"sha256:\w+|\d{4}-\d\d-\d\d \S+|\d+s ago|(localhost|127\.0\.0\.1):\d+|in \S+ s$"
    return " ".join(re.sub(chance, " * ", line).split())


def test_the_demo_says_when_a_repository_cannot_be_reached():
    shown = play("127.0.0.1:1/team/app")
    assert shown.returncode != 0 or "127.0.0.1:1" in shown.stderr
    assert "Traceback" not in shown.stderr
