"""Bounds for metric labels whose values come from outside.

A tenant may name any number of registries, and a registry may respond with any status. A process
knows a limited number of values and reports the rest as `other`, so that memory stays bounded.
"""

from __future__ import annotations

from models.reference import DOCKER_HUB, DOCKER_HUB_API, DOCKER_HUB_HOSTS

OTHER_LABEL = "other"
MAX_REGISTRY_LABELS = 200
MAX_REASON_LABELS = 64
MAX_CREDENTIAL_LABELS = 200
MAX_LABEL_LENGTH = 255


class BoundedLabel:
    """A label that keeps the first values it is given, up to a limit; later ones become `other`."""

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._known: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        """Return `value`, or `other` beyond the limit."""
        found = self._known.get(value)
        if found is None:
            if len(self._known) >= self._max_values or len(value) > MAX_LABEL_LENGTH:
                return OTHER_LABEL
            found = self._known[value] = value
        return found


class _RegistryLabel(BoundedLabel):
    """The registry label: all hosts of Docker Hub have one name."""

    def __call__(self, value: str) -> str:
        value = value.lower()
        is_docker_hub = value == DOCKER_HUB_API or value in DOCKER_HUB_HOSTS
        return super().__call__(DOCKER_HUB if is_docker_hub else value)


registry_label = _RegistryLabel(MAX_REGISTRY_LABELS)
reason_label = BoundedLabel(MAX_REASON_LABELS)
credential_label = BoundedLabel(MAX_CREDENTIAL_LABELS)


def code_label(code: int | str) -> str:
    """Return the label of a status: common codes as they are, others as their class (`4xx`)."""
    if isinstance(code, str):
        return code
    return str(code) if code in _CODES else f"{code // 100}xx"


_CODES = frozenset(
    {200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308}
    | {400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 416, 422, 429, 499}
    | {500, 501, 502, 503, 504}
)
