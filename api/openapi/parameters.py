"""Parameters, bodies and responses that operations share (api-1.4, api-1.5)."""

from __future__ import annotations

from typing import Any

from api.openapi.type_notation import Schema

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_INTEGER: Schema = {"type": "integer"}
Parameter = dict[str, Any]


def _query_parameter(name: str, text: str, schema: Schema) -> Parameter:
    return {
        "name": name,
        "in": "query",
        "description": text,
        "schema": schema,
    }


def path_parameter(name: str, text: str, pattern: str = "") -> Parameter:
    """Return the definition of a path parameter."""
    schema = {**_TEXT, "minLength": 1} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "path", "description": text, "required": True, "schema": schema}


PRETTY = _query_parameter("pretty", "Accepted without effect: responses are compact.", _TEXT)
DRY_RUN = _query_parameter(
    "dryRun",
    "All: everything is checked and nothing is stored. Any other value is an error.",
    {**_TEXT, "enum": ["All"]},
)
FIELD_MANAGER = _query_parameter(
    "fieldManager",
    "The name of the field manager that writes; at most 128 printable characters.",
    {**_TEXT, "maxLength": 128},
)
# kubectl leaves validation to the server only if a PATCH has this parameter, inline and of this
# name (api-14.4).
FIELD_VALIDATION = _query_parameter(
    "fieldValidation",
    "How unknown and duplicate fields are treated. Ignore: they are dropped. Warn: they are "
    "dropped, and each is reported in a Warning header; this is the default. Strict: the request "
    "fails.",
    {**_TEXT, "enum": ["Ignore", "Warn", "Strict"]},
)
FORCE = _query_parameter(
    "force",
    "For an apply patch: take ownership of fields that other managers own, instead of failing.",
    _FLAG,
)
WRITE_PARAMETERS = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION]
PATCH_PARAMETERS = [*WRITE_PARAMETERS, FORCE]
DELETE_PARAMETERS = [
    DRY_RUN,
    _query_parameter("gracePeriodSeconds", "Accepted without effect.", _INTEGER),
    _query_parameter("orphanDependents", "The deprecated form of propagationPolicy.", _FLAG),
    _query_parameter(
        "propagationPolicy",
        "How dependents are deleted. All values have the effect of Background.",
        {**_TEXT, "enum": ["Foreground", "Background", "Orphan"]},
    ),
]
LIST_PARAMETERS = [
    _query_parameter("labelSelector", "Return only objects whose labels match.", _TEXT),
    _query_parameter("fieldSelector", "Return only objects whose fields match.", _TEXT),
    _query_parameter(
        "limit", "The maximum number of objects; continue returns the others.", _INTEGER
    ),
    _query_parameter("continue", "The continue token in the metadata of the previous page.", _TEXT),
    _query_parameter(
        "resourceVersion",
        "The version of the list, as resourceVersionMatch says; or the version after which a "
        "watch begins.",
        _TEXT,
    ),
    _query_parameter(
        "resourceVersionMatch",
        "How resourceVersion is applied to a list.",
        {**_TEXT, "enum": ["Exact", "NotOlderThan"]},
    ),
    _query_parameter("timeoutSeconds", "After how many seconds a watch ends.", _INTEGER),
]
WATCH_PARAMETERS = [
    _query_parameter("watch", "Return a stream of changes instead of a list.", _FLAG),
    _query_parameter(
        "allowWatchBookmarks",
        "Whether the watch may send bookmarks, which are versions only.",
        _FLAG,
    ),
    _query_parameter(
        "sendInitialEvents",
        "Whether a watch begins with all existing objects, followed by a bookmark.",
        _FLAG,
    ),
]

# Status codes whose body is a Status.
_ERROR_DESCRIPTIONS = {
    "400": "Bad request: the request cannot be decoded.",
    "401": "Unauthorized: the caller is not authenticated.",
    "403": "Forbidden: the caller lacks the permission.",
    "404": "Not found.",
    "405": "Method not allowed on this resource.",
    "406": "Not acceptable: none of the accepted media types is available.",
    "409": "Conflict: the object exists already, or has been changed by another client.",
    "410": "Gone: the version is no longer available.",
    "413": "The body is too large.",
    "415": "The media type of the body is not supported.",
    "422": "Invalid: a field or a parameter is invalid.",
    "429": "Too many requests; retry later.",
    "500": "Internal error; details say whether to retry.",
    "503": "The database is unavailable; retry.",
    "504": "The request timed out.",
}
COMMON_ERROR_CODES = ("400", "401", "403", "404", "405", "406", "429", "500", "503")
VERB_ERROR_CODES: dict[str, tuple[str, ...]] = {
    "get": (),
    "list": ("410", "422"),
    "watch": ("410", "422"),
    "create": ("409", "413", "415", "422", "504"),
    "update": ("409", "413", "415", "422"),
    "patch": ("409", "413", "415", "422"),
    "delete": ("409", "413", "415", "422"),
    "deletecollection": ("409", "410", "413", "415", "422"),
}


def build_error_responses(status: str) -> dict[str, Any]:
    """Return `components.responses`: one response for each error code."""
    content = build_content({"$ref": status})
    return {
        f"Status{code}": {"description": text, "content": content}
        for code, text in _ERROR_DESCRIPTIONS.items()
    }


def build_content(schema: Schema, *, stream: Schema | None = None) -> dict[str, Any]:
    """Return a body in JSON and YAML; with `stream`, a list may be a stream of events instead."""
    content = {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}}
    if stream is not None:
        content["application/json;stream=watch"] = {"schema": stream}
    return content
