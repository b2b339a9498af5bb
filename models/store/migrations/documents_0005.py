"""Conversion of the documents that migration 0005 finds, from the previous version's form.

Pure functions on plain JSON. Like every migration, they know nothing of the models and never
change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

PRIORITIES = {"interactive": "Interactive", "bulk": "Bulk", "scheduled": "Scheduled"}
TRIGGERS = {"user": "User", "schedule": "Schedule", "administrator": "Administrator", "api": "API"}
REASONS = {
    "new": "Pending",
    "same": "Unchanged",
    "moved": "Updated",
    "waited": "Deferred",
    "limited": "RateLimited",
    "down": "CircuitOpen",
    "suspended": "Suspended",
}
CIRCUIT_STATES = {"closed": "Closed", "half-open": "HalfOpen", "open": "Open"}
HEALTH = {"Limited": "RateLimited", "Down": "Unreachable"}
DEDUPE_COLUMNS = (
    *("namespace", "stream", "priority", "triggered_by", "requested_by"),
    *("request", "max_tags", "wants_response"),
)


def convert_result(old: Mapping[str, Any]) -> Document:
    """Convert a JobResult as the column `jobs.result` stores it.

    The previous version did not tell a new tag from an updated one: `changed` ones are updated.
    """
    imported, changed = old.get("imported", 0), old.get("changed", 0)
    estimate = old.get("requests")
    if estimate is not None:
        estimate = [
            {
                "registry": each["registry"],
                "min_requests": each["requests"],
                "max_requests": each["at_most"],
                "tags": each["tags"],
                "streams": each["streams"],
            }
            for each in estimate
        ]
    return {
        "tags_new": 0,
        "tags_updated": changed,
        "tags_unchanged": imported - changed,
        "tags_failed": old.get("failed", 0),
        "targets": [_convert_target_row(each) for each in old.get("targets", ())],
        "additional_tags": old.get("additional_tags", []),
        "listing": old.get("listing"),
        "error": old.get("error"),
        "warnings": old.get("warnings", []),
        "jobs_failed": old.get("jobs_failed", 0),
        "estimate": estimate,
    }


def has_failed_wholly(result: Mapping[str, Any]) -> bool:
    """Return whether an import ended without any imported tag, by its old result."""
    nothing_imported = result.get("failed", 0) > 0 or result.get("listing") is not None
    return nothing_imported and not result.get("imported", 0) and result.get("error") is None


def _convert_target_row(old: Mapping[str, Any]) -> Document:
    target = {key: value for key, value in old.items() if key != "changed"}
    return target | {"outcome": _outcome(old)}


def _outcome(target: Mapping[str, Any]) -> str:
    if not target.get("image"):
        return "failed"
    return "updated" if target.get("changed") else "unchanged"


def dedupe_key(values: Mapping[str, Any]) -> str:
    """Return the key of a queued job, by its new columns."""
    text = json.dumps({name: values[name] for name in DEDUPE_COLUMNS}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def convert_import_job(old: Document) -> Document:
    """Convert the wire form of an ImportJob in the change log."""
    return {**old, "spec": _convert_job_spec(old["spec"]), "status": _convert_job_status(old)}


def _convert_job_spec(old: Mapping[str, Any]) -> Document:
    spec = {("priority" if key == "lane" else key): value for key, value in old.items()}
    for key, names in (("priority", PRIORITIES), ("trigger", TRIGGERS)):
        if key in spec:
            spec[key] = names.get(spec[key], spec[key])
    return spec


def _convert_job_status(job: Mapping[str, Any]) -> Document:
    old = job["status"]
    # The wire omits an empty `spec.reimport`, which selects every stream.
    unit = "jobs" if "reimport" in job["spec"] or old.get("jobs") else "tags"
    imported, changed = old.get("imported", 0), old.get("changed", 0)
    state, reason = _state_and_reason(old)
    status = {
        "state": state,
        f"{unit}Completed": old.get("done", 0),
        f"{unit}Total": old.get("total", 0),
        "tagsUpdated": changed,
        "tagsUnchanged": imported - changed,
        "tagsFailed": old.get("failed", 0),
        "jobsFailed": old.get("jobsFailed", 0),
        "attempts": old.get("attempts", 0),
        "startTime": old.get("started"),
        "completionTime": old.get("finished"),
        "reason": reason,
        "message": old.get("message", ""),
        "targets": [_convert_target(each) for each in old.get("targets", ())],
        "additionalTags": old.get("additionalTags", []),
        "estimate": [_convert_estimate(each) for each in old.get("requests", ())],
        "conditions": _convert_conditions(old, state, reason),
    }
    return {key: value for key, value in status.items() if key == "state" or value}


def _is_tag_list_failure(old: Mapping[str, Any]) -> bool:
    """Return whether a job that succeeded has the reason of its tag list's failure."""
    own_reasons = {"", "SomeTagsFailed", "DryRun"}
    return old["state"] == "Succeeded" and old.get("reason", "") not in own_reasons


def _state_and_reason(old: Mapping[str, Any]) -> tuple[str, str]:
    state, reason = old["state"], old.get("reason", "")
    nothing_imported = not old.get("imported", 0)
    any_failed = old.get("failed", 0) > 0 or _is_tag_list_failure(old)
    if state == "Succeeded" and nothing_imported and any_failed:
        state = "Failed"
    if reason == "SomeTagsFailed" and nothing_imported:
        reason = "AllTagsFailed"
    elif state == "Cancelled" and reason not in {"", "SomeTagsFailed"}:
        reason = "Cancelled"
    return state, reason


def _convert_conditions(old: Mapping[str, Any], state: str, reason: str) -> list[Document]:
    types = ["Complete"]
    if state != "Succeeded":
        types = ["Failed"]
    elif old.get("withErrors") or old.get("failed") or _is_tag_list_failure(old):
        types = ["Complete", "PartiallyFailed"]
        reason = reason or "SomeTagsFailed"
    if _is_tag_list_failure(old):
        reason = "TagListFailed"
    return [
        {**condition, "type": each, "reason": reason or state}
        for condition in old.get("conditions", ())
        for each in types
    ]


def _convert_target(old: Mapping[str, Any]) -> Document:
    target = {
        "source": old.get("source", ""),
        "tag": old.get("tag", ""),
        "streamTag": old.get("to", ""),
        "image": old.get("image", ""),
        "outcome": _outcome(old),
        "reason": old.get("reason", ""),
        "message": old.get("message", ""),
    }
    return {key: value for key, value in target.items() if key == "source" or value}


def _convert_estimate(old: Mapping[str, Any]) -> Document:
    return {
        "registry": old["registry"],
        "minRequests": old["requests"],
        "maxRequests": old["atMost"],
        "tags": old["tags"],
        "streams": old["streams"],
    }


def convert_registry(old: Document) -> Document:
    """Convert the wire form of a Registry in the change log, which has no status."""
    return {
        **old,
        "metadata": convert_metadata(old["metadata"]),
        "spec": convert_registry_spec(old["spec"]),
    }


def convert_registry_spec(old: Mapping[str, Any]) -> Document:
    """Convert the spec of a Registry."""
    spec: Document = {}
    for key, value in old.items():
        if key != "neverContactSource":
            spec[key] = value
        elif value:
            spec["mirrorSourcePolicy"] = "NeverContactSource"
    return spec


def convert_metadata(old: Mapping[str, Any]) -> Document:
    """Convert the names of fields that field managers own.

    The key is `managedFields` in the change log, `managed_fields` in `registries.rest`.
    """
    metadata = dict(old)
    for key in {"managedFields", "managed_fields"} & metadata.keys():
        text = json.dumps(metadata[key])
        text = text.replace('"f:neverContactSource"', '"f:mirrorSourcePolicy"')
        metadata[key] = json.loads(text)
    return metadata


def convert_health_report(old: Mapping[str, Any]) -> Document:
    """Convert a worker's report on a registry."""
    return {
        "health": HEALTH.get(old["health"], old["health"]),
        "since": old["since"],
        "requestsInFlight": old["inFlight"],
        "requestsQueued": old["waiting"],
        "concurrency": old["limit"],
        "circuitState": CIRCUIT_STATES[old["breaker"]],
        "openUntilTime": old["until"],
        "cooldownEndTime": old["limitedUntil"],
        "quotas": [
            {("resetTime" if key == "resets" else key): value for key, value in each.items()}
            for each in old["quotas"]
        ],
        "lastError": old["lastError"],
    }


def failure_reason(code: str) -> str:
    """Return the reason of a failed check by its error code, `Failed` for an unknown code."""
    for prefix, reason in (
        ("auth.secret", "InternalError"),
        ("auth.bad_token", "InternalError"),
        ("auth.", "Unauthorized"),
        ("notfound.blob", "InternalError"),
        ("notfound.", "NotFound"),
        ("policy.blocked", "Forbidden"),
        ("deadline", "Timeout"),
    ):
        if code.startswith(prefix):
            return reason
    registry_errors = (
        *("net.", "http.", "tls.", "protocol.", "content."),
        *("ratelimit.", "circuit.", "policy.", "ref."),
    )
    return "InternalError" if code.startswith(registry_errors) else "Failed"
