"""The client's own door: which references ever become a place and a path (`registry.md` 1)."""

import random
import string

import pytest

from models.errors import TagstreamError
from models.reference import Reference, normalise_name
from worker.registry.endpoints import manifest_path
from worker.registry.registry_types import Place

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


def enter(text):
    """What an import does with a reference before anything goes on the wire."""
    reference = Reference.parse(text)
    normalise_name(reference.exact())
    place = Place.of(reference)
    wanted = reference.id or reference.tag or "latest"
    return place, manifest_path(place, wanted)


@pytest.mark.case("registry 1")
def test_a_bare_name_is_on_docker_hub():
    place, path = enter("ubuntu")
    assert (place.registry, place.repository) == ("docker.io", "library/ubuntu")
    assert (place.api_host, path) == (
        "registry-1.docker.io",
        "/v2/library/ubuntu/manifests/latest",
    )


@pytest.mark.case("registry 2")
def test_the_three_names_of_docker_hub_are_one_place():
    hosts = ("docker.io", "index.docker.io", "registry-1.docker.io")
    assert len({enter(f"{host}/ubuntu")[0] for host in hosts}) == 1


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
def test_a_first_part_with_dot_port_or_localhost_is_a_host(text, registry, repository):
    place, _ = enter(text)
    assert (place.registry, place.repository) == (registry, repository)


@pytest.mark.case("registry 5")
def test_a_digest_beside_a_tag_is_what_gets_fetched():
    assert enter(f"h.io:5000/a/b:t@{DIGEST}")[1] == f"/v2/a/b/manifests/{DIGEST}"


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
def test_what_no_registry_could_mean_goes_no_further(text):
    if text == "2130706433/x":
        assert enter(text)[0].registry == "docker.io"  # a name on Docker Hub, never an address
        return
    with pytest.raises(TagstreamError):
        enter(text)


@pytest.mark.case("registry 6", "registry 7", "registry 8")
@pytest.mark.parametrize(
    "text", ["a__b", "a--b", "h.io/a.b_c", f"a:{'t' * 128}", f"a@sha512:{'a' * 128}"]
)
def test_what_the_grammar_admits_is_admitted(text):
    enter(text)


@pytest.mark.case("registry 12")
def test_an_image_id_is_no_repository():
    with pytest.raises(TagstreamError, match="64-byte hexadecimal"):
        enter(HEX)


@pytest.mark.case("registry 13")
def test_random_texts_raise_only_typed_errors():
    dice = random.Random(13)
    letters = string.printable + "ä\u202e\U0001f600"
    entered = 0
    for _ in range(100_000):
        text = "".join(dice.choices(letters, k=dice.randrange(24)))
        try:
            enter(text)
        except TagstreamError:
            continue
        entered += 1
    assert 0 < entered < 50_000
