"""Basic and token authentication against a real docker-registry."""

import asyncio
import time

import httpx
import pytest

from models.errors import RegistryDeniedError, RegistryError, status_of
from tests import fixtures as fx
from tests.integration.registry.client_helpers import login_context, make_client
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
MANIFEST = fx.compact(
    {
        "schemaVersion": 2,
        "mediaType": fx.OCI_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": len(CONFIG),
            "digest": fx.digest_of(CONFIG),
        },
        "layers": [],
    }
)
DIGEST = fx.digest_of(MANIFEST)
PASSWORD = "s3:crèt"


def push(registry, repository, *tags):
    for tag in tags or ("t",):
        registry.push(repository, tag=tag, manifest=MANIFEST, config=CONFIG)
    return SourceRepository(registry.host, repository)


@pytest.fixture
async def basic_client(registry_basic):
    client = make_client()
    yield client
    await client.close()


@pytest.fixture
async def token_client(registry_token):
    """A client that trusts the token service, which listens on another port."""
    client = make_client(trusted_realm_hosts={registry_token.host: (registry_token.tokens.host,)})
    yield client
    await client.close()


async def fetch_error(client, source, context, tag="t"):
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(source, tag, context)
    assert PASSWORD not in repr(caught.value)
    return caught.value


@pytest.mark.case("registry 61", "registry 62")
async def test_basic_auth_with_correct_password_succeeds(registry_basic, basic_client):
    source = push(registry_basic, "rights/good")
    context = login_context(registry_basic.host, "team", PASSWORD)
    fetched = await basic_client.fetch_manifest(source, "t", context)
    assert fetched.digest == DIGEST
    assert fetched.scope == context.keyring.credentials[0].id
    blob = await basic_client.fetch_blob(source, fx.digest_of(CONFIG), context)
    assert blob.content == CONFIG
    assert (await basic_client.fetch_tags(source, context)).tags == ("t",)
    assert (await basic_client.head_manifest(source, "t", context)).digest == DIGEST


@pytest.mark.case("registry 61")
async def test_basic_auth_distinguishes_wrong_and_missing_password(registry_basic, basic_client):
    source = push(registry_basic, "rights/bad")
    error = await fetch_error(
        basic_client, source, login_context(registry_basic.host, "team", "wrong")
    )
    assert error.code == "auth.rejected"
    assert status_of(error)["reason"] == "Unauthorized"
    error = await fetch_error(basic_client, source, RequestContext())
    assert isinstance(error, RegistryDeniedError)
    assert error.code == "auth.required"


async def test_wrong_password_is_not_sent_for_every_tag(registry_basic, basic_client):
    tags = [f"t{number}" for number in range(10)]
    source = push(registry_basic, "rights/ten", *tags)
    context = login_context(registry_basic.host, "team", "wrong")
    await asyncio.gather(*(fetch_error(basic_client, source, context, tag) for tag in tags))
    registry_basic.requests()  # waits for the last line of the log
    failed = [
        line
        for line in registry_basic.output.splitlines()
        if "authentication failure" in line and "vars.name=rights/ten" in line
    ]
    assert 1 <= len(failed) <= 2


@pytest.mark.case("registry 63", "registry 64", "registry 65")
async def test_token_is_fetched_once_per_repository(registry_token, token_client):
    tokens = registry_token.tokens
    source, other = push(registry_token, "rights/one", "t", "u"), push(registry_token, "rights/two")
    tokens.allow("team", "pass", "rights/*")
    context = login_context(registry_token.host, "team", "pass")
    for tag in ("t", "u", "t"):
        assert (await token_client.fetch_manifest(source, tag, context)).digest == DIGEST
    assert [each.query["scope"] for each in tokens.token_requests] == [
        ["repository:rights/one:pull"]
    ]
    lines = registry_token.requests("rights/one")
    assert lines.count("GET /v2/rights/one/manifests/u") == 1
    assert lines.count("GET /v2/rights/one/manifests/t") == 3
    await token_client.fetch_manifest(other, "t", context)
    assert tokens.token_requests[-1].query["scope"] == ["repository:rights/two:pull"]
    assert len(tokens.token_requests) == 2


@pytest.mark.case("registry 66")
async def test_expired_token_is_replaced_once(registry_token, token_client):
    tokens = registry_token.tokens
    source = push(registry_token, "rights/expired")
    tokens.allow("team", "pass", "rights/*")
    context = login_context(registry_token.host, "team", "pass")
    tokens.lifetime = -58  # docker-registry tolerates a clock skew of a minute
    await token_client.fetch_manifest(source, "t", context)
    issued = tokens.mint({"rights/expired": ["pull"]})
    url = f"{registry_token.url}/v2/rights/expired/manifests/t"
    deadline = time.monotonic() + 20
    while httpx.head(url, headers={"Authorization": f"Bearer {issued}"}).status_code != 401:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    tokens.lifetime = 300
    tokens.forget_requests()
    assert (await token_client.fetch_manifest(source, "t", context)).digest == DIGEST
    assert len(tokens.token_requests) == 1


@pytest.mark.case("registry 67")
async def test_token_without_access_is_denied(registry_token, token_client):
    source = push(registry_token, "rights/closed")
    registry_token.tokens.allow("team", "pass", "elsewhere/*")
    error = await fetch_error(
        token_client, source, login_context(registry_token.host, "team", "pass")
    )
    assert error.code == "auth.denied_or_missing"
    shown = registry_token.requests("rights/closed").count("GET /v2/rights/closed/manifests/t")
    assert shown <= 3  # without a token, with the credential's, with an anonymous one


async def test_registry_rejecting_its_tokens_receives_two_token_requests(
    registry_token, token_client
):
    source = push(registry_token, "rights/never")
    registry_token.tokens.allow("", "", "rights/*")
    registry_token.tokens.lifetime = -120
    error = await fetch_error(token_client, source, RequestContext())
    assert error.code == "auth.rejected"
    assert len(registry_token.tokens.token_requests) == 2


async def test_anonymous_token_gives_access_to_public_image(registry_token, token_client):
    source = push(registry_token, "rights/public")
    registry_token.tokens.allow("", "", "rights/public")
    fetched = await token_client.fetch_manifest(source, "t", RequestContext())
    assert (fetched.digest, fetched.scope) == (DIGEST, "")
    stale = login_context(registry_token.host, "team", "stale")
    fetched = await token_client.fetch_manifest(source, "t", stale)
    assert (fetched.digest, fetched.scope) == (DIGEST, "")
    assert fetched.warnings
