"""The audit line: who did what to which object, and how it ended. One for every mutation.

It is written at whatever log level the operator chose, refusals included. Names come from
strangers, so they are cut and cannot drive a terminal.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

from api.request.request_info import Target
from models.access.builtin_roles import AUTHENTICATION, AUTHORIZATION
from models.access.rbac import Caller

# Level 0: a WARNING or ERROR log still carries the audit.
audit = structlog.wrap_logger(
    None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET)
)
_CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_MOST = 300


def is_mutation(verb: str, target: Target) -> bool:
    """Whether that changes anything: a review only asks."""
    return verb in _CHANGES and target.group not in {AUTHENTICATION, AUTHORIZATION}


def record_mutation(
    caller: Caller,
    verb: str,
    target: Target,
    *,
    code: int,
    audit_id: str,
    dry_run: bool = False,
    peer: str = "",
    reason: str = "",
) -> None:
    """Write the line; nothing is written for what changes nothing."""
    if not is_mutation(verb, target):
        return
    facts: dict[str, Any] = {
        "user": caller.user,
        "impersonator": caller.impersonator,
        "verb": verb,
        "resource": f"{target.full_resource}.{target.group}"
        if target.group
        else target.full_resource,
        "namespace": target.namespace,
        "name": target.name,
        "dry_run": dry_run,
        "peer": peer,
    }
    shown = {key: _clean(value) for key, value in facts.items() if value}
    outcome = "done" if code < 400 else "refused" if code < 500 else "failed"
    if reason:
        shown["reason"] = _clean(reason)
    audit.info("audit", **shown, outcome=outcome, code=code, audit_id=audit_id)


def _clean(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in value[:_MOST]
    )
