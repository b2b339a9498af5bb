"""Errors of the HTTP API beside those of `models/errors.py`, each with its code (api-4.2, api-4.3).

TagstreamError                     models/errors.py
├── _ApiRefusalError               the API refuses a request
│   ├── BadRequestError            400 BadRequest
│   ├── UnauthorizedError          401 Unauthorized
│   ├── ForbiddenPathError         403 Forbidden
│   ├── NoSuchResourceError        404 NotFound
│   ├── MethodNotAllowedError      405 MethodNotAllowed
│   ├── NotAcceptableError         406 NotAcceptable
│   ├── ApplyConflictError         409 Conflict
│   ├── ExpiredError               410 Expired
│   ├── TooLargeError              413 RequestEntityTooLarge
│   ├── UnsupportedMediaTypeError  415 UnsupportedMediaType
│   ├── InvalidPatchError          422 Invalid
│   ├── TooManyRequestsError       429 TooManyRequests
│   ├── ServerTimeoutError         500 ServerTimeout
│   ├── UnavailableError           503 ServiceUnavailable
│   └── RequestTimeoutError        504 Timeout
├── ServerRefusedError             the command line received a failure from a server
└── ServerUnreachableError         the command line cannot reach a server
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.errors import IMAGE_GROUP, TagstreamError


class _ApiRefusalError(TagstreamError):
    """A refusal whose text is the whole message. `extra` becomes the details of the Status."""

    def __init__(self, text: str, extra: dict[str, Any] | None = None) -> None:
        super().__init__(text, code=self.reason.lower())
        self.extra = extra

    def details(self) -> dict[str, Any] | None:
        return self.extra


class BadRequestError(_ApiRefusalError):
    reason = "BadRequest"
    http = 400


class UnauthorizedError(_ApiRefusalError):
    reason = "Unauthorized"
    http = 401

    def __init__(self, text: str = "Unauthorized") -> None:
        super().__init__(text)


class ForbiddenPathError(_ApiRefusalError):
    """The caller may not request this path, which is not a resource (api-16.3)."""

    reason = "Forbidden"
    http = 403

    def __init__(self, text: str) -> None:
        super().__init__(text, {})


class NoSuchResourceError(_ApiRefusalError):
    reason = "NotFound"
    http = 404

    def __init__(self) -> None:
        super().__init__("the server could not find the requested resource", {})


class MethodNotAllowedError(_ApiRefusalError):
    reason = "MethodNotAllowed"
    http = 405

    def __init__(
        self,
        text: str = "the server does not allow this method on the requested resource",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text, extra or {})


class NotAcceptableError(_ApiRefusalError):
    reason = "NotAcceptable"
    http = 406

    def __init__(self, text: str) -> None:
        super().__init__(text, {})


class ExpiredError(_ApiRefusalError):
    """The requested resource version or page is no longer stored.

    `again` is a new continue token, or empty.
    """

    reason = "Expired"
    http = 410

    def __init__(self, text: str, *, again: str = "") -> None:
        super().__init__(text)
        self.again = again


class TooLargeError(_ApiRefusalError):
    reason = "RequestEntityTooLarge"
    http = 413


class UnsupportedMediaTypeError(_ApiRefusalError):
    reason = "UnsupportedMediaType"
    http = 415


class InvalidPatchError(_ApiRefusalError):
    """A patch that cannot be applied, or whose result is not a valid object (api-7.2)."""

    reason = "Invalid"
    http = 422

    def __init__(
        self,
        text: str = "the server rejected our request due to an error in our request",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text, extra or {})


class ApplyConflictError(_ApiRefusalError):
    """Applied fields belong to other field managers; `conflicts` are pairs of owner and field
    (api-8.5).
    """

    reason = "Conflict"
    http = 409

    def __init__(self, conflicts: Sequence[tuple[str, str]]) -> None:
        fields: dict[str, list[str]] = {}
        for owner, field in conflicts:
            fields.setdefault(owner, []).append(field)
        if len(conflicts) == 1:
            owner, field = conflicts[0]
            text = f"Apply failed with 1 conflict: conflict with {owner}: {field}"
        else:
            message_parts = [
                part
                for owner in sorted(fields)
                for part in (f"conflicts with {owner}:", *(f"- {each}" for each in fields[owner]))
            ]
            text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(message_parts)
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field}
            for owner, field in conflicts
        ]
        super().__init__(text, {"causes": causes})


class TooManyRequestsError(_ApiRefusalError):
    """The client sends too many requests.

    `retry_after`, in whole seconds, is also sent as a header.
    """

    reason = "TooManyRequests"
    http = 429

    def __init__(self, text: str, *, retry_after: int = 1) -> None:
        super().__init__(text, {"retryAfterSeconds": retry_after})
        self.retry_after = retry_after


class ServerTimeoutError(_ApiRefusalError):
    """The write lost every attempt against other writers; the client may retry it (api-4.2,
    api-6.8).
    """

    reason = "ServerTimeout"
    http = 500
    transient = True

    def __init__(self, operation: str, *, resource: str, group: str = IMAGE_GROUP) -> None:
        text = (
            f"The {operation} operation against {resource}.{group} could not be completed at "
            "this time, please try again."
        )
        super().__init__(
            text, {"name": operation, "group": group, "kind": resource, "retryAfterSeconds": 2}
        )
        self.retry_after = 2


class UnavailableError(_ApiRefusalError):
    reason = "ServiceUnavailable"
    http = 503
    transient = True


class RequestTimeoutError(_ApiRefusalError):
    """A time limit expired: the message starts with `Timeout: `; `causes` are those of a Status."""

    reason = "Timeout"
    http = 504
    transient = True

    def __init__(
        self, text: str, *, causes: list[dict[str, str]] | None = None, retry_after: int = 1
    ) -> None:
        extra: dict[str, Any] = {"causes": causes} if causes else {}
        super().__init__(f"Timeout: {text}", extra | {"retryAfterSeconds": retry_after})
        self.retry_after = retry_after


class ServerRefusedError(TagstreamError):
    """A failure that a tagstream server returned to the command line.

    Its Status holds the message.
    """

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.server_reason = str(status.get("reason") or "")
        super().__init__(str(status.get("message") or "the server refused"), code="server.refused")


class ServerUnreachableError(TagstreamError):
    """The server of a kubeconfig cannot be reached, or did not respond in time."""

    reason = "ServiceUnavailable"
    http = 503
    transient = True

    def __init__(self, text: str) -> None:
        super().__init__(text, code="server.unreachable")
