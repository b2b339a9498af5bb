"""Order of a repository's tags by importance, for repositories with thousands of them
(imports-2.27).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_RELEASE_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_PRE_RELEASE_IDENTIFIER}(?:\.{_PRE_RELEASE_IDENTIFIER})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_MINOR = re.compile(r"([0-9]+\.[0-9]+)(-[0-9A-Za-z_]+)?", re.ASCII)
_MAX_VERSION_NUMBER = 2**64 - 1


class _PreReleaseIdentifier(NamedTuple):
    """One dotted part of a pre-release; numbers rank below words (semver.org, 11.4)."""

    is_alphanumeric: bool
    number: int
    text: str


class _Version(NamedTuple):
    """A version that sorts as semver 2.0 says; a release ranks above its pre-releases."""

    numbers: tuple[int, int, int]
    is_release: bool
    pre: tuple[_PreReleaseIdentifier, ...]


def prioritize_tags(tags: Iterable[str]) -> list[str]:
    """Order `latest` first, then minor versions, then full versions, newest first; then others by
    bytes.

    Duplicates are dropped. Of equal versions the one without `v` comes first, then the one that is
    lexically first.
    """
    latest: list[str] = []
    versions: dict[bool, list[tuple[_Version, str]]] = {True: [], False: []}
    others: list[str] = []
    for tag in sorted(set(tags)):
        full = _parse_version(tag.removeprefix("v"))
        minor = None if full else _parse_minor(tag.removeprefix("v"))
        if tag == "latest":
            latest.append(tag)
        elif minor is not None:
            versions[True].append((minor, tag))
        elif full is not None:
            versions[False].append((full, tag))
        else:
            others.append(tag)
    return [*latest, *_newest_first(versions[True]), *_newest_first(versions[False]), *others]


def _newest_first(versions: list[tuple[_Version, str]]) -> list[str]:
    plain_first = sorted(versions, key=lambda pair: pair[1].startswith("v"))
    return [tag for _, tag in sorted(plain_first, key=lambda pair: pair[0], reverse=True)]


def _parse_version(text: str) -> _Version | None:
    found = _SEMVER.fullmatch(text)
    if found is None:
        return None
    major, minor, patch = (int(found.group(position)) for position in (1, 2, 3))
    if max(major, minor, patch) > _MAX_VERSION_NUMBER:
        return None
    parts = found.group(4).split(".") if found.group(4) else []
    return _Version((major, minor, patch), not parts, tuple(map(_parse_pre_release, parts)))


def _parse_pre_release(text: str) -> _PreReleaseIdentifier:
    if text.isdigit():
        return _PreReleaseIdentifier(is_alphanumeric=False, number=int(text), text="")
    return _PreReleaseIdentifier(is_alphanumeric=True, number=0, text=text)


def _parse_minor(text: str) -> _Version | None:
    """Parse `2.1` and `2.1-alpine` as the versions 2.1.0 and 2.1.0-alpine."""
    found = _MINOR.fullmatch(text)
    if found is None:
        return None
    return _parse_version(f"{found.group(1)}.0{found.group(2) or ''}")
