"""Change events: every change once, in order, with the object as it was after the change."""

import threading

import pytest
from cryptography.fernet import Fernet

from models.job_types import JobRequest, JobResult, JobState
from models.resources.core import NamespaceStatus
from models.resources.meta import ObjectMeta, Secret
from models.store.access.namespace_store import load_namespace, save_namespace
from models.store.access.secret_mapping import unseal_wire
from models.store.access.secret_store import delete_secret, save_secret
from models.store.changes.change_events import list_objects_at, load_change_events
from models.store.changes.change_log import Verb, floor_version, latest_version, load_changes
from models.store.changes.change_pruning import prune_changes
from models.store.database.cipher import Cipher
from models.store.database.session import transaction
from models.store.images.image_store import delete_image, load_image, save_images, update_image
from models.store.jobs.job_store import claim_job, create_job, finish_job
from models.store.streams.stream_list import MAX_SHOWN_HISTORY, list_stream_wires
from models.store.streams.stream_store import delete_stream, list_streams, load_stream, save_stream
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    after,
    commit_stream,
    digest,
    event,
    image,
    import_request,
    index,
    packed_image,
    read_stream,
    spec_tag,
    stream,
    with_event,
)

CIPHER = Cipher([Fernet.generate_key().decode()])


def read_events(engine, *, since=INITIAL_VERSION, limit=1000, **filters):
    with transaction(engine, write=False) as session:
        return load_change_events(session, after=since, limit=limit, **filters)


def read_wire(engine, name="app"):
    return read_stream(engine, name, history=MAX_SHOWN_HISTORY).wire()


def change_stream_in_steps(engine, name="app"):
    """Create a stream, add a spec tag and two events, delete it; return its wire at each step."""
    wires = []
    for change in (
        lambda _: stream(name),
        lambda old: old.with_spec_tag(spec_tag("1")),
        lambda old: with_event(old, "1", event("a")),
        lambda old: with_event(old, "1", event("b", created=after(9))),
    ):
        old = read_stream(engine, name)
        commit_stream(engine, old, change(old))
        wires.append(read_wire(engine, name))
    with transaction(engine) as session:
        version = delete_stream(session, "ns", name, now=NOW)
    deleted = {**wires[-1], "metadata": {**wires[-1]["metadata"], "resourceVersion": str(version)}}
    return [*wires, deleted]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_change_events_have_state_after_each_change_at_any_limit(engine, limit):
    wires = change_stream_in_steps(engine)
    found = []
    while page := read_events(
        engine, since=found[-1].version if found else INITIAL_VERSION, limit=limit
    ):
        found += page
    assert [each.version for each in found] == [INITIAL_VERSION + step for step in range(1, 6)]
    assert [each.verb for each in found] == [
        Verb.ADDED,
        Verb.MODIFIED,
        Verb.MODIFIED,
        Verb.MODIFIED,
        Verb.DELETED,
    ]
    assert [each.object for each in found] == wires
    assert [each.before for each in found] == [None, *wires[:4]]
    assert {(each.kind, each.namespace, each.name) for each in found} == {
        ("ImageStream", "ns", "app")
    }


def test_change_event_of_recreated_stream_has_no_state_before(engine):
    first = change_stream_in_steps(engine)
    commit_stream(engine, None, stream(labels={"second": "life"}))
    found = read_events(engine)
    assert [each.object for each in found] == [*first, read_wire(engine)]
    assert found[-1].before is None


def test_change_event_before_has_history_that_writer_did_not_load(engine):
    texts = [f"{number}" for number in range(MAX_SHOWN_HISTORY + 20)]
    commit_stream(engine, None, stream(spec=[spec_tag("1")], status={"1": texts}))
    before = read_wire(engine)
    head = read_stream(engine, history=1)
    commit_stream(engine, head, with_event(head, "1", event("new")))
    assert read_events(engine)[-1].before == before
    assert len(before["status"]["tags"][0]["items"]) == MAX_SHOWN_HISTORY


def test_change_events_of_image_have_state_before_and_after(engine):
    with transaction(engine) as session:
        save_images(session, [packed_image("a"), index("list", "x")], now=NOW)
        created = load_image(session, digest("a"))
    with transaction(engine) as session:
        labelled = created.replace(metadata=created.metadata.replace(labels={"a": "b"}))
        changed = update_image(session, created, labelled, now=after(5))
    with transaction(engine) as session:
        version = delete_image(session, digest("a"), now=after(6))
    found = read_events(engine)
    assert sorted(each.name for each in found[:2]) == sorted([digest("a"), digest("list")])
    of_image = [each for each in found if each.name == digest("a")]
    assert [each.verb for each in of_image] == [Verb.ADDED, Verb.MODIFIED, Verb.DELETED]
    assert [each.object for each in of_image[:2]] == [created.wire(), changed.wire()]
    assert of_image[2].before == changed.wire()
    assert of_image[2].object["metadata"]["resourceVersion"] == str(version)


def secret(data, **metadata):
    return Secret(metadata=ObjectMeta(name="pull", namespace="ns", **metadata), data={"k": data})


def test_change_events_of_secret_are_sealed_until_opened_with_key(engine):
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "tell-tale", "mine": "x"}
    wires = []
    for data in ("b25l", "dHdv"):
        with transaction(engine) as session:
            created = secret(data, annotations=annotations)
            wires.append(save_secret(session, created, cipher=CIPHER, now=NOW).wire())
    with transaction(engine) as session:
        delete_secret(session, "ns", "pull", now=NOW)
    found = read_events(engine)
    assert not any(data in str(found) for data in ("b25l", "dHdv", "tell-tale"))
    assert all("data" not in each.object for each in found)
    assert [unseal_wire(each.object, CIPHER) for each in found[:2]] == wires
    assert unseal_wire(found[2].before, CIPHER) == wires[1]
    assert found[0].object["metadata"]["annotations"] == {"mine": "x"}


def test_change_events_include_namespaces_and_jobs(engine):
    with transaction(engine) as session:
        old = load_namespace(session, "ns")
        save_namespace(session, old, old.replace(status=NamespaceStatus(phase="x")), now=NOW)
        job = create_job(session, JobRequest(import_request()), now=NOW)
    with transaction(engine) as session:
        job = claim_job(session, job.id, worker="w", now=NOW, lease=after(60) - NOW)
        finish_job(
            session,
            job,
            state=JobState.SUCCEEDED,
            result=JobResult(tags_unchanged=1),
            with_errors=False,
            response=None,
            now=NOW,
        )
    found = read_events(engine)
    assert found[0].object["status"]["phase"] == "x"
    assert found[0].before["status"]["phase"] == "Active"
    assert [each.kind for each in found[1:]] == ["ImportJob"] * 3
    states = [each.object["status"]["state"] for each in found[1:]]
    assert states == ["Queued", "Running", "Succeeded"]
    assert [each.object["metadata"]["resourceVersion"] for each in found] == [
        str(each.version) for each in found
    ]
    assert read_events(engine, kinds=["ImportJob"]) == found[1:]


def test_list_objects_at_equals_list_of_that_version(engine):
    """At every past version and page size, while streams are created, changed and deleted."""
    lists = {INITIAL_VERSION: []}
    steps_done = {}

    def record_list():
        with transaction(engine, write=False) as session:
            wires = list_stream_wires(session, limit=99)
            lists[latest_version(session)] = wires

    for step in range(24):
        name = f"s{step * 7 % 5}"
        step_of_stream = steps_done.get(name, 0)
        if step_of_stream == 3:
            with transaction(engine) as session:
                delete_stream(session, "ns", name, now=NOW)
        else:
            old = read_stream(engine, name)
            new = stream(name) if old is None else with_event(old, "1", event(f"{step}"))
            commit_stream(engine, old, new)
        steps_done[name] = (step_of_stream + 1) % 4
        record_list()
    for version, wires in lists.items():
        for limit in (1, 2, 3, 99):
            found, last = [], None
            with transaction(engine, write=False) as session:
                while page := list_objects_at(
                    session, "ImageStream", version, namespace="ns", after=last, limit=limit
                ):
                    assert len(page) <= limit
                    found += page
                    last = ("ns", page[-1]["metadata"]["name"])
            assert found == wires


def test_prune_changes_raises_floor_version(engine):
    for step in range(10):
        old = read_stream(engine)
        commit_stream(
            engine, old, stream() if old is None else with_event(old, "1", event(f"{step}"))
        )
    with transaction(engine) as session:
        save_images(session, [image("a")], now=NOW)
        assert prune_changes(session, now=after(60), retention=after(60) - NOW) == 0
        assert (
            prune_changes(session, now=after(61), retention=after(60) - NOW, min_per_kind=11) == 0
        )
        assert prune_changes(session, now=after(61), retention=after(60) - NOW, min_per_kind=4) == 6
    with transaction(engine, write=False) as session:
        floor = INITIAL_VERSION + 6
        assert floor_version(session) == floor_version(session, "ImageStream") == floor
        assert floor_version(session, "Image") == 0
        assert [each.version for each in load_changes(session, after=0, limit=99)] == [
            1,
            2,
            3,
            *range(floor + 1, INITIAL_VERSION + 12),
        ]
        assert list_objects_at(session, "ImageStream", floor - 1, limit=9) is None
        (oldest,) = list_objects_at(session, "ImageStream", floor, limit=9)
    assert len(oldest["status"]["tags"][0]["items"]) == 5
    assert [each.version for each in read_events(engine, since=floor, kinds=["ImageStream"])] == [
        *range(floor + 1, INITIAL_VERSION + 11)
    ]


def test_change_events_show_each_state_once_during_concurrent_writes(engine):
    for name in ("a", "b"):
        commit_stream(engine, None, stream(name))
    done, seen = threading.Event(), []

    def read_all():
        while True:
            is_last_read = done.is_set()
            since = seen[-1].version if seen else INITIAL_VERSION + 2
            page = read_events(engine, since=since, limit=3)
            seen.extend(page)
            if is_last_read and not page:
                return

    def write(name, number):
        for step in range(10):
            with transaction(engine) as session:
                old = load_stream(session, "ns", name, for_update=True)
                save_stream(session, old, with_event(old, "1", event(f"{number} {step}")), now=NOW)

    threads = [threading.Thread(target=write, args=(name, n)) for name in "ab" for n in range(2)]
    reader = threading.Thread(target=read_all)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert [each.version for each in seen] == list(range(INITIAL_VERSION + 3, INITIAL_VERSION + 43))
    for name in "ab":
        of_stream = [each for each in seen if each.name == name]
        lengths = [len(each.object["status"]["tags"][0]["items"]) for each in of_stream]
        assert lengths == list(range(1, 21))
        assert [each.object for each in of_stream[:-1]] == [each.before for each in of_stream[1:]]


def test_list_stream_wires_equals_wires_of_list_streams(engine):
    rich = stream(
        spec=[
            spec_tag("1", annotations={"a": "b"}, reference=True),
            spec_tag("2", kind="ImageStreamTag", source="other:1"),
        ],
        status={"1": ["a", "b", "c"], "3": []},
        labels={"l": "v"},
        annotations={"x": "y"},
        finalizers=["example.com/hold"],
        deletion_timestamp=NOW,
    )
    commit_stream(engine, None, rich)
    commit_stream(engine, None, stream("bare"))
    for history in (None, 0, 1, 2, 3, 100):
        with transaction(engine, write=False) as session:
            wires = list_stream_wires(session, limit=9, history=history)
            resources = list_streams(session, limit=9, history=history)
        assert wires == [each.wire() for each in resources]
        assert [list(each) for each in wires] == [list(each.wire()) for each in resources]
    assert wires[0]["metadata"]["finalizers"] == ["example.com/hold"]
