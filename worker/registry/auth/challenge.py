"""`WWW-Authenticate` read to the letter, and scopes (`registry.md` 3.2, 3.3).

RFC 9110 section 11: several challenges may share a line, and commas stand both between challenges
and between their parameters. What cannot be read is left out; nothing here raises, and nothing
here takes longer than the line is long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

MOST_LINES = 16
MOST_CHARACTERS = 16 * 1024
MOST_CHALLENGES = 8
MOST_PARAMETERS = 32
MOST_SCOPES = 4
_LONGEST = {"realm": 2048, "scope": 4096}
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
# A whole quoted string, a quote that never ends, or a comma.
_MARK = re.compile(rf'{_QUOTED}|"|,', re.DOTALL)
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]++(?!=)|$)")
_PARAMETER = re.compile(
    rf'[ \t]*+({_WORD})[ \t]*+=[ \t]*+(?:({_QUOTED})|([^ \t",]*+))(?=[ \t]|$)', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_READING = ("pull", "metadata_read")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme in lower case, and its parameters with lower-case names; the first of doubles."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """A parameter's value, empty where it is missing."""
        return self.parameters.get(name, "")


def parse_challenges(lines: Iterable[str]) -> list[Challenge]:
    """Every challenge that can be read, in the order of the lines."""
    found: list[Challenge] = []
    size = 0
    for number, line in enumerate(lines):
        size += len(line)
        if number >= MOST_LINES or size > MOST_CHARACTERS:
            break
        found.extend(_parse_line(line))
    return found[:MOST_CHALLENGES]


def _parse_line(line: str) -> list[Challenge]:
    """A part between commas begins a challenge, or belongs to the one before it."""
    found: list[tuple[str, dict[str, str]]] = []
    for part, is_whole in _split(line):
        text = part.strip()
        scheme = _SCHEME.match(text)
        if scheme is not None and len(found) < MOST_CHALLENGES:
            found.append((scheme.group(1).lower(), {}))
            text = text[scheme.end() :]
        elif scheme is not None:
            break
        if not found:
            continue
        if not is_whole:
            found.pop()
            break
        _collect(text, found[-1][1])
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _split(line: str) -> Iterator[tuple[str, bool]]:
    """The parts between commas outside of quotes; False marks one whose quote never ends."""
    start = 0
    for mark in _MARK.finditer(line):
        if mark.group() == '"':
            yield line[start : mark.start()], False
            return
        if mark.group() == ",":
            yield line[start : mark.start()], True
            start = mark.end()
    yield line[start:], True


def _collect(text: str, parameters: dict[str, str]) -> None:
    """Add what `text` says to `parameters`; some registries forget the commas in between."""
    position = 0
    while len(parameters) < MOST_PARAMETERS:
        found = _PARAMETER.match(text, position)
        if found is None:
            return
        name, quoted, bare = found.group(1).lower(), found.group(2), found.group(3)
        value = _ESCAPED.sub(r"\1", quoted[1:-1]) if quoted is not None else bare
        if len(value) <= _LONGEST.get(name, MOST_CHARACTERS):
            parameters.setdefault(name, value)
        position = found.end()


@dataclass(frozen=True, slots=True)
class Scope:
    """`type:name:actions`; the name may hold colons, so type and actions are cut at the ends."""

    type: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


def parse_scope(text: str) -> Scope | None:
    """One scope, or None for a text that is none."""
    kind, colon, rest = text.partition(":")
    name, last, actions = rest.rpartition(":")
    if not (colon and last and name):
        return None
    return Scope(kind, name, tuple(action for action in actions.split(",") if action))


def choose_scopes(repository: str, challenged: str) -> tuple[str, ...]:
    """What to ask a token server for: reading only, the registry's own name for it first.

    A challenge may name another repository than we do (pull-through proxies); it may not widen
    what we ask for: writing, deleting and the catalog are left out.
    """
    kind, own, others = "repository", {"pull"}, []
    for text in challenged.split():
        scope = parse_scope(text)
        if scope is None or scope.type not in {"repository", "repository(plugin)"}:
            continue
        actions = tuple(action for action in _READING if action in scope.actions)
        if scope.name == repository:
            kind = scope.type
            own.update(actions)
        elif actions:
            others.append(str(Scope(scope.type, scope.name, actions)))
    mine = Scope(kind, repository, tuple(action for action in _READING if action in own))
    return (*list(dict.fromkeys(others))[:MOST_SCOPES], str(mine))
