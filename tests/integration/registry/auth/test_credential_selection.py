"""Selection among several, rejected and missing credentials.

Rules: registry-8.6, registry-8.7, registry-13.6, imports-2.24.
"""

import asyncio
import json

import pytest

from models.errors import RegistryDeniedError, RegistryError, status_of
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
from tests.manual_clock import ManualClock
from worker.registry.auth.authenticator import ANONYMOUS_FALLBACK_WARNING, Authenticator
from worker.registry.registry_types import RegistryRequest
from worker.registry.request_context import RequestContext

DENIED = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
HTML_HEADERS = [("Content-Type", "text/html")]


@pytest.fixture
async def client():
    opened = make_client()
    yield opened
    await opened.close()


def two_credentials(host, **options):
    return request_context(
        {host: auth_entry("first", "p1")}, {host: auth_entry("second", "p2")}, **options
    )


def sent_users(requests):
    return [request.basic[0] for request in requests if request.basic]


async def fetch_error(client, source, context, reference="t"):
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(source, reference, context)
    assert secrets_in(caught.value) == []
    return caught.value


@pytest.mark.case("registry 93")
async def test_second_credential_is_tried_and_cached(fake, client):
    source = push(fake)
    fake.require_token(users={"first": "p1", "second": "p2"}, access={"second": ["a/b"]})
    context = two_credentials(fake.host)
    fetched = await client.fetch_manifest(source, "t", context)
    assert fetched.scope == context.keyring.credentials[1].id
    assert fetched.warnings == ()
    assert sent_users(fake.token_requests) == ["first", "second"]
    fake.forget_requests()
    await client.fetch_manifest(source, "t", context)
    assert len(fake.requests) == 1


@pytest.mark.case("registry 93")
async def test_bad_password_does_not_hide_good_credential(fake, client):
    source = push(fake)
    fake.require_basic("second", "p2")
    context = two_credentials(fake.host)
    for _ in range(2):
        fetched = await client.fetch_manifest(source, "t", context)
        assert fetched.scope == context.keyring.credentials[1].id
    assert sent_users(fake.log) == ["first", "second", "second"]


async def test_accepted_credential_is_cached_per_tenant_for_hour(fake, client):
    push(fake)
    fake.require_basic("second", "p2")
    clock = ManualClock()
    authenticator = Authenticator(client.exchange, client.config, clock=clock)
    manifest_request = RegistryRequest("GET", f"{fake.url}/v2/a/b/manifests/t", push(fake))
    for _ in range(2):
        await authenticator.request(manifest_request, two_credentials(fake.host, tenant="A"))
    assert sent_users(fake.log) == ["first", "second", "second"]
    await authenticator.request(manifest_request, two_credentials(fake.host, tenant="B"))
    assert sent_users(fake.log)[3:] == ["first", "second"]
    clock.time += 3601
    fake.forget_requests()
    await authenticator.request(manifest_request, two_credentials(fake.host, tenant="A"))
    assert sent_users(fake.log) == ["first", "second"]


async def test_challenge_is_cached_for_ten_minutes(fake, client):
    push(fake)
    fake.require_basic("u", CANARY)
    clock = ManualClock()
    authenticator = Authenticator(client.exchange, client.config, clock=clock)
    manifest_request = RegistryRequest("GET", f"{fake.url}/v2/a/b/manifests/t", push(fake))
    for wait, requests in ((0, 2), (599, 1), (2, 2)):
        clock.time += wait
        fake.forget_requests()
        assert (
            await authenticator.request(manifest_request, login_context(fake.host))
        ).response.status == 200
        assert len(fake.requests) == requests


@pytest.mark.case("registry 85", "import 4-16")
@pytest.mark.parametrize("status", [401, 403])
async def test_rejected_credential_falls_back_to_anonymous_access(fake, client, status):
    source = push(fake)
    fake.require_token()
    fake.on(
        "/token.*",
        lambda request: Reply(status, DENIED) if request.authorization else None,
    )
    fetched = await client.fetch_manifest(source, "t", login_context(fake.host))
    assert fetched.scope == ""
    assert fetched.warnings == (ANONYMOUS_FALLBACK_WARNING,)
    assert ANONYMOUS_FALLBACK_WARNING.startswith("credentials_rejected")


@pytest.mark.case("registry 86", "import 4-17")
async def test_credential_failure_is_reported_when_anonymous_access_fails(fake, client):
    source = push(fake)
    fake.require_token(users={"u": "another"})
    error = await fetch_error(client, source, login_context(fake.host))
    assert error.code == "auth.rejected"
    expected = f'incorrect username or password for image "{fake.host}/a/b:t"'
    assert status_of(error)["message"] == expected
    assert [request.basic for request in fake.token_requests][-1] is None


@pytest.mark.case("registry 86")
async def test_first_of_several_credential_failures_is_reported(fake, client):
    source = push(fake)
    fake.require_token(users={"first": "p1"}, access={"first": ["other"]})
    error = await fetch_error(client, source, two_credentials(fake.host))
    assert error.code == "auth.denied_or_missing"
    assert not getattr(error, "bad_password", False)


@pytest.mark.case("registry 87")
@pytest.mark.parametrize("scheme", ["basic", "token"])
@pytest.mark.parametrize("concurrent", [True, False])
async def test_bad_credential_is_not_sent_for_every_tag(fake, client, scheme, concurrent):
    tags = [f"t{number}" for number in range(50)]
    for tag in tags:
        source = push(fake, tag=tag)
    if scheme == "basic":
        fake.require_basic("u", "another")
    else:
        fake.require_token(users={"u": "another"})
    context = login_context(fake.host)
    if concurrent:
        errors = await asyncio.gather(*(fetch_error(client, source, context, tag) for tag in tags))
    else:
        errors = [await fetch_error(client, source, context, tag) for tag in tags]
    assert {error.code for error in errors} == {"auth.rejected"}
    assert len(sent_users(fake.log)) <= 2


async def test_rejected_password_is_retried_after_two_minutes(fake, client):
    source = push(fake)
    fake.require_basic("u", "another")
    clock = ManualClock()
    authenticator = Authenticator(client.exchange, client.config, clock=clock)
    manifest_request = RegistryRequest("GET", f"{fake.url}/v2/a/b/manifests/t", source)
    for wait, logins in ((0, 1), (119, 0), (2, 1)):
        clock.time += wait
        fake.forget_requests()
        with pytest.raises(RegistryDeniedError):
            await authenticator.request(manifest_request, login_context(fake.host))
        assert len(sent_users(fake.log)) == logins


async def test_corrected_secret_is_tried_at_once(fake, client):
    source = push(fake)
    fake.require_basic("u", CANARY)
    await fetch_error(client, source, login_context(fake.host, "u", "wrong"))
    assert (await client.fetch_manifest(source, "t", login_context(fake.host))).scope


@pytest.mark.case("import 4-19")
async def test_private_image_without_credentials_reports_missing_access(fake, client):
    source = push(fake, "a/private")
    fake.require_token(users={"u": CANARY})
    error = await fetch_error(client, source, RequestContext())
    expected = f'you may not have access to the container image "{fake.host}/a/private:t"'
    assert status_of(error)["message"] == expected


@pytest.mark.case("import 4-18")
async def test_private_image_and_public_image_with_bad_secret_are_fetched(fake, client):
    private, public = push(fake, "a/priv"), push(fake, "a/pub")
    fake.require_token(users={"u": CANARY}, access={"": ["a/pub"], "u": ["a/priv"]})
    context = request_context(
        {f"{fake.host}/a/priv": auth_entry(), f"{fake.host}/a/pub": auth_entry("u", "stale")}
    )
    good, bad = await asyncio.gather(
        client.fetch_manifest(private, "t", context), client.fetch_manifest(public, "t", context)
    )
    assert (bool(good.scope), good.warnings) == (True, ())
    assert (bool(bad.scope), bad.warnings) == (False, (ANONYMOUS_FALLBACK_WARNING,))


@pytest.mark.case("import 4-20")
async def test_tag_list_falls_back_to_anonymous_access(fake, client):
    source = push(fake)
    fake.require_token(access={"": ["a/b"]}, users={"u": "another"})
    listing = await client.fetch_tags(source, login_context(fake.host))
    assert listing.tags == ("t",)
    assert listing.scope == ""


@pytest.mark.parametrize("status", [404, 400, 410])
async def test_only_refusal_leads_to_next_credential(fake, client, status):
    source = push(fake)
    fake.require_token(users={"first": "p1", "second": "p2"})
    context = two_credentials(fake.host)
    await client.fetch_manifest(source, "t", context)
    fake.forget_requests()
    fake.on("/a/b/manifests/t", lambda _: Reply(status, b"{}"))
    await fetch_error(client, source, context)
    assert len(manifest_requests(fake)) == 1


async def test_403_web_page_sends_no_credentials(fake, client):
    source = push(fake)
    fake.on("/a/b/manifests/t", lambda request: Reply(403, b"<html>blocked", HTML_HEADERS))
    error = await fetch_error(client, source, two_credentials(fake.host))
    assert error.code == "http.blocked"
    assert len(fake.requests) == 1


async def test_403_without_challenge_is_final(fake, client):
    source = push(fake)
    fake.on("/a/b/manifests/t", lambda request: Reply(403, DENIED))
    await fetch_error(client, source, two_credentials(fake.host))
    assert len(fake.requests) == 1


async def test_503_during_anonymous_attempt_is_retried(fake, client):
    """The anonymous attempt gets a 503, is retried and succeeds."""
    source = push(fake)
    fake.require_token(users={"u": "another"}, access={"": ["a/b"]})
    failed = []

    def fail_once(request):
        if request.bearer and not failed:
            failed.append(request)
            return Reply(503)
        return None

    fake.on("/a/b/manifests/t", fail_once)
    fetched = await client.fetch_manifest(source, "t", login_context(fake.host))
    assert (fetched.scope, fetched.warnings) == ("", (ANONYMOUS_FALLBACK_WARNING,))
    assert len(sent_users(fake.log)) == 1


async def test_refused_anonymous_access_is_cached_across_tags(fake, client):
    tags = [f"t{number}" for number in range(20)]
    for tag in tags:
        source = push(fake, tag=tag)
    fake.require_token(users={"u": "another"})
    for tag in tags:
        await fetch_error(client, source, login_context(fake.host), tag)
    assert len(fake.token_requests) == 2
    assert len(fake.requests) <= 5


async def test_token_credentials_are_skipped_for_basic_challenge(fake, client):
    source = push(fake)
    fake.require_basic("u", CANARY)
    context = request_context(
        {fake.host: {"identitytoken": "useless"}},
        {fake.host: {"registrytoken": "useless"}},
        {fake.host: auth_entry()},
    )
    fetched = await client.fetch_manifest(source, "t", context)
    assert fetched.scope == context.keyring.credentials[2].id


async def test_client_follows_changed_challenge_scheme(fake, client):
    source = push(fake)
    fake.require_basic("u", CANARY)
    context = login_context(fake.host)
    await client.fetch_manifest(source, "t", context)
    fake.require_token(users={"u": CANARY})
    assert (await client.fetch_manifest(source, "t", context)).scope
    fake.require_basic("u", CANARY)
    assert (await client.fetch_manifest(source, "t", context)).scope
    fake.allow_anonymous()
    assert (await client.fetch_manifest(source, "t", context)).digest


@pytest.mark.parametrize("scheme", ["basic", "token"])
async def test_registry_error_does_not_quote_echoed_secret(fake, client, scheme):
    source = push(fake)
    body = json.dumps({"details": CANARY}).encode()
    if scheme == "basic":
        fake.on(
            ".*",
            lambda request: Reply(401, body, [("WWW-Authenticate", 'Basic realm="r"')]),
        )
    else:
        fake.require_token(users={"u": CANARY})
        fake.on("/token.*", lambda _: Reply(401, body))
    await fetch_error(client, source, login_context(fake.host))
