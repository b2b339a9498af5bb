"""The `tagstream` command as a person has it: a process of its own."""

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
CANARY = "hunter2-canary"


@dataclass
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)

    @property
    def rows(self):
        """The words of every line of a table but its header."""
        return [line.split() for line in self.out.splitlines()[1:]]


class Cli:
    """Runs `tagstream` with a data directory of its own and without the caller's settings."""

    def __init__(self, directory):
        self.directory = directory
        self.data = directory / "data"
        self.home = directory / "home"
        self.home.mkdir()

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TAGSTREAM", "DOCKER"))}
        return {**kept, "HOME": str(self.home), "TAGSTREAM_DATA_DIR": str(self.data), **more}

    def __call__(self, *words, stdin="", **environment):
        ended = subprocess.run(
            [TAGSTREAM, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment(**environment),
        )
        result = Ended(ended.returncode, ended.stdout, ended.stderr)
        assert CANARY not in result.out + result.err
        assert "Traceback" not in result.err
        return result

    def start(self, *words, **environment):
        return subprocess.Popen(
            [TAGSTREAM, *words],
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
def shop(fake):
    """`team/app` with three tags, one of them for several platforms."""
    fake.push("team/app", tag="1.0", manifest=fx.S2, config=fx.CFG_A)
    fake.push("team/app", tag="1.1", manifest=fx.OCI, config=fx.CFG_A)
    for child, config in (
        (fx.OCI_BARE, fx.CFG_A),
        (fx.OCI_ARM, fx.CFG_ARM),
        (fx.OCI_ATT, fx.CFG_ATT),
    ):
        fake.push("team/app", manifest=child, config=config)
    fake.push("team/app", tag="latest", manifest=fx.INDEX, config=fx.CFG_A)
    fake.address = f"{fake.host}/team/app"
    return fake


def until(holds, *, within=20.0):
    """Wait until `holds()` gives something; that."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


def interrupt(process):
    """ctrl-C; what the command left."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return Ended(process.returncode, out, err)
