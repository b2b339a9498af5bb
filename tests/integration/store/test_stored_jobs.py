"""The row is the truth about a job, and only the attempt that holds it may write."""

from datetime import timedelta
from uuid import uuid4

import pytest

from models.errors import LeaseLostError, NotFoundError
from models.jobs import Asker, JobRequest, JobResult, JobState, Lane, TargetResult
from models.store.jobs import (
    ask_cancel,
    claim_job,
    create_job,
    dropped_jobs,
    finish_job,
    list_jobs,
    load_answer,
    load_job,
    mark_knocked,
    release_job,
    renew_job,
)
from models.store.session import transaction
from tests.integration.store.things import NOW, after, request

LEASE = timedelta(seconds=60)


@pytest.fixture
def counter(engine):
    return Counter(engine)


class Counter:
    """Each step in a transaction of its own."""

    def __init__(self, engine):
        self.engine = engine

    def create(self, *, now=NOW, source="quay.io/team/app:1", name="app", namespace="ns", **fields):
        wanted = JobRequest(request(name, namespace=namespace, source=source), **fields)
        with transaction(self.engine) as session:
            return create_job(session, wanted, now=now)

    def claim(self, job, *, now=NOW, worker="w1"):
        with transaction(self.engine) as session:
            return claim_job(session, job.id, worker=worker, now=now, lease=LEASE)

    def renew(self, job, *, done=0, total=0, now=NOW):
        with transaction(self.engine) as session:
            return renew_job(
                session, job.id, job.attempt, done=done, total=total, now=now, lease=LEASE
            )

    def finish(self, job, *, state=JobState.SUCCEEDED, result=None, answer=None, now=NOW):
        with transaction(self.engine) as session:
            finish_job(
                session,
                job,
                state=state,
                result=result or JobResult(),
                with_errors=False,
                answer=answer,
                now=now,
            )

    def cancel(self, job, *, now=NOW):
        with transaction(self.engine) as session:
            return ask_cancel(session, job.id, now=now)

    def load(self, job):
        with transaction(self.engine, write=False) as session:
            return load_job(session, job.id)

    def dropped(self, *, now, queued_before=NOW):
        with transaction(self.engine, write=False) as session:
            found = dropped_jobs(session, now=now, queued_before=queued_before, limit=10)
        return [job.id for job in found]


def test_a_job_comes_back_as_it_was_asked_for(counter):
    made = counter.create(
        asker=Asker.API,
        lane=Lane.BULK,
        user="eva",
        max_tags=-1,
        wants_answer=True,
        coalesce=True,
    )
    assert counter.load(made) == made
    assert made.state is JobState.QUEUED


def test_a_claimed_job_is_nobody_elses_until_its_lease_runs_out(counter):
    job = counter.create()
    first = counter.claim(job)
    assert (first.state, first.attempt, first.worker) == (JobState.RUNNING, 1, "w1")
    assert first.leased_until == NOW + LEASE
    assert counter.claim(job, now=after(59), worker="w2") is None
    second = counter.claim(job, now=after(60), worker="w2")
    assert (second.attempt, second.worker, second.started) == (2, "w2", NOW)


def test_a_renewed_lease_lasts_longer_and_tells_progress(counter):
    job = counter.claim(counter.create())
    assert counter.renew(job, done=3, total=9, now=after(50)) is False
    assert counter.claim(job, now=after(100)) is None
    found = counter.load(job)
    assert (found.done, found.total) == (3, 9)


def test_a_worker_whose_job_was_taken_over_may_neither_renew_nor_finish(counter):
    former = counter.claim(counter.create())
    latter = counter.claim(former, now=after(60), worker="w2")
    with pytest.raises(LeaseLostError):
        counter.renew(former, now=after(61))
    with pytest.raises(LeaseLostError):
        counter.finish(former, now=after(61))
    counter.finish(latter, now=after(62))
    assert counter.load(latter).finished == after(62)


def test_a_finished_job_tells_every_end_and_cannot_be_finished_again(counter):
    job = counter.claim(counter.create())
    result = JobResult(
        imported=1,
        failed=1,
        changed=1,
        targets=(
            TargetResult("quay.io/a:1", "1", "1", "sha256:x", changed=True),
            TargetResult("quay.io/a:2", "2", reason="NotFound", message="m\x00", code="notfound"),
        ),
        additional_tags=("3",),
        listing={"status": "Failure"},
        warnings=("slow",),
    )
    counter.finish(job, result=result, answer=b"\x00answer", now=after(5))
    found = counter.load(job)
    assert found.state is JobState.SUCCEEDED
    assert found.leased_until is None
    assert found.result.targets[0] == result.targets[0]
    assert found.result.targets[1].message == "m\ufffd"
    assert found.result.additional_tags == ("3",)
    assert found.result.warnings == ("slow",)
    with transaction(counter.engine, write=False) as session:
        assert load_answer(session, job.id) == b"\x00answer"
    with pytest.raises(LeaseLostError):
        counter.finish(job)
    assert counter.claim(job, now=after(1000)) is None


def test_an_equal_wish_that_is_still_queued_serves_both(counter):
    first = counter.create(coalesce=True)
    assert counter.create(coalesce=True, now=after(5)).id == first.id
    others = [
        counter.create(coalesce=True, source="quay.io/team/app:2"),
        counter.create(coalesce=True, name="other"),
        counter.create(coalesce=True, namespace="other"),
        counter.create(coalesce=True, user="eva"),
        counter.create(coalesce=True, max_tags=-1),
        counter.create(coalesce=True, lane=Lane.SCHEDULED),
        counter.create(),
    ]
    assert len({first.id, *(job.id for job in others)}) == 8


def test_a_wish_that_comes_while_the_job_runs_gets_a_job_of_its_own(counter):
    first = counter.create(coalesce=True)
    counter.claim(first)
    second = counter.create(coalesce=True)
    assert second.id != first.id
    counter.cancel(second)
    assert counter.create(coalesce=True).id not in {first.id, second.id}


def test_a_queued_job_is_cancelled_at_once(counter):
    job = counter.create()
    found = counter.cancel(job, now=after(5))
    assert (found.state, found.finished) == (JobState.CANCELLED, after(5))
    assert found.result.error["message"] == "the job was cancelled"
    assert counter.claim(job) is None


def test_a_running_job_hears_of_the_wish_to_stop_when_it_renews(counter):
    job = counter.claim(counter.create())
    assert counter.cancel(job).cancel_asked
    assert counter.load(job).state is JobState.RUNNING
    assert counter.renew(job) is True


def test_a_job_that_was_to_stop_when_its_worker_died_is_not_started_again(counter):
    job = counter.claim(counter.create())
    counter.cancel(job)
    assert counter.claim(job, now=after(60)) is None
    assert counter.load(job).state is JobState.CANCELLED


def test_a_finished_job_stays_as_it_is_when_it_is_cancelled(counter):
    job = counter.claim(counter.create())
    counter.finish(job)
    found = counter.cancel(job)
    assert (found.state, found.cancel_asked) == (JobState.SUCCEEDED, False)


def test_a_job_that_never_was_cannot_be_cancelled(engine):
    with pytest.raises(NotFoundError), transaction(engine) as session:
        ask_cancel(session, uuid4(), now=NOW)


def test_dropped_are_the_queued_that_nobody_knocked_for_and_the_running_that_nobody_carries(
    counter,
):
    forgotten = counter.create()
    running = counter.claim(counter.create(now=after(1)))
    counter.create(now=after(200))
    knocked = counter.create(now=after(2))
    with transaction(counter.engine) as session:
        mark_knocked(session, knocked.id, now=after(190))
    done = counter.claim(counter.create(now=after(3)))
    counter.finish(done)
    assert counter.dropped(now=after(30), queued_before=after(15)) == [forgotten.id]
    assert counter.dropped(now=after(205), queued_before=after(190)) == [
        forgotten.id,
        running.id,
        knocked.id,
    ]


def test_a_job_that_was_put_back_may_be_claimed_at_once(counter):
    job = counter.claim(counter.create())
    with transaction(counter.engine) as session:
        release_job(session, job, now=after(5))
    again = counter.claim(job, now=after(6), worker="w2")
    assert (again.attempt, again.worker) == (2, "w2")
    with pytest.raises(LeaseLostError), transaction(counter.engine) as session:
        release_job(session, job, now=after(7))


def test_jobs_are_listed_by_page_newest_first(counter):
    made = [counter.create(now=after(number // 2)) for number in range(7)]
    counter.create(namespace="other", now=after(100))
    running = counter.claim(counter.create(name="second", now=after(101)))
    seen, last = [], None
    with transaction(counter.engine, write=False) as session:
        while page := list_jobs(session, namespace="ns", stream="app", limit=3, after=last):
            seen.extend(page)
            last = page[-1]
        assert [job.id for job in list_jobs(session, state=JobState.RUNNING)] == [running.id]
        assert len(list_jobs(session)) == 9
    assert sorted(job.id for job in seen) == sorted(job.id for job in made)
    assert [job.created for job in seen] == sorted((job.created for job in made), reverse=True)


def test_a_missing_job_is_none(engine):
    with transaction(engine, write=False) as session:
        assert load_job(session, uuid4()) is None
        assert load_answer(session, uuid4()) is None
