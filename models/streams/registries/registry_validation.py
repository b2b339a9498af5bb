"""Validation of Registry objects: every rule with its error text. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from zlib import crc32

from models.errors import FieldError
from models.reference import is_registry_host, is_remote_name
from models.resources.registries import (
    MIRROR_SOURCE_POLICIES,
    RegistryMirror,
    RegistrySpec,
)
from models.streams.registries.registry_mirrors import normalise_scope
from models.streams.schedule.check_interval import parse_interval

MAX_CONCURRENCY = 32
MAX_MIRRORS = 32
MAX_SCOPE_LENGTH = 512
MAX_REGISTRY_NAME_LENGTH = 253
_INVALID_HOST = (
    "must be a registry: host, host:port, host/path or *.domain, where host has a dot or a port, "
    "or is localhost"
)
_INVALID_MIRROR = (
    "must be host, host:port or either with a path, where host has a dot or a port, or is localhost"
)
_WHOLE_REGISTRY_ONLY = "counts for whole registries, and {scope!r} is a part of one; leave it out"
_DOMAIN = re.compile(r"\*(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?::[0-9]{1,5})?")


def validate_registry(spec: RegistrySpec, old: RegistrySpec | None = None) -> list[FieldError]:
    """Return all errors of a Registry's spec; `old` is the stored spec on an update."""
    return [*_check_host(spec, old), *_check_numbers(spec), *_check_mirrors(spec)]


def _check_host(spec: RegistrySpec, old: RegistrySpec | None) -> Iterator[FieldError]:
    if not is_scope(spec.host):
        yield FieldError.invalid("spec.host", spec.host[:MAX_SCOPE_LENGTH], _INVALID_HOST)
        return
    if old is not None and normalise_scope(old.host) != normalise_scope(spec.host):
        yield FieldError.invalid("spec.host", spec.host, "field is immutable")
    if "/" in spec.host.rstrip("/"):
        detail = _WHOLE_REGISTRY_ONLY.format(scope=spec.host)
        for name in ("rate", "concurrency", "suspended", "interval"):
            if getattr(spec, name) not in {None, ""}:
                yield FieldError.forbidden(f"spec.{name}", detail)


def _check_numbers(spec: RegistrySpec) -> Iterator[FieldError]:
    rate, concurrency = spec.rate, spec.concurrency
    if rate is not None and not (math.isfinite(rate) and rate >= 0):
        detail = "must be a number of checks a second, or 0 for no limit"
        yield FieldError.invalid("spec.rate", f"{rate:g}", detail)
    if concurrency is not None and not 1 <= concurrency <= MAX_CONCURRENCY:
        detail = f"must be between 1 and {MAX_CONCURRENCY}, inclusive"
        yield FieldError.invalid("spec.concurrency", concurrency, detail)
    if spec.interval:
        try:
            parse_interval(spec.interval)
        except ValueError as error:
            yield FieldError.invalid("spec.interval", spec.interval, str(error))


def _check_mirrors(spec: RegistrySpec) -> Iterator[FieldError]:
    policy = spec.mirror_source_policy
    if policy and policy not in MIRROR_SOURCE_POLICIES:
        yield FieldError.not_supported("spec.mirrorSourcePolicy", policy, *MIRROR_SOURCE_POLICIES)
    if len(spec.mirrors) > MAX_MIRRORS:
        text = f"{len(spec.mirrors)} mirrors"
        yield FieldError.invalid("spec.mirrors", text, f"may be no more than {MAX_MIRRORS}")
        return
    if spec.never_contact_source and not spec.mirrors:
        detail = "NeverContactSource needs mirrors; to forbid the registry, set spec.blocked"
        yield FieldError.forbidden("spec.mirrorSourcePolicy", detail)
    seen: set[tuple[str, str]] = set()
    for position, mirror in enumerate(spec.mirrors):
        yield from _check_mirror(mirror, f"spec.mirrors[{position}]")
        key = (normalise_scope(mirror.location), mirror.kind)
        if key in seen:
            field_path = f"spec.mirrors[{position}].location"
            yield FieldError.invalid(field_path, mirror.location, "is a duplicate")
        seen.add(key)


def _check_mirror(mirror: RegistryMirror, field: str) -> Iterator[FieldError]:
    if not mirror.location:
        yield FieldError.required(f"{field}.location")
    elif mirror.location.startswith("*") or not is_scope(mirror.location):
        shown = mirror.location[:MAX_SCOPE_LENGTH]
        yield FieldError.invalid(f"{field}.location", shown, _INVALID_MIRROR)
    if mirror.kind not in {"", "digest", "tag"}:
        yield FieldError.not_supported(f"{field}.kind", mirror.kind, "digest", "tag")


def is_scope(text: str) -> bool:
    """Return whether `text` is `host[:port][/path]` or `*.domain`."""
    if len(text) > MAX_SCOPE_LENGTH or text != text.strip():
        return False
    if text.startswith("*"):
        return _DOMAIN.fullmatch(text.lower()) is not None
    host, slash, path = text.partition("/")
    return is_registry_host(host) and (not slash or is_remote_name(path))


def registry_object_name(scope: str, *, with_hash: bool = False) -> str:
    """Return the object name for a scope: a DNS subdomain such as `localhost-5000`.

    Different scopes may get the same name, but not if `with_hash` is set.
    """
    text = re.sub(r"[^a-z0-9.-]", "-", scope.lower().replace("*", "any"))
    text = ".".join(part.strip("-") for part in text.split(".") if part.strip("-"))
    if not with_hash and text and len(text) <= MAX_REGISTRY_NAME_LENGTH:
        return text
    scope_hash = f"{crc32(scope.encode()):08x}"
    return f"{text[: MAX_REGISTRY_NAME_LENGTH - 9].rstrip('-.')}-{scope_hash}".lstrip("-")
