"""Streams come back as they went in, and a save writes the difference alone."""

import pytest
from sqlalchemy import event as sqlalchemy_event

from models.errors import StreamConflictError
from models.resources.meta import ObjectReference
from models.resources.stream import ImageLookupPolicy, TagEventCondition
from models.store.changes.change_log import Verb, load_changes
from models.store.database.session import transaction
from models.store.streams.stream_store import (
    delete_stream,
    list_streams,
    load_known,
    load_stream,
    load_usage,
    save_known,
    save_stream,
)
from models.streams.imports.import_outcome import Known
from tests.integration.store.things import (
    NOW,
    START,
    after,
    digest,
    event,
    images_of,
    loaded,
    stored,
    stream,
    wish,
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
    tag = wish(
        "1",
        annotations={"a": "b"},
        reference=True,
        import_policy={"insecure": True, "scheduled": True, "importMode": "PreserveOriginal"},
        reference_policy={"type": "Local"},
    )
    made = stream(
        spec=[tag, wish("2", annotations=None, generation=None)],
        status={"1": ["new", "old"], "3": ["x"]},
        labels={"team": "red"},
        annotations={"note": "ü"},
        finalizers=["example.com/keep"],
        owner_references=[{"kind": "Team", "name": "red"}],
    )
    history = made.status_tag("3").replace(conditions=[CONDITION])
    source = ObjectReference(
        kind="ImageStreamTag", namespace="other", name="s:t", uid="u", field_path="f"
    )
    made = made.with_status_tag(history).with_spec_tag(wish("4").replace(from_=source))
    made = made.with_spec_tag(wish("5").replace(from_=None))
    return made.replace(
        spec=made.spec.replace(
            lookup_policy=ImageLookupPolicy(local=True), docker_image_repository="quay.io/team/app"
        ),
        status=made.status.replace(
            docker_image_repository="registry/ns/app", public_docker_image_repository="public"
        ),
    )


def test_a_stream_comes_back_with_every_field(engine):
    saved = stored(engine, None, full_stream())
    assert loaded(engine) == saved
    assert saved.replace(metadata=full_stream().metadata) == full_stream()


def test_a_new_stream_gets_uid_version_and_date_whatever_the_client_said(engine):
    made = stream(uid="mine", resource_version="99", creation_timestamp=after(-1000))
    metadata = stored(engine, None, made).metadata
    assert metadata.uid not in {"", "mine"}
    assert metadata.resource_version == str(START + 1)
    assert metadata.creation_timestamp == NOW


def test_an_update_keeps_uid_and_date(engine):
    old = stored(engine, None, stream())
    forged = old.replace(
        metadata=old.metadata.replace(uid="x", creation_timestamp=None, labels={"a": "b"})
    )
    new = stored(engine, old, forged, now=after(60)).metadata
    assert (new.uid, new.creation_timestamp) == (old.metadata.uid, old.metadata.creation_timestamp)
    assert int(new.resource_version) > int(old.metadata.resource_version)
    assert loaded(engine).metadata == new


def test_a_missing_stream_is_none(engine):
    assert loaded(engine) is None


def test_only_as_much_history_is_loaded_as_was_asked_for(engine):
    stored(engine, None, stream(status={"1": ["c", "b", "a"], "2": ["x"]}))
    counts = {n: len(images_of(loaded(engine, history=n), "1")) for n in (0, 1, 2, 3, 9, None)}
    assert counts == {0: 0, 1: 1, 2: 2, 3: 3, 9: 3, None: 3}
    assert images_of(loaded(engine, history=2), "1") == [digest("c"), digest("b")]
    assert images_of(loaded(engine, history=2), "2") == [digest("x")]


def test_events_are_put_in_front_though_only_the_head_was_loaded(engine):
    stored(engine, None, stream(status={"1": ["b", "a"]}))
    old = loaded(engine, history=1)
    stored(engine, old, with_event(old, "1", event("d"), event("c")))
    assert images_of(loaded(engine), "1") == [digest(word) for word in "dcba"]


def test_a_head_that_changed_in_place_stays_one_event(engine):
    stored(engine, None, stream(status={"1": ["b", "a"]}))
    old = loaded(engine, history=1)
    history = old.status_tag("1").replace(items=[event("b", generation=7)])
    stored(engine, old, old.with_status_tag(history))
    items = loaded(engine).status_tag("1").items
    assert [(item.image, item.generation) for item in items] == [(digest("b"), 7), (digest("a"), 1)]


def test_a_head_may_change_while_another_is_put_before_it(engine):
    stored(engine, None, stream(status={"1": ["b", "a"]}))
    old = loaded(engine, history=1)
    history = old.status_tag("1").replace(items=[event("c"), event("b", generation=7)])
    stored(engine, old, old.with_status_tag(history))
    items = loaded(engine).status_tag("1").items
    assert [item.generation for item in items] == [1, 7, 1]


def test_a_history_that_was_rewritten_is_stored_as_it_was_rewritten(engine):
    old = stored(engine, None, stream(status={"1": ["d", "c", "b", "a"]}))
    kept = old.status_tag("1").replace(items=[event("d"), event("b")])
    stored(engine, old, old.with_status_tag(kept))
    assert images_of(loaded(engine), "1") == [digest("d"), digest("b")]
    assert images_of(loaded(engine, history=1), "1") == [digest("d")]


def test_an_emptied_history_is_empty_to_its_end(engine):
    stored(engine, None, stream(status={"1": ["b", "a"]}))
    old = loaded(engine, history=1)
    stored(engine, old, old.with_status_tag(old.status_tag("1").replace(items=None)))
    assert loaded(engine).status_tag("1").items is None


def test_a_tag_that_was_dropped_takes_its_history_with_it(engine):
    old = stored(engine, None, stream(spec=[wish("1")], status={"1": ["b", "a"], "2": ["x"]}))
    without = stream(status={"2": ["x"]}).replace(metadata=old.metadata)
    saved = stored(engine, old, without)
    again = stored(engine, saved, with_event(saved, "1", event("c")))
    assert images_of(again, "1") == [digest("c")]
    assert loaded(engine) == again


def test_a_wish_may_go_while_the_history_stays_and_the_other_way_round(engine):
    old = stored(engine, None, stream(spec=[wish("1")], status={"1": ["a"]}))
    unwished = stored(engine, old, old.replace(spec=old.spec.replace(tags=[])))
    assert loaded(engine) == unwished
    wished = unwished.with_spec_tag(wish("1"))
    unseen = stored(engine, unwished, wished.replace(status=wished.status.replace(tags=[])))
    assert loaded(engine) == unseen
    assert unseen.status.tags == []


def test_a_save_without_a_difference_writes_nothing(engine):
    old = stored(engine, None, full_stream())
    assert stored(engine, old, loaded(engine), now=after(60)) == old
    assert loaded(engine).metadata.resource_version == str(START + 1)


def test_a_save_touches_only_the_tags_that_differ(engine):
    spec = [wish(str(number)) for number in range(50)]
    old = stored(engine, None, stream(spec=spec))
    statements = []
    sqlalchemy_event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _cursor, text, parameters, _x, many: statements.append((text, parameters, many)),
    )
    stored(engine, old, old.with_spec_tag(wish("7", generation=9)))
    writes = [s for s in statements if s[0].startswith(("UPDATE tags", "INSERT INTO tag"))]
    assert len(writes) == 1
    assert not writes[0][2] or len(writes[0][1]) == 1


def test_a_stale_stream_is_refused_and_nothing_is_written(engine):
    old = stored(engine, None, stream())
    stored(engine, old, old.with_spec_tag(wish("theirs")))
    with pytest.raises(StreamConflictError, match="the object has been modified"):
        stored(engine, old, old.with_spec_tag(wish("ours")))
    assert [tag.name for tag in loaded(engine).spec.tags] == ["theirs"]


def test_a_stream_cannot_be_created_twice(engine):
    stored(engine, None, stream(spec=[wish("theirs")]))
    with pytest.raises(StreamConflictError):
        stored(engine, None, stream(spec=[wish("ours")]))
    assert [tag.name for tag in loaded(engine).spec.tags] == ["theirs"]


def test_a_stream_that_was_deleted_meanwhile_is_a_conflict(engine):
    old = stored(engine, None, stream())
    with transaction(engine) as session:
        assert delete_stream(session, "ns", "app", now=NOW)
    with pytest.raises(StreamConflictError):
        stored(engine, old, old.with_spec_tag(wish("1")))


def test_a_deleted_stream_is_gone_with_its_history(engine):
    stored(engine, None, stream(status={"1": ["b", "a"]}))
    with transaction(engine) as session:
        assert delete_stream(session, "ns", "app", now=NOW)
        assert not delete_stream(session, "ns", "app", now=NOW)
    assert images_of(stored(engine, None, stream(status={"1": ["c"]})), "1") == [digest("c")]
    assert images_of(loaded(engine), "1") == [digest("c")]


def test_a_delete_may_insist_on_a_version(engine):
    old = stored(engine, None, stream())
    with pytest.raises(StreamConflictError), transaction(engine) as session:
        delete_stream(session, "ns", "app", now=NOW, version="77")
    with transaction(engine) as session:
        version = old.metadata.resource_version
        assert delete_stream(session, "ns", "app", now=NOW, version=version)


def test_streams_are_listed_by_page_in_the_order_of_their_names(engine):
    for namespace, name in (("b", "a"), ("a", "c"), ("a", "a-b"), ("a", "ab"), ("a-b", "x")):
        stored(engine, None, stream(name, namespace=namespace, status={"1": [name]}))
    seen, last = [], None
    with transaction(engine, write=False) as session:
        while page := list_streams(session, limit=2, after=last):
            seen.extend((each.metadata.namespace, each.metadata.name) for each in page)
            last = seen[-1]
        only = list_streams(session, namespace="a", limit=10)
    assert seen == sorted(seen)
    assert len(seen) == 5
    assert [each.metadata.name for each in only] == ["a-b", "ab", "c"]
    assert images_of(only[0], "1") == [digest("a-b")]


def test_every_step_of_a_stream_is_a_change(engine):
    old = stored(engine, None, stream())
    stored(engine, old, old.with_spec_tag(wish("1")), now=after(5))
    with transaction(engine) as session:
        delete_stream(session, "ns", "app", now=after(9))
    with transaction(engine, write=False) as session:
        changes = load_changes(session, after=START, limit=10)
    assert [(each.version, each.change.verb, each.at) for each in changes] == [
        (START + 1, Verb.ADDED, NOW),
        (START + 2, Verb.MODIFIED, after(5)),
        (START + 3, Verb.DELETED, after(9)),
    ]
    assert {(each.change.kind, each.change.namespace, each.change.name) for each in changes} == {
        ("ImageStream", "ns", "app")
    }


def test_what_was_known_of_a_target_is_remembered_beside_its_tag(engine):
    stored(engine, None, stream(spec=[wish("1"), wish("2")]))
    first = Known(digest("index"), digest("child"))
    with transaction(engine) as session:
        save_known(session, "ns", "app", {"1": ("key one", first), "gone": ("key", first)})
    later = Known(digest("next"), digest("child"))
    with transaction(engine) as session:
        save_known(session, "ns", "app", {"1": ("key one", later), "2": ("key two", first)})
    with transaction(engine, write=False) as session:
        assert load_known(session, "ns", "app") == {"key one": later, "key two": first}
        assert load_known(session, "ns", "other") == {}
    assert loaded(engine).metadata.resource_version == str(START + 1)


def test_what_was_known_stays_when_the_stream_is_saved(engine):
    old = stored(engine, None, stream(spec=[wish("1")]))
    seen = Known(digest("a"), digest("a"))
    with transaction(engine) as session:
        save_known(session, "ns", "app", {"1": ("key", seen)})
    stored(engine, old, with_event(old, "1", event("a")))
    with transaction(engine, write=False) as session:
        assert load_known(session, "ns", "app") == {"key": seen}


def test_the_usage_of_a_stream_counts_its_whole_history_once(engine):
    bare = event("x").replace(image="")
    stored(engine, None, stream(status={"1": ["b", "a"], "2": ["a", bare]}))
    stored(engine, None, stream("other", status={"1": ["z"]}))
    with transaction(engine, write=False) as session:
        assert load_usage(session, "ns", "app").images == {digest("a"), digest("b")}


def test_texts_of_strangers_survive_nul_and_lone_surrogates(engine):
    bad = "a\x00b\ud800c"
    condition = CONDITION.replace(message=bad)
    made = stream(spec=[wish("1", source=bad, annotations={bad: bad})], annotations={"x": bad})
    made = made.with_status_tag(stream(status={"1": ["a"]}).status.tags[0])
    made = made.with_status_tag(made.status_tag("1").replace(conditions=[condition]))
    stored(engine, None, made)
    tag = loaded(engine)
    good = "a\ufffdb\ufffdc"
    assert tag.status_tag("1").conditions[0].message == good
    assert tag.spec_tag("1").annotations == {good: good}
    assert tag.spec_tag("1").from_.name == good
    assert tag.metadata.annotations == {"x": good}


def test_a_transaction_that_fails_leaves_no_stream_behind(engine):
    def fail():
        with transaction(engine) as session:
            save_stream(session, None, stream(), now=NOW)
            assert load_stream(session, "ns", "app") is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert loaded(engine) is None
