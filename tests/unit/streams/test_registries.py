"""Blocked, insecure and mirrored registries (`import.md` 2.5, Q9 to Q13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reference import Reference
from models.streams.registries.registry_mirrors import (
    MirrorRule,
    Registries,
    build_registries,
    merge_mirrors,
)

D = "sha256:" + "ab" * 32


def registries(*mirrors, blocked=(), insecure=()):
    return build_registries(blocked, insecure, mirrors)


def idms(source, *mirrors, never=False):
    return MirrorRule(source, mirrors, "digest", never)


def itms(source, *mirrors, never=False):
    return MirrorRule(source, mirrors, "tag", never)


def order(known, text):
    return [found.exact() for found in known.sources(Reference.parse(text))]


@pytest.mark.case("import 2-41")
@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ([["a", "b", "c"], ["c", "d", "e"]], "a b c d e s.io"),
        ([["b", "c"], ["a", "b"]], "a b c s.io"),
        ([["a", "b"], ["b", "a"]], "a b s.io"),
        ([["a", "s.io", "b"]], "a s.io b s.io"),
        ([["s.io"]], "s.io"),
        ([], "s.io"),
    ],
)
def test_mirror_lists_of_one_source_are_merged_as_the_table_says(lists, wanted):
    known = registries(*(idms("s.io", *mirrors) for mirrors in lists))
    found = [name.split("/")[0] for name in order(known, f"s.io/o@{D}")]
    assert found == wanted.split()


@pytest.mark.case("import 2-41")
def test_the_most_specific_definition_alone_counts():
    known = registries(idms("s.io", "a.io"), idms("s.io/o", "b.io/p"))
    assert order(known, f"s.io/o/r@{D}") == [f"b.io/p/r@{D}", f"s.io/o/r@{D}"]
    known = registries(idms("docker.io/library", "m.io/lib"), itms("docker.io", "t.io/hub"))
    assert order(known, "redis:7") == ["redis:7"]
    assert order(known, "user/x:1") == ["t.io/hub/user/x:1", "user/x:1"]


@pytest.mark.case("import 2-41", "import 2-34")
def test_digest_mirrors_serve_digests_and_tag_mirrors_serve_tags():
    known = registries(idms("s.io", "icsp.io"), idms("s.io", "idms.io"), itms("s.io", "tag.io"))
    assert order(known, f"s.io/r@{D}") == [f"icsp.io/r@{D}", f"idms.io/r@{D}", f"s.io/r@{D}"]
    assert order(known, "s.io/r:t") == ["tag.io/r:t", "s.io/r:t"]
    assert order(known, "s.io/r") == ["tag.io/r", "s.io/r"]


@pytest.mark.case("import 2-41")
def test_a_scope_ends_at_a_path_boundary():
    known = registries(idms("s.io/o/r", "m.io/z"))
    assert order(known, f"s.io/o/rr@{D}") == [f"s.io/o/rr@{D}"]


@pytest.mark.case("import 2-40")
def test_docker_hub_is_no_mirror_of_a_repository_of_the_same_path():
    known = registries(idms("quay.io/openshift", "mirror.example.com/openshift"))
    assert order(known, f"docker.io/openshift/test@{D}") == [f"docker.io/openshift/test@{D}"]


@pytest.mark.case("import 2-39")
def test_a_blocked_source_with_a_mirror_is_fetched_from_the_mirror_alone():
    known = registries(idms("quay.io", "mirror.example.com"), blocked=["quay.io"])
    wanted = Reference.parse(f"quay.io/openshift/test@{D}")
    assert not known.is_blocked(wanted)
    assert order(known, str(wanted)) == [f"mirror.example.com/openshift/test@{D}"]
    assert known.is_blocked(Reference.parse("quay.io/openshift/test:1"))


@pytest.mark.case("import 2-37")
def test_a_source_never_to_be_contacted_is_left_out():
    known = registries(itms("src.io/org", "m.io/a", never=True))
    assert order(known, "src.io/org/b:t") == ["m.io/a/b:t"]
    assert order(known, f"src.io/org/b@{D}") == []
    assert not known.is_blocked(Reference.parse("src.io/org/b:t"))


@pytest.mark.case("import 2-38")
def test_tags_are_listed_from_the_tag_mirror_first():
    known = registries(itms("src.io/org", "m.io/a"), idms("src.io/org", "d.io"))
    listed = known.list_sources(Reference.parse("src.io/org/b"))
    assert [place.exact() for place in listed] == ["m.io/a/b", "src.io/org/b"]


def test_a_wildcard_source_is_replaced_up_to_its_path():
    known = registries(idms("*.corp", "m.io/all"))
    assert order(known, f"a.b.corp/x/y@{D}") == [f"m.io/all/x/y@{D}", f"a.b.corp/x/y@{D}"]
    assert order(known, f"corp.io/x@{D}") == [f"corp.io/x@{D}"]


def test_a_scope_without_mirrors_inherits_those_around_it():
    known = registries(idms("s.io", "m.io"), idms("s.io/o", never=True))
    assert order(known, f"s.io/o/r@{D}") == [f"m.io/o/r@{D}"]
    assert order(known, f"s.io/p/r@{D}") == [f"m.io/p/r@{D}", f"s.io/p/r@{D}"]


def test_a_blocked_mirror_is_never_contacted_either():
    known = registries(idms("s.io", "bad.io", "good.io"), blocked=["bad.io"])
    assert order(known, f"s.io/r@{D}") == [f"good.io/r@{D}", f"s.io/r@{D}"]


@pytest.mark.case("import 2-30")
@pytest.mark.parametrize(
    ("scope", "text", "blocked"),
    [
        ("docker.io", "busybox", True),
        ("docker.io", "index.docker.io/library/busybox:1", True),
        ("index.docker.io", "docker.io/x/y", True),
        ("reg.io", "reg.io/a/b:t", True),
        ("reg.io", "reg.io:5000/a/b:t", False),
        ("reg.io/a", "reg.io/a/b:t", True),
        ("reg.io/a", "reg.io/ab:t", False),
        ("*.corp", "x.corp/a", True),
        ("*.corp", "corp/a", False),
        ("REG.io/", "reg.IO/a/b", True),
    ],
)
def test_scopes_block_hosts_paths_and_wildcards(scope, text, blocked):
    assert registries(blocked=[scope]).is_blocked(Reference.parse(text)) is blocked


@pytest.mark.case("import 2-32")
@pytest.mark.parametrize(
    ("scope", "endpoint", "insecure"),
    [
        ("reg.io:5000", "reg.io:5000/a/b", True),
        ("reg.io:5000/a", "reg.io:5000/a/b", True),
        ("reg.io:5000/a", "reg.io:5000/c/b", False),
        ("*.corp", "x.corp/a", True),
        ("mirror.io", "source.io/a", False),
    ],
)
def test_each_endpoint_decides_for_itself_whether_it_is_insecure(scope, endpoint, insecure):
    assert registries(insecure=[scope]).is_insecure(endpoint) is insecure


def test_without_configuration_everything_is_asked_for_where_it_was_written():
    wanted = Reference.parse("redis:7")
    assert Registries().sources(wanted) == (wanted,)
    assert not Registries().is_blocked(wanted)


@given(st.lists(st.lists(st.sampled_from("abcdes"), min_size=1, max_size=5, unique=True)))
def test_a_merge_holds_every_mirror_once_and_never_ends_with_the_source(lists):
    merged = merge_mirrors("s", lists)
    assert len(set(merged)) == len(merged)
    assert set(merged) - {"s"} == {name for each in lists for name in each} - {"s"}
    assert not merged or merged[-1] != "s"


@given(st.permutations("abcd"), st.integers(1, 3))
def test_lists_that_agree_keep_their_order(names, cut):
    assert merge_mirrors("s", [names[: cut + 1], names[cut:]]) == tuple(names)
