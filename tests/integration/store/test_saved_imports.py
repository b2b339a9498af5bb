"""What an import found is written whole or not at all."""

from datetime import timedelta

import pytest

from models.errors import LeaseLostError, StreamConflictError
from models.job_types import JobRequest, JobResult, JobState, TargetResult
from models.store.database.session import transaction
from models.store.images.image_store import load_held, load_image
from models.store.jobs.job_store import claim_job, create_job, finish_job, load_job
from models.store.streams.import_writes import save_import
from models.store.streams.stream_store import load_known
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_outcome import Known
from tests.integration.store.things import (
    NOW,
    START,
    after,
    digest,
    event,
    images_of,
    loaded,
    packed,
    request,
    stored,
    stream,
    wish,
    with_event,
)

SERVED = {("quay.io/team/app", ""): [digest("a"), digest("b")]}
LEASE = timedelta(seconds=60)


def found(new, *words, changed=True, **fields):
    return ImportResult(
        stream=new,
        changed=changed,
        images=tuple(packed(word) for word in words),
        known={"1": ("key", Known(digest("a"), digest("a")))},
        targets=(TargetResult("quay.io/team/app:1", "1", "1", digest("a"), changed=changed),),
        **fields,
    )


def save(engine, old, applied, **fields):
    with transaction(engine) as session:
        return save_import(session, old=old, applied=applied, served=SERVED, now=NOW, **fields)


def load(engine, word):
    with transaction(engine, write=False) as session:
        return load_image(session, digest(word))


def test_an_import_stores_images_stream_rights_and_what_was_known(engine):
    new = stream(spec=[wish("1")], status={"1": ["a"]})
    saved = save(engine, None, found(new, "a", "b"))
    assert loaded(engine) == saved
    assert load(engine, "a").name == digest("a")
    with transaction(engine, write=False) as session:
        assert load_known(session, "ns", "app") == {"key": Known(digest("a"), digest("a"))}
        assert {name for name, _ in load_held(session, "quay.io/team/app", [""])} == {
            digest("a"),
            digest("b"),
        }
    versions = {saved.metadata.resource_version} | {
        load(engine, word).metadata.resource_version for word in "ab"
    }
    assert versions == {str(START + step) for step in (1, 2, 3)}


def test_an_import_that_changed_nothing_keeps_the_stream_as_it_is(engine):
    old = stored(engine, None, stream(spec=[wish("1")], status={"1": ["a"]}))
    assert save(engine, old, found(old, changed=False)) == old
    assert loaded(engine).metadata.resource_version == str(START + 1)
    with transaction(engine, write=False) as session:
        assert load_known(session, "ns", "app")


def test_a_dry_run_stores_no_stream(engine):
    assert save(engine, None, ImportResult()) is None
    assert loaded(engine) is None


@pytest.mark.case("import 5-36")
def test_images_of_an_import_that_lost_a_race_are_not_left_behind(engine):
    old = stored(engine, None, stream(spec=[wish("1")]))
    stored(engine, old, old.with_spec_tag(wish("2")))
    with pytest.raises(StreamConflictError):
        save(engine, old, found(with_event(old, "1", event("a")), "a"))
    assert load(engine, "a") is None
    again = loaded(engine, history=1)
    merged = save(engine, again, found(with_event(again, "1", event("a")), "a"))
    assert images_of(merged, "1") == [digest("a")]
    assert [tag.name for tag in merged.spec.tags] == ["1", "2"]


def test_a_worker_that_lost_its_lease_writes_nothing_at_all(engine):
    with transaction(engine) as session:
        made = create_job(session, JobRequest(request()), now=NOW)
        former = claim_job(session, made.id, worker="w1", now=NOW, lease=LEASE)
    with transaction(engine) as session:
        claim_job(session, made.id, worker="w2", now=after(60), lease=LEASE)

    def write():
        with transaction(engine) as session:
            new = stream(status={"1": ["a"]})
            save_import(session, old=None, applied=found(new, "a"), served=SERVED, now=NOW)
            finish_job(
                session,
                former,
                state=JobState.SUCCEEDED,
                result=JobResult(),
                with_errors=False,
                answer=None,
                now=NOW,
            )

    with pytest.raises(LeaseLostError):
        write()
    assert loaded(engine) is None
    assert load(engine, "a") is None
    with transaction(engine, write=False) as session:
        assert load_job(session, made.id).state is JobState.RUNNING


def test_a_limited_history_forgets_its_oldest_events(engine):
    stored(engine, None, stream(spec=[wish("1")], status={"1": ["c", "b", "x"], "2": list("zyw")}))
    old = loaded(engine, history=1)
    save(engine, old, found(with_event(old, "1", event("a")), "a"), max_history=2)
    assert images_of(loaded(engine), "1") == [digest("a"), digest("c")]
    assert len(images_of(loaded(engine), "2")) == 3
