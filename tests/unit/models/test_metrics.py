"""Metrics have the names that dashboards use, and their labels are bounded."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.telemetry import metrics
from models.telemetry.metric_labels import (
    MAX_REGISTRY_LABELS,
    OTHER_LABEL,
    BoundedLabel,
    code_label,
    registry_label,
)
from models.telemetry.metrics import (
    METRICS,
    OVERDUE_TAGS,
    GaugeSample,
    count_api_request,
    count_import,
    count_request,
    gauge_source,
    observe_check,
    observe_job,
    observe_permit_wait,
    render_metrics,
)
from models.telemetry.openshift_metrics import count_openshift_import
from tests.scrapes import few_registries, increase, sample_value, samples


@pytest.fixture(autouse=True)
def no_known_registries():
    """Forget the registries of other tests."""
    with few_registries():
        yield


def test_registry_request_is_counted_by_registry_method_and_code():
    def send():
        count_request("quay.io", "HEAD", 200, 0.2)

    labels = {"registry": "quay.io", "method": "HEAD"}
    duration = "tagstream_registry_request_duration_seconds"
    assert increase(send, "tagstream_registry_requests_total", **labels, code="200") == 1
    assert increase(send, f"{duration}_count", **labels) == 1
    assert increase(send, f"{duration}_bucket", **labels, le="0.1") == 0
    assert increase(send, f"{duration}_bucket", **labels, le="0.25") == 1


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_registry_label_of_docker_hub_is_docker_io(host):
    def send():
        count_request(host, "GET", 429, 0.1)

    labels = {"registry": "docker.io", "method": "GET", "code": "429"}
    assert increase(send, "tagstream_registry_requests_total", **labels) == 1


def test_import_is_counted_by_registry_outcome_reason_and_trigger():
    labels = {"registry": "quay.io", "outcome": "failed", "reason": "NotFound", "trigger": "user"}

    def count():
        count_import("quay.io", outcome="failed", reason="NotFound", trigger="user", count=3)

    assert increase(count, "tagstream_import_targets_total", **labels) == 3


@pytest.mark.parametrize(("scheduled", "flag"), [(True, "true"), (False, "false")])
def test_openshift_metrics_have_their_names_and_labels(scheduled, flag):
    def succeed():
        count_openshift_import("quay.io", scheduled=scheduled, reason=None)

    def fail():
        count_openshift_import("quay.io", scheduled=scheduled, reason="")

    success, error = (
        f"openshift_imagestreamcontroller_{result}_count" for result in ("success", "error")
    )
    labels = {"scheduled": flag, "registry": "quay.io"}
    assert increase(succeed, success, **labels) == 1
    assert increase(fail, error, **labels, reason="Unknown") == 1
    text = render_metrics().decode()
    assert f"# TYPE {success} counter\n" in text
    assert f"# TYPE {error} counter\n" in text


def test_check_records_its_lateness():
    def check():
        observe_check("quay.io", "unchanged", lateness_seconds=4.0)

    labels = {"registry": "quay.io", "outcome": "unchanged"}
    assert increase(check, "tagstream_schedule_checks_total", **labels) == 1
    assert increase(check, "tagstream_schedule_check_lateness_seconds_bucket", le="5.0") == 1
    assert increase(check, "tagstream_schedule_check_lateness_seconds_bucket", le="2.0") == 0


def test_waits_jobs_and_api_requests_are_recorded():
    def record():
        observe_permit_wait("quay.io", "bulk", 0.02)
        observe_job("bulk", failed=True, seconds=3)
        count_api_request("imagestreams", "list", 200, 0.01)

    before = samples()
    record()
    after = samples()
    changed = {key[0] for key, value in after.items() if value != before.get(key, 0.0)}
    assert {
        "tagstream_registry_limit_wait_seconds_count",
        "tagstream_job_duration_seconds_count",
        "tagstream_api_requests_total",
        "tagstream_api_request_duration_seconds_count",
    } <= changed


def registry_labels():
    return {dict(key[1:]).get("registry", OTHER_LABEL) for key in samples()}


def test_registry_label_is_bounded():
    before = registry_labels()
    for number in range(1000):
        count_request(f"host-{number}.example", "GET", 200, 0.01)
        observe_permit_wait(f"host-{number}.example", "bulk", 0.01)
    assert len(registry_labels() - before) <= MAX_REGISTRY_LABELS
    others = {"registry": OTHER_LABEL, "method": "GET", "code": "200"}
    assert sample_value("tagstream_registry_requests_total", **others) >= 800
    assert len(metrics._REQUEST_METRICS) < 2000


def test_code_label_is_bounded():
    assert len({code_label(code) for code in range(100, 1000)}) < 50
    assert code_label(404) == "404"
    assert code_label(299) == "2xx"
    assert code_label("timeout") == "timeout"


@given(st.lists(st.text(max_size=300), max_size=50))
def test_bounded_label_never_exceeds_its_limit(values):
    bounded = BoundedLabel(5)
    assert len({bounded(value) for value in values}) <= 6


def test_bounded_label_keeps_known_values():
    bounded = BoundedLabel(1)
    assert [bounded("a"), bounded("b"), bounded("a")] == ["a", OTHER_LABEL, "a"]
    assert registry_label("x" * 300) == OTHER_LABEL


def test_gauge_source_is_read_while_it_is_open():
    with gauge_source("schedule", lambda: [GaugeSample(OVERDUE_TAGS, 7)]):
        assert sample_value("tagstream_schedule_overdue_tags") == 7
        assert sample_value("tagstream_scrape_source_up", source="schedule") == 1
        with gauge_source("schedule", lambda: [GaugeSample(OVERDUE_TAGS, 8)]):
            assert sample_value("tagstream_schedule_overdue_tags") == 8
        assert sample_value("tagstream_schedule_overdue_tags") == 7
    assert ("tagstream_schedule_overdue_tags",) not in samples()


def test_gauge_source_that_fails_leaves_the_scrape_intact():
    def fail():
        raise OSError("unavailable")

    with gauge_source("schedule", fail):
        assert sample_value("tagstream_scrape_source_up", source="schedule") == 0
        assert ("tagstream_schedule_overdue_tags",) not in samples()


def test_metric_names_follow_prometheus_conventions():
    for metric in METRICS:
        if metric.name.startswith("openshift_"):
            continue
        assert re.fullmatch(r"tagstream_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
        assert metric.text.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
