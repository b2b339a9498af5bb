"""Quotas as JSON, the form in which processes share them through Redis."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from worker.registry.limits.quotas.head_cost import HeadCost
from worker.registry.limits.quotas.quota import Quota

# Part of the key in Redis. It changes with the field names of `Quota` or `HeadCost`, so that
# processes of different versions do not share what they cannot read.
QUOTA_FORMAT_VERSION = "v2"


def format_quota(quota: Quota) -> str:
    """Return a quota as JSON."""
    return json.dumps(asdict(quota), separators=(",", ":"))


def parse_quota(text: str) -> Quota:
    """Parse the JSON of `format_quota`. Raises ValueError for any other text."""
    document = json.loads(text)
    try:
        quota = Quota(**document)
        quota.counts = {int(key): int(number) for key, number in quota.counts.items()}
        quota.recent = [
            (float(send_time), float(ended), int(reported))
            for send_time, ended, reported in quota.recent
        ]
        quota.probes = {kind: (int(a), int(b)) for kind, (a, b) in quota.probes.items()}
        quota.head_cost = _parse_head_cost(document.get("head_cost") or {})
    except (TypeError, AttributeError) as error:
        raise ValueError("not a quota") from error
    return quota


def _parse_head_cost(document: dict[str, Any]) -> HeadCost:
    cost = HeadCost(**document)
    if cost.baseline is not None:
        remaining, since, number = cost.baseline
        cost.baseline = (int(remaining), float(since), int(number))
    return cost
