"""Imports that a spec (imports-6.14, imports-6.15) or the schedule (scheduling-1.1) makes due."""

import pytest

from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.import_trigger import build_due_import, observed_generation
from models.streams.imports.reimport_request import build_reimport_request
from models.streams.schedule.check_schedule import scheduled_tags, with_next_generation
from tests.unit.streams.import_simulation import (
    CHECKED,
    DIGEST_1,
    InMemoryStore,
    event,
    failure,
    history,
    img,
    isi,
    spec_tag,
    stream_of,
)

CHECKED_ANNOTATION = {CHECKED: "2026-01-01T00:00:00Z"}
DIGEST = "abc@sha256:3c87c572822935df60f0f5d3665bd376841a7fcfeb806b5f212de6a00e9a7b25"


def failed_tag(tag, generation):
    condition = {"type": "ImportSuccess", "status": "False", "generation": generation}
    return history(tag, conditions=[condition])


def imported_tag(tag, generation):
    return history(tag, event("test/other@" + DIGEST_1, DIGEST_1, generation))


def tags_of(request):
    return [] if request is None else [image.to.name for image in request.spec.images]


@pytest.mark.case("import 6-25")
@pytest.mark.parametrize("annotation", ["2026-01-01T00:00:00Z", "a random error"])
@pytest.mark.parametrize("repository", ["", "a/b"])
def test_due_import_of_checked_stream_is_none(annotation, repository):
    assert (
        build_due_import(stream_of(repository=repository, annotations={CHECKED: annotation}))
        is None
    )


@pytest.mark.case("import 6-26")
@pytest.mark.parametrize(
    "tag",
    [
        spec_tag("latest", "test/other:latest", reference=True, generation=None),
        spec_tag("latest", "test/other:latest", kind="AnotherImage", generation=None),
        spec_tag("latest", "x:t", kind="ImageStreamTag", generation=None),
        spec_tag("latest", generation=None),
    ],
)
def test_due_import_excludes_tag_that_is_no_registry_image(tag):
    assert build_due_import(stream_of([tag])) is None


@pytest.mark.case("import 6-27")
def test_due_import_of_new_tag_copies_policies_and_preconditions():
    stream = stream_of(
        [
            spec_tag(
                "latest",
                "test/other:latest",
                generation=None,
                importPolicy={"scheduled": True},
                referencePolicy={"type": "Local"},
            )
        ],
        resourceVersion="1",
        uid="1",
        name="test",
        namespace="other",
    )
    assert build_due_import(stream).wire() == {
        "metadata": {"name": "test", "namespace": "other", "resourceVersion": "1", "uid": "1"},
        "spec": {
            "import": True,
            "images": [
                {
                    "from": {"kind": "DockerImage", "name": "test/other:latest"},
                    "to": {"name": "latest"},
                    "importPolicy": {"scheduled": True, "importMode": "Legacy"},
                    "referencePolicy": {"type": "Local"},
                }
            ],
        },
        "status": {},
    }


@pytest.mark.case("import 6-28", "import 6-29")
def test_due_import_contains_only_tags_behind_their_generation():
    stream = stream_of(
        [spec_tag("v1", "a:1", generation=1), spec_tag("latest", "a:2", generation=2)],
        [imported_tag("v1", 1), imported_tag("latest", 1)],
    )
    assert tags_of(build_due_import(stream)) == ["latest"]
    assert tags_of(build_due_import(stream_of([spec_tag("latest", "a:2", generation=2)]))) == [
        "latest"
    ]


@pytest.mark.case("import 6-30", "import 6-31")
@pytest.mark.parametrize("status_tag", [imported_tag, failed_tag])
@pytest.mark.parametrize(("generation", "due"), [(2, []), (1, ["t"])])
def test_due_import_excludes_tag_with_event_or_failure_of_generation(status_tag, generation, due):
    stream = stream_of(
        [spec_tag("t", "a:1", generation=2)],
        [status_tag("t", generation)],
        annotations=CHECKED_ANNOTATION,
    )
    assert tags_of(build_due_import(stream)) == due


@pytest.mark.case("import 6-32")
@pytest.mark.parametrize("insecure", [True, False])
def test_due_import_of_unchecked_stream_includes_repository(insecure):
    annotations = {"openshift.io/image.insecureRepository": "true"} if insecure else {}
    stream = stream_of(
        [spec_tag("t", "x:1", generation=1), spec_tag("r", "y:1", reference=True)],
        [imported_tag("t", 1)],
        repository="a/b",
        annotations=annotations,
    )
    request = build_due_import(stream)
    assert tags_of(request) == ["t"]
    assert request.spec.repository.from_.wire() == {"kind": "DockerImage", "name": "a/b"}
    assert request.spec.repository.import_policy.insecure is insecure


@pytest.mark.case("import 6-33")
def test_due_import_of_unchecked_stream_excludes_imported_tags():
    assert (
        build_due_import(stream_of([spec_tag("t", "a:1", generation=1)], [imported_tag("t", 1)]))
        is None
    )


def test_due_import_adds_tags_without_generation_to_due_ones():
    stream = stream_of(
        [spec_tag("a", "a:1", generation=None), spec_tag("b", "b:1", generation=2)],
        annotations=CHECKED_ANNOTATION,
    )
    assert tags_of(build_due_import(stream)) == ["a", "b"]
    alone = stream_of([spec_tag("a", "a:1", generation=None)], annotations=CHECKED_ANNOTATION)
    assert build_due_import(alone) is None


@pytest.mark.case("import 6-35")
def test_due_import_repeats_failed_tag_only_after_new_generation():
    memory = InMemoryStore()
    memory.run(isi(img("quay.io/a/b:gone")))
    assert failure(memory.stream, "gone")[2] == 1
    assert build_due_import(memory.stream) is None
    renewed = memory.stream.with_spec_tag(memory.stream.spec_tag("gone").replace(generation=6))
    assert tags_of(build_due_import(renewed)) == ["gone"]


def test_observed_generation_is_of_first_import_condition():
    status_tag = stream_of(status=[failed_tag("t", 3)]).status.tags[0]
    other = status_tag.conditions[0].replace(type="Other", generation=9)
    later = status_tag.conditions[0].replace(generation=8)
    assert (
        observed_generation(status_tag.replace(conditions=[other, *status_tag.conditions, later]))
        == 3
    )
    assert observed_generation(None) == 0


SCHEDULED = {"scheduled": True}


@pytest.mark.case("import 7-1", "import 7-2")
def test_next_generation_is_given_to_scheduled_tags_only():
    tag = spec_tag("latest", "mysql:latest", importPolicy=SCHEDULED)
    due = with_next_generation(stream_of([tag], [imported_tag("latest", 1)]))
    assert due.spec_tag("latest").generation == 2
    plain = stream_of([spec_tag("latest", "mysql:latest")], [imported_tag("latest", 1)])
    assert with_next_generation(plain).spec_tag("latest").generation == 1
    assert scheduled_tags(plain) == []


@pytest.mark.case("import 7-3", "import 7-4", "import 7-5")
def test_scheduled_tags_exclude_imported_digest():
    tags = [
        spec_tag("default1", DIGEST, importPolicy=SCHEDULED),
        spec_tag("default2", DIGEST, importPolicy=SCHEDULED),
    ]
    stream = with_next_generation(
        stream_of(tags, [imported_tag("default1", 1), failed_tag("default2", 1)])
    )
    assert [tag.generation for tag in stream.spec.tags] == [1, 2]
    newer = stream_of(tags[:1], [imported_tag("default1", 5)])
    assert scheduled_tags(newer) == []


@pytest.mark.parametrize(
    "tag",
    [
        spec_tag("t", "a:1", importPolicy=SCHEDULED, reference=True),
        spec_tag("t", "x:1", importPolicy=SCHEDULED, kind="ImageStreamTag"),
        spec_tag("t", "a///b", importPolicy=SCHEDULED),
    ],
)
def test_scheduled_tags_exclude_unimportable_source(tag):
    assert scheduled_tags(stream_of([tag])) == []


def test_scheduled_import_includes_pending_tags_of_stream():
    stream = stream_of(
        [
            spec_tag("a", "x:1", importPolicy=SCHEDULED),
            spec_tag("b", "y:1", generation=4),
            spec_tag("c", "z:1"),
        ],
        [imported_tag("a", 1), imported_tag("b", 3), imported_tag("c", 1)],
        annotations=CHECKED_ANNOTATION,
    )
    assert tags_of(build_due_import(with_next_generation(stream))) == ["a", "b"]


REIMPORTED = stream_of(
    [
        spec_tag("a", "quay.io/x/a:1"),
        spec_tag("b", "redis:7"),
        spec_tag("c", "a", kind="ImageStreamTag"),
        spec_tag("d", "NOT a name"),
    ],
    [failed_tag("b", 1)],
    repository="quay.io/x/all",
    annotations=CHECKED_ANNOTATION,
    resourceVersion="7",
)


@pytest.mark.parametrize(
    ("wanted", "tags", "with_repository"),
    [
        ({}, ["a", "b", "d"], True),
        ({"tags": ["a", "c", "nope"]}, ["a"], False),
        ({"failed_only": True}, ["b"], False),
        ({"registry": "quay.io"}, ["a"], False),
        ({"registry": "index.docker.io"}, ["b"], False),
    ],
)
def test_reimport_request_selects_tags_by_filter(wanted, tags, with_repository):
    request = build_reimport_request(REIMPORTED, **wanted)
    assert tags_of(request) == tags
    assert (request.spec.repository is not None) is with_repository
    assert request.metadata.resource_version == ""
    plan_import(request, REIMPORTED, ImportRules())


def test_reimport_request_without_matching_tag_is_none():
    assert build_reimport_request(REIMPORTED, ["c"]) is None
    assert build_reimport_request(stream_of()) is None
