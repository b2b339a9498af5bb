"""A registry names its token server; credentials follow only where they are meant to go.

`registry.md` 3.4 and 6.2: a server's own policy admits the hosts of the test and nothing else.
"""

import pytest

from models.errors import EgressRefusedError, RegistryDeniedError, RegistryError, TlsError
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import (
    CANARY,
    access,
    everything_is_here,
    login,
    manifests,
    open_client,
    push,
    secrets_in,
    server_policy,
)
from worker.registry.registry_types import Place
from worker.registry.request_context import Access


@pytest.fixture
def site(authority, open_fake):
    """A registry over TLS that answers to the names of one owner, and to a stranger's."""
    names = ("reg.example.com", "auth.example.com", "evil.test")
    opened = open_fake(tls=authority.issue(*names))
    opened.names = {name: f"{name}:{opened.port}" for name in names}
    push(opened)
    return opened


@pytest.fixture
async def browse(authority_file):
    """Opens clients with a server's policy for which every name means this machine."""
    opened = []

    def open_one(*hosts, **config):
        policy = config.pop("policy", None) or server_policy(*hosts)
        made = open_client(policy, lookup=everything_is_here, ca_file=authority_file, **config)
        opened.append(made)
        return made

    yield open_one
    for client in opened:
        await client.close()


def at(request):
    return request.headers["host"].partition(":")[0]


@pytest.mark.case("registry 81")
async def test_the_owners_own_token_server_sees_the_credential(site, browse):
    registry, server = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = browse(registry, server)
    fetched = await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert fetched.scope
    [asked] = site.token_requests
    assert at(asked) == "auth.example.com"
    assert asked.basic == ("u", CANARY)


@pytest.mark.case("registry 80")
async def test_a_strangers_token_server_is_asked_anonymously_and_named(site, browse):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = browse(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert caught.value.code == "policy.realm_untrusted"
    assert "reg.example.com" in str(caught.value)
    assert "evil.test" in str(caught.value)
    assert secrets_in(caught.value) == []
    assert site.token_requests
    assert {(at(each), each.authorization) for each in site.token_requests} == {("evil.test", "")}
    assert site.received(CANARY) == []


async def test_a_strangers_refusal_of_anonymous_tokens_is_told_alike(site, browse):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    site.fail_next("/token.*", status=401, times=9)
    client = browse(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert caught.value.code == "policy.realm_untrusted"
    assert site.received(CANARY) == []


async def test_a_public_image_needs_no_trust_in_its_token_server(site, browse):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token")
    client = browse(registry, server)
    fetched = await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert fetched.scope == ""
    assert site.received(CANARY) == []


async def test_the_operator_may_trust_a_token_server(site, browse):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = browse(registry, server, trusted_realm_hosts={registry: (server,)})
    assert (await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))).scope
    assert site.token_requests[0].basic == ("u", CANARY)


@pytest.mark.case("registry 82")
@pytest.mark.parametrize(
    "realm",
    [
        "https://reg.example.com:{other}/token",
        "https://127.0.0.1:{other}/token",
        "https://10.0.0.5/token",
        "https://169.254.169.254/token",
        "https://[::1]:{other}/token",
        "http://evil.test:{other}/token",
        "http://evil.test/token",
        "https://localhost:{other}/token",
        "ftp://reg.example.com/token",
        "https://u:p@reg.example.com:{port}/token",
    ],
)
@pytest.mark.parametrize("shows", [True, False])
async def test_a_realm_that_leads_elsewhere_inside_is_never_dialled(
    site, browse, open_fake, realm, shows
):
    other = open_fake()
    registry = site.names["reg.example.com"]
    site.require_token(realm=realm.format(other=other.port, port=site.port))
    client = browse(registry)
    rights = login(registry) if shows else Access()
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(Place(registry, "a/b"), "t", rights)
    assert caught.value.code.startswith("policy.")
    assert other.connections == 0
    assert site.token_requests == []
    assert site.received(CANARY) == []


@pytest.mark.case("registry 82")
async def test_another_port_of_ones_own_machine_is_refused_too(fake, open_fake):
    other = open_fake()
    place = push(fake)
    fake.require_token(users={"u": CANARY}, at=other)
    client = open_client()
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(place, "t", login(fake.host))
    assert caught.value.code == "policy.realm"
    assert other.connections == 0
    await client.close()


@pytest.mark.case("registry 83")
async def test_a_realm_that_forgot_its_tls_is_asked_by_tls(site, browse):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"http://{registry}/token", users={"u": CANARY})
    client = browse(registry)
    await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert site.token_requests[0].basic == ("u", CANARY)


@pytest.mark.case("registry 84")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_token_request_is_not_redirected_to_another_origin(site, browse, status):
    registry, server = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_token(realm=f"https://{registry}/token", users={"u": CANARY})
    site.redirect("/token.*", f"https://{server}/stolen", status)
    client = browse(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert caught.value.code == "policy.redirect"
    assert [each for each in site.log if each.path == "/stolen"] == []


async def test_a_token_request_may_move_within_its_origin(site, browse):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"https://{registry}/old", users={"u": CANARY})
    site.on("/old.*", moved)
    client = browse(registry)
    await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert site.token_requests[0].basic == ("u", CANARY)


def moved(request):
    return Reply(307, b"", [("Location", request.target.replace("/old", "/token"))])


async def test_a_password_goes_to_the_registry_that_it_is_for(site, browse):
    """Basic: bound to the origin, whatever the realm says."""
    registry, other = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_basic("u", CANARY, realm=f"https://{other}/")
    client = browse(registry, other)
    await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert {at(request) for request in site.received(CANARY)} == {"reg.example.com"}
    site.forget_requests()
    with pytest.raises(RegistryDeniedError) as caught:
        await client.fetch_manifest(Place(other, "a/b"), "t", login(registry))
    assert caught.value.code == "auth.required"
    assert site.received(CANARY) == []


async def plain_at_a_server(fake, browse, *, rights, **config):
    place = push(fake)
    name = Place(fake.host, "a/b", insecure=True)
    client = browse(fake.host, **config)
    return await client.fetch_manifest(name, "t", rights(place.registry))


@pytest.mark.parametrize("kind", ["basic", "token", "registrytoken"])
async def test_no_credential_travels_over_plain_http_at_a_server(fake, browse, kind):
    """C4: `insecure` admits plain http, but not for credentials."""
    if kind == "token":
        fake.require_token(users={"u": CANARY})
    else:
        fake.require_basic("u", CANARY)

    def rights(host):
        return access({host: {"registrytoken": CANARY}}) if kind == "registrytoken" else login(host)

    with pytest.raises((EgressRefusedError, TlsError)) as caught:
        await plain_at_a_server(fake, browse, rights=rights)
    assert caught.value.code in {"policy.plain_credentials", "tls.not_tls"}
    assert secrets_in(caught.value) == []
    assert fake.received(CANARY) == []


@pytest.mark.parametrize("kind", ["basic", "token"])
async def test_the_operator_may_let_credentials_travel_over_plain_http(fake, browse, kind):
    if kind == "token":
        fake.require_token(users={"u": CANARY})
    else:
        fake.require_basic("u", CANARY)
    fetched = await plain_at_a_server(fake, browse, rights=login, credentials_over_http=True)
    assert fetched.scope
    assert fake.received(CANARY)


async def test_an_anonymous_token_may_travel_over_plain_http(fake, browse):
    fake.require_token()
    fetched = await plain_at_a_server(fake, browse, rights=lambda _: Access())
    assert fetched.scope == ""


async def test_without_leave_for_plain_http_nothing_is_asked_over_it(fake, browse):
    push(fake)
    client = browse(fake.host)
    with pytest.raises(TlsError) as caught:
        await client.fetch_manifest(Place(fake.host, "a/b"), "t", login(fake.host))
    assert caught.value.code == "tls.not_tls"
    assert fake.log == []


async def test_a_failure_at_the_token_server_names_the_request_and_no_query(site, browse):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"https://{registry}/token?key={CANARY}", users={"u": CANARY})
    site.fail_next("/token.*", status=404, times=9)
    client = browse(registry)
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(Place(registry, "a/b"), "t", login(registry))
    assert f'Get "https://{registry}/v2/a/b/manifests/t": ' in caught.value.text
    assert secrets_in(caught.value) == []
    assert manifests(site)
