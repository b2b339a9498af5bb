"""What a registry's refusal means: HTTP answers become our errors.

Texts and reasons are those of `import.md` 4.2 to 4.5, codes those of `registry.md` 4.3. The
status decides, the body refines; what it says is untrusted text.
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
from worker.registry.registry_types import Answer

LONGEST_TEXT = 512
LONGEST_WARNING = 4096
_MOST_PROBLEMS = 16
# Control characters, and those that turn the direction of text (I1).
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
_REJECTED = frozenset({"NAME_INVALID", "TAG_INVALID", "DIGEST_INVALID"})
_BEARER_PROBLEMS = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
_BEARER_ERROR = re.compile(r'\berror\s*=\s*"?(invalid_token|insufficient_scope)\b', re.IGNORECASE)
_DETAIL_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
_TRANSIENT = frozenset({408, 425, 499})


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of a registry's error list, or what stands for it."""

    code: str
    text: str


def error_of(answer: Answer, *, reference: str = "", blob: bool = False) -> RegistryError:
    """The error that an answer other than success means. `reference` is what was asked for."""
    status = answer.status
    if status < 400:
        return _not_allowed(answer, reference)
    problems = read_problems(answer)
    codes = {problem.code for problem in problems}
    text = _render(problems)
    if status == 429 or "TOOMANYREQUESTS" in codes:
        return _limited(answer, codes, text, reference)
    if status >= 500 or status in _TRANSIENT:
        return _transient(answer, text, reference)
    if blob and status == 404:
        return RegistryError("unknown blob", code="notfound.blob", reference=reference)
    if status == 404 or "MANIFEST_UNKNOWN" in codes:
        code = "notfound.repo" if "NAME_UNKNOWN" in codes else "notfound.tag"
        return ManifestUnknownError(text, code=code, reference=reference)
    if "UNAUTHORIZED" in codes:
        return RegistryDeniedError(text, code=_denied_code(answer), reference=reference)
    return _refusal(answer, codes, text, reference)


def _not_allowed(answer: Answer, reference: str) -> RegistryError:
    if answer.status == 304:
        return ProtocolError("manifest not modified", code="protocol.status", reference=reference)
    code = "protocol.redirect" if 300 <= answer.status < 400 else "protocol.status"
    text = f"received unexpected HTTP status: {describe_status(answer.status)}"
    return ProtocolError(text, code=code, reference=reference)


def _limited(answer: Answer, codes: set[str], text: str, reference: str) -> RegistryError:
    quota = "TOOMANYREQUESTS" in codes or "ratelimit-limit" in answer.headers
    return RateLimitedError(
        text,
        code="ratelimit.quota" if quota else "ratelimit.abuse",
        reference=reference,
        retry_after=_retry_after(answer),
    )


def _transient(answer: Answer, text: str, reference: str) -> RegistryError:
    if answer.status >= 500:
        text = f"received unexpected HTTP status: {describe_status(answer.status)}"
    wait = _retry_after(answer)
    if wait is None:
        return TransientRegistryError(text, code="http.5xx", reference=reference)
    return RateLimitedError(text, code="http.5xx", reference=reference, retry_after=wait)


def _refusal(answer: Answer, codes: set[str], text: str, reference: str) -> RegistryError:
    status = answer.status
    if status in {401, 403} or "DENIED" in codes:
        page = status == 403 and not is_registry_answer(answer)
        return RegistryError(
            text, code="http.blocked" if page else "auth.denied_or_missing", reference=reference
        )
    if status in {406, 415}:
        return ContentError(text, code="content.unsupported_type", reference=reference)
    if status == 451:
        return RegistryError(text, code="http.legal", reference=reference)
    if status == 400 or codes & _REJECTED:
        return RegistryError(text, code="ref.rejected", reference=reference)
    return ProtocolError(text, code="protocol.status", reference=reference)


def _denied_code(answer: Answer) -> str:
    match _bearer_error(answer):
        case "invalid_token":
            return "auth.rejected"
        case "insufficient_scope":
            return "auth.denied_or_missing"
    return "auth.required"


def _retry_after(answer: Answer) -> float | None:
    return parse_retry_after(answer.headers.get("retry-after"), now=time.time())


def _bearer_error(answer: Answer) -> str:
    for field in answer.headers.get_list("www-authenticate"):
        found = _BEARER_ERROR.search(field) if "bearer" in field.lower() else None
        if found is not None:
            return found.group(1).lower()
    return ""


def read_problems(answer: Answer) -> list[Problem]:
    """What went wrong, as the challenge and the body tell it."""
    said = _bearer_error(answer)
    body = _read_body(answer, strict=bool(said))
    if not said:
        return body
    code = _BEARER_PROBLEMS[said]
    return [_problem(code, _DEFAULT_MESSAGES[code], {}), *body]


def _read_body(answer: Answer, *, strict: bool) -> list[Problem]:
    status = answer.status
    try:
        document = strict_json(answer.content, duplicates="last")
    except ContentError as error:
        if status == 401 and not strict:
            return [_problem("UNAUTHORIZED", _DEFAULT_MESSAGES["UNAUTHORIZED"], {})]
        return [_unreadable(answer, error.text)]
    details = document.get("details") if isinstance(document, dict) else None
    if isinstance(details, str) and details:
        return [_problem(_DETAIL_CODES.get(status, "UNKNOWN"), details, {})]
    entries = _entries_of(document)
    if entries:
        return entries
    return [_unreadable(answer, "no error details found in HTTP response body")]


def _entries_of(document: Any) -> list[Problem]:
    listed = document.get("errors") if isinstance(document, dict) else None
    found = []
    for entry in listed[:_MOST_PROBLEMS] if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            code = entry.get("code", "")
            message = entry.get("message", "")
            found.append(
                _problem(
                    code.upper() if isinstance(code, str) else "",
                    message if isinstance(message, str) else "",
                    entry.get("detail"),
                )
            )
    return found


def _problem(code: str, message: str, detail: Any) -> Problem:
    known = code in _DEFAULT_MESSAGES
    name = (code if known else "UNKNOWN").lower().replace("_", " ")
    usual = _DEFAULT_MESSAGES[code if known else "UNKNOWN"]
    if detail is None and message in {"", usual}:
        return Problem(code, name)
    return Problem(code, f"{name}: {plain_text(message)}".removesuffix(": "))


def _unreadable(answer: Answer, why: str) -> Problem:
    shown = plain_text(answer.content[: 4 * LONGEST_TEXT].decode("utf-8", "replace"))
    return Problem("", f'error parsing HTTP {answer.status} response body: {why}: "{shown}"')


def _render(problems: Sequence[Problem]) -> str:
    if len(problems) == 1:
        return problems[0].text
    return "errors:\n" + "".join(f"{problem.text}\n" for problem in problems)


def is_registry_answer(answer: Answer) -> bool:
    """Whether the body is an error document as registries write them, not somebody's web page."""
    try:
        document = strict_json(answer.content, duplicates="last")
    except ContentError:
        return False
    if not isinstance(document, dict):
        return False
    return bool(_entries_of(document)) or isinstance(document.get("details"), str)


def supports_api(answer: Answer) -> bool:
    """Whether the answer to `GET /v2/` is that of a registry (`import.md` 3.2 item 2)."""
    if "docker-distribution-api-version" in answer.headers:
        return True
    return 200 <= answer.status < 300 or answer.status in {401, 403}


def read_warnings(answer: Answer) -> tuple[str, ...]:
    """What the registry wants people to know: `Warning: 299 - "text"` (`registry.md` 2.9)."""
    if "warning" not in answer.headers:
        return ()
    found, left = [], LONGEST_WARNING
    for field in answer.headers.get_list("warning"):
        said = re.fullmatch(r'299 \S+ "((?:[^"\\]|\\.)*)".*', field.strip(), re.DOTALL)
        if said is not None and left > 0:
            text = plain_text(re.sub(r"\\(.)", r"\1", said.group(1)), longest=left)
            left -= len(text)
            found.append(text)
    return tuple(found)


def describe_status(status: int) -> str:
    """`404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def plain_text(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """A stranger's words on one line, bounded, without anything that steers a terminal."""
    return _UNSAFE.sub("\ufffd", text[:longest].replace("\n", " ").replace("\r", " ").strip())
