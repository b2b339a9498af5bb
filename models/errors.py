"""Everything that can go wrong, and the Kubernetes Status each failure becomes.

TagstreamError                        InternalError 500
├── UsageError                        BadRequest 400      a person typed something we cannot use
├── InvalidReferenceError             Invalid 422         `ref.*`, `content.unsupported_digest`
├── InvalidObjectError                Invalid 422         field errors, with causes
├── ForbiddenError                    Forbidden 403
├── NotFoundError                     NotFound 404
├── AlreadyExistsError                AlreadyExists 409
├── StreamConflictError               Conflict 409
├── StoreError                        InternalError 500
│   └── StoreAwayError                InternalError 500   the same may succeed later
├── DeadlineError                     Timeout 504         our own time limit came first
├── JobCancelledError                 Conflict 409
├── LeaseLostError                    Conflict 409        another worker took the job over
├── RegistryBlockedError              Forbidden 403       `policy.blocked`
├── …                                 models/api_errors.py  what the API refuses, or told us
└── RegistryError                     InternalError 500   knows reference, text, code
    ├── ManifestUnknownError          NotFound 404        `notfound.*`
    ├── RegistryDeniedError           Unauthorized 401    `auth.*`
    ├── TransientRegistryError        `net.*`, `http.5xx`, `circuit.open`
    │   └── RateLimitedError          `ratelimit.*`, knows retry_after
    ├── EgressRefusedError            `policy.*`
    ├── TlsError                      `tls.*`
    ├── ProtocolError                 `protocol.*`
    └── ContentError                  `content.*`

Messages say what, where and what to do next; never a secret, a token or a URL's query.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

IMAGE_GROUP = "image.openshift.io"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field of an object (`import.md` 2.2): `reason` is a Kubernetes cause reason."""

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
    def too_long(cls, field: str, most: int) -> FieldError:
        return cls(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")

    @classmethod
    def internal(cls, field: str, text: str) -> FieldError:
        return cls(field, "InternalError", f"Internal error: {text}")

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def render_value(value: object) -> str:
    """A value as Kubernetes field errors print it: strings quoted, all else as JSON."""
    if value is None or isinstance(value, bool | int | list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f'"{value}"'


class TagstreamError(Exception):
    """The root. `reason`/`http` are the Kubernetes Status; `code` is our own dotted word."""

    reason: ClassVar[str] = "InternalError"
    http: ClassVar[int] = 500
    transient: ClassVar[bool] = False

    def __init__(self, text: str, *, code: str = "internal") -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    @property
    def message(self) -> str:
        """What the Status says."""
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
    """A reference that no grammar accepts; the text is exactly that of `import.md` 1.1."""

    reason = "Invalid"
    http = 422

    def __init__(self, text: str, *, code: str = "ref.invalid") -> None:
        super().__init__(text, code=code)


class InvalidObjectError(TagstreamError):
    """One or more fields of an object are wrong (`import.md` 2.2)."""

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
    """An error about one object: `resource` is its plural (or the kind `oc` expects there)."""

    def __init__(self, text: str, *, resource: str, name: str, group: str = IMAGE_GROUP) -> None:
        super().__init__(text, code=self.reason.lower())
        self.resource, self.name, self.group = resource, name, group

    def details(self) -> dict[str, Any]:
        return _details(self.name, self.group, self.resource)


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    """The details of a Status; what is empty is left out (`api.md` C4)."""
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
        whom = _qualified(resource, group) + (f' "{name}"' if name else "")
        text = f"{whom} is forbidden: {detail}"
        super().__init__(text, resource=resource, name=name, group=group)


class StreamConflictError(_NamedError):
    """The object moved since it was read; nothing was written."""

    reason = "Conflict"
    http = 409

    def __init__(
        self, detail: str, *, name: str, resource: str = "imagestream", group: str = IMAGE_GROUP
    ) -> None:
        text = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {detail}'
        super().__init__(text, resource=resource, name=name, group=group)


class StoreError(TagstreamError):
    """The database refused or is away; SQLAlchemy's own words stay in the log."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="store")


class StoreAwayError(StoreError):
    """The database is busy, locked or away: what failed may be tried again as it is."""

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
    """Another worker has the job and will finish it; nothing was written."""

    reason = "Conflict"
    http = 409

    def __init__(self, text: str = "another worker has taken the job over") -> None:
        super().__init__(text, code="job.lease_lost")


class RegistryBlockedError(TagstreamError):
    """The operator blocked this registry (`import.md` 2.5, 4.3); nothing was asked."""

    reason = "Forbidden"
    http = 403

    def __init__(self, registry: str) -> None:
        super().__init__(f"forbidden: registry {registry} blocked", code="policy.blocked")

    def details(self) -> dict[str, Any]:
        return {}


class RegistryError(TagstreamError):
    """A registry's answer, or its silence. `reference` is the normalised form that was asked.

    `reference` may be empty (tag lists, schema1 problems): then the text stands alone
    (`import.md` 3.7, 4.2, 4.4).
    """

    def __init__(self, text: str, *, code: str, reference: str = "") -> None:
        super().__init__(text, code=code)
        self.reference = reference

    def __str__(self) -> str:
        return f"{self.reference}: {self.text}" if self.reference else self.text

    def about(self, reference: str) -> Self:
        """The same failure told of another reference; the error itself may have other hearers."""
        twin = type(self).__new__(type(self), *self.args)
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        twin.reference = reference
        twin.__cause__ = self
        return twin

    @property
    def message(self) -> str:
        return f"Internal error occurred: {self}"


class ManifestUnknownError(RegistryError):
    """404 on a manifest or a tag list (`import.md` 4.2 rule 1, Q15)."""

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
    """401, or what means the same (`import.md` 4.2 rules 2 to 4, Q17).

    `bad_password`: the registry or its token server said the password itself was wrong.
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
    """Trying again may help: resets, timeouts, 5xx, an open circuit."""

    transient = True


class RateLimitedError(TransientRegistryError):
    """429. `retry_after` in seconds, or None where the registry named none."""

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
    """Our own policy refused: address, port, scheme, realm, link, redirect (`registry.md` 6.1)."""


class TlsError(RegistryError):
    """The certificate is not trusted (text holds `x509`), or there is no TLS at all."""


class ProtocolError(RegistryError):
    """An answer that the distribution specification does not allow."""


class ContentError(RegistryError):
    """Bytes that are too large, ambiguous, or not what their media type says."""


def status_of(error: BaseException) -> dict[str, Any]:
    """The metav1 Status of a failure: the only bridge from exceptions to Kubernetes."""
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
