"""A real docker-registry behind passwords and behind tokens: a second opinion on the fake ones."""

import asyncio
import time

import httpx
import pytest

from models.errors import RegistryDeniedError, RegistryError, status_of
from tests import fixtures as fx
from tests.integration.registry.rights import login, open_client
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

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
    return Place(registry.host, repository)


@pytest.fixture
async def basic(registry_basic):
    client = open_client()
    yield client
    await client.close()


@pytest.fixture
async def bearer(registry_token):
    """A client that trusts the token service, which lives at another port."""
    client = open_client(trusted_realm_hosts={registry_token.host: (registry_token.tokens.host,)})
    yield client
    await client.close()


async def refused(client, place, rights, tag="t"):
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(place, tag, rights)
    assert PASSWORD not in repr(caught.value)
    return caught.value


@pytest.mark.case("registry 61", "registry 62")
async def test_the_right_password_opens_a_registry(registry_basic, basic):
    place = push(registry_basic, "rights/good")
    rights = login(registry_basic.host, "team", PASSWORD)
    fetched = await basic.fetch_manifest(place, "t", rights)
    assert fetched.digest == DIGEST
    assert fetched.scope == rights.keyring.credentials[0].id
    blob = await basic.fetch_blob(place, fx.digest_of(CONFIG), rights)
    assert blob.content == CONFIG
    assert (await basic.list_tags(place, rights)).tags == ("t",)
    assert (await basic.head_manifest(place, "t", rights)).digest == DIGEST


@pytest.mark.case("registry 61")
async def test_a_wrong_password_is_rejected_and_none_is_required(registry_basic, basic):
    place = push(registry_basic, "rights/bad")
    error = await refused(basic, place, login(registry_basic.host, "team", "wrong"))
    assert error.code == "auth.rejected"
    assert status_of(error)["reason"] == "Unauthorized"
    error = await refused(basic, place, Access())
    assert isinstance(error, RegistryDeniedError)
    assert error.code == "auth.required"


async def test_a_wrong_password_is_not_tried_with_every_tag(registry_basic, basic):
    tags = [f"t{number}" for number in range(10)]
    place = push(registry_basic, "rights/ten", *tags)
    rights = login(registry_basic.host, "team", "wrong")
    await asyncio.gather(*(refused(basic, place, rights, tag) for tag in tags))
    registry_basic.requests()  # waits for the last line
    failed = [
        line
        for line in registry_basic.output.splitlines()
        if "authentication failure" in line and "vars.name=rights/ten" in line
    ]
    assert 1 <= len(failed) <= 2


@pytest.mark.case("registry 63", "registry 64", "registry 65")
async def test_a_token_is_fetched_once_for_each_repository(registry_token, bearer):
    tokens = registry_token.tokens
    place, other = push(registry_token, "rights/one", "t", "u"), push(registry_token, "rights/two")
    tokens.allow("team", "pass", "rights/*")
    rights = login(registry_token.host, "team", "pass")
    for tag in ("t", "u", "t"):
        assert (await bearer.fetch_manifest(place, tag, rights)).digest == DIGEST
    assert [each.query["scope"] for each in tokens.token_requests] == [
        ["repository:rights/one:pull"]
    ]
    lines = registry_token.requests("rights/one")
    assert lines.count("GET /v2/rights/one/manifests/u") == 1
    assert lines.count("GET /v2/rights/one/manifests/t") == 3
    await bearer.fetch_manifest(other, "t", rights)
    assert tokens.token_requests[-1].query["scope"] == ["repository:rights/two:pull"]
    assert len(tokens.token_requests) == 2


@pytest.mark.case("registry 66")
async def test_a_token_that_ran_out_early_is_replaced_once(registry_token, bearer):
    tokens = registry_token.tokens
    place = push(registry_token, "rights/expired")
    tokens.allow("team", "pass", "rights/*")
    rights = login(registry_token.host, "team", "pass")
    tokens.lifetime = -58  # docker-registry looks away for a minute
    await bearer.fetch_manifest(place, "t", rights)
    issued = tokens.mint({"rights/expired": ["pull"]})
    url = f"{registry_token.url}/v2/rights/expired/manifests/t"
    until = time.monotonic() + 20
    while httpx.head(url, headers={"Authorization": f"Bearer {issued}"}).status_code != 401:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    tokens.lifetime = 300
    tokens.forget_requests()
    assert (await bearer.fetch_manifest(place, "t", rights)).digest == DIGEST
    assert len(tokens.token_requests) == 1


@pytest.mark.case("registry 67")
async def test_a_token_without_access_ends_in_one_state(registry_token, bearer):
    place = push(registry_token, "rights/closed")
    registry_token.tokens.allow("team", "pass", "elsewhere/*")
    error = await refused(bearer, place, login(registry_token.host, "team", "pass"))
    assert error.code == "auth.denied_or_missing"
    shown = registry_token.requests("rights/closed").count("GET /v2/rights/closed/manifests/t")
    assert shown <= 3  # without rights, by the credential, anonymously


async def test_a_registry_that_never_believes_its_tokens_is_asked_twice(registry_token, bearer):
    place = push(registry_token, "rights/never")
    registry_token.tokens.allow("", "", "rights/*")
    registry_token.tokens.lifetime = -120
    error = await refused(bearer, place, Access())
    assert error.code == "auth.rejected"
    assert len(registry_token.tokens.token_requests) == 2


async def test_anonymous_tokens_open_what_is_public(registry_token, bearer):
    place = push(registry_token, "rights/public")
    registry_token.tokens.allow("", "", "rights/public")
    fetched = await bearer.fetch_manifest(place, "t", Access())
    assert (fetched.digest, fetched.scope) == (DIGEST, "")
    stale = login(registry_token.host, "team", "stale")
    fetched = await bearer.fetch_manifest(place, "t", stale)
    assert (fetched.digest, fetched.scope) == (DIGEST, "")
    assert fetched.warnings
