"""Tokens are asked for as servers want it, once, and kept as long as they last."""

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
from tests.manual_clock import HandClock
from worker.registry.auth.credentials import Credential
from worker.registry.auth.token_cache import TokenCache, TokenRequest, fetch_token
from worker.registry.registry_types import Answer

CANARY = "canary-7f3a"
LOGIN = Credential("id-1", "reg.io", username="u", password=SecretStr(CANARY))
OTHER = Credential("id-2", "reg.io", username="u", password=SecretStr(CANARY))
IDENTITY = Credential("id-3", "reg.io", identity_token=SecretStr(CANARY))
BOTH = Credential(
    "id-4",
    "reg.io",
    username="u",
    password=SecretStr("p"),
    identity_token=SecretStr(CANARY),
)


def wanted(credential=None, *, realm="https://auth.io/t", service="s", scopes=("one",)):
    return TokenRequest("reg.io", "reg.io", realm, service, scopes, credential)


def said(body=None, status=200, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body or {"token": "T"}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, httpx.Headers(names), content, "https://auth.io/t")


class Server:
    """Answers in order, the last for ever; keeps what it was asked. Slow when told."""

    def __init__(self, *answers):
        self.answers = list(answers) or [said()]
        self.asked = []
        self.gate = None

    async def post(self, method, url, headers, body):
        self.asked.append((method, url, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.gate is not None:
            await self.gate.wait()
        return answer

    @property
    def query(self):
        return parse_qs(urlsplit(self.asked[-1][1]).query)

    @property
    def form(self):
        return dict(parse_qsl(self.asked[-1][3].decode()))


async def ask(server, request, clock=None):
    return await fetch_token(request, server.post, clock=clock or HandClock(), dice=lambda: 0.0)


async def life(document):
    clock = HandClock()
    token = await ask(Server(said({"token": "T", **document})), wanted(), clock)
    return token.refresh_at - clock.now()


@pytest.mark.case("registry 74")
async def test_the_realms_own_query_is_kept_and_the_registrys_words_are_encoded():
    server = Server()
    request = wanted(
        realm="https://auth.io/t?x=1", service="a&scope=evil#", scopes=("repository:a/b:pull",)
    )
    await ask(server, request)
    assert server.query == {
        "x": ["1"],
        "service": ["a&scope=evil#"],
        "scope": ["repository:a/b:pull"],
    }
    assert urlsplit(server.asked[0][1]).fragment == ""


async def test_a_service_that_was_not_named_is_not_sent():
    server = Server()
    await ask(server, wanted(service=""))
    assert "service" not in server.query


async def test_an_anonymous_request_carries_no_authorization():
    server = Server()
    await ask(server, wanted())
    method, _, headers, body = server.asked[0]
    assert (method, headers, body) == ("GET", {"Accept": "application/json"}, None)


async def test_a_password_travels_in_the_header_only():
    server = Server()
    await ask(server, wanted(LOGIN))
    _, url, headers, _ = server.asked[0]
    assert headers["Authorization"] == LOGIN.basic()
    assert server.query["account"] == ["u"]
    assert CANARY not in url


@pytest.mark.case("registry 78")
async def test_an_identity_token_is_posted_as_a_refresh_grant():
    server = Server()
    await ask(server, wanted(IDENTITY, scopes=("one", "two")))
    method, url, headers, _ = server.asked[0]
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
async def test_where_nobody_takes_a_post_the_password_is_used(status):
    server = Server(said(status=status), said())
    await ask(server, wanted(BOTH))
    assert [method for method, *_ in server.asked] == ["POST", "GET"]
    assert server.asked[1][2]["Authorization"] == BOTH.basic()


async def test_where_nobody_takes_a_get_the_password_is_posted():
    server = Server(said(status=405), said())
    await ask(server, wanted(LOGIN))
    assert server.form["grant_type"] == "password"
    assert server.form["password"] == CANARY
    assert "Authorization" not in server.asked[1][2]


@pytest.mark.case("registry 72")
async def test_two_scopes_that_are_refused_become_the_first_alone():
    server = Server(said(status=403), said())
    await ask(server, wanted(scopes=("theirs", "ours")))
    assert parse_qs(urlsplit(server.asked[0][1]).query)["scope"] == ["theirs", "ours"]
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
async def test_either_name_holds_the_token(document, text):
    assert (await ask(Server(said(document)), wanted())).text == text


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
async def test_a_token_that_cannot_be_used_is_never_repeated(body):
    with pytest.raises(ProtocolError) as caught:
        await ask(Server(said(body)), wanted())
    assert caught.value.code == "auth.bad_token"
    error = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


@pytest.mark.case("registry 75")
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain"])
async def test_a_web_page_is_called_one(kind):
    server = Server(said(b"\n<html>login</html>", Content_Type=kind))
    with pytest.raises(ProtocolError, match="web page") as caught:
        await ask(server, wanted())
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
async def test_a_token_lives_as_long_as_it_says_within_reason(expires_in, seconds):
    assert await life({"expires_in": expires_in}) == pytest.approx(seconds)


@pytest.mark.case("registry 76")
@pytest.mark.parametrize(
    ("age", "seconds"),
    [(100, 170), (0, 270), (-50, 270), (300, 270), (10**6, 270)],
)
async def test_the_age_counts_unless_a_clock_is_wrong(age, seconds):
    moment = datetime.fromtimestamp(HandClock().wall() - age, UTC)
    document = {"expires_in": 300, "issued_at": moment.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")}
    assert await life(document) == pytest.approx(seconds)


@pytest.mark.case("registry 76")
@pytest.mark.parametrize("issued", ["", "yesterday", "2026-01-01", "0001-01-01T00:00:00+14:00", 5])
async def test_a_date_that_cannot_be_read_is_now(issued):
    assert await life({"expires_in": 300, "issued_at": issued}) == pytest.approx(270)


@given(
    st.dictionaries(
        st.sampled_from(["token", "access_token", "expires_in", "issued_at"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]),
    )
)
def test_no_document_breaks_the_reading(document):
    try:
        token = asyncio.run(ask(Server(said(document)), wanted()))
    except RegistryError:
        return
    assert token.refresh_at > HandClock().now()


@pytest.mark.parametrize(
    ("status", "credential", "code"),
    [
        (401, LOGIN, "auth.rejected"),
        (403, LOGIN, "auth.denied_or_missing"),
        (400, LOGIN, "auth.rejected"),
        (401, None, "auth.required"),
        (403, None, "auth.required"),
    ],
)
async def test_a_refusal_is_unauthorized(status, credential, code):
    with pytest.raises(RegistryDeniedError) as caught:
        await ask(Server(said(b"<html>no</html>", status)), wanted(credential))
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
async def test_a_bad_password_is_known_by_how_the_text_ends(body, is_bad):
    with pytest.raises(RegistryDeniedError) as caught:
        await ask(Server(said(body, 401)), wanted(LOGIN))
    assert caught.value.bad_password is is_bad


@pytest.mark.parametrize("status", [400, 401, 403, 418, 429])
async def test_a_server_that_repeats_the_secret_is_not_quoted(status):
    text = f"{CANARY} {LOGIN.basic()}"
    with pytest.raises(RegistryError) as caught:
        await ask(Server(said({"details": text}, status)), wanted(LOGIN))
    assert CANARY not in repr(caught.value) + caught.value.text
    assert LOGIN.basic().split()[1] not in repr(caught.value) + caught.value.text


async def test_a_server_that_is_busy_or_broken_may_be_asked_again():
    with pytest.raises(RateLimitedError) as limited:
        await ask(Server(said(b"{}", 429, Retry_After="7")), wanted())
    assert limited.value.retry_after == 7
    with pytest.raises(TransientRegistryError, match="503 Service Unavailable"):
        await ask(Server(said(b"{}", 503)), wanted(LOGIN))
    with pytest.raises(ProtocolError):
        await ask(Server(said(b"{}", 404)), wanted())


async def test_a_token_is_replaced_when_its_time_is_nearly_over():
    clock, server = HandClock(), Server(said({"token": "T", "expires_in": 300}))
    cache = TokenCache(clock)
    for _ in range(3):
        assert await cache.get(wanted(), server.post) == "T"
    clock.time += 200
    assert await cache.get(wanted(), server.post) == "T"
    assert len(server.asked) == 1
    clock.time += 71
    assert cache.peek(wanted()) is None
    await cache.get(wanted(), server.post)
    assert len(server.asked) == 2


@pytest.mark.case("registry 91")
async def test_nothing_is_shared_between_rights_servers_services_or_scopes():
    server, cache = Server(), TokenCache(HandClock())
    requests = [
        wanted(),
        wanted(LOGIN),
        wanted(OTHER),
        wanted(LOGIN, scopes=("two",)),
        wanted(LOGIN, service="x"),
        wanted(LOGIN, realm="https://auth.io/u"),
        TokenRequest("other.io", "reg.io", "https://auth.io/t", "s", ("one",), LOGIN),
        TokenRequest("reg.io", "other.io", "https://auth.io/t", "s", ("one",), LOGIN),
    ]
    for request in requests:
        await cache.get(request, server.post)
    assert len(server.asked) == len(requests)
    await cache.get(wanted(LOGIN, scopes=("one",)), server.post)
    assert len(server.asked) == len(requests)


@pytest.mark.case("registry 77")
async def test_many_who_want_the_same_token_ask_once():
    server, cache = Server(), TokenCache(HandClock())
    server.gate = asyncio.Event()
    waiting = [asyncio.create_task(cache.get(wanted(LOGIN), server.post)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    server.gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["T"] * 19
    assert len(server.asked) == 1


@pytest.mark.case("registry 66")
async def test_a_token_that_was_replaced_already_is_not_dropped_again():
    server = Server(said({"token": "old"}), said({"token": "new"}))
    cache = TokenCache(HandClock())
    old = await cache.get(wanted(), server.post)
    for _ in range(5):
        cache.drop(wanted(), old)
        assert await cache.get(wanted(), server.post) == "new"
    assert len(server.asked) == 2


@pytest.mark.case("registry 87")
async def test_a_refused_credential_is_left_alone_for_two_minutes():
    clock, server = HandClock(), Server(said(b"{}", 401))
    cache = TokenCache(clock)
    for number in range(50):
        with pytest.raises(RegistryDeniedError):
            await cache.get(wanted(LOGIN, scopes=(f"tag-{number}",)), server.post)
    assert len(server.asked) == 1
    with pytest.raises(RegistryDeniedError):
        await cache.get(wanted(OTHER), server.post)
    assert len(server.asked) == 2
    clock.time += 121
    with pytest.raises(RegistryDeniedError):
        await cache.get(wanted(LOGIN), server.post)
    assert len(server.asked) == 3


@pytest.mark.case("registry 87")
async def test_a_bad_credential_is_shown_once_however_many_come_at_once():
    server, cache = Server(said(b"{}", 401)), TokenCache(HandClock())
    server.gate = asyncio.Event()
    tries = [
        asyncio.create_task(cache.get(wanted(LOGIN, scopes=(str(n),)), server.post))
        for n in range(50)
    ]
    await asyncio.sleep(0)
    server.gate.set()
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(result, RegistryDeniedError) for result in results)
    assert len(server.asked) == 1


async def test_a_credential_that_was_taken_once_may_lack_access_to_one_repository():
    """GHCR answers 401 for a package that a good token may not read."""
    server = Server(said(), said(b"{}", 401), said())
    cache = TokenCache(HandClock())
    await cache.get(wanted(LOGIN, scopes=("mine",)), server.post)
    for _ in range(3):
        with pytest.raises(RegistryDeniedError):
            await cache.get(wanted(LOGIN, scopes=("theirs",)), server.post)
    assert await cache.get(wanted(LOGIN, scopes=("mine too",)), server.post) == "T"
    assert len(server.asked) == 3


async def test_a_credential_that_is_good_waits_for_nobody():
    server, cache = Server(), TokenCache(HandClock())
    await cache.get(wanted(LOGIN), server.post)
    server.gate = asyncio.Event()
    tries = [
        asyncio.create_task(cache.get(wanted(LOGIN, scopes=(str(n),)), server.post))
        for n in range(5)
    ]
    while len(server.asked) < 6:
        await asyncio.sleep(0)
    server.gate.set()
    await asyncio.gather(*tries)


async def test_a_failure_that_says_nothing_of_rights_is_not_remembered():
    server, cache = Server(said(b"{}", 503), said()), TokenCache(HandClock())
    with pytest.raises(TransientRegistryError):
        await cache.get(wanted(LOGIN), server.post)
    assert await cache.get(wanted(LOGIN), server.post) == "T"


async def test_there_is_an_end_to_the_tokens_kept():
    server, cache = Server(), TokenCache(HandClock(), most=3)
    for number in range(5):
        await cache.get(wanted(scopes=(str(number),)), server.post)
    kept = [n for n in range(5) if cache.peek(wanted(scopes=(str(n),))) is not None]
    assert kept == [2, 3, 4]
