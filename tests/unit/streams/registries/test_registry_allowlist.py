"""The registry allow-list, with upstream's own test tables (imports-2.6, imports-2.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UsageError
from models.reference import Reference
from models.streams.registries.registry_allowlist import AllowList, Transport, glob_matches

FOUR_ENTRIES = ["localhost:5000", "docker.io", "example.com:*", "registry.com:80"]
INSECURE_REFERENCES = [
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
SIX_ENTRIES = [*FOUR_ENTRIES, "*.foo.com", "*domain.ltd"]


def allow(*domains, insecure=False, internal=""):
    return AllowList.parse([(name, insecure) for name in domains], internal_hostname=internal)


def refusal(allowed, text, transport=Transport.SECURE):
    return allowed.refusal_reason(Reference.parse(text), transport)


def host(allowed, name, transport=Transport.SECURE):
    return allowed.refusal_reason(Reference(registry=name, name="x"), transport)


@pytest.mark.case("import 2-21")
def test_allow_list_matches_secure_host_and_port():
    allowed = allow(*FOUR_ENTRIES)
    for name in ("example.com", "example.com:80", "example.com:5000", "localhost:5000"):
        assert host(allowed, name) == ""
    for name in ("registry-1.docker.io:443", "registry.com:80", "docker.io", "index.docker.io"):
        assert host(allowed, name) == ""
    assert allowed.refusal_reason(Reference(name="busybox"), Transport.SECURE) == ""
    for name in ("localhost:443", "registry.com:443", "registry.com"):
        assert host(allowed, name) == (
            f'registry "{name}" not allowed by whitelist: "localhost:5000", "docker.io:443", '
            '"example.com:*", "registry.com:80"'
        )


@pytest.mark.case("import 2-22")
def test_allow_list_of_insecure_entries_with_any_transport():
    allowed = allow(*SIX_ENTRIES, insecure=True)
    for text in INSECURE_REFERENCES:
        assert refusal(allowed, text, Transport.ANY) == "", text
    for text in ("foo.com/foo", "my.domain.ltd:443/a/b", "registry.com:443/ab:tag"):
        name = text.split("/")[0]
        assert refusal(allowed, text, Transport.ANY) == (
            f'registry "{name}" not allowed by whitelist: "localhost:5000", "docker.io:80", '
            '"example.com:*", "registry.com:80", and 2 more ...'
        )


@pytest.mark.case("import 2-23")
def test_allow_list_of_secure_entries_with_any_transport():
    allowed = allow(*SIX_ENTRIES)
    assert host(allowed, "my.domain.ltd:443", Transport.ANY) == ""
    assert host(allowed, "registry.foo.com", Transport.ANY) == ""
    assert host(allowed, "my.domain.ltd:80", Transport.ANY)
    assert host(allowed, "a.b.c.d.foo.com:80", Transport.ANY)


@pytest.mark.case("import 2-24")
def test_allow_list_star_allows_every_host_on_its_port():
    allowed = allow("*")
    for name in ("docker.io", "localhost:443", "localhost"):
        assert host(allowed, name) == ""
    for name in ("localhost:5000", "localhost:80"):
        assert host(allowed, name) == f'registry "{name}" not allowed by whitelist: "*:443"'
        assert host(allow("*:*"), name) == ""


@pytest.mark.case("import 2-25")
def test_allow_list_without_entries_allows_nothing():
    text = AllowList().refusal_reason(Reference(name="busybox"), Transport.SECURE)
    assert text == 'registry "docker.io:443" not allowed by empty whitelist'


@pytest.mark.case("import 2-26")
def test_allow_list_parse_rejects_too_many_colons():
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
def test_glob_matches_whole_text(pattern, text, matches):
    assert glob_matches(pattern, text) is matches


@pytest.mark.case("import 2-28")
def test_allow_list_admits_known_repository():
    allowed = allow("registry.example.org:5000")
    allowed = allowed.with_repositories([Reference.parse("example.com/image:tag")])
    digest = "sha256:" + "01" * 32
    assert refusal(allowed, f"example.com/image@{digest}") == ""
    assert refusal(allowed, f"example.com/bar@{digest}") == (
        'registry "example.com" not allowed by whitelist: "registry.example.org:5000"'
    )


def test_allow_list_begins_with_internal_registry_without_duplicates():
    allowed = allow("quay.io", "quay.io:443", internal="internal:5000")
    assert allowed.entries == (("internal", "5000"), ("quay.io", "443"))
    assert allow(internal="internal").entries == (("internal", "443"),)


def test_allow_list_entry_docker_io_admits_all_hub_names():
    """The effects of an entry on names of Docker Hub (imports-2.9)."""
    hub = allow("docker.io")
    for text in ("busybox", "docker.io/busybox", "index.docker.io/busybox"):
        assert refusal(hub, text) == ""
    assert refusal(hub, "registry-1.docker.io/library/busybox") == ""
    by_api_name = allow("registry-1.docker.io")
    assert refusal(by_api_name, "busybox")
    assert refusal(by_api_name, "docker.io/busybox") == ""


@given(st.text("ab.*?", max_size=8))
def test_glob_matches_expansion_of_its_wildcards(pattern):
    assert glob_matches(pattern, pattern.replace("*", "xyz").replace("?", "q"))
    assert glob_matches(pattern, pattern.replace("*", "").replace("?", "q"))
