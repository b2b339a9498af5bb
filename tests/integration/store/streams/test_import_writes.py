"""save_import writes the result of an import completely or not at all."""

from datetime import timedelta

import pytest

from models.errors import LeaseLostError, StreamConflictError
from models.job_types import JobRequest, JobResult, JobState, TargetOutcome, TargetResult
from models.store.database.session import transaction
from models.store.images.image_store import load_image, load_served_images
from models.store.jobs.job_store import claim_job, create_job, finish_job, load_job
from models.store.streams.import_writes import save_import
from models.store.streams.known_images import load_known_images
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.import_outcome import KnownImage
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    after,
    commit_stream,
    digest,
    event,
    images_of,
    import_request,
    packed_image,
    read_stream,
    spec_tag,
    stream,
    with_event,
)

SERVED = {("quay.io/team/app", ""): [digest("a"), digest("b")]}
LEASE = timedelta(seconds=60)


def import_result(new, *texts, changed=True, outcome=TargetOutcome.UPDATED, **fields):
    return ImportResult(
        stream=new,
        changed=changed,
        images=tuple(packed_image(text) for text in texts),
        known={"1": ("key", KnownImage(digest("a"), digest("a")))},
        targets=(TargetResult("quay.io/team/app:1", "1", "1", digest("a"), outcome=outcome),),
        **fields,
    )


def save(engine, old, applied, **fields):
    with transaction(engine) as session:
        return save_import(session, old=old, applied=applied, served=SERVED, now=NOW, **fields)


def load(engine, text):
    with transaction(engine, write=False) as session:
        return load_image(session, digest(text))


def test_save_import_stores_images_stream_scopes_and_known_images(engine):
    new = stream(spec=[spec_tag("1")], status={"1": ["a"]})
    saved = save(engine, None, import_result(new, "a", "b"))
    assert read_stream(engine) == saved
    assert load(engine, "a").name == digest("a")
    with transaction(engine, write=False) as session:
        assert load_known_images(session, "ns", "app") == {
            "key": KnownImage(digest("a"), digest("a"))
        }
        assert {name for name, _ in load_served_images(session, "quay.io/team/app", [""])} == {
            digest("a"),
            digest("b"),
        }
    versions = {saved.metadata.resource_version} | {
        load(engine, text).metadata.resource_version for text in "ab"
    }
    assert versions == {str(INITIAL_VERSION + step) for step in (1, 2, 3)}


def test_save_import_without_change_keeps_stream(engine):
    old = commit_stream(engine, None, stream(spec=[spec_tag("1")], status={"1": ["a"]}))
    assert save(engine, old, import_result(old, changed=False)) == old
    assert read_stream(engine).metadata.resource_version == str(INITIAL_VERSION + 1)
    with transaction(engine, write=False) as session:
        assert load_known_images(session, "ns", "app")


def test_save_import_of_dry_run_stores_no_stream(engine):
    assert save(engine, None, ImportResult()) is None
    assert read_stream(engine) is None


@pytest.mark.case("import 5-36")
def test_save_import_conflict_stores_no_images(engine):
    old = commit_stream(engine, None, stream(spec=[spec_tag("1")]))
    commit_stream(engine, old, old.with_spec_tag(spec_tag("2")))
    with pytest.raises(StreamConflictError):
        save(engine, old, import_result(with_event(old, "1", event("a")), "a"))
    assert load(engine, "a") is None
    current = read_stream(engine, history=1)
    merged = save(engine, current, import_result(with_event(current, "1", event("a")), "a"))
    assert images_of(merged, "1") == [digest("a")]
    assert [tag.name for tag in merged.spec.tags] == ["1", "2"]


def test_save_import_with_lost_lease_writes_nothing(engine):
    with transaction(engine) as session:
        created = create_job(session, JobRequest(import_request()), now=NOW)
        former = claim_job(session, created.id, worker="w1", now=NOW, lease=LEASE)
    with transaction(engine) as session:
        claim_job(session, created.id, worker="w2", now=after(60), lease=LEASE)

    def write():
        with transaction(engine) as session:
            new = stream(status={"1": ["a"]})
            save_import(session, old=None, applied=import_result(new, "a"), served=SERVED, now=NOW)
            finish_job(
                session,
                former,
                state=JobState.SUCCEEDED,
                result=JobResult(),
                with_errors=False,
                response=None,
                now=NOW,
            )

    with pytest.raises(LeaseLostError):
        write()
    assert read_stream(engine) is None
    assert load(engine, "a") is None
    with transaction(engine, write=False) as session:
        assert load_job(session, created.id).state is JobState.RUNNING


def test_save_import_trims_history_to_maximum(engine):
    commit_stream(
        engine, None, stream(spec=[spec_tag("1")], status={"1": ["c", "b", "x"], "2": list("zyw")})
    )
    old = read_stream(engine, history=1)
    save(engine, old, import_result(with_event(old, "1", event("a")), "a"), max_history=2)
    assert images_of(read_stream(engine), "1") == [digest("a"), digest("c")]
    assert len(images_of(read_stream(engine), "2")) == 3
