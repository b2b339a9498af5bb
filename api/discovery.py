"""The discovery documents, built from the table of resources (api-14.1, api-14.2).

There are two forms: aggregated for kubectl and oc, unaggregated for the Python clients.
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
# Clients compare the whole Content-Type, including the parameters and their order.
AGGREGATED_TYPE = f"{JSON};g={_GROUP};v=v2;as={_KIND}"


def wants_aggregated(accept: str) -> bool:
    """Return whether `Accept` prefers the aggregated form of `/api` or `/apis` (clients-2.2)."""
    for clause in parse_accept(accept):
        if clause.media_type not in {JSON, "*/*", "application/*"}:
            continue
        requested = [clause.parameters.get(key) for key in ("g", "v", "as")]
        if requested == [_GROUP, "v2", _KIND]:
            return True
        if requested == [None, None, None]:
            return False
    return False


@cache
def build_aggregated(path: str) -> tuple[bytes, str]:
    """Return the document of all groups below `/api` or `/apis`, and the hash that is its ETag."""
    groups = [""] if path.rstrip("/") == "/api" else [group for group in GROUPS if group]
    document = {
        "kind": _KIND,
        "apiVersion": f"{_GROUP}/v2",
        "metadata": {},
        "items": [_aggregate_group(group) for group in groups],
    }
    body = encode_json(document)
    return body, hashlib.sha256(body).hexdigest()[:32]


def build_unaggregated(segments: list[str], *, host: str = "") -> dict[str, Any] | None:
    """Return the document of a legacy discovery path, or None if the path is not one.

    `host` is the host and port by which the client reached the server.
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


def list_group_resources(group: str) -> list[ResourceInfo]:
    """Return the resources and subresources of a group, sorted by name."""
    return sorted(
        (info for info in RESOURCES if info.group == group), key=lambda info: info.resource
    )


def group_version(group: str) -> str:
    """Return the group and version: `image.openshift.io/v1`, for the core group `v1`."""
    return f"{group}/{VERSION}" if group else VERSION


def _describe_group(group: str) -> dict[str, Any]:
    version = {"groupVersion": group_version(group), "version": VERSION}
    return {"name": group, "versions": [version], "preferredVersion": version}


def _list_resources(group: str) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group),
        "resources": [_describe_resource(info) for info in list_group_resources(group)],
    }


def _describe_resource(info: ResourceInfo) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": info.resource,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": list(info.verbs),
    }
    return described | _names_and_categories(info)


def _names_and_categories(info: ResourceInfo) -> dict[str, Any]:
    """Return the short names and categories of a resource, each only if it has some."""
    names = {"shortNames": list(info.short_names), "categories": list(info.categories)}
    return {key: value for key, value in names.items() if value}


def _aggregate_group(group: str) -> dict[str, Any]:
    resources = list_group_resources(group)
    top_level = [info for info in resources if not info.subresource]
    version = {
        "version": VERSION,
        "freshness": "Current",
        "resources": [_aggregate_resource(info, resources) for info in top_level],
    }
    return {"metadata": {"name": group} if group else {}, "versions": [version]}


def _aggregate_resource(info: ResourceInfo, resources: list[ResourceInfo]) -> dict[str, Any]:
    subresources = [
        subresource
        for subresource in resources
        if subresource.resource.startswith(f"{info.resource}/")
    ]
    described: dict[str, Any] = {
        "resource": info.resource,
        "responseKind": _response_kind(info),
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    described |= _names_and_categories(info)
    if subresources:
        described["subresources"] = [
            {
                "subresource": subresource.subresource,
                "responseKind": _response_kind(subresource),
                "verbs": list(subresource.verbs),
            }
            for subresource in subresources
        ]
    return described


def _response_kind(info: ResourceInfo) -> dict[str, str]:
    return {"group": info.group, "version": info.version, "kind": info.kind}
