"""Namespaces: there from the start or made on demand, and emptied before they go."""

import threading
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from models.errors import LeaseLostError, StreamConflictError
from models.job_types import JobRequest
from models.resources.core import Namespace
from models.resources.meta import ObjectMeta, Secret
from models.store.access.namespace_store import (
    count_namespaces,
    delete_namespace,
    ensure_namespace,
    hold_namespace,
    list_namespaces,
    load_namespace,
    save_namespace,
)
from models.store.access.secret_store import list_secrets, save_secret
from models.store.changes.change_log import load_feed
from models.store.database.cipher import Cipher
from models.store.database.session import open_engine, transaction, upgrade
from models.store.jobs.job_store import claim_job, create_job, list_jobs, renew_job
from models.store.streams.stream_store import list_streams, save_stream
from tests.integration.store.things import NOW, START, after, event, request, stored, stream

CIPHER = Cipher([Fernet.generate_key().decode()])
LABEL = "kubernetes.io/metadata.name"


def named(name, **metadata):
    return Namespace(metadata=ObjectMeta(name=name, **metadata))


def save(engine, old, new, *, now=NOW):
    with transaction(engine) as session:
        return save_namespace(session, old, new, now=now)


def load(engine, name):
    with transaction(engine, write=False) as session:
        return load_namespace(session, name)


def names(engine, **how):
    with transaction(engine, write=False) as session:
        return [each.metadata.name for each in list_namespaces(session, limit=9, **how)]


def test_default_and_openshift_are_there_from_the_start_and_are_made_once(engine):
    upgrade(engine)
    assert names(engine) == ["default", "ns", "openshift"]
    found = load(engine, "default").wire()
    assert found["metadata"]["labels"] == {LABEL: "default"}
    assert found["metadata"]["resourceVersion"] == "1"
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


def test_a_namespace_comes_back_as_it_went_in(engine):
    made = save(engine, None, named("a", labels={"l": "v"}, annotations={"x": "y"}))
    assert made == load(engine, "a")
    assert made.metadata.creation_timestamp == NOW
    assert made.metadata.resource_version == str(START + 1)
    assert load(engine, "b") is None


def test_a_name_is_given_once_and_a_lost_race_is_a_conflict(engine):
    made = save(engine, None, named("a"))
    with pytest.raises(StreamConflictError, match='namespaces "a"'):
        save(engine, None, named("a"))
    changed = save(engine, made, made.replace(metadata=made.metadata.replace(labels={"a": "b"})))
    assert changed.metadata.uid == made.metadata.uid
    with pytest.raises(StreamConflictError):
        save(engine, made, made)
    assert save(engine, changed, changed) == changed == load(engine, "a")


def test_namespaces_are_paged_and_counted(engine):
    for name in ("c", "a", "b"):
        save(engine, None, named(name))
    assert names(engine, after="a") == ["b", "c", "default", "ns", "openshift"]
    with transaction(engine, write=False) as session:
        assert len(list_namespaces(session, limit=2)) == 2
        assert (count_namespaces(session), count_namespaces(session, after="b")) == (6, 4)


def test_what_needs_a_namespace_brings_it_along(engine):
    stored(engine, None, stream(namespace="s"))
    with transaction(engine) as session:
        create_job(session, JobRequest(request(namespace="j")), now=NOW)
        made = Secret(metadata=ObjectMeta(name="x", namespace="k"))
        save_secret(session, made, cipher=CIPHER, now=NOW)
        ensure_namespace(session, "s", now=NOW)
    assert names(engine) == ["default", "j", "k", "ns", "openshift", "s"]


@pytest.mark.case("api 218")
def test_a_namespace_takes_everything_in_it_along_each_with_its_own_change(engine):
    for number in range(3):
        stored(engine, None, stream(f"s{number}", status={"1": ["a"]}))
    stored(engine, None, stream(namespace="other"))
    with transaction(engine) as session:
        made = Secret(metadata=ObjectMeta(name="x", namespace="ns"), data={"k": "dg=="})
        save_secret(session, made, cipher=CIPHER, now=NOW)
        job = create_job(session, JobRequest(request()), now=NOW)
        job = claim_job(session, job.id, worker="w", now=NOW, lease=timedelta(seconds=60))
    with transaction(engine) as session:
        gone = delete_namespace(session, "ns", now=after(5))
        assert delete_namespace(session, "ns", now=after(5)) == 0
    with transaction(engine, write=False) as session:
        found = load_feed(session, after=gone - 6, limit=99)
        assert list_streams(session, namespace="ns", limit=9) == []
        assert len(list_streams(session, namespace="other", limit=9)) == 1
        assert list_secrets(session, "ns") == []
        assert list_jobs(session) == []
        rows = session.scalar(text("SELECT count(*) FROM tag_events"))
    assert rows == 0
    assert [(each.kind, each.name) for each in found] == [
        ("ImageStream", "s0"),
        ("ImageStream", "s1"),
        ("ImageStream", "s2"),
        ("Secret", "x"),
        ("ImportJob", str(job.id)),
        ("Namespace", "ns"),
    ]
    assert all(each.verb == "DELETED" and each.before for each in found)
    assert found[-1].version == gone
    assert load(engine, "ns") is None
    with pytest.raises(LeaseLostError), transaction(engine) as session:
        renew_job(session, job.id, 1, done=1, total=2, now=after(9), lease=timedelta(seconds=60))


def test_a_full_namespace_goes_in_pages(engine):
    for number in range(230):
        stored(engine, None, stream(f"s{number:03}", status={"1": [event(f"{number}")]}))
    with transaction(engine) as session:
        gone = delete_namespace(session, "ns", now=NOW)
    with transaction(engine, write=False) as session:
        found = load_feed(session, after=gone - 231, limit=999)
    assert [each.name for each in found] == [f"s{number:03}" for number in range(230)] + ["ns"]


@pytest.mark.parametrize("what", ["stream", "secret"])
def test_what_comes_while_a_namespace_goes_is_not_left_for_the_next_of_its_name(engine, what):
    """The deletion waits for whoever puts something into it, and takes that along."""
    save(engine, None, named("room"))
    gone = threading.Event()

    def delete():
        with transaction(engine) as session:
            delete_namespace(session, "room", now=NOW)
        gone.set()

    going = threading.Thread(target=delete)
    with transaction(engine) as session:
        assert hold_namespace(session, "room") is not None
        going.start()
        assert not gone.wait(0.3)
        if what == "stream":
            save_stream(session, None, stream(namespace="room"), now=NOW)
        else:
            secret = Secret(metadata=ObjectMeta(name="s", namespace="room"))
            save_secret(session, secret, cipher=CIPHER, now=NOW)
    going.join(20)
    assert gone.is_set()
    with transaction(engine, write=False) as session:
        assert load_namespace(session, "room") is None
        assert list_streams(session, namespace="room", limit=9) == []
        assert list_secrets(session, "room", cipher=CIPHER) == []


def test_two_put_something_into_a_namespace_at_once(postgres_url):
    """SQLite, with its one writer, has nothing to show here."""
    engine = open_engine(postgres_url)
    upgrade(engine)
    with transaction(engine) as one, transaction(engine) as other:
        assert hold_namespace(one, "default") is not None
        assert hold_namespace(other, "default") is not None
    engine.dispose()
