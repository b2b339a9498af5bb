"""The documents that are served below `/openapi/v3`, made once a process (`api.md` C18)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from typing import Any

from api.discovery import group_version, resources_of
from api.openapi.operations import Operations
from api.openapi.parameters import build_refusals
from api.openapi.schemas import Schemas
from api.response.http_response import encode_json
from api.served_resources import GROUPS

Document = tuple[bytes, str]


@cache
def build_index() -> Document:
    """`/openapi/v3`: where each group's document is, with its hash; and the index's own hash."""
    paths = {}
    for place in sorted(_PLACES):
        _, digest = _load_group(place)
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return _encode({"paths": paths})


def build_group(place: str) -> Document | None:
    """The document of `api/v1` or `apis/GROUP/v1` and its hash; None where there is no group."""
    return _load_group(place) if place in _PLACES else None


@cache
def _load_group(place: str) -> Document:
    return _encode(describe_group(_PLACES[place]))


def describe_group(group: str) -> dict[str, Any]:
    """The OpenAPI document of a group."""
    resources = resources_of(group)
    schemas = Schemas(group, "v1")
    root = f"/{_place(group)}"
    paths = Operations(root, _camel(group), schemas).build_paths(resources)
    root_paths = {f"{root}/": _discovery(group)}
    responses = build_refusals(schemas.refer("Status"))
    return {
        "openapi": "3.0.0",
        "info": {"title": "tagstream", "version": version("tagstream")},
        "paths": root_paths | paths,
        "components": {
            "schemas": dict(sorted(schemas.found.items())),
            "responses": responses,
            "securitySchemes": {"BearerToken": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"BearerToken": []}],
    }


def _discovery(group: str) -> dict[str, Any]:
    camel = _camel(group)
    answer = {"application/json": {"schema": {"type": "object"}}}
    operation = {
        "tags": [f"{camel[0].lower()}{camel[1:]}"],
        "description": "get available resources",
        "operationId": f"get{camel}APIResources",
        "responses": {
            "200": {"description": "OK", "content": answer},
            "401": {"$ref": "#/components/responses/Status401"},
            "403": {"$ref": "#/components/responses/Status403"},
            "429": {"$ref": "#/components/responses/Status429"},
        },
    }
    return {"get": operation}


def _place(group: str) -> str:
    return f"apis/{group_version(group)}" if group else "api/v1"


def _camel(group: str) -> str:
    """`ImageOpenshiftIoV1`; of the core group `CoreV1`."""
    words = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    return "".join(word.capitalize() for word in words) + "V1"


def _encode(document: dict[str, Any]) -> Document:
    body = encode_json(document)
    return body, hashlib.sha256(body).hexdigest().upper()


_PLACES = {_place(group): group for group in GROUPS}
