"""Registry objects in the store: policies, discovery, versions, and what workers tell."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select, update

from models.errors import InvalidObjectError, StreamConflictError
from models.resources.meta import ObjectMeta
from models.resources.registries import DISCOVERED, Registry, RegistrySpec
from models.resources.stream import ImageStream
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import load_feed
from models.store.database.session import open_engine, transaction, upgrade
from models.store.registries.registry_reports import (
    forget_worker,
    load_reports,
    publish_health,
    with_statuses,
)
from models.store.registries.registry_store import (
    delete_registry,
    discover_registries,
    list_registries,
    load_policies,
    load_registry,
    policies_version,
    save_registry,
    tags_followed,
    unknown_hosts,
)
from models.store.streams.stream_store import save_stream
from models.store.tables.registries import HealthRow
from models.store.tables.schedule import ScheduleRow
from tests.integration.store.things import NOW


def registry(name, host="", **spec):
    spec = RegistrySpec.model_validate({"host": host or name, **spec})
    return Registry(metadata=ObjectMeta(name=name), spec=spec)


@pytest.fixture
def engine(ready_database_url):
    engine = open_engine(ready_database_url)
    upgrade(engine)
    with transaction(engine) as session:
        ensure_namespace(session, "ns", now=NOW)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    """Each call a transaction of its own."""

    def call(function, *arguments, **more):
        with transaction(engine) as session:
            return function(session, *arguments, **more)

    return SimpleNamespace(
        call=call,
        save=lambda new, old=None: call(save_registry, old, new, now=NOW),
        drop=lambda name: call(delete_registry, name, now=NOW),
        load=lambda name: call(load_registry, name),
        discover=lambda limit=100: call(discover_registries, now=NOW, limit=limit),
    )


def follow(store, name, *sources):
    """A stream whose tags the calendar follows."""
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


def test_a_registry_is_stored_changed_and_deleted_with_a_version_each(store):
    first = store.save(registry("quay.io", rate=5))
    assert (first.metadata.generation, first.spec.rate) == (1, 5)
    assert first.metadata.uid
    second = store.save(first.replace(spec=first.spec.replace(rate=0.5)), first)
    assert second.metadata.generation == 2
    labels = second.metadata.replace(labels={"team": "x"})
    third = store.save(second.replace(metadata=labels), second)
    assert (third.metadata.generation, third.metadata.labels) == (2, {"team": "x"})
    assert store.save(third, third) == third
    gone = store.drop("quay.io")
    versions = [int(each.metadata.resource_version) for each in (first, second, third)]
    assert [*versions, gone] == sorted({*versions, gone})
    assert store.load("quay.io") is None
    assert store.drop("quay.io") == 0


def test_who_writes_over_a_newer_registry_is_refused(store):
    first = store.save(registry("quay.io"))
    store.save(first.replace(spec=first.spec.replace(blocked=True)), first)
    with pytest.raises(StreamConflictError):
        store.save(first.replace(spec=first.spec.replace(blocked=False)), first)
    with pytest.raises(StreamConflictError):
        store.save(registry("quay.io"))


def test_the_log_has_every_change_with_its_state_and_without_status(store):
    first = store.save(registry("quay.io", blocked=False))
    store.save(first.replace(spec=first.spec.replace(blocked=True)), first)
    store.drop("quay.io")
    feed = store.call(load_feed, after=0, limit=100, kinds=["Registry"])
    assert [str(each.verb) for each in feed] == ["ADDED", "MODIFIED", "DELETED"]
    assert [each.object["spec"]["blocked"] for each in feed] == [False, True, True]
    assert all(each.object["status"] == {} for each in feed)


def test_policies_are_one_value_with_a_version_that_every_change_moves(store):
    seen = [store.call(policies_version)]
    first = store.save(registry("docker.io", rate=2, suspended=True))
    seen.append(store.call(policies_version))
    store.save(first.replace(spec=first.spec.replace(rate=3)), first)
    policies = store.call(load_policies)
    assert policies.version == store.call(policies_version)
    assert policies.policy("registry-1.docker.io").rate == 3
    assert policies.policy("docker.io").suspended
    seen.append(policies.version)
    store.drop("docker.io")
    seen.append(store.call(policies_version))
    assert len(set(seen)) == 4
    assert store.call(load_policies).policy("docker.io").rate is None


def test_two_objects_do_not_speak_for_one_host(store):
    store.save(registry("hub", host="docker.io", rate=1))
    with pytest.raises(InvalidObjectError, match="the Registry hub speaks for this host already"):
        store.save(registry("index.docker.io"))


def test_registries_that_the_calendar_follows_come_into_being(store):
    follow(store, "web", "quay.io/a/b:1", "quay.io/a/b:2", "nginx:1", "localhost:5000/x/y:1")
    follow(store, "api", "quay.io/c/d:1", "r.example/x:1")
    assert store.call(unknown_hosts, limit=2) == ["docker.io", "localhost:5000"]
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
    assert all(each.metadata.labels == {DISCOVERED: "true"} for each in found)
    later = NOW + timedelta(days=1)
    assert store.call(tags_followed, ["quay.io", "docker.io", "x"], now=later) == {
        "quay.io": (3, 0),
        "docker.io": (1, 0),
    }


def test_a_deleted_one_that_is_followed_comes_back_without_a_policy(store):
    follow(store, "web", "quay.io/a/b:1")
    store.discover()
    found = store.load("quay.io")
    store.save(found.replace(spec=found.spec.replace(blocked=True)), found)
    store.drop("quay.io")
    assert store.discover() == 1
    assert store.load("quay.io").spec == RegistrySpec(host="quay.io")


def test_one_that_was_found_gives_way_to_somebodys_own(store):
    follow(store, "web", "localhost:5000/x/y:1")
    store.discover()
    store.save(registry("mine", host="localhost:5000", concurrency=2))
    assert store.load("localhost-5000") is None
    assert store.discover() == 0


def test_hosts_that_would_share_a_name_do_not(store):
    store.save(registry("localhost-5000", host="other.example"))
    follow(store, "web", "localhost:5000/x/y:1")
    assert store.discover() == 1
    names = {each.metadata.name: each.spec.host for each in store.call(list_registries, limit=9)}
    assert names.pop("localhost-5000") == "other.example"
    (name,) = names
    assert name.startswith("localhost-5000-")
    assert names[name] == "localhost:5000"


def refuse(store, **reasons):
    """What the last look at tags came to; they are looked at again in an hour."""

    def note(session):
        for tag, reason in reasons.items():
            session.execute(
                update(ScheduleRow)
                .where(ScheduleRow.tag == tag)
                .values(failures=1, reason=reason, next_look=NOW + timedelta(hours=1))
            )

    store.call(note)


def woken(store):
    here = select(ScheduleRow.tag).where(ScheduleRow.next_look == NOW, ScheduleRow.failures > 0)
    return sorted(store.call(lambda session: session.scalars(here).all()))


def test_tags_that_were_blocked_are_looked_at_when_that_changes(store):
    names = ("quay.io/a/b:0", "quay.io/c/d:1", "quay.io/a/b:2", "r.example/a/b:3")
    follow(store, "web", *names)
    blocked, net = "policy.blocked", "net.refused"
    part = store.save(registry("part", host="quay.io/a", blocked=True))
    refuse(store, t0=blocked, t1=blocked, t2=net, t3="tls.untrusted")
    part = store.save(part.replace(metadata=part.metadata.replace(labels={"a": "b"})), part)
    assert woken(store) == []
    store.drop("part")
    assert woken(store) == ["t0"]
    store.save(registry("quay.io", blocked=False))
    assert woken(store) == ["t0", "t1"]
    store.save(registry("any", host="*.example", insecure=True))
    assert woken(store) == ["t0", "t1", "t3"]


def told(host, **more):
    return {"host": host, "in_flight": 1, "limit": 8, "breaker": "closed", **more}


def test_what_workers_tell_is_merged_and_shown_with_the_calendars_counts(store):
    follow(store, "web", "nginx:1", "nginx:2")
    store.save(registry("hub", host="docker.io"))
    store.save(registry("part", host="quay.io/part", blocked=True))
    quotas = [("", 100, 40, 3600.0), ("user@x", 200, 199, 60.0)]
    store.call(publish_health, [told("registry-1.docker.io", quotas=quotas)], worker="one", now=NOW)
    store.call(publish_health, [told("docker.io", in_flight=2)], worker="two", now=NOW)
    every = store.call(list_registries, limit=9)
    now = NOW + timedelta(seconds=5)
    hub, part = (each.status for each in store.call(with_statuses, every, now=now, rate=50.0))
    assert (hub.health, hub.in_flight, hub.limit, hub.rate) == ("Healthy", 3, 16, 50.0)
    assert hub.tags_followed == 2
    names = [each.credential for each in hub.quotas]
    assert "anonymous" in names
    assert not any("user" in name for name in names)
    assert {each.remaining for each in hub.quotas} == {40, 199}
    assert part.health == "Unknown"
    assert part.conditions[0]["reason"] == "NoRegistry"


def test_what_was_told_long_ago_is_dropped_and_a_worker_that_ends_is_forgotten(store):
    store.call(publish_health, [told("quay.io")], worker="old", now=NOW)
    now = NOW + timedelta(minutes=59)
    store.call(publish_health, [told("quay.io")], worker="new", now=now)
    assert len(store.call(load_reports, ["quay.io"])["quay.io"]) == 2
    store.call(publish_health, [], worker="new", now=now + timedelta(minutes=5))
    assert len(store.call(load_reports, ["quay.io"])["quay.io"]) == 1
    store.call(forget_worker, "new")
    count = store.call(lambda session: session.scalar(select(func.count()).select_from(HealthRow)))
    assert count == 0
