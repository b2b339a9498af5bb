"""The OpenAPI paths of a group and the operations on each, built from the table of resources.

kubectl reads the PATCH operations before it applies, creates or edits (clients-2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.openapi import parameters as shared
from api.openapi.parameters import build_content, path_parameter
from api.openapi.schemas import SchemaBuilder
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
_ACTION_NAMES = {"create": "post", "update": "put"}
_VERB_TEXTS = {
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
_ITEM_VERBS = ("get", "update", "patch", "delete")
_COLLECTION_VERBS = ("list", "create", "deletecollection")
_NAMESPACE_PARAMETER = path_parameter("namespace", "The namespace of the objects.")
# Names of virtual objects consist of two parts (api-19.1).
_NAME_PATTERNS = {
    "imagesignatures": "^[^@/%]+@[^@/%]+$",
    "imagestreamimages": "^[^@/%]+@[^@/%]+$",
    "imagestreamtags": "^[^:@/%]+:[^:@/%]+$",
    "imagetags": "^[^:@/%]+:[^:@/%]+$",
}
# Operations that return a Status instead of an object (api-15.5, api-22.4, api-27.5).
_STATUS_OPERATIONS = {
    (STREAM_MAPPINGS.resource, "create"),
    (SIGNATURES.resource, "delete"),
    (PROJECT_REQUESTS.resource, "list"),
}


class Operations:
    """A builder of the paths of one group; it also collects their schemas."""

    def __init__(self, root: str, operation_prefix: str, schemas: SchemaBuilder) -> None:
        self._root = root
        self._operation_prefix = operation_prefix
        self._schemas = schemas

    def build_paths(self, resources: list[ResourceInfo]) -> Paths:
        """Return every path of the resources with its operations, sorted by path."""
        resources_by_name = {info.resource: info for info in resources}
        paths: Paths = {}
        for info in resources:
            parent = resources_by_name[info.resource.partition("/")[0]]
            for path, verbs, path_scope in _paths_of(self._root, info):
                operations = {
                    _METHODS[verb]: self._build(info, parent, verb, path_scope) for verb in verbs
                }
                if operations:
                    paths[path] = {**operations, "parameters": _path_parameters(path, parent)}
        return dict(sorted(paths.items()))

    def _build(
        self, info: ResourceInfo, parent: ResourceInfo, verb: str, path_scope: str
    ) -> Operation:
        action, text = _VERB_TEXTS[verb]
        kind = f"{info.subresource or ''} of the specified {parent.kind}"
        object_name = kind.strip() if info.subresource else info.kind
        if verb == "list" and "watch" not in info.verbs:
            text = text.replace("list or watch", "list")
        if info.subresource:
            text = text.replace("the specified {kind}", "{kind}")
        article = "an" if info.kind[0] in "AEIOU" else "a"
        prefix = self._operation_prefix
        suffix = _operation_suffix(verb, info, parent, path_scope)
        operation: Operation = {
            "tags": [f"{prefix[0].lower()}{prefix[1:]}"],
            "description": text.format(kind=object_name, a=article),
            "operationId": f"{action}{prefix}{suffix}",
            "responses": self._responses(info, verb),
            "x-kubernetes-action": _ACTION_NAMES.get(verb, verb),
            "x-kubernetes-group-version-kind": {
                "group": info.group,
                "version": info.version,
                "kind": info.kind,
            },
        }
        parameters = _query_parameters(info, verb)
        if parameters:
            operation["parameters"] = parameters
        body = self._request_body(info, verb)
        if body is not None:
            operation["requestBody"] = body
        if verb in {"watch", "watchlist"}:
            operation["deprecated"] = True
        return operation

    def _object_schema(self, info: ResourceInfo) -> Schema:
        return {"$ref": self._schemas.refer(info.kind)}

    def _status_schema(self) -> Schema:
        return {"$ref": self._schemas.refer("Status")}

    def _watch_event_schema(self) -> Schema:
        return {"$ref": self._schemas.refer("WatchEvent")}

    def _request_body(self, info: ResourceInfo, verb: str) -> Operation | None:
        if verb in {"create", "update"}:
            return {"content": build_content(self._object_schema(info)), "required": True}
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
        content = self._response_content(info, verb)
        codes = ["200"]
        if verb == "create":
            codes = ["200", "201", "202"]
        elif verb in {"update", "patch"}:
            codes = ["200", "201"]
        elif verb == "delete":
            codes = ["200", "202"]
        responses = {
            code: {"description": _SUCCESS_DESCRIPTIONS[code], "content": content} for code in codes
        }
        if info is STREAM_IMPORTS:  # with `Prefer: respond-async` the response is a job (api-28.13)
            job = {"$ref": self._schemas.refer(IMPORT_JOBS.kind)}
            responses["202"] = {**responses["202"], "content": build_content(job)}
        verb_key = "watch" if verb == "watchlist" else verb
        for code in sorted({*shared.COMMON_ERROR_CODES, *shared.VERB_ERROR_CODES[verb_key]}):
            responses[code] = {"$ref": f"#/components/responses/Status{code}"}
        return responses

    def _response_content(self, info: ResourceInfo, verb: str) -> dict[str, Any]:
        if (info.resource, verb) in _STATUS_OPERATIONS:
            return build_content(self._status_schema())
        match verb:
            case "watch" | "watchlist":
                return build_content(self._watch_event_schema(), stream=self._watch_event_schema())
            case "list":
                events = self._watch_event_schema() if "watch" in info.verbs else None
                return build_content({"$ref": self._schemas.refer_list(info)}, stream=events)
            case "deletecollection":
                return build_content({"$ref": self._schemas.refer_list(info)})
            case "delete":
                # The object itself if finalizers hold it (api-10.4).
                return build_content({"anyOf": [self._status_schema(), self._object_schema(info)]})
            case "create" if info.kind == PROJECT_REQUESTS.kind:
                return build_content({"$ref": self._schemas.refer("Project")})
        return build_content(self._object_schema(info))


def _paths_of(root: str, info: ResourceInfo) -> Iterator[tuple[str, list[str], str]]:
    """Yield each path of a resource, its verbs, and the scope in the names of its operations."""
    base, _, subresource = info.resource.partition("/")
    collection_path = (
        f"{root}/namespaces/{{namespace}}/{base}" if info.namespaced else f"{root}/{base}"
    )
    scope = "Namespaced" if info.namespaced else ""
    if subresource:
        yield (
            f"{collection_path}/{{name}}/{subresource}",
            [verb for verb in _ITEM_VERBS if verb in info.verbs],
            scope,
        )
        return
    yield collection_path, [verb for verb in _COLLECTION_VERBS if verb in info.verbs], scope
    yield f"{collection_path}/{{name}}", [verb for verb in _ITEM_VERBS if verb in info.verbs], scope
    lists_all_namespaces = info.namespaced and "list" in info.verbs
    if lists_all_namespaces:
        yield f"{root}/{base}", ["list"], "ForAllNamespaces"
    if "watch" in info.verbs:
        watch_path = collection_path.replace(root, f"{root}/watch", 1)
        yield watch_path, ["watchlist"], scope
        yield f"{watch_path}/{{name}}", ["watch"], scope
        if lists_all_namespaces:
            yield f"{root}/watch/{base}", ["watchlist"], "ForAllNamespaces"


def _operation_suffix(verb: str, info: ResourceInfo, parent: ResourceInfo, path_scope: str) -> str:
    """Return the part of an operationId after the group."""
    is_all_namespaces = path_scope == "ForAllNamespaces"
    collection = "Collection" if verb == "deletecollection" else ""
    scope = "" if is_all_namespaces else path_scope
    subresource = info.subresource.capitalize()
    list_suffix = "List" if verb == "watchlist" else ""
    namespaces_suffix = "ForAllNamespaces" if is_all_namespaces else ""
    return f"{collection}{scope}{parent.kind}{subresource}{list_suffix}{namespaces_suffix}"


def _path_parameters(path: str, info: ResourceInfo) -> list[dict[str, Any]]:
    found = []
    if "{name}" in path:
        pattern = _NAME_PATTERNS.get(info.resource, "")
        found.append(path_parameter("name", f"name of the {info.kind}", pattern))
    if "{namespace}" in path:
        found.append(_NAMESPACE_PARAMETER)
    return [*found, shared.PRETTY]


def _query_parameters(info: ResourceInfo, verb: str) -> list[dict[str, Any]]:
    """Return the query parameters of an operation.

    They are repeated for each operation, because kubectl does not read those of the path.
    """
    match verb:
        case "create" | "update":
            return shared.WRITE_PARAMETERS
        case "patch":
            return shared.PATCH_PARAMETERS
        case "delete":
            return shared.DELETE_PARAMETERS
        case "deletecollection":
            return [*shared.DELETE_PARAMETERS, *shared.LIST_PARAMETERS]
        case "list":
            return [
                *shared.LIST_PARAMETERS,
                *(shared.WATCH_PARAMETERS if "watch" in info.verbs else []),
            ]
        case "watch" | "watchlist":
            return [*shared.LIST_PARAMETERS, *shared.WATCH_PARAMETERS]
    return []


_SUCCESS_DESCRIPTIONS = {"200": "OK", "201": "Created", "202": "Accepted"}
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
