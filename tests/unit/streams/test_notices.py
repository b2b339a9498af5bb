"""What of an import is told as an Event: changes, and nothing else."""

import pytest

from models.errors import ManifestUnknownError, RegistryError
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_events import MOST_OF_A_KIND, Notice, list_notices
from models.streams.imports.tag_list_guard import KnownList, SeenList, weigh_list
from tests.unit.streams.scenes import D1, D2, NOON, REG, Memory, World, img, isi

T = f"{REG}/a/b:t"


@pytest.fixture
def world():
    found = World()
    found.put(T, D1)
    return found


@pytest.fixture
def memory(world):
    return Memory(world)


def tell(memory, *tags, by_schedule=True):
    """What is told of one import of these tags into the memory's stream."""
    old = memory.heads()
    images = [img(f"{REG}/a/b:{tag}", to=tag, scheduled=True) for tag in tags or ("t",)]
    return list_notices(old, memory.run(isi(*images)), by_schedule=by_schedule)


def test_a_first_import_and_an_unchanged_one_are_not_told(memory):
    assert tell(memory) == []
    assert tell(memory) == []
    assert tell(memory) == []


def test_a_tag_that_moved_by_itself_is_told(memory, world):
    tell(memory)
    world.put(T, D2)
    assert tell(memory) == [Notice("Normal", "TagMoved", f"tag t moved from {D1} to {D2} ({T})")]
    world.put(T, D1)
    assert tell(memory, by_schedule=False) == []


def test_the_first_failure_is_told_and_its_end(memory, world):
    tell(memory)
    world.put(T, RegistryError("no route", code="net.connect"))
    [told] = tell(memory)
    assert (told.type, told.reason) == ("Warning", "ImportFailed")
    assert told.message.startswith(f"tag t could not be imported from {T}: ")
    assert "no route" in told.message
    assert tell(memory) == []
    world.put(T, ManifestUnknownError(reference=T))
    assert tell(memory) == []
    world.put(T, D1)
    text = f"tag t is imported again from {T}"
    assert tell(memory) == [Notice("Normal", "ImportRecovered", text)]
    assert tell(memory) == []


def test_a_tag_that_comes_back_as_another_is_told_twice(memory, world):
    tell(memory)
    world.put(T, RegistryError("no route", code="net.connect"))
    tell(memory)
    world.put(T, D2)
    assert [notice.reason for notice in tell(memory)] == ["ImportRecovered", "TagMoved"]


def test_what_differs_at_each_attempt_is_not_told(memory, world):
    world.put(T, RegistryError("read udp 10.0.0.5:41234->10.0.0.1:53: i/o timeout", code="net.x"))
    [told] = tell(memory)
    assert "41234" not in told.message


def test_of_very_many_the_first_are_named_and_the_others_counted(memory, world):
    tags = [f"t{number:02}" for number in range(MOST_OF_A_KIND + 5)]
    for tag in tags:
        world.put(f"{REG}/a/b:{tag}", D1)
    tell(memory, *tags)
    for tag in tags:
        world.put(f"{REG}/a/b:{tag}", D2)
    told = tell(memory, *tags)
    assert len(told) == MOST_OF_A_KIND + 1
    assert "t19" in told[-2].message
    assert told[-1] == Notice("Normal", "TagMoved", "the same of 5 more tags in the same import")


def test_lists_that_are_not_believed_are_told_whether_or_not_anything_changed():
    def seen(tags, **rest):
        found = SeenList("quay.io/a/b", "", tags, **rest)
        return weigh_list(found, KnownList(100), now=NOON, by_person=False)

    lists = (seen(99), seen(7), seen(50, reason="page 2 failed"))
    told = list_notices(None, ImportResult(lists=lists), by_schedule=False)
    assert [(notice.type, notice.reason) for notice in told] == [
        ("Warning", "TagListIncomplete"),
        ("Warning", "TagListShrunk"),
    ]
    assert "quay.io/a/b" in told[0].message
    assert "page 2 failed" in told[0].message
    assert "from 100 tags to 7" in told[1].message
