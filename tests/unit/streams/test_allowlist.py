"""The registry allow-list: upstream's own test tables (`import.md` 2.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UsageError
from models.reference import Reference
from models.streams.registries.registry_allowlist import AllowList, Transport, glob_matches

FOUR = ["localhost:5000", "docker.io", "example.com:*", "registry.com:80"]
ANYHOW = [
    "a.b.c.d.foo.com:80/repo",
    "domain.ltd/a/b",
    "example.com/c/d",
    "index.docker.io/bar",
    "localhost:5000/repo",
    "my.domain.ltd:80/foo:latest",
    "my.domain.ltd/bar:1.3.4",
    "mydomain.ltd/my/repo/sitory",
    "registry.com/repo",
    "registry.foo.com/123",
    "repository:latest",
    "nm/repo:latest",
]
SIX = [*FOUR, "*.foo.com", "*domain.ltd"]


def allow(*domains, insecure=False, internal=""):
    return AllowList.parse([(name, insecure) for name in domains], internal_hostname=internal)


def refusal(allowed, text, transport=Transport.SECURE):
    return allowed.refusal(Reference.parse(text), transport)


def host(allowed, name, transport=Transport.SECURE):
    return allowed.refusal(Reference(registry=name, name="x"), transport)


@pytest.mark.case("import 2-21")
def test_secure_hosts_match_host_and_port():
    allowed = allow(*FOUR)
    for name in ("example.com", "example.com:80", "example.com:5000", "localhost:5000"):
        assert host(allowed, name) == ""
    for name in ("registry-1.docker.io:443", "registry.com:80", "docker.io", "index.docker.io"):
        assert host(allowed, name) == ""
    assert allowed.refusal(Reference(name="busybox"), Transport.SECURE) == ""
    for name in ("localhost:443", "registry.com:443", "registry.com"):
        assert host(allowed, name) == (
            f'registry "{name}" not allowed by whitelist: "localhost:5000", "docker.io:443", '
            '"example.com:*", "registry.com:80"'
        )


@pytest.mark.case("import 2-22")
def test_any_transport_with_insecure_entries():
    allowed = allow(*SIX, insecure=True)
    for text in ANYHOW:
        assert refusal(allowed, text, Transport.ANY) == "", text
    for text in ("foo.com/foo", "my.domain.ltd:443/a/b", "registry.com:443/ab:tag"):
        name = text.split("/")[0]
        assert refusal(allowed, text, Transport.ANY) == (
            f'registry "{name}" not allowed by whitelist: "localhost:5000", "docker.io:80", '
            '"example.com:*", "registry.com:80", and 2 more ...'
        )


@pytest.mark.case("import 2-23")
def test_any_transport_with_secure_entries():
    allowed = allow(*SIX)
    assert host(allowed, "my.domain.ltd:443", Transport.ANY) == ""
    assert host(allowed, "registry.foo.com", Transport.ANY) == ""
    assert host(allowed, "my.domain.ltd:80", Transport.ANY)
    assert host(allowed, "a.b.c.d.foo.com:80", Transport.ANY)


@pytest.mark.case("import 2-24")
def test_a_star_allows_every_host_on_its_port():
    allowed = allow("*")
    for name in ("docker.io", "localhost:443", "localhost"):
        assert host(allowed, name) == ""
    for name in ("localhost:5000", "localhost:80"):
        assert host(allowed, name) == f'registry "{name}" not allowed by whitelist: "*:443"'
        assert host(allow("*:*"), name) == ""


@pytest.mark.case("import 2-25")
def test_an_empty_list_allows_nothing():
    text = AllowList().refusal(Reference(name="busybox"), Transport.SECURE)
    assert text == 'registry "docker.io:443" not allowed by empty whitelist'


@pytest.mark.case("import 2-26")
def test_too_many_colons_are_refused_at_the_start():
    with pytest.raises(UsageError) as caught:
        allow("0:1:2:3")
    assert caught.value.text == 'failed to parse allowed registry "0:1:2:3": too many colons'


@pytest.mark.case("import 2-27")
@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*.docker.io", "registry-1.docker.io", True),
        ("*.docker.io", ".docker.io", True),
        ("*.docker.io", "docker.io", False),
        ("*.docker.io", "fakedocker.io", False),
        ("*.docker.io", "foo.docker.io.fake", False),
        ("???", "foo", True),
        ("???", "aa", False),
        ("*foo.??.registry.*", "barfoo.xx.registry.local", True),
        ("*foo.??.registry.*", "foo.x.registry.foo", False),
        ("a.b", "axb", False),
    ],
)
def test_globs(pattern, text, matches):
    assert glob_matches(pattern, text) is matches


@pytest.mark.case("import 2-28")
def test_a_known_repository_is_allowed_whatever_the_list_says():
    allowed = allow("registry.example.org:5000")
    allowed = allowed.with_repositories([Reference.parse("example.com/image:tag")])
    digest = "sha256:" + "01" * 32
    assert refusal(allowed, f"example.com/image@{digest}") == ""
    assert refusal(allowed, f"example.com/bar@{digest}") == (
        'registry "example.com" not allowed by whitelist: "registry.example.org:5000"'
    )


def test_the_internal_registry_comes_first_and_doubles_are_dropped():
    allowed = allow("quay.io", "quay.io:443", internal="internal:5000")
    assert allowed.entries == (("internal", "5000"), ("quay.io", "443"))
    assert allow(internal="internal").entries == (("internal", "443"),)


def test_docker_hub_goes_by_all_its_names_but_only_under_docker_io():
    """`import.md` 2.3, effects worth testing, for streams."""
    hub = allow("docker.io")
    for text in ("busybox", "docker.io/busybox", "index.docker.io/busybox"):
        assert refusal(hub, text) == ""
    assert refusal(hub, "registry-1.docker.io/library/busybox") == ""
    by_api_name = allow("registry-1.docker.io")
    assert refusal(by_api_name, "busybox")
    assert refusal(by_api_name, "docker.io/busybox") == ""


@given(st.text("ab.*?", max_size=8))
def test_a_pattern_matches_what_its_wildcards_stand_for(pattern):
    assert glob_matches(pattern, pattern.replace("*", "xyz").replace("?", "q"))
    assert glob_matches(pattern, pattern.replace("*", "").replace("?", "q"))
