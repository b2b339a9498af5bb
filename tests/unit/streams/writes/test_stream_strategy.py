"""Generations and derived fields of stream writes (imports-6.1 to imports-6.4, imports-6.11)."""

import pytest

from models.resources.stream import TagReference
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_strategy import decorate, is_tag_changed, specs_equal
from models.streams.writes.stream_update import apply_status_write, apply_write
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    NOON,
    event,
    history,
    items,
    spec_tag,
    stream_of,
)

RULES = ImportRules()


def write(old, new, **rest):
    return apply_write(old, new, now=NOON, rules=rest.pop("rules", RULES), **rest)


@pytest.mark.case("import 6-1")
def test_create_sets_generation_one_and_drops_status():
    sent = stream_of(
        [
            spec_tag("a", "x", generation=9),
            spec_tag("b", "x", generation=0),
            spec_tag("c", "x", generation=None),
        ],
        [history("a", event("r", DIGEST_1))],
        generation=7,
    )
    made = write(None, sent)
    assert made.metadata.generation == 1
    assert [tag.generation for tag in made.spec.tags] == [1, 1, 1]
    assert made.status.tags == []


OLD = stream_of(
    [spec_tag("t", "quay.io/a/b:1", generation=3), spec_tag("other", "x", generation=2)],
    [history("t", event("r", DIGEST_1, 3))],
    generation=5,
)


def changed(**change):
    return OLD.with_spec_tag(
        TagReference.model_validate({**spec_tag("t", "quay.io/a/b:1", generation=3), **change})
    )


@pytest.mark.case("import 6-2")
@pytest.mark.parametrize(
    ("new", "stream_generation", "tag_generation"),
    [
        (OLD, 5, 3),
        (OLD.replace(metadata=OLD.metadata.replace(labels={"a": "b"}, generation=99)), 5, 3),
        (changed(generation=0), 6, 6),
        (changed(generation=77), 5, 3),
        (changed(generation=None), 5, 3),
        (changed(annotations={}), 5, 3),
        (changed(**{"from": {"kind": "DockerImage", "name": "quay.io/a/b:2"}}), 6, 6),
        (changed(importPolicy={"importMode": "PreserveOriginal"}), 6, 6),
        (changed(reference=True), 6, 6),
        (changed(importPolicy={"scheduled": True}), 6, 3),
        (changed(importPolicy={"insecure": True}), 6, 3),
        (changed(referencePolicy={"type": "Local"}), 6, 3),
        (changed(annotations={"a": "b"}), 6, 3),
        (OLD.replace(spec=OLD.spec.replace(docker_image_repository="a/b")), 6, 3),
        (
            OLD.replace(
                spec=OLD.spec.replace(lookup_policy=OLD.spec.lookup_policy.replace(local=True))
            ),
            6,
            3,
        ),
    ],
)
def test_update_raises_generation_of_stream_and_changed_tag(new, stream_generation, tag_generation):
    made = write(OLD, new)
    assert made.metadata.generation == stream_generation
    assert made.spec_tag("t").generation == tag_generation
    assert made.spec_tag("other").generation == 2


@pytest.mark.case("import 6-2")
def test_update_of_source_kind_raises_only_stream_generation():
    old = stream_of([spec_tag("t", "a", kind="ImageStreamTag", generation=3)], generation=5)
    new = stream_of([spec_tag("t", "a", kind="DockerImage", generation=3)], generation=5)
    made = write(old, new)
    assert (made.metadata.generation, made.spec_tag("t").generation) == (6, 3)


@pytest.mark.case("import 6-2")
def test_update_removing_tag_keeps_its_history():
    new = OLD.replace(spec=OLD.spec.replace(tags=[OLD.spec_tag("other")]))
    made = write(OLD, new)
    assert made.metadata.generation == 6
    assert items(made, "t") == [(DIGEST_1, 3)]


def test_update_ignores_status_and_drops_empty_histories():
    old = OLD.with_status_tag(stream_of(status=[history("void")]).status.tags[0])
    new = old.with_status_tag(
        stream_of(status=[history("t", event("r", DIGEST_2, 9))]).status.tags[0]
    )
    made = write(old, new)
    assert [tag.tag for tag in made.status.tags] == ["t"]
    assert items(made, "t") == [(DIGEST_1, 3)]


def tag(kind="ImageStreamTag", name="", namespace="", **rest):
    return TagReference.model_validate(
        {"name": "t", "from": {"kind": kind, "name": name, "namespace": namespace}, **rest}
    )


OWN_NAMESPACE, OTHER_NAMESPACE = "streamnamespace", "another"


@pytest.mark.case("import 6-3")
@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (TagReference(name="t"), TagReference(name="t"), False),
        (tag(name="foo"), tag(name="foo"), False),
        (tag(name="foo"), tag(name="bar"), True),
        (TagReference(name="t"), tag(kind=""), False),
        (TagReference(name="t"), tag(namespace=OTHER_NAMESPACE), True),
        (tag(), tag(namespace=OTHER_NAMESPACE), True),
        (tag(namespace="something"), tag(namespace=OTHER_NAMESPACE), True),
        (tag(namespace="something"), tag(), True),
        (tag(name="other:latest"), tag(name="other:other", namespace=OWN_NAMESPACE), True),
        (tag(name="other:latest", namespace=OWN_NAMESPACE), tag(name="other:other"), True),
        (tag(name="other:latest"), tag(name="other:latest", namespace=OWN_NAMESPACE), False),
        (tag(name="a"), tag(name="a", kind="DockerImage"), False),
        (tag(name="a", generation=3), tag(name="a", generation=0), True),
        (tag(name="a", generation=None), tag(name="a", generation=0), False),
        (tag(name="a", generation=3), tag(name="a", generation=4), False),
        (tag(name="a"), tag(name="a", reference=True), True),
        (tag(name="a"), tag(name="a", importPolicy={"importMode": "PreserveOriginal"}), True),
    ],
)
def test_is_tag_changed_compares_source_generation_and_mode(old, new, wanted):
    assert is_tag_changed(old, new, namespace=OWN_NAMESPACE) is wanted


def test_specs_equal_treats_null_and_empty_annotations_alike():
    one = stream_of([spec_tag("t", "x", annotations=None)]).spec
    other = stream_of([spec_tag("t", "x", annotations={})]).spec
    assert specs_equal(one, other)
    assert not specs_equal(one, stream_of([spec_tag("t", "y")]).spec)


@pytest.mark.case("import 6-23")
@pytest.mark.parametrize(
    ("internal", "repository", "namespace", "wanted"),
    [
        ("registry:5000", "a/b", "foo", "registry:5000/foo/somerepo"),
        ("", "a/b", "foo", "a/b"),
        ("", "", "foo", ""),
        ("registry:5000", "", "", "registry:5000/default/somerepo"),
    ],
)
def test_decorate_sets_repository_address(internal, repository, namespace, wanted):
    stream = stream_of(name="somerepo", namespace=namespace, repository=repository)
    shown = decorate(stream, ImportRules(internal_hostname=internal))
    assert shown.status.docker_image_repository == wanted


@pytest.mark.case("import 6-24")
def test_decorate_sets_public_repository_address():
    stream = stream_of(name="somerepo", namespace="foo")
    hosts = ("registry-default.external.url", "second")
    shown = decorate(stream, ImportRules(external_hostnames=hosts)).wire()["status"]
    assert shown["publicDockerImageRepository"] == "registry-default.external.url/foo/somerepo"
    assert "publicDockerImageRepository" not in decorate(stream, RULES).wire()["status"]


@pytest.mark.case("import 6-39")
@pytest.mark.parametrize(
    ("image", "spec", "generation"),
    [
        (DIGEST_2, [spec_tag("t", "x", generation=3)], 3),
        (DIGEST_1, [spec_tag("t", "x", generation=3)], 5),
        (DIGEST_2, [], 5),
    ],
)
def test_status_write_fills_generation_of_new_event(image, spec, generation):
    old = stream_of(spec, [history("t", event("a/b:1", DIGEST_1, 1))], generation=5)
    sent = stream_of([], [history("t", event("a/b:1", image, 0))], generation=9)
    made = apply_status_write(old, sent, rules=RULES)
    assert items(made, "t") == [(image, generation)]
    assert made.spec == old.spec
    assert made.metadata.generation == 5


def test_status_write_without_history_takes_stream_generation():
    old = stream_of([spec_tag("t", "x", generation=3)], generation=5)
    sent = stream_of([], [history("t", event("a/b:1", DIGEST_1, 0))])
    assert items(apply_status_write(old, sent, rules=RULES), "t") == [(DIGEST_1, 5)]


def test_status_write_keeps_given_generations():
    old = stream_of(generation=5)
    sent = stream_of([], [history("t", event("a/b:1", DIGEST_1, 2))])
    assert items(apply_status_write(old, sent, rules=RULES), "t") == [(DIGEST_1, 2)]
