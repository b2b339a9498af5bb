"""Logs of every process look alike, can be read by machines, and hold no secret."""

import json
import subprocess
import sys

import pytest

from models.telemetry.log_setup import blacken
from tests.fakeregistry.canary import Canary

PROGRAM = """
import logging, sys
import structlog
from structlog.contextvars import bound_contextvars
from models.telemetry.log_setup import configure_logs

secret, form, level = sys.argv[1:]
configure_logs(level, form, quiet=False)
log = structlog.get_logger()
with bound_contextvars(job="j1", stream="team/app"):
    log.info("import.finished", imported=3, url=f"postgresql://me:{secret}@db/x")
    logging.getLogger("celery.worker").warning("cannot reach %s", f"redis://:{secret}@q/0")
log.warning("api.asked", authorization=secret, header=f"Bearer {secret}", password=secret)
log.debug("nothing")
try:
    raise ValueError(f"https://user:{secret}@host/path is wrong")
except ValueError:
    log.exception("api.bug")
    logging.getLogger("kombu").exception("it broke")
"""


def run(form, level="INFO"):
    """What a process writes that says these things, and the secret that it knows."""
    canary = Canary()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, canary.secret, form, level],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return canary, done.stderr


def test_every_line_of_json_logs_is_an_object_with_event_level_and_time():
    canary, text = run("json")
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    ours, celery, asked, bug, foreign = lines
    assert (ours["event"], ours["imported"]) == ("import.finished", 3)
    assert (ours["job"], ours["stream"]) == (celery["job"], celery["stream"]) == ("j1", "team/app")
    assert (celery["logger"], celery["level"]) == ("celery.worker", "warning")
    assert "job" not in asked
    assert bug["exception"].startswith("Traceback")
    assert foreign["exception"].startswith("Traceback")
    canary.check(text)


def test_lines_for_people_hold_no_secret_either():
    canary, text = run("console")
    assert "import.finished" in text
    assert "cannot reach redis://" in text
    canary.check(text)


def test_what_is_less_severe_than_was_chosen_is_not_written():
    _, text = run("json", "ERROR")
    assert {json.loads(line)["level"] for line in text.splitlines()} == {"error"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://quay.io/team/app?x=1", "https://quay.io/team/app?x=1"),
        ("postgresql://me:pw@db/x", "postgresql://[redacted]@db/x"),
        ("team/app@sha256:abc", "team/app@sha256:abc"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic [redacted]"),
        (f"token tgs_{'a' * 43} is unknown", "token [redacted] is unknown"),
    ],
)
def test_secrets_are_blackened_and_the_rest_is_left(value, shown):
    assert blacken(None, "info", {"event": value})["event"] == shown


@pytest.mark.parametrize("key", ["password", "db_password", "token", "Authorization", "secret"])
def test_a_key_that_names_a_secret_blackens_its_value(key):
    assert blacken(None, "info", {key: "x"})[key] == "[redacted]"


def test_keys_that_only_sound_like_it_are_left():
    event = {"tokens": 3, "credential": "uid/1", "secret_name": "pull"}
    assert blacken(None, "info", dict(event)) == event
