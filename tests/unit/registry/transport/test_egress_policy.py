"""Which addresses, names, ports and URLs are never dialled."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EgressRefusedError
from worker.registry.transport.egress_policy import (
    DENIED_NETWORKS,
    UNREACHABLE_TEXT,
    Allowance,
    EgressPolicy,
    check_url,
    is_loopback,
    is_public,
    origin_of,
)

SERVER = EgressPolicy()
EMBEDDED = EgressPolicy(embedded=True)
SPECIFIED = """
0/8 10/8 100.64/10 127/8 169.254/16 172.16/12 192.0.0/24 192.0.2/24 192.88.99/24 192.168/16
198.18/15 198.51.100/24 203.0.113/24 224/4 240/4 168.63.129.16/32
::/128 ::1/128 ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32
2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
""".split()  # noqa: SIM905 - as the specification prints it


def network(text):
    """Parse a network in its short form: `10/8`."""
    address, _, length = text.partition("/")
    if ":" not in address:
        address = ".".join([*address.split("."), "0", "0", "0"][:4])
    return ipaddress.ip_network(f"{address}/{length}")


def admits(policy, address, port=443):
    try:
        policy.check_addresses("h.example", port, [ipaddress.ip_address(address)])
    except EgressRefusedError:
        return False
    return True


def refusal(action):
    with pytest.raises(EgressRefusedError) as caught:
        action()
    return caught.value


@pytest.mark.case("registry 170")
def test_denied_networks_equal_the_specified_list():
    assert set(DENIED_NETWORKS) == {network(text) for text in SPECIFIED}


def embedding_addresses(address):
    """Return the IPv6 addresses that embed an IPv4 address."""
    packed = int(address)
    encoded = (
        (0xFFFF << 32) | packed,
        (0x64FF9B << 96) | packed,
        (0x2002 << 112) | (packed << 80),
        (0x20010000 << 96) | packed,
        packed,
    )
    return [ipaddress.IPv6Address(each) for each in encoded]


@pytest.mark.case("registry 170")
@pytest.mark.parametrize("text", SPECIFIED)
def test_denied_network_is_refused_at_both_ends(text):
    denied = network(text)
    for address in (denied[0], denied[-1]):
        assert not admits(SERVER, address), address
        if address.version == 4:
            for embedding in embedding_addresses(address):
                assert not admits(SERVER, embedding), embedding
                assert not admits(EMBEDDED, embedding) or embedding.is_loopback, embedding


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::6810:84e5", "172.15.255.255"])
def test_egress_policy_admits_public_addresses(text):
    assert admits(SERVER, text)
    assert admits(EMBEDDED, text)


@given(st.ip_addresses())
def test_public_address_is_global_and_not_special(address):
    if is_public(address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_private))


def test_one_denied_address_refuses_the_whole_name():
    public_and_private = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]
    for addresses in (public_and_private, public_and_private[::-1]):
        assert (
            refusal(lambda a=addresses: SERVER.check_addresses("h.io", 443, a)).text
            == UNREACHABLE_TEXT
        )


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "a.localhost",
        "printer.local",
        "db.internal",
        "api.default.svc",
        "api.default.svc.cluster.local",
        "metadata",
        "metadata.google.internal",
        "kubernetes",
        "kubernetes.default",
        "redis",
        "REDIS",
        "db.internal.",
    ],
)
def test_internal_names_are_denied_regardless_of_resolution(name):
    assert refusal(lambda: SERVER.check_name(name, 443)).code == "policy.name"


@pytest.mark.parametrize("port", [22, 25, 80, 2375, 5432, 6379, 10250, 65535])
def test_egress_policy_denies_non_registry_ports(port):
    assert refusal(lambda: SERVER.check_name("h.example", port)).code == "policy.port"
    assert refusal(lambda: SERVER.check_name("8.8.8.8", port)).code == "policy.port"


@pytest.mark.parametrize("port", [443, 5000, 5443, 8443])
def test_egress_policy_admits_registry_ports(port):
    SERVER.check_name("h.example", port)


def test_port_80_is_admitted_for_plain_http_only():
    SERVER.check_name("h.example", 80, plain=True)
    assert refusal(lambda: SERVER.check_name("h.example", 80)).code == "policy.port"


def test_embedded_policy_admits_private_but_not_metadata():
    for address in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "::1", "fd00::1"):
        assert admits(EMBEDDED, address, 12345)
    EMBEDDED.check_name("localhost", 12345)
    EMBEDDED.check_name("registry", 5000)
    metadata = ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
    for address in (*metadata, "0.0.0.0", "::", "224.0.0.1", "::ffff:127.0.0.1"):
        assert not admits(EMBEDDED, address), address
    for name in ("metadata.google.internal", "metadata", "METADATA.google.internal."):
        assert refusal(lambda n=name: EMBEDDED.check_name(n, 80)).code == "policy.name"


def test_allowed_host_may_be_private_but_not_metadata():
    policy = EgressPolicy(allowances=(Allowance.parse("reg.internal", 5555),))
    policy.check_name("reg.internal", 5555)
    assert refusal(lambda: policy.check_name("reg.internal", 6379)).code == "policy.name"
    private, metadata = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("169.254.169.254")
    policy.check_addresses("reg.internal", 5555, [private])
    refusal(lambda: policy.check_addresses("reg.internal", 5555, [metadata]))
    refusal(lambda: policy.check_addresses("other.example", 5555, [private]))


def test_allowed_network_admits_addresses_on_its_port():
    policy = EgressPolicy(allowances=(Allowance.parse("10.1.0.0/16", 5555),))
    policy.check_name("10.1.2.3", 5555)
    policy.check_name("reg.corp.example", 5555)
    inside, outside = ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address("10.2.0.1")
    policy.check_addresses("reg.corp.example", 5555, [inside])
    refusal(lambda: policy.check_addresses("reg.corp.example", 5555, [outside]))
    refusal(lambda: policy.check_addresses("reg.corp.example", 5555, [inside, outside]))
    public = ipaddress.ip_address("8.8.8.8")
    refusal(lambda: policy.check_addresses("reg.corp.example", 5555, [public]))
    refusal(lambda: policy.check_name("reg.corp.example", 6379))


def test_allowance_may_be_limited_to_one_namespace():
    policy = EgressPolicy(allowances=(Allowance.parse("10.0.0.1", 443, "a"),))
    policy.for_tenant("a").check_name("10.0.0.1", 443)
    refusal(lambda: policy.for_tenant("b").check_name("10.0.0.1", 443))
    assert SERVER.for_tenant("a") == SERVER.for_tenant("b")


def test_failure_cause_is_revealed_for_allowed_hosts_only():
    policy = EgressPolicy(
        allowances=(Allowance.parse("10.0.0.0/8", 443), Allowance.parse("reg.corp", 443))
    )
    inside, outside = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("8.8.8.8")
    assert policy.may_reveal_cause("10.0.0.1", 443)
    assert policy.may_reveal_cause("reg.corp", 443)
    assert policy.may_reveal_cause("named.example", 443, [inside])
    assert not policy.may_reveal_cause("named.example", 443, [inside, outside])
    assert not policy.may_reveal_cause("named.example", 443)
    assert not policy.may_reveal_cause("10.0.0.1", 444)
    assert not SERVER.may_reveal_cause("quay.io", 443)
    assert EMBEDDED.may_reveal_cause("quay.io", 443)


@pytest.mark.parametrize(
    "url",
    [
        "http://good@evil/",
        "https://u:p@h.io/x",
        "https://localhost%2f@x/",
        "https://h%2eio/",
        "https://h.io\\@evil/",
        "https://h.io/a b",
        "https://h.io/a\tb",
        "https://h.io/a\nb",
        "https://h.io/\x00",
        "https://h.io:0/",
        "https://h.io:99999/",
        "https://h.io:x/",
        "https:///x",
        "https://",
        "//h.io/x",
        "/x",
        "",
        "file:///etc/passwd",
        "ftp://h.io/",
        "gopher://h.io/",
        "unix:/run/x.sock",
        "javascript:alert(1)",
        "https://127.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0/",
        "https://1.2.3/",
        "https://127.0.0.1./",
        "https://bücher.example/",
    ],
)
def test_check_url_refuses_ambiguous_urls(url):
    assert refusal(lambda: check_url(url)).code == "policy.url"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://h.io", ("https", "h.io", 443)),
        ("HTTPS://H.io/x?y=@%2F", ("https", "h.io", 443)),
        ("http://h.io:8080/a%2Fb#c", ("http", "h.io", 8080)),
        ("http://[2606:4700::1]:5000/", ("http", "2606:4700::1", 5000)),
        ("https://xn--bcher-kva.example/", ("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_origin_is_scheme_host_and_port(url, origin):
    assert origin_of(check_url(url)) == origin


@given(st.text(max_size=60))
def test_check_url_accepts_or_refuses_any_text(text):
    for url in (text, f"https://{text}", f"https://h.io/{text}"):
        try:
            parts = check_url(url)
        except EgressRefusedError:
            continue
        assert parts.scheme in {"http", "https"}
        assert parts.hostname
        assert "@" not in parts.netloc


def test_loopback_is_recognized_by_name_and_address():
    for host in ("localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]"):
        assert is_loopback(host)
    for host in ("localhost.example", "128.0.0.1", "h.io"):
        assert not is_loopback(host)
