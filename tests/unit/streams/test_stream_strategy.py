"""Generations and derived fields on create, update and status writes (`import.md` 6.1 to 6.8)."""

import pytest

from models.resources.stream import TagReference
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_strategy import decorate, specs_equal, tag_changed
from models.streams.writes.stream_update import apply_status_write, apply_write
from tests.unit.streams.scenes import (
    D1,
    D2,
    NOON,
    event,
    history,
    items,
    stream_of,
    wish,
)

RULES = ImportRules()


def write(old, new, **rest):
    return apply_write(old, new, now=NOON, rules=rest.pop("rules", RULES), **rest)


@pytest.mark.case("import 6-1")
def test_a_new_stream_and_all_its_tags_have_generation_one_and_no_status():
    sent = stream_of(
        [
            wish("a", "x", generation=9),
            wish("b", "x", generation=0),
            wish("c", "x", generation=None),
        ],
        [history("a", event("r", D1))],
        generation=7,
    )
    made = write(None, sent)
    assert made.metadata.generation == 1
    assert [tag.generation for tag in made.spec.tags] == [1, 1, 1]
    assert made.status.tags == []


OLD = stream_of(
    [wish("t", "quay.io/a/b:1", generation=3), wish("other", "x", generation=2)],
    [history("t", event("r", D1, 3))],
    generation=5,
)


def changed(**change):
    return OLD.with_spec_tag(
        TagReference.model_validate({**wish("t", "quay.io/a/b:1", generation=3), **change})
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
def test_what_raises_which_generation(new, stream_generation, tag_generation):
    made = write(OLD, new)
    assert made.metadata.generation == stream_generation
    assert made.spec_tag("t").generation == tag_generation
    assert made.spec_tag("other").generation == 2


@pytest.mark.case("import 6-2")
def test_the_kind_alone_raises_the_streams_generation_only():
    old = stream_of([wish("t", "a", kind="ImageStreamTag", generation=3)], generation=5)
    new = stream_of([wish("t", "a", kind="DockerImage", generation=3)], generation=5)
    made = write(old, new)
    assert (made.metadata.generation, made.spec_tag("t").generation) == (6, 3)


@pytest.mark.case("import 6-2")
def test_a_removed_tag_raises_the_generation_and_keeps_its_history():
    new = OLD.replace(spec=OLD.spec.replace(tags=[OLD.spec_tag("other")]))
    made = write(OLD, new)
    assert made.metadata.generation == 6
    assert items(made, "t") == [(D1, 3)]


def test_a_clients_status_is_ignored_and_empty_histories_go():
    old = OLD.with_status_tag(stream_of(status=[history("void")]).status.tags[0])
    new = old.with_status_tag(stream_of(status=[history("t", event("r", D2, 9))]).status.tags[0])
    made = write(old, new)
    assert [tag.tag for tag in made.status.tags] == ["t"]
    assert items(made, "t") == [(D1, 3)]


def tag(kind="ImageStreamTag", name="", namespace="", **rest):
    return TagReference.model_validate(
        {"name": "t", "from": {"kind": kind, "name": name, "namespace": namespace}, **rest}
    )


OWN, ELSEWHERE = "streamnamespace", "another"


@pytest.mark.case("import 6-3")
@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (TagReference(name="t"), TagReference(name="t"), False),
        (tag(name="foo"), tag(name="foo"), False),
        (tag(name="foo"), tag(name="bar"), True),
        (TagReference(name="t"), tag(kind=""), False),
        (TagReference(name="t"), tag(namespace=ELSEWHERE), True),
        (tag(), tag(namespace=ELSEWHERE), True),
        (tag(namespace="something"), tag(namespace=ELSEWHERE), True),
        (tag(namespace="something"), tag(), True),
        (tag(name="other:latest"), tag(name="other:other", namespace=OWN), True),
        (tag(name="other:latest", namespace=OWN), tag(name="other:other"), True),
        (tag(name="other:latest"), tag(name="other:latest", namespace=OWN), False),
        (tag(name="a"), tag(name="a", kind="DockerImage"), False),
        (tag(name="a", generation=3), tag(name="a", generation=0), True),
        (tag(name="a", generation=None), tag(name="a", generation=0), False),
        (tag(name="a", generation=3), tag(name="a", generation=4), False),
        (tag(name="a"), tag(name="a", reference=True), True),
        (tag(name="a"), tag(name="a", importPolicy={"importMode": "PreserveOriginal"}), True),
    ],
)
def test_when_a_spec_tag_changed_enough_to_act_on(old, new, wanted):
    assert tag_changed(old, new, namespace=OWN) is wanted


def test_null_and_empty_annotations_are_the_same_spec():
    one = stream_of([wish("t", "x", annotations=None)]).spec
    other = stream_of([wish("t", "x", annotations={})]).spec
    assert specs_equal(one, other)
    assert not specs_equal(one, stream_of([wish("t", "y")]).spec)


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
def test_the_repository_address(internal, repository, namespace, wanted):
    stream = stream_of(name="somerepo", namespace=namespace, repository=repository)
    shown = decorate(stream, ImportRules(internal_hostname=internal))
    assert shown.status.docker_image_repository == wanted


@pytest.mark.case("import 6-24")
def test_the_public_repository_address():
    stream = stream_of(name="somerepo", namespace="foo")
    hosts = ("registry-default.external.url", "second")
    shown = decorate(stream, ImportRules(external_hostnames=hosts)).wire()["status"]
    assert shown["publicDockerImageRepository"] == "registry-default.external.url/foo/somerepo"
    assert "publicDockerImageRepository" not in decorate(stream, RULES).wire()["status"]


@pytest.mark.case("import 6-39")
@pytest.mark.parametrize(
    ("image", "spec", "generation"),
    [
        (D2, [wish("t", "x", generation=3)], 3),
        (D1, [wish("t", "x", generation=3)], 5),
        (D2, [], 5),
    ],
)
def test_a_status_write_fills_in_the_generation_of_a_new_head(image, spec, generation):
    old = stream_of(spec, [history("t", event("a/b:1", D1, 1))], generation=5)
    sent = stream_of([], [history("t", event("a/b:1", image, 0))], generation=9)
    made = apply_status_write(old, sent, rules=RULES)
    assert items(made, "t") == [(image, generation)]
    assert made.spec == old.spec
    assert made.metadata.generation == 5


def test_a_status_write_for_a_tag_without_history_takes_the_streams_generation():
    old = stream_of([wish("t", "x", generation=3)], generation=5)
    sent = stream_of([], [history("t", event("a/b:1", D1, 0))])
    assert items(apply_status_write(old, sent, rules=RULES), "t") == [(D1, 5)]


def test_a_status_write_keeps_generations_that_were_given():
    old = stream_of(generation=5)
    sent = stream_of([], [history("t", event("a/b:1", D1, 2))])
    assert items(apply_status_write(old, sent, rules=RULES), "t") == [(D1, 2)]
