"""Paths that are no resources: discovery, OpenAPI, version, the index (`api.md` C17 to C19).

Also the empty lists of workloads that `oc adm prune images` insists on reading (F.12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.auth.token_authenticator import require_path
from api.discovery import AGGREGATED_TYPE, build_aggregated, build_legacy, wants_aggregated
from api.openapi.openapi_builder import build_group
from api.openapi.openapi_builder import build_index as build_openapi_index
from api.response.http_response import Reply, encode_json
from api.serving.health_endpoints import build_index, build_version
from models.access.rbac import Caller
from models.api_errors import MethodNotAllowedError, NoSuchResourceError

_V2_ACCEPT = "com.github.proto-openapi.spec.v2"
_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
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


def answer_open(
    caller: Caller,
    method: str,
    segments: list[str],
    headers: Mapping[str, str],
    query: Mapping[str, list[str]],
) -> Reply:
    """Whatever lies outside the resources. NoSuchResourceError where nothing does."""
    path = "/" + "/".join(segments)
    require_path(caller, verb=method.lower(), path=path)
    if method not in {"GET", "HEAD"}:
        raise MethodNotAllowedError
    if not segments:
        return Reply(200, encode_json(build_index()))
    if segments == ["version"]:
        return Reply(200, encode_json(build_version()))
    if segments[0] == "openapi":
        return _openapi(segments, headers, query)
    found = _discovery(segments, headers)
    if found is None:
        raise NoSuchResourceError
    return found


def answer_empty_list(group: str, version: str, resource: str) -> Reply | None:
    """An empty list of something that we do not have; None where nobody needs one.

    Whether the caller may list it is settled before.
    """
    kind = EMPTY_LISTS.get((group, version, resource))
    if kind is None:
        return None
    api_version = f"{group}/{version}" if group else version
    return Reply(
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


def _discovery(segments: list[str], headers: Mapping[str, str]) -> Reply | None:
    path = "/" + "/".join(segments)
    if path in {"/api", "/apis"} and wants_aggregated(headers.get("accept", "")):
        document, tag = build_aggregated(path)
        return _tagged(document, tag, headers, AGGREGATED_TYPE)
    legacy = build_legacy(segments, host=headers.get("host", ""))
    return None if legacy is None else Reply(200, encode_json(legacy), headers={"Vary": "Accept"})


def _openapi(
    segments: list[str], headers: Mapping[str, str], query: Mapping[str, list[str]]
) -> Reply:
    if segments == ["openapi", "v2"]:
        if _V2_ACCEPT in headers.get("accept", ""):
            # An empty document switches off checks that only clients without v3 make (C18).
            return Reply(200, b"", _V2_TYPE)
        return Reply(200, encode_json(_EMPTY_V2))
    if segments == ["openapi", "v3"]:
        document, tag = build_openapi_index()
        return _tagged(document, tag, headers)
    if segments[:2] == ["openapi", "v3"]:
        found = build_group("/".join(segments[2:]))
        if found is not None:
            document, tag = found
            reply = _tagged(document, tag, headers)
            if query.get("hash", [""])[0] == tag:
                reply.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            return reply
    raise NoSuchResourceError


def _tagged(
    body: bytes, tag: str, headers: Mapping[str, str], content_type: str = "application/json"
) -> Reply:
    """A document that clients keep: 304 where theirs is still the same."""
    marks = {"ETag": f'"{tag}"', "Vary": "Accept"}
    known = [
        each.strip().removeprefix("W/") for each in headers.get("if-none-match", "").split(",")
    ]
    if f'"{tag}"' in known or "*" in known:
        return Reply(304, b"", content_type, marks)
    return Reply(200, body, content_type, marks)


_EMPTY_V2: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "tagstream", "version": "v1"},
    "paths": {},
    "definitions": {},
}
