"""`WWW-Authenticate` read to the letter, and scopes (`registry.md` 3.2, 3.3).

RFC 9110 section 11: several challenges may share a line, and commas stand both between challenges
and between their parameters. What cannot be read is left out; nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_LINES = 16
MOST_BYTES = 16 * 1024
MOST_CHALLENGES = 8
MOST_PARAMETERS = 32
_LONGEST = {"realm": 2048, "scope": 4096}
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?=[ \t]|,|$)[ \t]*")
_PARAMETER = re.compile(
    rf"[\s,]*({_WORD})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*))(?=[ \t]*(?:,|$))",
    re.DOTALL,
)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


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
        if number >= MOST_LINES or size > MOST_BYTES:
            break
        found.extend(_parse_line(line))
    return found[:MOST_CHALLENGES]


def _parse_line(line: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while position < len(line):
        scheme = _SCHEME.match(line, position)
        if scheme is None:
            position = _skip(line, position)
            continue
        position = scheme.end()
        token68 = _TOKEN68.match(line, position)
        if token68 is not None and "=" not in token68.group().rstrip("= \t"):
            ahead = _PARAMETER.match(line, position)
            if ahead is None:
                position = token68.end()
                found.append(Challenge(scheme.group(1).lower()))
                continue
        parameters, position, whole = _parse_parameters(line, position)
        if whole:
            found.append(Challenge(scheme.group(1).lower(), parameters))
    return found


def _parse_parameters(line: str, position: int) -> tuple[dict[str, str], int, bool]:
    """The parameters from there on, where they end, and whether all of them could be read."""
    parameters: dict[str, str] = {}
    while len(parameters) < MOST_PARAMETERS:
        found = _PARAMETER.match(line, position)
        if found is None:
            break
        name, quoted, bare = found.group(1).lower(), found.group(2), found.group(3)
        value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare
        if len(value) <= _LONGEST.get(name, MOST_BYTES):
            parameters.setdefault(name, value)
        position = found.end()
    rest = line[position:].lstrip(" \t,")
    whole = not rest or _SCHEME.match(rest) is not None
    if not whole:
        position = _skip(line, position)
    return parameters, position, whole


def _skip(line: str, position: int) -> int:
    """Past something unreadable: behind the next comma that starts another challenge."""
    for comma in re.finditer(",", line[position:]):
        start = position + comma.end()
        if _SCHEME.match(line, start) is not None:
            return start
    return len(line)


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


def choose_scopes(repository: str, challenged: str) -> list[str]:
    """What to ask a token server for: reading only, the registry's own repository name first."""
    own = f"repository:{repository}:pull"
    scopes: list[str] = []
    for text in challenged.split():
        scope = parse_scope(text)
        if scope is None or scope.type not in {"repository", "repository(plugin)"}:
            continue
        actions = tuple(a for a in scope.actions if a in {"pull", "metadata_read"}) or ("pull",)
        if scope.name == repository:
            own = str(Scope(scope.type, repository, actions))
        else:
            scopes.append(str(Scope(scope.type, scope.name, actions)))
    return [*dict.fromkeys(scopes), own]
