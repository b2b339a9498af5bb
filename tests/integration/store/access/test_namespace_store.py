"""Namespaces: created with the schema or on demand, and emptied before they are deleted."""

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
    list_namespaces,
    load_namespace,
    lock_namespace,
    save_namespace,
)
from models.store.access.secret_store import list_secrets, save_secret
from models.store.changes.change_events import load_change_events
from models.store.database.cipher import Cipher
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.jobs.job_queries import list_jobs
from models.store.jobs.job_store import claim_job, create_job, renew_job
from models.store.streams.stream_store import list_streams, save_stream
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    after,
    commit_stream,
    event,
    import_request,
    stream,
)

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


def list_names(engine, **page):
    with transaction(engine, write=False) as session:
        return [each.metadata.name for each in list_namespaces(session, limit=9, **page)]


def test_default_and_openshift_namespaces_are_created_once(engine):
    upgrade_database(engine)
    assert list_names(engine) == ["default", "ns", "openshift"]
    found = load(engine, "default").wire()
    assert found["metadata"]["labels"] == {LABEL: "default"}
    assert found["metadata"]["resourceVersion"] == "1"
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


def test_saved_namespace_is_loaded_unchanged(engine):
    made = save(engine, None, named("a", labels={"l": "v"}, annotations={"x": "y"}))
    assert made == load(engine, "a")
    assert made.metadata.creation_timestamp == NOW
    assert made.metadata.resource_version == str(INITIAL_VERSION + 1)
    assert load(engine, "b") is None


def test_save_namespace_refuses_existing_name_and_stale_version(engine):
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
    assert list_names(engine, after="a") == ["b", "c", "default", "ns", "openshift"]
    with transaction(engine, write=False) as session:
        assert len(list_namespaces(session, limit=2)) == 2
        assert (count_namespaces(session), count_namespaces(session, after="b")) == (6, 4)


def test_saving_objects_creates_their_namespace(engine):
    commit_stream(engine, None, stream(namespace="s"))
    with transaction(engine) as session:
        create_job(session, JobRequest(import_request(namespace="j")), now=NOW)
        made = Secret(metadata=ObjectMeta(name="x", namespace="k"))
        save_secret(session, made, cipher=CIPHER, now=NOW)
        ensure_namespace(session, "s", now=NOW)
    assert list_names(engine) == ["default", "j", "k", "ns", "openshift", "s"]


@pytest.mark.case("api 218")
def test_delete_namespace_records_a_change_for_each_deleted_object(engine):
    for number in range(3):
        commit_stream(engine, None, stream(f"s{number}", status={"1": ["a"]}))
    commit_stream(engine, None, stream(namespace="other"))
    with transaction(engine) as session:
        made = Secret(metadata=ObjectMeta(name="x", namespace="ns"), data={"k": "dg=="})
        save_secret(session, made, cipher=CIPHER, now=NOW)
        job = create_job(session, JobRequest(import_request()), now=NOW)
        job = claim_job(session, job.id, worker="w", now=NOW, lease=timedelta(seconds=60))
    with transaction(engine) as session:
        gone = delete_namespace(session, "ns", now=after(5))
        assert delete_namespace(session, "ns", now=after(5)) == 0
    with transaction(engine, write=False) as session:
        found = load_change_events(session, after=gone - 6, limit=99)
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


def test_delete_namespace_deletes_streams_in_pages(engine):
    for number in range(230):
        commit_stream(engine, None, stream(f"s{number:03}", status={"1": [event(f"{number}")]}))
    with transaction(engine) as session:
        gone = delete_namespace(session, "ns", now=NOW)
    with transaction(engine, write=False) as session:
        found = load_change_events(session, after=gone - 231, limit=999)
    assert [each.name for each in found] == [f"s{number:03}" for number in range(230)] + ["ns"]


@pytest.mark.parametrize("what", ["stream", "secret"])
def test_delete_namespace_waits_for_writer_and_deletes_its_object(engine, what):
    """The deletion waits for a transaction that adds an object, and deletes that object too."""
    save(engine, None, named("busy"))
    deleted = threading.Event()

    def delete():
        with transaction(engine) as session:
            delete_namespace(session, "busy", now=NOW)
        deleted.set()

    deleter = threading.Thread(target=delete)
    with transaction(engine) as session:
        assert lock_namespace(session, "busy") is not None
        deleter.start()
        assert not deleted.wait(0.3)
        if what == "stream":
            save_stream(session, None, stream(namespace="busy"), now=NOW)
        else:
            secret = Secret(metadata=ObjectMeta(name="s", namespace="busy"))
            save_secret(session, secret, cipher=CIPHER, now=NOW)
    deleter.join(20)
    assert deleted.is_set()
    with transaction(engine, write=False) as session:
        assert load_namespace(session, "busy") is None
        assert list_streams(session, namespace="busy", limit=9) == []
        assert list_secrets(session, "busy", cipher=CIPHER) == []


def test_lock_namespace_is_shared_by_two_transactions(postgres_url):
    """Only on PostgreSQL: SQLite has one writer at a time."""
    engine = open_engine(postgres_url)
    upgrade_database(engine)
    with transaction(engine) as one, transaction(engine) as other:
        assert lock_namespace(one, "default") is not None
        assert lock_namespace(other, "default") is not None
    engine.dispose()
