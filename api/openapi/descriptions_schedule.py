"""What `kubectl explain` says of the calendar."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, Words

SCHEDULE_WORDS: Words = {
    "ScheduledTag": {
        "": (
            "ScheduledTag is a tag in the calendar: when it is looked at, and what was decided "
            "about it last. Its name is the stream's name, a colon, and the tag. It is only to be "
            "read; annotate the stream or its tag to change it."
        ),
        "metadata": OBJECT_META,
        "spec": "What is looked at, and how often.",
        "status": "What was decided last, and what comes next.",
    },
    "ScheduledTagSpec": {
        "": "ScheduledTagSpec is what is looked at, and how often.",
        "stream": "The name of the stream.",
        "tag": "The tag of the stream.",
        "registry": "The registry that the tag comes from.",
        "source": "The pull spec that the tag follows.",
        "interval": "How often the tag is looked at, such as 15m0s; empty if only tried again.",
        "intervalSeconds": "The same in seconds.",
        "scheduled": (
            "Whether the tag is to be looked at regularly. If false, its last import failed and is "
            "tried again."
        ),
        "suspended": "Whether an annotation of the stream or the tag asks for a rest.",
    },
    "ScheduledTagStatus": {
        "": "ScheduledTagStatus is what was decided about a tag last, and what comes next.",
        "decision": (
            "The last decision: new, checking, same, moved, failed, waited (for the registry's "
            "budget), limited (by the registry), down (the registry does not answer) or suspended."
        ),
        "reason": "Why, as the code of an error.",
        "message": "Why, in a sentence.",
        "due": "When the tag's turn is.",
        "nextLook": "When that is seen to: later than due if the tag waits for something.",
        "checked": "When the registry was last asked about the tag.",
        "decided": "When the decision was made.",
        "failures": "How many looks in a row failed.",
        "waitedSeconds": "How long the last look waited for its registry.",
        "latenessSeconds": "How long the tag's turn has been due by now.",
    },
}
