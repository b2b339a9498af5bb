"""Registry objects in the store: policies, discovery, versions and the reports of workers."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select, update

from models.errors import InvalidObjectError, StreamConflictError
from models.resources.meta import ObjectMeta
from models.resources.registries import DISCOVERED_LABEL, Registry, RegistrySpec
from models.resources.stream import ImageStream
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_events import load_change_events
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.registries.registry_reports import (
    delete_worker_reports,
    load_health_reports,
    load_registries_with_status,
    save_health_reports,
)
from models.store.registries.registry_store import (
    count_scheduled_tags,
    create_discovered_registries,
    delete_registry,
    list_registries,
    list_undiscovered_hosts,
    load_policies,
    load_policies_version,
    load_registry,
    save_registry,
)
from models.store.streams.stream_store import save_stream
from models.store.tables.registries import RegistryHealthRow
from models.store.tables.schedule import ScheduledTagRow
from tests.integration.store.sample_objects import NOW


def registry(name, host="", **spec):
    spec = RegistrySpec.model_validate({"host": host or name, **spec})
    return Registry(metadata=ObjectMeta(name=name), spec=spec)


@pytest.fixture
def engine(ready_database_url):
    engine = open_engine(ready_database_url)
    upgrade_database(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    """Functions that run each call in a transaction of its own."""

    def call(function, *arguments, **more):
        with transaction(engine) as session:
            return function(session, *arguments, **more)

    return SimpleNamespace(
        call=call,
        save=lambda new, old=None: call(save_registry, old, new, now=NOW),
        drop=lambda name: call(delete_registry, name, now=NOW),
        load=lambda name: call(load_registry, name),
        discover=lambda limit=100: call(create_discovered_registries, now=NOW, limit=limit),
    )


def save_scheduled_stream(store, name, *sources):
    """Save a stream with a scheduled tag for each source."""
    tags = [
        {
            "name": f"t{position}",
            "from": {"kind": "DockerImage", "name": source},
            "importPolicy": {"scheduled": True},
            "generation": 1,
        }
        for position, source in enumerate(sources)
    ]
    wire = {
        "metadata": {"name": name, "namespace": "ns", "generation": 1},
        "spec": {"tags": tags},
    }
    store.call(save_stream, None, ImageStream.model_validate(wire), now=NOW)


def test_registry_writes_each_have_a_new_version(store):
    first = store.save(registry("quay.io", rate=5))
    assert (first.metadata.generation, first.spec.rate) == (1, 5)
    assert first.metadata.uid
    second = store.save(first.replace(spec=first.spec.replace(rate=0.5)), first)
    assert second.metadata.generation == 2
    labels = second.metadata.replace(labels={"team": "x"})
    third = store.save(second.replace(metadata=labels), second)
    assert (third.metadata.generation, third.metadata.labels) == (2, {"team": "x"})
    assert store.save(third, third) == third
    deleted = store.drop("quay.io")
    versions = [int(each.metadata.resource_version) for each in (first, second, third)]
    assert [*versions, deleted] == sorted({*versions, deleted})
    assert store.load("quay.io") is None
    assert store.drop("quay.io") == 0


def test_save_registry_with_stale_version_conflicts(store):
    first = store.save(registry("quay.io"))
    store.save(first.replace(spec=first.spec.replace(blocked=True)), first)
    with pytest.raises(StreamConflictError):
        store.save(first.replace(spec=first.spec.replace(blocked=False)), first)
    with pytest.raises(StreamConflictError):
        store.save(registry("quay.io"))


def test_change_events_of_registry_have_spec_without_status(store):
    first = store.save(registry("quay.io", blocked=False))
    store.save(first.replace(spec=first.spec.replace(blocked=True)), first)
    store.drop("quay.io")
    events = store.call(load_change_events, after=0, limit=100, kinds=["Registry"])
    assert [str(each.verb) for each in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [each.object["spec"]["blocked"] for each in events] == [False, True, True]
    assert all(each.object["status"] == {} for each in events)


def test_load_policies_version_changes_with_every_write(store):
    versions = [store.call(load_policies_version)]
    first = store.save(registry("docker.io", rate=2, suspended=True))
    versions.append(store.call(load_policies_version))
    store.save(first.replace(spec=first.spec.replace(rate=3)), first)
    policies = store.call(load_policies)
    assert policies.version == store.call(load_policies_version)
    assert policies.policy("registry-1.docker.io").rate == 3
    assert policies.policy("docker.io").suspended
    versions.append(policies.version)
    store.drop("docker.io")
    versions.append(store.call(load_policies_version))
    assert len(set(versions)) == 4
    assert store.call(load_policies).policy("docker.io").rate is None


def test_save_registry_refuses_host_of_another_registry(store):
    store.save(registry("hub", host="docker.io", rate=1))
    with pytest.raises(InvalidObjectError, match="the Registry hub covers this host already"):
        store.save(registry("index.docker.io"))


def test_create_discovered_registries_adds_hosts_of_scheduled_tags(store):
    save_scheduled_stream(
        store, "web", "quay.io/a/b:1", "quay.io/a/b:2", "nginx:1", "localhost:5000/x/y:1"
    )
    save_scheduled_stream(store, "api", "quay.io/c/d:1", "r.example/x:1")
    assert store.call(list_undiscovered_hosts, limit=2) == ["docker.io", "localhost:5000"]
    assert store.discover(limit=3) == 3
    assert store.discover() == 1
    assert store.discover() == 0
    found = store.call(list_registries, limit=10)
    assert [(each.metadata.name, each.spec.host) for each in found] == [
        ("docker.io", "docker.io"),
        ("localhost-5000", "localhost:5000"),
        ("quay.io", "quay.io"),
        ("r.example", "r.example"),
    ]
    assert all(each.metadata.labels == {DISCOVERED_LABEL: "true"} for each in found)
    later = NOW + timedelta(days=1)
    assert store.call(count_scheduled_tags, ["quay.io", "docker.io", "x"], now=later) == {
        "quay.io": (3, 0),
        "docker.io": (1, 0),
    }


def test_deleted_registry_of_scheduled_tag_is_discovered_again(store):
    save_scheduled_stream(store, "web", "quay.io/a/b:1")
    store.discover()
    found = store.load("quay.io")
    store.save(found.replace(spec=found.spec.replace(blocked=True)), found)
    store.drop("quay.io")
    assert store.discover() == 1
    assert store.load("quay.io").spec == RegistrySpec(host="quay.io")


def test_save_registry_replaces_discovered_registry_of_host(store):
    save_scheduled_stream(store, "web", "localhost:5000/x/y:1")
    store.discover()
    store.save(registry("mine", host="localhost:5000", concurrency=2))
    assert store.load("localhost-5000") is None
    assert store.discover() == 0


def test_discovered_registry_gets_unique_name(store):
    store.save(registry("localhost-5000", host="other.example"))
    save_scheduled_stream(store, "web", "localhost:5000/x/y:1")
    assert store.discover() == 1
    names = {each.metadata.name: each.spec.host for each in store.call(list_registries, limit=9)}
    assert names.pop("localhost-5000") == "other.example"
    (name,) = names
    assert name.startswith("localhost-5000-")
    assert names[name] == "localhost:5000"


def record_failures(store, **reasons):
    """Record a failed check for each tag, with the next check in one hour."""

    def update_rows(session):
        for tag, reason in reasons.items():
            session.execute(
                update(ScheduledTagRow)
                .where(ScheduledTagRow.tag == tag)
                .values(
                    consecutive_failures=1,
                    error_code=reason,
                    next_check_at=NOW + timedelta(hours=1),
                )
            )

    store.call(update_rows)


def list_rescheduled_tags(store):
    due_now = select(ScheduledTagRow.tag).where(
        ScheduledTagRow.next_check_at == NOW, ScheduledTagRow.consecutive_failures > 0
    )
    return sorted(store.call(lambda session: session.scalars(due_now).all()))


def test_save_registry_reschedules_failed_tags_that_it_affects(store):
    names = ("quay.io/a/b:0", "quay.io/c/d:1", "quay.io/a/b:2", "r.example/a/b:3")
    save_scheduled_stream(store, "web", *names)
    blocked, refused = "policy.blocked", "net.refused"
    part = store.save(registry("part", host="quay.io/a", blocked=True))
    record_failures(store, t0=blocked, t1=blocked, t2=refused, t3="tls.untrusted")
    part = store.save(part.replace(metadata=part.metadata.replace(labels={"a": "b"})), part)
    assert list_rescheduled_tags(store) == []
    store.drop("part")
    assert list_rescheduled_tags(store) == ["t0"]
    store.save(registry("quay.io", blocked=False))
    assert list_rescheduled_tags(store) == ["t0", "t1"]
    store.save(registry("any", host="*.example", insecure=True))
    assert list_rescheduled_tags(store) == ["t0", "t1", "t3"]


def report(host, **more):
    return {"host": host, "in_flight": 1, "limit": 8, "breaker": "closed", **more}


def test_registry_status_merges_worker_reports_and_tag_counts(store):
    save_scheduled_stream(store, "web", "nginx:1", "nginx:2")
    store.save(registry("hub", host="docker.io"))
    store.save(registry("part", host="quay.io/part", blocked=True))
    quotas = [("", 100, 40, 3600.0), ("user@x", 200, 199, 60.0)]
    store.call(
        save_health_reports, [report("registry-1.docker.io", quotas=quotas)], worker="one", now=NOW
    )
    store.call(save_health_reports, [report("docker.io", in_flight=2)], worker="two", now=NOW)
    registries = store.call(list_registries, limit=9)
    now = NOW + timedelta(seconds=5)
    hub, part = (
        each.status
        for each in store.call(load_registries_with_status, registries, now=now, rate=50.0)
    )
    assert (hub.health, hub.requests_in_flight, hub.concurrency) == ("Healthy", 3, 16)
    assert (hub.rate, hub.tags_scheduled) == (50.0, 2)
    credentials = [each.credential for each in hub.quotas]
    assert "anonymous" in credentials
    assert not any("user" in name for name in credentials)
    assert {each.remaining for each in hub.quotas} == {40, 199}
    assert part.health == "Unknown"
    assert part.conditions[0]["reason"] == "NoRegistry"


def test_old_health_reports_and_those_of_ended_workers_are_deleted(store):
    store.call(save_health_reports, [report("quay.io")], worker="old", now=NOW)
    now = NOW + timedelta(minutes=59)
    store.call(save_health_reports, [report("quay.io")], worker="new", now=now)
    assert len(store.call(load_health_reports, ["quay.io"])["quay.io"]) == 2
    store.call(save_health_reports, [], worker="new", now=now + timedelta(minutes=5))
    assert len(store.call(load_health_reports, ["quay.io"])["quay.io"]) == 1
    store.call(delete_worker_reports, "new")
    count = store.call(
        lambda session: session.scalar(select(func.count()).select_from(RegistryHealthRow))
    )
    assert count == 0
