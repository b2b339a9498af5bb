"""The texts of `kubectl explain` for the schedule."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, FieldDescriptions

SCHEDULE_DESCRIPTIONS: FieldDescriptions = {
    "ScheduledTag": {
        "": (
            "ScheduledTag is a tag of the schedule: when it is checked, the outcome of the last "
            "check, and its present state. Its name is the stream's name, a colon, and the tag. It "
            "is read-only; annotate the stream or its tag to change it."
        ),
        "metadata": OBJECT_META,
        "spec": "What is checked, and how often.",
        "status": "The outcome of the last check, and the next one.",
    },
    "ScheduledTagSpec": {
        "": "ScheduledTagSpec is what is checked, and how often.",
        "stream": "The name of the stream.",
        "tag": "The tag of the stream.",
        "registry": "The registry that the tag comes from.",
        "source": "The pull spec that the tag follows.",
        "interval": "The check interval, such as 15m0s; empty if only a failure is retried.",
        "scheduled": (
            "Whether the tag is checked regularly. If false, its last import failed and is retried."
        ),
        "suspended": "Whether an annotation of the stream or the tag suspends checks.",
    },
    "ScheduledTagStatus": {
        "": "ScheduledTagStatus is the outcome of the last check, and when the next one is.",
        "outcome": (
            "The outcome of the last check: new, updated, unchanged or failed; empty before the "
            "first check. It stays while later checks are deferred."
        ),
        "reason": (
            "The present state as a CamelCase word: Pending (never checked), Checking, Unchanged, "
            "Updated, Deferred (by the limits of its registry), RateLimited (by the registry), "
            "CircuitOpen (the registry does not respond), Suspended; or the reason of a failure, "
            "such as NotFound or Unauthorized."
        ),
        "message": "The present state as a sentence.",
        "scheduledTime": "When the check is due.",
        "nextCheckTime": "When the check is to be sent: later than due if it is deferred.",
        "lastCheckTime": "When the tag was last checked at its registry.",
        "lastTransitionTime": "When the reason last changed.",
        "consecutiveFailures": "The number of consecutive failed checks.",
        "waitDuration": "How long the last check waited for its registry, such as 43s.",
        "lateness": "How long the check has been due, such as 1m30s.",
    },
}
