"""Labels of metrics that strangers choose, kept within bounds.

A tenant may name as many registries as it pleases, and a registry may answer with any status; a
process knows so many words, and tells the rest as `other`.
"""

from __future__ import annotations

from models.reference import DOCKER_HUB, DOCKER_HUB_API, HUB_HOSTS

OTHER = "other"
MOST_REGISTRIES = 200
MOST_REASONS = 64
MOST_CREDENTIALS = 200
LONGEST_LABEL = 255


class Bounded:
    """The first so many words that come are known by name, all later ones are `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """`word`, or `other`."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= self._most or len(word) > LONGEST_LABEL:
                return OTHER
            found = self._known[word] = word
        return found


class _Registries(Bounded):
    """Docker Hub has one name, whichever of its hosts was asked."""

    def __call__(self, word: str) -> str:
        word = word.lower()
        hub = word == DOCKER_HUB_API or word in HUB_HOSTS
        return super().__call__(DOCKER_HUB if hub else word)


registry_label = _Registries(MOST_REGISTRIES)
reason_label = Bounded(MOST_REASONS)
credential_label = Bounded(MOST_CREDENTIALS)


def code_label(code: int | str) -> str:
    """A status as a label: strangers choose it, so what nobody uses is told by its class."""
    if isinstance(code, str):
        return code
    return str(code) if code in _CODES else f"{code // 100}xx"


_CODES = frozenset(
    {200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308}
    | {400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 416, 422, 429, 499}
    | {500, 501, 502, 503, 504}
)
