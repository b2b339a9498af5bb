"""What is counted is told by the names that dashboards use, and strangers cannot make it grow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.telemetry import metrics
from models.telemetry.metric_labels import (
    MOST_REGISTRIES,
    OTHER,
    Bounded,
    code_label,
    registry_label,
)
from models.telemetry.metrics import (
    METRICS,
    TAGS_PENDING,
    Value,
    count_api,
    count_import,
    count_old,
    count_request,
    observe_check,
    observe_job,
    observe_wait,
    render,
    source,
)
from tests.scrapes import few_registries, grown, samples, told


@pytest.fixture(autouse=True)
def fresh():
    """Registries that other tests have met are not counted."""
    with few_registries():
        yield


def test_a_request_is_counted_and_timed_by_registry_method_and_code():
    def ask():
        count_request("quay.io", "HEAD", 200, 0.2)

    labels = {"registry": "quay.io", "method": "HEAD"}
    assert grown(ask, "tagstream_registry_requests_total", **labels, code="200") == 1
    assert grown(ask, "tagstream_registry_request_seconds_count", **labels) == 1
    assert grown(ask, "tagstream_registry_request_seconds_bucket", **labels, le="0.1") == 0
    assert grown(ask, "tagstream_registry_request_seconds_bucket", **labels, le="0.25") == 1


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_one_name(host):
    def ask():
        count_request(host, "GET", 429, 0.1)

    labels = {"registry": "docker.io", "method": "GET", "code": "429"}
    assert grown(ask, "tagstream_registry_requests_total", **labels) == 1


def test_an_import_is_counted_by_registry_result_reason_and_trigger():
    labels = {"registry": "quay.io", "result": "failed", "reason": "NotFound", "trigger": "user"}

    def end():
        count_import("quay.io", result="failed", reason="NotFound", trigger="user", count=3)

    assert grown(end, "tagstream_imports_total", **labels) == 3


@pytest.mark.parametrize(("scheduled", "flag"), [(True, "true"), (False, "false")])
def test_the_old_counters_have_the_old_names_and_labels(scheduled, flag):
    def succeed():
        count_old("quay.io", scheduled=scheduled, reason=None)

    def fail():
        count_old("quay.io", scheduled=scheduled, reason="")

    success, error = (
        f"openshift_imagestreamcontroller_{word}_count" for word in ("success", "error")
    )
    labels = {"scheduled": flag, "registry": "quay.io"}
    assert grown(succeed, success, **labels) == 1
    assert grown(fail, error, **labels, reason="Unknown") == 1
    text = render().decode()
    assert f"# TYPE {success} counter\n" in text
    assert f"# TYPE {error} counter\n" in text


def test_a_check_tells_how_late_it_was():
    def check():
        observe_check("quay.io", "same", late=4.0)

    assert grown(check, "tagstream_checks_total", registry="quay.io", outcome="same") == 1
    assert grown(check, "tagstream_check_lateness_seconds_bucket", le="5.0") == 1
    assert grown(check, "tagstream_check_lateness_seconds_bucket", le="2.0") == 0


def test_waits_jobs_and_requests_of_clients_are_told():
    def happen():
        observe_wait("quay.io", "bulk", 0.02)
        observe_job("bulk", failed=True, seconds=3)
        count_api("imagestreams", "list", 200, 0.01)

    before = samples()
    happen()
    after = samples()
    news = {key[0] for key, value in after.items() if value != before.get(key, 0.0)}
    assert {
        "tagstream_budget_wait_seconds_count",
        "tagstream_job_seconds_count",
        "tagstream_api_requests_total",
        "tagstream_api_request_seconds_count",
    } <= news


def registries():
    return {dict(key[1:]).get("registry", OTHER) for key in samples()}


def test_a_thousand_registries_are_told_as_a_few():
    before = registries()
    for number in range(1000):
        count_request(f"host-{number}.example", "GET", 200, 0.01)
        observe_wait(f"host-{number}.example", "bulk", 0.01)
    assert len(registries() - before) <= MOST_REGISTRIES
    others = {"registry": OTHER, "method": "GET", "code": "200"}
    assert told("tagstream_registry_requests_total", **others) >= 800
    assert len(metrics._CHILDREN) < 2000


def test_a_registry_cannot_invent_codes_without_end():
    assert len({code_label(code) for code in range(100, 1000)}) < 50
    assert code_label(404) == "404"
    assert code_label(299) == "2xx"
    assert code_label("timeout") == "timeout"


@given(st.lists(st.text(max_size=300), max_size=50))
def test_no_more_words_are_known_than_there_may_be(words):
    bounded = Bounded(5)
    assert len({bounded(word) for word in words}) <= 6


def test_a_word_that_is_known_stays_known():
    bounded = Bounded(1)
    assert [bounded("a"), bounded("b"), bounded("a")] == ["a", OTHER, "a"]
    assert registry_label("x" * 300) == OTHER


def test_a_source_is_read_at_a_scrape_as_long_as_it_is_open():
    with source("calendar", lambda: [Value(TAGS_PENDING, 7)]):
        assert told("tagstream_tags_pending") == 7
        assert told("tagstream_source_up", source="calendar") == 1
        with source("calendar", lambda: [Value(TAGS_PENDING, 8)]):
            assert told("tagstream_tags_pending") == 8
        assert told("tagstream_tags_pending") == 7
    assert ("tagstream_tags_pending",) not in samples()


def test_a_source_that_fails_spoils_no_scrape():
    def fail():
        raise OSError("away")

    with source("calendar", fail):
        assert told("tagstream_source_up", source="calendar") == 0
        assert ("tagstream_tags_pending",) not in samples()


def test_names_end_as_prometheus_wants_them():
    for metric in METRICS:
        if metric.name.startswith("openshift_"):
            continue
        assert re.fullmatch(r"tagstream_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
        assert metric.text.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
