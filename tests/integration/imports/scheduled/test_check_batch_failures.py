"""A failure in a batch of checks affects only its own tag and delays no other check."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

import worker.checks.check_batch
import worker.checks.scheduled_commit
from models.errors import StreamConflictError
from models.store.database.session import transaction
from models.store.tables.schedule import ScheduledTagRow
from models.store.tables.stored_secrets import SecretRow
from models.streams.registries.registry_allowlist import AllowList
from tests import fixtures as fx
from tests.integration.imports.import_requests import img, isi, save_pull_secret
from tests.integration.imports.scheduled.scheduled_tags import schedule_tags, update_tag
from worker.job_queue import precise_utc_now


def current_image(harness, name, namespace="ns"):
    [history] = harness.stream(name, namespace).status.tags
    return history.items[0].image


def corrupt_secrets(harness, namespace):
    """Make the secrets of the namespace unreadable."""
    with transaction(harness.engine) as session:
        session.execute(
            update(SecretRow).where(SecretRow.namespace == namespace).values(sealed=b"corrupt")
        )


def test_unreadable_secret_fails_only_its_own_tags(harness, reg):
    schedule_tags(harness, reg, "t", name="mine")
    schedule_tags(harness, reg, "t", name="theirs", namespace="two")
    save_pull_secret(harness, {"quay.io": ("me", "word")})
    corrupt_secrets(harness, "ns")
    digest = update_tag(reg)
    before = harness.stream("mine")
    harness.check_now()
    rows = harness.schedule_rows()
    assert current_image(harness, "theirs", "two") == digest
    assert (rows["mine:t"].last_outcome, rows["mine:t"].error_code) == (
        "failed",
        "auth.secret_unreadable",
    )
    assert (rows["mine:t"].due_at - precise_utc_now()).total_seconds() > 0.8 * 900
    assert harness.stream("mine") == before
    save_pull_secret(harness, {reg.host: ("me", "word")})
    assert harness.tick().sent == 1
    assert current_image(harness, "mine") == digest


def test_exception_in_one_stream_fails_only_that_stream(harness, reg, monkeypatch):
    schedule_tags(harness, reg, "t", name="cursed")
    schedule_tags(harness, reg, "t", name="blessed")
    digest = update_tag(reg)
    real = worker.checks.scheduled_commit.apply_import

    def fail(stream, *rest, **more):
        if stream.metadata.name == "cursed":
            raise KeyError("bug")
        return real(stream, *rest, **more)

    monkeypatch.setattr(worker.checks.scheduled_commit, "apply_import", fail)
    harness.check_now()
    rows = harness.schedule_rows()
    assert current_image(harness, "blessed") == digest
    assert rows["blessed:t"].reason == "Updated"
    assert (rows["cursed:t"].last_outcome, rows["cursed:t"].batch) == ("failed", None)
    assert rows["cursed:t"].next_check_at > precise_utc_now()


def test_disallowed_tag_does_not_delay_other_tags(harness, reg, open_fake):
    other = open_fake()
    other.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    schedule_tags(harness, reg, "t")
    harness.run(isi(img(f"{other.host}/a/b:t", to="other", scheduled=True)))
    only = AllowList.parse([(reg.host, False)], internal_hostname="")
    harness.context.rules = replace(harness.context.rules, allow_list=only)
    digest = update_tag(reg)
    update_tag(other)
    harness.check_now()
    rows = harness.schedule_rows()
    found = {each.tag: each.items[0].image for each in harness.stream().status.tags}
    assert (rows["is:t"].reason, rows["is:other"].last_outcome) == ("Updated", "failed")
    assert found == {"t": digest, "other": fx.digest_of(fx.S2)}


def test_database_conflict_in_check_batch_is_retried(harness, reg, monkeypatch):
    schedule_tags(harness, reg, "t", "u")
    real = worker.checks.check_batch.settle_checks
    calls = []

    def conflict_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise StreamConflictError("the database aborted the transaction", name="")
        return real(*args)

    monkeypatch.setattr(worker.checks.check_batch, "settle_checks", conflict_once)
    harness.check_now()
    assert {row.reason for row in harness.schedule_rows().values()} == {"Unchanged"}
    assert len(reg.requests) == 2


def test_stopping_worker_releases_row_during_import(harness, reg):
    """This is no failure of the tag, and the next worker checks it at once."""
    schedule_tags(harness, reg, "t")
    digest = update_tag(reg)
    before = harness.stream()
    stopped = threading.Event()

    def stop_worker():
        harness.context.stop_jobs()
        stopped.set()

    reg.on(
        f"/a/b/manifests/{digest}", lambda _r: threading.Thread(target=stop_worker).start(), times=1
    )
    reg.delay(0.5, f"/a/b/manifests/{digest}")
    harness.check_now()
    assert stopped.wait(5)
    row = harness.schedule_rows()["is:t"]
    assert (row.reason, row.consecutive_failures, row.batch, row.worker) == (
        "Deferred",
        0,
        None,
        "",
    )
    assert harness.stream() == before
    harness.context.stopping.clear()
    assert harness.tick().sent == 1
    assert current_image(harness, "is") == digest


@pytest.mark.parametrize("slow", ["check", "import"])
def test_check_lease_is_renewed_while_work_continues(open_harness, reg, slow):
    harness = open_harness()
    schedule_tags(harness, reg, "t")
    harness.context.settings = harness.settings.model_copy(
        update={"check_lease": timedelta(seconds=0.4)}
    )
    harness.settings = harness.context.settings
    digest = update_tag(reg)
    reg.delay(0.9, f"/a/b/manifests/{'t' if slow == 'check' else digest}")
    harness.make_due()
    worker_thread = threading.Thread(target=harness.tick)
    worker_thread.start()
    claimed = 0
    while worker_thread.is_alive():
        worker_thread.join(0.1)
        claimed += harness.tick(execute=False).claimed if reg.requests else 0
    assert claimed == 0
    assert current_image(harness, "is") == digest
    assert len([line for line in reg.requests if line.startswith("HEAD")]) == 1


def test_row_without_tag_is_removed_when_due(harness, reg):
    """Whatever its origin, it must not be checked forever."""
    schedule_tags(harness, reg, "t", "u")
    with transaction(harness.engine) as session:
        session.execute(
            update(ScheduledTagRow).where(ScheduledTagRow.tag == "t").values(tag="ghost")
        )
    harness.check_now()
    assert list(harness.schedule_rows()) == ["is:u"]


def test_lasting_503_with_retry_after_becomes_condition(harness, reg):
    """Every response is a 503 with a Retry-After."""
    schedule_tags(harness, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=503, times=100, Retry_After="60")
    harness.check_now()
    assert harness.schedule_rows()["is:t"].reason == "RateLimited"
    assert harness.stream().status.tags[0].conditions == []
    harness.make_due(by=1000)
    harness.tick()
    [condition] = harness.stream().status.tags[0].conditions
    assert condition.status == "False"
    assert harness.schedule_rows()["is:t"].last_outcome == "failed"
