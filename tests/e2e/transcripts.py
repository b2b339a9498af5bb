"""Pages that show a terminal: typed from top to bottom into one shell, and compared.

A block of the language `console` is a piece of the terminal: `$ ` begins a command, `> ` continues
it, and the lines below are its output. Any other block that begins with a comment like
`# stream.yaml` is a file that the reader saves in the current directory. In expected output `…`
matches any text, alone on a line any number of lines. Ages, times, digests and identifiers may
differ, and so may the width of columns.
"""

import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"(?:#|//) (\w[\w.-]*\.\w+)\n")
_ANYTHING = "…"
# What differs from run to run, and what it looks like.
_LOOSE = [
    (r"…", r".*?"),
    (r"sha256:[0-9a-f]{6,}", r"sha256:[0-9a-f]{6,}"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"),
    (r"\b\d\d:\d\d:\d\dZ", r"\d\d:\d\d:\d\dZ"),
    (r"\d+ \w+ ago|Less than a second ago", r"(?:\d+ \w+|About a minute|Less than a second) ago"),
    (r"\d+[smhd] ago|\bjust now", r"\d+[smhd] ago"),
    (r"\b\d+ B\b", r"\d+ B"),
    (r"\bin \d+\.\d s\b", r"in \d+\.\d s"),
    (r"\bin \d+[smhd]\b", r"(?:in \d+[smhd]|now)"),
    (r"\b\d+m?s\b", r"\d+(?:ms|s|m|m\d+s)"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"[0-9a-f-]{36}"),
    (r"\b(?=[a-f]*\d)[0-9a-f]{8}\b", r"[0-9a-f]{8}"),
]
_SPLIT = re.compile("|".join(f"({shape})" for shape, _ in _LOOSE))
_FAILURE = re.compile(r"error: |Error from|tagstream: |failed: |no$|The .* is invalid: ")
_STDOUT_REDIRECTED = re.compile(r"(?<!2)>")
_PROGRESS = re.compile(r"[\d,]+ of [\d,?]+ done\b")  # printed now and then where a job is slow
_PAUSE_SECONDS = 3
_END_OF_COMMAND = "end of command 7b1d4c"


@dataclass
class SavedFile:
    """A file that the reader saves."""

    name: str
    content: str
    line: int


@dataclass
class Command:
    """What the reader types, the output that the page shows, and the line of the page."""

    text: str
    line: int
    expected: list[str] = field(default_factory=list)

    @property
    def in_background(self):
        return self.text.endswith(" &")

    @property
    def fails(self):
        """Whether the page shows a failure."""
        return any(_FAILURE.match(text) for text in self.expected)


def read_page(text):
    """Return the steps of a page in order: the files to save and the commands to type."""
    steps = []
    for block in _BLOCK.finditer(text):
        language, content = block.groups()
        first = text.count("\n", 0, block.start(2)) + 1
        if language == "console":
            steps += _read_console(content, first)
        elif named := _FILE_NAME.match(content):
            steps.append(SavedFile(named[1], content, first))
    return steps


def read_blocks(text):
    """Return language and content of every block of a page."""
    return [block.groups() for block in _BLOCK.finditer(text)]


def _read_console(content, first):
    commands = []
    for number, line in enumerate(content.splitlines(), first):
        if line.startswith("$ "):
            commands.append(Command(line[2:], number))
        elif line.startswith("> ") and not commands[-1].expected:
            commands[-1].text += f"\n{line[2:]}"
        else:
            commands[-1].expected.append(line)
    return commands


def pattern(line):
    """Return the regular expression of an expected line."""
    found, position = "", 0
    line = " ".join(line.split())
    for each in _SPLIT.finditer(line):
        found += re.escape(line[position : each.start()]) + _LOOSE[each.lastindex - 1][1]
        position = each.end()
    return re.compile(found + re.escape(line[position:]))


def matches(expected, line):
    return pattern(expected).fullmatch(" ".join(line.split())) is not None


class Shell:
    """One shell that keeps its directory, variables and background processes between commands."""

    def __init__(self, directory, variables, *, timeout=40):
        self._timeout = timeout
        self._directory = directory
        self._background = []
        self._lines = queue.Queue()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env={"PYTHONUNBUFFERED": "1", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, step):
        """Carry out one step; return why its outcome is not as the page shows it, or None."""
        if isinstance(step, SavedFile):
            [directory], _ = self.type("pwd")
            (Path(directory) / step.name).write_text(step.content)
            return None
        lines, status = self.type(self._redirected(step))
        if step.in_background and not step.expected:
            time.sleep(_PAUSE_SECONDS)  # nothing shows that it is ready; a reader types slowly
        if bool(status) != step.fails:
            return f"its exit status is {status}:\n" + "\n".join(lines)
        return self._compare(step, lines)

    def type(self, text):
        """Return the lines that a command prints, and its exit status."""
        # `$?` stays the command's own, so that a page may show it.
        script = (
            f"eval {shlex.quote(text)} < /dev/null\n"
            f"status=$?; printf '\\n{_END_OF_COMMAND} %s\\n' $status; (exit $status)\n"
        )
        self._process.stdin.write(script)
        self._process.stdin.flush()
        lines, deadline = [], time.monotonic() + self._timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"{text}\n" + "\n".join(lines)) from None
            if line.startswith(_END_OF_COMMAND):
                if lines and not lines[-1]:
                    lines.pop()  # the line break before the mark
                return lines, int(line.split()[-1])
            lines.append(line)

    def close(self):
        """End the shell and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            end = time.monotonic() + 10
            while time.monotonic() < end and _group_runs(self._process.pid):
                self._process.poll()
                time.sleep(0.02)
        self._process.wait(10)
        self._process.stdin.close()

    @property
    def output(self):
        """What the processes in the background have printed."""
        return "\n".join(each.output.read_text(errors="replace") for each in self._background)

    def _redirected(self, command):
        """Return the command, with the output of a background process in a file of its own."""
        if not command.in_background or _STDOUT_REDIRECTED.search(command.text):
            return command.text
        output = self._directory / f".background-{len(self._background)}"
        output.touch()
        self._background.append(_Background(output))
        errors = "" if "2>" in command.text else "2>&1 "
        return f"{command.text[:-2]} >> {shlex.quote(str(output))} {errors}&"

    def _read(self):
        with self._process.stdout:
            for line in self._process.stdout:
                self._lines.put(line.rstrip("\n"))

    def _compare(self, command, lines):
        """Match each expected line with the next line of the command or of the background."""
        rest, skipping = [line for line in lines if not _PROGRESS.match(line)], False
        for expected in command.expected:
            if expected == _ANYTHING:
                skipping = True
                continue
            found = next((n for n, line in enumerate(rest) if matches(expected, line)), None)
            if found is not None and (skipping or found == 0):
                del rest[: found + 1]
                skipping = False
            elif not self._wait_in_background(expected, command):
                return f"expected: {expected}\nrest of the output:\n" + "\n".join(rest)
        if rest and not skipping:
            return "nothing more was expected than this:\n" + "\n".join(rest)
        return None

    def _wait_in_background(self, expected, command):
        processes = self._background[-1:] if command.in_background else self._background
        deadline = time.monotonic() + 20
        while processes and time.monotonic() < deadline:
            if any(each.take(expected) for each in processes):
                return True
            time.sleep(0.05)
        return False


def _group_runs(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class _Background:
    """The output of a process in the background; lines are taken from it in order."""

    def __init__(self, output):
        self.output = output
        self._taken = 0

    def take(self, expected):
        """Return whether a further line matches; it and those before it are taken."""
        lines = self.output.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines[self._taken :], self._taken + 1):
            if matches(expected, line):
                self._taken = number
                return True
        return False
