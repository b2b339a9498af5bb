"""Parsing of `WWW-Authenticate`, and the scopes of token requests (registry-9.1, registry-9.4).

RFC 9110 section 11.6.1: several challenges may share a line, and commas separate both challenges
and the parameters of one challenge. What cannot be parsed is left out; nothing here raises, and all
parsing takes time linear in the length of the line (possessive quantifiers do not backtrack).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

MAX_HEADER_VALUES = 16
MAX_HEADER_CHARACTERS = 16 * 1024
MAX_CHALLENGES = 8
MAX_PARAMETERS = 32
MAX_SCOPES = 4
_MAX_PARAMETER_LENGTHS = {"realm": 2048, "scope": 4096}
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_HTTP_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - no password
# A whole quoted string, a quote without end, or a comma.
_DELIMITER = re.compile(rf'{_QUOTED}|"|,', re.DOTALL)
_SCHEME = re.compile(rf"({_HTTP_TOKEN})(?:[ \t]++(?!=)|$)")
_PARAMETER = re.compile(
    rf'[ \t]*+({_HTTP_TOKEN})[ \t]*+=[ \t]*+(?:({_QUOTED})|([^ \t",]*+))(?=[ \t]|$)', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_READ_ACTIONS = ("pull", "metadata_read")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme and its parameters, names in lower case; of duplicates the first one counts."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return a parameter's value, empty if it is missing."""
        return self.parameters.get(name, "")


def parse_challenges(header_values: Iterable[str]) -> list[Challenge]:
    """Return the challenges that can be parsed, in order, at most 8 (registry-9.2)."""
    found: list[Challenge] = []
    size = 0
    for number, header_value in enumerate(header_values):
        size += len(header_value)
        if number >= MAX_HEADER_VALUES or size > MAX_HEADER_CHARACTERS:
            break
        found.extend(_parse_header_value(header_value))
    return found[:MAX_CHALLENGES]


def _parse_header_value(header_value: str) -> list[Challenge]:
    """Parse one header value: each part between commas starts a challenge or continues the last.

    Example: `Bearer realm="https://a/t",service="s", Basic realm="r"` has three parts and two
    challenges; `service="s"` has no scheme in front, so it belongs to Bearer.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for part, is_whole in _split_at_commas(header_value):
        text = part.strip()
        scheme = _SCHEME.match(text)
        if scheme is not None and len(found) < MAX_CHALLENGES:
            found.append((scheme.group(1).lower(), {}))
            text = text[scheme.end() :]
        elif scheme is not None:
            break
        if not found:
            continue
        if not is_whole:
            found.pop()
            break
        _add_parameters(text, found[-1][1])
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _split_at_commas(header_value: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts between commas outside of quotes; False marks an unterminated quote."""
    start = 0
    for delimiter in _DELIMITER.finditer(header_value):
        if delimiter.group() == '"':
            yield header_value[start : delimiter.start()], False
            return
        if delimiter.group() == ",":
            yield header_value[start : delimiter.start()], True
            start = delimiter.end()
    yield header_value[start:], True


def _add_parameters(text: str, parameters: dict[str, str]) -> None:
    """Add the parameters in `text` to `parameters`; some registries omit the commas between."""
    position = 0
    while len(parameters) < MAX_PARAMETERS:
        found = _PARAMETER.match(text, position)
        if found is None:
            return
        name, quoted, bare = found.group(1).lower(), found.group(2), found.group(3)
        value = _ESCAPED.sub(r"\1", quoted[1:-1]) if quoted is not None else bare
        if len(value) <= _MAX_PARAMETER_LENGTHS.get(name, MAX_HEADER_CHARACTERS):
            parameters.setdefault(name, value)
        position = found.end()


@dataclass(frozen=True, slots=True)
class TokenScope:
    """A scope `type:name:actions`.

    The name may contain colons (a port), so the type ends at the first colon and the actions begin
    after the last one (registry-9.3).
    """

    type: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


def parse_scope(text: str) -> TokenScope | None:
    """Parse one scope; None if the text is not a scope."""
    kind, colon, rest = text.partition(":")
    name, last_colon, actions = rest.rpartition(":")
    if not (colon and last_colon and name):
        return None
    return TokenScope(kind, name, tuple(action for action in actions.split(",") if action))


def choose_scopes(repository: str, challenged: str) -> tuple[str, ...]:
    """Return the scopes to request of a token server: read access only.

    A challenge may name other repositories than ours (pull-through proxies); their scopes come
    first (registry-9.5). It may not widen the access that we request: writing, deleting and the
    catalog are left out (registry-9.4).
    """
    kind, own_actions, others = "repository", {"pull"}, []
    for text in challenged.split():
        scope = parse_scope(text)
        if scope is None or scope.type not in {"repository", "repository(plugin)"}:
            continue
        actions = tuple(action for action in _READ_ACTIONS if action in scope.actions)
        if scope.name == repository:
            kind = scope.type
            own_actions.update(actions)
        elif actions:
            others.append(str(TokenScope(scope.type, scope.name, actions)))
    own_scope = TokenScope(
        kind, repository, tuple(action for action in _READ_ACTIONS if action in own_actions)
    )
    return (*list(dict.fromkeys(others))[:MAX_SCOPES], str(own_scope))
