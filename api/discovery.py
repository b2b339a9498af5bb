"""What the server has, told from the one table of resources (`api.md` C17).

Twice: the aggregated form that kubectl and oc ask for, and the plain one of the Python clients.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from api.request.content_negotiation import JSON, parse_accept
from api.response.http_response import encode_json
from api.served_resources import GROUPS, RESOURCES, ResourceInfo

_GROUP = "apidiscovery.k8s.io"
_KIND = "APIGroupDiscoveryList"
VERSION = "v1"
# Clients switch on the whole of this, parameters and their order included.
AGGREGATED_TYPE = f"{JSON};g={_GROUP};v=v2;as={_KIND}"


def wants_aggregated(accept: str) -> bool:
    """Whether a client would rather have the aggregated form of `/api` or `/apis`."""
    for clause in parse_accept(accept):
        if clause.media_type not in {JSON, "*/*", "application/*"}:
            continue
        asked = [clause.parameters.get(key) for key in ("g", "v", "as")]
        if asked == [_GROUP, "v2", _KIND]:
            return True
        if asked == [None, None, None]:
            return False
    return False


@cache
def build_aggregated(path: str) -> tuple[bytes, str]:
    """All groups below `/api` or `/apis` in one document, and the hash that is its ETag."""
    groups = [""] if path.rstrip("/") == "/api" else [group for group in GROUPS if group]
    document = {
        "kind": _KIND,
        "apiVersion": f"{_GROUP}/v2",
        "metadata": {},
        "items": [_aggregate_group(group) for group in groups],
    }
    body = encode_json(document)
    return body, hashlib.sha256(body).hexdigest()[:32]


def build_legacy(segments: list[str], *, host: str = "") -> dict[str, Any] | None:
    """The plain document of a discovery path; None where the path is none.

    `host` is how the client reached us.
    """
    match segments:
        case ["api"]:
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
            return {
                "kind": "APIVersions",
                "versions": [VERSION],
                "serverAddressByClientCIDRs": addresses,
            }
        case ["apis"]:
            groups = [_describe_group(group) for group in GROUPS if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", "v1"]:
            return _list_resources("")
        case ["apis", group] if group and group in GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1", **_describe_group(group)}
        case ["apis", group, "v1"] if group and group in GROUPS:
            return _list_resources(group)
    return None


def resources_of(group: str) -> list[ResourceInfo]:
    """A group's resources and subresources by name."""
    return sorted(
        (info for info in RESOURCES if info.group == group), key=lambda info: info.resource
    )


def group_version(group: str) -> str:
    """`image.openshift.io/v1`; of the core group `v1`."""
    return f"{group}/{VERSION}" if group else VERSION


def _describe_group(group: str) -> dict[str, Any]:
    version = {"groupVersion": group_version(group), "version": VERSION}
    return {"name": group, "versions": [version], "preferredVersion": version}


def _list_resources(group: str) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group),
        "resources": [_describe_resource(info) for info in resources_of(group)],
    }


def _describe_resource(info: ResourceInfo) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": info.resource,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": list(info.verbs),
    }
    return described | _names(info)


def _names(info: ResourceInfo) -> dict[str, Any]:
    """Short names and categories, where there are any."""
    names = {"shortNames": list(info.short_names), "categories": list(info.categories)}
    return {key: value for key, value in names.items() if value}


def _aggregate_group(group: str) -> dict[str, Any]:
    known = resources_of(group)
    whole = [info for info in known if not info.subresource]
    version = {
        "version": VERSION,
        "freshness": "Current",
        "resources": [_aggregate_resource(info, known) for info in whole],
    }
    return {"metadata": {"name": group} if group else {}, "versions": [version]}


def _aggregate_resource(info: ResourceInfo, known: list[ResourceInfo]) -> dict[str, Any]:
    parts = [part for part in known if part.resource.startswith(f"{info.resource}/")]
    described: dict[str, Any] = {
        "resource": info.resource,
        "responseKind": _response_kind(info),
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    described |= _names(info)
    if parts:
        described["subresources"] = [
            {
                "subresource": part.subresource,
                "responseKind": _response_kind(part),
                "verbs": list(part.verbs),
            }
            for part in parts
        ]
    return described


def _response_kind(info: ResourceInfo) -> dict[str, str]:
    return {"group": info.group, "version": info.version, "kind": info.kind}
