"""What the API refuses a client, beside the errors of `models/errors.py` (`api.md` C4).

BadRequestError                400    UnauthorizedError              401
ForbiddenPathError             403    NoSuchResourceError            404
MethodNotAllowedError          405    NotAcceptableError             406
ExpiredError                   410    TooLargeError                  413
UnsupportedMediaTypeError      415    InvalidPatchError              422
TooManyRequestsError           429    ServerTimeoutError             500
UnavailableError               503    RequestTimeoutError            504

What a server told the command line: ServerRefusedError, as it answered, and ServerAwayError.
ApplyConflictError             409
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.errors import IMAGE_GROUP, TagstreamError


class _RefusalError(TagstreamError):
    """A refusal whose text is the whole message. `extra` becomes the Status's details."""

    def __init__(self, text: str, extra: dict[str, Any] | None = None) -> None:
        super().__init__(text, code=self.reason.lower())
        self.extra = extra

    def details(self) -> dict[str, Any] | None:
        return self.extra


class BadRequestError(_RefusalError):
    reason = "BadRequest"
    http = 400


class UnauthorizedError(_RefusalError):
    reason = "Unauthorized"
    http = 401

    def __init__(self, text: str = "Unauthorized") -> None:
        super().__init__(text)


class ForbiddenPathError(_RefusalError):
    """A path that is no resource (`api.md` D.1)."""

    reason = "Forbidden"
    http = 403

    def __init__(self, text: str) -> None:
        super().__init__(text, {})


class NoSuchResourceError(_RefusalError):
    reason = "NotFound"
    http = 404

    def __init__(self) -> None:
        super().__init__("the server could not find the requested resource", {})


class MethodNotAllowedError(_RefusalError):
    reason = "MethodNotAllowed"
    http = 405

    def __init__(
        self,
        text: str = "the server does not allow this method on the requested resource",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text, extra or {})


class NotAcceptableError(_RefusalError):
    reason = "NotAcceptable"
    http = 406

    def __init__(self, text: str) -> None:
        super().__init__(text, {})


class ExpiredError(_RefusalError):
    """What was asked for is no longer kept. `again` is a fresh continue token, if there is one."""

    reason = "Expired"
    http = 410

    def __init__(self, text: str, *, again: str = "") -> None:
        super().__init__(text)
        self.again = again


class TooLargeError(_RefusalError):
    reason = "RequestEntityTooLarge"
    http = 413


class UnsupportedMediaTypeError(_RefusalError):
    reason = "UnsupportedMediaType"
    http = 415


class InvalidPatchError(_RefusalError):
    """A patch that cannot be carried out, or that leads nowhere (`api.md` C8)."""

    reason = "Invalid"
    http = 422

    def __init__(
        self,
        text: str = "the server rejected our request due to an error in our request",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text, extra or {})


class ApplyConflictError(_RefusalError):
    """Fields that somebody applies are another manager's; `conflicts` are owner and field (C9)."""

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
            lines = [
                line
                for owner in sorted(fields)
                for line in (f"conflicts with {owner}:", *(f"- {each}" for each in fields[owner]))
            ]
            text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field}
            for owner, field in conflicts
        ]
        super().__init__(text, {"causes": causes})


class TooManyRequestsError(_RefusalError):
    """`retry_after` in whole seconds goes out as a header too."""

    reason = "TooManyRequests"
    http = 429

    def __init__(self, text: str, *, retry_after: int = 1) -> None:
        super().__init__(text, {"retryAfterSeconds": retry_after})
        self.retry_after = retry_after


class ServerTimeoutError(_RefusalError):
    """We tried often enough; the client may try again (`api.md` C4)."""

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


class UnavailableError(_RefusalError):
    reason = "ServiceUnavailable"
    http = 503
    transient = True


class RequestTimeoutError(_RefusalError):
    """`Timeout: …`; `causes` as in a Status."""

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
    """A tagstream server's own refusal, as the command line was told; its Status has the words."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.answered = str(status.get("reason") or "")
        super().__init__(str(status.get("message") or "the server refused"), code="server.refused")


class ServerAwayError(TagstreamError):
    """The server of a kubeconfig cannot be reached, or did not answer in time."""

    reason = "ServiceUnavailable"
    http = 503
    transient = True

    def __init__(self, text: str) -> None:
        super().__init__(text, code="server.away")
