"""Scheduled checks: one HEAD for an unchanged tag, an import for an updated one."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from models.job_types import JobTrigger
from models.store.database.session import transaction
from models.store.jobs.job_queries import list_jobs
from models.store.streams.stream_store import delete_stream
from models.streams.registries.registry_allowlist import AllowList
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import DispatchConfig, claim_round, tick
from scheduler.pacing import CheckRatePolicy
from tests import fixtures as fx
from tests.fakeregistry.server import FakeRegistry
from tests.integration.imports.import_requests import img, isi, save_pull_secret
from worker.checks.check_batch import run_checks
from worker.job_queue import precise_utc_now, utc_now

INTERVAL = "sync.tagstream.io/interval"
SUSPEND = "sync.tagstream.io/suspend"


@pytest.fixture
def other_registry():
    with FakeRegistry() as registry:
        yield registry


def schedule_tags(harness, reg, *tags, name="is", **policy):
    """Import a stream whose tags follow those of `a/b` on schedule."""
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True, **policy) for tag in tags]
    harness.run(isi(*images, name=name))
    reg.forget_requests()


def annotate(harness, annotations):
    """Replace the annotations of the stream that the schedule reads."""
    old = harness.stream()
    other_annotations = {k: v for k, v in old.metadata.annotations.items() if "sync." not in k}
    metadata = old.metadata.replace(annotations={**other_annotations, **annotations})
    harness.save_stream(old, old.replace(metadata=metadata))


def head_requests(reg):
    return [line for line in reg.requests if line.startswith("HEAD")]


def scheduled_jobs(harness):
    with transaction(harness.engine, write=False) as session:
        return [job for job in list_jobs(session) if job.request.trigger is JobTrigger.SCHEDULE]


@pytest.mark.case("import 7-18")
def test_unchanged_tag_check_updates_only_its_row(harness, reg):
    schedule_tags(harness, reg, "t")
    before = harness.stream()
    harness.check_now()
    after = harness.schedule_rows()["is:t"]
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    assert harness.stream() == before
    assert (after.reason, after.consecutive_failures, after.batch) == ("Unchanged", 0, None)
    assert (after.due_at - after.last_check_at).total_seconds() >= 0.9 * 900
    assert scheduled_jobs(harness) == []


@pytest.mark.case("import 7-19")
def test_updated_tag_is_imported_and_stays_scheduled(harness, reg):
    schedule_tags(harness, reg, "t")
    before = harness.stream()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    harness.check_now()
    [history] = harness.stream().status.tags
    [spec_tag] = harness.stream().spec.tags
    assert [event.image for event in history.items] == [
        digest,
        before.status.tags[0].items[0].image,
    ]
    assert history.items[0].generation == before.metadata.generation + 1
    assert spec_tag.import_policy.scheduled
    [job] = scheduled_jobs(harness)
    assert (job.state, job.result.tags_updated) == ("succeeded", 1)
    assert harness.schedule_rows()["is:t"].reason == "Updated"


def test_followers_of_one_source_use_one_head_and_fetch(harness, reg):
    for number in range(5):
        schedule_tags(harness, reg, "t", name=f"s{number}")
    harness.check_now()
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    reg.forget_requests()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    harness.check_now()
    assert sorted(set(reg.requests)) == sorted(reg.requests)
    assert len(head_requests(reg)) == 1
    for number in range(5):
        assert harness.stream(f"s{number}").status.tags[0].items[0].image == digest


@pytest.mark.case("import 7-13")
def test_deleted_stream_leaves_no_row_and_no_request(harness, reg):
    schedule_tags(harness, reg, "t")
    harness.make_due()
    with transaction(harness.engine) as session:
        delete_stream(session, "ns", "is", now=utc_now())
    assert harness.tick().claimed == 0
    assert (harness.schedule_rows(), reg.requests) == ({}, [])


def test_stream_deleted_during_check_does_not_affect_others(harness, reg):
    schedule_tags(harness, reg, "t")
    schedule_tags(harness, reg, "u", name="other")

    def delete(_request):
        with transaction(harness.engine) as session:
            delete_stream(session, "ns", "is", now=utc_now())

    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.on("/a/b/manifests/t", delete, times=1)
    harness.check_now()
    assert harness.stream() is None
    assert list(harness.schedule_rows()) == ["other:u"]
    assert harness.schedule_rows()["other:u"].reason == "Unchanged"


@pytest.mark.case("import 7-14")
def test_due_row_is_checked_once_per_due_time(harness, reg):
    schedule_tags(harness, reg, "t")
    harness.make_due()
    assert [harness.tick().claimed for _ in range(3)] == [1, 0, 0]
    assert len(reg.requests) == 1
    harness.make_due()
    assert harness.tick().sent == 1
    assert len(reg.requests) == 2


@pytest.mark.case("import 7-15")
def test_disabled_schedule_claims_nothing(open_harness, reg):
    harness = open_harness(scheduled_imports=False)
    schedule_tags(harness, reg, "t")
    harness.make_due()
    assert tick(harness.engine, None, harness.settings).claimed == 0
    assert reg.requests == []


@pytest.mark.case("import 7-15")
def test_unscheduled_tag_leaves_schedule(harness, reg):
    schedule_tags(harness, reg, "t", "u")
    old = harness.stream()
    tags = [
        tag.replace(import_policy=tag.import_policy.replace(scheduled=tag.name == "u"))
        for tag in old.spec.tags
    ]
    harness.save_stream(old, old.replace(spec=old.spec.replace(tags=tags)))
    assert list(harness.schedule_rows()) == ["is:u"]


@pytest.mark.case("import 7-20")
def test_three_failed_checks_leave_one_condition(harness, reg):
    schedule_tags(harness, reg, "t")
    before = harness.stream()
    reg.fail_next("/a/b/manifests/.*", status=500, times=100)
    seen = []
    for _ in range(3):
        harness.check_now()
        seen.append(harness.stream())
    [history] = seen[0].status.tags
    assert [condition.status for condition in history.conditions] == ["False"]
    assert history.items == before.status.tags[0].items
    assert seen[0].metadata.generation == before.metadata.generation + 1
    assert seen[0] == seen[1] == seen[2]
    row = harness.schedule_rows()["is:t"]
    assert (row.last_outcome, row.consecutive_failures, row.error_code) == ("failed", 3, "http.5xx")


def test_failed_check_backs_off_exponentially(harness, reg):
    schedule_tags(harness, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=500, times=100)
    waits = []
    for _ in range(6):
        harness.check_now()
        row = harness.schedule_rows()["is:t"]
        waits.append((row.due_at - row.last_check_at).total_seconds())
    for number, wait in enumerate(waits):
        assert 0.5 * 60 * 2**number <= wait <= 1.5 * 60 * 2**number


def test_missing_tag_is_checked_again_at_interval(harness, reg):
    schedule_tags(harness, reg, "t")
    reg.delete("a/b", "t")
    harness.check_now()
    row = harness.schedule_rows()["is:t"]
    assert (row.last_outcome, row.error_code) == ("failed", "notfound.tag")
    assert 0.9 * 900 <= (row.due_at - row.last_check_at).total_seconds() <= 1.1 * 900
    assert harness.stream().status.tags[0].conditions[0].reason == "NotFound"


def test_recovered_unchanged_tag_loses_its_condition(harness, reg):
    schedule_tags(harness, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=500, times=1)
    harness.check_now()
    assert harness.stream().status.tags[0].conditions
    harness.check_now()
    assert harness.stream().status.tags[0].conditions == []
    assert (
        harness.schedule_rows()["is:t"].consecutive_failures,
        harness.schedule_rows()["is:t"].error_code,
    ) == (
        0,
        "",
    )


@pytest.mark.case("import 7-21")
def test_stream_edited_during_check_receives_new_image(harness, reg):
    schedule_tags(harness, reg, "t")

    def edit(_request):
        old = harness.stream()
        labels = {"edited": "meanwhile"}
        harness.save_stream(old, old.replace(metadata=old.metadata.replace(labels=labels)))

    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.on("/a/b/manifests/t", edit, times=1)
    harness.check_now()
    stream = harness.stream()
    assert stream.metadata.labels == {"edited": "meanwhile"}
    assert stream.status.tags[0].items[0].image == digest
    assert harness.schedule_rows()["is:t"].reason == "Updated"


@pytest.mark.case("import 7-22")
def test_scheduled_import_includes_pending_tags(harness, reg):
    schedule_tags(harness, reg, "t")
    old = harness.stream()
    waiting = old.spec.tags[0].replace(
        name="u",
        from_=old.spec.tags[0].from_.replace(name=f"{reg.host}/a/b:u"),
        generation=old.metadata.generation + 1,
        import_policy=old.spec.tags[0].import_policy.replace(scheduled=False),
    )
    spec = old.spec.replace(tags=[*old.spec.tags, waiting])
    harness.save_stream(old, old.replace(spec=spec))
    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    harness.check_now()
    [job] = scheduled_jobs(harness)
    assert [image.to.name for image in job.request.request.spec.images] == ["t", "u"]
    assert {history.tag for history in harness.stream().status.tags} == {"t", "u"}


@pytest.mark.case("import 7-23")
def test_rows_beyond_registry_rate_are_postponed(harness, reg):
    for number in range(6):
        reg.push("a/b", tag=f"n{number}", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    schedule_tags(harness, reg, *(f"n{number}" for number in range(6)))
    harness.make_due()
    ticked = harness.tick(rate_policy=CheckRatePolicy(rate=1.0))
    assert (ticked.claimed, ticked.sent, ticked.deferred) == (6, 3, 3)
    assert len(reg.requests) == 3
    waiting = sorted(
        (row for row in harness.schedule_rows().values() if row.reason == "Deferred"),
        key=lambda row: row.next_check_at,
    )
    gaps = [(b.next_check_at - a.next_check_at).total_seconds() for a, b in pairwise(waiting)]
    assert gaps == [1.0, 1.0]
    assert {row.due_at == row.next_check_at for row in waiting} == {False}
    assert harness.tick(rate_policy=CheckRatePolicy(rate=1.0)).claimed == 0
    harness.expire_waits()
    assert harness.tick(rate_policy=CheckRatePolicy(rate=1.0)).sent == 3
    assert {row.reason for row in harness.schedule_rows().values()} == {"Unchanged"}


def test_429_postpones_every_tag_of_registry(harness, reg):
    schedule_tags(harness, reg, "t", "u")
    before = harness.stream()
    reg.fail_next("/a/b/manifests/.*", status=429, times=100, Retry_After="3600")
    harness.check_now()
    requested = len(reg.requests)
    rows = harness.schedule_rows()
    assert {row.reason for row in rows.values()} == {"RateLimited"}
    for row in rows.values():
        assert (row.next_check_at - row.last_transition_at).total_seconds() >= 3590
        assert row.consecutive_failures == 0
    harness.expire_waits()
    harness.tick()
    assert len(reg.requests) == requested
    assert harness.stream() == before


def test_hanging_registry_does_not_delay_others(open_harness, reg, other_registry):
    harness = open_harness()
    other_registry.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    schedule_tags(harness, other_registry, "t", name="calm")
    schedule_tags(harness, reg, "t", name="hung")
    harness.context.client.config = replace(harness.context.client.config, head_seconds=2.0)
    reg.stall(".*/manifests/.*")
    harness.check_now()
    rows = harness.schedule_rows()
    assert rows["calm:t"].reason == "Unchanged"
    assert rows["hung:t"].last_outcome == "failed"
    assert rows["calm:t"].last_transition_at < rows["hung:t"].last_transition_at


def test_suspended_tags_are_not_checked_until_resumed(harness, reg):
    schedule_tags(harness, reg, "t", "u")
    annotate(harness, {SUSPEND: "true"})
    assert {row.reason for row in harness.schedule_rows().values()} == {"Suspended"}
    assert {row.next_check_at for row in harness.schedule_rows().values()} == {None}
    annotate(harness, {})
    assert harness.tick().first_scheduled == 2
    assert {row.suspended for row in harness.schedule_rows().values()} == {False}
    harness.check_now()
    assert len(head_requests(reg)) == 2


def test_stream_interval_is_clamped_to_bounds(harness, reg):
    schedule_tags(harness, reg, "t")
    for requested, seconds in (
        ("1h", 3600),
        ("5s", 60),
        ("900d", 7 * 24 * 3600),
        ("nonsense", 900),
    ):
        annotate(harness, {INTERVAL: requested})
        harness.tick()
        harness.check_now()
        row = harness.schedule_rows()["is:t"]
        assert 0.9 * seconds <= (row.due_at - row.last_check_at).total_seconds() <= 1.1 * seconds


def test_lost_batch_message_is_retried_after_lease(open_harness, reg):
    harness = open_harness(check_lease=timedelta(seconds=5))
    schedule_tags(harness, reg, "t")
    harness.make_due()
    assert harness.tick(execute=False).sent == 1
    assert harness.tick().claimed == 0
    harness.expire_waits()
    assert harness.tick().sent == 1
    assert harness.schedule_rows()["is:t"].reason == "Unchanged"
    assert len(reg.requests) == 1


def test_batch_delivered_twice_is_checked_once(harness, reg):
    schedule_tags(harness, reg, "t")
    harness.make_due()
    with transaction(harness.engine) as session:
        rules = DispatchConfig(
            Cadence(), harness.settings.check_lease, lambda _host: CheckRatePolicy()
        )
        batch, [ids], _ = claim_round(session, rules, now=precise_utc_now())
    run_checks(batch, ids, harness.context)
    run_checks(batch, ids, harness.context)
    assert len(reg.requests) == 1


def test_user_import_counts_as_check(harness, reg):
    schedule_tags(harness, reg, "t")
    harness.make_due()
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    assert harness.tick().claimed == 0
    row = harness.schedule_rows()["is:t"]
    assert 0.9 * 900 <= (row.due_at - row.last_check_at).total_seconds() <= 1.1 * 900


def test_transient_failure_of_unscheduled_import_is_retried(harness, reg):
    reg.fail_next("/a/b/manifests/.*", status=503, times=3)
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    row = harness.schedule_rows()["is:t"]
    assert (row.scheduled, row.consecutive_failures) == (False, 1)
    assert 30 <= (row.due_at - row.last_check_at).total_seconds() <= 90
    harness.check_now()
    assert harness.stream().status.tags[0].items
    assert harness.schedule_rows() == {}


def test_missing_tag_of_unscheduled_import_is_not_retried(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:nope", to="t")))
    assert harness.schedule_rows() == {}


def test_matching_secret_makes_refused_tag_due(harness, reg):
    reg.require_basic("me", "word")
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    row = harness.schedule_rows()["is:t"]
    assert (row.scheduled, row.due_at, row.error_code) == (False, None, "auth.required")
    save_pull_secret(harness, {"quay.io": ("me", "word")}, name="other")
    assert harness.tick().claimed == 0
    save_pull_secret(harness, {f"{reg.host}/a": ("me", "word")})
    assert harness.tick().sent == 1
    assert harness.stream().status.tags[0].items
    assert harness.schedule_rows() == {}


def test_followers_with_different_credentials_check_separately(harness, reg):
    reg.require_basic("me", "word")
    save_pull_secret(harness, {reg.host: ("me", "word")})
    save_pull_secret(harness, {reg.host: ("me", "word")}, namespace="two")
    for namespace in ("ns", "two"):
        image = img(f"{reg.host}/a/b:t", to="t", scheduled=True)
        harness.run(isi(image, namespace=namespace, name=f"in-{namespace}"))
    reg.forget_requests()
    harness.check_now()
    assert {row.reason for row in harness.schedule_rows().values()} == {"Unchanged"}
    assert len(head_requests(reg)) == 2


def test_disallowed_tag_is_not_requested(open_harness, reg):
    harness = open_harness()
    schedule_tags(harness, reg, "t")
    before = harness.stream()
    harness.context.rules = replace(
        harness.context.rules,
        allow_list=AllowList.parse([("quay.io", False)], internal_hostname=""),
    )
    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    harness.check_now()
    assert harness.stream() == before
    assert harness.schedule_rows()["is:t"].last_outcome == "failed"
    assert [line for line in reg.requests if line.startswith("GET")] == []
