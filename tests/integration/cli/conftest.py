"""Fixtures that run the `tagstream` command in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import fixtures as fx

TAGSTREAM = Path(sys.executable).with_name("tagstream")
TEST_PASSWORD = "hunter2-canary"


@dataclass
class CommandResult:
    """The exit code and the output of a finished command."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)

    @property
    def rows(self):
        """The cells of each table row but the header, split at white space."""
        return [line.split() for line in self.out.splitlines()[1:]]


class Cli:
    """Run `tagstream` with a data directory of its own and without the caller's settings."""

    def __init__(self, directory):
        self.directory = directory
        self.data = directory / "data"
        self.home = directory / "home"
        self.home.mkdir()

    def environment(self, **more):
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("TAGSTREAM", "DOCKER"))
        }
        return {**inherited, "HOME": str(self.home), "TAGSTREAM_DATA_DIR": str(self.data), **more}

    def __call__(self, *arguments, stdin="", **environment):
        process = subprocess.run(
            [TAGSTREAM, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment(**environment),
        )
        result = CommandResult(process.returncode, process.stdout, process.stderr)
        assert TEST_PASSWORD not in result.out + result.err
        assert "Traceback" not in result.err
        return result

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [TAGSTREAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
        )


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture
def app_registry(fake):
    """A registry with the repository `team/app`: three tags, one of them for several platforms."""
    fake.push("team/app", tag="1.0", manifest=fx.S2, config=fx.CFG_A)
    fake.push("team/app", tag="1.1", manifest=fx.OCI, config=fx.CFG_A)
    for child, config in (
        (fx.OCI_BARE, fx.CFG_A),
        (fx.OCI_ARM, fx.CFG_ARM),
        (fx.OCI_ATT, fx.CFG_ATT),
    ):
        fake.push("team/app", manifest=child, config=config)
    fake.push("team/app", tag="latest", manifest=fx.INDEX, config=fx.CFG_A)
    fake.repository = f"{fake.host}/team/app"
    return fake


def wait_until(condition, *, timeout=20.0):
    """Poll `condition()` until it returns a true value; return that value."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("the condition did not hold in time")


def interrupt(process):
    """Send ctrl-C; return the result of the command."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return CommandResult(process.returncode, out, err)
