"""What a registry's refusal means, in the words that upstream has for it (`import.md` 4.2, 4.5)."""

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
from worker.registry.registry_types import Answer
from worker.registry.transport.error_responses import (
    error_of,
    is_registry_answer,
    plain_text,
    read_warnings,
    supports_api,
)

REF = "REG/a/b:t"


def answer(status, body=b"", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
    told = httpx.Headers(pairs, encoding="latin-1")
    return Answer(status, told, content, "https://REG/v2/a/b/manifests/t")


def errors(*pairs):
    return {"errors": [{"code": code, "message": message} for code, message in pairs]}


def bearer(error):
    return {"WWW_Authenticate": f'Bearer realm="https://REG/token",error="{error}"'}


UA = ("Unauthorized", 401, f'you may not have access to the container image "{REF}"')
NF = ("NotFound", 404, f'dockerimage.image.openshift.io "{REF}" not found')
DENIED = "requested access to the resource is denied"


def ie(text):
    return ("InternalError", 500, f"Internal error occurred: {REF}: {text}")


TABLE = [
    (answer(404, errors(("MANIFEST_UNKNOWN", "manifest unknown"))), NF),
    (answer(404, errors(("MANIFEST_UNKNOWN", "x"))), NF),
    (answer(404, errors(("NAME_UNKNOWN", ""))), NF),
    (answer(404, errors(("NOT_FOUND", "artifact a/b:t not found"))), NF),
    (answer(404, b"<html>nope</html>"), NF),
    (answer(404, b""), NF),
    (answer(404, {}), NF),
    (answer(404, {"details": "x", **errors(("MANIFEST_UNKNOWN", ""))}), NF),
    (answer(401, errors(("UNAUTHORIZED", "authentication required"))), UA),
    (answer(401, errors(("UNAUTHORIZED", "incorrect username or password"))), UA),
    (answer(401, b"<html>"), UA),
    (answer(401, {"details": "no"}), UA),
    (answer(401, errors(("DENIED", DENIED))), ie("denied")),
    (answer(403, errors(("DENIED", DENIED))), ie("denied")),
    (answer(403, errors(("DENIED", ""))), ie("denied")),
    (answer(403, {"details": "no way"}), ie("denied: no way")),
    (answer(403, errors(("DENIED", "x"), ("UNAUTHORIZED", ""))), UA),
    (answer(400, errors(("MANIFEST_INVALID", "manifest invalid"))), ie("manifest invalid")),
    (answer(429, errors(("TOOMANYREQUESTS", "slow"))), ie("toomanyrequests: slow")),
    (answer(429, errors(("TOOMANYREQUESTS", "too many requests"))), ie("toomanyrequests")),
    (answer(429, {"details": "slow down"}), ie("toomanyrequests: slow down")),
    (
        answer(500, b"<html>"),
        ie("received unexpected HTTP status: 500 Internal Server Error"),
    ),
    (
        answer(503, errors(("UNAVAILABLE", ""))),
        ie("received unexpected HTTP status: 503 Service Unavailable"),
    ),
    (answer(403, errors(("DENIED", "x"), ("MANIFEST_UNKNOWN", ""))), NF),
    (
        answer(403, errors(("DENIED", "nope"), ("FOO", "bar"))),
        ie("errors:\ndenied: nope\nunknown: bar\n"),
    ),
    (answer(304), ie("manifest not modified")),
    (answer(401, errors(("UNAUTHORIZED", "")), **bearer("insufficient_scope")), UA),
    (answer(401, errors(("UNAUTHORIZED", "")), **bearer("invalid_token")), UA),
    (answer(401, b"<html>", **bearer("invalid_token")), UA),
    (
        answer(401, b"<html>", **bearer("insufficient_scope")),
        ie(
            f"errors:\ndenied: {DENIED}\nerror parsing HTTP 401 response body: invalid character "
            "'<' looking for beginning of value: \"<html>\"\n"
        ),
    ),
    (
        answer(400, b""),
        ie('error parsing HTTP 400 response body: unexpected end of JSON input: ""'),
    ),
    (
        answer(400, {}),
        ie(
            "error parsing HTTP 400 response body: no error details found in HTTP response body: "
            '"{}"'
        ),
    ),
]


@pytest.mark.case("import 4-2", "import 4-3", "import 4-26", "import 4-27")
@pytest.mark.parametrize(("said", "status"), TABLE)
def test_an_answer_becomes_the_status_that_clients_know(said, status):
    found = status_of(error_of(said, reference=REF))
    assert (found["reason"], found["code"], found["message"]) == status


CODES = [
    (answer(404, errors(("MANIFEST_UNKNOWN", ""))), ManifestUnknownError, "notfound.tag"),
    (answer(404, errors(("NAME_UNKNOWN", ""))), ManifestUnknownError, "notfound.repo"),
    (answer(401, b""), RegistryDeniedError, "auth.required"),
    (answer(401, b"", **bearer("invalid_token")), RegistryDeniedError, "auth.rejected"),
    (
        answer(401, errors(("UNAUTHORIZED", "")), **bearer("insufficient_scope")),
        RegistryDeniedError,
        "auth.denied_or_missing",
    ),
    (answer(403, errors(("DENIED", ""))), RegistryError, "auth.denied_or_missing"),
    (answer(403, b"<html>blocked by WAF"), RegistryError, "http.blocked"),
    (answer(400, errors(("NAME_INVALID", ""))), RegistryError, "ref.rejected"),
    (answer(422, errors(("TAG_INVALID", ""))), RegistryError, "ref.rejected"),
    (answer(406, b""), ContentError, "content.unsupported_type"),
    (answer(415, b""), ContentError, "content.unsupported_type"),
    (answer(451, b""), RegistryError, "http.legal"),
    (answer(413, b""), ProtocolError, "protocol.status"),
    (answer(405, b""), ProtocolError, "protocol.status"),
    (answer(204), ProtocolError, "protocol.status"),
    (answer(301), ProtocolError, "protocol.redirect"),
    (answer(429, errors(("TOOMANYREQUESTS", "quota"))), RateLimitedError, "ratelimit.quota"),
    (answer(429, b"Too Many Requests"), RateLimitedError, "ratelimit.abuse"),
    (answer(403, errors(("TOOMANYREQUESTS", ""))), RateLimitedError, "ratelimit.quota"),
    *((answer(code, b""), TransientRegistryError, "http.5xx") for code in (408, 425, 499)),
    *((answer(code, b""), TransientRegistryError, "http.5xx") for code in (500, 502, 504, 521)),
]


@pytest.mark.case("registry 165", "registry 160")
@pytest.mark.parametrize(("said", "kind", "code"), CODES)
def test_an_answer_has_a_class_and_a_code(said, kind, code):
    error = error_of(said, reference=REF)
    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_stay_away_is_told(status):
    assert error_of(answer(status, b"", Retry_After="7")).retry_after == 7


def test_of_a_blob_a_404_is_an_unknown_blob():
    error = error_of(answer(404, errors(("BLOB_UNKNOWN", ""))), reference=REF, blob=True)
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
def test_the_status_decides_whatever_the_body_says(status, body):
    error = error_of(answer(status, body), reference=REF)
    expected = {404: "NotFound", 500: "InternalError", 429: "InternalError"}.get(status)
    assert expected in {None, error.reason}
    assert len(error.message) < 3000


@given(
    st.integers(300, 599),
    st.binary(max_size=200),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_any_answer_becomes_an_error_of_ours_on_safe_lines(status, body, header):
    said = answer(status, body, WWW_Authenticate=header)
    error = error_of(said, reference=REF)
    assert isinstance(error, RegistryError)
    assert not any(character in error.message for character in "\x00\x1b\r\u202e")


@pytest.mark.case("registry 185")
def test_a_strangers_words_stay_on_one_safe_line():
    hostile = "a\nb\r\x1b[2J\u202eevil\x00\x9b<script>"
    body = errors(("DENIED", hostile))
    text = error_of(answer(403, body)).text
    assert text == "denied: a b \ufffd[2J\ufffdevil\ufffd\ufffd<script>"
    assert len(plain_text("x" * 10_000)) == 512


def test_a_registrys_own_404_is_told_from_somebody_elses():
    for body in (errors(("X", "")), {"details": "gone"}):
        assert is_registry_answer(answer(404, body))
    for body in (b"404 page not found\n", b"<html>", b"", {}, [], {"errors": []}):
        assert not is_registry_answer(answer(404, body))


@pytest.mark.case("import 4-6")
def test_what_answers_for_a_registry_at_the_door():
    version = {"Docker_Distribution_Api_Version": "registry/2.0"}
    for status in (200, 401, 403):
        assert supports_api(answer(status))
    for status in (404, 500, 429):
        assert supports_api(answer(status, **version))
        assert not supports_api(answer(status))


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
def test_warnings_are_read_where_they_are_for_people(field, texts):
    assert read_warnings(answer(200, Warning=field)) == texts


def test_many_warnings_are_cut():
    said = Answer(200, httpx.Headers([("warning", f'299 - "{"x" * 3000}"')] * 5), b"", "")
    assert sum(map(len, read_warnings(said))) == 4096
