"""Token requests in the forms that servers accept, and the token cache."""

import asyncio
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from models.errors import (
    ProtocolError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    TransientRegistryError,
)
from tests.manual_clock import ManualClock
from worker.registry.auth.credentials import Credential
from worker.registry.auth.token_cache import TokenCache, TokenRequest, fetch_token
from worker.registry.registry_types import RegistryResponse

CANARY = "canary-7f3a"
PASSWORD_CREDENTIAL = Credential("id-1", "reg.io", username="u", password=SecretStr(CANARY))
OTHER_CREDENTIAL = Credential("id-2", "reg.io", username="u", password=SecretStr(CANARY))
IDENTITY_CREDENTIAL = Credential("id-3", "reg.io", identity_token=SecretStr(CANARY))
COMBINED_CREDENTIAL = Credential(
    "id-4",
    "reg.io",
    username="u",
    password=SecretStr("p"),
    identity_token=SecretStr(CANARY),
)


def token_request(credential=None, *, realm="https://auth.io/t", service="s", scopes=("one",)):
    return TokenRequest("reg.io", "reg.io", realm, service, scopes, credential)


def token_response(body=None, status=200, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body or {"token": "T"}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return RegistryResponse(status, httpx.Headers(names), content, "https://auth.io/t")


class ScriptedTokenServer:
    """A token server with the given responses, the last one repeated; it records its requests.

    If `released` is set to an event, each response waits for it.
    """

    def __init__(self, *answers):
        self.answers = list(answers) or [token_response()]
        self.requests = []
        self.released = None

    async def post(self, method, url, headers, body):
        self.requests.append((method, url, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.released is not None:
            await self.released.wait()
        return answer

    @property
    def query(self):
        return parse_qs(urlsplit(self.requests[-1][1]).query)

    @property
    def form(self):
        return dict(parse_qsl(self.requests[-1][3].decode()))


async def request_token(server, request, clock=None):
    return await fetch_token(
        request, server.post, clock=clock or ManualClock(), random_fraction=lambda: 0.0
    )


async def lifetime(document):
    clock = ManualClock()
    token = await request_token(
        ScriptedTokenServer(token_response({"token": "T", **document})), token_request(), clock
    )
    return token.refresh_at - clock.now()


@pytest.mark.case("registry 74")
async def test_token_request_keeps_realm_query_and_encodes_parameters():
    server = ScriptedTokenServer()
    request = token_request(
        realm="https://auth.io/t?x=1", service="a&scope=evil#", scopes=("repository:a/b:pull",)
    )
    await request_token(server, request)
    assert server.query == {
        "x": ["1"],
        "service": ["a&scope=evil#"],
        "scope": ["repository:a/b:pull"],
    }
    assert urlsplit(server.requests[0][1]).fragment == ""


async def test_token_request_omits_unnamed_service():
    server = ScriptedTokenServer()
    await request_token(server, token_request(service=""))
    assert "service" not in server.query


async def test_anonymous_token_request_has_no_authorization():
    server = ScriptedTokenServer()
    await request_token(server, token_request())
    method, _, headers, body = server.requests[0]
    assert (method, headers, body) == ("GET", {"Accept": "application/json"}, None)


async def test_token_request_sends_password_in_header_only():
    server = ScriptedTokenServer()
    await request_token(server, token_request(PASSWORD_CREDENTIAL))
    _, url, headers, _ = server.requests[0]
    assert headers["Authorization"] == PASSWORD_CREDENTIAL.basic_authorization()
    assert server.query["account"] == ["u"]
    assert CANARY not in url


@pytest.mark.case("registry 78")
async def test_identity_token_is_posted_as_refresh_grant():
    server = ScriptedTokenServer()
    await request_token(server, token_request(IDENTITY_CREDENTIAL, scopes=("one", "two")))
    method, url, headers, _ = server.requests[0]
    assert (method, url) == ("POST", "https://auth.io/t")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in headers
    assert server.form == {
        "grant_type": "refresh_token",
        "refresh_token": CANARY,
        "service": "s",
        "scope": "one two",
        "client_id": "tagstream",
    }


@pytest.mark.case("registry 79")
@pytest.mark.parametrize("status", [404, 405])
async def test_rejected_token_post_falls_back_to_password_get(status):
    server = ScriptedTokenServer(token_response(status=status), token_response())
    await request_token(server, token_request(COMBINED_CREDENTIAL))
    assert [method for method, *_ in server.requests] == ["POST", "GET"]
    assert server.requests[1][2]["Authorization"] == COMBINED_CREDENTIAL.basic_authorization()


async def test_rejected_token_get_falls_back_to_password_post():
    server = ScriptedTokenServer(token_response(status=405), token_response())
    await request_token(server, token_request(PASSWORD_CREDENTIAL))
    assert server.form["grant_type"] == "password"
    assert server.form["password"] == CANARY
    assert "Authorization" not in server.requests[1][2]


@pytest.mark.case("registry 72")
async def test_refused_scopes_are_retried_with_first_scope():
    server = ScriptedTokenServer(token_response(status=403), token_response())
    await request_token(server, token_request(scopes=("theirs", "ours")))
    assert parse_qs(urlsplit(server.requests[0][1]).query)["scope"] == ["theirs", "ours"]
    assert server.query["scope"] == ["theirs"]


@pytest.mark.case("registry 75")
@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"access_token": "A"}, "A"),
        ({"token": "T"}, "T"),
        ({"access_token": "A", "token": "T"}, "A"),
        ({"access_token": "", "token": "T"}, "T"),
        ({"access_token": None, "token": "T"}, "T"),
    ],
)
async def test_token_is_read_from_either_field(document, text):
    assert (
        await request_token(ScriptedTokenServer(token_response(document)), token_request())
    ).text == text


@pytest.mark.case("registry 75", "registry 97")
@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1}',
        b"[]",
        b'"text"',
        b"",
        b"nonsense " + CANARY.encode(),
        b'{"token": 7}',
        b'{"token": ["x"]}',
        b'{"token": "canary-7f3a\\r\\nX: y"}',
        b'{"token": "canary-7f3a two"}',
        '{"token": "canary-7f3aé"}'.encode(),
        b'{"token": "' + CANARY.encode() * 100_000 + b'"}',
        b'{"token": "canary-7f3a", "token": "canary-7f3a"}',
        b'{"token": "canary-7f3a"',
        b'{"token": "canary-7f3a\xff"}',
    ],
)
async def test_unusable_token_is_not_quoted_in_error(body):
    with pytest.raises(ProtocolError) as caught:
        await request_token(ScriptedTokenServer(token_response(body)), token_request())
    assert caught.value.code == "auth.bad_token"
    error = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


@pytest.mark.case("registry 75")
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain"])
async def test_token_response_of_web_page_is_reported(kind):
    server = ScriptedTokenServer(token_response(b"\n<html>login</html>", Content_Type=kind))
    with pytest.raises(ProtocolError, match="web page") as caught:
        await request_token(server, token_request())
    assert caught.value.code == "protocol.unexpected_type"


@pytest.mark.case("registry 76")
@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (300, 270),
        (0, 50),
        (-5, 50),
        ("300", 50),
        (None, 50),
        (1.5, 50),
        (True, 50),
        (10**9, 12 * 3600 * 0.9),
    ],
)
async def test_token_lifetime_follows_expires_in_within_bounds(expires_in, seconds):
    assert await lifetime({"expires_in": expires_in}) == pytest.approx(seconds)


@pytest.mark.case("registry 76")
@pytest.mark.parametrize(
    ("age", "seconds"),
    [(100, 170), (0, 270), (-50, 270), (300, 270), (10**6, 270)],
)
async def test_token_age_reduces_lifetime_unless_implausible(age, seconds):
    moment = datetime.fromtimestamp(ManualClock().wall() - age, UTC)
    document = {"expires_in": 300, "issued_at": moment.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")}
    assert await lifetime(document) == pytest.approx(seconds)


@pytest.mark.case("registry 76")
@pytest.mark.parametrize("issued", ["", "yesterday", "2026-01-01", "0001-01-01T00:00:00+14:00", 5])
async def test_unreadable_issued_at_is_treated_as_now(issued):
    assert await lifetime({"expires_in": 300, "issued_at": issued}) == pytest.approx(270)


@given(
    st.dictionaries(
        st.sampled_from(["token", "access_token", "expires_in", "issued_at"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]),
    )
)
def test_fetch_token_survives_any_document(document):
    try:
        token = asyncio.run(
            request_token(ScriptedTokenServer(token_response(document)), token_request())
        )
    except RegistryError:
        return
    assert token.refresh_at > ManualClock().now()


@pytest.mark.parametrize(
    ("status", "credential", "code"),
    [
        (401, PASSWORD_CREDENTIAL, "auth.rejected"),
        (403, PASSWORD_CREDENTIAL, "auth.denied_or_missing"),
        (400, PASSWORD_CREDENTIAL, "auth.rejected"),
        (401, None, "auth.required"),
        (403, None, "auth.required"),
    ],
)
async def test_token_refusal_raises_registry_denied(status, credential, code):
    with pytest.raises(RegistryDeniedError) as caught:
        await request_token(
            ScriptedTokenServer(token_response(b"<html>no</html>", status)),
            token_request(credential),
        )
    assert caught.value.code == code
    assert not caught.value.bad_password


@pytest.mark.parametrize(
    ("body", "is_bad"),
    [
        ({"details": "incorrect username or password"}, True),
        ({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}, True),
        ({"errors": [{"code": "UNAUTHORIZED", "message": "Invalid Username or Password"}]}, False),
        (
            {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password."}]},
            False,
        ),
        (
            {
                "errors": [
                    {"code": "DENIED"},
                    {"code": "UNAUTHORIZED", "message": "incorrect username or password"},
                ]
            },
            False,
        ),
    ],
)
async def test_bad_password_is_recognized_by_error_text(body, is_bad):
    with pytest.raises(RegistryDeniedError) as caught:
        await request_token(
            ScriptedTokenServer(token_response(body, 401)), token_request(PASSWORD_CREDENTIAL)
        )
    assert caught.value.bad_password is is_bad


@pytest.mark.parametrize("status", [400, 401, 403, 418, 429])
async def test_token_error_does_not_quote_echoed_secret(status):
    text = f"{CANARY} {PASSWORD_CREDENTIAL.basic_authorization()}"
    with pytest.raises(RegistryError) as caught:
        await request_token(
            ScriptedTokenServer(token_response({"details": text}, status)),
            token_request(PASSWORD_CREDENTIAL),
        )
    assert CANARY not in repr(caught.value) + caught.value.text
    assert (
        PASSWORD_CREDENTIAL.basic_authorization().split()[1]
        not in repr(caught.value) + caught.value.text
    )


async def test_token_server_failure_maps_to_error_class():
    with pytest.raises(RateLimitedError) as limited:
        await request_token(
            ScriptedTokenServer(token_response(b"{}", 429, Retry_After="7")), token_request()
        )
    assert limited.value.retry_after == 7
    with pytest.raises(TransientRegistryError, match="503 Service Unavailable"):
        await request_token(
            ScriptedTokenServer(token_response(b"{}", 503)), token_request(PASSWORD_CREDENTIAL)
        )
    with pytest.raises(ProtocolError):
        await request_token(ScriptedTokenServer(token_response(b"{}", 404)), token_request())


async def test_token_cache_refreshes_token_before_expiry():
    clock, server = (
        ManualClock(),
        ScriptedTokenServer(token_response({"token": "T", "expires_in": 300})),
    )
    cache = TokenCache(clock)
    for _ in range(3):
        assert await cache.get(token_request(), server.post) == "T"
    clock.time += 200
    assert await cache.get(token_request(), server.post) == "T"
    assert len(server.requests) == 1
    clock.time += 71
    assert cache.peek(token_request()) is None
    await cache.get(token_request(), server.post)
    assert len(server.requests) == 2


@pytest.mark.case("registry 91")
async def test_token_cache_separates_credentials_servers_services_and_scopes():
    server, cache = ScriptedTokenServer(), TokenCache(ManualClock())
    requests = [
        token_request(),
        token_request(PASSWORD_CREDENTIAL),
        token_request(OTHER_CREDENTIAL),
        token_request(PASSWORD_CREDENTIAL, scopes=("two",)),
        token_request(PASSWORD_CREDENTIAL, service="x"),
        token_request(PASSWORD_CREDENTIAL, realm="https://auth.io/u"),
        TokenRequest("other.io", "reg.io", "https://auth.io/t", "s", ("one",), PASSWORD_CREDENTIAL),
        TokenRequest("reg.io", "other.io", "https://auth.io/t", "s", ("one",), PASSWORD_CREDENTIAL),
    ]
    for request in requests:
        await cache.get(request, server.post)
    assert len(server.requests) == len(requests)
    await cache.get(token_request(PASSWORD_CREDENTIAL, scopes=("one",)), server.post)
    assert len(server.requests) == len(requests)


@pytest.mark.case("registry 77")
async def test_concurrent_requests_for_one_token_fetch_once():
    server, cache = ScriptedTokenServer(), TokenCache(ManualClock())
    server.released = asyncio.Event()
    waiting = [
        asyncio.create_task(cache.get(token_request(PASSWORD_CREDENTIAL), server.post))
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    server.released.set()
    assert await asyncio.gather(*waiting[1:]) == ["T"] * 19
    assert len(server.requests) == 1


@pytest.mark.case("registry 66")
async def test_token_cache_drop_ignores_replaced_token():
    server = ScriptedTokenServer(token_response({"token": "old"}), token_response({"token": "new"}))
    cache = TokenCache(ManualClock())
    old = await cache.get(token_request(), server.post)
    for _ in range(5):
        cache.drop(token_request(), old)
        assert await cache.get(token_request(), server.post) == "new"
    assert len(server.requests) == 2


@pytest.mark.case("registry 87")
async def test_refused_credential_is_not_retried_for_two_minutes():
    clock, server = ManualClock(), ScriptedTokenServer(token_response(b"{}", 401))
    cache = TokenCache(clock)
    for number in range(50):
        with pytest.raises(RegistryDeniedError):
            await cache.get(
                token_request(PASSWORD_CREDENTIAL, scopes=(f"tag-{number}",)), server.post
            )
    assert len(server.requests) == 1
    with pytest.raises(RegistryDeniedError):
        await cache.get(token_request(OTHER_CREDENTIAL), server.post)
    assert len(server.requests) == 2
    clock.time += 121
    with pytest.raises(RegistryDeniedError):
        await cache.get(token_request(PASSWORD_CREDENTIAL), server.post)
    assert len(server.requests) == 3


@pytest.mark.case("registry 87")
async def test_bad_credential_is_sent_once_for_concurrent_requests():
    server, cache = ScriptedTokenServer(token_response(b"{}", 401)), TokenCache(ManualClock())
    server.released = asyncio.Event()
    attempts = [
        asyncio.create_task(
            cache.get(token_request(PASSWORD_CREDENTIAL, scopes=(str(n),)), server.post)
        )
        for n in range(50)
    ]
    await asyncio.sleep(0)
    server.released.set()
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(result, RegistryDeniedError) for result in results)
    assert len(server.requests) == 1


async def test_accepted_credential_may_be_refused_for_one_repository():
    """GHCR answers 401 for a package that a good token may not read."""
    server = ScriptedTokenServer(token_response(), token_response(b"{}", 401), token_response())
    cache = TokenCache(ManualClock())
    await cache.get(token_request(PASSWORD_CREDENTIAL, scopes=("mine",)), server.post)
    for _ in range(3):
        with pytest.raises(RegistryDeniedError):
            await cache.get(token_request(PASSWORD_CREDENTIAL, scopes=("theirs",)), server.post)
    assert (
        await cache.get(token_request(PASSWORD_CREDENTIAL, scopes=("mine too",)), server.post)
        == "T"
    )
    assert len(server.requests) == 3


async def test_accepted_credential_fetches_tokens_concurrently():
    server, cache = ScriptedTokenServer(), TokenCache(ManualClock())
    await cache.get(token_request(PASSWORD_CREDENTIAL), server.post)
    server.released = asyncio.Event()
    attempts = [
        asyncio.create_task(
            cache.get(token_request(PASSWORD_CREDENTIAL, scopes=(str(n),)), server.post)
        )
        for n in range(5)
    ]
    while len(server.requests) < 6:
        await asyncio.sleep(0)
    server.released.set()
    await asyncio.gather(*attempts)


async def test_transient_token_failure_is_not_cached():
    server, cache = (
        ScriptedTokenServer(token_response(b"{}", 503), token_response()),
        TokenCache(ManualClock()),
    )
    with pytest.raises(TransientRegistryError):
        await cache.get(token_request(PASSWORD_CREDENTIAL), server.post)
    assert await cache.get(token_request(PASSWORD_CREDENTIAL), server.post) == "T"


async def test_token_cache_evicts_oldest_beyond_maximum():
    server, cache = ScriptedTokenServer(), TokenCache(ManualClock(), max_tokens=3)
    for number in range(5):
        await cache.get(token_request(scopes=(str(number),)), server.post)
    cached = [n for n in range(5) if cache.peek(token_request(scopes=(str(n),))) is not None]
    assert cached == [2, 3, 4]
