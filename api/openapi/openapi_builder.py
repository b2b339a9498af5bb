"""The documents below `/openapi/v3`, built once per process (api-14.3)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from typing import Any

from api.discovery import group_version, list_group_resources
from api.openapi.operations import Operations
from api.openapi.parameters import build_error_responses
from api.openapi.schemas import SchemaBuilder
from api.response.http_response import encode_json
from api.served_resources import GROUPS

Document = tuple[bytes, str]


@cache
def build_index() -> Document:
    """Return the document of `/openapi/v3` and its hash: the URL of each group's document.

    Each URL contains the hash of the document, so that clients can cache it forever.
    """
    paths = {}
    for path in sorted(_GROUPS_BY_PATH):
        _, digest = _encode_group(path)
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return _encode({"paths": paths})


def build_group_document(path: str) -> Document | None:
    """Return the document of `api/v1` or `apis/GROUP/v1` and its hash; None if unknown."""
    return _encode_group(path) if path in _GROUPS_BY_PATH else None


@cache
def _encode_group(path: str) -> Document:
    return _encode(build_group_spec(_GROUPS_BY_PATH[path]))


def build_group_spec(group: str) -> dict[str, Any]:
    """Return the OpenAPI document of a group."""
    resources = list_group_resources(group)
    schemas = SchemaBuilder(group, "v1")
    root = f"/{_group_path(group)}"
    paths = Operations(root, _operation_prefix(group), schemas).build_paths(resources)
    root_paths = {f"{root}/": _discovery_operation(group)}
    responses = build_error_responses(schemas.refer("Status"))
    return {
        "openapi": "3.0.0",
        "info": {"title": "tagstream", "version": version("tagstream")},
        "paths": root_paths | paths,
        "components": {
            "schemas": dict(sorted(schemas.definitions.items())),
            "responses": responses,
            "securitySchemes": {"BearerToken": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"BearerToken": []}],
    }


def _discovery_operation(group: str) -> dict[str, Any]:
    prefix = _operation_prefix(group)
    content = {"application/json": {"schema": {"type": "object"}}}
    operation = {
        "tags": [f"{prefix[0].lower()}{prefix[1:]}"],
        "description": "get available resources",
        "operationId": f"get{prefix}APIResources",
        "responses": {
            "200": {"description": "OK", "content": content},
            "401": {"$ref": "#/components/responses/Status401"},
            "403": {"$ref": "#/components/responses/Status403"},
            "429": {"$ref": "#/components/responses/Status429"},
        },
    }
    return {"get": operation}


def _group_path(group: str) -> str:
    return f"apis/{group_version(group)}" if group else "api/v1"


def _operation_prefix(group: str) -> str:
    """Return `ImageOpenshiftIoV1`, or `CoreV1` for the core group."""
    parts = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    return "".join(part.capitalize() for part in parts) + "V1"


def _encode(document: dict[str, Any]) -> Document:
    body = encode_json(document)
    return body, hashlib.sha256(body).hexdigest().upper()


_GROUPS_BY_PATH = {_group_path(group): group for group in GROUPS}
