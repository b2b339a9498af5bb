"""The two gates before a token server (`registry.md` 3.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EgressRefusedError
from worker.registry.auth.token_realm import (
    check_port,
    may_have_credentials,
    registrable_domain,
    resolve_realm,
    trusted_servers,
)

ASKED = "https://reg.example.com/v2/a/b/manifests/t"


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
def test_a_realm_becomes_an_absolute_https_url(realm, resolved):
    assert resolve_realm(realm, request_url=ASKED, loose=False) == resolved


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
def test_a_realm_with_tricks_is_refused(realm):
    for loose in (False, True):
        with pytest.raises(EgressRefusedError) as caught:
            resolve_realm(realm, request_url=ASKED, loose=loose)
        assert caught.value.code.startswith("policy.")


def test_plain_http_is_for_registries_that_may_be_plain_themselves():
    plain = "http://reg.corp:5000/v2/a/manifests/t"
    assert resolve_realm("http://reg.corp:5000/t", request_url=plain, loose=True)
    with pytest.raises(EgressRefusedError):
        resolve_realm("http://reg.corp:5000/t", request_url=plain, loose=False)


@given(st.text(max_size=60))
def test_no_realm_breaks_the_gate(realm):
    try:
        url = resolve_realm(realm, request_url=ASKED, loose=False)
    except EgressRefusedError:
        return
    assert url.startswith("https://")
    assert "@" not in url.split("/")[2]


@pytest.mark.parametrize(
    ("realm", "asked", "trusted", "ok"),
    [
        ("https://auth.example.com/t", ASKED, (), True),
        ("https://auth.example.com:5000/t", "https://reg.example.com:5000/v2/", (), True),
        ("https://auth.example.com/t", "https://reg.example.com:5000/v2/", (), True),
        ("https://auth.example.com:6379/t", ASKED, (), False),
        ("https://auth.example.com:6379/t", ASKED, ("auth.example.com:6379",), True),
        ("https://auth.example.com:6379/t", ASKED, ("auth.example.com",), False),
    ],
)
def test_a_realm_is_at_https_or_the_registrys_own_port(realm, asked, trusted, ok):
    if ok:
        check_port(realm, request_url=asked, trusted=trusted)
        return
    with pytest.raises(EgressRefusedError) as caught:
        check_port(realm, request_url=asked, trusted=trusted)
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
def test_credentials_may_go_to_the_owners_other_hosts(host, realm):
    assert may(host, realm)


def may(host, realm, *, registry=None, trusted=()):
    return may_have_credentials(
        f"https://{realm}/token",
        request_url=f"https://{host}/v2/a/manifests/t",
        registry=registry or host,
        trusted=trusted,
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
def test_credentials_may_not_go_to_strangers(host, realm):
    assert not may(host, realm)


def test_the_operator_may_name_a_server():
    pair = ("reg.nl-ams.scw.cloud", "api.scaleway.com")
    assert may(*pair, trusted=("api.scaleway.com",))
    assert may(*pair, trusted=("API.scaleway.com:443",))
    assert not may(*pair, trusted=("scaleway.com",))
    assert not may("reg.io", "other.corp:5443", trusted=("other.corp",))
    assert may("reg.io", "other.corp:5443", trusted=("other.corp:5443",))


def test_a_server_is_named_for_a_registry_by_either_of_its_names():
    trusted = {"docker.io": ("one.test",), "registry-1.docker.io": ("two.test",), "x": ("three",)}
    found = trusted_servers(trusted, registry="docker.io", api_host="registry-1.docker.io")
    assert sorted(found) == ["one.test", "two.test"]
    assert list(trusted_servers({}, registry="a", api_host="a")) == []


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
def test_what_somebody_registered(host, domain):
    assert registrable_domain(host) == domain
