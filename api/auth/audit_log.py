"""The audit log: who did what to which object, with what result; one entry for every mutation.

Entries are written at any configured log level, and for rejected requests too. Names come from
untrusted clients, so they are truncated and stripped of control characters, which could otherwise
control the terminal that displays the log.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

from api.request.request_info import RequestInfo
from models.access.builtin_roles import AUTHENTICATION_API_GROUP, AUTHORIZATION_API_GROUP
from models.access.rbac import Caller

# Level 0: the entries are written even if the log level is WARNING or ERROR.
audit = structlog.wrap_logger(
    None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET)
)
_MUTATING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_MAX_VALUE_LENGTH = 300


def is_mutation(verb: str, target: RequestInfo) -> bool:
    """Return whether a request changes anything: creating a review does not."""
    return verb in _MUTATING_VERBS and target.group not in {
        AUTHENTICATION_API_GROUP,
        AUTHORIZATION_API_GROUP,
    }


def record_mutation(
    caller: Caller,
    verb: str,
    target: RequestInfo,
    *,
    code: int,
    audit_id: str,
    dry_run: bool = False,
    peer: str = "",
    reason: str = "",
) -> None:
    """Write the audit entry of a request; does nothing if the request is not a mutation."""
    if not is_mutation(verb, target):
        return
    fields: dict[str, Any] = {
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
    logged_fields = {key: _sanitize(value) for key, value in fields.items() if value}
    outcome = "done" if code < 400 else "refused" if code < 500 else "failed"
    if reason:
        logged_fields["reason"] = _sanitize(reason)
    audit.info("audit", **logged_fields, outcome=outcome, code=code, audit_id=audit_id)


def _sanitize(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in value[:_MAX_VALUE_LENGTH]
    )
