"""Validation of streams, field by field (imports-2.8, imports-6.16)."""

import pytest

from models.errors import InvalidObjectError
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.writes.stream_update import apply_write
from models.streams.writes.stream_validation import validate_stream
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    NOON,
    REG,
    InMemoryStore,
    RegistryContents,
    event,
    history,
    img,
    isi,
    items,
    spec_tag,
    stream_of,
)


def errors(stream, **rest):
    return [str(error) for error in validate_stream(stream, **rest)]


def allow(*domains):
    return AllowList.parse([(name, False) for name in domains])


@pytest.mark.case("import 6-20")
def test_stream_validation_reports_tag_policies_in_order():
    tag = spec_tag(
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
        (f"a/b@{DIGEST_1}", "the repository name may not contain an ID"),
        ("A//b", "invalid reference format"),
    ],
)
def test_stream_validation_rejects_repository_with_tag_or_digest(repository, detail):
    assert errors(stream_of(repository=repository)) == [
        f'spec.dockerImageRepository: Invalid value: "{repository}": {detail}'
    ]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (spec_tag("t", ""), "spec.tags[t].from.name: Required value"),
        (
            spec_tag("t", "a///b"),
            'spec.tags[t].from.name: Invalid value: "a///b": invalid reference format',
        ),
        (
            spec_tag("t", "a", kind="Odd"),
            (
                "spec.tags[t].from.kind: Required value: valid values are 'DockerImage', "
                "'ImageStreamImage', 'ImageStreamTag'"
            ),
        ),
        (spec_tag("", "a/b:1"), "spec.tags[0].name: Required value"),
    ],
)
def test_stream_validation_rejects_invalid_tag_source(tag, text):
    assert errors(stream_of([tag])) == [text]


def test_stream_validation_accepts_tag_without_source():
    assert errors(stream_of([spec_tag("t"), spec_tag("foo/bar:baz", "a/b:1")])) == []


@pytest.mark.parametrize(
    ("reference", "rendered"),
    [("", "Required value"), ("a///b", 'Invalid value: "a///b": invalid reference format')],
)
def test_stream_validation_rejects_invalid_event_reference(reference, rendered):
    stream = stream_of([], [history("t", event("ok/ok", DIGEST_1), event(reference, DIGEST_2))])
    field = "status.tags[t].items[1].dockerImageReference"
    assert errors(stream) == [f"{field}: {rendered}"]


@pytest.mark.case("import 2-19")
def test_import_off_allow_list_stores_no_stream():
    contents = RegistryContents()
    contents.put(f"{REG}/a/b:t", DIGEST_1)
    memory = InMemoryStore(contents, rules=ImportRules(allow_list=allow("quay.io")))
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
def test_allow_list_accepts_repositories_of_stored_stream():
    contents = RegistryContents()
    contents.put(f"{REG}/a/b:t", DIGEST_1)
    contents.put(f"{REG}/a/b:other", DIGEST_2)
    contents.put(f"{REG}/c/d:x", DIGEST_2)
    memory = InMemoryStore(contents)
    memory.run(isi(img(f"{REG}/a/b:t")))
    memory.rules = ImportRules(allow_list=allow("quay.io"))
    memory.run(isi(img(f"{REG}/a/b:other")))
    assert items(memory.stream, "other") == [(DIGEST_2, 2)]
    with pytest.raises(InvalidObjectError):
        memory.run(isi(img(f"{REG}/c/d:x")))
    new = memory.stream.with_spec_tag(stream_of([spec_tag("y", f"{REG}/c/d:y")]).spec.tags[0])
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
def test_allow_list_matches_insecure_tag_with_port_80(policy, annotations):
    stream = stream_of([spec_tag("t", "reg.io/a:1", importPolicy=policy)], annotations=annotations)
    only_80 = allow("reg.io:80")
    assert errors(stream, allow_list=only_80) == []
    secure = stream_of([spec_tag("t", "reg.io/a:1")])
    assert len(errors(secure, allow_list=only_80)) == 1


def test_stream_validation_rejects_invalid_name():
    assert errors(stream_of(name="Bad", namespace="Bad"))[0].startswith("metadata.name")


def test_stream_validation_skips_unchanged_tags():
    """One new tag among thousands costs one check; old tags were checked when they were written."""
    old = stream_of([spec_tag("bad", "a///b")], [history("t", event("a///b", DIGEST_1))])
    new = old.with_spec_tag(stream_of([spec_tag("new", "a///c")]).spec.tags[0])
    assert [error.field for error in validate_stream(new, old=old)] == ["spec.tags[new].from.name"]
