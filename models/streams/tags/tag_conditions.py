"""Why a tag is not where it should be: one condition, written once (`import.md` 5.4, Q39, Q40)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from models.errors import TagstreamError, status_of
from models.resources.stream import TagEventCondition

IMPORT_SUCCESS = "ImportSuccess"
NO_MESSAGE = "unknown error prevented import"

_IDS = r"(?<![/\w.])((?:x-)?(?:amz-)?(?:request|trace|correlation|host|ray)[ _-]?id)"
_ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\])"
_VOLATILE = (
    # Our own side of a connection, and the resolver that was asked.
    (re.compile(rf"\b((?:read|write|dial) (?:tcp|udp)) {_ADDRESS}:\d+->", re.ASCII), r"\1 "),
    (re.compile(rf"\b(lookup \S+) on {_ADDRESS}:\d+", re.ASCII), r"\1"),
    (re.compile(rf"\b((?:read|write|dial) udp) {_ADDRESS}:53\b", re.ASCII), r"\1"),
    # A look asks by HEAD what an import asks by GET.
    (re.compile(r'\bHead (?="https?://)'), "Get "),
    # What a registry made up for this one request.
    (
        re.compile(rf"{_IDS}\W{{1,4}}(?=[a-z+/=._-]*\d)[\w+/=.-]+", re.ASCII | re.IGNORECASE),
        r"\1 (id)",
    ),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"), "(time)"),
)
# A registry that is away is so whatever was asked for; who did not ask hears what others heard.
_ASKED = re.compile(r'\b(Get "https?://[^\s"/]+/v2/)[^\s"]*"')


def failure_condition(
    error: TagstreamError, *, generation: int, now: datetime
) -> TagEventCondition:
    """The condition that a failed import leaves on its tag."""
    status = status_of(error)
    return TagEventCondition(
        type=IMPORT_SUCCESS,
        status="False",
        reason=status.get("reason", ""),
        message=steady_text(status.get("message") or NO_MESSAGE),
        generation=generation,
        last_transition_time=now,
    )


def is_told(condition: TagEventCondition, conditions: Iterable[TagEventCondition]) -> bool:
    """Whether a tag says that already; then neither its date nor its generation moves (Q39)."""
    wanted = _what(condition)
    return any(_what(other) == wanted for other in conditions)


def _what(condition: TagEventCondition) -> tuple[str, str, str, str]:
    message = _ASKED.sub(r'\1"', steady_text(condition.message))
    return condition.type, condition.status, condition.reason, message


def steady_text(text: str) -> str:
    """A message without what differs at each attempt, so that one failure has one text (B21).

    Local addresses, resolvers, request ids and times go; what was asked for stays. A steady text
    is its own steady text: no rule finds what another one leaves, or it takes digits away, so
    repeating them comes to an end.
    """
    before = ""
    while text != before:
        before = text
        for pattern, replacement in _VOLATILE:
            text = pattern.sub(replacement, text)
    return text
