"""What a Registry may say: every rule, and the text of its refusal. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from zlib import crc32

from models.errors import FieldError
from models.reference import is_registry_host, is_remote_name
from models.resources.registries import RegistryMirror, RegistrySpec
from models.streams.registries.registry_mirrors import normal_scope
from models.streams.schedule.check_interval import parse_interval

MOST_IN_FLIGHT = 32
MOST_MIRRORS = 32
LONGEST_SCOPE = 512
LONGEST_NAME = 253
_HOST_REFUSED = (
    "must be a registry: host, host:port, host/path or *.domain, where host has a dot or a port, "
    "or is localhost"
)
_MIRROR_REFUSED = (
    "must be host, host:port or either with a path, where host has a dot or a port, or is localhost"
)
_WHOLE_ONLY = "counts for whole registries, and {scope!r} is a part of one; leave it out"
_DOMAIN = re.compile(r"\*(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?::[0-9]{1,5})?")


def validate_registry(spec: RegistrySpec, old: RegistrySpec | None = None) -> list[FieldError]:
    """All that is wrong with a Registry's spec, beside its `old` one where it replaces that."""
    return [*_check_host(spec, old), *_check_numbers(spec), *_check_mirrors(spec)]


def _check_host(spec: RegistrySpec, old: RegistrySpec | None) -> Iterator[FieldError]:
    if not is_scope(spec.host):
        yield FieldError.invalid("spec.host", spec.host[:LONGEST_SCOPE], _HOST_REFUSED)
        return
    if old is not None and normal_scope(old.host) != normal_scope(spec.host):
        yield FieldError.invalid("spec.host", spec.host, "field is immutable")
    if "/" in spec.host.rstrip("/"):
        detail = _WHOLE_ONLY.format(scope=spec.host)
        for name in ("rate", "concurrency", "suspended", "interval"):
            if getattr(spec, name) not in {None, ""}:
                yield FieldError.forbidden(f"spec.{name}", detail)


def _check_numbers(spec: RegistrySpec) -> Iterator[FieldError]:
    rate, concurrency = spec.rate, spec.concurrency
    if rate is not None and not (math.isfinite(rate) and rate >= 0):
        detail = "must be a number of checks a second, or 0 for no limit"
        yield FieldError.invalid("spec.rate", f"{rate:g}", detail)
    if concurrency is not None and not 1 <= concurrency <= MOST_IN_FLIGHT:
        detail = f"must be between 1 and {MOST_IN_FLIGHT}, inclusive"
        yield FieldError.invalid("spec.concurrency", concurrency, detail)
    if spec.interval:
        try:
            parse_interval(spec.interval)
        except ValueError as error:
            yield FieldError.invalid("spec.interval", spec.interval, str(error))


def _check_mirrors(spec: RegistrySpec) -> Iterator[FieldError]:
    if len(spec.mirrors) > MOST_MIRRORS:
        text = f"{len(spec.mirrors)} mirrors"
        yield FieldError.invalid("spec.mirrors", text, f"may be no more than {MOST_MIRRORS}")
        return
    if spec.never_contact_source and not spec.mirrors:
        detail = "needs mirrors to turn to; to forbid the registry, set spec.blocked"
        yield FieldError.forbidden("spec.neverContactSource", detail)
    seen: set[tuple[str, str]] = set()
    for position, mirror in enumerate(spec.mirrors):
        yield from _check_mirror(mirror, f"spec.mirrors[{position}]")
        key = (normal_scope(mirror.location), mirror.kind)
        if key in seen:
            place = f"spec.mirrors[{position}].location"
            yield FieldError.invalid(place, mirror.location, "is there twice")
        seen.add(key)


def _check_mirror(mirror: RegistryMirror, field: str) -> Iterator[FieldError]:
    if not mirror.location:
        yield FieldError.required(f"{field}.location")
    elif mirror.location.startswith("*") or not is_scope(mirror.location):
        shown = mirror.location[:LONGEST_SCOPE]
        yield FieldError.invalid(f"{field}.location", shown, _MIRROR_REFUSED)
    if mirror.kind not in {"", "digest", "tag"}:
        yield FieldError.not_supported(f"{field}.kind", mirror.kind, "digest", "tag")


def is_scope(text: str) -> bool:
    """Whether that is `host[:port][/path]` or `*.domain`."""
    if len(text) > LONGEST_SCOPE or text != text.strip():
        return False
    if text.startswith("*"):
        return _DOMAIN.fullmatch(text.lower()) is not None
    host, slash, path = text.partition("/")
    return is_registry_host(host) and (not slash or is_remote_name(path))


def name_for(scope: str, *, marked: bool = False) -> str:
    """What an object that speaks for a scope is called: a DNS subdomain, such as `localhost-5000`.

    Different scopes may come to the same name; `marked` ones do not.
    """
    text = re.sub(r"[^a-z0-9.-]", "-", scope.lower().replace("*", "any"))
    text = ".".join(part.strip("-") for part in text.split(".") if part.strip("-"))
    if not marked and text and len(text) <= LONGEST_NAME:
        return text
    mark = f"{crc32(scope.encode()):08x}"
    return f"{text[: LONGEST_NAME - 9].rstrip('-.')}-{mark}".lstrip("-")
