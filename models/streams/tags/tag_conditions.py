"""The condition of a failed import on its tag; equal failures are written once (imports-5.6,
imports-5.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from models.errors import TagstreamError, status_of
from models.resources.stream import TagEventCondition

IMPORT_SUCCESS = "ImportSuccess"
NO_MESSAGE = "unknown error prevented import"

_REQUEST_ID = r"(?<![/\w.])((?:x-)?(?:amz-)?(?:request|trace|correlation|host|ray)[ _-]?id)"
_ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\])"
_VOLATILE = (
    # The local address of a connection, and the address of the resolver.
    (re.compile(rf"\b((?:read|write|dial) (?:tcp|udp)) {_ADDRESS}:\d+->", re.ASCII), r"\1 "),
    (re.compile(rf"\b(lookup \S+) on {_ADDRESS}:\d+", re.ASCII), r"\1"),
    (re.compile(rf"\b((?:read|write|dial) udp) {_ADDRESS}:53\b", re.ASCII), r"\1"),
    # A scheduled check sends HEAD where an import sends GET.
    (re.compile(r'\bHead (?="https?://)'), "Get "),
    # Ids that a registry generated for this one request.
    (
        re.compile(
            rf"{_REQUEST_ID}\W{{1,4}}(?=[a-z+/=._-]*\d)[\w+/=.-]+", re.ASCII | re.IGNORECASE
        ),
        r"\1 (id)",
    ),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"), "(time)"),
)
# An unreachable registry is unreachable for every path: the URL does not make another failure.
_REQUEST_URL = re.compile(r'\b(Get "https?://[^\s"/]+/v2/)[^\s"]*"')


def failure_condition(
    error: TagstreamError, *, generation: int, now: datetime
) -> TagEventCondition:
    """Build the condition of a failed import."""
    status = status_of(error)
    return TagEventCondition(
        type=IMPORT_SUCCESS,
        status="False",
        reason=status.get("reason", ""),
        message=stable_message(status.get("message") or NO_MESSAGE),
        generation=generation,
        last_transition_time=now,
    )


def has_condition(condition: TagEventCondition, conditions: Iterable[TagEventCondition]) -> bool:
    """Return whether an equal condition exists; then its time and generation stay (imports-5.7)."""
    key = _condition_key(condition)
    return any(_condition_key(other) == key for other in conditions)


def _condition_key(condition: TagEventCondition) -> tuple[str, str, str, str]:
    message = _REQUEST_URL.sub(r'\1"', stable_message(condition.message))
    return condition.type, condition.status, condition.reason, message


def stable_message(text: str) -> str:
    """Remove the parts of a message that differ at each attempt, so one failure has one text
    (imports-5.7).

    Local addresses, resolvers, request ids and times are removed; what was requested stays. The
    patterns are applied until nothing changes, so a result is its own stable message: each pass
    either matches nothing or removes digits, so the loop ends.
    """
    before = ""
    while text != before:
        before = text
        for pattern, replacement in _VOLATILE:
            text = pattern.sub(replacement, text)
    return text
