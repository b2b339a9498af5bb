"""Paths that are not resources: discovery, OpenAPI, version, the index of paths.

Rules: api-14.1, api-14.3, api-14.7. Also the empty lists of workloads that `oc adm prune images`
reads before it starts (api-30.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.auth.token_authenticator import require_path_access
from api.discovery import AGGREGATED_TYPE, build_aggregated, build_unaggregated, wants_aggregated
from api.openapi.openapi_builder import build_group_document
from api.openapi.openapi_builder import build_index as build_openapi_index
from api.response.http_response import HttpResponse, encode_json
from api.serving.health_endpoints import build_path_index, build_version
from models.access.rbac import Caller
from models.api_errors import MethodNotAllowedError, NoSuchResourceError

_V2_ACCEPT = "com.github.proto-openapi.spec.v2"
_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Workloads that we do not have: oc aborts pruning if one of these lists is a 404 (clients-5.4).
EMPTY_LISTS: dict[tuple[str, str, str], str] = {
    ("", "v1", "pods"): "PodList",
    ("", "v1", "replicationcontrollers"): "ReplicationControllerList",
    ("", "v1", "limitranges"): "LimitRangeList",
    ("apps", "v1", "daemonsets"): "DaemonSetList",
    ("apps", "v1", "deployments"): "DeploymentList",
    ("apps", "v1", "replicasets"): "ReplicaSetList",
    ("apps", "v1", "statefulsets"): "StatefulSetList",
    ("batch", "v1", "jobs"): "JobList",
    ("batch", "v1", "cronjobs"): "CronJobList",
    ("build.openshift.io", "v1", "buildconfigs"): "BuildConfigList",
    ("build.openshift.io", "v1", "builds"): "BuildList",
    ("apps.openshift.io", "v1", "deploymentconfigs"): "DeploymentConfigList",
}


def handle_non_resource_path(
    caller: Caller,
    method: str,
    segments: list[str],
    headers: Mapping[str, str],
    query: Mapping[str, list[str]],
) -> HttpResponse:
    """Return the response of a path that is not a resource.

    Raises ForbiddenPathError if the caller may not read the path, NoSuchResourceError if there is
    none, MethodNotAllowedError for anything but GET and HEAD.
    """
    path = "/" + "/".join(segments)
    require_path_access(caller, verb=method.lower(), path=path)
    if method not in {"GET", "HEAD"}:
        raise MethodNotAllowedError
    if not segments:
        return HttpResponse(200, encode_json(build_path_index()))
    if segments == ["version"]:
        return HttpResponse(200, encode_json(build_version()))
    if segments[0] == "openapi":
        return _openapi_response(segments, headers, query)
    response = _discovery_response(segments, headers)
    if response is None:
        raise NoSuchResourceError
    return response


def build_empty_list_response(group: str, version: str, resource: str) -> HttpResponse | None:
    """Return an empty list of a resource that we do not have, or None if no client needs one.

    The caller is authorized before this is called.
    """
    kind = EMPTY_LISTS.get((group, version, resource))
    if kind is None:
        return None
    api_version = f"{group}/{version}" if group else version
    return HttpResponse(
        200,
        encode_json(
            {
                "kind": kind,
                "apiVersion": api_version,
                "metadata": {"resourceVersion": "1"},
                "items": [],
            }
        ),
    )


def _discovery_response(segments: list[str], headers: Mapping[str, str]) -> HttpResponse | None:
    path = "/" + "/".join(segments)
    if path in {"/api", "/apis"} and wants_aggregated(headers.get("accept", "")):
        document, etag = build_aggregated(path)
        return _etag_response(document, etag, headers, AGGREGATED_TYPE)
    unaggregated = build_unaggregated(segments, host=headers.get("host", ""))
    return (
        None
        if unaggregated is None
        else HttpResponse(200, encode_json(unaggregated), headers={"Vary": "Accept"})
    )


def _openapi_response(
    segments: list[str], headers: Mapping[str, str], query: Mapping[str, list[str]]
) -> HttpResponse:
    if segments == ["openapi", "v2"]:
        if _V2_ACCEPT in headers.get("accept", ""):
            # An empty document switches off checks that only clients without v3 make
            # (api-14.6, clients-2.5).
            return HttpResponse(200, b"", _V2_TYPE)
        return HttpResponse(200, encode_json(_EMPTY_V2))
    if segments == ["openapi", "v3"]:
        document, etag = build_openapi_index()
        return _etag_response(document, etag, headers)
    if segments[:2] == ["openapi", "v3"]:
        found = build_group_document("/".join(segments[2:]))
        if found is not None:
            document, etag = found
            response = _etag_response(document, etag, headers)
            if query.get("hash", [""])[0] == etag:
                response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            return response
    raise NoSuchResourceError


def _etag_response(
    body: bytes, etag: str, headers: Mapping[str, str], content_type: str = "application/json"
) -> HttpResponse:
    """Return a document that clients cache: 304 if their ETag is still the current one."""
    cache_headers = {"ETag": f'"{etag}"', "Vary": "Accept"}
    client_etags = [
        each.strip().removeprefix("W/") for each in headers.get("if-none-match", "").split(",")
    ]
    if f'"{etag}"' in client_etags or "*" in client_etags:
        return HttpResponse(304, b"", content_type, cache_headers)
    return HttpResponse(200, body, content_type, cache_headers)


_EMPTY_V2: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "tagstream", "version": "v1"},
    "paths": {},
    "definitions": {},
}
