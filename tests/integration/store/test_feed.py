"""The undo log: every change once, in order, with the object as it was after it."""

import threading

import pytest
from cryptography.fernet import Fernet

from models.job_types import JobRequest, JobResult, JobState
from models.resources.core import NamespaceStatus
from models.resources.meta import ObjectMeta, Secret
from models.store.access.namespace_store import load_namespace, save_namespace
from models.store.access.secret_mapping import open_secret
from models.store.access.secret_store import delete_secret, save_secret
from models.store.changes.change_log import (
    Verb,
    floor_version,
    latest_version,
    list_as_of,
    load_changes,
    load_feed,
    prune_changes,
)
from models.store.database.cipher import Cipher
from models.store.database.session import transaction
from models.store.images.image_store import delete_image, load_image, save_images, update_image
from models.store.jobs.job_store import claim_job, create_job, finish_job
from models.store.streams.stream_list import SHOWN_HISTORY, list_stream_wires
from models.store.streams.stream_store import delete_stream, list_streams, load_stream, save_stream
from tests.integration.store.things import (
    NOW,
    START,
    after,
    digest,
    event,
    image,
    index,
    loaded,
    packed,
    request,
    stored,
    stream,
    wish,
    with_event,
)

CIPHER = Cipher([Fernet.generate_key().decode()])


def feed(engine, *, since=START, limit=1000, **how):
    with transaction(engine, write=False) as session:
        return load_feed(session, after=since, limit=limit, **how)


def shown(engine, name="app"):
    return loaded(engine, name, history=SHOWN_HISTORY).wire()


def steps(engine, name="app"):
    """A stream's life: made, given a wish, seen twice, deleted; its wires on the way."""
    seen = []
    for change in (
        lambda _: stream(name),
        lambda old: old.with_spec_tag(wish("1")),
        lambda old: with_event(old, "1", event("a")),
        lambda old: with_event(old, "1", event("b", created=after(9))),
    ):
        old = loaded(engine, name)
        stored(engine, old, change(old))
        seen.append(shown(engine, name))
    with transaction(engine) as session:
        gone = delete_stream(session, "ns", name, now=NOW)
    last = {**seen[-1], "metadata": {**seen[-1]["metadata"], "resourceVersion": str(gone)}}
    return [*seen, last]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_each_change_comes_with_the_state_after_it_however_many_lie_behind(engine, limit):
    wires = steps(engine)
    found = []
    while page := feed(engine, since=found[-1].version if found else START, limit=limit):
        found += page
    assert [each.version for each in found] == [START + step for step in range(1, 6)]
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


def test_an_object_that_was_made_again_is_another_one(engine):
    first = steps(engine)
    stored(engine, None, stream(labels={"second": "life"}))
    found = feed(engine)
    assert [each.object for each in found] == [*first, shown(engine)]
    assert found[-1].before is None


def test_an_import_that_read_only_heads_keeps_the_shown_history_of_what_was(engine):
    words = [f"{number}" for number in range(SHOWN_HISTORY + 20)]
    stored(engine, None, stream(spec=[wish("1")], status={"1": words}))
    was = shown(engine)
    head = loaded(engine, history=1)
    stored(engine, head, with_event(head, "1", event("new")))
    assert feed(engine)[-1].before == was
    assert len(was["status"]["tags"][0]["items"]) == SHOWN_HISTORY


def test_images_tell_what_they_were(engine):
    with transaction(engine) as session:
        save_images(session, [packed("a"), index("list", "x")], now=NOW)
        made = load_image(session, digest("a"))
    with transaction(engine) as session:
        labelled = made.replace(metadata=made.metadata.replace(labels={"a": "b"}))
        changed = update_image(session, made, labelled, now=after(5))
    with transaction(engine) as session:
        gone = delete_image(session, digest("a"), now=after(6))
    found = feed(engine)
    assert sorted(each.name for each in found[:2]) == sorted([digest("a"), digest("list")])
    mine = [each for each in found if each.name == digest("a")]
    assert [each.verb for each in mine] == [Verb.ADDED, Verb.MODIFIED, Verb.DELETED]
    assert [each.object for each in mine[:2]] == [made.wire(), changed.wire()]
    assert mine[2].before == changed.wire()
    assert mine[2].object["metadata"]["resourceVersion"] == str(gone)


def secret(word, **metadata):
    return Secret(metadata=ObjectMeta(name="pull", namespace="ns", **metadata), data={"k": word})


def test_secrets_are_closed_in_the_log_and_open_with_the_key(engine):
    told = {"kubectl.kubernetes.io/last-applied-configuration": "tell-tale", "mine": "x"}
    wires = []
    for word in ("b25l", "dHdv"):
        with transaction(engine) as session:
            made = secret(word, annotations=told)
            wires.append(save_secret(session, made, cipher=CIPHER, now=NOW).wire())
    with transaction(engine) as session:
        delete_secret(session, "ns", "pull", now=NOW)
    found = feed(engine)
    assert not any(word in str(found) for word in ("b25l", "dHdv", "tell-tale"))
    assert all("data" not in each.object for each in found)
    assert [open_secret(each.object, CIPHER) for each in found[:2]] == wires
    assert open_secret(found[2].before, CIPHER) == wires[1]
    assert found[0].object["metadata"]["annotations"] == {"mine": "x"}


def test_namespaces_and_jobs_are_told_of_too(engine):
    with transaction(engine) as session:
        old = load_namespace(session, "ns")
        save_namespace(session, old, old.replace(status=NamespaceStatus(phase="x")), now=NOW)
        job = create_job(session, JobRequest(request()), now=NOW)
    with transaction(engine) as session:
        job = claim_job(session, job.id, worker="w", now=NOW, lease=after(60) - NOW)
        finish_job(
            session,
            job,
            state=JobState.SUCCEEDED,
            result=JobResult(imported=1),
            with_errors=False,
            answer=None,
            now=NOW,
        )
    found = feed(engine)
    assert found[0].object["status"]["phase"] == "x"
    assert found[0].before["status"]["phase"] == "Active"
    assert [each.kind for each in found[1:]] == ["ImportJob"] * 3
    states = [each.object["status"]["state"] for each in found[1:]]
    assert states == ["Queued", "Running", "Succeeded"]
    assert [each.object["metadata"]["resourceVersion"] for each in found] == [
        str(each.version) for each in found
    ]
    assert feed(engine, kinds=["ImportJob"]) == found[1:]


def test_a_list_of_the_past_is_what_a_list_then_was(engine):
    """At every version that ever was, page by page, while objects come, change and go."""
    pasts = {START: []}
    lives = {}

    def note():
        with transaction(engine, write=False) as session:
            everything = list_stream_wires(session, limit=99)
            pasts[latest_version(session)] = everything

    for step in range(24):
        name = f"s{step * 7 % 5}"
        life = lives.get(name, 0)
        if life == 3:
            with transaction(engine) as session:
                delete_stream(session, "ns", name, now=NOW)
        else:
            old = loaded(engine, name)
            new = stream(name) if old is None else with_event(old, "1", event(f"{step}"))
            stored(engine, old, new)
        lives[name] = (life + 1) % 4
        note()
    for version, everything in pasts.items():
        for limit in (1, 2, 3, 99):
            found, last = [], None
            with transaction(engine, write=False) as session:
                while page := list_as_of(
                    session, "ImageStream", version, namespace="ns", after=last, limit=limit
                ):
                    assert len(page) <= limit
                    found += page
                    last = ("ns", page[-1]["metadata"]["name"])
            assert found == everything


def test_what_was_pruned_is_below_the_floor(engine):
    for step in range(10):
        old = loaded(engine)
        stored(engine, old, stream() if old is None else with_event(old, "1", event(f"{step}")))
    with transaction(engine) as session:
        save_images(session, [image("a")], now=NOW)
        assert prune_changes(session, now=after(60), keep=after(60) - NOW) == 0
        assert prune_changes(session, now=after(61), keep=after(60) - NOW, keep_each=11) == 0
        assert prune_changes(session, now=after(61), keep=after(60) - NOW, keep_each=4) == 6
    with transaction(engine, write=False) as session:
        floor = START + 6
        assert floor_version(session) == floor_version(session, "ImageStream") == floor
        assert floor_version(session, "Image") == 0
        assert [each.version for each in load_changes(session, after=0, limit=99)] == [
            1,
            2,
            3,
            *range(floor + 1, START + 12),
        ]
        assert list_as_of(session, "ImageStream", floor - 1, limit=9) is None
        (then,) = list_as_of(session, "ImageStream", floor, limit=9)
    assert len(then["status"]["tags"][0]["items"]) == 5
    assert [each.version for each in feed(engine, since=floor, kinds=["ImageStream"])] == [
        *range(floor + 1, START + 11)
    ]


def test_who_follows_the_feed_sees_each_state_once_while_many_write(engine):
    for name in ("a", "b"):
        stored(engine, None, stream(name))
    done, seen = threading.Event(), []

    def follow():
        while True:
            last_look = done.is_set()
            since = seen[-1].version if seen else START + 2
            page = feed(engine, since=since, limit=3)
            seen.extend(page)
            if last_look and not page:
                return

    def write(name, number):
        for step in range(10):
            with transaction(engine) as session:
                old = load_stream(session, "ns", name, for_update=True)
                save_stream(session, old, with_event(old, "1", event(f"{number} {step}")), now=NOW)

    threads = [threading.Thread(target=write, args=(name, n)) for name in "ab" for n in range(2)]
    follower = threading.Thread(target=follow)
    for thread in (follower, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    assert [each.version for each in seen] == list(range(START + 3, START + 43))
    for name in "ab":
        mine = [each for each in seen if each.name == name]
        lengths = [len(each.object["status"]["tags"][0]["items"]) for each in mine]
        assert lengths == list(range(1, 21))
        assert [each.object for each in mine[:-1]] == [each.before for each in mine[1:]]


def test_wires_equal_what_the_resources_print(engine):
    rich = stream(
        spec=[
            wish("1", annotations={"a": "b"}, reference=True),
            wish("2", kind="ImageStreamTag", source="other:1"),
        ],
        status={"1": ["a", "b", "c"], "3": []},
        labels={"l": "v"},
        annotations={"x": "y"},
        finalizers=["example.com/hold"],
        deletion_timestamp=NOW,
    )
    stored(engine, None, rich)
    stored(engine, None, stream("bare"))
    for history in (None, 0, 1, 2, 3, 100):
        with transaction(engine, write=False) as session:
            wires = list_stream_wires(session, limit=9, history=history)
            resources = list_streams(session, limit=9, history=history)
        assert wires == [each.wire() for each in resources]
        assert [list(each) for each in wires] == [list(each.wire()) for each in resources]
    assert wires[0]["metadata"]["finalizers"] == ["example.com/hold"]
