"""The texts of `kubectl explain` for events."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, FieldDescriptions

EVENT_DESCRIPTIONS: FieldDescriptions = {
    "Event": {
        "": (
            "Event reports something that happened to an object, such as a tag that points to a "
            "new image or an import that failed. Equal events within an hour are counted as one; "
            "events are deleted after a day."
        ),
        "metadata": OBJECT_META,
        "involvedObject": "The object that the event is about.",
        "reason": "What happened, as a CamelCase word, such as TagMoved or ImportFailed.",
        "message": "What happened, as a sentence.",
        "source": "The component that reported the event.",
        "firstTimestamp": "When it happened first.",
        "lastTimestamp": "When it happened last.",
        "count": "How often it happened.",
        "type": "Normal, or Warning for a problem.",
        "eventTime": "Not used; see firstTimestamp and lastTimestamp.",
        "reportingComponent": "The component that reported the event, as in source.",
        "reportingInstance": "Not used.",
    },
    "EventSource": {
        "": "EventSource names the component that reported an event.",
        "component": "The name of the component.",
        "host": "The host; not used.",
    },
}
