"""Which imports a stream's spec, the clock and the administrator make due (6.9, 6.11, 7.1)."""

import pytest

from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.import_trigger import due_import, observed_generation
from models.streams.imports.reimport_request import reimport_request
from models.streams.schedule.check_schedule import scheduled_tags, with_next_generation
from tests.unit.streams.scenes import (
    CHECKED,
    D1,
    Memory,
    event,
    failure,
    history,
    img,
    isi,
    stream_of,
    wish,
)

DONE = {CHECKED: "2026-01-01T00:00:00Z"}
DIGEST = "abc@sha256:3c87c572822935df60f0f5d3665bd376841a7fcfeb806b5f212de6a00e9a7b25"


def failed(tag, generation):
    condition = {"type": "ImportSuccess", "status": "False", "generation": generation}
    return history(tag, conditions=[condition])


def seen(tag, generation):
    return history(tag, event("test/other@" + D1, D1, generation))


def tags_of(request):
    return [] if request is None else [image.to.name for image in request.spec.images]


@pytest.mark.case("import 6-25")
@pytest.mark.parametrize("annotation", ["2026-01-01T00:00:00Z", "a random error"])
@pytest.mark.parametrize("repository", ["", "a/b"])
def test_a_checked_stream_with_nothing_new_is_left_alone(annotation, repository):
    assert due_import(stream_of(repository=repository, annotations={CHECKED: annotation})) is None


@pytest.mark.case("import 6-26")
@pytest.mark.parametrize(
    "tag",
    [
        wish("latest", "test/other:latest", reference=True, generation=None),
        wish("latest", "test/other:latest", kind="AnotherImage", generation=None),
        wish("latest", "x:t", kind="ImageStreamTag", generation=None),
        wish("latest", generation=None),
    ],
)
def test_what_is_no_image_of_a_registry_is_not_imported(tag):
    assert due_import(stream_of([tag])) is None


@pytest.mark.case("import 6-27")
def test_a_new_tag_is_imported_as_it_is_written_and_guarded():
    stream = stream_of(
        [
            wish(
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
    assert due_import(stream).wire() == {
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
def test_tags_behind_their_wish_are_imported_alone():
    stream = stream_of(
        [wish("v1", "a:1", generation=1), wish("latest", "a:2", generation=2)],
        [seen("v1", 1), seen("latest", 1)],
    )
    assert tags_of(due_import(stream)) == ["latest"]
    assert tags_of(due_import(stream_of([wish("latest", "a:2", generation=2)]))) == ["latest"]


@pytest.mark.case("import 6-30", "import 6-31")
@pytest.mark.parametrize("told", [seen, failed])
@pytest.mark.parametrize(("generation", "due"), [(2, []), (1, ["t"])])
def test_an_event_or_a_failure_answers_the_wish_of_its_generation(told, generation, due):
    stream = stream_of([wish("t", "a:1", generation=2)], [told("t", generation)], annotations=DONE)
    assert tags_of(due_import(stream)) == due


@pytest.mark.case("import 6-32")
@pytest.mark.parametrize("insecure", [True, False])
def test_a_stream_that_was_never_checked_is_imported_whole(insecure):
    annotations = {"openshift.io/image.insecureRepository": "true"} if insecure else {}
    stream = stream_of(
        [wish("t", "x:1", generation=1), wish("r", "y:1", reference=True)],
        [seen("t", 1)],
        repository="a/b",
        annotations=annotations,
    )
    request = due_import(stream)
    assert tags_of(request) == ["t"]
    assert request.spec.repository.from_.wire() == {"kind": "DockerImage", "name": "a/b"}
    assert request.spec.repository.import_policy.insecure is insecure


@pytest.mark.case("import 6-33")
def test_without_the_annotation_tags_that_were_seen_are_left_alone():
    assert due_import(stream_of([wish("t", "a:1", generation=1)], [seen("t", 1)])) is None


def test_where_one_tag_is_behind_those_without_a_generation_come_along():
    stream = stream_of(
        [wish("a", "a:1", generation=None), wish("b", "b:1", generation=2)], annotations=DONE
    )
    assert tags_of(due_import(stream)) == ["a", "b"]
    alone = stream_of([wish("a", "a:1", generation=None)], annotations=DONE)
    assert due_import(alone) is None


@pytest.mark.case("import 6-35")
def test_a_failure_is_final_until_the_wish_is_renewed():
    memory = Memory()
    memory.run(isi(img("quay.io/a/b:gone")))
    assert failure(memory.stream, "gone")[2] == 1
    assert due_import(memory.stream) is None
    renewed = memory.stream.with_spec_tag(memory.stream.spec_tag("gone").replace(generation=6))
    assert tags_of(due_import(renewed)) == ["gone"]


def test_only_the_first_import_condition_counts():
    told = stream_of(status=[failed("t", 3)]).status.tags[0]
    other = told.conditions[0].replace(type="Other", generation=9)
    later = told.conditions[0].replace(generation=8)
    assert observed_generation(told.replace(conditions=[other, *told.conditions, later])) == 3
    assert observed_generation(None) == 0


SCHEDULED = {"scheduled": True}


@pytest.mark.case("import 7-1", "import 7-2")
def test_a_scheduled_tag_is_due_again_and_another_is_not():
    tag = wish("latest", "mysql:latest", importPolicy=SCHEDULED)
    due = with_next_generation(stream_of([tag], [seen("latest", 1)]))
    assert due.spec_tag("latest").generation == 2
    plain = stream_of([wish("latest", "mysql:latest")], [seen("latest", 1)])
    assert with_next_generation(plain).spec_tag("latest").generation == 1
    assert scheduled_tags(plain) == []


@pytest.mark.case("import 7-3", "import 7-4", "import 7-5")
def test_a_digest_is_scheduled_until_it_is_imported():
    tags = [
        wish("default1", DIGEST, importPolicy=SCHEDULED),
        wish("default2", DIGEST, importPolicy=SCHEDULED),
    ]
    stream = with_next_generation(stream_of(tags, [seen("default1", 1), failed("default2", 1)]))
    assert [tag.generation for tag in stream.spec.tags] == [1, 2]
    newer = stream_of(tags[:1], [seen("default1", 5)])
    assert scheduled_tags(newer) == []


@pytest.mark.parametrize(
    "tag",
    [
        wish("t", "a:1", importPolicy=SCHEDULED, reference=True),
        wish("t", "x:1", importPolicy=SCHEDULED, kind="ImageStreamTag"),
        wish("t", "a///b", importPolicy=SCHEDULED),
    ],
)
def test_what_cannot_be_imported_is_not_scheduled(tag):
    assert scheduled_tags(stream_of([tag])) == []


def test_a_scheduled_run_takes_pending_tags_along():
    stream = stream_of(
        [
            wish("a", "x:1", importPolicy=SCHEDULED),
            wish("b", "y:1", generation=4),
            wish("c", "z:1"),
        ],
        [seen("a", 1), seen("b", 3), seen("c", 1)],
        annotations=DONE,
    )
    assert tags_of(due_import(with_next_generation(stream))) == ["a", "b"]


REIMPORTED = stream_of(
    [
        wish("a", "quay.io/x/a:1"),
        wish("b", "redis:7"),
        wish("c", "a", kind="ImageStreamTag"),
        wish("d", "NOT a name"),
    ],
    [failed("b", 1)],
    repository="quay.io/x/all",
    annotations=DONE,
    resourceVersion="7",
)


@pytest.mark.parametrize(
    ("wanted", "tags", "whole"),
    [
        ({}, ["a", "b", "d"], True),
        ({"tags": ["a", "c", "nope"]}, ["a"], False),
        ({"failed_only": True}, ["b"], False),
        ({"registry": "quay.io"}, ["a"], False),
        ({"registry": "index.docker.io"}, ["b"], False),
    ],
)
def test_an_administrator_reimports_what_is_named_as_it_stands(wanted, tags, whole):
    request = reimport_request(REIMPORTED, **wanted)
    assert tags_of(request) == tags
    assert (request.spec.repository is not None) is whole
    assert request.metadata.resource_version == ""
    plan_import(request, REIMPORTED, ImportRules())


def test_there_may_be_nothing_to_reimport():
    assert reimport_request(REIMPORTED, ["c"]) is None
    assert reimport_request(stream_of()) is None
