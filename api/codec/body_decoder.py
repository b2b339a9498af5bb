"""Decoding of request bodies into objects (api-3.1, api-6.1, api-6.2).

The bytes become a plain dict (`json_decoder`, `yaml_decoder`, `protobuf_decoder`). Then its kind is
checked, fields that the resource does not have are dropped (`strict_fields`), and the dict becomes
a resource. A body without a Content-Type is JSON (clients-1.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from api.codec.json_decoder import parse_json
from api.codec.protobuf_decoder import decode_protobuf
from api.codec.strict_fields import coerce_to_model, drop_unknown_fields
from api.codec.yaml_decoder import parse_yaml
from models.api_errors import BadRequestError, UnsupportedMediaTypeError
from models.resources.wire import Wire

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MAX_WARNING_CHARS = 4096
Resource = TypeVar("Resource", bound=Wire)
_UNKNOWN_FORMAT_MESSAGE = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{JSON}, {YAML}, {PROTOBUF}"
)


@dataclass(frozen=True, slots=True)
class DecodedBody:
    """The object, with kind and apiVersion, and the findings in its text.

    `findings` are in document order: `unknown field "spec.foo"`, `duplicate field "spec"`.
    """

    object: dict[str, Any]
    findings: tuple[str, ...] = ()


def decode_body(
    content_type: str,
    body: bytes,
    *,
    kind: str,
    group: str,
    version: str,
    model: type[Wire] | None,
) -> DecodedBody:
    """Return the decoded body of a POST or PUT to a resource of that kind.

    Without a `model` no field is dropped. Raises UnsupportedMediaTypeError for an unknown
    Content-Type, else BadRequestError.
    """
    found = _parse_body(content_type, body, kind)
    _check_kind(found, kind=kind, group=group, version=version)
    known_fields, findings = (
        (dict(found), ()) if model is None else drop_unknown_fields(found, model)
    )
    api_version = f"{group}/{version}" if group else version
    return DecodedBody({**known_fields, "kind": kind, "apiVersion": api_version}, findings)


def decode_apply_patch(
    body: bytes, *, kind: str, group: str, version: str, model: type[Wire], object_name: str
) -> DecodedBody:
    """Return the decoded body of a server-side apply.

    `object_name` is `namespace/name`. Raises BadRequestError with the texts of api-8.3. Unknown
    fields are an error whatever `fieldValidation` says; duplicate fields are findings.
    """
    try:
        found = parse_yaml(body)
    except BadRequestError as error:
        raise BadRequestError(f"error decoding YAML: {error.text}") from None
    if not isinstance(found, dict):
        raise BadRequestError("error decoding YAML: the document is not an object")
    api_version = f"{group}/{version}" if group else version
    if (found.get("apiVersion"), found.get("kind")) != (api_version, kind):
        group_version_kind = (
            f"{_truncate(found.get('apiVersion'))}, Kind={_truncate(found.get('kind'))}"
        )
        raise BadRequestError(f"invalid object type: {group_version_kind}")
    known_fields, findings = drop_unknown_fields(found, model)
    unknown = [each for each in findings if each.startswith("unknown")]
    if unknown:
        path = unknown[0].removeprefix('unknown field "').removesuffix('"')
        raise BadRequestError(
            f"failed to create typed patch object ({object_name}; {api_version}, Kind={kind}): "
            f".{path}: field not declared in schema"
        )
    return DecodedBody(known_fields, findings)


def decode_options(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the body of a DELETE: DeleteOptions of any group (api-10.1)."""
    found = _parse_body(content_type, body, "DeleteOptions")
    kind = found.get("kind")
    if kind not in (None, "", "DeleteOptions"):
        version = _string_field(found, "apiVersion").rpartition("/")[2]
        _raise_wrong_kind(kind, version, "DeleteOptions", "it is not a DeleteOptions")
    return found


def parse_resource(decoded: Mapping[str, Any], model: type[Resource]) -> Resource:
    """Return the resource of a plain object.

    Raises BadRequestError naming the first field of a wrong type.
    """
    try:
        return model.model_validate(coerce_to_model(decoded, model))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(each) for each in (model.__name__, *first["loc"]))
        raise BadRequestError(
            f'{model.__name__} in version "v1" cannot be handled as a {model.__name__}: '
            f"{path[:300]}: {first['msg'][:300]}"
        ) from None


def find_unknown_fields(patched: Mapping[str, Any], model: type[Wire]) -> list[str]:
    """Return the paths of an object that its resource does not have, such as `spec.tags[0].zed`."""
    _, findings = drop_unknown_fields(dict(patched), model)
    head = 'unknown field "'
    return [each.removeprefix(head)[:-1] for each in findings if each.startswith(head)]


def check_findings(
    findings: Sequence[str], mode: str, *, kind: str, version: str = "v1"
) -> list[str]:
    """Return the warnings: every finding under Warn, none under Ignore (api-9.4, api-9.6).

    Raises BadRequestError under Strict. Warnings are headers, so they end after 4096 characters.
    """
    if mode == "Strict" and findings:
        raise BadRequestError(
            f'{kind} in version "{version}" cannot be handled as a {kind}: '
            f"strict decoding error: {', '.join(findings)}"
        )
    warnings: list[str] = []
    for each in findings if mode in {"", "Warn"} else ():
        if sum(map(len, warnings)) + len(each) > MAX_WARNING_CHARS:
            break
        warnings.append(each)
    return warnings


def _parse_body(content_type: str, body: bytes, kind: str) -> dict[str, Any]:
    """Return the body as one object, whatever format it is in."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"", JSON, YAML, PROTOBUF}:
        raise UnsupportedMediaTypeError(_UNKNOWN_FORMAT_MESSAGE)
    try:
        if media_type == PROTOBUF:
            return decode_protobuf(body)
        found = parse_yaml(body) if media_type == YAML else parse_json(body)
    except BadRequestError as error:
        prefix = "json parse error" if media_type in {"", JSON} else "decoding error"
        _raise_unrecognized(body, kind, f"{prefix}: {error.text}")
    if not isinstance(found, dict):
        names = {list: "array", str: "string", bool: "bool", type(None): "null"}
        json_type = names.get(type(found), "number")
        _raise_unrecognized(
            body,
            kind,
            f"json parse error: json: cannot unmarshal {json_type} into Go value of type "
            "struct { APIVersion string; Kind string }",
        )
    return found


def _check_kind(found: Mapping[str, Any], *, kind: str, group: str, version: str) -> None:
    """Raise unless kind and apiVersion are missing or are those of the resource (api-6.1)."""
    sent_kind = _string_field(found, "kind") or kind
    api_version = _string_field(found, "apiVersion")
    if api_version.count("/") > 1:
        raise BadRequestError(f"unexpected GroupVersion string: {_truncate(api_version)}")
    expected = f"{group}/{version}" if group else version
    if api_version not in {"", expected}:
        _raise_wrong_kind(
            sent_kind,
            api_version.rpartition("/")[2],
            kind,
            f'no kind "{_truncate(sent_kind)}" is registered for version '
            f'"{_truncate(api_version)}" here, "{expected}" is served',
        )
    if sent_kind != kind:
        _raise_wrong_kind(
            sent_kind,
            version,
            kind,
            f"converting (v1.{_truncate(sent_kind)}) to (v1.{kind}): unknown conversion",
        )


def _string_field(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal the value of "
            f"{key} into Go struct field .{key} of type string"
        )
    return value or ""


def _raise_wrong_kind(sent_kind: Any, version: str, kind: str, reason: str) -> NoReturn:
    raise BadRequestError(
        f'{_truncate(sent_kind)} in version "{_truncate(version)}" cannot be handled as a {kind}: '
        f"{reason}"
    )


def _raise_unrecognized(body: bytes, kind: str, reason: str) -> NoReturn:
    raise BadRequestError(
        f"the object provided is unrecognized (must be of type {kind}): couldn't get "
        f"version/kind; {reason} ({_summarize_body(body, kind)})"
    )


def _summarize_body(body: bytes, kind: str) -> str:
    """Return the start of a body: text if it looks like JSON, else hex; nothing of a Secret."""
    if not body:
        return "<empty>"
    if kind == "Secret":
        return "<secret contents redacted>"
    start, more = body[:30], " ..." if len(body) > 30 else ""
    if body[:1] == b"{":
        text = start.decode("utf-8", "replace")
        return "".join(each if each.isprintable() else "?" for each in text) + more
    return start.hex() + more


def _truncate(value: Any) -> str:
    text = str(value) if value is not None else ""
    return text if len(text) <= 100 else text[:100] + "..."
