"""The texts of `kubectl explain` for registries."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, FieldDescriptions

REGISTRY_DESCRIPTIONS: FieldDescriptions = {
    "Registry": {
        "": (
            "Registry is the policy of a registry, and its status. The server creates one for each "
            "registry that scheduled tags come from. A change applies from the next import on; "
            "nothing is restarted. The server's settings apply to fields that the spec omits."
        ),
        "metadata": OBJECT_META,
        "spec": "The policy of the registry.",
        "status": (
            "The observed state of the registry. Computed when it is read and ignored when "
            "written; a change of it gives the object no new version and notifies no watch."
        ),
    },
    "RegistrySpec": {
        "": "RegistrySpec is the policy of a registry.",
        "host": (
            "The registry: host or host:port; a part of it: host/path; or many: *.domain. If "
            "empty, the object's name. It never changes, and only one object may cover it. Of "
            "several that match, the narrowest applies."
        ),
        "blocked": (
            "If true, no request is sent to it. If false, it is allowed in a blocked domain."
        ),
        "insecure": (
            "If true, its certificate is not verified and plain http may be used. If false, not "
            "even where a wider scope is insecure."
        ),
        "mirrors": "The locations that are requested before it, in this order.",
        "mirrorSourcePolicy": (
            "AllowContactingSource: the registry is requested after its mirrors, also if omitted. "
            "NeverContactSource: only the mirrors are."
        ),
        "rate": "The maximum number of scheduled checks a second; 0 for no limit.",
        "concurrency": "The maximum number of requests in flight, from 1 to 32.",
        "suspended": "If true, no scheduled check is sent to it. Users may import.",
        "interval": (
            "The check interval of its scheduled tags that request no interval themselves, such as "
            "30m or 6h."
        ),
    },
    "RegistryMirror": {
        "": "RegistryMirror is a location that has a registry's content as well.",
        "location": "The mirror: host or host:port, with a path where the content lies below one.",
        "kind": "The kind of reference that it serves: digest, tag, or both if empty.",
    },
    "RegistryStatus": {
        "": "RegistryStatus is the observed state of a registry, reported by workers.",
        "health": (
            "Healthy; RateLimited, while it limits requests or its quota is nearly used up; "
            "Unreachable, while it does not respond; Unknown, if no worker has reported on it for "
            "a minute."
        ),
        "requestsInFlight": "The number of requests in flight.",
        "requestsQueued": "The number of requests that wait for one of those to end.",
        "concurrency": "The current limit of requests in flight.",
        "rate": "The limit of scheduled checks a second; 0 for no limit.",
        "circuitBreaker": "The state of the circuit breaker.",
        "quotas": "The quotas that the registry reported.",
        "cooldownEndTime": "When the last of its rate limits (429) ends.",
        "tagsScheduled": "The number of scheduled tags that come from it.",
        "tagsOverdue": "The number of those that are due and not checked yet.",
        "lastError": "The last error of the registry.",
        "lastReportTime": "When a worker last reported on it.",
        "conditions": "Healthy is True, False or Unknown, with the reason.",
    },
    "RegistryCircuitBreaker": {
        "": "RegistryCircuitBreaker is the state of a registry's circuit breaker.",
        "state": (
            "Closed; Open, while no request is sent; or HalfOpen, while one request is sent to "
            "probe the registry."
        ),
        "openUntilTime": "When the next probe is sent.",
    },
    "RegistryQuota": {
        "": "RegistryQuota is a quota that a registry reported.",
        "credential": "The owner of the quota: anonymous, or an opaque id of a pull secret.",
        "limit": "The number of pulls of the quota.",
        "remaining": "The number of pulls that are left.",
        "resetTime": "When the quota is reset, as far as it is known.",
    },
}
