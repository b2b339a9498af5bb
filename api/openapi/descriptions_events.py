"""What `kubectl explain` says of events."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, Words

EVENT_WORDS: Words = {
    "Event": {
        "": (
            "Event is something that happened to an object, such as a tag that moved or an import "
            "that failed. Equal events within an hour are counted as one; after a day they are "
            "forgotten."
        ),
        "metadata": OBJECT_META,
        "involvedObject": "The object that the event is about.",
        "reason": "What happened, in one word for programs, such as TagMoved or ImportFailed.",
        "message": "What happened, for people.",
        "source": "Who told it.",
        "firstTimestamp": "When it happened first.",
        "lastTimestamp": "When it happened last.",
        "count": "How often it happened.",
        "type": "Normal, or Warning where somebody should look.",
        "eventTime": "Not used; see firstTimestamp and lastTimestamp.",
        "reportingComponent": "Who told it, once more.",
        "reportingInstance": "Not used.",
    },
    "EventSource": {
        "": "EventSource is who told an event.",
        "component": "The program.",
        "host": "The machine; not used.",
    },
}
