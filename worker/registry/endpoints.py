"""URL paths of the distribution API, built from checked parts only.

A host, repository, tag or digest that does not match its grammar in full is refused before DNS and
before any socket is opened (registry-1.1, registry-1.2, registry-1.3).
"""

from __future__ import annotations

import re
from functools import lru_cache

from models.errors import InvalidReferenceError
from models.oci import require_digest
from worker.registry.registry_types import SourceRepository
from worker.registry.transport.egress_policy import parse_address

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?", re.ASCII)
_MAX_REPOSITORY_LENGTH = 255


def manifest_path(source: SourceRepository, tag_or_digest: str) -> str:
    """Return the path of the manifest of a tag or digest.

    Raises InvalidReferenceError for a tag or digest that is not well formed (registry-1.9).
    """
    if ":" in tag_or_digest:
        require_digest(tag_or_digest)
    elif not _TAG.fullmatch(tag_or_digest):
        raise InvalidReferenceError("invalid reference format")
    return f"{_repository_path(source)}/manifests/{tag_or_digest}"


def blob_path(source: SourceRepository, digest: str) -> str:
    """Return the path of a blob. Raises InvalidReferenceError for a malformed digest."""
    require_digest(digest)
    return f"{_repository_path(source)}/blobs/{digest}"


def tags_path(source: SourceRepository) -> str:
    """Return the path of a repository's tag list."""
    return f"{_repository_path(source)}/tags/list"


def referrers_path(source: SourceRepository, digest: str) -> str:
    """Return the path of the referrers of a manifest.

    Raises InvalidReferenceError for a malformed digest.
    """
    require_digest(digest)
    return f"{_repository_path(source)}/referrers/{digest}"


@lru_cache(maxsize=4096)
def _repository_path(source: SourceRepository) -> str:
    """Return the path prefix of a repository. Raises InvalidReferenceError.

    Hosts that a resolver would take for an address, like `127.1`, are refused too (registry-1.4).
    """
    host = _HOST.fullmatch(source.registry)
    if host is None or int(host.group(2) or 1) > 65535:
        raise InvalidReferenceError("invalid reference format")
    last_label = host.group(1).rsplit(".", 1)[-1]
    if (last_label.isdigit() or last_label.startswith("0x")) and parse_address(
        host.group(1)
    ) is None:
        raise InvalidReferenceError("invalid reference format")
    if len(source.repository) > _MAX_REPOSITORY_LENGTH or not _REPOSITORY.fullmatch(
        source.repository
    ):
        raise InvalidReferenceError("invalid reference format")
    return f"/v2/{source.repository}"
