"""What imports came to is counted: by registry, result, reason and trigger, and the old way."""

import pytest

from models.job_types import Asker, JobRequest, JobState
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from tests.integration.imports.conftest import img, isi
from tests.scrapes import few_registries, grown, samples, told
from worker.imports.importer import run_import
from worker.job_queue import read_job, utc_now

IMPORTS = "tagstream_imports_total"
SUCCESS = "openshift_imagestreamcontroller_success_count"
ERROR = "openshift_imagestreamcontroller_error_count"


# What is counted is the same on every database.
pytestmark = pytest.mark.parametrize("ready_database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def fresh():
    """However many registries other tests have met."""
    with few_registries():
        yield


def run(house, request, asker=Asker.USER):
    with transaction(house.engine) as session:
        job = create_job(session, JobRequest(request=request, asker=asker), now=utc_now())
    run_import(job.id, house.runtime)
    return read_job(house.engine, job.id)


def counted(registry, **labels):
    """How often imports from there ended so."""
    end = {"result": "changed", "reason": "", "trigger": "user", **labels}
    return told(IMPORTS, registry=registry, **end)


def test_an_import_that_changed_something_and_one_that_did_not(house, reg):
    wish = isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:u", to="u"))
    run(house, wish)
    assert counted(reg.host) == 2
    assert counted(reg.host, result="unchanged") == 0
    run(house, wish, Asker.SCHEDULE)
    assert counted(reg.host, result="unchanged", trigger="schedule") == 2


def test_a_failure_is_counted_with_the_reason_of_its_status(house, reg):
    run(house, isi(img(f"{reg.host}/a/b:none", to="t")))
    assert counted(reg.host, result="failed", reason="NotFound") == 1


def test_a_repository_counts_its_tags_and_a_listing_that_failed(house, reg):
    run(house, isi(repository=f"{reg.host}/a/b"))
    assert counted(reg.host) == 2
    run(house, isi(repository=f"{reg.host}/no/such"))
    assert counted(reg.host, result="failed", reason="NotFound") == 1


def test_the_old_counters_count_each_image_and_each_repository_once(house, reg):
    images = [img(f"{reg.host}/a/b:{tag}", to=tag) for tag in ("t", "none")]
    where = {"scheduled": "false", "registry": reg.host}
    run(house, isi(*images, repository=f"{reg.host}/a/b"))
    assert told(SUCCESS, **where) == 2  # the repository, and `t`
    assert told(ERROR, **where, reason="NotFound") == 1


def test_the_old_counters_know_what_was_scheduled(house, reg):
    run(house, isi(img(f"{reg.host}/a/b:t", to="t")), Asker.SCHEDULE)
    assert told(SUCCESS, scheduled="true", registry=reg.host) == 1
    assert told(SUCCESS, scheduled="false", registry=reg.host) == 0


def test_the_registry_of_the_old_counters_is_the_one_that_is_meant(open_house):
    house = open_house(blocked_registries=["docker.io"])
    where = {"scheduled": "false", "registry": "docker.io", "reason": "Forbidden"}
    assert grown(lambda: run(house, isi(img("team/app", to="t"))), ERROR, **where) == 1


def test_a_reference_that_cannot_be_read_is_counted_by_its_own_reason(house):
    where = {"scheduled": "false", "registry": "", "reason": "InvalidImageReference"}

    assert grown(lambda: run(house, isi(img("UPPER CASE", to="t"))), ERROR, **where) == 1


def test_an_import_that_comes_to_nothing_as_a_whole_fails_for_all_that_it_asked(open_house, reg):
    house = open_house(allowed_registries=[{"domain_name": "quay.io"}])
    job = run(house, isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:u", to="u")))
    assert job.state is JobState.FAILED
    reason = job.result.error["reason"]
    assert counted(reg.host, result="failed", reason=reason) == 2
    assert told("tagstream_job_seconds_count", lane="interactive", state="failed") >= 1


def test_requests_are_counted_by_method_and_code(house, reg):
    reg.fail_next("/a/b/manifests/t", status=503)
    run(house, isi(img(f"{reg.host}/a/b:t", to="t"), img(f"{reg.host}/a/b:none", to="x")))
    requests = {
        (labels["method"], labels["code"]): number
        for name, *pairs in samples()
        if name == "tagstream_registry_requests_total"
        and (labels := dict(pairs))["registry"] == reg.host
        and (number := told(name, **labels))
    }
    assert requests["GET", "503"] == 1
    assert told("tagstream_registry_retries_total", registry=reg.host) == 1
    assert requests["GET", "200"] >= 2
    assert sum(requests.values()) == len(reg.requests)
    waits = {"registry": reg.host, "lane": "interactive"}
    assert told("tagstream_budget_wait_seconds_count", **waits) == len(reg.requests)


def test_a_registry_that_is_not_there_is_counted_as_broken(open_house):
    house = open_house()
    run(house, isi(img("127.0.0.1:1/a/b:t", to="t")))
    labels = {"registry": "127.0.0.1:1", "method": "GET", "code": "broken"}
    assert told("tagstream_registry_requests_total", **labels) >= 1
