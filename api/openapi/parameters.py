"""Parameters, bodies and answers that operations share (`api.md` A.2, A.3, C10 to C14)."""

from __future__ import annotations

from typing import Any

from api.openapi.type_notation import Schema

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_WHOLE: Schema = {"type": "integer"}
Parameter = dict[str, Any]


def _query(name: str, text: str, schema: Schema) -> Parameter:
    return {
        "name": name,
        "in": "query",
        "description": text,
        "schema": schema,
    }


def path_parameter(name: str, text: str, pattern: str = "") -> Parameter:
    """A part of the path."""
    schema = {**_TEXT, "minLength": 1} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "path", "description": text, "required": True, "schema": schema}


PRETTY = _query("pretty", "If 'true', the answer is laid out for people.", _TEXT)
DRY_RUN = _query(
    "dryRun",
    "All: every check is made, and nothing is kept. Any other value is an error.",
    {**_TEXT, "enum": ["All"]},
)
FIELD_MANAGER = _query(
    "fieldManager",
    "The name under which the client writes; at most 128 printable characters.",
    {**_TEXT, "maxLength": 128},
)
# kubectl looks for this one, inline and of this name, before it leaves validation to the server.
FIELD_VALIDATION = _query(
    "fieldValidation",
    "What becomes of unknown and doubled fields. Ignore: they are dropped. Warn: they are dropped "
    "and each is told in a Warning header; this is the default. Strict: the request fails.",
    {**_TEXT, "enum": ["Ignore", "Warn", "Strict"]},
)
FORCE = _query(
    "force",
    "Of an apply patch: take over fields that other managers own, instead of failing.",
    _FLAG,
)
WRITE = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION]
PATCH = [*WRITE, FORCE]
DELETE = [
    DRY_RUN,
    _query("gracePeriodSeconds", "Taken and not acted on.", _WHOLE),
    _query("orphanDependents", "The old form of propagationPolicy.", _FLAG),
    _query(
        "propagationPolicy",
        "How dependents are deleted. All values mean Background here.",
        {**_TEXT, "enum": ["Foreground", "Background", "Orphan"]},
    ),
]
SELECT = [
    _query("labelSelector", "Only objects whose labels match.", _TEXT),
    _query("fieldSelector", "Only objects whose fields match.", _TEXT),
    _query("limit", "At most so many objects; the rest comes with continue.", _WHOLE),
    _query("continue", "Where the next page begins, from the metadata of the last.", _TEXT),
    _query(
        "resourceVersion",
        "The version that the list is to be of, as resourceVersionMatch says; or where a watch "
        "begins.",
        _TEXT,
    ),
    _query(
        "resourceVersionMatch",
        "How resourceVersion is meant.",
        {**_TEXT, "enum": ["Exact", "NotOlderThan"]},
    ),
    _query("timeoutSeconds", "When a watch ends.", _WHOLE),
]
WATCH = [
    _query("watch", "Instead of a list, a stream of what changes.", _FLAG),
    _query("allowWatchBookmarks", "Whether the watch may tell bare versions now and then.", _FLAG),
    _query(
        "sendInitialEvents",
        "Whether a watch begins with all objects there are, and a bookmark after them.",
        _FLAG,
    ),
]

# Codes that have no body of their own but a Status.
_REFUSALS = {
    "400": "Bad request: what was sent cannot be read.",
    "401": "Unauthorized: who asks is not known.",
    "403": "Forbidden: who asks may not.",
    "404": "Not found.",
    "405": "The resource does not allow this.",
    "406": "None of the accepted media types can be had.",
    "409": "Conflict: it exists already, or somebody else was faster.",
    "410": "Gone: the version is no longer kept.",
    "413": "The body is too large.",
    "415": "The body's media type is not known.",
    "422": "Invalid: a field or a parameter is wrong.",
    "429": "Too many requests; try again later.",
    "500": "Something failed here; details tell whether to try again.",
    "503": "The database is away; try again.",
    "504": "The time was up before it was done.",
}
ALWAYS = ("400", "401", "403", "404", "405", "406", "429", "500", "503")
CODES: dict[str, tuple[str, ...]] = {
    "get": (),
    "list": ("410", "422"),
    "watch": ("410", "422"),
    "create": ("409", "413", "415", "422", "504"),
    "update": ("409", "413", "415", "422"),
    "patch": ("409", "413", "415", "422"),
    "delete": ("409", "413", "415", "422"),
    "deletecollection": ("409", "410", "413", "415", "422"),
}


def build_refusals(status: str) -> dict[str, Any]:
    """`components.responses`: one for each code that is a failure."""
    content = build_content({"$ref": status})
    return {
        f"Status{code}": {"description": text, "content": content}
        for code, text in _REFUSALS.items()
    }


def build_content(schema: Schema, *, stream: Schema | None = None) -> dict[str, Any]:
    """A body as JSON and as YAML; a list may be a stream of events instead."""
    content = {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}}
    if stream is not None:
        content["application/json;stream=watch"] = {"schema": stream}
    return content
