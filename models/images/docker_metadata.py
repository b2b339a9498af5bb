"""`dockerImageMetadata` built from an image config (imports-3.25, imports-3.26, imports-3.27)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from models.errors import ContentError
from models.oci import storable_json

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
    """Build the metadata object, in upstream's key order, from a config or a `v1Compatibility`
    entry.

    Keys match in any case, as Go reads them. Raises ContentError for a value of the wrong type.
    `created` is used where there is no config (artifacts).
    """
    source = {} if config is None else _lower_case_keys(config)
    created_value = source.get("created")
    metadata: dict[str, Any] = {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": image_id,
        "Parent": _read_field(source, "parent", _TEXT),
        "Comment": _read_field(source, "comment", _TEXT),
        "Created": parse_time(created if config is None else created_value),
        "Container": _read_field(source, "container", _TEXT),
        "ContainerConfig": _build_config(source.get("container_config"), "container_config") or {},
        "DockerVersion": _read_field(source, "docker_version", _TEXT),
        "Author": _read_field(source, "author", _TEXT),
        "Config": _build_config(source.get("config"), "config"),
        "Architecture": _read_field(source, "architecture", _TEXT),
        "Size": size,
    }
    always_present = {"kind", "apiVersion", "Id", "Created", "ContainerConfig"}
    present = {key: value for key, value in metadata.items() if key in always_present or value}
    if metadata["Config"] is not None:
        present["Config"] = metadata["Config"]
    return {key: present[key] for key in metadata if key in present}


def read_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """Normalize a client's `dockerImageMetadata`: drop unknown keys, add the ones that are always
    present.

    Raises ContentError for a value of the wrong type (api-18.5, api-18.6).
    """
    source = _lower_case_keys(value)
    renamed = {
        **source,
        "docker_version": source.get("dockerversion"),
        "container_config": source.get("containerconfig"),
    }
    image_id, size = _read_field(source, "Id", _TEXT), _read_field(source, "Size", _INT)
    return build_metadata(renamed, image_id=image_id or "", size=size or 0)


def parse_time(value: Any) -> str | None:
    """Parse an RFC 3339 time into UTC text with whole seconds; None for None or empty text.

    Raises ContentError for any other value.
    """
    if value is None or value == "":
        return None
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _invalid_time_error(value)
    zone = found.group(2).replace("Z", "+00:00")
    try:
        time = datetime.fromisoformat(found.group(1) + zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _invalid_time_error(value) from error
    return f"{time.year:04d}-{time:%m-%dT%H:%M:%SZ}"


def _invalid_time_error(value: Any) -> ContentError:
    shown = str(storable_json(value))[:80]
    return ContentError(
        f'parsing time "{shown}" as "2006-01-02T15:04:05Z07:00": cannot parse "{shown}"',
        code="content.invalid",
    )


def _lower_case_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with lower-case keys; of keys that differ by case the last one wins."""
    return {key.lower(): value for key, value in document.items()}


def _build_config(value: Any, path: str) -> dict[str, Any] | None:
    """Return `Config` with its known keys, or None where there was none."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong_type_error(value, path, "DockerConfig")
    source = _lower_case_keys(value)
    read = {key: _read_field(source, key, kind, path) for key, kind in _CONFIG_KEYS.items()}
    return {key: item for key, item in read.items() if item}


def _read_field(source: Mapping[str, Any], key: str, kind: str, path: str = "") -> Any:
    value = source.get(key.lower())
    if value is None:
        return None
    if not _CHECKS[kind](value):
        raise _wrong_type_error(value, f"{path}.{key}" if path else key, kind)
    if kind == _SET:
        return {storable_json(name): {} for name in value}
    if kind == _TEXTS:
        return [storable_json(item or "") for item in value]
    if kind == _MAP:
        return {storable_json(name): storable_json(item or "") for name, item in value.items()}
    return storable_json(value)


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


def _wrong_type_error(value: Any, path: str, kind: str) -> ContentError:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    found = names.get(type(value), "object")
    return ContentError(
        f"json: cannot unmarshal {found} into Go struct field DockerConfig.{path} of type {kind}",
        code="content.invalid",
    )
