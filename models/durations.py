"""Parses durations as operators and users write them: `15m`, `1h30m`, `900s`, `900`, `PT15M`.

Settings, annotations, Registry objects and options of the command line take this one notation.
"""

from __future__ import annotations

import re

INVALID_DURATION = "must be a duration such as 15m, 1h30m, 1d, PT15M, or a number of seconds"
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
# Units in descending order, each at most once. `m` before `s` is no minute but the start of `ms`.
_GO_PATTERN = re.compile(
    rf"(?:{_NUMBER}w)?(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?"
    rf"(?:{_NUMBER}ms)?",
    re.ASCII,
)
_GO_UNIT_SECONDS = (604800.0, 86400.0, 3600.0, 60.0, 1.0, 0.001)
_ISO_PATTERN = re.compile(
    rf"P(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)
_ISO_UNIT_SECONDS = (86400.0, 3600.0, 60.0, 1.0)


def parse_duration(text: str) -> float:
    """Parse a Go duration, an ISO 8601 duration or plain seconds, into seconds.

    `w` for weeks and `d` for days are allowed in Go durations. Raises ValueError for any other
    text, negative durations among them.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    for pattern, units in ((_GO_PATTERN, _GO_UNIT_SECONDS), (_ISO_PATTERN, _ISO_UNIT_SECONDS)):
        found = pattern.fullmatch(text)
        if found is not None and any(found.groups()):
            parts = zip(found.groups(), units, strict=True)
            return sum(float(number) * unit for number, unit in parts if number)
    raise ValueError(INVALID_DURATION)
