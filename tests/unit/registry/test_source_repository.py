"""References that become a repository and a path (registry-1.1, registry-1.2, registry-1.5)."""

import random
import string

import pytest

from models.errors import TagstreamError
from models.reference import Reference, normalise_pull_spec
from worker.registry.endpoints import manifest_path
from worker.registry.registry_types import SourceRepository

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


def resolve(text):
    """Resolve a reference as an import does before its first request."""
    reference = Reference.parse(text)
    normalise_pull_spec(reference.exact())
    source = SourceRepository.from_reference(reference)
    tag_or_digest = reference.id or reference.tag or "latest"
    return source, manifest_path(source, tag_or_digest)


@pytest.mark.case("registry 1")
def test_bare_name_resolves_to_docker_hub():
    source, path = resolve("ubuntu")
    assert (source.registry, source.repository) == ("docker.io", "library/ubuntu")
    assert (source.api_host, path) == (
        "registry-1.docker.io",
        "/v2/library/ubuntu/manifests/latest",
    )


@pytest.mark.case("registry 2")
def test_docker_hub_names_are_one_repository():
    hosts = ("docker.io", "index.docker.io", "registry-1.docker.io")
    assert len({resolve(f"{host}/ubuntu")[0] for host in hosts}) == 1


@pytest.mark.case("registry 3", "registry 4")
@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("foo/bar:1.2", "docker.io", "foo/bar"),
        ("foo.bar/baz", "foo.bar", "baz"),
        ("localhost/foo", "localhost", "foo"),
        ("localhost:5000/foo", "localhost:5000", "foo"),
        ("GHCR.io/a/b", "ghcr.io", "a/b"),
    ],
)
def test_first_component_with_dot_port_or_localhost_is_host(text, registry, repository):
    source, _ = resolve(text)
    assert (source.registry, source.repository) == (registry, repository)


@pytest.mark.case("registry 5")
def test_digest_beside_tag_is_fetched():
    assert resolve(f"h.io:5000/a/b:t@{DIGEST}")[1] == f"/v2/a/b/manifests/{DIGEST}"


REFUSED = [
    *("A/b", "h.io/Foo", "a//b", "a/", "/a", "a___b", "a.-b", "a_.b"),
    *(f"a:{'t' * 129}", "a:.x", "a:-x", "a:x\n"),
    *(f"a@sha256:{'A' * 64}", f"a@sha256:{'a' * 63}", "a@", f"a@md5:{'a' * 32}"),
    *(f"a@{DIGEST}@{DIGEST}", "https://h/x", "u:p@h.io/x", "a?b", "a#b", "a%2e", "a\\b"),
    *("a b", "a\tb", "a\x00b", "a" * 2000),
    *("127.1/x", "0x7f.1/x", "2130706433/x", "0:80/x", "1.2.3/x", "h./x", "-h.io/x", "h_x.io/x"),
    *("[fe80::1%25eth0]/x", "١٢.io/x"),
    *("h.io:/x", "h.io:0/x", "h.io:65536/x", "h.io:99999/x", "h.io:+80/x"),
]


@pytest.mark.case(
    "registry 6", "registry 7", "registry 8", "registry 9", "registry 10", "registry 11"
)
@pytest.mark.parametrize("text", REFUSED)
def test_invalid_reference_is_refused_before_request(text):
    if text == "2130706433/x":
        assert resolve(text)[0].registry == "docker.io"  # a name on Docker Hub, never an address
        return
    with pytest.raises(TagstreamError):
        resolve(text)


@pytest.mark.case("registry 6", "registry 7", "registry 8")
@pytest.mark.parametrize(
    "text", ["a__b", "a--b", "h.io/a.b_c", f"a:{'t' * 128}", f"a@sha512:{'a' * 128}"]
)
def test_unusual_valid_reference_is_accepted(text):
    resolve(text)


@pytest.mark.case("registry 12")
def test_image_id_is_refused_as_repository():
    with pytest.raises(TagstreamError, match="64-byte hexadecimal"):
        resolve(HEX)


@pytest.mark.case("registry 13")
def test_random_reference_raises_only_typed_errors():
    generator = random.Random(13)
    letters = string.printable + "ä\u202e\U0001f600"
    resolved = 0
    for _ in range(100_000):
        text = "".join(generator.choices(letters, k=generator.randrange(24)))
        try:
            resolve(text)
        except TagstreamError:
            continue
        resolved += 1
    assert 0 < resolved < 50_000
