"""Logs of a process: JSON lines with fixed keys, and no secret in any form."""

import json
import subprocess
import sys

import pytest

from models.telemetry.log_setup import redact_secrets
from tests.fakeregistry.leak_detector import LeakDetector

PROGRAM = """
import logging, sys
import structlog
from structlog.contextvars import bound_contextvars
from models.telemetry.log_setup import configure_logging

secret, form, level = sys.argv[1:]
configure_logging(level, form, quiet=False)
log = structlog.get_logger()
with bound_contextvars(job="j1", stream="team/app"):
    log.info("import.finished", imported=3, url=f"postgresql://me:{secret}@db/x")
    logging.getLogger("celery.worker").warning("cannot reach %s", f"redis://:{secret}@q/0")
log.warning("api.request", authorization=secret, header=f"Bearer {secret}", password=secret)
log.debug("nothing")
try:
    raise ValueError(f"https://user:{secret}@host/path is wrong")
except ValueError:
    log.exception("api.bug")
    logging.getLogger("kombu").exception("it broke")
"""


def run_program(form, level="INFO"):
    """Run PROGRAM; return the detector of its secret and what it logged."""
    detector = LeakDetector()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, detector.secret, form, level],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return detector, done.stderr


def test_json_log_events_have_event_level_and_timestamp():
    detector, text = run_program("json")
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    ours, celery, api_warning, bug, foreign = lines
    assert (ours["event"], ours["imported"]) == ("import.finished", 3)
    assert (ours["job"], ours["stream"]) == (celery["job"], celery["stream"]) == ("j1", "team/app")
    assert (celery["logger"], celery["level"]) == ("celery.worker", "warning")
    assert "job" not in api_warning
    assert bug["exception"].startswith("Traceback")
    assert foreign["exception"].startswith("Traceback")
    detector.check(text)


def test_console_log_redacts_secrets():
    detector, text = run_program("console")
    assert "import.finished" in text
    assert "cannot reach redis://" in text
    detector.check(text)


def test_log_level_suppresses_less_severe_events():
    _, text = run_program("json", "ERROR")
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
def test_redact_secrets_replaces_only_secrets_in_text(value, shown):
    assert redact_secrets(None, "info", {"event": value})["event"] == shown


@pytest.mark.parametrize("key", ["password", "db_password", "token", "Authorization", "secret"])
def test_redact_secrets_replaces_value_of_secret_key(key):
    assert redact_secrets(None, "info", {key: "x"})[key] == "[redacted]"


def test_redact_secrets_keeps_values_of_similar_keys():
    event = {"tokens": 3, "credential": "uid/1", "secret_name": "pull"}
    assert redact_secrets(None, "info", dict(event)) == event
