"""Parsing, defaulting and printing of references (imports-1.1 to imports-1.12)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidReferenceError, TagstreamError
from models.reference import (
    Reference,
    digest_or_image_match,
    normalise_pull_spec,
    parse_stream_image_name,
    parse_stream_tag_name,
    split_stream_tag,
)

HEX = "3c87c572822935df60f0f5d3665bd376841a7fcfeb806b5f212de6a00e9a7b25"
D = f"sha256:{HEX}"

# Input, registry, namespace, name, tag, id, exact, exact after defaults. D and Dhex stand in.
TABLE = [
    ("foo", "", "", "foo", "", "", "foo", "docker.io/library/foo:latest"),
    ("foo:tag", "", "", "foo", "tag", "", "foo:tag", "docker.io/library/foo:tag"),
    ("D", "", "", "sha256", "Dhex", "", "D", "docker.io/library/D"),
    ("foo@D", "", "", "foo", "", "D", "foo@D", "docker.io/library/foo@D"),
    ("foo:tag@D", "", "", "foo", "tag", "D", "foo@D", "docker.io/library/foo@D"),
    ("bar/foo", "", "bar", "foo", "", "", "bar/foo", "docker.io/bar/foo:latest"),
    ("bar/foo:tag", "", "bar", "foo", "tag", "", "bar/foo:tag", "docker.io/bar/foo:tag"),
    ("bar/foo/baz", "", "bar", "foo/baz", "", "", "bar/foo/baz", "docker.io/bar/foo/baz:latest"),
    (
        "bar/library/baz",
        "",
        "bar",
        "library/baz",
        "",
        "",
        "bar/library/baz",
        "docker.io/bar/library/baz:latest",
    ),
    (
        "bar/foo/baz/biz",
        "",
        "bar",
        "foo/baz/biz",
        "",
        "",
        "bar/foo/baz/biz",
        "docker.io/bar/foo/baz/biz:latest",
    ),
    (
        "library/busybox",
        "",
        "library",
        "busybox",
        "",
        "",
        "library/busybox",
        "docker.io/library/busybox:latest",
    ),
    (
        "wildfly:15.0",
        "",
        "",
        "wildfly",
        "15.0",
        "",
        "wildfly:15.0",
        "docker.io/library/wildfly:15.0",
    ),
    (
        "user/repo.name:v1",
        "",
        "user",
        "repo.name",
        "v1",
        "",
        "user/repo.name:v1",
        "docker.io/user/repo.name:v1",
    ),
    ("bar:5000/baz", "bar:5000", "", "baz", "", "", "bar:5000/baz", "bar:5000/baz:latest"),
    (
        "bar:5000/foo/baz",
        "bar:5000",
        "foo",
        "baz",
        "",
        "",
        "bar:5000/foo/baz",
        "bar:5000/foo/baz:latest",
    ),
    (
        "bar:5000/foo/baz:tag",
        "bar:5000",
        "foo",
        "baz",
        "tag",
        "",
        "bar:5000/foo/baz:tag",
        "bar:5000/foo/baz:tag",
    ),
    (
        "bar:5000/foo/baz:tag@D",
        "bar:5000",
        "foo",
        "baz",
        "tag",
        "D",
        "bar:5000/foo/baz@D",
        "bar:5000/foo/baz@D",
    ),
    (
        "host.name:5000/foo",
        "host.name:5000",
        "",
        "foo",
        "",
        "",
        "host.name:5000/foo",
        "host.name:5000/foo:latest",
    ),
    (
        "myregistry.io/foo",
        "myregistry.io",
        "",
        "foo",
        "",
        "",
        "myregistry.io/foo",
        "myregistry.io/foo:latest",
    ),
    (
        "MyRegistry.io/foo",
        "MyRegistry.io",
        "",
        "foo",
        "",
        "",
        "MyRegistry.io/foo",
        "MyRegistry.io/foo:latest",
    ),
    ("quay.io/org", "quay.io", "", "org", "", "", "quay.io/org", "quay.io/org:latest"),
    ("a.b/c.d/e.f:g", "a.b", "c.d", "e.f", "g", "", "a.b/c.d/e.f:g", "a.b/c.d/e.f:g"),
    ("localhost/bar", "localhost", "", "bar", "", "", "localhost/bar", "localhost/bar:latest"),
    (
        "localhost/ns/bar",
        "localhost",
        "ns",
        "bar",
        "",
        "",
        "localhost/ns/bar",
        "localhost/ns/bar:latest",
    ),
    (
        "localhost:5000/bar",
        "localhost:5000",
        "",
        "bar",
        "",
        "",
        "localhost:5000/bar",
        "localhost:5000/bar:latest",
    ),
    (
        "localhostfoo/bar",
        "",
        "localhostfoo",
        "bar",
        "",
        "",
        "localhostfoo/bar",
        "docker.io/localhostfoo/bar:latest",
    ),
    ("127.0.0.1/foo", "127.0.0.1", "", "foo", "", "", "127.0.0.1/foo", "127.0.0.1/foo:latest"),
    (
        "127.0.0.1:5000/foo",
        "127.0.0.1:5000",
        "",
        "foo",
        "",
        "",
        "127.0.0.1:5000/foo",
        "127.0.0.1:5000/foo:latest",
    ),
    (
        "docker.io/myapp",
        "docker.io",
        "",
        "myapp",
        "",
        "",
        "docker.io/myapp",
        "docker.io/library/myapp:latest",
    ),
    (
        "docker.io/library/myapp",
        "docker.io",
        "library",
        "myapp",
        "",
        "",
        "docker.io/library/myapp",
        "docker.io/library/myapp:latest",
    ),
    (
        "docker.io/user/project/myapp",
        "docker.io",
        "user",
        "project/myapp",
        "",
        "",
        "docker.io/user/project/myapp",
        "docker.io/user/project/myapp:latest",
    ),
    (
        "docker.io:443/library/foo",
        "docker.io:443",
        "library",
        "foo",
        "",
        "",
        "docker.io:443/library/foo",
        "docker.io:443/library/foo:latest",
    ),
    (
        "index.docker.io/bar",
        "index.docker.io",
        "",
        "bar",
        "",
        "",
        "index.docker.io/bar",
        "index.docker.io/library/bar:latest",
    ),
    (
        "index.docker.io/library/bar:1",
        "index.docker.io",
        "library",
        "bar",
        "1",
        "",
        "index.docker.io/library/bar:1",
        "index.docker.io/library/bar:1",
    ),
    (
        "registry-1.docker.io/bar",
        "registry-1.docker.io",
        "",
        "bar",
        "",
        "",
        "registry-1.docker.io/bar",
        "registry-1.docker.io/library/bar:latest",
    ),
    ("Foo/bar", "", "Foo", "bar", "", "", "Foo/bar", "docker.io/Foo/bar:latest"),
    (
        "foo__bar/baz",
        "",
        "foo__bar",
        "baz",
        "",
        "",
        "foo__bar/baz",
        "docker.io/foo__bar/baz:latest",
    ),
    ("foo--bar", "", "", "foo--bar", "", "", "foo--bar", "docker.io/library/foo--bar:latest"),
    ("foo:_ok", "", "", "foo", "_ok", "", "foo:_ok", "docker.io/library/foo:_ok"),
    ("foo:TAG", "", "", "foo", "TAG", "", "foo:TAG", "docker.io/library/foo:TAG"),
    ("localhost", "localhost", "", "", "", "", "", ""),
    ("localhost:5000", "localhost:5000", "", "", "", "", "", ""),
    ("localhostess", "localhostess", "", "", "", "", "", ""),
    ("quay.io", "quay.io", "", "", "", "", "", ""),
    ("quay.io:latest", "quay.io:latest", "", "", "", "", "", ""),
    ("foo.bar", "foo.bar", "", "", "", "", "", ""),
    ("foo.bar:tag", "foo.bar:tag", "", "", "", "", "", ""),
    ("foo.bar@D", "foo.bar@D", "", "", "", "D", "", ""),
]


def expand_digest(cell):
    if cell == "Dhex":
        return HEX
    if cell == "D":
        return D
    if cell.endswith(("@D", "/D")):
        return cell[:-1] + D
    return cell


@pytest.mark.case("import 1-1")
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_reference_parse_and_exact_match_table(row):
    text, registry, namespace, name, tag, digest, exact, defaulted = map(expand_digest, row)
    parsed = Reference.parse(text)
    assert parsed == Reference(registry, namespace, name, tag, digest)
    assert parsed.exact() == exact
    assert parsed.with_defaults().exact() == defaulted


INVALID = {
    "repository name must have at least one component": [""],
    "repository name must be lowercase": [
        "Foo",
        "foo/Bar",
        "registry:3000/integration/imageStream:success",
    ],
    "invalid reference format": [
        *("*", "*:latest", ":tag", "@" + D, "abc@badid", "a/b@sha256:something"),
        *("index.docker.io/mysql@sha256:bad", "https://bar:5000/foo/baz", "//foo/baz/biz"),
        *("/foo", "foo/", "bar/foo/baz////biz", "a-|///bbb", "-foo", "foo-", "foo_", "foo..bar"),
        *("foo._bar", "foo___bar", "foo bar", " foo", "foo\n", "föö", "a:b:c", "host:foo/bar"),
        *("foo:bar/baz", "foo.com./bar", "[::1]:5000/foo", "registry.io/foo/bar/:Tag"),
        *("foo:.bad", "foo:-bad", "foo:" + "t" * 129),
    ],
    "invalid checksum digest length": [
        "registry:5000/integration/test-image-stream@sha256:" + "a" * 32,
        "foo@sha512:" + "a" * 64,
    ],
    "unsupported digest algorithm": ["foo@md5:" + "a" * 32, "foo@SHA256:" + "a" * 64],
    "repository name must not be more than 255 characters": [
        "b" * 256,
        "docker.io/" + "b" * 246,
        "bar:5000/" + "a" * 63 + "/" + "b" * 183 + ":tag",
    ],
}


@pytest.mark.case("import 1-2")
@pytest.mark.parametrize(
    ("text", "message"), [(text, message) for message, texts in INVALID.items() for text in texts]
)
def test_reference_parse_of_invalid_text_raises_upstream_message(text, message):
    with pytest.raises(InvalidReferenceError) as refused:
        Reference.parse(text)
    assert refused.value.text == message


def test_reference_parse_accepts_longest_name_and_tag():
    assert Reference.parse("bar:5000/" + "a" * 63 + "/" + "b" * 182 + ":tag").tag == "tag"
    assert Reference.parse("foo:" + "t" * 128).tag == "t" * 128


@pytest.mark.case("import 1-3")
def test_reference_prefers_digest_and_keeps_tag():
    both = Reference.parse(f"foo:tag@{D}")
    assert both.most_specific().exact() == f"foo@{D}"
    full = both.with_defaults()
    assert (full.tag, full.id, full.exact()) == ("tag", D, f"docker.io/library/foo@{D}")


@pytest.mark.case("import 1-4")
@pytest.mark.parametrize(
    "text",
    [
        "redis",
        "docker.io/redis",
        "index.docker.io/library/redis:latest",
        "registry-1.docker.io/library/redis",
    ],
)
def test_reference_names_of_docker_hub_are_one_repository(text):
    full = Reference.parse(text).with_defaults()
    assert full.registry_url() == "https://registry-1.docker.io"
    assert full.repository_name() == "library/redis"


@pytest.mark.case("import 1-5")
@pytest.mark.parametrize(
    ("text", "secure", "insecure"),
    [
        ("busybox", "docker.io:443", "docker.io:80"),
        ("docker.io/busybox", "registry-1.docker.io:443", "registry-1.docker.io:80"),
        ("quay.io/a/b", "quay.io:443", "quay.io:80"),
        ("host:5000/a", "host:5000", "host:5000"),
    ],
)
def test_registry_host_port_defaults_port_for_allow_list(text, secure, insecure):
    parsed = Reference.parse(text)
    assert ":".join(parsed.registry_host_port(insecure=False)) == secure
    assert ":".join(parsed.registry_host_port(insecure=True)) == insecure


@pytest.mark.case("import 1-6")
@pytest.mark.parametrize(
    ("text", "minimal"),
    [
        ("docker.io/library/foo:latest", "docker.io/foo"),
        ("index.docker.io/foo:1", "docker.io/foo:1"),
        ("quay.io/a/b:latest", "quay.io/a/b"),
    ],
)
def test_daemon_minimal_returns_short_form(text, minimal):
    assert Reference.parse(text).daemon_minimal().exact() == minimal


@pytest.mark.case("import 1-7")
def test_reference_equals_its_full_form():
    assert Reference.parse("foo").equals(Reference.parse("docker.io/library/foo:latest"))
    assert not Reference.parse("foo").equals(Reference.parse("quay.io/library/foo:latest"))


@pytest.mark.case("import 1-8")
@pytest.mark.parametrize(
    "text", ["a-" * 20_000 + "a:", "a" * 255 + "-" * 255 + "!", "a-" * 250 + "!"]
)
def test_reference_parse_of_hostile_text_is_fast(text):
    started = time.perf_counter()
    with pytest.raises(InvalidReferenceError):
        Reference.parse(text)
    assert time.perf_counter() - started < 0.1


@pytest.mark.case("import 1-9")
@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "busybox:glibc",
        f"docker.io/busybox@{D}",
        f"docker.io/busybox:latest@{D}",
        "library/busybox:1",
    ],
)
def test_repository_key_is_equal_for_all_names(text):
    assert Reference.parse(text).repository_key() == "docker.io/library/busybox"


@pytest.mark.case("import 1-10")
def test_stream_tag_and_image_names_are_split():
    assert split_stream_tag("is:") == ("is", "latest", True)
    assert split_stream_tag("is") == ("is", "latest", False)
    assert parse_stream_tag_name("is:t") == ("is", "t")
    for text, message in {
        "is:": 'image stream tag name "is:" must have a name and a tag',
        "is": 'expected exactly one : delimiter in the istag "is"',
        "is@D": '"is@D" is an image stream image, not an image stream tag',
    }.items():
        with pytest.raises(InvalidReferenceError) as refused:
            parse_stream_tag_name(text)
        assert refused.value.text == message
    assert parse_stream_image_name(f"is@{D}") == ("is", D)
    with pytest.raises(InvalidReferenceError, match="exactly one @"):
        parse_stream_image_name("is")


def test_digest_or_image_match_accepts_prefix_of_hex_or_name():
    assert digest_or_image_match(D, HEX[:12])
    assert digest_or_image_match(D, "sha256:3c")
    assert digest_or_image_match("12345", "12")
    assert not digest_or_image_match(D, "ffff")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("foo:t", "docker.io/library/foo:t"),
        ("index.docker.io/foo", "docker.io/library/foo"),
        ("registry-1.docker.io/library/foo:1", "registry-1.docker.io/library/foo:1"),
        (f"REG.io/a/b@{D}", f"REG.io/a/b@{D}"),
        ("localhost/foo:1", "localhost/foo:1"),
        ("h:5000/a/b:t", "h:5000/a/b:t"),
    ],
)
def test_normalise_pull_spec_returns_name_of_error_texts(text, name):
    assert normalise_pull_spec(text) == name


@pytest.mark.case("import 4-24")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b@sha256:" + HEX.upper(), "invalid checksum digest format"),
        ("Foo/bar:1", "Foo/bar:1: repository name must be lowercase"),
        ("", "unable to parse docker reference : invalid reference format"),
        ("*:latest", "unable to parse docker reference *:latest: invalid reference format"),
    ],
)
def test_normalise_pull_spec_rejects_invalid_reference(text, message):
    with pytest.raises(TagstreamError) as refused:
        normalise_pull_spec(text)
    assert refused.value.message == f"Internal error occurred: {message}"


COMPONENT = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?", fullmatch=True)
REFERENCES = st.builds(
    lambda host, names, tag, digest: (
        (f"{host}/" if host else "")
        + "/".join(names)
        + (f":{tag}" if tag else "")
        + (f"@{digest}" if digest else "")
    ),
    st.sampled_from(["", "quay.io", "localhost:5000", "docker.io"]),
    st.lists(COMPONENT, min_size=2, max_size=4),
    st.sampled_from(["", "latest", "1.0-rc_1"]),
    st.just(""),
)


@given(REFERENCES)
def test_reference_exact_parses_back_to_equal_reference(text):
    parsed = Reference.parse(text)
    assert Reference.parse(parsed.exact()) == parsed


@given(st.text(max_size=60))
def test_reference_parse_of_any_text_raises_only_typed_error(text):
    try:
        parsed = Reference.parse(text)
    except InvalidReferenceError:
        return
    assert text in {parsed.exact(), parsed.registry} or parsed.id
