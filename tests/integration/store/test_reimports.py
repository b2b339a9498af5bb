"""A reimport is one job and a job for each stream, put on record and called off in bulk."""

from models.job_types import JobResult, JobState
from models.resources.jobs import ReimportSelector
from models.store.access.namespace_store import delete_namespace, ensure_namespace
from models.store.changes.change_log import load_changes
from models.store.database.session import transaction
from models.store.jobs.job_store import (
    ask_cancel,
    claim_job,
    dropped_jobs,
    finish_job,
    load_job,
    mark_knocked,
)
from models.store.jobs.reimport_children import STEP
from models.store.jobs.reimport_store import (
    create_reimport,
    list_children,
    reimport_job,
    stuck_reimports,
)
from models.store.streams.stream_store import save_stream
from tests.integration.store.test_stored_jobs import LEASE
from tests.integration.store.things import NOW, after, stream, wish


def fill(engine, number, *, namespace="ns"):
    with transaction(engine) as session:
        ensure_namespace(session, namespace, now=NOW)
        for each in range(number):
            wanted = stream(
                f"s{each:04}", spec=[wish("1", source="quay.io/team/app:1")], namespace=namespace
            )
            save_stream(session, None, wanted, now=NOW)


def begin(engine, **selector):
    wanted = reimport_job("ns", ReimportSelector(**selector), user="me", name="all")
    with transaction(engine) as session:
        return create_reimport(session, wanted, now=NOW)


def end(engine, child, *, state=JobState.SUCCEEDED, with_errors=False, **result):
    with transaction(engine) as session:
        job = claim_job(session, child.id, worker="w", now=NOW, lease=LEASE)
        finish_job(
            session,
            job,
            state=state,
            result=JobResult(**result),
            with_errors=with_errors,
            answer=None,
            now=NOW,
        )


def read(engine, job):
    with transaction(engine, write=False) as session:
        return load_job(session, job.id)


def test_every_child_has_a_version_of_its_own_and_is_told_to_watchers(engine):
    fill(engine, STEP + 3)
    with transaction(engine, write=False) as session:
        before = max(each.version for each in load_changes(session, after=0, limit=9999))
    parent, children = begin(engine)
    assert len({job.version for job in children}) == STEP + 3
    with transaction(engine, write=False) as session:
        told = load_changes(session, after=before, limit=9999, kind="ImportJob")
        stored = list_children(session, parent)
    assert [each.version for each in told] == sorted(
        {job.version for job in children} | {told[0].version, parent.version}
    )
    assert {job.id: job.version for job in stored} == {job.id: job.version for job in children}
    assert (parent.state, parent.done, parent.total) == (JobState.RUNNING, 0, STEP + 3)
    assert [job.request.stream for job in stored] == [f"s{each:04}" for each in range(STEP + 3)]


def test_a_reimport_counts_as_it_goes_and_tells_what_went_wrong(engine):
    fill(engine, 4)
    parent, children = begin(engine)
    end(engine, children[0], imported=2, changed=1)
    end(engine, children[1], imported=1, failed=1, with_errors=True)
    end(engine, children[2], state=JobState.FAILED, with_errors=True)
    found = read(engine, parent)
    assert (found.state, found.done, found.with_errors) == (JobState.RUNNING, 3, True)
    assert found.result == JobResult(imported=3, failed=1, changed=1, jobs_failed=2)
    end(engine, children[3], imported=1)
    found = read(engine, parent)
    assert (found.state, found.done, found.total) == (JobState.SUCCEEDED, 4, 4)
    assert found.result == JobResult(imported=4, failed=1, changed=1, jobs_failed=2)


def test_a_reimport_that_is_called_off_keeps_what_was_done(engine):
    fill(engine, STEP + 2)
    parent, children = begin(engine)
    end(engine, children[0], imported=1)
    with transaction(engine) as session:
        running = claim_job(session, children[1].id, worker="w", now=NOW, lease=LEASE)
        asked = ask_cancel(session, parent.id, now=NOW)
    assert (asked.state, asked.done, asked.cancel_asked) == (JobState.RUNNING, STEP + 1, True)
    assert read(engine, running).cancel_asked
    assert read(engine, children[-1]).state is JobState.CANCELLED
    with transaction(engine) as session:
        finish_job(
            session,
            running,
            state=JobState.CANCELLED,
            result=JobResult(),
            with_errors=True,
            answer=None,
            now=NOW,
        )
    found = read(engine, parent)
    assert (found.state, found.result.imported) == (JobState.CANCELLED, 1)
    assert found.result.jobs_failed == STEP + 1


def test_jobs_that_went_with_their_namespace_do_not_keep_a_reimport_going(engine):
    fill(engine, 1)
    fill(engine, 2, namespace="other")
    parent, children = begin(engine, all_namespaces=True)
    end(engine, children[0])
    with transaction(engine) as session:
        assert stuck_reimports(session) == []
        delete_namespace(session, "other", now=NOW)
        assert stuck_reimports(session) == [parent.id]


def test_only_those_are_knocked_for_again_that_were_not_heard_of(engine):
    fill(engine, 3)
    _, children = begin(engine)
    with transaction(engine) as session:
        mark_knocked(session, *(job.id for job in children[:2]), now=after(60))
        dropped = dropped_jobs(session, now=after(60), queued_before=after(30), limit=9)
    assert [job.id for job in dropped] == [children[2].id]
