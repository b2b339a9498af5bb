"""A request's body → the object it means (`api.md` C3, C6, C9, C11).

Bytes become a plain dict (`documents`, `yaml_documents`, `protobuf`), which is of the right kind
and holds only what its resource knows (`fields`), and at last a resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from api.codec.json_decoder import load_json
from api.codec.protobuf_decoder import decode_protobuf
from api.codec.strict_fields import conform, sift
from api.codec.yaml_decoder import load_yaml
from models.api_errors import BadRequestError, UnsupportedMediaTypeError
from models.resources.wire import Wire

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MOST_WARNED = 4096
Resource = TypeVar("Resource", bound=Wire)
_UNKNOWN_FORMAT = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{JSON}, {YAML}, {PROTOBUF}"
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The object, complete with kind and apiVersion, and what was wrong in its text.

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
) -> Decoded:
    """The body of a POST or PUT to a resource of that kind.

    Without a `model` nothing is sifted. UnsupportedMediaTypeError, else BadRequestError.
    """
    found = _load(content_type, body, kind)
    _check_kind(found, kind=kind, group=group, version=version)
    kept, findings = (dict(found), ()) if model is None else sift(found, model)
    api_version = f"{group}/{version}" if group else version
    return Decoded({**kept, "kind": kind, "apiVersion": api_version}, findings)


def decode_applied(
    body: bytes, *, kind: str, group: str, version: str, model: type[Wire], place: str
) -> Decoded:
    """The body of a server-side apply, with the texts of C9; `place` is `namespace/name`.

    Fields that nobody knows are refused whatever the client asked for; doubled ones are findings.
    """
    try:
        found = load_yaml(body)
    except BadRequestError as error:
        raise BadRequestError(f"error decoding YAML: {error.text}") from None
    if not isinstance(found, dict):
        raise BadRequestError("error decoding YAML: the document is no object")
    api_version = f"{group}/{version}" if group else version
    if (found.get("apiVersion"), found.get("kind")) != (api_version, kind):
        shown = f"{_cut(found.get('apiVersion'))}, Kind={_cut(found.get('kind'))}"
        raise BadRequestError(f"invalid object type: {shown}")
    kept, findings = sift(found, model)
    unknown = [each for each in findings if each.startswith("unknown")]
    if unknown:
        path = unknown[0].removeprefix('unknown field "').removesuffix('"')
        raise BadRequestError(
            f"failed to create typed patch object ({place}; {api_version}, Kind={kind}): "
            f".{path}: field not declared in schema"
        )
    return Decoded(kept, findings)


def decode_options(content_type: str, body: bytes) -> dict[str, Any]:
    """The body of a DELETE: DeleteOptions of whatever group (`api.md` C12)."""
    found = _load(content_type, body, "DeleteOptions")
    kind = found.get("kind")
    if kind not in (None, "", "DeleteOptions"):
        version = _text_of(found, "apiVersion").rpartition("/")[2]
        _refuse_kind(kind, version, "DeleteOptions", "it is not a DeleteOptions")
    return found


def read_object(decoded: Mapping[str, Any], model: type[Resource]) -> Resource:
    """The resource of a plain object. BadRequestError naming the first field that does not fit."""
    try:
        return model.model_validate(conform(decoded, model))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(each) for each in (model.__name__, *first["loc"]))
        raise BadRequestError(
            f'{model.__name__} in version "v1" cannot be handled as a {model.__name__}: '
            f"{path[:300]}: {first['msg'][:300]}"
        ) from None


def find_unknown(patched: Mapping[str, Any], model: type[Wire]) -> list[str]:
    """The paths of an object that its resource does not know, as `spec.tags[0].zed`."""
    _, findings = sift(dict(patched), model)
    head = 'unknown field "'
    return [each.removeprefix(head)[:-1] for each in findings if each.startswith(head)]


def check_findings(
    findings: Sequence[str], mode: str, *, kind: str, version: str = "v1"
) -> list[str]:
    """What to warn of: everything under Warn, nothing under Ignore (`api.md` C11).

    BadRequestError under Strict. Warnings are headers, so they end after 4096 characters.
    """
    if mode == "Strict" and findings:
        raise BadRequestError(
            f'{kind} in version "{version}" cannot be handled as a {kind}: '
            f"strict decoding error: {', '.join(findings)}"
        )
    warned: list[str] = []
    for each in findings if mode in {"", "Warn"} else ():
        if sum(map(len, warned)) + len(each) > MOST_WARNED:
            break
        warned.append(each)
    return warned


def _load(content_type: str, body: bytes, kind: str) -> dict[str, Any]:
    """The body as one object, whatever it was written in."""
    media = content_type.partition(";")[0].strip().lower()
    if media not in {"", JSON, YAML, PROTOBUF}:
        raise UnsupportedMediaTypeError(_UNKNOWN_FORMAT)
    try:
        if media == PROTOBUF:
            return decode_protobuf(body)
        found = load_yaml(body) if media == YAML else load_json(body)
    except BadRequestError as error:
        words = "json parse error" if media in {"", JSON} else "decoding error"
        _refuse_body(body, kind, f"{words}: {error.text}")
    if not isinstance(found, dict):
        names = {list: "array", str: "string", bool: "bool", type(None): "null"}
        sort = names.get(type(found), "number")
        _refuse_body(
            body,
            kind,
            f"json parse error: json: cannot unmarshal {sort} into Go value of type "
            "struct { APIVersion string; Kind string }",
        )
    return found


def _check_kind(found: Mapping[str, Any], *, kind: str, group: str, version: str) -> None:
    """Both may be missing, but must not be another's (C6)."""
    named = _text_of(found, "kind") or kind
    api_version = _text_of(found, "apiVersion")
    if api_version.count("/") > 1:
        raise BadRequestError(f"unexpected GroupVersion string: {_cut(api_version)}")
    expected = f"{group}/{version}" if group else version
    if api_version not in {"", expected}:
        _refuse_kind(
            named,
            api_version.rpartition("/")[2],
            kind,
            f'no kind "{_cut(named)}" is registered for version "{_cut(api_version)}" here, '
            f'"{expected}" is served',
        )
    if named != kind:
        _refuse_kind(
            named,
            version,
            kind,
            f"converting (v1.{_cut(named)}) to (v1.{kind}): unknown conversion",
        )


def _text_of(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal the value of "
            f"{key} into Go struct field .{key} of type string"
        )
    return value or ""


def _refuse_kind(named: Any, version: str, kind: str, why: str) -> NoReturn:
    raise BadRequestError(
        f'{_cut(named)} in version "{_cut(version)}" cannot be handled as a {kind}: {why}'
    )


def _refuse_body(body: bytes, kind: str, why: str) -> NoReturn:
    raise BadRequestError(
        f"the object provided is unrecognized (must be of type {kind}): couldn't get "
        f"version/kind; {why} ({_summary(body, kind)})"
    )


def _summary(body: bytes, kind: str) -> str:
    """How a body begins: as it is where it looks like JSON, else in hex. Of a Secret, nothing."""
    if not body:
        return "<empty>"
    if kind == "Secret":
        return "<secret contents redacted>"
    start, more = body[:30], " ..." if len(body) > 30 else ""
    if body[:1] == b"{":
        text = start.decode("utf-8", "replace")
        return "".join(each if each.isprintable() else "?" for each in text) + more
    return start.hex() + more


def _cut(value: Any) -> str:
    text = str(value) if value is not None else ""
    return text if len(text) <= 100 else text[:100] + "..."
