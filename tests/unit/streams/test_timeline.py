"""The golden timeline of `import.md` 5.7, row by row, on a stream stored as the store does it."""

import pytest

from models.resources.wire import format_time
from tests.unit.streams.scenes import (
    CHECKED,
    D1,
    D2,
    REG,
    Memory,
    World,
    failure,
    img,
    isi,
    items,
)

T = f"{REG}/a/b:t"
GONE = f"{REG}/a/b:gone"


def not_found(name):
    return f'dockerimage.image.openshift.io "{name}" not found'


def at(memory, tag="t"):
    """Stream generation, spec tag generation, items: one line of the timeline."""
    stream = memory.stream
    wish = stream.spec_tag(tag)
    return stream.metadata.generation, wish and wish.generation, items(stream, tag)


class Timeline:
    """Plays the rows up to the one asked for."""

    def __init__(self):
        self.world = World()
        self.world.put(T, D1)
        self.memory = Memory(self.world)

    def play(self, last):
        for number in range(1, last + 1):
            getattr(self, f"a{number}")()
        return self.memory

    def import_t(self, source=T, **policy):
        return self.memory.run(isi(img(source, to="t", **policy)))

    def a1(self):
        self.import_t()

    def a2(self):
        self.import_t()

    def a3(self):
        self.world.put(T, D2)
        self.import_t()

    def a4(self):
        self.world.put(T, D1)
        self.import_t()

    def a5(self):
        self.import_t(scheduled=True)

    def a6(self):
        self.import_t(scheduled=True, reference_policy="Local")

    def a7(self):
        self.world.put(f"{REG}/a/b:other", D1)
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
        self.memory.run(isi(img(f"{REG}/a/b@{D1}")))


@pytest.fixture
def timeline():
    return Timeline()


@pytest.mark.case("import 5-7")
def test_a1_a_new_stream_gets_its_first_event_and_the_annotation(timeline):
    memory = timeline.play(1)
    assert at(memory) == (1, 1, [(D1, 1)])
    assert memory.stream.metadata.annotations == {CHECKED: format_time(memory.now)}
    assert memory.stream.spec_tag("t").from_.wire() == {"kind": "DockerImage", "name": T}
    (newest,) = memory.stream.status_tag("t").items
    assert newest.docker_image_reference == f"{REG}/a/b@{D1}"
    assert newest.created == memory.now


@pytest.mark.case("import 5-8")
def test_a2_the_same_image_again_writes_nothing(timeline):
    memory = timeline.play(1)
    before = memory.stream
    timeline.a2()
    assert memory.result.changed is False
    assert memory.stream is before
    assert [target.changed for target in memory.result.targets] == [False]


@pytest.mark.case("import 5-9")
def test_a3_and_a4_every_move_of_the_tag_is_an_event_even_a_move_back(timeline):
    memory = timeline.play(3)
    assert at(memory) == (2, 2, [(D2, 2), (D1, 1)])
    assert memory.stream.metadata.annotations == {CHECKED: format_time(memory.now)}
    assert [target.changed for target in memory.result.targets] == [True]
    timeline.a4()
    assert at(memory) == (3, 3, [(D1, 3), (D2, 2), (D1, 1)])


@pytest.mark.case("import 5-10")
def test_a5_a_policy_alone_is_written_without_touching_the_tags_generation(timeline):
    memory = timeline.play(5)
    assert at(memory)[:2] == (4, 3)
    assert items(memory.stream, "t")[0] == (D1, 3)
    assert memory.stream.spec_tag("t").import_policy.scheduled is True


@pytest.mark.case("import 5-10")
def test_a6_an_import_never_changes_an_existing_reference_policy(timeline):
    memory = timeline.play(6)
    assert memory.result.changed is False
    wish = memory.stream.spec_tag("t")
    assert (wish.reference_policy.type, wish.import_policy.scheduled) == ("Source", True)


@pytest.mark.case("import 5-11")
def test_a7_the_same_image_from_elsewhere_leaves_from_as_it_was(timeline):
    memory = timeline.play(7)
    assert memory.result.changed is False
    assert memory.stream.spec_tag("t").from_.name == T


@pytest.mark.case("import 5-12")
def test_a8_and_a9_a_failure_is_told_once_and_history_stays(timeline):
    memory = timeline.play(8)
    assert at(memory)[:2] == (5, 5)
    assert items(memory.stream, "t")[0] == (D1, 3)
    told = failure(memory.stream, "t")
    assert told == ("NotFound", not_found(GONE), 5)
    assert memory.stream.spec_tag("t").from_.name == T
    assert memory.stream.spec_tag("t").import_policy.scheduled is True
    writes = memory.writes
    timeline.a9()
    assert (memory.writes, failure(memory.stream, "t")) == (writes, told)


@pytest.mark.case("import 5-13")
def test_a10_another_failure_replaces_the_condition(timeline):
    memory = timeline.play(10)
    assert at(memory)[:2] == (6, 6)
    assert failure(memory.stream, "t") == ("NotFound", not_found(GONE + "2"), 6)


@pytest.mark.case("import 5-13")
def test_a11_recovery_answers_the_wish_keeps_the_date_and_drops_the_schedule(timeline):
    memory = timeline.play(10)
    created = memory.stream.status_tag("t").items[0].created
    timeline.a11()
    assert at(memory) == (7, 7, [(D1, 7), (D2, 2), (D1, 1)])
    assert memory.stream.status_tag("t").items[0].created == created
    assert memory.stream.status_tag("t").conditions == []
    assert memory.stream.spec_tag("t").import_policy.wire() == {"importMode": "Legacy"}


@pytest.mark.case("import 5-14")
def test_a12_and_a13_a_new_tag_that_fails_has_a_wish_and_a_condition_but_no_items(timeline):
    memory = timeline.play(12)
    assert at(memory, "new") == (8, 8, [])
    assert memory.stream.status_tag("new").items is None
    assert failure(memory.stream, "new") == ("NotFound", not_found(GONE), 8)
    assert memory.stream.spec_tag("new").from_.name == GONE
    assert at(memory, "t") == (8, 7, [(D1, 7), (D2, 2), (D1, 1)])
    writes = memory.writes
    timeline.a13()
    assert memory.writes == writes


def test_a14_and_a15_what_has_no_target_tag_is_answered_and_not_written(timeline):
    memory = timeline.play(13)
    before = memory.stream
    timeline.a14()
    assert memory.answer()["images"][0]["status"]["reason"] == "NotFound"
    timeline.a15()
    assert memory.answer()["images"][0]["image"]["metadata"]["name"] == D1
    assert memory.stream is before
    assert memory.result.images == ()


@pytest.mark.case("import 5-15")
def test_a16_a_new_stream_is_created_even_where_nothing_has_a_target_tag(timeline):
    memory = timeline.memory
    memory.run(isi(img(f"{REG}/a/b@{D1}")))
    assert memory.stream.metadata.generation == 1
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert (memory.stream.spec.tags, memory.stream.status.tags) == ([], [])


@pytest.mark.case("import 5-15")
def test_a17_a_new_stream_with_only_a_failing_tag(timeline):
    memory = timeline.memory
    memory.run(isi(img(GONE)))
    assert at(memory, "gone") == (1, 1, [])
    assert failure(memory.stream, "gone") == ("NotFound", not_found(GONE), 1)


@pytest.mark.case("import 5-17", "import 2-12")
def test_a18_tag_and_digest_are_fetched_by_digest_onto_the_tag(timeline):
    memory = timeline.memory
    memory.run(isi(img(f"{T}@{D1}")))
    assert at(memory) == (1, 1, [(D1, 1)])
    assert memory.stream.spec_tag("t").from_.name == f"{T}@{D1}"
    assert "tag" not in memory.answer()["images"][0]


@pytest.mark.case("import 5-16")
def test_a23_of_two_elements_for_one_tag_the_later_wins_and_both_are_events(timeline):
    timeline.world.put(f"{REG}/a/b:u", D2)
    memory = timeline.memory
    memory.run(isi(img(T, to="x"), img(f"{REG}/a/b:u", to="x")))
    assert at(memory, "x") == (1, 1, [(D2, 1), (D1, 1)])
    assert memory.stream.spec_tag("x").from_.name == f"{REG}/a/b:u"


def test_a24_one_bad_tag_does_not_harm_the_other(timeline):
    memory = timeline.memory
    memory.run(isi(img(T), img(GONE)))
    assert at(memory, "t") == (1, 1, [(D1, 1)])
    assert at(memory, "gone") == (1, 1, [])
    assert failure(memory.stream, "gone")[2] == 1
    assert failure(memory.stream, "t") is None
