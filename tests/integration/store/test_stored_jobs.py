"""The row is the truth about a job, and only the attempt that holds it may write."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest

from models.errors import AlreadyExistsError, LeaseLostError, NotFoundError, TagstreamError
from models.job_types import Asker, JobRequest, JobResult, JobState, Lane, TargetResult
from models.store.changes.change_log import load_feed
from models.store.database.session import transaction
from models.store.images.image_store import save_images
from models.store.jobs.job_store import (
    ask_cancel,
    claim_job,
    count_jobs,
    create_job,
    dropped_jobs,
    find_job,
    finish_job,
    forget_job,
    list_jobs,
    load_answer,
    load_job,
    mark_knocked,
    page_jobs,
    release_job,
    renew_job,
    settle_parent,
)
from tests.integration.store.things import NOW, START, after, image, request

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

    def again(self, name, *, namespace="ns", **fields):
        """A job that is called by that name."""
        wanted = JobRequest(request(namespace=namespace), name=name, **fields)
        with transaction(self.engine) as session:
            return create_job(session, wanted, now=NOW)

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


def told(counter):
    """What watchers of jobs are told: state and progress after each change."""
    with transaction(counter.engine, write=False) as session:
        found = load_feed(session, after=START, limit=99, kinds=["ImportJob"])
    statuses = [each.object["status"] for each in found]
    return [(each["state"], each["done"], each["total"]) for each in statuses]


def test_every_step_that_clients_can_see_is_a_change_and_no_other(counter):
    job = counter.claim(counter.create())
    counter.renew(job, now=after(5))
    counter.renew(job, done=1, total=2, now=after(6))
    counter.renew(job, done=1, total=2, now=after(7))
    counter.cancel(job, now=after(8))
    with transaction(counter.engine) as session:
        mark_knocked(session, job.id, now=after(9))
        release_job(session, job, now=after(9))
    counter.cancel(job, now=after(10))
    assert told(counter) == [
        ("Queued", 0, 0),
        ("Running", 0, 0),
        ("Running", 1, 2),
        ("Queued", 1, 2),
        ("Cancelled", 1, 2),
    ]
    assert counter.load(job).version == START + 5


def test_an_equal_wish_that_shares_a_job_is_no_change(counter):
    first = counter.create(coalesce=True)
    assert counter.create(coalesce=True) == first
    assert told(counter) == [("Queued", 0, 0)]


def test_a_trial_and_an_exempt_wish_share_nothing_with_a_plain_one(counter):
    ways = ({}, {"dry_run": True}, {"exempt": True})
    jobs = [counter.create(coalesce=True, **way) for way in ways]
    assert len({job.id for job in jobs}) == 3
    found = [counter.load(job).request for job in jobs]
    assert [(each.dry_run, each.exempt) for each in found] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_a_job_may_be_named_and_is_found_by_its_name_or_else_by_its_id(counter):
    named = counter.create()
    with transaction(counter.engine) as session:
        wanted = JobRequest(request(), name="nightly", labels={"a": "b"}, annotations={"c": "d"})
        nightly = create_job(session, wanted, now=NOW)
    with transaction(counter.engine, write=False) as session:
        assert find_job(session, "ns", "nightly") == nightly
        assert find_job(session, "ns", str(named.id)) == named
        assert find_job(session, "other", "nightly") is None
    assert nightly.request.labels == {"a": "b"}
    with pytest.raises(AlreadyExistsError, match='"nightly" already exists'):
        counter.again("nightly")


def test_jobs_are_paged_by_namespace_and_name(counter):
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        counter.again(name, namespace=namespace)
    with transaction(counter.engine, write=False) as session:
        found, last = [], None
        while page := page_jobs(session, limit=2, after=last):
            found += [(job.request.namespace, job.request.name) for job in page]
            last = found[-1]
        assert found == [("a", "y"), ("a", "z"), ("b", "x")]
        assert [job.request.name for job in page_jobs(session, namespace="a", limit=9)] == [
            "y",
            "z",
        ]
        assert (count_jobs(session), count_jobs(session, namespace="a", after=("a", "y"))) == (3, 1)


def test_a_forgotten_job_is_gone_and_its_worker_has_lost_it(counter):
    job = counter.claim(counter.create())
    with transaction(counter.engine) as session:
        assert forget_job(session, job.id, now=NOW)
        assert forget_job(session, job.id, now=NOW) == 0
    assert counter.load(job) is None
    with pytest.raises(LeaseLostError):
        counter.renew(job, done=1, total=1)
    with pytest.raises(LeaseLostError):
        counter.finish(job)


def family(counter, number=2):
    """A reimport and its children."""
    parent = counter.again("all", selector={"onlyFailed": True})
    children = [counter.again(f"child{each}", parent=parent.id) for each in range(number)]
    with transaction(counter.engine) as session:
        settle_parent(session, parent.id, now=NOW)
    return parent, children


def test_a_reimport_is_as_far_as_its_children_and_ends_with_the_last(counter):
    parent, children = family(counter)
    assert counter.load(parent).state is JobState.RUNNING
    for step, child in enumerate(children, start=1):
        counter.finish(counter.claim(child), result=JobResult(imported=3, failed=step))
        found = counter.load(parent)
        assert (found.done, found.total) == (step, 2)
    assert found.state is JobState.SUCCEEDED
    assert (found.result.imported, found.result.failed) == (6, 3)
    assert found.finished == NOW


def test_a_reimport_that_found_nothing_to_do_has_succeeded(counter):
    parent, _ = family(counter, 0)
    assert counter.load(parent).state is JobState.SUCCEEDED


def test_a_reimport_of_which_nothing_came_has_failed(counter):
    parent, children = family(counter)
    for child in children:
        counter.finish(counter.claim(child), state=JobState.FAILED)
    found = counter.load(parent)
    assert found.state is JobState.FAILED
    assert "look at the jobs" in found.result.error["message"]


def test_no_worker_takes_a_reimport_and_nobody_knocks_for_it(counter):
    parent = counter.again("all", selector={})
    assert counter.claim(parent) is None
    assert counter.dropped(now=after(99), queued_before=after(99)) == []


def test_who_cancels_a_reimport_cancels_its_children(counter):
    parent, (first, second) = family(counter)
    running = counter.claim(first)
    counter.cancel(parent)
    assert counter.load(second).state is JobState.CANCELLED
    assert counter.renew(running) is True
    assert counter.load(parent).state is JobState.RUNNING
    counter.finish(running, state=JobState.CANCELLED)
    assert counter.load(parent).state is JobState.CANCELLED


def test_progress_and_an_import_that_ends_do_not_embrace(counter):
    """Whoever locks both takes the counter of changes before the row of a job."""
    failures = []

    def beat(job):
        step = 0
        try:
            while True:
                step += 1
                counter.renew(job, done=step, total=step)
                counter.cancel(job)
        except LeaseLostError:
            return
        except TagstreamError as error:
            failures.append(error)

    for number in range(8):
        job = counter.claim(counter.create())
        beating = threading.Thread(target=beat, args=(job,))
        beating.start()
        with transaction(counter.engine) as session:
            save_images(session, [image(f"{number}")], now=NOW)
            finish_job(
                session,
                job,
                state=JobState.SUCCEEDED,
                result=JobResult(),
                with_errors=False,
                answer=None,
                now=NOW,
            )
        beating.join()
    assert failures == []
