"""Events of imports: written for changes only."""

import pytest

from models.errors import ManifestUnknownError, RegistryError
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_events import (
    MAX_EVENTS_PER_REASON,
    StreamEvent,
    build_stream_events,
)
from models.streams.imports.tag_list_guard import KnownTagList, ObservedTagList, evaluate_tag_list
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    NOON,
    REG,
    InMemoryStore,
    RegistryContents,
    img,
    isi,
)

T = f"{REG}/a/b:t"


@pytest.fixture
def contents():
    contents = RegistryContents()
    contents.put(T, DIGEST_1)
    return contents


@pytest.fixture
def memory(contents):
    return InMemoryStore(contents)


def import_and_list_events(memory, *tags, by_schedule=True):
    """Import these tags into the stream of the store; return the events."""
    old = memory.heads()
    images = [img(f"{REG}/a/b:{tag}", to=tag, scheduled=True) for tag in tags or ("t",)]
    return build_stream_events(old, memory.run(isi(*images)), by_schedule=by_schedule)


def test_first_and_unchanged_import_write_no_event(memory):
    assert import_and_list_events(memory) == []
    assert import_and_list_events(memory) == []
    assert import_and_list_events(memory) == []


def test_scheduled_import_of_updated_tag_writes_tag_updated_event(memory, contents):
    import_and_list_events(memory)
    contents.put(T, DIGEST_2)
    assert import_and_list_events(memory) == [
        StreamEvent("Normal", "TagUpdated", f"tag t updated from {DIGEST_1} to {DIGEST_2} ({T})")
    ]
    contents.put(T, DIGEST_1)
    assert import_and_list_events(memory, by_schedule=False) == []


def test_first_failure_and_recovery_of_tag_write_events(memory, contents):
    import_and_list_events(memory)
    contents.put(T, RegistryError("no route", code="net.connect"))
    [event] = import_and_list_events(memory)
    assert (event.type, event.reason) == ("Warning", "ImportFailed")
    assert event.message.startswith(f"tag t could not be imported from {T}: ")
    assert "no route" in event.message
    assert import_and_list_events(memory) == []
    contents.put(T, ManifestUnknownError(reference=T))
    assert import_and_list_events(memory) == []
    contents.put(T, DIGEST_1)
    text = f"tag t is imported again from {T}"
    assert import_and_list_events(memory) == [StreamEvent("Normal", "ImportRecovered", text)]
    assert import_and_list_events(memory) == []


def test_recovery_with_other_image_writes_two_events(memory, contents):
    import_and_list_events(memory)
    contents.put(T, RegistryError("no route", code="net.connect"))
    import_and_list_events(memory)
    contents.put(T, DIGEST_2)
    assert [event.reason for event in import_and_list_events(memory)] == [
        "ImportRecovered",
        "TagUpdated",
    ]


def test_failure_event_omits_volatile_parts_of_message(memory, contents):
    contents.put(
        T, RegistryError("read udp 10.0.0.5:41234->10.0.0.1:53: i/o timeout", code="net.x")
    )
    [event] = import_and_list_events(memory)
    assert "41234" not in event.message


def test_events_beyond_limit_are_counted_in_one_event(memory, contents):
    tags = [f"t{number:02}" for number in range(MAX_EVENTS_PER_REASON + 5)]
    for tag in tags:
        contents.put(f"{REG}/a/b:{tag}", DIGEST_1)
    import_and_list_events(memory, *tags)
    for tag in tags:
        contents.put(f"{REG}/a/b:{tag}", DIGEST_2)
    events = import_and_list_events(memory, *tags)
    assert len(events) == MAX_EVENTS_PER_REASON + 1
    assert "t19" in events[-2].message
    assert events[-1] == StreamEvent("Normal", "TagUpdated", "5 more tags of the same import")


def test_rejected_tag_lists_write_warning_events():
    def evaluated(tags, **rest):
        observed = ObservedTagList("quay.io/a/b", "", tags, **rest)
        return evaluate_tag_list(observed, KnownTagList(100), now=NOON, interactive=False)

    lists = (evaluated(99), evaluated(7), evaluated(50, reason="page 2 failed"))
    events = build_stream_events(None, ImportResult(lists=lists), by_schedule=False)
    assert [(event.type, event.reason) for event in events] == [
        ("Warning", "TagListIncomplete"),
        ("Warning", "TagListShrunk"),
    ]
    assert "quay.io/a/b" in events[0].message
    assert "page 2 failed" in events[0].message
    assert "from 100 tags to 7" in events[1].message
