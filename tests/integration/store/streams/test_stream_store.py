"""Streams are loaded as they were saved, and a save writes only the difference."""

import pytest
from sqlalchemy import event as sqlalchemy_event

from models.errors import StreamConflictError
from models.resources.meta import ObjectReference
from models.resources.stream import ImageLookupPolicy, TagEventCondition
from models.store.changes.change_log import Verb, load_changes
from models.store.database.session import transaction
from models.store.streams.known_images import load_known_images, save_known_images
from models.store.streams.stream_store import (
    delete_stream,
    list_streams,
    load_stream,
    load_usage,
    save_stream,
)
from models.streams.imports.import_outcome import KnownImage
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    after,
    commit_stream,
    digest,
    event,
    images_of,
    read_stream,
    spec_tag,
    stream,
    with_event,
)

CONDITION = TagEventCondition(
    type="ImportSuccess",
    status="False",
    reason="NotFound",
    message='dockerimage.image.openshift.io "quay.io/team/app:1" not found',
    generation=2,
    last_transition_time=NOW,
)


def full_stream():
    tag = spec_tag(
        "1",
        annotations={"a": "b"},
        reference=True,
        import_policy={"insecure": True, "scheduled": True, "importMode": "PreserveOriginal"},
        reference_policy={"type": "Local"},
    )
    full = stream(
        spec=[tag, spec_tag("2", annotations=None, generation=None)],
        status={"1": ["new", "old"], "3": ["x"]},
        labels={"team": "red"},
        annotations={"note": "ü"},
        finalizers=["example.com/keep"],
        owner_references=[{"kind": "Team", "name": "red"}],
    )
    history = full.status_tag("3").replace(conditions=[CONDITION])
    source = ObjectReference(
        kind="ImageStreamTag", namespace="other", name="s:t", uid="u", field_path="f"
    )
    full = full.with_status_tag(history).with_spec_tag(spec_tag("4").replace(from_=source))
    full = full.with_spec_tag(spec_tag("5").replace(from_=None))
    return full.replace(
        spec=full.spec.replace(
            lookup_policy=ImageLookupPolicy(local=True), docker_image_repository="quay.io/team/app"
        ),
        status=full.status.replace(
            docker_image_repository="registry/ns/app", public_docker_image_repository="public"
        ),
    )


def test_saved_stream_is_loaded_with_every_field(engine):
    saved = commit_stream(engine, None, full_stream())
    assert read_stream(engine) == saved
    assert saved.replace(metadata=full_stream().metadata) == full_stream()


def test_save_of_new_stream_ignores_uid_version_and_time_of_client(engine):
    new = stream(uid="mine", resource_version="99", creation_timestamp=after(-1000))
    metadata = commit_stream(engine, None, new).metadata
    assert metadata.uid not in {"", "mine"}
    assert metadata.resource_version == str(INITIAL_VERSION + 1)
    assert metadata.creation_timestamp == NOW


def test_save_of_changed_stream_keeps_uid_and_creation_time(engine):
    old = commit_stream(engine, None, stream())
    forged = old.replace(
        metadata=old.metadata.replace(uid="x", creation_timestamp=None, labels={"a": "b"})
    )
    new = commit_stream(engine, old, forged, now=after(60)).metadata
    assert (new.uid, new.creation_timestamp) == (old.metadata.uid, old.metadata.creation_timestamp)
    assert int(new.resource_version) > int(old.metadata.resource_version)
    assert read_stream(engine).metadata == new


def test_load_of_missing_stream_is_none(engine):
    assert read_stream(engine) is None


def test_load_stream_limits_history(engine):
    commit_stream(engine, None, stream(status={"1": ["c", "b", "a"], "2": ["x"]}))
    counts = {n: len(images_of(read_stream(engine, history=n), "1")) for n in (0, 1, 2, 3, 9, None)}
    assert counts == {0: 0, 1: 1, 2: 2, 3: 3, 9: 3, None: 3}
    assert images_of(read_stream(engine, history=2), "1") == [digest("c"), digest("b")]
    assert images_of(read_stream(engine, history=2), "2") == [digest("x")]


def test_save_prepends_events_to_history_loaded_in_part(engine):
    commit_stream(engine, None, stream(status={"1": ["b", "a"]}))
    old = read_stream(engine, history=1)
    commit_stream(engine, old, with_event(old, "1", event("d"), event("c")))
    assert images_of(read_stream(engine), "1") == [digest(text) for text in "dcba"]


def test_save_of_changed_head_event_adds_no_event(engine):
    commit_stream(engine, None, stream(status={"1": ["b", "a"]}))
    old = read_stream(engine, history=1)
    history = old.status_tag("1").replace(items=[event("b", generation=7)])
    commit_stream(engine, old, old.with_status_tag(history))
    items = read_stream(engine).status_tag("1").items
    assert [(item.image, item.generation) for item in items] == [(digest("b"), 7), (digest("a"), 1)]


def test_save_updates_head_event_and_prepends_another(engine):
    commit_stream(engine, None, stream(status={"1": ["b", "a"]}))
    old = read_stream(engine, history=1)
    history = old.status_tag("1").replace(items=[event("c"), event("b", generation=7)])
    commit_stream(engine, old, old.with_status_tag(history))
    items = read_stream(engine).status_tag("1").items
    assert [item.generation for item in items] == [1, 7, 1]


def test_save_stores_rewritten_history(engine):
    old = commit_stream(engine, None, stream(status={"1": ["d", "c", "b", "a"]}))
    rewritten = old.status_tag("1").replace(items=[event("d"), event("b")])
    commit_stream(engine, old, old.with_status_tag(rewritten))
    assert images_of(read_stream(engine), "1") == [digest("d"), digest("b")]
    assert images_of(read_stream(engine, history=1), "1") == [digest("d")]


def test_save_of_emptied_history_deletes_events_not_loaded(engine):
    commit_stream(engine, None, stream(status={"1": ["b", "a"]}))
    old = read_stream(engine, history=1)
    commit_stream(engine, old, old.with_status_tag(old.status_tag("1").replace(items=None)))
    assert read_stream(engine).status_tag("1").items is None


def test_save_without_tag_deletes_its_history(engine):
    old = commit_stream(
        engine, None, stream(spec=[spec_tag("1")], status={"1": ["b", "a"], "2": ["x"]})
    )
    without = stream(status={"2": ["x"]}).replace(metadata=old.metadata)
    saved = commit_stream(engine, old, without)
    again = commit_stream(engine, saved, with_event(saved, "1", event("c")))
    assert images_of(again, "1") == [digest("c")]
    assert read_stream(engine) == again


def test_save_removes_spec_tag_and_history_independently(engine):
    old = commit_stream(engine, None, stream(spec=[spec_tag("1")], status={"1": ["a"]}))
    without_spec = commit_stream(engine, old, old.replace(spec=old.spec.replace(tags=[])))
    assert read_stream(engine) == without_spec
    with_spec = without_spec.with_spec_tag(spec_tag("1"))
    without_status = commit_stream(
        engine, without_spec, with_spec.replace(status=with_spec.status.replace(tags=[]))
    )
    assert read_stream(engine) == without_status
    assert without_status.status.tags == []


def test_save_without_difference_writes_nothing(engine):
    old = commit_stream(engine, None, full_stream())
    assert commit_stream(engine, old, read_stream(engine), now=after(60)) == old
    assert read_stream(engine).metadata.resource_version == str(INITIAL_VERSION + 1)


def test_save_writes_only_tags_that_differ(engine):
    spec = [spec_tag(str(number)) for number in range(50)]
    old = commit_stream(engine, None, stream(spec=spec))
    statements = []
    sqlalchemy_event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _cursor, text, parameters, _x, many: statements.append((text, parameters, many)),
    )
    commit_stream(engine, old, old.with_spec_tag(spec_tag("7", generation=9)))
    writes = [s for s in statements if s[0].startswith(("UPDATE tags", "INSERT INTO tag"))]
    assert len(writes) == 1
    assert not writes[0][2] or len(writes[0][1]) == 1


def test_save_of_stale_stream_conflicts_and_writes_nothing(engine):
    old = commit_stream(engine, None, stream())
    commit_stream(engine, old, old.with_spec_tag(spec_tag("theirs")))
    with pytest.raises(StreamConflictError, match="the object has been modified"):
        commit_stream(engine, old, old.with_spec_tag(spec_tag("ours")))
    assert [tag.name for tag in read_stream(engine).spec.tags] == ["theirs"]


def test_save_of_new_stream_refuses_existing_name(engine):
    commit_stream(engine, None, stream(spec=[spec_tag("theirs")]))
    with pytest.raises(StreamConflictError):
        commit_stream(engine, None, stream(spec=[spec_tag("ours")]))
    assert [tag.name for tag in read_stream(engine).spec.tags] == ["theirs"]


def test_save_of_deleted_stream_conflicts(engine):
    old = commit_stream(engine, None, stream())
    with transaction(engine) as session:
        assert delete_stream(session, "ns", "app", now=NOW)
    with pytest.raises(StreamConflictError):
        commit_stream(engine, old, old.with_spec_tag(spec_tag("1")))


def test_delete_stream_deletes_its_history(engine):
    commit_stream(engine, None, stream(status={"1": ["b", "a"]}))
    with transaction(engine) as session:
        assert delete_stream(session, "ns", "app", now=NOW)
        assert not delete_stream(session, "ns", "app", now=NOW)
    assert images_of(commit_stream(engine, None, stream(status={"1": ["c"]})), "1") == [digest("c")]
    assert images_of(read_stream(engine), "1") == [digest("c")]


def test_delete_stream_checks_given_version(engine):
    old = commit_stream(engine, None, stream())
    with pytest.raises(StreamConflictError), transaction(engine) as session:
        delete_stream(session, "ns", "app", now=NOW, version="77")
    with transaction(engine) as session:
        version = old.metadata.resource_version
        assert delete_stream(session, "ns", "app", now=NOW, version=version)


def test_list_streams_pages_by_namespace_and_name(engine):
    for namespace, name in (("b", "a"), ("a", "c"), ("a", "a-b"), ("a", "ab"), ("a-b", "x")):
        commit_stream(engine, None, stream(name, namespace=namespace, status={"1": [name]}))
    seen, last = [], None
    with transaction(engine, write=False) as session:
        while page := list_streams(session, limit=2, after=last):
            seen.extend((each.metadata.namespace, each.metadata.name) for each in page)
            last = seen[-1]
        one_namespace = list_streams(session, namespace="a", limit=10)
    assert seen == sorted(seen)
    assert len(seen) == 5
    assert [each.metadata.name for each in one_namespace] == ["a-b", "ab", "c"]
    assert images_of(one_namespace[0], "1") == [digest("a-b")]


def test_writes_of_stream_are_recorded_as_changes(engine):
    old = commit_stream(engine, None, stream())
    commit_stream(engine, old, old.with_spec_tag(spec_tag("1")), now=after(5))
    with transaction(engine) as session:
        delete_stream(session, "ns", "app", now=after(9))
    with transaction(engine, write=False) as session:
        changes = load_changes(session, after=INITIAL_VERSION, limit=10)
    assert [(each.version, each.change.verb, each.at) for each in changes] == [
        (INITIAL_VERSION + 1, Verb.ADDED, NOW),
        (INITIAL_VERSION + 2, Verb.MODIFIED, after(5)),
        (INITIAL_VERSION + 3, Verb.DELETED, after(9)),
    ]
    assert {(each.change.kind, each.change.namespace, each.change.name) for each in changes} == {
        ("ImageStream", "ns", "app")
    }


def test_save_known_images_stores_one_per_tag(engine):
    commit_stream(engine, None, stream(spec=[spec_tag("1"), spec_tag("2")]))
    first = KnownImage(digest("index"), digest("child"))
    with transaction(engine) as session:
        save_known_images(session, "ns", "app", {"1": ("key one", first), "gone": ("key", first)})
    later = KnownImage(digest("next"), digest("child"))
    with transaction(engine) as session:
        save_known_images(session, "ns", "app", {"1": ("key one", later), "2": ("key two", first)})
    with transaction(engine, write=False) as session:
        assert load_known_images(session, "ns", "app") == {"key one": later, "key two": first}
        assert load_known_images(session, "ns", "other") == {}
    assert read_stream(engine).metadata.resource_version == str(INITIAL_VERSION + 1)


def test_save_stream_keeps_known_images(engine):
    old = commit_stream(engine, None, stream(spec=[spec_tag("1")]))
    known = KnownImage(digest("a"), digest("a"))
    with transaction(engine) as session:
        save_known_images(session, "ns", "app", {"1": ("key", known)})
    commit_stream(engine, old, with_event(old, "1", event("a")))
    with transaction(engine, write=False) as session:
        assert load_known_images(session, "ns", "app") == {"key": known}


def test_load_usage_counts_each_image_of_history_once(engine):
    bare = event("x").replace(image="")
    commit_stream(engine, None, stream(status={"1": ["b", "a"], "2": ["a", bare]}))
    commit_stream(engine, None, stream("other", status={"1": ["z"]}))
    with transaction(engine, write=False) as session:
        assert load_usage(session, "ns", "app").images == {digest("a"), digest("b")}


def test_stream_texts_with_nul_and_lone_surrogates_are_sanitized(engine):
    bad = "a\x00b\ud800c"
    condition = CONDITION.replace(message=bad)
    new = stream(spec=[spec_tag("1", source=bad, annotations={bad: bad})], annotations={"x": bad})
    new = new.with_status_tag(stream(status={"1": ["a"]}).status.tags[0])
    new = new.with_status_tag(new.status_tag("1").replace(conditions=[condition]))
    commit_stream(engine, None, new)
    found = read_stream(engine)
    good = "a\ufffdb\ufffdc"
    assert found.status_tag("1").conditions[0].message == good
    assert found.spec_tag("1").annotations == {good: good}
    assert found.spec_tag("1").from_.name == good
    assert found.metadata.annotations == {"x": good}


def test_failed_transaction_stores_no_stream(engine):
    def fail():
        with transaction(engine) as session:
            save_stream(session, None, stream(), now=NOW)
            assert load_stream(session, "ns", "app") is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_stream(engine) is None
