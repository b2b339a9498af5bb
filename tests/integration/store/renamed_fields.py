"""The CHANGELOG's table "sync.tagstream.io/v1 renamed fields" as functions: old answer to new one.

Written apart from the migration, so that the two can be compared.
"""

PRIORITIES = {"interactive": "Interactive", "bulk": "Bulk", "scheduled": "Scheduled"}
TRIGGERS = {"user": "User", "schedule": "Schedule", "administrator": "Administrator", "api": "API"}
REASONS = {
    "new": "Pending",
    "checking": "Checking",
    "same": "Unchanged",
    "moved": "Updated",
    "waited": "Deferred",
    "limited": "RateLimited",
    "down": "CircuitOpen",
    "suspended": "Suspended",
}
# While a tag is checked, the previous version showed nothing of its last check.
HIDDEN_DECISIONS = {"mirrored:v1": "moved", "secret:v1": "same"}
FAILURES = {"notfound.tag": "NotFound", "auth.required": "Unauthorized", "": "Failed"}
HEALTH = {"Limited": "RateLimited", "Down": "Unreachable"}
CIRCUIT = {"closed": "Closed", "half-open": "HalfOpen", "open": "Open"}
CONDITIONS = {  # of a Registry: the texts of its condition
    "Answers": ("Responding", "the registry responds"),
    "RateLimited": (
        "RateLimited",
        "the registry limits requests, or its quota is nearly used up",
    ),
    "DoesNotAnswer": ("NotResponding", "the registry does not respond"),
    "NotAsked": ("NoRecentReport", "no worker has reported on the registry in the last minute"),
    "NoRegistry": (
        "NoRegistry",
        "this covers a part of a registry or several; see the objects of the registries",
    ),
}
OLD_TEXTS = {
    "the registry answers",
    "the registry limits us, or its quota is used up",
    "the registry does not answer",
    "no worker has asked the registry lately",
    "this speaks for a part of a registry or for several; see the registries themselves",
}
SELECTORS = {  # of the field selectors in the fixture
    **{f"status.decision={old}": f"status.reason={new}" for old, new in REASONS.items()},
    "status.decision=failed": "status.outcome=failed",
    **{f"spec.trigger={old}": f"spec.trigger={new}" for old, new in TRIGGERS.items()},
    **{f"status.health={old}": f"status.health={new}" for old, new in HEALTH.items()},
}


def rename(value):
    """Rename an answer of the group: an object, a list, a Table, or a line of a watch."""
    if "object" in value and "type" in value:
        return {**value, "object": rename(value["object"])}
    if value["kind"] == "Table":
        return {**value, **_rename_table(value)}
    if "items" in value:
        kind = value["kind"].removesuffix("List")
        return {**value, "items": [_rename_object(each, kind) for each in value["items"]]}
    return _rename_object(value, value["kind"])


def _rename_object(old, kind):
    renames = {
        "ImportJob": _rename_job,
        "ScheduledTag": _rename_scheduled_tag,
        "Registry": _rename_registry,
    }
    return renames[kind](old) if kind in renames else old


def _renamed_values(old, names):
    """The values under their new names; what is not in `names` is gone."""
    return {new: old[name] for name, new in names.items() if name in old}


def _rename_job(old):
    spec = {("priority" if key == "lane" else key): value for key, value in old["spec"].items()}
    spec["priority"] = PRIORITIES[spec["priority"]]
    spec["trigger"] = TRIGGERS[spec["trigger"]]
    return {**old, "spec": spec, "status": _rename_job_status(old["status"], "reimport" in spec)}


def _rename_job_status(old, is_reimport):
    unit = "jobs" if is_reimport else "tags"
    status = _renamed_values(
        old,
        {
            "state": "state",
            "done": f"{unit}Completed",
            "total": f"{unit}Total",
            "failed": "tagsFailed",
            "changed": "tagsUpdated",
            "jobsFailed": "jobsFailed",
            "attempts": "attempts",
            "started": "startTime",
            "finished": "completionTime",
            "reason": "reason",
            "message": "message",
            "additionalTags": "additionalTags",
        },
    )
    unchanged = old.get("imported", 0) - old.get("changed", 0)
    status |= {"tagsUnchanged": unchanged} if unchanged else {}
    nothing, failed = not old.get("imported"), old.get("failed", 0)
    list_failed = (
        old["state"] == "Succeeded"
        and bool(old.get("reason"))
        and old["reason"] not in {"SomeTagsFailed", "DryRun"}
    )
    if old["state"] == "Succeeded" and nothing and (failed or list_failed):
        status["state"] = "Failed"
    if old.get("reason") == "SomeTagsFailed" and nothing:
        status["reason"] = "AllTagsFailed"
    if old["state"] == "Cancelled" and old.get("reason") == "Conflict":
        status["reason"] = "Cancelled"
    if "targets" in old:
        status["targets"] = [_rename_target(each) for each in old["targets"]]
    if "requests" in old:
        names = {"registry": "registry", "requests": "minRequests", "atMost": "maxRequests"}
        names |= {"tags": "tags", "streams": "streams"}
        status["estimate"] = [_renamed_values(each, names) for each in old["requests"]]
    if "conditions" in old:
        partly = old.get("withErrors", False) and status["state"] == "Succeeded"
        types = ["Complete"] if status["state"] == "Succeeded" else ["Failed"]
        types += ["PartiallyFailed"] if partly else []
        default = "SomeTagsFailed" if partly else status["state"]
        reason = "TagListFailed" if list_failed else status.get("reason") or default
        [condition] = old["conditions"]
        status["conditions"] = [{**condition, "type": each, "reason": reason} for each in types]
    return {key: value for key, value in status.items() if key == "state" or value}


def _rename_target(old):
    names = ("source", "tag", "to", "image", "reason", "message")
    target = _renamed_values(old, {name: "streamTag" if name == "to" else name for name in names})
    outcome = "failed"
    if "image" in old:
        outcome = "updated" if old.get("changed") else "unchanged"
    return {**target, "outcome": outcome}


def _rename_scheduled_tag(old):
    spec = {key: value for key, value in old["spec"].items() if key != "intervalSeconds"}
    before = old["status"]
    status = _renamed_values(
        before,
        {
            "message": "message",
            "due": "scheduledTime",
            "nextLook": "nextCheckTime",
            "checked": "lastCheckTime",
            "decided": "lastTransitionTime",
            "failures": "consecutiveFailures",
        },
    )
    status["reason"] = _schedule_reason(before["decision"], before.get("reason", ""))
    if "checked" in before:
        decision = HIDDEN_DECISIONS.get(old["metadata"]["name"], before["decision"])
        status["outcome"] = _last_outcome(decision, before.get("failures", 0))
    if "waitedSeconds" in before:
        status["waitDuration"] = go_duration(before["waitedSeconds"])
    return {**old, "spec": spec, "status": status}


def _schedule_reason(decision, code):
    if decision != "failed":
        return REASONS[decision]
    return FAILURES.get(code, "InternalError")


def _last_outcome(decision, failures):
    if failures:
        return "failed"
    return "updated" if decision == "moved" else "unchanged"


def go_duration(seconds):
    """Seconds as Go prints them."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{seconds}s"
    text = f"{minutes}m{text}" if hours or minutes else text
    return f"{hours}h{text}" if hours else text


def _rename_registry(old):
    spec = {key: value for key, value in old["spec"].items() if key != "neverContactSource"}
    if old["spec"].get("neverContactSource"):
        spec["mirrorSourcePolicy"] = "NeverContactSource"
    renamed = {**old, "metadata": rename_metadata(old["metadata"]), "spec": spec}
    if "status" in old:
        renamed["status"] = _rename_registry_status(old["status"])
    return renamed


def rename_metadata(old):
    """Metadata with the new names of the fields that managers own."""
    return _replaced(old, "f:neverContactSource", "f:mirrorSourcePolicy")


def _replaced(value, old, new):
    if isinstance(value, dict):
        return {(new if k == old else k): _replaced(v, old, new) for k, v in value.items()}
    return [_replaced(each, old, new) for each in value] if isinstance(value, list) else value


def _rename_registry_status(old):
    status = _renamed_values(
        old,
        {
            "inFlight": "requestsInFlight",
            "waiting": "requestsQueued",
            "limit": "concurrency",
            "rate": "rate",
            "limitedUntil": "cooldownEndTime",
            "tagsFollowed": "tagsScheduled",
            "tagsPending": "tagsOverdue",
            "lastError": "lastError",
            "lastSeen": "lastReportTime",
        },
    )
    status["health"] = HEALTH.get(old["health"], old["health"])
    if "breaker" in old:
        circuit = {"state": CIRCUIT[old["breaker"]["state"]]}
        circuit |= _renamed_values(old["breaker"], {"until": "openUntilTime"})
        status["circuitBreaker"] = circuit
    if "quotas" in old:
        names = {"credential": "credential", "limit": "limit", "remaining": "remaining"}
        names["resets"] = "resetTime"
        status["quotas"] = [_renamed_values(each, names) for each in old["quotas"]]
    if "conditions" in old:
        status["conditions"] = [_rename_condition(each) for each in old["conditions"]]
    return status


def _rename_condition(old):
    if old["reason"] not in CONDITIONS:
        return old
    reason, message = CONDITIONS[old["reason"]]
    return {**old, "reason": reason} | ({"message": message} if old["message"] in OLD_TEXTS else {})


TABLES = {  # by the second column: the columns that are compared, and the new form of a cell
    "State": ("Name", "State", "Progress", "Failed", "Reason"),
    "Registry": ("Name", "Registry", "Interval", "Reason", "Failures", "Message"),
    "Host": (
        *("Name", "Host", "Health", "Rate", "In-Flight", "Quota", "Tags", "Circuit"),
        "Last-Error",
    ),
}
OLD_COLUMNS = {
    "State": ("Name", "State", "Progress", "Tags", "Age", "Duration", "Reason"),
    "Registry": (
        *("Name", "Registry", "Interval", "Last Check", "Next", "Decision", "Failures"),
        *("Reason", "Message"),
    ),
    "Host": (
        *("Name", "Host", "Health", "Rate", "In-Flight", "Quota", "Tags", "Breaker", "Age"),
        "Last-Error",
    ),
}


def _rename_table(table):
    """The rows as mappings of the columns that can be compared."""
    width = {len(names): kind for kind, names in OLD_COLUMNS.items()}
    rows = [
        {
            "cells": _rename_row(width[len(row["cells"])], row["cells"]),
            "object": row["object"]
            and {**row["object"], "metadata": rename_metadata(row["object"]["metadata"])},
        }
        for row in table["rows"]
    ]
    return {"rows": rows, "columnDefinitions": None}


def _rename_row(kind, cells):
    row = dict(zip(OLD_COLUMNS[kind], cells, strict=True))
    if kind == "State":
        done, failed = map(int, row["Tags"].split("/"))
        wholly = row["Reason"] == "SomeTagsFailed" and failed == done
        list_failed = row["State"] == "Succeeded" and row["Reason"] not in {
            *("", "SomeTagsFailed", "DryRun"),
        }
        cancelled = row["State"] == "Cancelled" and row["Reason"] == "Conflict"
        row["State"] = "Failed" if wholly or (list_failed and done == failed) else row["State"]
        row["Reason"] = "AllTagsFailed" if wholly else "Cancelled" if cancelled else row["Reason"]
        row["Failed"] = failed
    elif kind == "Registry":
        row["Reason"] = _schedule_reason(row["Decision"], row["Reason"])
    else:
        row["Health"] = HEALTH.get(row["Health"], row["Health"])
        row["Tags"] = row["Tags"].replace(" due)", " overdue)")
        row["Circuit"] = CIRCUIT.get(row["Breaker"], row["Breaker"])
    return {name: row[name] for name in TABLES[kind]}


NEW_COLUMNS = {
    9: (
        *("Name", "Stream", "State", "Progress", "Imported", "Failed", "Duration", "Created"),
        "Reason",
    ),
    10: (*OLD_COLUMNS["Host"][:7], "Circuit", "Age", "Last-Error"),
}
NEW_SCHEDULE_COLUMNS = (
    *("Name", "Registry", "Interval", "Last Check", "Next Check", "Outcome", "Reason"),
    *("Failures", "Message"),
)


def comparable_table(table, *, schedule):
    """A new Table in the form of a renamed one."""
    rows = []
    for row in table["rows"]:
        columns = NEW_SCHEDULE_COLUMNS if schedule else NEW_COLUMNS[len(row["cells"])]
        kind = "Registry" if schedule else "State" if len(columns) == 9 else "Host"
        cells = dict(zip(columns, row["cells"], strict=True))
        rows.append({**row, "cells": {name: cells[name] for name in TABLES[kind]}})
    return {**table, "rows": rows, "columnDefinitions": None}
