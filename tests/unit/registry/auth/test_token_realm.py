"""Checks of a token server before it is contacted (registry-11.1, registry-11.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EgressRefusedError
from worker.registry.auth.token_realm import (
    check_port,
    may_receive_credentials,
    registrable_domain,
    resolve_realm,
    trusted_token_servers,
)

REQUEST_URL = "https://reg.example.com/v2/a/b/manifests/t"


@pytest.mark.parametrize(
    ("realm", "resolved"),
    [
        ("https://auth.example.com/token?x=1", "https://auth.example.com/token?x=1"),
        ("/token", "https://reg.example.com/token"),
        ("//auth.example.com/t", "https://auth.example.com/t"),
        ("http://reg.example.com/token", "https://reg.example.com/token"),
    ],
)
@pytest.mark.case("registry 83")
def test_resolve_realm_returns_absolute_https_url(realm, resolved):
    assert resolve_realm(realm, request_url=REQUEST_URL, allow_plain_http=False) == resolved


@pytest.mark.case("registry 82")
@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "http://evil.test/token",
        "ftp://reg.example.com/token",
        "file:///etc/passwd",
        "https://user:pw@reg.example.com/token",
        "https://reg.example.com@evil.test/token",
        "https://reg.example.com/token#part",
        "https:///token",
        "https://reg.example.com\\@evil.test/",
        "https://0x7f.1/token",
        "https://[bad/token",
        "https://reg.example.com:0/token",
        "https://reg.example.com:99999/token",
        "https://reg.example.com/to ken",
    ],
)
def test_resolve_realm_refuses_ambiguous_realm(realm):
    for allowed in (False, True):
        with pytest.raises(EgressRefusedError) as caught:
            resolve_realm(realm, request_url=REQUEST_URL, allow_plain_http=allowed)
        assert caught.value.code.startswith("policy.")


def test_plain_http_realm_requires_plain_http_registry():
    plain = "http://reg.corp:5000/v2/a/manifests/t"
    assert resolve_realm("http://reg.corp:5000/t", request_url=plain, allow_plain_http=True)
    with pytest.raises(EgressRefusedError):
        resolve_realm("http://reg.corp:5000/t", request_url=plain, allow_plain_http=False)


@given(st.text(max_size=60))
def test_resolve_realm_accepts_or_refuses_any_text(realm):
    try:
        url = resolve_realm(realm, request_url=REQUEST_URL, allow_plain_http=False)
    except EgressRefusedError:
        return
    assert url.startswith("https://")
    assert "@" not in url.split("/")[2]


@pytest.mark.parametrize(
    ("realm", "request_url", "trusted", "is_admitted"),
    [
        ("https://auth.example.com/t", REQUEST_URL, (), True),
        ("https://auth.example.com:5000/t", "https://reg.example.com:5000/v2/", (), True),
        ("https://auth.example.com/t", "https://reg.example.com:5000/v2/", (), True),
        ("https://auth.example.com:6379/t", REQUEST_URL, (), False),
        ("https://auth.example.com:6379/t", REQUEST_URL, ("auth.example.com:6379",), True),
        ("https://auth.example.com:6379/t", REQUEST_URL, ("auth.example.com",), False),
    ],
)
def test_realm_port_is_https_or_registry_port(realm, request_url, trusted, is_admitted):
    if is_admitted:
        check_port(realm, request_url=request_url, trusted_hosts=trusted)
        return
    with pytest.raises(EgressRefusedError) as caught:
        check_port(realm, request_url=request_url, trusted_hosts=trusted)
    assert caught.value.code == "policy.realm"


@pytest.mark.case("registry 81")
@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("registry-1.docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("registry.team.corp", "gitlab.team.corp"),
        ("docker.elastic.co", "docker-auth.elastic.co"),
        ("registry.digitalocean.com", "api.digitalocean.com"),
        ("reg.example.co.uk:5000", "auth.example.co.uk:5000"),
        ("reg.example.com:5000", "reg.example.com:5000"),
        ("reg.example.com:5000", "reg.example.com"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_credentials_may_go_within_registrable_domain(host, realm):
    assert may_receive(host, realm)


def may_receive(host, realm, *, registry=None, trusted=()):
    return may_receive_credentials(
        f"https://{realm}/token",
        request_url=f"https://{host}/v2/a/manifests/t",
        registry=registry or host,
        trusted_hosts=trusted,
    )


@pytest.mark.case("registry 80")
@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("reg.example.com", "evil.test"),
        ("reg.example.com", "example.com.evil.test"),
        ("reg.example.com", "notexample.com"),
        ("reg.example.co.uk", "evil.co.uk"),
        ("alice.github.io", "mallory.github.io"),
        ("reg.nl-ams.scw.cloud", "api.scaleway.com"),
        ("reg.example.com", "reg.example.com:8443"),
        ("127.0.0.1:5000", "127.0.0.2:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5001"),
        ("[::1]:5000", "[::2]:5000"),
        ("reg", "auth"),
        ("localhost", "auth.localhost"),
        ("reg.a.svc", "auth.a.svc"),
        ("reg.a.svc.cluster.local", "auth.b.svc.cluster.local"),
        ("registry.corp", "gitlab.corp"),
    ],
)
def test_credentials_may_not_go_to_foreign_hosts(host, realm):
    assert not may_receive(host, realm)


def test_operator_may_trust_token_server():
    pair = ("reg.nl-ams.scw.cloud", "api.scaleway.com")
    assert may_receive(*pair, trusted=("api.scaleway.com",))
    assert may_receive(*pair, trusted=("API.scaleway.com:443",))
    assert not may_receive(*pair, trusted=("scaleway.com",))
    assert not may_receive("reg.io", "other.corp:5443", trusted=("other.corp",))
    assert may_receive("reg.io", "other.corp:5443", trusted=("other.corp:5443",))


def test_trusted_token_servers_match_registry_and_api_host():
    trusted = {"docker.io": ("one.test",), "registry-1.docker.io": ("two.test",), "x": ("three",)}
    found = trusted_token_servers(trusted, registry="docker.io", api_host="registry-1.docker.io")
    assert sorted(found) == ["one.test", "two.test"]
    assert list(trusted_token_servers({}, registry="a", api_host="a")) == []


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("auth.docker.io", "docker.io"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", ""),
        ("alice.github.io", "alice.github.io"),
        ("10.0.0.1", ""),
        ("[::1]", ""),
        ("localhost", ""),
        ("", ""),
        ("gitlab.team.corp", "team.corp"),
    ],
)
def test_registrable_domain_of_host(host, domain):
    assert registrable_domain(host) == domain
