"""Translation of error responses into registry errors.

Texts and reasons are those of imports-4.2, imports-4.5, imports-4.8 and imports-4.9, codes those of
registry-14.3. The status decides and the body refines (registry-14.1); its text is untrusted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from models.errors import (
    ContentError,
    ManifestUnknownError,
    ProtocolError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    TransientRegistryError,
)
from models.oci import strict_json
from worker.registry.limits.rate_limit_headers import parse_retry_after
from worker.registry.registry_types import RegistryResponse

MAX_TEXT_LENGTH = 512
MAX_WARNINGS_LENGTH = 4096
_MAX_PROBLEMS = 16
# Control characters, and those that change the direction of text (registry-14.7).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DEFAULT_MESSAGES = {
    "BLOB_UNKNOWN": "blob unknown to registry",
    "DENIED": "requested access to the resource is denied",
    "DIGEST_INVALID": "provided digest did not match uploaded content",
    "MANIFEST_BLOB_UNKNOWN": "blob unknown to registry",
    "MANIFEST_INVALID": "manifest invalid",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "MANIFEST_UNVERIFIED": "manifest failed signature verification",
    "NAME_INVALID": "invalid repository name",
    "NAME_UNKNOWN": "repository name not known to registry",
    "PAGINATION_NUMBER_INVALID": "invalid number of results requested",
    "SIZE_INVALID": "provided length did not match content length",
    "TAG_INVALID": "manifest tag did not match URI",
    "TOOMANYREQUESTS": "too many requests",
    "UNAUTHORIZED": "authentication required",
    "UNAVAILABLE": "service unavailable",
    "UNKNOWN": "unknown error",
    "UNSUPPORTED": "The operation is unsupported.",
}
_REJECTED_REFERENCE_CODES = frozenset({"NAME_INVALID", "TAG_INVALID", "DIGEST_INVALID"})
_BEARER_PROBLEMS = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
_BEARER_ERROR = re.compile(r'\berror\s*=\s*"?(invalid_token|insufficient_scope)\b', re.IGNORECASE)
_DETAIL_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
_TRANSIENT_CLIENT_STATUSES = frozenset({408, 425, 499})


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of a registry's error list, or what replaces a missing one."""

    code: str
    text: str


def error_of(
    response: RegistryResponse, *, reference: str = "", is_blob: bool = False
) -> RegistryError:
    """Return the error that a response stands for; `reference` is what was requested.

    Class and code are those of the first line that applies in registry-14.3.
    """
    status = response.status
    if status < 400:
        return _unexpected_status_error(response, reference)
    problems = parse_problems(response)
    codes = {problem.code for problem in problems}
    text = _render(problems)
    if status == 429 or "TOOMANYREQUESTS" in codes:
        return _rate_limited_error(response, codes, text, reference)
    if status >= 500 or status in _TRANSIENT_CLIENT_STATUSES:
        return _transient_error(response, text, reference)
    if is_blob and status == 404:
        return RegistryError("unknown blob", code="notfound.blob", reference=reference)
    if status == 404 or "MANIFEST_UNKNOWN" in codes:
        code = "notfound.repo" if "NAME_UNKNOWN" in codes else "notfound.tag"
        return ManifestUnknownError(text, code=code, reference=reference)
    if "UNAUTHORIZED" in codes:
        return RegistryDeniedError(text, code=_denied_code(response), reference=reference)
    return _refusal_error(response, codes, text, reference)


def _unexpected_status_error(response: RegistryResponse, reference: str) -> RegistryError:
    if response.status == 304:
        return ProtocolError("manifest not modified", code="protocol.status", reference=reference)
    code = "protocol.redirect" if 300 <= response.status < 400 else "protocol.status"
    text = f"received unexpected HTTP status: {describe_status(response.status)}"
    return ProtocolError(text, code=code, reference=reference)


def _rate_limited_error(
    response: RegistryResponse, codes: set[str], text: str, reference: str
) -> RegistryError:
    is_quota = "TOOMANYREQUESTS" in codes or "ratelimit-limit" in response.headers
    return RateLimitedError(
        text,
        code="ratelimit.quota" if is_quota else "ratelimit.abuse",
        reference=reference,
        retry_after=_retry_after(response),
    )


def _transient_error(response: RegistryResponse, text: str, reference: str) -> RegistryError:
    if response.status >= 500:
        text = f"received unexpected HTTP status: {describe_status(response.status)}"
    wait = _retry_after(response)
    if wait is None:
        return TransientRegistryError(text, code="http.5xx", reference=reference)
    return RateLimitedError(text, code="http.5xx", reference=reference, retry_after=wait)


def _refusal_error(
    response: RegistryResponse, codes: set[str], text: str, reference: str
) -> RegistryError:
    status = response.status
    if status in {401, 403} or "DENIED" in codes:
        is_web_page = status == 403 and not is_registry_answer(response)
        return RegistryError(
            text,
            code="http.blocked" if is_web_page else "auth.denied_or_missing",
            reference=reference,
        )
    if status in {406, 415}:
        return ContentError(text, code="content.unsupported_type", reference=reference)
    if status == 451:
        return RegistryError(text, code="http.legal", reference=reference)
    if status == 400 or codes & _REJECTED_REFERENCE_CODES:
        return RegistryError(text, code="ref.rejected", reference=reference)
    return ProtocolError(text, code="protocol.status", reference=reference)


def _denied_code(response: RegistryResponse) -> str:
    match _bearer_error(response):
        case "invalid_token":
            return "auth.rejected"
        case "insufficient_scope":
            return "auth.denied_or_missing"
    return "auth.required"


def _retry_after(response: RegistryResponse) -> float | None:
    return parse_retry_after(response.headers.get("retry-after"), now=time.time())


def _bearer_error(response: RegistryResponse) -> str:
    for field in response.headers.get_list("www-authenticate"):
        found = _BEARER_ERROR.search(field) if "bearer" in field.lower() else None
        if found is not None:
            return found.group(1).lower()
    return ""


def parse_problems(response: RegistryResponse) -> list[Problem]:
    """Return the errors of a response: `error=` of its challenge first, then those of its body
    (registry-14.2).
    """
    bearer_error = _bearer_error(response)
    body = _parse_body(response, strict=bool(bearer_error))
    if not bearer_error:
        return body
    code = _BEARER_PROBLEMS[bearer_error]
    return [_build_problem(code, _DEFAULT_MESSAGES[code], {}), *body]


def _parse_body(response: RegistryResponse, *, strict: bool) -> list[Problem]:
    status = response.status
    try:
        document = strict_json(response.content, duplicates="last")
    except ContentError as error:
        if status == 401 and not strict:
            return [_build_problem("UNAUTHORIZED", _DEFAULT_MESSAGES["UNAUTHORIZED"], {})]
        return [_unreadable_body_problem(response, error.text)]
    details = document.get("details") if isinstance(document, dict) else None
    if isinstance(details, str) and details:
        return [_build_problem(_DETAIL_CODES.get(status, "UNKNOWN"), details, {})]
    entries = _entries_of(document)
    if entries:
        return entries
    return [_unreadable_body_problem(response, "no error details found in HTTP response body")]


def _entries_of(document: Any) -> list[Problem]:
    errors = document.get("errors") if isinstance(document, dict) else None
    found = []
    for entry in errors[:_MAX_PROBLEMS] if isinstance(errors, list) else ():
        if isinstance(entry, dict):
            code = entry.get("code", "")
            message = entry.get("message", "")
            found.append(
                _build_problem(
                    code.upper() if isinstance(code, str) else "",
                    message if isinstance(message, str) else "",
                    entry.get("detail"),
                )
            )
    return found


def _build_problem(code: str, message: str, detail: Any) -> Problem:
    known = code in _DEFAULT_MESSAGES
    name = (code if known else "UNKNOWN").lower().replace("_", " ")
    default_message = _DEFAULT_MESSAGES[code if known else "UNKNOWN"]
    if detail is None and message in {"", default_message}:
        return Problem(code, name)
    return Problem(code, f"{name}: {plain_text(message)}".removesuffix(": "))


def _unreadable_body_problem(response: RegistryResponse, why: str) -> Problem:
    shown = plain_text(response.content[: 4 * MAX_TEXT_LENGTH].decode("utf-8", "replace"))
    return Problem("", f'error parsing HTTP {response.status} response body: {why}: "{shown}"')


def _render(problems: Sequence[Problem]) -> str:
    if len(problems) == 1:
        return problems[0].text
    return "errors:\n" + "".join(f"{problem.text}\n" for problem in problems)


def is_registry_answer(response: RegistryResponse) -> bool:
    """Return whether the body is an error document of a registry, not a proxy's web page."""
    try:
        document = strict_json(response.content, duplicates="last")
    except ContentError:
        return False
    if not isinstance(document, dict):
        return False
    return bool(_entries_of(document)) or isinstance(document.get("details"), str)


def is_registry_api(response: RegistryResponse) -> bool:
    """Return whether a response to `GET /v2/` is of a registry (imports-3.7, registry-14.5)."""
    if "docker-distribution-api-version" in response.headers:
        return True
    return 200 <= response.status < 300 or response.status in {401, 403}


def parse_warnings(response: RegistryResponse) -> tuple[str, ...]:
    """Return the texts of the registry's warnings, `Warning: 299 - "text"` (registry-2.8)."""
    if "warning" not in response.headers:
        return ()
    found, remaining_length = [], MAX_WARNINGS_LENGTH
    for field in response.headers.get_list("warning"):
        match = re.fullmatch(r'299 \S+ "((?:[^"\\]|\\.)*)".*', field.strip(), re.DOTALL)
        if match is not None and remaining_length > 0:
            text = plain_text(re.sub(r"\\(.)", r"\1", match.group(1)), max_length=remaining_length)
            remaining_length -= len(text)
            found.append(text)
    return tuple(found)


def describe_status(status: int) -> str:
    """Return a status with its phrase, e.g. `404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def plain_text(text: str, *, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Return untrusted text on one line, bounded, without control characters (registry-14.7).

    It may end up in a terminal, so everything that could control one is replaced.
    """
    return _UNSAFE.sub("\ufffd", text[:max_length].replace("\n", " ").replace("\r", " ").strip())
