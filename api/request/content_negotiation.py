"""Content negotiation: JSON, YAML, a Table, or metadata only (api-3.3, api-3.4, api-3.5, api-3.6).

The clauses of `Accept` are tried in order, and the first that can be served wins. Protobuf is never
sent: every client that requests it names JSON as its second choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.api_errors import NotAcceptableError

JSON = "application/json"
YAML = "application/yaml"

MediaKind = Literal["json", "yaml", "table", "partial", "partial_list"]
Partial = Literal["object", "list"] | None

_OFFERED_MEDIA_TYPES = {
    JSON: JSON,
    YAML: YAML,
    "*/*": JSON,
    "application/*": JSON,  # upstream answers 406, which helps no client
}
_META_GROUP = "meta.k8s.io"
_META_VERSIONS = ("v1", "v1beta1")
_MEDIA_KINDS: dict[str, MediaKind] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial_list",
}
_NOT_ACCEPTABLE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
)
_ACCEPTED_TYPES = "only the following media types are accepted: application/json, application/yaml"
_ACCEPTED_STREAM_TYPES = (
    "only the following media types are accepted: application/json;stream=watch"
)
_MAX_CLAUSES = 50


@dataclass(frozen=True, slots=True)
class NegotiatedMedia:
    """The negotiated form; `table_version` is the requested version of `meta.k8s.io`."""

    kind: MediaKind
    content_type: str
    table_version: str = "v1"


JSON_MEDIA = NegotiatedMedia("json", JSON)


@dataclass(frozen=True, slots=True)
class AcceptClause:
    """One clause of an `Accept` header: a media type with its parameters."""

    media_type: str
    parameters: dict[str, str]
    quality: float = 1.0


def negotiate(
    accept: str, *, table: bool, partial: Partial, watch: bool = False
) -> NegotiatedMedia:
    """Return the form of the first clause of `accept` that can be served.

    `table`: whether the resource has columns. `partial`: whether the response is an object or a
    list (None: metadata only is not offered). A watch is JSON only, and its events are objects.
    Raises NotAcceptableError if no clause can be served.
    """
    clauses = parse_accept(accept)
    if not clauses:
        return JSON_MEDIA
    for clause in clauses:
        content_type = _OFFERED_MEDIA_TYPES.get(clause.media_type)
        if content_type is None or (watch and content_type != JSON):
            continue
        if "as" not in clause.parameters:
            return NegotiatedMedia("yaml", YAML) if content_type == YAML else JSON_MEDIA
        media = _negotiate_representation(clause, content_type, table=table, partial=partial)
        if media is not None:
            return media
    if watch:
        raise NotAcceptableError(_ACCEPTED_STREAM_TYPES)
    has_offered_type = any(clause.media_type in _OFFERED_MEDIA_TYPES for clause in clauses)
    raise NotAcceptableError(_ACCEPTED_TYPES if has_offered_type else _NOT_ACCEPTABLE)


def parse_accept(accept: str) -> list[AcceptClause]:
    """Return the clauses of an `Accept` header by quality, then in their order."""
    texts = accept.split(",")[:_MAX_CLAUSES]
    clauses = [_parse_clause(text) for text in texts if text.strip()]
    acceptable = [clause for clause in clauses if clause.quality > 0]
    return sorted(acceptable, key=lambda clause: -clause.quality)


def _parse_clause(text: str) -> AcceptClause:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return AcceptClause(media_type.lower(), parameters, quality)


def _negotiate_representation(
    clause: AcceptClause, content_type: str, *, table: bool, partial: Partial
) -> NegotiatedMedia | None:
    """Return the form that `as=` names; None if it is not offered and the next clause is tried."""
    kind = _MEDIA_KINDS.get(clause.parameters["as"])
    version = clause.parameters.get("v", "")
    if kind is None or clause.parameters.get("g") != _META_GROUP or version not in _META_VERSIONS:
        return None
    if content_type != JSON or not (table if kind == "table" else partial):
        return None
    # The metadata of an object and of a list are different types: the client must not get another
    # type than it requested.
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
    return NegotiatedMedia(kind, JSON, version)
