"""Runs the demo: prints each command, then its real output."""

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
OK_EXIT_CODES = (0, 3)  # done, and done with errors
MAX_PUBLIC_TAGS = "50"
CHECK_INTERVAL = "PT2S"
WAIT_TIMEOUT_SECONDS = 30.0


class DemoRunner:
    """Runs commands with a data directory of the demo's own."""

    def __init__(self, directory: Path) -> None:
        self._after_comment = False
        self._environment = {**os.environ, "TAGSTREAM_DATA_DIR": str(directory / "data")}
        self._environment["TAGSTREAM_MAX_TAGS_CEILING"] = MAX_PUBLIC_TAGS
        self._environment["TAGSTREAM_CHECK_INTERVAL"] = CHECK_INTERVAL

    def print_comment(self, text: str) -> None:
        """Print a comment that explains the next command."""
        CONSOLE.print(f"\n# {text}", style="italic dim")
        self._after_comment = True

    def run(self, *arguments: str) -> None:
        """Run a command; its output goes to the terminal."""
        self._print_command(f"$ tagstream {shlex.join(arguments)}")
        completed = subprocess.run([TAGSTREAM, *arguments], env=self._environment, check=False)
        if completed.returncode not in OK_EXIT_CODES:
            raise SystemExit(f"demo: the command exited with code {completed.returncode}")

    def _print_command(self, command: str) -> None:
        CONSOLE.print("" if self._after_comment else "\n", end="")
        self._after_comment = False
        CONSOLE.print(command, style="bold")

    @contextmanager
    def up(self) -> Iterator[None]:
        """Run `tagstream up` in the background for the duration of the block."""
        self._print_command("$ tagstream up &")
        process = subprocess.Popen(
            [TAGSTREAM, "up", "--listen", "127.0.0.1:0"],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if not (first := process.stdout.readline()):
                raise SystemExit("demo: tagstream up did not start")
            CONSOLE.print(first.partition(";")[0])
            yield
        finally:
            process.terminate()
            process.communicate(timeout=WAIT_TIMEOUT_SECONDS)

    def wait_for_events(self, tag: str, count: int) -> None:
        """Wait until the history of `tag` has so many events."""
        history: list[str | Path] = [TAGSTREAM, "history", tag, "--output", "json"]
        deadline = time.monotonic() + WAIT_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            completed = subprocess.run(
                history, env=self._environment, check=True, capture_output=True, text=True
            )
            if len(json.loads(completed.stdout)["items"]) >= count:
                return
            time.sleep(0.3)
        raise SystemExit(f"demo: the update of {tag} was not detected in time")


def run_local_demo(runner: DemoRunner, directory: Path) -> None:
    """Run the whole demo with a local registry."""
    from demo.demo_registry import REPOSITORY, DemoImagePublisher, open_registry

    with open_registry(directory) as host:
        name, repository = REPOSITORY.rpartition("/")[2], f"{host}/{REPOSITORY}"
        runner.print_comment(
            f"push images to a registry at {host}: 12 for one architecture, 1 index for three"
        )
        publisher = DemoImagePublisher(host, directory)
        for patch in range(12):
            publisher.push_image(f"1.{patch}")
        publisher.push_index("2.0", "latest", build="2.0")
        runner.print_comment(
            "import the whole repository with all platforms, and check its tags on a schedule"
        )
        runner.run(
            "import", repository, "--all", "--scheduled", "--import-mode", "PreserveOriginal"
        )
        runner.print_comment("show the stream, its tags, their platforms and layers")
        runner.run("get", "streams")
        runner.run("describe", name)
        runner.run("describe", f"{name}:1.11")
        runner.print_comment(
            "start the scheduler; it checks every two seconds (TAGSTREAM_CHECK_INTERVAL=PT2S)"
        )
        with runner.up():
            before = _wait_between_events()
            runner.print_comment("push 2.1 to the registry and point `latest` to it")
            publisher.push_index("latest", build="2.1")
            runner.wait_for_events(f"{name}:latest", 2)
            runner.print_comment("a scheduled check has detected the update: history of `latest`")
            runner.run("history", f"{name}:latest")
            runner.print_comment("show the image at an earlier time, and the import jobs")
            runner.run("history", f"{name}:latest", "--at", before)
            runner.run("jobs", "-o", "wide")


def _wait_between_events() -> str:
    """Return a time between two events, whose times have whole seconds."""
    time.sleep(1)
    timestamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    time.sleep(1)
    return timestamp


def run_public_demo(runner: DemoRunner, reference: str) -> None:
    """Import a public repository or tag."""
    name = reference.partition("@")[0].rpartition("/")[2]
    stream, _, tag = name.partition(":")
    import_options = () if tag or "@" in reference else ("--all",)
    runner.print_comment(f"import {reference}, at most {MAX_PUBLIC_TAGS} tags, with all platforms")
    runner.run("import", reference, *import_options, "--import-mode", "PreserveOriginal")
    runner.print_comment("show the stream and its tags")
    runner.run("get", "streams")
    runner.run("describe", stream)


def main(arguments: Sequence[str]) -> None:
    """Run the demo in a temporary directory."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="tagstream-demo-") as name:
        directory = Path(name)
        runner = DemoRunner(directory)
        if arguments:
            run_public_demo(runner, arguments[0])
        else:
            run_local_demo(runner, directory)
    runner.print_comment(
        f"{time.monotonic() - started:.0f} seconds; the registry and the data are removed"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
