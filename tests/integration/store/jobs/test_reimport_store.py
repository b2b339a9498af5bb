"""A reimport has a child job for each stream; they are created and cancelled in bulk."""

from datetime import timedelta

from models.job_types import JobResult, JobState
from models.resources.jobs import ReimportSelector
from models.store.access.namespace_store import delete_namespace, ensure_namespace
from models.store.changes.change_log import load_changes
from models.store.database.session import transaction
from models.store.jobs.job_queries import list_abandoned_jobs
from models.store.jobs.job_store import (
    claim_job,
    finish_job,
    load_job,
    mark_published,
    request_cancel,
)
from models.store.jobs.reimport_children import CHILD_BATCH_SIZE
from models.store.jobs.reimport_store import (
    build_reimport_job,
    create_reimport,
    list_children,
    list_stuck_reimports,
)
from models.store.streams.stream_store import save_stream
from tests.integration.store.sample_objects import NOW, after, spec_tag, stream

LEASE = timedelta(seconds=60)


def create_streams(engine, number, *, namespace="ns"):
    with transaction(engine) as session:
        ensure_namespace(session, namespace, now=NOW)
        for index in range(number):
            new = stream(
                f"s{index:04}",
                spec=[spec_tag("1", source="quay.io/team/app:1")],
                namespace=namespace,
            )
            save_stream(session, None, new, now=NOW)


def start_reimport(engine, **selector):
    reimport_request = build_reimport_job("ns", ReimportSelector(**selector), user="me", name="all")
    with transaction(engine) as session:
        return create_reimport(session, reimport_request, now=NOW)


def finish_child(engine, child, *, state=JobState.SUCCEEDED, with_errors=False, **result):
    with transaction(engine) as session:
        job = claim_job(session, child.id, worker="w", now=NOW, lease=LEASE)
        finish_job(
            session,
            job,
            state=state,
            result=JobResult(**result),
            with_errors=with_errors,
            response=None,
            now=NOW,
        )


def read_job(engine, job):
    with transaction(engine, write=False) as session:
        return load_job(session, job.id)


def test_create_reimport_records_a_change_for_each_child(engine):
    create_streams(engine, CHILD_BATCH_SIZE + 3)
    with transaction(engine, write=False) as session:
        before = max(each.version for each in load_changes(session, after=0, limit=9999))
    parent, children = start_reimport(engine)
    assert len({job.version for job in children}) == CHILD_BATCH_SIZE + 3
    with transaction(engine, write=False) as session:
        changes = load_changes(session, after=before, limit=9999, kind="ImportJob")
        listed = list_children(session, parent)
    assert [each.version for each in changes] == sorted(
        {job.version for job in children} | {changes[0].version, parent.version}
    )
    assert {job.id: job.version for job in listed} == {job.id: job.version for job in children}
    assert (parent.state, parent.done, parent.total) == (JobState.RUNNING, 0, CHILD_BATCH_SIZE + 3)
    assert [job.request.stream for job in listed] == [
        f"s{each:04}" for each in range(CHILD_BATCH_SIZE + 3)
    ]


def test_reimport_sums_results_of_finished_children(engine):
    create_streams(engine, 4)
    parent, children = start_reimport(engine)
    finish_child(engine, children[0], tags_new=1, tags_unchanged=1)
    finish_child(engine, children[1], tags_unchanged=1, tags_failed=1, with_errors=True)
    finish_child(engine, children[2], state=JobState.FAILED, with_errors=True)
    found = read_job(engine, parent)
    assert (found.state, found.done, found.with_errors) == (JobState.RUNNING, 3, True)
    assert found.result == JobResult(tags_new=1, tags_unchanged=2, tags_failed=1, jobs_failed=2)
    finish_child(engine, children[3], tags_updated=1)
    found = read_job(engine, parent)
    assert (found.state, found.done, found.total) == (JobState.SUCCEEDED, 4, 4)
    assert found.result == JobResult(
        tags_new=1, tags_updated=1, tags_unchanged=2, tags_failed=1, jobs_failed=2
    )


def test_cancelled_reimport_keeps_results_of_finished_children(engine):
    create_streams(engine, CHILD_BATCH_SIZE + 2)
    parent, children = start_reimport(engine)
    finish_child(engine, children[0], tags_unchanged=1)
    with transaction(engine) as session:
        running = claim_job(session, children[1].id, worker="w", now=NOW, lease=LEASE)
        cancelled = request_cancel(session, parent.id, now=NOW)
    assert (cancelled.state, cancelled.done, cancelled.cancel_requested) == (
        JobState.RUNNING,
        CHILD_BATCH_SIZE + 1,
        True,
    )
    assert read_job(engine, running).cancel_requested
    assert read_job(engine, children[-1]).state is JobState.CANCELLED
    with transaction(engine) as session:
        finish_job(
            session,
            running,
            state=JobState.CANCELLED,
            result=JobResult(),
            with_errors=True,
            response=None,
            now=NOW,
        )
    found = read_job(engine, parent)
    assert (found.state, found.result.tags_imported) == (JobState.CANCELLED, 1)
    assert found.result.jobs_failed == CHILD_BATCH_SIZE + 1


def test_list_stuck_reimports_finds_reimport_whose_children_were_deleted(engine):
    create_streams(engine, 1)
    create_streams(engine, 2, namespace="other")
    parent, children = start_reimport(engine, all_namespaces=True)
    finish_child(engine, children[0])
    with transaction(engine) as session:
        assert list_stuck_reimports(session) == []
        delete_namespace(session, "other", now=NOW)
        assert list_stuck_reimports(session) == [parent.id]


def test_list_abandoned_jobs_skips_recently_published_children(engine):
    create_streams(engine, 3)
    _, children = start_reimport(engine)
    with transaction(engine) as session:
        mark_published(session, *(job.id for job in children[:2]), now=after(60))
        abandoned = list_abandoned_jobs(session, now=after(60), published_before=after(30), limit=9)
    assert [job.id for job in abandoned] == [children[2].id]
