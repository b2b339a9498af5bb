"""The golden timeline, row by row, on an in-memory store of one stream (imports-5.10)."""

import pytest

from models.resources.wire import format_time
from tests.unit.streams.import_simulation import (
    CHECKED,
    DIGEST_1,
    DIGEST_2,
    REG,
    InMemoryStore,
    RegistryContents,
    failure,
    img,
    isi,
    items,
)

T = f"{REG}/a/b:t"
GONE = f"{REG}/a/b:gone"


def not_found(name):
    return f'dockerimage.image.openshift.io "{name}" not found'


def row(memory, tag="t"):
    """Return one row of the timeline: stream generation, spec tag generation, items."""
    stream = memory.stream
    spec_tag = stream.spec_tag(tag)
    return stream.metadata.generation, spec_tag and spec_tag.generation, items(stream, tag)


class Timeline:
    """The steps a1 to a15 of the timeline, run in order up to a given one."""

    def __init__(self):
        self.contents = RegistryContents()
        self.contents.put(T, DIGEST_1)
        self.memory = InMemoryStore(self.contents)

    def play(self, last_step):
        for number in range(1, last_step + 1):
            getattr(self, f"a{number}")()
        return self.memory

    def import_t(self, source=T, **policy):
        return self.memory.run(isi(img(source, to="t", **policy)))

    def a1(self):
        self.import_t()

    def a2(self):
        self.import_t()

    def a3(self):
        self.contents.put(T, DIGEST_2)
        self.import_t()

    def a4(self):
        self.contents.put(T, DIGEST_1)
        self.import_t()

    def a5(self):
        self.import_t(scheduled=True)

    def a6(self):
        self.import_t(scheduled=True, reference_policy="Local")

    def a7(self):
        self.contents.put(f"{REG}/a/b:other", DIGEST_1)
        self.import_t(f"{REG}/a/b:other", scheduled=True)

    def a8(self):
        self.import_t(GONE)

    def a9(self):
        self.import_t(GONE)

    def a10(self):
        self.import_t(GONE + "2")

    def a11(self):
        self.import_t()

    def a12(self):
        self.memory.run(isi(img(GONE, to="new")))

    def a13(self):
        self.memory.run(isi(img(GONE, to="new")))

    def a14(self):
        self.memory.run(isi(img(f"{REG}/a/none")))

    def a15(self):
        self.memory.run(isi(img(f"{REG}/a/b@{DIGEST_1}")))


@pytest.fixture
def timeline():
    return Timeline()


@pytest.mark.case("import 5-7")
def test_timeline_a1_new_stream_gets_event_and_annotation(timeline):
    memory = timeline.play(1)
    assert row(memory) == (1, 1, [(DIGEST_1, 1)])
    assert memory.stream.metadata.annotations == {CHECKED: format_time(memory.now)}
    assert memory.stream.spec_tag("t").from_.wire() == {"kind": "DockerImage", "name": T}
    (newest,) = memory.stream.status_tag("t").items
    assert newest.docker_image_reference == f"{REG}/a/b@{DIGEST_1}"
    assert newest.created == memory.now


@pytest.mark.case("import 5-8")
def test_timeline_a2_unchanged_image_writes_nothing(timeline):
    memory = timeline.play(1)
    before = memory.stream
    timeline.a2()
    assert memory.result.changed is False
    assert memory.stream is before
    assert [target.outcome for target in memory.result.targets] == ["unchanged"]


@pytest.mark.case("import 5-9")
def test_timeline_a3_a4_each_update_of_tag_is_an_event(timeline):
    memory = timeline.play(3)
    assert row(memory) == (2, 2, [(DIGEST_2, 2), (DIGEST_1, 1)])
    assert memory.stream.metadata.annotations == {CHECKED: format_time(memory.now)}
    assert [target.outcome for target in memory.result.targets] == ["updated"]
    timeline.a4()
    assert row(memory) == (3, 3, [(DIGEST_1, 3), (DIGEST_2, 2), (DIGEST_1, 1)])


@pytest.mark.case("import 5-10")
def test_timeline_a5_policy_change_keeps_tag_generation(timeline):
    memory = timeline.play(5)
    assert row(memory)[:2] == (4, 3)
    assert items(memory.stream, "t")[0] == (DIGEST_1, 3)
    assert memory.stream.spec_tag("t").import_policy.scheduled is True


@pytest.mark.case("import 5-10")
def test_timeline_a6_import_keeps_existing_reference_policy(timeline):
    memory = timeline.play(6)
    assert memory.result.changed is False
    spec_tag = memory.stream.spec_tag("t")
    assert (spec_tag.reference_policy.type, spec_tag.import_policy.scheduled) == ("Source", True)


@pytest.mark.case("import 5-11")
def test_timeline_a7_equal_image_from_other_source_keeps_from(timeline):
    memory = timeline.play(7)
    assert memory.result.changed is False
    assert memory.stream.spec_tag("t").from_.name == T


@pytest.mark.case("import 5-12")
def test_timeline_a8_a9_failure_is_recorded_once_and_keeps_history(timeline):
    memory = timeline.play(8)
    assert row(memory)[:2] == (5, 5)
    assert items(memory.stream, "t")[0] == (DIGEST_1, 3)
    condition = failure(memory.stream, "t")
    assert condition == ("NotFound", not_found(GONE), 5)
    assert memory.stream.spec_tag("t").from_.name == T
    assert memory.stream.spec_tag("t").import_policy.scheduled is True
    writes = memory.writes
    timeline.a9()
    assert (memory.writes, failure(memory.stream, "t")) == (writes, condition)


@pytest.mark.case("import 5-13")
def test_timeline_a10_other_failure_replaces_condition(timeline):
    memory = timeline.play(10)
    assert row(memory)[:2] == (6, 6)
    assert failure(memory.stream, "t") == ("NotFound", not_found(GONE + "2"), 6)


@pytest.mark.case("import 5-13")
def test_timeline_a11_recovery_clears_condition_and_keeps_created(timeline):
    memory = timeline.play(10)
    created = memory.stream.status_tag("t").items[0].created
    timeline.a11()
    assert row(memory) == (7, 7, [(DIGEST_1, 7), (DIGEST_2, 2), (DIGEST_1, 1)])
    assert memory.stream.status_tag("t").items[0].created == created
    assert memory.stream.status_tag("t").conditions == []
    assert memory.stream.spec_tag("t").import_policy.wire() == {"importMode": "Legacy"}


@pytest.mark.case("import 5-14")
def test_timeline_a12_a13_new_failing_tag_has_no_items(timeline):
    memory = timeline.play(12)
    assert row(memory, "new") == (8, 8, [])
    assert memory.stream.status_tag("new").items is None
    assert failure(memory.stream, "new") == ("NotFound", not_found(GONE), 8)
    assert memory.stream.spec_tag("new").from_.name == GONE
    assert row(memory, "t") == (8, 7, [(DIGEST_1, 7), (DIGEST_2, 2), (DIGEST_1, 1)])
    writes = memory.writes
    timeline.a13()
    assert memory.writes == writes


def test_timeline_a14_a15_element_without_target_tag_writes_nothing(timeline):
    memory = timeline.play(13)
    before = memory.stream
    timeline.a14()
    assert memory.response()["images"][0]["status"]["reason"] == "NotFound"
    timeline.a15()
    assert memory.response()["images"][0]["image"]["metadata"]["name"] == DIGEST_1
    assert memory.stream is before
    assert memory.result.images == ()


@pytest.mark.case("import 5-15")
def test_timeline_a16_import_without_target_tag_creates_stream(timeline):
    memory = timeline.memory
    memory.run(isi(img(f"{REG}/a/b@{DIGEST_1}")))
    assert memory.stream.metadata.generation == 1
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert (memory.stream.spec.tags, memory.stream.status.tags) == ([], [])


@pytest.mark.case("import 5-15")
def test_timeline_a17_new_stream_with_only_failing_tag(timeline):
    memory = timeline.memory
    memory.run(isi(img(GONE)))
    assert row(memory, "gone") == (1, 1, [])
    assert failure(memory.stream, "gone") == ("NotFound", not_found(GONE), 1)


@pytest.mark.case("import 5-17", "import 2-12")
def test_timeline_a18_tag_and_digest_fetch_digest_onto_tag(timeline):
    memory = timeline.memory
    memory.run(isi(img(f"{T}@{DIGEST_1}")))
    assert row(memory) == (1, 1, [(DIGEST_1, 1)])
    assert memory.stream.spec_tag("t").from_.name == f"{T}@{DIGEST_1}"
    assert "tag" not in memory.response()["images"][0]


@pytest.mark.case("import 5-16")
def test_timeline_a23_later_of_two_elements_for_tag_wins(timeline):
    timeline.contents.put(f"{REG}/a/b:u", DIGEST_2)
    memory = timeline.memory
    memory.run(isi(img(T, to="x"), img(f"{REG}/a/b:u", to="x")))
    assert row(memory, "x") == (1, 1, [(DIGEST_2, 1), (DIGEST_1, 1)])
    assert memory.stream.spec_tag("x").from_.name == f"{REG}/a/b:u"


def test_timeline_a24_failing_tag_leaves_other_tag_imported(timeline):
    memory = timeline.memory
    memory.run(isi(img(T), img(GONE)))
    assert row(memory, "t") == (1, 1, [(DIGEST_1, 1)])
    assert row(memory, "gone") == (1, 1, [])
    assert failure(memory.stream, "gone")[2] == 1
    assert failure(memory.stream, "t") is None
