"""What `kubectl explain` says of registries."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, Words

REGISTRY_WORDS: Words = {
    "Registry": {
        "": (
            "Registry is what the operator says of a registry, and how the registry is. Each one "
            "that scheduled tags come from has an object by itself. A change counts from the next "
            "import on; nothing is restarted. What the spec leaves out stays as the server's "
            "settings have it."
        ),
        "metadata": OBJECT_META,
        "spec": "How the registry is to be treated.",
        "status": (
            "How the registry is. Worked out when it is read and ignored when written; a change "
            "of it gives the object no new version and wakes no watch."
        ),
    },
    "RegistrySpec": {
        "": "RegistrySpec is how a registry is to be treated.",
        "host": (
            "The registry: host or host:port; a part of it: host/path; or many: *.domain. If "
            "empty, the object's name. It never changes, and only one object speaks for it. Of "
            "several that fit the narrowest counts."
        ),
        "blocked": "If true, nothing is asked there. If false, it is open in a blocked domain.",
        "insecure": (
            "If true, its certificate is not verified and plain http may be tried. If false, not "
            "even where a wider scope is insecure."
        ),
        "mirrors": "Where its content is asked for first, in this order.",
        "neverContactSource": "If true, only the mirrors are asked.",
        "rate": "How many scheduled checks a second it gets at most; 0 for no limit.",
        "concurrency": "How many requests may be in flight at most, from 1 to 32.",
        "suspended": "If true, none of its tags is looked at by the clock. People may import.",
        "interval": (
            "How often its scheduled tags are looked at that ask for no interval themselves, such "
            "as 30m or 6h."
        ),
    },
    "RegistryMirror": {
        "": "RegistryMirror is where a registry's content may be had as well.",
        "location": "The mirror: host or host:port, with a path where the content lies below one.",
        "kind": "What it is asked for: digest, tag, or both if empty.",
    },
    "RegistryStatus": {
        "": "RegistryStatus is how a registry is, as the workers tell every few seconds.",
        "health": (
            "Healthy; Limited, while it refuses us or its quota is nearly used up; Down, while it "
            "does not answer; Unknown, if no worker has told of it for a minute."
        ),
        "inFlight": "How many requests are in flight.",
        "waiting": "How many requests wait for their turn.",
        "limit": "How many requests may be in flight at the moment.",
        "rate": "How many scheduled checks a second it gets at most; 0 for no limit.",
        "breaker": "Whether requests are kept away because it does not answer.",
        "quotas": "What it said of its quotas.",
        "limitedUntil": "When the last of its refusals (429) is over.",
        "tagsFollowed": "How many tags the calendar has of it.",
        "tagsPending": "How many of those are due and were not looked at yet.",
        "lastError": "The last failure that speaks against it.",
        "lastSeen": "When a worker last told of it.",
        "conditions": "Healthy is True, False or Unknown, with the reason.",
    },
    "RegistryBreaker": {
        "": "RegistryBreaker is whether requests to a registry are kept away.",
        "state": "closed; open, while they are; or half-open, while one is tried.",
        "until": "When the next one is tried.",
    },
    "RegistryQuota": {
        "": "RegistryQuota is what a registry said of a quota.",
        "credential": "Whose quota: anonymous, or an opaque id of a pull secret.",
        "limit": "How many pulls the quota has.",
        "remaining": "How many of them are left.",
        "resets": "When there are more, as far as it is known.",
    },
}
