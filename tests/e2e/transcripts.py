"""Pages that show a terminal: read, replayed command by command, and compared.

A fenced block with lines `$ …` is a piece of the terminal; `> ` goes on with a command. A block
that begins with `# name.yaml` is a file that the page's commands use. In what a command prints,
`…` stands for anything, alone on a line for any number of lines; ages, times, digests and uids
may differ, and so may the width of columns.
"""

import re
import subprocess
import threading
import time
from dataclasses import dataclass, field

_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w[\w.-]*\.yaml)\n")
_ANYTHING = "…"
# What differs from run to run, and what it looks like wherever it stands.
_LOOSE = [
    (r"…", r".*?"),
    (r"sha256:[0-9a-f]{6,}", r"sha256:[0-9a-f]{6,}"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    (r"\d+ \w+ ago|Less than a second ago", r"(?:\d+ \w+|About a minute|Less than a second) ago"),
    (r"\b\d+m?s\b", r"\d+(?:ms|s|m|m\d+s)"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"[0-9a-f-]{36}"),
]
_SPLIT = re.compile("|".join(f"({shape})" for shape, _ in _LOOSE))


@dataclass
class Command:
    """What was typed, what should come, and in which line of the page it stands."""

    words: str
    line: int
    expected: list[str] = field(default_factory=list)

    @property
    def stays(self):
        """Whether it goes on beside the next ones."""
        return self.words.endswith(" &")

    @property
    def fails(self):
        """Whether what should come is a refusal."""
        return any(re.match("error:|Error from|no$", text) for text in self.expected)


def read_page(text):
    """The files of a page by name, and its commands in order."""
    files, commands = {}, []
    for block in _BLOCK.finditer(text):
        content = block[1]
        named = _FILE.match(content)
        if named:
            files[named[1]] = content
            continue
        first = text.count("\n", 0, block.start(1)) + 1
        for number, line in enumerate(content.splitlines(), first):
            if line.startswith("$ "):
                commands.append(Command(line[2:], number))
            elif line.startswith("> ") and not commands[-1].expected:
                commands[-1].words += f"\n{line[2:]}"
            else:
                commands[-1].expected.append(line)
    return files, commands


def pattern(line):
    """A printed line as a regular expression."""
    found, at = "", 0
    line = " ".join(line.split())
    for each in _SPLIT.finditer(line):
        found += re.escape(line[at : each.start()]) + _LOOSE[each.lastindex - 1][1]
        at = each.end()
    return re.compile(found + re.escape(line[at:]))


def matches(expected, line):
    return pattern(expected).fullmatch(" ".join(line.split())) is not None


class Session:
    """One terminal: every command in a shell of its own, in one place and environment."""

    def __init__(self, directory, variables, *, patience=30):
        self._directory = directory
        self._variables = variables
        self._patience = patience
        self._beside = []

    def run(self, command):
        """Carry out one command; why its end is not as the page shows it, or None."""
        if command.words.startswith("kill %"):
            return self._end(self._beside[int(command.words[6:]) - 1])
        if command.stays:
            self._beside.append(_Beside(self._start(command.words[:-2], merged=True)))
            return self._compare(command, [])
        process = self._start(command.words)
        out, err = process.communicate(timeout=self._patience)
        if bool(process.returncode) != command.fails:
            return f"it ended with {process.returncode}:\n{out}{err}"
        return self._compare(command, [*err.splitlines(), *out.splitlines()])

    def close(self):
        for each in self._beside:
            self._end(each)

    def _start(self, words, *, merged=False):
        return subprocess.Popen(
            ["bash", "-c", f"exec {words}" if merged else words],
            cwd=self._directory,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
        )

    def _compare(self, command, lines):
        """Each line in turn is the command's next one, or one of those that run beside it."""
        rest, skipping = list(lines), False
        for expected in command.expected:
            if expected == _ANYTHING:
                skipping = True
                continue
            while skipping and rest and not matches(expected, rest[0]):
                rest.pop(0)
            skipping = False
            if rest and matches(expected, rest[0]):
                rest.pop(0)
            elif not any(each.told(expected, within=10) for each in self._beside):
                return f"expected: {expected}\nleft of what came:\n" + "\n".join(rest)
        if rest and not skipping:
            return "nothing more was expected than this:\n" + "\n".join(rest)
        return None

    def _end(self, each):
        each.process.terminate()
        each.process.wait(10)
        each.thread.join(10)


class _Beside:
    """A command that goes on, and the lines that it has printed and nobody has looked at yet."""

    def __init__(self, process):
        self.process = process
        self._lines = []
        self._news = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()

    def told(self, expected, *, within):
        """Whether this is among the next lines; they are waited for."""
        end = time.monotonic() + within
        with self._news:
            while True:
                for number, line in enumerate(self._lines):
                    if matches(expected, line):
                        del self._lines[: number + 1]
                        return True
                left = end - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    return False
