"""The paths of a group and what can be done on each, made from the table of resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.openapi import parameters as shared
from api.openapi.parameters import build_content, path_parameter
from api.openapi.schemas import Schemas
from api.openapi.type_notation import Schema
from api.served_resources import (
    IMPORT_JOBS,
    PROJECT_REQUESTS,
    SIGNATURES,
    STREAM_IMPORTS,
    STREAM_MAPPINGS,
    ResourceInfo,
)

Operation = dict[str, Any]
Paths = dict[str, dict[str, Any]]

_METHODS = {
    "get": "get",
    "list": "get",
    "create": "post",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "delete",
    "watch": "get",
    "watchlist": "get",
}
_ACTIONS = {"create": "post", "update": "put"}
_WORDS = {
    "get": ("read", "read the specified {kind}"),
    "list": ("list", "list or watch objects of kind {kind}"),
    "create": ("create", "create {a} {kind}"),
    "update": ("replace", "replace the specified {kind}"),
    "patch": ("patch", "partially update the specified {kind}"),
    "delete": ("delete", "delete {a} {kind}"),
    "deletecollection": ("delete", "delete collection of {kind}"),
    "watch": ("watch", "watch changes to one {kind}. deprecated: watch the list"),
    "watchlist": (
        "watch",
        "watch individual changes to a list of {kind}. deprecated: watch the list",
    ),
}
_ITEM = ("get", "update", "patch", "delete")
_COLLECTION = ("list", "create", "deletecollection")
_NAMESPACE = path_parameter("namespace", "The namespace of the objects.")
# Names of parts of a stream or an image say which part of what (`api.md` B2.1).
_NAMES = {
    "imagesignatures": "^[^@/%]+@[^@/%]+$",
    "imagestreamimages": "^[^@/%]+@[^@/%]+$",
    "imagestreamtags": "^[^:@/%]+:[^:@/%]+$",
    "imagetags": "^[^:@/%]+:[^:@/%]+$",
}
# A Status is the answer where nothing is kept, or nothing is left (B5, B12, C21).
_STATUS_ANSWERS = {
    (STREAM_MAPPINGS.resource, "create"),
    (SIGNATURES.resource, "delete"),
    (PROJECT_REQUESTS.resource, "list"),
}


class Operations:
    """Builds the paths of one group; schemas are collected on the way."""

    def __init__(self, root: str, camel: str, schemas: Schemas) -> None:
        self._root = root
        self._camel = camel
        self._schemas = schemas

    def build_paths(self, resources: list[ResourceInfo]) -> Paths:
        """Every path of the resources, each with its operations."""
        known = {info.resource: info for info in resources}
        paths: Paths = {}
        for info in resources:
            whole = known[info.resource.partition("/")[0]]
            for path, verbs, place in _places(self._root, info):
                operations = {
                    _METHODS[verb]: self._build(info, whole, verb, place) for verb in verbs
                }
                if operations:
                    paths[path] = {**operations, "parameters": _path_parameters(path, whole)}
        return dict(sorted(paths.items()))

    def _build(self, info: ResourceInfo, whole: ResourceInfo, verb: str, place: str) -> Operation:
        word, text = _WORDS[verb]
        kind = f"{info.subresource or ''} of the specified {whole.kind}"
        named = kind.strip() if info.subresource else info.kind
        if verb == "list" and "watch" not in info.verbs:
            text = text.replace("list or watch", "list")
        if info.subresource:
            text = text.replace("the specified {kind}", "{kind}")
        article = "an" if info.kind[0] in "AEIOU" else "a"
        operation: Operation = {
            "tags": [f"{self._camel[0].lower()}{self._camel[1:]}"],
            "description": text.format(kind=named, a=article),
            "operationId": f"{word}{self._camel}{_middle(verb, info, whole, place)}",
            "responses": self._responses(info, verb),
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": {
                "group": info.group,
                "version": info.version,
                "kind": info.kind,
            },
        }
        wanted = _parameters(info, verb)
        if wanted:
            operation["parameters"] = wanted
        body = self._body(info, verb)
        if body is not None:
            operation["requestBody"] = body
        if verb in {"watch", "watchlist"}:
            operation["deprecated"] = True
        return operation

    def _object(self, info: ResourceInfo) -> Schema:
        return {"$ref": self._schemas.refer(info.kind)}

    def _status(self) -> Schema:
        return {"$ref": self._schemas.refer("Status")}

    def _event(self) -> Schema:
        return {"$ref": self._schemas.refer("WatchEvent")}

    def _body(self, info: ResourceInfo, verb: str) -> Operation | None:
        if verb in {"create", "update"}:
            return {"content": build_content(self._object(info)), "required": True}
        if verb == "patch":
            patch = {"$ref": self._schemas.refer("Patch")}
            content = {
                "application/json-patch+json": {"schema": _JSON_PATCH},
                "application/merge-patch+json": {"schema": patch},
                "application/strategic-merge-patch+json": {"schema": patch},
                "application/apply-patch+yaml": {"schema": patch},
            }
            return {"content": content, "required": True}
        if verb in {"delete", "deletecollection"}:
            return {"content": build_content({"$ref": self._schemas.refer("DeleteOptions")})}
        return None

    def _responses(self, info: ResourceInfo, verb: str) -> dict[str, Any]:
        content = self._answer(info, verb)
        codes = ["200"]
        if verb == "create":
            codes = ["200", "201", "202"]
        elif verb in {"update", "patch"}:
            codes = ["200", "201"]
        elif verb == "delete":
            codes = ["200", "202"]
        responses = {code: {"description": _SUCCESS[code], "content": content} for code in codes}
        if info is STREAM_IMPORTS:  # whoever sends `Prefer: respond-async` gets the job (B13)
            job = {"$ref": self._schemas.refer(IMPORT_JOBS.kind)}
            responses["202"] = {**responses["202"], "content": build_content(job)}
        known = "watch" if verb == "watchlist" else verb
        for code in sorted({*shared.ALWAYS, *shared.CODES[known]}):
            responses[code] = {"$ref": f"#/components/responses/Status{code}"}
        return responses

    def _answer(self, info: ResourceInfo, verb: str) -> dict[str, Any]:
        if (info.resource, verb) in _STATUS_ANSWERS:
            return build_content(self._status())
        match verb:
            case "watch" | "watchlist":
                return build_content(self._event(), stream=self._event())
            case "list":
                events = self._event() if "watch" in info.verbs else None
                return build_content({"$ref": self._schemas.refer_list(info)}, stream=events)
            case "deletecollection":
                return build_content({"$ref": self._schemas.refer_list(info)})
            case "delete":
                # The object itself, where finalizers keep it (C12).
                return build_content({"anyOf": [self._status(), self._object(info)]})
            case "create" if info.kind == PROJECT_REQUESTS.kind:
                return build_content({"$ref": self._schemas.refer("Project")})
        return build_content(self._object(info))


def _places(root: str, info: ResourceInfo) -> Iterator[tuple[str, list[str], str]]:
    """The paths of a resource, the verbs on each, and how operations there are called."""
    base, _, part = info.resource.partition("/")
    inside = f"{root}/namespaces/{{namespace}}/{base}" if info.namespaced else f"{root}/{base}"
    scope = "Namespaced" if info.namespaced else ""
    if part:
        yield f"{inside}/{{name}}/{part}", [verb for verb in _ITEM if verb in info.verbs], scope
        return
    yield inside, [verb for verb in _COLLECTION if verb in info.verbs], scope
    yield f"{inside}/{{name}}", [verb for verb in _ITEM if verb in info.verbs], scope
    across = info.namespaced and "list" in info.verbs
    if across:
        yield f"{root}/{base}", ["list"], "ForAllNamespaces"
    if "watch" in info.verbs:
        watched = inside.replace(root, f"{root}/watch", 1)
        yield watched, ["watchlist"], scope
        yield f"{watched}/{{name}}", ["watch"], scope
        if across:
            yield f"{root}/watch/{base}", ["watchlist"], "ForAllNamespaces"


def _middle(verb: str, info: ResourceInfo, whole: ResourceInfo, place: str) -> str:
    """What of an operationId comes after the group."""
    everywhere = place == "ForAllNamespaces"
    collection = "Collection" if verb == "deletecollection" else ""
    scope = "" if everywhere else place
    part = info.subresource.capitalize()
    many = "List" if verb == "watchlist" else ""
    across = "ForAllNamespaces" if everywhere else ""
    return f"{collection}{scope}{whole.kind}{part}{many}{across}"


def _path_parameters(path: str, info: ResourceInfo) -> list[dict[str, Any]]:
    found = []
    if "{name}" in path:
        pattern = _NAMES.get(info.resource, "")
        found.append(path_parameter("name", f"name of the {info.kind}", pattern))
    if "{namespace}" in path:
        found.append(_NAMESPACE)
    return [*found, shared.PRETTY]


def _parameters(info: ResourceInfo, verb: str) -> list[dict[str, Any]]:
    """The parameters of an operation; kubectl does not look at those of the path."""
    match verb:
        case "create" | "update":
            return shared.WRITE
        case "patch":
            return shared.PATCH
        case "delete":
            return shared.DELETE
        case "deletecollection":
            return [*shared.DELETE, *shared.SELECT]
        case "list":
            return [*shared.SELECT, *(shared.WATCH if "watch" in info.verbs else [])]
        case "watch" | "watchlist":
            return [*shared.SELECT, *shared.WATCH]
    return []


_SUCCESS = {"200": "OK", "201": "Created", "202": "Accepted"}
_JSON_PATCH: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "op": {
                "type": "string",
                "enum": ["add", "remove", "replace", "move", "copy", "test"],
            },
            "path": {"type": "string"},
            "from": {"type": "string"},
            "value": {},
        },
        "required": ["op", "path"],
    },
}
