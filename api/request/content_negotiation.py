"""What form an answer takes: JSON, YAML, a Table, or metadata alone (`api.md` C3).

The clauses of `Accept` are tried in order and the first that can be satisfied wins. Nobody gets
protobuf: every client that asks for it names JSON as its second choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.api_errors import NotAcceptableError

JSON = "application/json"
YAML = "application/yaml"

MediaKind = Literal["json", "yaml", "table", "partial", "partial_list"]
Partial = Literal["object", "list"] | None

_OFFERED = {
    JSON: JSON,
    YAML: YAML,
    "*/*": JSON,
    "application/*": JSON,  # 406 in the original; nobody is helped by that
}
_META = "meta.k8s.io"
_META_VERSIONS = ("v1", "v1beta1")
_SHAPES: dict[str, MediaKind] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial_list",
}
_NOTHING = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
_ONLY = "only the following media types are accepted: application/json, application/yaml"
_ONLY_STREAMS = "only the following media types are accepted: application/json;stream=watch"
_MOST_CLAUSES = 50


@dataclass(frozen=True, slots=True)
class Media:
    """The form agreed on. `table_version` is the version of `meta.k8s.io` that was asked for."""

    kind: MediaKind
    content_type: str
    table_version: str = "v1"


PLAIN = Media("json", JSON)


@dataclass(frozen=True, slots=True)
class Clause:
    """One media type that a client would take, with its parameters."""

    media_type: str
    parameters: dict[str, str]
    quality: float = 1.0


def negotiate(accept: str, *, table: bool, partial: Partial, watch: bool = False) -> Media:
    """The first clause of `accept` that can be satisfied; NotAcceptableError where none can.

    `table` says whether the resource has columns; `partial` whether the answer is an object or a
    list (None: bare metadata is not offered). A watch gets JSON or nothing; its events are objects.
    """
    clauses = parse_accept(accept)
    if not clauses:
        return PLAIN
    for clause in clauses:
        content_type = _OFFERED.get(clause.media_type)
        if content_type is None or (watch and content_type != JSON):
            continue
        if "as" not in clause.parameters:
            return Media("yaml", YAML) if content_type == YAML else PLAIN
        media = _shape(clause, content_type, table=table, partial=partial)
        if media is not None:
            return media
    if watch:
        raise NotAcceptableError(_ONLY_STREAMS)
    known = any(clause.media_type in _OFFERED for clause in clauses)
    raise NotAcceptableError(_ONLY if known else _NOTHING)


def parse_accept(accept: str) -> list[Clause]:
    """The clauses of an `Accept` header, best first; of equal quality in the order they came."""
    texts = accept.split(",")[:_MOST_CLAUSES]
    clauses = [_parse_clause(text) for text in texts if text.strip()]
    wanted = [clause for clause in clauses if clause.quality > 0]
    return sorted(wanted, key=lambda clause: -clause.quality)


def _parse_clause(text: str) -> Clause:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return Clause(media_type.lower(), parameters, quality)


def _shape(clause: Clause, content_type: str, *, table: bool, partial: Partial) -> Media | None:
    """The form that `as=` names; None where it is not offered, and the next clause may be."""
    kind = _SHAPES.get(clause.parameters["as"])
    version = clause.parameters.get("v", "")
    if kind is None or clause.parameters.get("g") != _META or version not in _META_VERSIONS:
        return None
    if content_type != JSON or not (table if kind == "table" else partial):
        return None
    # One object's metadata is not a list's, and the client has to know which it gets.
    if kind == "partial" and partial == "list":
        raise NotAcceptableError(
            "you requested PartialObjectMetadata, but the requested object is a list "
            "(ask for PartialObjectMetadataList)"
        )
    if kind == "partial_list" and partial == "object":
        raise NotAcceptableError(
            "you requested PartialObjectMetadataList, but the requested object is not a list "
            "(ask for PartialObjectMetadata)"
        )
    return Media(kind, JSON, version)
