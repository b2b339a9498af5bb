"""Imports are counted by registry, outcome, reason and trigger, and as in upstream."""

import pytest

from models.job_types import JobRequest, JobState, JobTrigger
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from tests.integration.imports.import_requests import img, isi
from tests.scrapes import few_registries, increase, sample_value, samples
from worker.imports.importer import run_import
from worker.job_queue import load_existing_job, utc_now

IMPORTS = "tagstream_import_targets_total"
SUCCESS = "openshift_imagestreamcontroller_success_count"
ERROR = "openshift_imagestreamcontroller_error_count"


# What is counted is the same on every database.
pytestmark = pytest.mark.parametrize("ready_database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def no_known_registries():
    """Start without known registries, however many other tests have used."""
    with few_registries():
        yield


def run(harness, request, trigger=JobTrigger.USER):
    with transaction(harness.engine) as session:
        job = create_job(session, JobRequest(request=request, trigger=trigger), now=utc_now())
    run_import(job.id, harness.context)
    return load_existing_job(harness.engine, job.id)


def target_count(registry, **labels):
    """Return how many targets of the registry ended with these labels."""
    end = {"outcome": "new", "reason": "", "trigger": "user", **labels}
    return sample_value(IMPORTS, registry=registry, **end)


def test_import_targets_are_counted_as_new_or_unchanged(harness, reg):
    request = isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:u", to="u"))
    run(harness, request)
    assert target_count(reg.host) == 2
    assert target_count(reg.host, outcome="unchanged") == 0
    run(harness, request, JobTrigger.SCHEDULE)
    assert target_count(reg.host, outcome="unchanged", trigger="schedule") == 2


def test_failed_import_is_counted_with_status_reason(harness, reg):
    run(harness, isi(img(f"{reg.host}/a/b:none", to="t")))
    assert target_count(reg.host, outcome="failed", reason="NotFound") == 1


def test_repository_import_counts_tags_and_failed_listing(harness, reg):
    run(harness, isi(repository=f"{reg.host}/a/b"))
    assert target_count(reg.host) == 2
    run(harness, isi(repository=f"{reg.host}/no/such"))
    assert target_count(reg.host, outcome="failed", reason="NotFound") == 1


def test_openshift_metrics_count_each_image_and_repository_once(harness, reg):
    images = [img(f"{reg.host}/a/b:{tag}", to=tag) for tag in ("t", "none")]
    where = {"scheduled": "false", "registry": reg.host}
    run(harness, isi(*images, repository=f"{reg.host}/a/b"))
    assert sample_value(SUCCESS, **where) == 2  # the repository, and `t`
    assert sample_value(ERROR, **where, reason="NotFound") == 1


def test_openshift_metrics_separate_scheduled_imports(harness, reg):
    run(harness, isi(img(f"{reg.host}/a/b:t", to="t")), JobTrigger.SCHEDULE)
    assert sample_value(SUCCESS, scheduled="true", registry=reg.host) == 1
    assert sample_value(SUCCESS, scheduled="false", registry=reg.host) == 0


def test_openshift_metrics_name_default_registry(open_harness):
    harness = open_harness(blocked_registries=["docker.io"])
    where = {"scheduled": "false", "registry": "docker.io", "reason": "Forbidden"}
    assert increase(lambda: run(harness, isi(img("team/app", to="t"))), ERROR, **where) == 1


def test_invalid_reference_is_counted_with_its_reason(harness):
    where = {"scheduled": "false", "registry": "", "reason": "InvalidImageReference"}

    assert increase(lambda: run(harness, isi(img("UPPER CASE", to="t"))), ERROR, **where) == 1


def test_refused_import_counts_every_target_as_failed(open_harness, reg):
    harness = open_harness(allowed_registries=[{"domain_name": "quay.io"}])
    job = run(harness, isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:u", to="u")))
    assert job.state is JobState.FAILED
    reason = job.result.error["reason"]
    assert target_count(reg.host, outcome="failed", reason=reason) == 2
    assert (
        sample_value("tagstream_job_duration_seconds_count", priority="interactive", state="failed")
        >= 1
    )


def test_registry_requests_are_counted_by_method_and_code(harness, reg):
    reg.fail_next("/a/b/manifests/t", status=503)
    run(harness, isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:none", to="x")))
    requests = {
        (labels["method"], labels["code"]): number
        for name, *pairs in samples()
        if name == "tagstream_registry_requests_total"
        and (labels := dict(pairs))["registry"] == reg.host
        and (number := sample_value(name, **labels))
    }
    assert requests["GET", "503"] == 1
    assert sample_value("tagstream_registry_retries_total", registry=reg.host) == 1
    assert requests["GET", "200"] >= 2
    assert sum(requests.values()) == len(reg.requests)
    waits = {"registry": reg.host, "priority": "interactive"}
    assert sample_value("tagstream_registry_limit_wait_seconds_count", **waits) == len(reg.requests)


def test_unreachable_registry_is_counted_as_broken(open_harness):
    harness = open_harness()
    run(harness, isi(img("127.0.0.1:1/a/b:t", to="t")))
    labels = {"registry": "127.0.0.1:1", "method": "GET", "code": "broken"}
    assert sample_value("tagstream_registry_requests_total", **labels) >= 1
