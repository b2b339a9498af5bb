"""From a refusal to a token, and no request more than it takes (`registry.md` 3.1, 3.3, 3.8)."""

import asyncio
import logging

import pytest

from models.errors import ProtocolError, RegistryDeniedError, RegistryError, status_of
from tests.fakeregistry.access import refusal
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import (
    CANARY,
    access,
    entry,
    login,
    manifests,
    open_client,
    push,
    secrets_in,
)
from worker.registry.registry_types import Place
from worker.registry.request_context import Access


@pytest.fixture(autouse=True)
def nothing_leaks(caplog):
    """Whatever a test does, no secret is logged."""
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


@pytest.fixture
async def client():
    opened = open_client()
    yield opened
    await opened.close()


async def refused(client, place, rights, kind=RegistryError):
    with pytest.raises(kind) as caught:
        await client.fetch_manifest(place, "t", rights)
    assert secrets_in(caught.value) == []
    return caught.value


async def test_the_first_import_learns_how_to_ask_and_the_next_need_one_request(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    rights = login(fake.host)
    fetched = await client.fetch_manifest(place, "t", rights)
    assert fetched.scope == rights.keyring.credentials[0].id
    assert fake.requests == [
        "GET /v2/a/b/manifests/t",
        "GET /token?service=fake&scope=repository:a/b:pull&account=u",
        "GET /v2/a/b/manifests/t",
    ]
    fake.forget_requests()
    for _ in range(3):
        await client.fetch_manifest(place, "t", rights)
    assert fake.requests == ["GET /v2/a/b/manifests/t"] * 3


async def test_where_nobody_asks_no_credential_is_shown(fake, client):
    place = push(fake)
    fetched = await client.fetch_manifest(place, "t", login(fake.host))
    assert fetched.scope == ""
    assert fetched.warnings == ()
    assert [request.authorization for request in fake.log] == [""]


@pytest.mark.case("registry 68")
@pytest.mark.parametrize(
    ("said", "is_read"),
    [
        ('Bearer realm="{realm}",service="fake",scope="repository:a/b:pull"', True),
        ("Bearer realm={realm},service=fake", True),
        ('bearer REALM="{realm}" , Service = "fake"', True),
        ('Bearer realm="{realm}"', True),
        ('Bearer realm="{realm}",,service="fake",', True),
        ('Bearer realm="{realm}",realm="https://second.test/"', True),
        ('Negotiate, Bearer realm="{realm}",service="fake"', True),
        ('Basic realm="b", Bearer realm="{realm}",service="fake"', True),
        ('Bearer realm="/token"', True),
        ('Digest realm="d", Bearer realm="{realm}",service="caf\xe9"', True),
        ('Bearer realm="{realm}', False),
        ("Negotiate", False),
        ('Digest realm="d",nonce="n"', False),
        ("Bearer", False),
        ('Bearer service="fake"', False),
        ("=", False),
    ],
)
async def test_every_form_of_challenge_is_answered_or_called_unsupported(
    fake, client, said, is_read
):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    tokens.challenge = lambda _request, _error: said.format(realm=f"{fake.url}/token")
    if is_read:
        assert (await client.fetch_manifest(place, "t", login(fake.host))).scope
        return
    error = await refused(client, place, login(fake.host), RegistryDeniedError)
    assert error.code == "auth.unsupported"
    assert fake.received(CANARY) == []


@pytest.mark.case("registry 69")
@pytest.mark.parametrize("on_one_line", [True, False])
async def test_bearer_is_chosen_over_basic(fake, client, on_one_line):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    both = ['Basic realm="b"', f'Bearer realm="{fake.url}/token",service="fake"']
    tokens.challenge = lambda *_: ", ".join(both) if on_one_line else both
    await client.fetch_manifest(place, "t", login(fake.host))
    assert manifests(fake)[-1].bearer
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 70")
async def test_a_silent_refusal_sends_us_to_the_ping_once_but_not_for_its_scope(fake, client):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    said = f'Bearer realm="{fake.url}/token",service="fake",scope="repository:user/image:pull"'
    tokens.challenge = lambda request, _: said if request.path == "/v2/" else []
    await client.fetch_manifest(place, "t", login(fake.host))
    await client.fetch_manifest(place, "t", login(fake.host))
    assert fake.requests.count("GET /v2/") == 1
    assert [request.query["scope"] for request in fake.token_requests] == [["repository:a/b:pull"]]


async def test_a_registry_that_never_says_what_it_wants_is_pinged_once(fake, client):
    place = push(fake)
    fake.on(".*", lambda _: refusal())
    for _ in range(3):
        error = await refused(client, place, login(fake.host), RegistryDeniedError)
        assert error.code == "auth.unsupported"
    assert fake.requests.count("GET /v2/") == 1
    assert fake.received(CANARY) == []


@pytest.mark.case("registry 71")
async def test_a_token_is_for_reading_only(fake, client):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    scope = "repository:a/b:pull,push,delete registry:catalog:*"
    tokens.challenge = lambda *_: f'Bearer realm="{fake.url}/token",scope="{scope}"'
    await client.fetch_manifest(place, "t", login(fake.host))
    assert [request.query["scope"] for request in fake.token_requests] == [["repository:a/b:pull"]]


@pytest.mark.case("registry 72")
async def test_another_repositorys_scope_comes_first_and_alone_when_both_are_refused(fake, client):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    theirs, ours = "repository:remote/a/b:pull", "repository:a/b:pull"
    tokens.challenge = lambda *_: f'Bearer realm="{fake.url}/token",scope="{theirs}"'

    def choosy(request):
        return Reply(403) if len(request.query["scope"]) > 1 else None

    fake.on("/token.*", choosy)
    with pytest.raises(RegistryError):  # the fake's token opens a/b no more than it should
        await client.fetch_manifest(place, "t", login(fake.host))
    asked = [request.query["scope"] for request in fake.token_requests if request.authorization]
    assert asked[:2] == [[theirs, ours], [theirs]]


@pytest.mark.case("registry 74")
async def test_the_registrys_words_cannot_add_to_the_query(fake, client):
    place = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    realm = f"{fake.url}/token?x=1"
    tokens.challenge = lambda *_: f'Bearer realm="{realm}",service="a&scope=evil#"'
    await client.fetch_manifest(place, "t", login(fake.host))
    query = fake.token_requests[0].query
    assert query["x"] == ["1"]
    assert query["service"] == ["a&scope=evil#"]
    assert query["scope"] == ["repository:a/b:pull"]


@pytest.mark.case("registry 75")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda said, _: {"access_token": said["token"]}, None),
        (lambda said, _: {"token": said["token"]}, None),
        (lambda *_: {}, "auth.bad_token"),
        (
            lambda *_: Reply(200, b"<html>", [("Content-Type", "text/html")]),
            "protocol.unexpected_type",
        ),
    ],
)
async def test_either_name_of_a_token_will_do_and_a_page_is_none(fake, client, answer, code):
    place = push(fake)
    fake.require_token(users={"u": CANARY}, answer=answer)
    if code is None:
        await client.fetch_manifest(place, "t", login(fake.host))
        return
    error = await refused(client, place, login(fake.host), ProtocolError)
    assert error.code == code


@pytest.mark.case("registry 97", "registry 188")
@pytest.mark.parametrize("token", [f"{CANARY}\r\nX-Evil: 1", CANARY * 100_000, f"{CANARY} x", "é"])
async def test_a_token_that_no_header_can_carry_is_refused(fake, client, token):
    place = push(fake)
    fake.require_token(answer=lambda *_: {"token": token})
    error = await refused(client, place, Access())
    assert error.code in {"auth.bad_token", "content.too_large"}
    assert len(manifests(fake)) == 1


@pytest.mark.case("registry 77")
async def test_twenty_imports_with_a_cold_cache_ask_for_one_token(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    fake.delay(0.05, "/token.*")
    rights = login(fake.host)
    await asyncio.gather(*(client.fetch_manifest(place, "t", rights) for _ in range(20)))
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 64", "registry 65")
async def test_a_second_tag_needs_no_token_and_a_second_repository_its_own(fake, client):
    place, other = push(fake), push(fake, "c/d")
    push(fake, tag="u")
    fake.require_token(users={"u": CANARY})
    rights = login(fake.host)
    await client.fetch_manifest(place, "t", rights)
    await client.fetch_manifest(place, "u", rights)
    assert len(fake.token_requests) == 1
    await client.fetch_manifest(other, "t", rights)
    scopes = [request.query["scope"] for request in fake.token_requests]
    assert scopes == [["repository:a/b:pull"], ["repository:c/d:pull"]]


@pytest.mark.case("registry 66")
async def test_a_token_that_ended_early_is_replaced_once_for_everybody(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    rights = login(fake.host)
    await client.fetch_manifest(place, "t", rights)
    fake.expire_tokens()
    fake.forget_requests()
    await client.fetch_manifest(place, "t", rights)
    assert len(fake.requests) == 3
    fake.expire_tokens()
    fake.forget_requests()
    await asyncio.gather(*(client.fetch_manifest(place, "t", rights) for _ in range(10)))
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 78")
async def test_an_identity_token_goes_to_the_token_server_in_a_form(fake, client):
    place = push(fake)
    fake.require_token(identity_tokens={CANARY: "u"})
    await client.fetch_manifest(place, "t", access({fake.host: {"identitytoken": CANARY}}))
    [request] = fake.token_requests
    assert request.method == "POST"
    assert request.form["grant_type"] == ["refresh_token"]
    assert request.form["scope"] == ["repository:a/b:pull"]
    assert fake.received(CANARY) == [request]


@pytest.mark.case("registry 79")
async def test_a_token_server_without_post_is_asked_by_get_with_the_password(fake, client):
    place = push(fake)
    fake.require_token(users={"u": "p"}, takes_post=False)
    both = {**entry("u", "p"), "identitytoken": CANARY}
    await client.fetch_manifest(place, "t", access({fake.host: both}))
    assert [request.method for request in fake.token_requests] == ["POST", "GET"]
    assert fake.token_requests[1].basic == ("u", "p")


@pytest.mark.case("registry 95")
async def test_a_registry_token_goes_to_the_registry_as_it_is(fake, client):
    place = push(fake)
    seen = []
    fake.change(".*", lambda reply, request: (seen.append(request.bearer), reply)[1])
    tokens = fake.require_token(users={"u": "p"})
    fetched = await client.fetch_manifest(place, "t", login(fake.host, "u", "p"))
    token = next(iter(tokens.issued))
    seen.clear()
    fake.forget_requests()
    fetched = await client.fetch_manifest(
        place, "t", access({fake.host: {"registrytoken": token}}, tenant="other")
    )
    assert seen == [token]
    assert fake.token_requests == []
    assert fetched.scope.startswith("other-0/")


@pytest.mark.case("registry 88")
async def test_a_403_that_speaks_of_an_expired_token_is_answered_with_a_new_one(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    rights = login(fake.host)
    await client.fetch_manifest(place, "t", rights)
    fake.forget_requests()
    text = "Your authorization token has expired. Reauthenticate and try again."
    fake.fail_next("/a/b/manifests/t", status=403, body=text.encode())
    await client.fetch_manifest(place, "t", rights)
    assert len(fake.token_requests) == 1
    assert len(manifests(fake)) == 2


@pytest.mark.case("registry 89")
async def test_a_400_that_speaks_of_an_invalid_token_is_answered_with_a_new_one(fake, client):
    place = push(fake)
    fake.require_token()
    body = b'{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
    await client.fetch_manifest(place, "t", Access())
    fake.forget_requests()
    fake.fail_next("/a/b/manifests/t", status=400, body=body)
    await client.fetch_manifest(place, "t", Access())
    assert len(fake.token_requests) == 1
    fake.forget_requests()
    fake.on("/a/b/manifests/t", lambda _: Reply(400, body))
    await refused(client, place, Access())
    assert len(manifests(fake)) == 2


@pytest.mark.case("registry 89")
async def test_without_a_cached_token_such_an_answer_is_final(fake, client):
    place = push(fake)
    body = b'{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
    fake.on("/a/b/manifests/t", lambda _: Reply(400, body))
    await refused(client, place, Access())
    assert len(fake.requests) == 1


@pytest.mark.case("registry 90")
async def test_a_registry_that_is_never_content_hears_two_tokens(fake, client):
    place = push(fake)
    tokens = fake.require_token()
    count = iter(range(100))
    tokens.challenge = lambda *_: (
        f'Bearer realm="{fake.url}/token",scope="repository:r{next(count)}:pull"'
    )
    fake.on("/a/b/manifests/t", lambda request: tokens._challenge(request, "a/b", ""))
    error = await refused(client, place, Access())
    assert error.http == 401
    assert [bool(request.bearer) for request in manifests(fake)] == [False, True, True]


@pytest.mark.case("registry 67")
async def test_a_token_without_access_is_not_tried_again_and_again(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY}, access={"u": ["other"]})
    error = await refused(client, place, login(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert len([each for each in fake.token_requests if each.authorization]) == 1
    fake.forget_requests()
    error = await refused(client, place, login(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert len(manifests(fake)) <= 2


@pytest.mark.case("registry 96")
async def test_no_cookie_ever_comes_back(fake, client):
    place = push(fake)
    fake.header(".*", "Set-Cookie", ["session=1; Path=/", "other=2; Domain=127.0.0.1"])
    fake.require_token(users={"u": CANARY})
    for _ in range(2):
        await client.fetch_manifest(place, "t", login(fake.host))
    assert [request for request in fake.log if "cookie" in request.headers] == []


@pytest.mark.case("import 4-14")
@pytest.mark.parametrize("wants", ["basic", "token"])
async def test_a_private_repository_without_credentials_is_unauthorized(fake, client, wants):
    place = push(fake)
    if wants == "basic":
        fake.require_basic("u", CANARY)
    else:
        fake.require_token(users={"u": CANARY})
    status = status_of(await refused(client, place, Access(), RegistryDeniedError))
    reference = f"{fake.host}/a/b:t"
    assert status["message"] == f'you may not have access to the container image "{reference}"'
    assert {request.path for request in fake.log} <= {"/v2/a/b/manifests/t", "/token"}
    assert [request for request in fake.log if request.basic] == []


@pytest.mark.case("import 4-15")
@pytest.mark.parametrize(
    ("reply", "reason", "text"),
    [
        (Reply(401, b"<html>"), "Unauthorized", "you may not have access"),
        (
            Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'),
            "Unauthorized",
            "you may not have access",
        ),
        (
            Reply(
                401,
                b'{"errors":[{"code":"UNAUTHORIZED","message":"Invalid Username or Password"}]}',
            ),
            "Unauthorized",
            "you may not have access",
        ),
        (
            Reply(401, b'{"details":"incorrect username or password"}'),
            "Unauthorized",
            "incorrect username or password for image",
        ),
        (
            Reply(403, b'{"errors":[{"code":"DENIED","message":"denied"}]}'),
            "Unauthorized",
            "you may not have access",
        ),
        (
            Reply(200, b"{}"),
            "InternalError",
            '/v2/a/b/manifests/t": authorization server did not include a token in the response',
        ),
        (
            Reply(429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"too many"}]}'),
            "InternalError",
            '/v2/a/b/manifests/t": toomanyrequests: too many',
        ),
        (
            Reply(500),
            "InternalError",
            '/v2/a/b/manifests/t": received unexpected HTTP status: 500 Internal Server Error',
        ),
    ],
)
async def test_what_a_token_server_says_becomes_the_status_people_know(
    fake, client, reply, reason, text
):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    fake.on("/token.*", lambda _: Reply(reply.status, reply.body))
    status = status_of(await refused(client, place, login(fake.host)))
    assert status["reason"] == reason
    assert text in status["message"]


async def test_the_place_of_a_redirect_never_hears_of_rights(fake, open_fake, client):
    """Another server's challenge is not answered (C1, C2)."""
    place, thief = push(fake), open_fake()
    thief.require_token(users={"u": CANARY})
    fake.require_token(users={"u": CANARY})
    fake.on(
        "/a/b/manifests/t",
        lambda request: (
            Reply(307, b"", [("Location", f"{thief.url}/v2/a/b/manifests/t")])
            if request.bearer
            else None
        ),
    )
    await refused(client, place, login(fake.host))
    assert [request.authorization for request in thief.log] == [""]
    assert thief.received(CANARY) == []


@pytest.mark.case("registry 91", "registry 187")
async def test_tenants_never_use_each_others_tokens(fake, client):
    place = push(fake)
    tokens = fake.require_token(users={"a": "pa", "b": "pb"}, access={"a": ["a/b"]})
    first, second = login(fake.host, "a", "pa", tenant="A"), login(fake.host, "b", "pb", tenant="B")
    digest = (await client.fetch_manifest(place, "t", first)).digest
    for wanted in ("t", digest):
        with pytest.raises(RegistryError) as caught:
            await client.fetch_manifest(place, wanted, second)
        assert caught.value.code == "auth.denied_or_missing"
        with pytest.raises(RegistryError):
            await client.fetch_manifest(place, wanted, Access(tenant="B"))
        await client.fetch_manifest(place, wanted, first)
    shown = {
        request.bearer: tokens.issued[request.bearer].user
        for request in manifests(fake)
        if request.bearer
    }
    assert set(shown.values()) == {"a", "b", ""}
    assert len(shown) == 3


async def test_a_head_is_asked_with_the_same_rights(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    seen = await client.head_manifest(place, "t", login(fake.host))
    assert seen.digest
    assert seen.scope == login(fake.host).keyring.credentials[0].id


async def test_a_list_of_tags_is_asked_with_the_same_rights(fake, client):
    place = push(fake)
    fake.require_token(users={"u": CANARY})
    assert (await client.list_tags(place, login(fake.host))).tags == ("t",)
    assert Place(fake.host, "a/b") == place
