"""All errors of tagstream, and the Kubernetes Status that each failure becomes.

TagstreamError                        InternalError 500
├── UsageError                        BadRequest 400      a user's input cannot be used
├── InvalidReferenceError             Invalid 422         `ref.*`, `content.unsupported_digest`
├── InvalidObjectError                Invalid 422         field errors, with causes
├── ForbiddenError                    Forbidden 403
├── NotFoundError                     NotFound 404
├── AlreadyExistsError                AlreadyExists 409
├── StreamConflictError               Conflict 409
├── StoreError                        InternalError 500
│   └── StoreUnavailableError         InternalError 500   a retry may succeed
├── DeadlineError                     Timeout 504         our own time limit expired first
├── JobCancelledError                 Conflict 409
├── LeaseLostError                    Conflict 409        another worker has taken the job over
├── RegistryBlockedError              Forbidden 403       `policy.blocked`
├── …                                 models/api_errors.py  refusals of the API and of servers
└── RegistryError                     InternalError 500   has reference, text and code
    ├── ManifestUnknownError          NotFound 404        `notfound.*`
    ├── RegistryDeniedError           Unauthorized 401    `auth.*`
    ├── TransientRegistryError        `net.*`, `http.5xx`, `circuit.open`
    │   └── RateLimitedError          `ratelimit.*`, has retry_after
    ├── EgressRefusedError            `policy.*`
    ├── TlsError                      `tls.*`
    ├── ProtocolError                 `protocol.*`
    └── ContentError                  `content.*`

A message says what failed, where, and what to do next; never a secret, token or URL query.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

IMAGE_GROUP = "image.openshift.io"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field of an object, with a Kubernetes cause reason (api-4.4, imports-2.3)."""

    field: str
    reason: str
    message: str

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> FieldError:
        return cls(field, "FieldValueInvalid", f"Invalid value: {render_value(value)}: {detail}")

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        return cls(field, "FieldValueRequired", f"Required value{detail and ': '}{detail}")

    @classmethod
    def forbidden(cls, field: str, detail: str) -> FieldError:
        return cls(field, "FieldValueForbidden", f"Forbidden: {detail}")

    @classmethod
    def not_found(cls, field: str, value: str) -> FieldError:
        return cls(field, "FieldValueNotFound", f'Not found: "{value}"')

    @classmethod
    def not_supported(cls, field: str, value: object, *supported: str) -> FieldError:
        known = ", ".join(f'"{each}"' for each in supported)
        text = f"Unsupported value: {render_value(value)}: supported values: {known}"
        return cls(field, "FieldValueNotSupported", text)

    @classmethod
    def too_long(cls, field: str, max_bytes: int) -> FieldError:
        return cls(field, "FieldValueTooLong", f"Too long: may not be more than {max_bytes} bytes")

    @classmethod
    def internal(cls, field: str, text: str) -> FieldError:
        return cls(field, "InternalError", f"Internal error: {text}")

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def render_value(value: object) -> str:
    """Format a value as Kubernetes field errors print it: text quoted, any other value as JSON."""
    if value is None or isinstance(value, bool | int | list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f'"{value}"'


class TagstreamError(Exception):
    """The root. `reason` and `http` are those of the Status; `code` is our own dotted code."""

    reason: ClassVar[str] = "InternalError"
    http: ClassVar[int] = 500
    transient: ClassVar[bool] = False

    def __init__(self, text: str, *, code: str = "internal") -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    @property
    def message(self) -> str:
        """Return the message of the Status."""
        if self.reason == "InternalError":
            return f"Internal error occurred: {self.text}"
        return self.text

    def details(self) -> dict[str, Any] | None:
        if self.reason == "InternalError":
            return {"causes": [{"message": self.message.removeprefix("Internal error occurred: ")}]}
        return None


class UsageError(TagstreamError):
    reason = "BadRequest"
    http = 400

    def __init__(self, text: str) -> None:
        super().__init__(text, code="usage")


class InvalidReferenceError(TagstreamError):
    """A reference that does not match the grammar, with the exact upstream text (imports-1.2)."""

    reason = "Invalid"
    http = 422

    def __init__(self, text: str, *, code: str = "ref.invalid") -> None:
        super().__init__(text, code=code)


class InvalidObjectError(TagstreamError):
    """One or more fields of an object are invalid (imports-2.3, api-4.5)."""

    reason = "Invalid"
    http = 422

    def __init__(
        self, *, kind: str, name: str, errors: Sequence[FieldError], group: str = IMAGE_GROUP
    ) -> None:
        self.kind, self.name, self.group = kind, name, group
        self.errors = tuple(dict.fromkeys(errors))
        rendered = [str(error) for error in self.errors]
        body = rendered[0] if len(rendered) == 1 else f"[{', '.join(rendered)}]"
        qualified = f"{kind}.{group}" if group else kind
        super().__init__(f'{qualified} "{name}" is invalid: {body}', code="invalid")

    def details(self) -> dict[str, Any]:
        causes = [
            {"reason": error.reason, "message": error.message, "field": error.field}
            for error in self.errors
        ]
        return _details(self.name, self.group, self.kind) | {"causes": causes}


class _NamedError(TagstreamError):
    """An error about one object: `resource` is its plural (or the kind that `oc` expects)."""

    def __init__(self, text: str, *, resource: str, name: str, group: str = IMAGE_GROUP) -> None:
        super().__init__(text, code=self.reason.lower())
        self.resource, self.name, self.group = resource, name, group

    def details(self) -> dict[str, Any]:
        return _details(self.name, self.group, self.resource)


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    """Return the details of a Status, without those that are empty (api-4.1)."""
    return {k: v for k, v in (("name", name), ("group", group), ("kind", kind)) if v}


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


class NotFoundError(_NamedError):
    reason = "NotFound"
    http = 404

    def __init__(self, *, resource: str, name: str, group: str = IMAGE_GROUP) -> None:
        text = f'{_qualified(resource, group)} "{name}" not found'
        super().__init__(text, resource=resource, name=name, group=group)


class AlreadyExistsError(_NamedError):
    reason = "AlreadyExists"
    http = 409

    def __init__(self, *, resource: str, name: str, group: str = IMAGE_GROUP) -> None:
        text = f'{_qualified(resource, group)} "{name}" already exists'
        super().__init__(text, resource=resource, name=name, group=group)


class ForbiddenError(_NamedError):
    reason = "Forbidden"
    http = 403

    def __init__(self, detail: str, *, resource: str, name: str, group: str = IMAGE_GROUP) -> None:
        subject = _qualified(resource, group) + (f' "{name}"' if name else "")
        text = f"{subject} is forbidden: {detail}"
        super().__init__(text, resource=resource, name=name, group=group)


class StreamConflictError(_NamedError):
    """The object was changed after it was read; nothing was written."""

    reason = "Conflict"
    http = 409

    def __init__(
        self, detail: str, *, name: str, resource: str = "imagestream", group: str = IMAGE_GROUP
    ) -> None:
        text = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {detail}'
        super().__init__(text, resource=resource, name=name, group=group)


class StoreError(TagstreamError):
    """The database refused or is unavailable; SQLAlchemy's message goes to the log only."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="store")


class StoreUnavailableError(StoreError):
    """The database is busy, locked or unreachable: the same operation may succeed on a retry."""

    transient = True


class DeadlineError(TagstreamError):
    reason = "Timeout"
    http = 504
    transient = True

    def __init__(self, text: str) -> None:
        super().__init__(text, code="deadline")


class JobCancelledError(TagstreamError):
    reason = "Conflict"
    http = 409

    def __init__(self, text: str = "the job was cancelled") -> None:
        super().__init__(text, code="job.cancelled")


class LeaseLostError(TagstreamError):
    """Another worker has taken the job over and will finish it; nothing was written."""

    reason = "Conflict"
    http = 409

    def __init__(self, text: str = "another worker has taken the job over") -> None:
        super().__init__(text, code="job.lease_lost")


class RegistryBlockedError(TagstreamError):
    """The operator blocked this registry; no request was sent (imports-2.17, imports-4.8)."""

    reason = "Forbidden"
    http = 403

    def __init__(self, registry: str) -> None:
        super().__init__(f"forbidden: registry {registry} blocked", code="policy.blocked")

    def details(self) -> dict[str, Any]:
        return {}


class RegistryError(TagstreamError):
    """A failed request to a registry. `reference` is the normalized reference that was requested.

    Where it is empty, the text stands alone (imports-3.27, imports-4.1, imports-4.9).
    """

    def __init__(self, text: str, *, code: str, reference: str = "") -> None:
        super().__init__(text, code=code)
        self.reference = reference

    def __str__(self) -> str:
        return f"{self.reference}: {self.text}" if self.reference else self.text

    def with_reference(self, reference: str) -> Self:
        """Return a copy for another reference; the original may be shared by several targets."""
        copied = type(self).__new__(type(self), *self.args)
        copied.args = self.args
        copied.__dict__.update(self.__dict__)
        copied.reference = reference
        copied.__cause__ = self
        return copied

    @property
    def message(self) -> str:
        return f"Internal error occurred: {self}"


class ManifestUnknownError(RegistryError):
    """The registry returned 404 for a manifest or a tag list (imports-4.2)."""

    reason = "NotFound"
    http = 404

    def __init__(self, text: str = "", *, code: str = "notfound.tag", reference: str = "") -> None:
        super().__init__(text, code=code, reference=reference)

    @property
    def message(self) -> str:
        return f'dockerimage.{IMAGE_GROUP} "{self.reference}" not found'

    def details(self) -> dict[str, Any]:
        return {"name": self.reference, "group": IMAGE_GROUP, "kind": "dockerimage"}


class RegistryDeniedError(RegistryError):
    """The registry refused the credential, or requires one (imports-4.2, imports-4.4).

    `bad_password`: the registry or its token server reported that the password itself is wrong.
    """

    reason = "Unauthorized"
    http = 401

    def __init__(
        self,
        text: str = "",
        *,
        code: str = "auth.required",
        reference: str = "",
        bad_password: bool = False,
    ) -> None:
        super().__init__(text, code=code, reference=reference)
        self.bad_password = bad_password

    @property
    def message(self) -> str:
        if self.bad_password:
            return f'incorrect username or password for image "{self.reference}"'
        return f'you may not have access to the container image "{self.reference}"'

    def details(self) -> dict[str, Any] | None:
        return None


class TransientRegistryError(RegistryError):
    """A retry may succeed: connection resets, timeouts, 5xx, an open circuit breaker."""

    transient = True


class RateLimitedError(TransientRegistryError):
    """The registry returned 429. `retry_after` is in seconds, None where it gave no time."""

    def __init__(
        self,
        text: str,
        *,
        code: str = "ratelimit.quota",
        reference: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text, code=code, reference=reference)
        self.retry_after = retry_after


class EgressRefusedError(RegistryError):
    """The egress policy refused an address, port, scheme or URL (registry-26.3, registry-26.9)."""


class TlsError(RegistryError):
    """The certificate is not trusted (the text has `x509`), or the server has no TLS."""


class ProtocolError(RegistryError):
    """A response that the OCI distribution specification does not allow."""


class ContentError(RegistryError):
    """Content that is too large, ambiguous, or not what its media type declares."""


def status_of(error: BaseException) -> dict[str, Any]:
    """Return the metav1 Status of a failure; nothing else makes one of an exception (imports-4.1).

    An exception that is not ours becomes InternalError with the name of its class only.
    """
    if not isinstance(error, TagstreamError):
        error = TagstreamError(f"unexpected {type(error).__name__}")
    status: dict[str, Any] = {
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
    }
    details = error.details()
    if details is not None:
        status["details"] = details
    status["code"] = error.http
    return status
