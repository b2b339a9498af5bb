"""Blocked, insecure and mirrored registries (imports-2.16 to imports-2.21)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reference import Reference
from models.streams.registries.registry_mirrors import (
    MirrorRule,
    RegistryConfig,
    build_registry_config,
    merge_mirrors,
)

D = "sha256:" + "ab" * 32


def registries(*mirrors, blocked=(), insecure=()):
    return build_registry_config(blocked, insecure, mirrors)


def idms(source, *mirrors, never=False):
    return MirrorRule(source, mirrors, "digest", never)


def itms(source, *mirrors, never=False):
    return MirrorRule(source, mirrors, "tag", never)


def order(known, text):
    return [found.exact() for found in known.manifest_sources(Reference.parse(text))]


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
def test_mirror_lists_of_one_source_are_merged(lists, wanted):
    known = registries(*(idms("s.io", *mirrors) for mirrors in lists))
    found = [name.split("/")[0] for name in order(known, f"s.io/o@{D}")]
    assert found == wanted.split()


@pytest.mark.case("import 2-41")
def test_mirrors_of_most_specific_scope_alone_apply():
    known = registries(idms("s.io", "a.io"), idms("s.io/o", "b.io/p"))
    assert order(known, f"s.io/o/r@{D}") == [f"b.io/p/r@{D}", f"s.io/o/r@{D}"]
    known = registries(idms("docker.io/library", "m.io/lib"), itms("docker.io", "t.io/hub"))
    assert order(known, "redis:7") == ["redis:7"]
    assert order(known, "user/x:1") == ["t.io/hub/user/x:1", "user/x:1"]


@pytest.mark.case("import 2-41", "import 2-34")
def test_mirrors_apply_to_digests_or_tags_by_kind():
    known = registries(idms("s.io", "icsp.io"), idms("s.io", "idms.io"), itms("s.io", "tag.io"))
    assert order(known, f"s.io/r@{D}") == [f"icsp.io/r@{D}", f"idms.io/r@{D}", f"s.io/r@{D}"]
    assert order(known, "s.io/r:t") == ["tag.io/r:t", "s.io/r:t"]
    assert order(known, "s.io/r") == ["tag.io/r", "s.io/r"]


@pytest.mark.case("import 2-41")
def test_mirror_scope_ends_at_path_boundary():
    known = registries(idms("s.io/o/r", "m.io/z"))
    assert order(known, f"s.io/o/rr@{D}") == [f"s.io/o/rr@{D}"]


@pytest.mark.case("import 2-40")
def test_mirror_does_not_apply_to_equal_path_of_docker_hub():
    known = registries(idms("quay.io/openshift", "mirror.example.com/openshift"))
    assert order(known, f"docker.io/openshift/test@{D}") == [f"docker.io/openshift/test@{D}"]


@pytest.mark.case("import 2-39")
def test_blocked_source_with_mirror_is_fetched_from_mirror_alone():
    known = registries(idms("quay.io", "mirror.example.com"), blocked=["quay.io"])
    wanted = Reference.parse(f"quay.io/openshift/test@{D}")
    assert not known.is_blocked(wanted)
    assert order(known, str(wanted)) == [f"mirror.example.com/openshift/test@{D}"]
    assert known.is_blocked(Reference.parse("quay.io/openshift/test:1"))


@pytest.mark.case("import 2-37")
def test_source_never_contacted_is_excluded():
    known = registries(itms("src.io/org", "m.io/a", never=True))
    assert order(known, "src.io/org/b:t") == ["m.io/a/b:t"]
    assert order(known, f"src.io/org/b@{D}") == []
    assert not known.is_blocked(Reference.parse("src.io/org/b:t"))


@pytest.mark.case("import 2-38")
def test_tag_list_sources_begin_with_tag_mirror():
    known = registries(itms("src.io/org", "m.io/a"), idms("src.io/org", "d.io"))
    listed = known.tag_list_sources(Reference.parse("src.io/org/b"))
    assert [source.exact() for source in listed] == ["m.io/a/b", "src.io/org/b"]


def test_mirror_of_wildcard_source_replaces_host():
    known = registries(idms("*.corp", "m.io/all"))
    assert order(known, f"a.b.corp/x/y@{D}") == [f"m.io/all/x/y@{D}", f"a.b.corp/x/y@{D}"]
    assert order(known, f"corp.io/x@{D}") == [f"corp.io/x@{D}"]


def test_mirror_scope_without_mirrors_inherits_outer_ones():
    known = registries(idms("s.io", "m.io"), idms("s.io/o", never=True))
    assert order(known, f"s.io/o/r@{D}") == [f"m.io/o/r@{D}"]
    assert order(known, f"s.io/p/r@{D}") == [f"m.io/p/r@{D}", f"s.io/p/r@{D}"]


def test_blocked_mirror_is_excluded():
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
def test_blocked_scope_matches_host_path_and_wildcard(scope, text, blocked):
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
def test_insecure_scope_applies_to_endpoint_itself(scope, endpoint, insecure):
    assert registries(insecure=[scope]).is_insecure(endpoint) is insecure


def test_registry_config_default_contacts_written_source():
    wanted = Reference.parse("redis:7")
    assert RegistryConfig().manifest_sources(wanted) == (wanted,)
    assert not RegistryConfig().is_blocked(wanted)


@given(st.lists(st.lists(st.sampled_from("abcdes"), min_size=1, max_size=5, unique=True)))
def test_merge_mirrors_contains_each_mirror_once(lists):
    merged = merge_mirrors("s", lists)
    assert len(set(merged)) == len(merged)
    assert set(merged) - {"s"} == {name for each in lists for name in each} - {"s"}
    assert not merged or merged[-1] != "s"


@given(st.permutations("abcd"), st.integers(1, 3))
def test_merge_mirrors_keeps_order_of_agreeing_lists(names, cut):
    assert merge_mirrors("s", [names[: cut + 1], names[cut:]]) == tuple(names)
