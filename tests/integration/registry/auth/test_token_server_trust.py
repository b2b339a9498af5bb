"""Which token servers, named by a registry, receive credentials (registry-11.4, registry-20.8).

The egress policy is that of a server: it admits the hosts of the test and nothing else.
"""

import pytest

from models.errors import EgressRefusedError, RegistryDeniedError, RegistryError, TlsError
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import (
    CANARY,
    login_context,
    make_client,
    manifest_requests,
    push,
    request_context,
    resolve_to_loopback,
    secrets_in,
    server_policy,
)
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext


@pytest.fixture
def site(authority, open_fake):
    """A registry over TLS with two host names of one domain and one of another domain."""
    names = ("reg.example.com", "auth.example.com", "evil.test")
    opened = open_fake(tls=authority.issue(*names))
    opened.names = {name: f"{name}:{opened.port}" for name in names}
    push(opened)
    return opened


@pytest.fixture
async def open_site_client(authority_file):
    """Open clients with a server's policy; every name resolves to loopback."""
    opened = []

    def open_one(*hosts, **config):
        policy = config.pop("policy", None) or server_policy(*hosts)
        opened_client = make_client(
            policy, lookup=resolve_to_loopback, ca_file=authority_file, **config
        )
        opened.append(opened_client)
        return opened_client

    yield open_one
    for client in opened:
        await client.close()


def host_of(request):
    return request.headers["host"].partition(":")[0]


@pytest.mark.case("registry 81")
async def test_token_server_within_domain_receives_credential(site, open_site_client):
    registry, server = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = open_site_client(registry, server)
    fetched = await client.fetch_manifest(
        SourceRepository(registry, "a/b"), "t", login_context(registry)
    )
    assert fetched.scope
    [token_request] = site.token_requests
    assert host_of(token_request) == "auth.example.com"
    assert token_request.basic == ("u", CANARY)


@pytest.mark.case("registry 80")
async def test_foreign_token_server_gets_anonymous_request_and_is_named(site, open_site_client):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = open_site_client(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert caught.value.code == "policy.realm_untrusted"
    assert "reg.example.com" in str(caught.value)
    assert "evil.test" in str(caught.value)
    assert secrets_in(caught.value) == []
    assert site.token_requests
    assert {(host_of(each), each.authorization) for each in site.token_requests} == {
        ("evil.test", "")
    }
    assert site.received(CANARY) == []


async def test_foreign_token_server_refusal_is_reported_as_untrusted(site, open_site_client):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    site.fail_next("/token.*", status=401, times=9)
    client = open_site_client(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert caught.value.code == "policy.realm_untrusted"
    assert site.received(CANARY) == []


async def test_public_image_is_fetched_with_untrusted_token_server(site, open_site_client):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token")
    client = open_site_client(registry, server)
    fetched = await client.fetch_manifest(
        SourceRepository(registry, "a/b"), "t", login_context(registry)
    )
    assert fetched.scope == ""
    assert site.received(CANARY) == []


async def test_operator_trusted_token_server_receives_credential(site, open_site_client):
    registry, server = site.names["reg.example.com"], site.names["evil.test"]
    site.require_token(realm=f"https://{server}/token", users={"u": CANARY})
    client = open_site_client(registry, server, trusted_realm_hosts={registry: (server,)})
    assert (
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    ).scope
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
@pytest.mark.parametrize("with_credential", [True, False])
async def test_realm_at_denied_address_is_never_dialled(
    site, open_site_client, open_fake, realm, with_credential
):
    other = open_fake()
    registry = site.names["reg.example.com"]
    site.require_token(realm=realm.format(other=other.port, port=site.port))
    client = open_site_client(registry)
    context = login_context(registry) if with_credential else RequestContext()
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", context)
    assert caught.value.code.startswith("policy.")
    assert other.connections == 0
    assert site.token_requests == []
    assert site.received(CANARY) == []


@pytest.mark.case("registry 82")
async def test_realm_at_other_loopback_port_is_refused(fake, open_fake):
    other = open_fake()
    source = push(fake)
    fake.require_token(users={"u": CANARY}, at=other)
    client = make_client()
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(source, "t", login_context(fake.host))
    assert caught.value.code == "policy.realm"
    assert other.connections == 0
    await client.close()


@pytest.mark.case("registry 83")
async def test_plain_http_realm_is_requested_over_tls(site, open_site_client):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"http://{registry}/token", users={"u": CANARY})
    client = open_site_client(registry)
    await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert site.token_requests[0].basic == ("u", CANARY)


@pytest.mark.case("registry 84")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_token_request_is_not_redirected_to_other_origin(site, open_site_client, status):
    registry, server = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_token(realm=f"https://{registry}/token", users={"u": CANARY})
    site.redirect("/token.*", f"https://{server}/stolen", status)
    client = open_site_client(registry, server)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert caught.value.code == "policy.redirect"
    assert [each for each in site.log if each.path == "/stolen"] == []


async def test_token_request_follows_redirect_within_origin(site, open_site_client):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"https://{registry}/old", users={"u": CANARY})
    site.on("/old.*", redirect_to_token)
    client = open_site_client(registry)
    await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert site.token_requests[0].basic == ("u", CANARY)


def redirect_to_token(request):
    return Reply(307, b"", [("Location", request.target.replace("/old", "/token"))])


async def test_basic_password_is_bound_to_its_registry(site, open_site_client):
    """A Basic password is bound to the origin, whatever the realm says."""
    registry, other = site.names["reg.example.com"], site.names["auth.example.com"]
    site.require_basic("u", CANARY, realm=f"https://{other}/")
    client = open_site_client(registry, other)
    await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert {host_of(request) for request in site.received(CANARY)} == {"reg.example.com"}
    site.forget_requests()
    with pytest.raises(RegistryDeniedError) as caught:
        await client.fetch_manifest(SourceRepository(other, "a/b"), "t", login_context(registry))
    assert caught.value.code == "auth.required"
    assert site.received(CANARY) == []


async def fetch_over_plain_http(fake, open_site_client, *, build_context, **config):
    source = push(fake)
    name = SourceRepository(fake.host, "a/b", insecure=True)
    client = open_site_client(fake.host, **config)
    return await client.fetch_manifest(name, "t", build_context(source.registry))


@pytest.mark.parametrize("kind", ["basic", "token", "registrytoken"])
async def test_server_sends_no_credential_over_plain_http(fake, open_site_client, kind):
    """`insecure` allows plain http, but not for credentials (registry-20.8)."""
    if kind == "token":
        fake.require_token(users={"u": CANARY})
    else:
        fake.require_basic("u", CANARY)

    def build_context(host):
        return (
            request_context({host: {"registrytoken": CANARY}})
            if kind == "registrytoken"
            else login_context(host)
        )

    with pytest.raises((EgressRefusedError, TlsError)) as caught:
        await fetch_over_plain_http(fake, open_site_client, build_context=build_context)
    assert caught.value.code in {"policy.plain_credentials", "tls.not_tls"}
    assert secrets_in(caught.value) == []
    assert fake.received(CANARY) == []


@pytest.mark.parametrize("kind", ["basic", "token"])
async def test_operator_may_allow_credentials_over_plain_http(fake, open_site_client, kind):
    if kind == "token":
        fake.require_token(users={"u": CANARY})
    else:
        fake.require_basic("u", CANARY)
    fetched = await fetch_over_plain_http(
        fake, open_site_client, build_context=login_context, credentials_over_http=True
    )
    assert fetched.scope
    assert fake.received(CANARY)


async def test_anonymous_token_is_fetched_over_plain_http(fake, open_site_client):
    fake.require_token()
    fetched = await fetch_over_plain_http(
        fake, open_site_client, build_context=lambda _: RequestContext()
    )
    assert fetched.scope == ""


async def test_secure_repository_is_never_requested_over_plain_http(fake, open_site_client):
    push(fake)
    client = open_site_client(fake.host)
    with pytest.raises(TlsError) as caught:
        await client.fetch_manifest(
            SourceRepository(fake.host, "a/b"), "t", login_context(fake.host)
        )
    assert caught.value.code == "tls.not_tls"
    assert fake.log == []


async def test_token_server_failure_names_request_without_query(site, open_site_client):
    registry = site.names["reg.example.com"]
    site.require_token(realm=f"https://{registry}/token?key={CANARY}", users={"u": CANARY})
    site.fail_next("/token.*", status=404, times=9)
    client = open_site_client(registry)
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(SourceRepository(registry, "a/b"), "t", login_context(registry))
    assert f'Get "https://{registry}/v2/a/b/manifests/t": ' in caught.value.text
    assert secrets_in(caught.value) == []
    assert manifest_requests(site)
