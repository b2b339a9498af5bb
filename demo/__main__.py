"""The show: each command as a person would type it, then what it really prints."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

CONSOLE = Console(highlight=False, soft_wrap=True, markup=False)
TAGSTREAM = Path(sys.executable).with_name("tagstream")
FINE = (0, 3)  # done, and done with errors
PUBLIC_TAGS = "50"
INTERVAL = "PT2S"
PATIENCE = 30.0


class Stage:
    """Runs commands against a database of the demo's own."""

    def __init__(self, directory: Path) -> None:
        self._told = False
        self._environment = {**os.environ, "TAGSTREAM_DATA_DIR": str(directory / "data")}
        self._environment["TAGSTREAM_MAX_TAGS_CEILING"] = PUBLIC_TAGS
        self._environment["TAGSTREAM_CHECK_INTERVAL"] = INTERVAL

    def tell(self, text: str) -> None:
        """A line of the story."""
        CONSOLE.print(f"\n# {text}", style="italic dim")
        self._told = True

    def run(self, *words: str) -> None:
        """A command and its output."""
        self._show(f"$ tagstream {shlex.join(words)}")
        ended = subprocess.run([TAGSTREAM, *words], env=self._environment, check=False)
        if ended.returncode not in FINE:
            raise SystemExit(f"demo: that command ended with {ended.returncode}")

    def _show(self, command: str) -> None:
        CONSOLE.print("" if self._told else "\n", end="")
        self._told = False
        CONSOLE.print(command, style="bold")

    @contextmanager
    def up(self) -> Iterator[None]:
        """`tagstream up` in the background, for as long as the block lasts."""
        self._show("$ tagstream up &")
        process = subprocess.Popen(
            [TAGSTREAM, "up", "--listen", "127.0.0.1:0"],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if not (first := process.stdout.readline()):
                raise SystemExit("demo: tagstream up does not start")
            CONSOLE.print(first.partition(";")[0])
            yield
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)

    def wait_for_events(self, tag: str, count: int) -> None:
        """Until the history of `tag` has so many events."""
        history: list[str | Path] = [TAGSTREAM, "history", tag, "--output", "json"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            shown = subprocess.run(
                history, env=self._environment, check=True, capture_output=True, text=True
            )
            if len(json.loads(shown.stdout)["items"]) >= count:
                return
            time.sleep(0.3)
        raise SystemExit(f"demo: nobody noticed that {tag} moved")


def show_own(stage: Stage, directory: Path) -> None:
    """The whole story, with a registry of our own as the outside world."""
    from demo.demo_registry import REPOSITORY, Publisher, open_registry

    with open_registry(directory) as host:
        name, repository = REPOSITORY.rpartition("/")[2], f"{host}/{REPOSITORY}"
        stage.tell(f"a registry at {host} gets images: most for one architecture, two for three")
        publisher = Publisher(host, directory)
        for patch in range(12):
            publisher.push_image(f"1.{patch}")
        publisher.push_index("2.0", "latest", build="2.0")
        stage.tell("import the whole repository, of each index all platforms, and keep looking")
        stage.run("import", repository, "--all", "--scheduled", "--import-mode", "PreserveOriginal")
        stage.tell("what there is now: a stream, its tags, their platforms and layers")
        stage.run("get", "streams")
        stage.run("describe", name)
        stage.run("describe", f"{name}:1.11")
        stage.tell("who keeps looking: here every two seconds, by TAGSTREAM_CHECK_INTERVAL=PT2S")
        with stage.up():
            before = _pass_some_seconds()
            stage.tell("meanwhile upstream, somebody builds 2.1 and moves `latest` there")
            publisher.push_index("latest", build="2.1")
            stage.wait_for_events(f"{name}:latest", 2)
            stage.tell("nobody asked, and it was noticed: what `latest` meant, and since when")
            stage.run("history", f"{name}:latest")
            stage.tell("what it meant at one moment; and who asked for the imports")
            stage.run("history", f"{name}:latest", "--at", before)
            stage.run("jobs", "-o", "wide")


def _pass_some_seconds() -> str:
    """A moment between two events, which carry whole seconds."""
    time.sleep(1)
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    time.sleep(1)
    return moment


def show_public(stage: Stage, reference: str) -> None:
    """The import, with a repository that anybody can reach."""
    name = reference.partition("@")[0].rpartition("/")[2]
    stream, _, tag = name.partition(":")
    every = () if tag or "@" in reference else ("--all",)
    stage.tell(f"import {reference}, at most {PUBLIC_TAGS} tags; of each index all platforms")
    stage.run("import", reference, *every, "--import-mode", "PreserveOriginal")
    stage.tell("what there is now")
    stage.run("get", "streams")
    stage.run("describe", stream)


def main(arguments: Sequence[str]) -> None:
    """Play the show in a directory that goes away afterwards."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="tagstream-demo-") as name:
        directory = Path(name)
        stage = Stage(directory)
        if arguments:
            show_public(stage, arguments[0])
        else:
            show_own(stage, directory)
    stage.tell(f"{time.monotonic() - began:.0f} seconds; the registry and the data are gone again")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
