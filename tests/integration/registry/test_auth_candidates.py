"""Several credentials, bad ones and none at all (`registry.md` 3.6, 3.7, `import.md` 4.6)."""

import asyncio
import json

import pytest

from models.errors import RegistryDeniedError, RegistryError, status_of
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
from tests.manual_clock import HandClock
from worker.registry.auth.authenticator import WARNING, Authenticator
from worker.registry.registry_types import Outgoing
from worker.registry.request_context import Access

DENIED = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
PAGE = [("Content-Type", "text/html")]


@pytest.fixture
async def client():
    opened = open_client()
    yield opened
    await opened.close()


def two(host, **how):
    return access({host: entry("first", "p1")}, {host: entry("second", "p2")}, **how)


def users(requests):
    return [request.basic[0] for request in requests if request.basic]


async def refused(client, place, rights, wanted="t"):
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(place, wanted, rights)
    assert secrets_in(caught.value) == []
    return caught.value


@pytest.mark.case("registry 93")
async def test_the_second_credential_is_tried_and_remembered(fake, client):
    place = push(fake)
    fake.require_token(users={"first": "p1", "second": "p2"}, access={"second": ["a/b"]})
    rights = two(fake.host)
    fetched = await client.fetch_manifest(place, "t", rights)
    assert fetched.scope == rights.keyring.credentials[1].id
    assert fetched.warnings == ()
    assert users(fake.token_requests) == ["first", "second"]
    fake.forget_requests()
    await client.fetch_manifest(place, "t", rights)
    assert len(fake.requests) == 1


@pytest.mark.case("registry 93")
async def test_a_bad_password_does_not_hide_a_good_one(fake, client):
    place = push(fake)
    fake.require_basic("second", "p2")
    rights = two(fake.host)
    for _ in range(2):
        fetched = await client.fetch_manifest(place, "t", rights)
        assert fetched.scope == rights.keyring.credentials[1].id
    assert users(fake.log) == ["first", "second", "second"]


async def test_a_winner_is_remembered_for_its_own_tenant_for_an_hour(fake, client):
    push(fake)
    fake.require_basic("second", "p2")
    clock = HandClock()
    auth = Authenticator(client.exchange, client.config, clock=clock)
    outgoing = Outgoing("GET", f"{fake.url}/v2/a/b/manifests/t", push(fake))
    for _ in range(2):
        await auth.request(outgoing, two(fake.host, tenant="A"))
    assert users(fake.log) == ["first", "second", "second"]
    await auth.request(outgoing, two(fake.host, tenant="B"))
    assert users(fake.log)[3:] == ["first", "second"]
    clock.time += 3601
    fake.forget_requests()
    await auth.request(outgoing, two(fake.host, tenant="A"))
    assert users(fake.log) == ["first", "second"]


async def test_how_to_ask_is_remembered_for_ten_minutes(fake, client):
    push(fake)
    fake.require_basic("u", CANARY)
    clock = HandClock()
    auth = Authenticator(client.exchange, client.config, clock=clock)
    outgoing = Outgoing("GET", f"{fake.url}/v2/a/b/manifests/t", push(fake))
    for wait, requests in ((0, 2), (599, 1), (2, 2)):
        clock.time += wait
        fake.forget_requests()
        assert (await auth.request(outgoing, login(fake.host))).answer.status == 200
        assert len(fake.requests) == requests


@pytest.mark.case("registry 85", "import 4-16")
@pytest.mark.parametrize("status", [401, 403])
async def test_a_stale_secret_does_not_keep_a_public_image_away(fake, client, status):
    place = push(fake)
    fake.require_token()
    fake.on(
        "/token.*",
        lambda request: Reply(status, DENIED) if request.authorization else None,
    )
    fetched = await client.fetch_manifest(place, "t", login(fake.host))
    assert fetched.scope == ""
    assert fetched.warnings == (WARNING,)
    assert WARNING.startswith("credentials_rejected")


@pytest.mark.case("registry 86", "import 4-17")
async def test_when_nobody_is_let_in_the_credentials_failure_is_told(fake, client):
    place = push(fake)
    fake.require_token(users={"u": "another"})
    error = await refused(client, place, login(fake.host))
    assert error.code == "auth.rejected"
    expected = f'incorrect username or password for image "{fake.host}/a/b:t"'
    assert status_of(error)["message"] == expected
    assert [request.basic for request in fake.token_requests][-1] is None


@pytest.mark.case("registry 86")
async def test_of_several_failures_the_first_is_told(fake, client):
    place = push(fake)
    fake.require_token(users={"first": "p1"}, access={"first": ["other"]})
    error = await refused(client, place, two(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert not getattr(error, "bad_password", False)


@pytest.mark.case("registry 87")
@pytest.mark.parametrize("wants", ["basic", "token"])
@pytest.mark.parametrize("together", [True, False])
async def test_fifty_tags_do_not_make_fifty_failed_logins(fake, client, wants, together):
    tags = [f"t{number}" for number in range(50)]
    for tag in tags:
        place = push(fake, tag=tag)
    if wants == "basic":
        fake.require_basic("u", "another")
    else:
        fake.require_token(users={"u": "another"})
    rights = login(fake.host)
    if together:
        errors = await asyncio.gather(*(refused(client, place, rights, tag) for tag in tags))
    else:
        errors = [await refused(client, place, rights, tag) for tag in tags]
    assert {error.code for error in errors} == {"auth.rejected"}
    assert len(users(fake.log)) <= 2


async def test_a_password_is_tried_again_after_two_minutes(fake, client):
    place = push(fake)
    fake.require_basic("u", "another")
    clock = HandClock()
    auth = Authenticator(client.exchange, client.config, clock=clock)
    outgoing = Outgoing("GET", f"{fake.url}/v2/a/b/manifests/t", place)
    for wait, logins in ((0, 1), (119, 0), (2, 1)):
        clock.time += wait
        fake.forget_requests()
        with pytest.raises(RegistryDeniedError):
            await auth.request(outgoing, login(fake.host))
        assert len(users(fake.log)) == logins


async def test_a_corrected_secret_is_tried_at_once(fake, client):
    place = push(fake)
    fake.require_basic("u", CANARY)
    await refused(client, place, login(fake.host, "u", "wrong"))
    assert (await client.fetch_manifest(place, "t", login(fake.host))).scope


@pytest.mark.case("import 4-19")
async def test_without_credentials_a_private_image_says_so(fake, client):
    place = push(fake, "a/private")
    fake.require_token(users={"u": CANARY})
    error = await refused(client, place, Access())
    expected = f'you may not have access to the container image "{fake.host}/a/private:t"'
    assert status_of(error)["message"] == expected


@pytest.mark.case("import 4-18")
async def test_a_private_image_and_a_public_one_with_a_bad_secret_both_arrive(fake, client):
    private, public = push(fake, "a/priv"), push(fake, "a/pub")
    fake.require_token(users={"u": CANARY}, access={"": ["a/pub"], "u": ["a/priv"]})
    rights = access({f"{fake.host}/a/priv": entry(), f"{fake.host}/a/pub": entry("u", "stale")})
    good, bad = await asyncio.gather(
        client.fetch_manifest(private, "t", rights), client.fetch_manifest(public, "t", rights)
    )
    assert (bool(good.scope), good.warnings) == (True, ())
    assert (bool(bad.scope), bad.warnings) == (False, (WARNING,))


@pytest.mark.case("import 4-20")
async def test_a_list_of_tags_is_asked_anonymously_after_a_bad_secret(fake, client):
    place = push(fake)
    fake.require_token(access={"": ["a/b"]}, users={"u": "another"})
    listing = await client.list_tags(place, login(fake.host))
    assert listing.tags == ("t",)
    assert listing.scope == ""


@pytest.mark.parametrize("status", [404, 400, 410])
async def test_only_a_refusal_leads_to_the_next_credential(fake, client, status):
    place = push(fake)
    fake.require_token(users={"first": "p1", "second": "p2"})
    rights = two(fake.host)
    await client.fetch_manifest(place, "t", rights)
    fake.forget_requests()
    fake.on("/a/b/manifests/t", lambda _: Reply(status, b"{}"))
    await refused(client, place, rights)
    assert len(manifests(fake)) == 1


async def test_a_web_page_that_forbids_is_not_argued_with(fake, client):
    place = push(fake)
    fake.on("/a/b/manifests/t", lambda request: Reply(403, b"<html>blocked", PAGE))
    error = await refused(client, place, two(fake.host))
    assert error.code == "http.blocked"
    assert len(fake.requests) == 1


async def test_a_403_before_anything_was_shown_is_final(fake, client):
    place = push(fake)
    fake.on("/a/b/manifests/t", lambda request: Reply(403, DENIED))
    await refused(client, place, two(fake.host))
    assert len(fake.requests) == 1


async def test_a_busy_registry_says_nothing_of_rights(fake, client):
    """The anonymous attempt meets a 503: it is made again, and the image arrives."""
    place = push(fake)
    fake.require_token(users={"u": "another"}, access={"": ["a/b"]})
    failed = []

    def busy(request):
        if request.bearer and not failed:
            failed.append(request)
            return Reply(503)
        return None

    fake.on("/a/b/manifests/t", busy)
    fetched = await client.fetch_manifest(place, "t", login(fake.host))
    assert (fetched.scope, fetched.warnings) == ("", (WARNING,))
    assert len(users(fake.log)) == 1


async def test_anonymous_access_that_was_refused_is_not_asked_for_with_every_tag(fake, client):
    tags = [f"t{number}" for number in range(20)]
    for tag in tags:
        place = push(fake, tag=tag)
    fake.require_token(users={"u": "another"})
    for tag in tags:
        await refused(client, place, login(fake.host), tag)
    assert len(fake.token_requests) == 2
    assert len(fake.requests) <= 5


async def test_a_credential_of_no_use_for_a_password_is_passed_over(fake, client):
    place = push(fake)
    fake.require_basic("u", CANARY)
    rights = access(
        {fake.host: {"identitytoken": "useless"}},
        {fake.host: {"registrytoken": "useless"}},
        {fake.host: entry()},
    )
    fetched = await client.fetch_manifest(place, "t", rights)
    assert fetched.scope == rights.keyring.credentials[2].id


async def test_a_registry_that_turns_from_passwords_to_tokens_is_followed(fake, client):
    place = push(fake)
    fake.require_basic("u", CANARY)
    rights = login(fake.host)
    await client.fetch_manifest(place, "t", rights)
    fake.require_token(users={"u": CANARY})
    assert (await client.fetch_manifest(place, "t", rights)).scope
    fake.require_basic("u", CANARY)
    assert (await client.fetch_manifest(place, "t", rights)).scope
    fake.require_nothing()
    assert (await client.fetch_manifest(place, "t", rights)).digest


@pytest.mark.parametrize("wants", ["basic", "token"])
async def test_a_registry_that_repeats_the_secret_is_not_quoted(fake, client, wants):
    place = push(fake)
    body = json.dumps({"details": CANARY}).encode()
    if wants == "basic":
        fake.on(
            ".*",
            lambda request: Reply(401, body, [("WWW-Authenticate", 'Basic realm="r"')]),
        )
    else:
        fake.require_token(users={"u": CANARY})
        fake.on("/token.*", lambda _: Reply(401, body))
    await refused(client, place, login(fake.host))
