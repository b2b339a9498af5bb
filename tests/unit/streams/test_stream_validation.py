"""Which streams and Images are refused, field by field (`import.md` 3.8, 6.6, Q7)."""

import pytest

from models.errors import InvalidObjectError
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.writes.stream_update import apply_write
from models.streams.writes.stream_validation import validate_stream
from tests.unit.streams.scenes import (
    D1,
    D2,
    NOON,
    REG,
    Memory,
    World,
    event,
    history,
    img,
    isi,
    items,
    stream_of,
    wish,
)


def errors(stream, **rest):
    return [str(error) for error in validate_stream(stream, **rest)]


def allow(*domains):
    return AllowList.parse([(name, False) for name in domains])


@pytest.mark.case("import 6-20")
def test_policies_of_a_tag_are_refused_in_order():
    tag = wish(
        "t",
        "other:x",
        kind="ImageStreamTag",
        importPolicy={"scheduled": True, "importMode": "Zip"},
        referencePolicy={"type": "Foo"},
    )
    assert errors(stream_of([tag])) == [
        (
            "spec.tags[t].importPolicy.scheduled: Invalid value: true: only tags pointing to "
            "Docker repositories may be scheduled for background import"
        ),
        (
            'spec.tags[t].referencePolicy.type: Invalid value: "Foo": valid values are "Source", '
            '"Local"'
        ),
        (
            'spec.tags[t].importPolicy.importMode: Invalid value: "Zip": invalid import mode, '
            "valid modes are '', 'Legacy', 'PreserveOriginal'"
        ),
    ]


@pytest.mark.case("import 6-21")
@pytest.mark.parametrize(
    ("repository", "detail"),
    [
        ("a/b:tag", "the repository name may not contain a tag"),
        (f"a/b@{D1}", "the repository name may not contain an ID"),
        ("A//b", "invalid reference format"),
    ],
)
def test_the_repository_of_a_stream(repository, detail):
    assert errors(stream_of(repository=repository)) == [
        f'spec.dockerImageRepository: Invalid value: "{repository}": {detail}'
    ]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (wish("t", ""), "spec.tags[t].from.name: Required value"),
        (
            wish("t", "a///b"),
            'spec.tags[t].from.name: Invalid value: "a///b": invalid reference format',
        ),
        (
            wish("t", "a", kind="Odd"),
            (
                "spec.tags[t].from.kind: Required value: valid values are 'DockerImage', "
                "'ImageStreamImage', 'ImageStreamTag'"
            ),
        ),
        (wish("", "a/b:1"), "spec.tags[0].name: Required value"),
    ],
)
def test_the_source_of_a_tag(tag, text):
    assert errors(stream_of([tag])) == [text]


def test_a_tag_without_a_source_and_with_an_odd_name_is_legal():
    assert errors(stream_of([wish("t"), wish("foo/bar:baz", "a/b:1")])) == []


@pytest.mark.parametrize(
    ("reference", "rendered"),
    [("", "Required value"), ("a///b", 'Invalid value: "a///b": invalid reference format')],
)
def test_the_reference_of_an_event(reference, rendered):
    stream = stream_of([], [history("t", event("ok/ok", D1), event(reference, D2))])
    field = "status.tags[t].items[1].dockerImageReference"
    assert errors(stream) == [f"{field}: {rendered}"]


@pytest.mark.case("import 2-19")
def test_the_allow_list_holds_for_what_an_import_would_store():
    world = World()
    world.put(f"{REG}/a/b:t", D1)
    memory = Memory(world, rules=ImportRules(allow_list=allow("quay.io")))
    with pytest.raises(InvalidObjectError) as caught:
        memory.run(isi(img(f"{REG}/a/b:t")))
    reason = f'Forbidden: registry "{REG}" not allowed by whitelist: "quay.io:443"'
    assert [str(error) for error in caught.value.errors] == [
        f"spec.tags[t].from.name: {reason}",
        f"status.tags[t].items[0].dockerImageReference: {reason}",
    ]
    assert caught.value.kind == "ImageStream"
    assert memory.stream is None


@pytest.mark.case("import 6-22")
def test_what_a_stream_refers_to_already_stays_allowed_after_the_list_is_tightened():
    world = World()
    world.put(f"{REG}/a/b:t", D1)
    world.put(f"{REG}/a/b:other", D2)
    world.put(f"{REG}/c/d:x", D2)
    memory = Memory(world)
    memory.run(isi(img(f"{REG}/a/b:t")))
    memory.rules = ImportRules(allow_list=allow("quay.io"))
    memory.run(isi(img(f"{REG}/a/b:other")))
    assert items(memory.stream, "other") == [(D2, 2)]
    with pytest.raises(InvalidObjectError):
        memory.run(isi(img(f"{REG}/c/d:x")))
    new = memory.stream.with_spec_tag(stream_of([wish("y", f"{REG}/c/d:y")]).spec.tags[0])
    with pytest.raises(InvalidObjectError) as caught:
        apply_write(memory.stream, new, now=NOON, rules=memory.rules)
    assert caught.value.errors[0].field == "spec.tags[y].from.name"


@pytest.mark.parametrize(
    ("policy", "annotations"),
    [
        ({"insecure": True}, {}),
        ({}, {"openshift.io/image.insecureRepository": "true"}),
    ],
)
def test_insecure_tags_are_looked_up_without_a_port(policy, annotations):
    stream = stream_of([wish("t", "reg.io/a:1", importPolicy=policy)], annotations=annotations)
    only_80 = allow("reg.io:80")
    assert errors(stream, allow_list=only_80) == []
    secure = stream_of([wish("t", "reg.io/a:1")])
    assert len(errors(secure, allow_list=only_80)) == 1


def test_names_of_streams_are_checked():
    assert errors(stream_of(name="Bad", namespace="Bad"))[0].startswith("metadata.name")


def test_tags_that_are_the_old_ones_are_not_read_again():
    """So that one new tag among thousands costs one check; old ones were checked when they came."""
    old = stream_of([wish("bad", "a///b")], [history("t", event("a///b", D1))])
    new = old.with_spec_tag(stream_of([wish("new", "a///c")]).spec.tags[0])
    assert [error.field for error in validate_stream(new, old=old)] == ["spec.tags[new].from.name"]
