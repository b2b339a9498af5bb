"""Which tags come first when a repository has thousands (`import.md` 2.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_ID = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_PRE_ID}(?:\.{_PRE_ID})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_MINOR = re.compile(r"([0-9]+\.[0-9]+)(-[0-9A-Za-z_]+)?", re.ASCII)
_LARGEST = 2**64 - 1


class _PreRelease(NamedTuple):
    """One dotted part of a pre-release: numbers rank below words (semver.org, 11.4)."""

    is_word: bool
    number: int
    word: str


class _Version(NamedTuple):
    """Orders as semver 2.0 does; a release ranks above its pre-releases."""

    numbers: tuple[int, int, int]
    is_release: bool
    pre: tuple[_PreRelease, ...]


def prioritize_tags(tags: Iterable[str]) -> list[str]:
    """`latest`, then minor versions, then full versions, newest first; then all else by bytes.

    Doubles are dropped. Of equal versions the one without `v` comes first, then the one that is
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
    if max(major, minor, patch) > _LARGEST:
        return None
    parts = found.group(4).split(".") if found.group(4) else []
    return _Version((major, minor, patch), not parts, tuple(map(_parse_pre_release, parts)))


def _parse_pre_release(text: str) -> _PreRelease:
    if text.isdigit():
        return _PreRelease(is_word=False, number=int(text), word="")
    return _PreRelease(is_word=True, number=0, word=text)


def _parse_minor(text: str) -> _Version | None:
    """`2.1` and `2.1-alpine` as the versions 2.1.0 and 2.1.0-alpine."""
    found = _MINOR.fullmatch(text)
    if found is None:
        return None
    return _parse_version(f"{found.group(1)}.0{found.group(2) or ''}")
