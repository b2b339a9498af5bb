"""Jobs: their row is authoritative, and only the attempt that holds the lease may write."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest

from models.errors import AlreadyExistsError, LeaseLostError, NotFoundError, TagstreamError
from models.job_types import (
    JobRequest,
    JobResult,
    JobState,
    JobTrigger,
    Priority,
    TargetOutcome,
    TargetResult,
)
from models.store.changes.change_events import load_change_events
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from models.store.jobs.job_queries import (
    count_jobs,
    list_abandoned_jobs,
    list_jobs,
    list_jobs_by_name,
    load_job_response,
)
from models.store.jobs.job_store import (
    claim_job,
    create_job,
    delete_job,
    finish_job,
    load_job,
    load_job_by_name,
    mark_published,
    release_job,
    renew_job,
    request_cancel,
    update_parent,
)
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    after,
    image,
    import_request,
)

LEASE = timedelta(seconds=60)


@pytest.fixture
def job_steps(engine):
    return JobSteps(engine)


class JobSteps:
    """Run each step of a job in a transaction of its own."""

    def __init__(self, engine):
        self.engine = engine

    def create(self, *, now=NOW, source="quay.io/team/app:1", name="app", namespace="ns", **fields):
        job_request = JobRequest(import_request(name, namespace=namespace, source=source), **fields)
        with transaction(self.engine) as session:
            return create_job(session, job_request, now=now)

    def create_named(self, name, *, namespace="ns", **fields):
        """Create a job with this name."""
        job_request = JobRequest(import_request(namespace=namespace), name=name, **fields)
        with transaction(self.engine) as session:
            return create_job(session, job_request, now=NOW)

    def claim(self, job, *, now=NOW, worker="w1"):
        with transaction(self.engine) as session:
            return claim_job(session, job.id, worker=worker, now=now, lease=LEASE)

    def renew(self, job, *, done=0, total=0, now=NOW):
        with transaction(self.engine) as session:
            return renew_job(
                session, job.id, job.attempt, done=done, total=total, now=now, lease=LEASE
            )

    def finish(self, job, *, state=JobState.SUCCEEDED, result=None, response=None, now=NOW):
        with transaction(self.engine) as session:
            finish_job(
                session,
                job,
                state=state,
                result=result or JobResult(),
                with_errors=False,
                response=response,
                now=now,
            )

    def cancel(self, job, *, now=NOW):
        with transaction(self.engine) as session:
            return request_cancel(session, job.id, now=now)

    def load(self, job):
        with transaction(self.engine, write=False) as session:
            return load_job(session, job.id)

    def list_abandoned(self, *, now, queued_before=NOW):
        with transaction(self.engine, write=False) as session:
            found = list_abandoned_jobs(session, now=now, published_before=queued_before, limit=10)
        return [job.id for job in found]


def test_created_job_is_loaded_unchanged(job_steps):
    made = job_steps.create(
        trigger=JobTrigger.API,
        priority=Priority.BULK,
        user="eva",
        max_tags=-1,
        wants_response=True,
        coalesce=True,
    )
    assert job_steps.load(made) == made
    assert made.state is JobState.QUEUED


def test_claimed_job_cannot_be_claimed_until_its_lease_expires(job_steps):
    job = job_steps.create()
    first = job_steps.claim(job)
    assert (first.state, first.attempt, first.worker) == (JobState.RUNNING, 1, "w1")
    assert first.leased_until == NOW + LEASE
    assert job_steps.claim(job, now=after(59), worker="w2") is None
    second = job_steps.claim(job, now=after(60), worker="w2")
    assert (second.attempt, second.worker, second.started) == (2, "w2", NOW)


def test_renew_job_extends_lease_and_stores_progress(job_steps):
    job = job_steps.claim(job_steps.create())
    assert job_steps.renew(job, done=3, total=9, now=after(50)) is False
    assert job_steps.claim(job, now=after(100)) is None
    found = job_steps.load(job)
    assert (found.done, found.total) == (3, 9)


def test_former_attempt_cannot_renew_or_finish_job(job_steps):
    former = job_steps.claim(job_steps.create())
    latter = job_steps.claim(former, now=after(60), worker="w2")
    with pytest.raises(LeaseLostError):
        job_steps.renew(former, now=after(61))
    with pytest.raises(LeaseLostError):
        job_steps.finish(former, now=after(61))
    job_steps.finish(latter, now=after(62))
    assert job_steps.load(latter).finished == after(62)


def test_finish_job_stores_result_and_response_once(job_steps):
    job = job_steps.claim(job_steps.create())
    result = JobResult(
        tags_new=1,
        tags_failed=1,
        targets=(
            TargetResult("quay.io/a:1", "1", "1", "sha256:x", outcome=TargetOutcome.NEW),
            TargetResult("quay.io/a:2", "2", reason="NotFound", message="m\x00", code="notfound"),
        ),
        additional_tags=("3",),
        listing={"status": "Failure"},
        warnings=("slow",),
    )
    job_steps.finish(job, result=result, response=b"\x00answer", now=after(5))
    found = job_steps.load(job)
    assert found.state is JobState.SUCCEEDED
    assert found.leased_until is None
    assert found.result.targets[0] == result.targets[0]
    assert found.result.targets[1].message == "m\ufffd"
    assert found.result.additional_tags == ("3",)
    assert found.result.warnings == ("slow",)
    with transaction(job_steps.engine, write=False) as session:
        assert load_job_response(session, job.id) == b"\x00answer"
    with pytest.raises(LeaseLostError):
        job_steps.finish(job)
    assert job_steps.claim(job, now=after(1000)) is None


def test_create_job_coalesces_equal_queued_requests(job_steps):
    first = job_steps.create(coalesce=True)
    assert job_steps.create(coalesce=True, now=after(5)).id == first.id
    others = [
        job_steps.create(coalesce=True, source="quay.io/team/app:2"),
        job_steps.create(coalesce=True, name="other"),
        job_steps.create(coalesce=True, namespace="other"),
        job_steps.create(coalesce=True, user="eva"),
        job_steps.create(coalesce=True, max_tags=-1),
        job_steps.create(coalesce=True, priority=Priority.SCHEDULED),
        job_steps.create(),
    ]
    assert len({first.id, *(job.id for job in others)}) == 8


def test_create_job_does_not_coalesce_with_running_or_cancelled_job(job_steps):
    first = job_steps.create(coalesce=True)
    job_steps.claim(first)
    second = job_steps.create(coalesce=True)
    assert second.id != first.id
    job_steps.cancel(second)
    assert job_steps.create(coalesce=True).id not in {first.id, second.id}


def test_request_cancel_of_queued_job_cancels_at_once(job_steps):
    job = job_steps.create()
    found = job_steps.cancel(job, now=after(5))
    assert (found.state, found.finished) == (JobState.CANCELLED, after(5))
    assert found.result.error["message"] == "the job was cancelled"
    assert job_steps.claim(job) is None


def test_renew_job_reports_requested_cancel(job_steps):
    job = job_steps.claim(job_steps.create())
    assert job_steps.cancel(job).cancel_requested
    assert job_steps.load(job).state is JobState.RUNNING
    assert job_steps.renew(job) is True


def test_expired_job_with_requested_cancel_is_cancelled_on_claim(job_steps):
    job = job_steps.claim(job_steps.create())
    job_steps.cancel(job)
    assert job_steps.claim(job, now=after(60)) is None
    assert job_steps.load(job).state is JobState.CANCELLED


def test_request_cancel_of_finished_job_changes_nothing(job_steps):
    job = job_steps.claim(job_steps.create())
    job_steps.finish(job)
    found = job_steps.cancel(job)
    assert (found.state, found.cancel_requested) == (JobState.SUCCEEDED, False)


def test_request_cancel_of_unknown_job_raises_not_found(engine):
    with pytest.raises(NotFoundError), transaction(engine) as session:
        request_cancel(session, uuid4(), now=NOW)


def test_list_abandoned_jobs_finds_unpublished_and_expired_jobs(
    job_steps,
):
    unpublished = job_steps.create()
    running = job_steps.claim(job_steps.create(now=after(1)))
    job_steps.create(now=after(200))
    published = job_steps.create(now=after(2))
    with transaction(job_steps.engine) as session:
        mark_published(session, published.id, now=after(190))
    done = job_steps.claim(job_steps.create(now=after(3)))
    job_steps.finish(done)
    assert job_steps.list_abandoned(now=after(30), queued_before=after(15)) == [unpublished.id]
    assert job_steps.list_abandoned(now=after(205), queued_before=after(190)) == [
        unpublished.id,
        running.id,
        published.id,
    ]


def test_released_job_can_be_claimed_at_once(job_steps):
    job = job_steps.claim(job_steps.create())
    with transaction(job_steps.engine) as session:
        release_job(session, job, now=after(5))
    claimed = job_steps.claim(job, now=after(6), worker="w2")
    assert (claimed.attempt, claimed.worker) == (2, "w2")
    with pytest.raises(LeaseLostError), transaction(job_steps.engine) as session:
        release_job(session, job, now=after(7))


def test_list_jobs_pages_newest_first(job_steps):
    made = [job_steps.create(now=after(number // 2)) for number in range(7)]
    job_steps.create(namespace="other", now=after(100))
    running = job_steps.claim(job_steps.create(name="second", now=after(101)))
    seen, last = [], None
    with transaction(job_steps.engine, write=False) as session:
        while page := list_jobs(session, namespace="ns", stream="app", limit=3, after=last):
            seen.extend(page)
            last = page[-1]
        assert [job.id for job in list_jobs(session, state=JobState.RUNNING)] == [running.id]
        assert len(list_jobs(session)) == 9
    assert sorted(job.id for job in seen) == sorted(job.id for job in made)
    assert [job.created for job in seen] == sorted((job.created for job in made), reverse=True)


def test_load_of_missing_job_is_none(engine):
    with transaction(engine, write=False) as session:
        assert load_job(session, uuid4()) is None
        assert load_job_response(session, uuid4()) is None


def read_statuses(job_steps):
    """Return the state and progress after each change, as watchers of jobs see them."""
    with transaction(job_steps.engine, write=False) as session:
        found = load_change_events(session, after=INITIAL_VERSION, limit=99, kinds=["ImportJob"])
    statuses = [each.object["status"] for each in found]
    return [
        (each["state"], each.get("tagsCompleted", 0), each.get("tagsTotal", 0)) for each in statuses
    ]


def test_only_visible_steps_of_job_are_recorded_as_changes(job_steps):
    job = job_steps.claim(job_steps.create())
    job_steps.renew(job, now=after(5))
    job_steps.renew(job, done=1, total=2, now=after(6))
    job_steps.renew(job, done=1, total=2, now=after(7))
    job_steps.cancel(job, now=after(8))
    with transaction(job_steps.engine) as session:
        mark_published(session, job.id, now=after(9))
        release_job(session, job, now=after(9))
    job_steps.cancel(job, now=after(10))
    assert read_statuses(job_steps) == [
        ("Queued", 0, 0),
        ("Running", 0, 0),
        ("Running", 1, 2),
        ("Queued", 1, 2),
        ("Cancelled", 1, 2),
    ]
    assert job_steps.load(job).version == INITIAL_VERSION + 5


def test_coalesced_request_records_no_change(job_steps):
    first = job_steps.create(coalesce=True)
    assert job_steps.create(coalesce=True) == first
    assert read_statuses(job_steps) == [("Queued", 0, 0)]


def test_create_job_does_not_coalesce_dry_run_or_exempt_requests(job_steps):
    choices = ({}, {"dry_run": True}, {"exempt": True})
    jobs = [job_steps.create(coalesce=True, **choice) for choice in choices]
    assert len({job.id for job in jobs}) == 3
    found = [job_steps.load(job).request for job in jobs]
    assert [(each.dry_run, each.exempt) for each in found] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_load_job_by_name_finds_name_or_id(job_steps):
    unnamed = job_steps.create()
    with transaction(job_steps.engine) as session:
        job_request = JobRequest(
            import_request(), name="nightly", labels={"a": "b"}, annotations={"c": "d"}
        )
        nightly = create_job(session, job_request, now=NOW)
    with transaction(job_steps.engine, write=False) as session:
        assert load_job_by_name(session, "ns", "nightly") == nightly
        assert load_job_by_name(session, "ns", str(unnamed.id)) == unnamed
        assert load_job_by_name(session, "other", "nightly") is None
    assert nightly.request.labels == {"a": "b"}
    with pytest.raises(AlreadyExistsError, match='"nightly" already exists'):
        job_steps.create_named("nightly")


def test_list_jobs_by_name_pages_by_namespace_and_name(job_steps):
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        job_steps.create_named(name, namespace=namespace)
    with transaction(job_steps.engine, write=False) as session:
        found, last = [], None
        while page := list_jobs_by_name(session, limit=2, after=last):
            found += [(job.request.namespace, job.request.name) for job in page]
            last = found[-1]
        assert found == [("a", "y"), ("a", "z"), ("b", "x")]
        assert [job.request.name for job in list_jobs_by_name(session, namespace="a", limit=9)] == [
            "y",
            "z",
        ]
        assert (count_jobs(session), count_jobs(session, namespace="a", after=("a", "y"))) == (3, 1)


def test_delete_job_removes_it_and_its_lease(job_steps):
    job = job_steps.claim(job_steps.create())
    with transaction(job_steps.engine) as session:
        assert delete_job(session, job.id, now=NOW)
        assert delete_job(session, job.id, now=NOW) == 0
    assert job_steps.load(job) is None
    with pytest.raises(LeaseLostError):
        job_steps.renew(job, done=1, total=1)
    with pytest.raises(LeaseLostError):
        job_steps.finish(job)


def create_reimport_with_children(job_steps, number=2):
    """Create a reimport with child jobs; return both."""
    parent = job_steps.create_named("all", selector={"onlyFailed": True})
    children = [job_steps.create_named(f"child{each}", parent=parent.id) for each in range(number)]
    with transaction(job_steps.engine) as session:
        update_parent(session, parent.id, now=NOW)
    return parent, children


def test_reimport_progress_follows_its_children(job_steps):
    parent, children = create_reimport_with_children(job_steps)
    assert job_steps.load(parent).state is JobState.RUNNING
    for step, child in enumerate(children, start=1):
        job_steps.finish(
            job_steps.claim(child), result=JobResult(tags_unchanged=3, tags_failed=step)
        )
        found = job_steps.load(parent)
        assert (found.done, found.total) == (step, 2)
    assert found.state is JobState.SUCCEEDED
    assert (found.result.tags_unchanged, found.result.tags_failed) == (6, 3)
    assert found.finished == NOW


def test_reimport_without_children_succeeds(job_steps):
    parent, _ = create_reimport_with_children(job_steps, 0)
    assert job_steps.load(parent).state is JobState.SUCCEEDED


def test_reimport_with_only_failed_children_fails(job_steps):
    parent, children = create_reimport_with_children(job_steps)
    for child in children:
        job_steps.finish(job_steps.claim(child), state=JobState.FAILED)
    found = job_steps.load(parent)
    assert found.state is JobState.FAILED
    assert "see the jobs that name it as their parent" in found.result.error["message"]


def test_reimport_is_neither_claimed_nor_abandoned(job_steps):
    parent = job_steps.create_named("all", selector={})
    assert job_steps.claim(parent) is None
    assert job_steps.list_abandoned(now=after(99), queued_before=after(99)) == []


def test_cancel_of_reimport_cancels_its_children(job_steps):
    parent, (first, second) = create_reimport_with_children(job_steps)
    running = job_steps.claim(first)
    job_steps.cancel(parent)
    assert job_steps.load(second).state is JobState.CANCELLED
    assert job_steps.renew(running) is True
    assert job_steps.load(parent).state is JobState.RUNNING
    job_steps.finish(running, state=JobState.CANCELLED)
    assert job_steps.load(parent).state is JobState.CANCELLED


def test_renew_job_and_finish_job_do_not_deadlock(job_steps):
    """Lock order: the sequence of versions first, then the row of a job."""
    failures = []

    def renew_until_lost(job):
        step = 0
        try:
            while True:
                step += 1
                job_steps.renew(job, done=step, total=step)
                job_steps.cancel(job)
        except LeaseLostError:
            return
        except TagstreamError as error:
            failures.append(error)

    for number in range(8):
        job = job_steps.claim(job_steps.create())
        heartbeat = threading.Thread(target=renew_until_lost, args=(job,))
        heartbeat.start()
        with transaction(job_steps.engine) as session:
            save_images(session, [image(f"{number}")], now=NOW)
            finish_job(
                session,
                job,
                state=JobState.SUCCEEDED,
                result=JobResult(),
                with_errors=False,
                response=None,
                now=NOW,
            )
        heartbeat.join()
    assert failures == []
