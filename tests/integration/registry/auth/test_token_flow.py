"""From a challenge to a token, without superfluous requests.

Rules: registry-8.1, registry-8.5, registry-10.1.
"""

import asyncio
import logging

import pytest

from models.errors import ProtocolError, RegistryDeniedError, RegistryError, status_of
from tests.fakeregistry.access import refusal
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import (
    CANARY,
    auth_entry,
    login_context,
    make_client,
    manifest_requests,
    push,
    request_context,
    secrets_in,
)
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext


@pytest.fixture(autouse=True)
def no_logged_secrets(caplog):
    """Fail a test that logs a secret."""
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


@pytest.fixture
async def client():
    opened = make_client()
    yield opened
    await opened.close()


async def fetch_error(client, source, context, kind=RegistryError):
    with pytest.raises(kind) as caught:
        await client.fetch_manifest(source, "t", context)
    assert secrets_in(caught.value) == []
    return caught.value


async def test_challenge_and_token_are_reused_by_next_requests(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    context = login_context(fake.host)
    fetched = await client.fetch_manifest(source, "t", context)
    assert fetched.scope == context.keyring.credentials[0].id
    assert fake.requests == [
        "GET /v2/a/b/manifests/t",
        "GET /token?service=fake&scope=repository:a/b:pull&account=u",
        "GET /v2/a/b/manifests/t",
    ]
    fake.forget_requests()
    for _ in range(3):
        await client.fetch_manifest(source, "t", context)
    assert fake.requests == ["GET /v2/a/b/manifests/t"] * 3


async def test_open_registry_receives_no_credential(fake, client):
    source = push(fake)
    fetched = await client.fetch_manifest(source, "t", login_context(fake.host))
    assert fetched.scope == ""
    assert fetched.warnings == ()
    assert [request.authorization for request in fake.log] == [""]


@pytest.mark.case("registry 68")
@pytest.mark.parametrize(
    ("challenge_text", "is_supported"),
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
async def test_challenge_is_answered_or_reported_unsupported(
    fake, client, challenge_text, is_supported
):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    tokens.challenge = lambda _request, _error: challenge_text.format(realm=f"{fake.url}/token")
    if is_supported:
        assert (await client.fetch_manifest(source, "t", login_context(fake.host))).scope
        return
    error = await fetch_error(client, source, login_context(fake.host), RegistryDeniedError)
    assert error.code == "auth.unsupported"
    assert fake.received(CANARY) == []


@pytest.mark.case("registry 69")
@pytest.mark.parametrize("on_one_line", [True, False])
async def test_bearer_challenge_is_chosen_over_basic(fake, client, on_one_line):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    both = ['Basic realm="b"', f'Bearer realm="{fake.url}/token",service="fake"']
    tokens.challenge = lambda *_: ", ".join(both) if on_one_line else both
    await client.fetch_manifest(source, "t", login_context(fake.host))
    assert manifest_requests(fake)[-1].bearer
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 70")
async def test_401_without_challenge_reads_challenge_from_ping_once(fake, client):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    challenge_text = (
        f'Bearer realm="{fake.url}/token",service="fake",scope="repository:user/image:pull"'
    )
    tokens.challenge = lambda request, _: challenge_text if request.path == "/v2/" else []
    await client.fetch_manifest(source, "t", login_context(fake.host))
    await client.fetch_manifest(source, "t", login_context(fake.host))
    assert fake.requests.count("GET /v2/") == 1
    assert [request.query["scope"] for request in fake.token_requests] == [["repository:a/b:pull"]]


async def test_registry_without_any_challenge_is_pinged_once(fake, client):
    source = push(fake)
    fake.on(".*", lambda _: refusal())
    for _ in range(3):
        error = await fetch_error(client, source, login_context(fake.host), RegistryDeniedError)
        assert error.code == "auth.unsupported"
    assert fake.requests.count("GET /v2/") == 1
    assert fake.received(CANARY) == []


@pytest.mark.case("registry 71")
async def test_requested_token_scope_is_pull_only(fake, client):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    scope = "repository:a/b:pull,push,delete registry:catalog:*"
    tokens.challenge = lambda *_: f'Bearer realm="{fake.url}/token",scope="{scope}"'
    await client.fetch_manifest(source, "t", login_context(fake.host))
    assert [request.query["scope"] for request in fake.token_requests] == [["repository:a/b:pull"]]


@pytest.mark.case("registry 72")
async def test_challenged_scope_is_retried_alone_when_both_refused(fake, client):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    theirs, ours = "repository:remote/a/b:pull", "repository:a/b:pull"
    tokens.challenge = lambda *_: f'Bearer realm="{fake.url}/token",scope="{theirs}"'

    def refuse_two_scopes(request):
        return Reply(403) if len(request.query["scope"]) > 1 else None

    fake.on("/token.*", refuse_two_scopes)
    with pytest.raises(RegistryError):  # the fake's token does not cover a/b
        await client.fetch_manifest(source, "t", login_context(fake.host))
    requested_scopes = [
        request.query["scope"] for request in fake.token_requests if request.authorization
    ]
    assert requested_scopes[:2] == [[theirs, ours], [theirs]]


@pytest.mark.case("registry 74")
async def test_challenge_parameters_cannot_inject_token_query(fake, client):
    source = push(fake)
    tokens = fake.require_token(users={"u": CANARY})
    realm = f"{fake.url}/token?x=1"
    tokens.challenge = lambda *_: f'Bearer realm="{realm}",service="a&scope=evil#"'
    await client.fetch_manifest(source, "t", login_context(fake.host))
    query = fake.token_requests[0].query
    assert query["x"] == ["1"]
    assert query["service"] == ["a&scope=evil#"]
    assert query["scope"] == ["repository:a/b:pull"]


@pytest.mark.case("registry 75")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda document, _: {"access_token": document["token"]}, None),
        (lambda document, _: {"token": document["token"]}, None),
        (lambda *_: {}, "auth.bad_token"),
        (
            lambda *_: Reply(200, b"<html>", [("Content-Type", "text/html")]),
            "protocol.unexpected_type",
        ),
    ],
)
async def test_token_response_accepts_either_field_but_no_page(fake, client, answer, code):
    source = push(fake)
    fake.require_token(users={"u": CANARY}, answer=answer)
    if code is None:
        await client.fetch_manifest(source, "t", login_context(fake.host))
        return
    error = await fetch_error(client, source, login_context(fake.host), ProtocolError)
    assert error.code == code


@pytest.mark.case("registry 97", "registry 188")
@pytest.mark.parametrize("token", [f"{CANARY}\r\nX-Evil: 1", CANARY * 100_000, f"{CANARY} x", "é"])
async def test_token_unfit_for_header_is_refused(fake, client, token):
    source = push(fake)
    fake.require_token(answer=lambda *_: {"token": token})
    error = await fetch_error(client, source, RequestContext())
    assert error.code in {"auth.bad_token", "content.too_large"}
    assert len(manifest_requests(fake)) == 1


@pytest.mark.case("registry 77")
async def test_twenty_concurrent_fetches_request_one_token(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    fake.delay(0.05, "/token.*")
    context = login_context(fake.host)
    await asyncio.gather(*(client.fetch_manifest(source, "t", context) for _ in range(20)))
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 64", "registry 65")
async def test_token_is_reused_by_tags_but_not_repositories(fake, client):
    source, other = push(fake), push(fake, "c/d")
    push(fake, tag="u")
    fake.require_token(users={"u": CANARY})
    context = login_context(fake.host)
    await client.fetch_manifest(source, "t", context)
    await client.fetch_manifest(source, "u", context)
    assert len(fake.token_requests) == 1
    await client.fetch_manifest(other, "t", context)
    scopes = [request.query["scope"] for request in fake.token_requests]
    assert scopes == [["repository:a/b:pull"], ["repository:c/d:pull"]]


@pytest.mark.case("registry 66")
async def test_expired_token_is_replaced_once_for_concurrent_fetches(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    context = login_context(fake.host)
    await client.fetch_manifest(source, "t", context)
    fake.expire_tokens()
    fake.forget_requests()
    await client.fetch_manifest(source, "t", context)
    assert len(fake.requests) == 3
    fake.expire_tokens()
    fake.forget_requests()
    await asyncio.gather(*(client.fetch_manifest(source, "t", context) for _ in range(10)))
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 78")
async def test_identity_token_is_posted_to_token_server(fake, client):
    source = push(fake)
    fake.require_token(identity_tokens={CANARY: "u"})
    await client.fetch_manifest(
        source, "t", request_context({fake.host: {"identitytoken": CANARY}})
    )
    [request] = fake.token_requests
    assert request.method == "POST"
    assert request.form["grant_type"] == ["refresh_token"]
    assert request.form["scope"] == ["repository:a/b:pull"]
    assert fake.received(CANARY) == [request]


@pytest.mark.case("registry 79")
async def test_token_server_without_post_receives_password_by_get(fake, client):
    source = push(fake)
    fake.require_token(users={"u": "p"}, accepts_post=False)
    both = {**auth_entry("u", "p"), "identitytoken": CANARY}
    await client.fetch_manifest(source, "t", request_context({fake.host: both}))
    assert [request.method for request in fake.token_requests] == ["POST", "GET"]
    assert fake.token_requests[1].basic == ("u", "p")


@pytest.mark.case("registry 95")
async def test_registry_token_is_sent_to_registry_unchanged(fake, client):
    source = push(fake)
    seen = []
    fake.change(".*", lambda reply, request: (seen.append(request.bearer), reply)[1])
    tokens = fake.require_token(users={"u": "p"})
    fetched = await client.fetch_manifest(source, "t", login_context(fake.host, "u", "p"))
    token = next(iter(tokens.issued))
    seen.clear()
    fake.forget_requests()
    fetched = await client.fetch_manifest(
        source, "t", request_context({fake.host: {"registrytoken": token}}, tenant="other")
    )
    assert seen == [token]
    assert fake.token_requests == []
    assert fetched.scope.startswith("other-0/")


@pytest.mark.case("registry 88")
async def test_403_about_expired_token_fetches_new_token(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    context = login_context(fake.host)
    await client.fetch_manifest(source, "t", context)
    fake.forget_requests()
    text = "Your authorization token has expired. Reauthenticate and try again."
    fake.fail_next("/a/b/manifests/t", status=403, body=text.encode())
    await client.fetch_manifest(source, "t", context)
    assert len(fake.token_requests) == 1
    assert len(manifest_requests(fake)) == 2


@pytest.mark.case("registry 89")
async def test_400_about_invalid_token_fetches_new_token(fake, client):
    source = push(fake)
    fake.require_token()
    body = b'{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
    await client.fetch_manifest(source, "t", RequestContext())
    fake.forget_requests()
    fake.fail_next("/a/b/manifests/t", status=400, body=body)
    await client.fetch_manifest(source, "t", RequestContext())
    assert len(fake.token_requests) == 1
    fake.forget_requests()
    fake.on("/a/b/manifests/t", lambda _: Reply(400, body))
    await fetch_error(client, source, RequestContext())
    assert len(manifest_requests(fake)) == 2


@pytest.mark.case("registry 89")
async def test_400_about_invalid_token_without_token_is_final(fake, client):
    source = push(fake)
    body = b'{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
    fake.on("/a/b/manifests/t", lambda _: Reply(400, body))
    await fetch_error(client, source, RequestContext())
    assert len(fake.requests) == 1


@pytest.mark.case("registry 90")
async def test_registry_refusing_every_token_receives_two_tokens(fake, client):
    source = push(fake)
    tokens = fake.require_token()
    count = iter(range(100))
    tokens.challenge = lambda *_: (
        f'Bearer realm="{fake.url}/token",scope="repository:r{next(count)}:pull"'
    )
    fake.on("/a/b/manifests/t", lambda request: tokens._challenge(request, "a/b", ""))
    error = await fetch_error(client, source, RequestContext())
    assert error.http == 401
    assert [bool(request.bearer) for request in manifest_requests(fake)] == [False, True, True]


@pytest.mark.case("registry 67")
async def test_token_without_access_is_not_requested_repeatedly(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY}, access={"u": ["other"]})
    error = await fetch_error(client, source, login_context(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert len([each for each in fake.token_requests if each.authorization]) == 1
    fake.forget_requests()
    error = await fetch_error(client, source, login_context(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert len(manifest_requests(fake)) <= 2


@pytest.mark.case("registry 96")
async def test_cookies_are_not_returned_to_registry(fake, client):
    source = push(fake)
    fake.header(".*", "Set-Cookie", ["session=1; Path=/", "other=2; Domain=127.0.0.1"])
    fake.require_token(users={"u": CANARY})
    for _ in range(2):
        await client.fetch_manifest(source, "t", login_context(fake.host))
    assert [request for request in fake.log if "cookie" in request.headers] == []


@pytest.mark.case("import 4-14")
@pytest.mark.parametrize("scheme", ["basic", "token"])
async def test_private_repository_without_credentials_is_unauthorized(fake, client, scheme):
    source = push(fake)
    if scheme == "basic":
        fake.require_basic("u", CANARY)
    else:
        fake.require_token(users={"u": CANARY})
    status = status_of(await fetch_error(client, source, RequestContext(), RegistryDeniedError))
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
async def test_token_server_response_maps_to_known_status(fake, client, reply, reason, text):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    fake.on("/token.*", lambda _: Reply(reply.status, reply.body))
    status = status_of(await fetch_error(client, source, login_context(fake.host)))
    assert status["reason"] == reason
    assert text in status["message"]


async def test_redirect_target_receives_no_credentials(fake, open_fake, client):
    """Another server's challenge is not answered (registry-7.7, registry-7.8)."""
    source, foreign_server = push(fake), open_fake()
    foreign_server.require_token(users={"u": CANARY})
    fake.require_token(users={"u": CANARY})
    fake.on(
        "/a/b/manifests/t",
        lambda request: (
            Reply(307, b"", [("Location", f"{foreign_server.url}/v2/a/b/manifests/t")])
            if request.bearer
            else None
        ),
    )
    await fetch_error(client, source, login_context(fake.host))
    assert [request.authorization for request in foreign_server.log] == [""]
    assert foreign_server.received(CANARY) == []


@pytest.mark.case("registry 91", "registry 187")
async def test_tokens_are_not_shared_between_tenants(fake, client):
    source = push(fake)
    tokens = fake.require_token(users={"a": "pa", "b": "pb"}, access={"a": ["a/b"]})
    first, second = (
        login_context(fake.host, "a", "pa", tenant="A"),
        login_context(fake.host, "b", "pb", tenant="B"),
    )
    digest = (await client.fetch_manifest(source, "t", first)).digest
    for reference in ("t", digest):
        with pytest.raises(RegistryError) as caught:
            await client.fetch_manifest(source, reference, second)
        assert caught.value.code == "auth.denied_or_missing"
        with pytest.raises(RegistryError):
            await client.fetch_manifest(source, reference, RequestContext(tenant="B"))
        await client.fetch_manifest(source, reference, first)
    shown = {
        request.bearer: tokens.issued[request.bearer].user
        for request in manifest_requests(fake)
        if request.bearer
    }
    assert set(shown.values()) == {"a", "b", ""}
    assert len(shown) == 3


async def test_head_request_uses_credentials(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    seen = await client.head_manifest(source, "t", login_context(fake.host))
    assert seen.digest
    assert seen.scope == login_context(fake.host).keyring.credentials[0].id


async def test_tag_list_request_uses_credentials(fake, client):
    source = push(fake)
    fake.require_token(users={"u": CANARY})
    assert (await client.fetch_tags(source, login_context(fake.host))).tags == ("t",)
    assert SourceRepository(fake.host, "a/b") == source
