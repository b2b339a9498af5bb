"""Error responses of registries become upstream's statuses (imports-4.2, imports-4.5)."""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import (
    ContentError,
    ManifestUnknownError,
    ProtocolError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    TransientRegistryError,
    status_of,
)
from worker.registry.registry_types import RegistryResponse
from worker.registry.transport.error_responses import (
    error_of,
    is_registry_answer,
    is_registry_api,
    parse_warnings,
    plain_text,
)

REF = "REG/a/b:t"


def make_response(status, body=b"", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
    header_fields = httpx.Headers(pairs, encoding="latin-1")
    return RegistryResponse(status, header_fields, content, "https://REG/v2/a/b/manifests/t")


def errors(*pairs):
    return {"errors": [{"code": code, "message": message} for code, message in pairs]}


def bearer(error):
    return {"WWW_Authenticate": f'Bearer realm="https://REG/token",error="{error}"'}


UNAUTHORIZED = ("Unauthorized", 401, f'you may not have access to the container image "{REF}"')
NOT_FOUND = ("NotFound", 404, f'dockerimage.image.openshift.io "{REF}" not found')
DENIED = "requested access to the resource is denied"


def internal_error(text):
    return ("InternalError", 500, f"Internal error occurred: {REF}: {text}")


TABLE = [
    (make_response(404, errors(("MANIFEST_UNKNOWN", "manifest unknown"))), NOT_FOUND),
    (make_response(404, errors(("MANIFEST_UNKNOWN", "x"))), NOT_FOUND),
    (make_response(404, errors(("NAME_UNKNOWN", ""))), NOT_FOUND),
    (make_response(404, errors(("NOT_FOUND", "artifact a/b:t not found"))), NOT_FOUND),
    (make_response(404, b"<html>nope</html>"), NOT_FOUND),
    (make_response(404, b""), NOT_FOUND),
    (make_response(404, {}), NOT_FOUND),
    (make_response(404, {"details": "x", **errors(("MANIFEST_UNKNOWN", ""))}), NOT_FOUND),
    (make_response(401, errors(("UNAUTHORIZED", "authentication required"))), UNAUTHORIZED),
    (make_response(401, errors(("UNAUTHORIZED", "incorrect username or password"))), UNAUTHORIZED),
    (make_response(401, b"<html>"), UNAUTHORIZED),
    (make_response(401, {"details": "no"}), UNAUTHORIZED),
    (make_response(401, errors(("DENIED", DENIED))), internal_error("denied")),
    (make_response(403, errors(("DENIED", DENIED))), internal_error("denied")),
    (make_response(403, errors(("DENIED", ""))), internal_error("denied")),
    (make_response(403, {"details": "no way"}), internal_error("denied: no way")),
    (make_response(403, errors(("DENIED", "x"), ("UNAUTHORIZED", ""))), UNAUTHORIZED),
    (
        make_response(400, errors(("MANIFEST_INVALID", "manifest invalid"))),
        internal_error("manifest invalid"),
    ),
    (
        make_response(429, errors(("TOOMANYREQUESTS", "slow"))),
        internal_error("toomanyrequests: slow"),
    ),
    (
        make_response(429, errors(("TOOMANYREQUESTS", "too many requests"))),
        internal_error("toomanyrequests"),
    ),
    (make_response(429, {"details": "slow down"}), internal_error("toomanyrequests: slow down")),
    (
        make_response(500, b"<html>"),
        internal_error("received unexpected HTTP status: 500 Internal Server Error"),
    ),
    (
        make_response(503, errors(("UNAVAILABLE", ""))),
        internal_error("received unexpected HTTP status: 503 Service Unavailable"),
    ),
    (make_response(403, errors(("DENIED", "x"), ("MANIFEST_UNKNOWN", ""))), NOT_FOUND),
    (
        make_response(403, errors(("DENIED", "nope"), ("FOO", "bar"))),
        internal_error("errors:\ndenied: nope\nunknown: bar\n"),
    ),
    (make_response(304), internal_error("manifest not modified")),
    (
        make_response(401, errors(("UNAUTHORIZED", "")), **bearer("insufficient_scope")),
        UNAUTHORIZED,
    ),
    (make_response(401, errors(("UNAUTHORIZED", "")), **bearer("invalid_token")), UNAUTHORIZED),
    (make_response(401, b"<html>", **bearer("invalid_token")), UNAUTHORIZED),
    (
        make_response(401, b"<html>", **bearer("insufficient_scope")),
        internal_error(
            f"errors:\ndenied: {DENIED}\nerror parsing HTTP 401 response body: invalid character "
            "'<' looking for beginning of value: \"<html>\"\n"
        ),
    ),
    (
        make_response(400, b""),
        internal_error('error parsing HTTP 400 response body: unexpected end of JSON input: ""'),
    ),
    (
        make_response(400, {}),
        internal_error(
            "error parsing HTTP 400 response body: no error details found in HTTP response body: "
            '"{}"'
        ),
    ),
]


@pytest.mark.case("import 4-2", "import 4-3", "import 4-26", "import 4-27")
@pytest.mark.parametrize(("response", "status"), TABLE)
def test_error_response_maps_to_known_status(response, status):
    found = status_of(error_of(response, reference=REF))
    assert (found["reason"], found["code"], found["message"]) == status


CODES = [
    (make_response(404, errors(("MANIFEST_UNKNOWN", ""))), ManifestUnknownError, "notfound.tag"),
    (make_response(404, errors(("NAME_UNKNOWN", ""))), ManifestUnknownError, "notfound.repo"),
    (make_response(401, b""), RegistryDeniedError, "auth.required"),
    (make_response(401, b"", **bearer("invalid_token")), RegistryDeniedError, "auth.rejected"),
    (
        make_response(401, errors(("UNAUTHORIZED", "")), **bearer("insufficient_scope")),
        RegistryDeniedError,
        "auth.denied_or_missing",
    ),
    (make_response(403, errors(("DENIED", ""))), RegistryError, "auth.denied_or_missing"),
    (make_response(403, b"<html>blocked by WAF"), RegistryError, "http.blocked"),
    (make_response(400, errors(("NAME_INVALID", ""))), RegistryError, "ref.rejected"),
    (make_response(422, errors(("TAG_INVALID", ""))), RegistryError, "ref.rejected"),
    (make_response(406, b""), ContentError, "content.unsupported_type"),
    (make_response(415, b""), ContentError, "content.unsupported_type"),
    (make_response(451, b""), RegistryError, "http.legal"),
    (make_response(413, b""), ProtocolError, "protocol.status"),
    (make_response(405, b""), ProtocolError, "protocol.status"),
    (make_response(204), ProtocolError, "protocol.status"),
    (make_response(301), ProtocolError, "protocol.redirect"),
    (make_response(429, errors(("TOOMANYREQUESTS", "quota"))), RateLimitedError, "ratelimit.quota"),
    (make_response(429, b"Too Many Requests"), RateLimitedError, "ratelimit.abuse"),
    (make_response(403, errors(("TOOMANYREQUESTS", ""))), RateLimitedError, "ratelimit.quota"),
    *((make_response(code, b""), TransientRegistryError, "http.5xx") for code in (408, 425, 499)),
    *(
        (make_response(code, b""), TransientRegistryError, "http.5xx")
        for code in (500, 502, 504, 521)
    ),
]


@pytest.mark.case("registry 165", "registry 160")
@pytest.mark.parametrize(("response", "kind", "code"), CODES)
def test_error_response_has_class_and_code(response, kind, code):
    error = error_of(response, reference=REF)
    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize("status", [429, 503])
def test_error_carries_retry_after_seconds(status):
    assert error_of(make_response(status, b"", Retry_After="7")).retry_after == 7


def test_blob_404_is_unknown_blob_error():
    error = error_of(make_response(404, errors(("BLOB_UNKNOWN", ""))), reference=REF, is_blob=True)
    assert status_of(error)["message"] == f"Internal error occurred: {REF}: unknown blob"


CORPUS = [
    {"errors": [{"code": "404", "message": "Not Found"}]},
    {"errors": [{"status": 403, "message": "Forbidden"}]},
    {"errors": [{"code": "denied", "message": "lower case"}]},
    {"errors": ["text", 5, None, {}]},
    {"errors": {"code": "DENIED"}},
    {"error": "text"},
    [],
    "text",
    b"Not found\r\n",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"errors":' + b"[" * 40 + b"]" * 40 + b"}",
]


@pytest.mark.case("registry 165")
@pytest.mark.parametrize("body", CORPUS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_error_class_follows_status_not_body(status, body):
    error = error_of(make_response(status, body), reference=REF)
    expected = {404: "NotFound", 500: "InternalError", 429: "InternalError"}.get(status)
    assert expected in {None, error.reason}
    assert len(error.message) < 3000


@given(
    st.integers(300, 599),
    st.binary(max_size=200),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_any_response_becomes_printable_registry_error(status, body, header):
    response = make_response(status, body, WWW_Authenticate=header)
    error = error_of(response, reference=REF)
    assert isinstance(error, RegistryError)
    assert not any(character in error.message for character in "\x00\x1b\r\u202e")


@pytest.mark.case("registry 185")
def test_registry_text_is_sanitized_and_bounded():
    hostile = "a\nb\r\x1b[2J\u202eevil\x00\x9b<script>"
    body = errors(("DENIED", hostile))
    text = error_of(make_response(403, body)).text
    assert text == "denied: a b \ufffd[2J\ufffdevil\ufffd\ufffd<script>"
    assert len(plain_text("x" * 10_000)) == 512


def test_registry_404_is_distinguished_from_foreign_404():
    for body in (errors(("X", "")), {"details": "gone"}):
        assert is_registry_answer(make_response(404, body))
    for body in (b"404 page not found\n", b"<html>", b"", {}, [], {"errors": []}):
        assert not is_registry_answer(make_response(404, body))


@pytest.mark.case("import 4-6")
def test_v2_response_identifies_registry_api():
    version = {"Docker_Distribution_Api_Version": "registry/2.0"}
    for status in (200, 401, 403):
        assert is_registry_api(make_response(status))
    for status in (404, 500, 429):
        assert is_registry_api(make_response(status, **version))
        assert not is_registry_api(make_response(status))


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ('299 - "soon gone"', ("soon gone",)),
        ('299 reg.example "say \\"hi\\"" "Wed, 01 Jan 2025 00:00:00 GMT"', ('say "hi"',)),
        ('199 - "misc"', ()),
        ("299 - bare", ()),
        ("", ()),
    ],
)
def test_parse_warnings_reads_code_299_only(field, texts):
    assert parse_warnings(make_response(200, Warning=field)) == texts


def test_parse_warnings_truncates_total_length():
    response = RegistryResponse(
        200, httpx.Headers([("warning", f'299 - "{"x" * 3000}"')] * 5), b"", ""
    )
    assert sum(map(len, parse_warnings(response))) == 4096
