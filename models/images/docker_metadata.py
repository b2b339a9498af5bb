"""`dockerImageMetadata`: what of an image's config becomes known (`import.md` 3.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from models.errors import ContentError
from models.oci import storable

_TEXT = "string"
_TEXTS = "[]string"
_MAP = "map[string]string"
_SET = "map[string]struct {}"
_BOOL = "bool"
_INT = "int64"
_CONFIG_KEYS = {
    **dict.fromkeys(("Hostname", "Domainname", "User"), _TEXT),
    **dict.fromkeys(("Memory", "MemorySwap", "CpuShares"), _INT),
    "Cpuset": _TEXT,
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), _BOOL),
    "PortSpecs": _TEXTS,
    "ExposedPorts": _SET,
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce"), _BOOL),
    **dict.fromkeys(("Env", "Cmd", "Dns"), _TEXTS),
    "Image": _TEXT,
    "Volumes": _SET,
    **dict.fromkeys(("VolumesFrom", "WorkingDir"), _TEXT),
    "Entrypoint": _TEXTS,
    "NetworkDisabled": _BOOL,
    **dict.fromkeys(("SecurityOpts", "OnBuild"), _TEXTS),
    "Labels": _MAP,
}
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def build_metadata(
    config: Mapping[str, Any] | None, *, image_id: str, size: int = 0, created: str = ""
) -> dict[str, Any]:
    """The metadata object, in upstream's key order, from a config or `v1Compatibility`.

    Keys match in any case, as Go reads them; a value of the wrong type is a ContentError.
    `created` stands in where there is no config (artifacts).
    """
    source = {} if config is None else _folded(config)
    moment = source.get("created")
    metadata: dict[str, Any] = {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": image_id,
        "Parent": _read(source, "parent", _TEXT),
        "Comment": _read(source, "comment", _TEXT),
        "Created": parse_time(created if config is None else moment),
        "Container": _read(source, "container", _TEXT),
        "ContainerConfig": _build_config(source.get("container_config"), "container_config") or {},
        "DockerVersion": _read(source, "docker_version", _TEXT),
        "Author": _read(source, "author", _TEXT),
        "Config": _build_config(source.get("config"), "config"),
        "Architecture": _read(source, "architecture", _TEXT),
        "Size": size,
    }
    always = {"kind", "apiVersion", "Id", "Created", "ContainerConfig"}
    kept = {key: value for key, value in metadata.items() if key in always or value}
    if metadata["Config"] is not None:
        kept["Config"] = metadata["Config"]
    return {key: kept[key] for key in metadata if key in kept}


def read_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """A client's `dockerImageMetadata` in the shape that is shown: unknown keys are dropped, the
    usual ones filled in (`api.md` B1.2). ContentError where a value has the wrong type.
    """
    source = _folded(value)
    renamed = {
        **source,
        "docker_version": source.get("dockerversion"),
        "container_config": source.get("containerconfig"),
    }
    image_id, size = _read(source, "Id", _TEXT), _read(source, "Size", _INT)
    return build_metadata(renamed, image_id=image_id or "", size=size or 0)


def parse_time(value: Any) -> str | None:
    """RFC 3339 as UTC with whole seconds; None for nothing. ContentError for anything else."""
    if value is None or value == "":
        return None
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong_time(value)
    zone = found.group(2).replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(found.group(1) + zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _wrong_time(value) from error
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%SZ}"


def _wrong_time(value: Any) -> ContentError:
    shown = str(storable(value))[:80]
    return ContentError(
        f'parsing time "{shown}" as "2006-01-02T15:04:05Z07:00": cannot parse "{shown}"',
        code="content.invalid",
    )


def _folded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with lower-case keys; of keys that differ by case the last one wins."""
    return {key.lower(): value for key, value in document.items()}


def _build_config(value: Any, where: str) -> dict[str, Any] | None:
    """`Config` with the keys we know, None where there was none."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong_type(value, where, "DockerConfig")
    source = _folded(value)
    read = {key: _read(source, key, kind, where) for key, kind in _CONFIG_KEYS.items()}
    return {key: item for key, item in read.items() if item}


def _read(source: Mapping[str, Any], key: str, kind: str, where: str = "") -> Any:
    value = source.get(key.lower())
    if value is None:
        return None
    if not _CHECKS[kind](value):
        raise _wrong_type(value, f"{where}.{key}" if where else key, kind)
    if kind == _SET:
        return {storable(name): {} for name in value}
    if kind == _TEXTS:
        return [storable(item or "") for item in value]
    if kind == _MAP:
        return {storable(name): storable(item or "") for name, item in value.items()}
    return storable(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: Any) -> bool:
    return value is None or isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    _TEXT: _is_text,
    _TEXTS: lambda value: isinstance(value, list) and all(map(_is_text_or_null, value)),
    _MAP: lambda value: isinstance(value, dict) and all(map(_is_text_or_null, value.values())),
    _SET: lambda value: (
        isinstance(value, dict)
        and all(item is None or isinstance(item, dict) for item in value.values())
    ),
    _BOOL: lambda value: isinstance(value, bool),
    _INT: lambda value: type(value) is int,
}


def _wrong_type(value: Any, where: str, kind: str) -> ContentError:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    found = names.get(type(value), "object")
    return ContentError(
        f"json: cannot unmarshal {found} into Go struct field DockerConfig.{where} of type {kind}",
        code="content.invalid",
    )
