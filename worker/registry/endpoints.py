"""The paths of the distribution API: nothing goes into a URL unchecked (`registry.md` 1.1, I3)."""

from __future__ import annotations

import re
from functools import lru_cache

from models.errors import InvalidReferenceError
from models.oci import require_digest
from worker.registry.registry_types import Place
from worker.registry.transport.egress_policy import parse_address

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?", re.ASCII)
_LONGEST = 255


def manifest_path(place: Place, wanted: str) -> str:
    """Where the manifest of a tag or digest is."""
    if ":" in wanted:
        require_digest(wanted)
    elif not _TAG.fullmatch(wanted):
        raise InvalidReferenceError("invalid reference format")
    return f"{_repository_path(place)}/manifests/{wanted}"


def blob_path(place: Place, digest: str) -> str:
    """Where a blob is."""
    require_digest(digest)
    return f"{_repository_path(place)}/blobs/{digest}"


def tags_path(place: Place) -> str:
    """Where the list of tags is."""
    return f"{_repository_path(place)}/tags/list"


def referrers_path(place: Place, digest: str) -> str:
    """Where the list of what refers to a manifest is."""
    require_digest(digest)
    return f"{_repository_path(place)}/referrers/{digest}"


@lru_cache(maxsize=4096)
def _repository_path(place: Place) -> str:
    """Also refuses hosts that a resolver would take for something else, like `127.1`."""
    host = _HOST.fullmatch(place.registry)
    if host is None or int(host.group(2) or 1) > 65535:
        raise InvalidReferenceError("invalid reference format")
    last = host.group(1).rsplit(".", 1)[-1]
    if (last.isdigit() or last.startswith("0x")) and parse_address(host.group(1)) is None:
        raise InvalidReferenceError("invalid reference format")
    if len(place.repository) > _LONGEST or not _REPOSITORY.fullmatch(place.repository):
        raise InvalidReferenceError("invalid reference format")
    return f"/v2/{place.repository}"
