"""All metrics of all processes, each defined once, with bounded labels.

Counters and histograms are incremented by the code that does the work, in one line beside its log
line. Values of the database, the broker and the host limiters are read at each scrape
(`ScrapedGauge`, `gauge_source`). Two counters have names of their own: `openshift_metrics`
(imports-7.8). No label is free text from outside: a process knows a limited number of registries by
name, the rest as `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from models.telemetry.metric_labels import code_label, reason_label, registry_label
from models.telemetry.openshift_metrics import OPENSHIFT_METRICS, collect_openshift_metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
_LATENESS_BUCKETS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_JOB_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

REGISTRY = CollectorRegistry()
"""The collectors that are exposed at /metrics."""


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """Name, kind, labels and help text of a metric, for docs/reference/metrics.md."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ScrapedGauge:
    """A gauge whose values a `gauge_source` reads at each scrape."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeSample:
    """One value of a gauge; `labels` are in the gauge's order."""

    gauge: ScrapedGauge
    value: float
    labels: tuple[str, ...] = ()


METRICS: list[MetricDescription] = []
"""Every metric, in the order of definition."""


def _counter(name: str, text: str, *labels: str) -> Counter:
    METRICS.append(MetricDescription(name, "counter", labels, text))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    METRICS.append(MetricDescription(name, "gauge", labels, text))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    METRICS.append(MetricDescription(name, "histogram", labels, text))
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


def _scraped_gauge(name: str, text: str, *labels: str) -> ScrapedGauge:
    METRICS.append(MetricDescription(name, "gauge", labels, text))
    return ScrapedGauge(name, text, labels)


disable_created_metrics()  # type: ignore[no-untyped-call]

CHECKS = _counter(
    "tagstream_schedule_checks_total", "Scheduled checks by outcome.", "registry", "outcome"
)
CHECK_LATENESS_SECONDS = _histogram(
    "tagstream_schedule_check_lateness_seconds",
    "Time between the due time of a tag and the end of its check.",
    buckets=_LATENESS_BUCKETS,
)
COALESCED_CHECKS = _counter(
    "tagstream_schedule_coalesced_checks_total",
    "Scheduled checks that the request of another tag answered.",
)
DISPATCH_DURATION_SECONDS = _histogram(
    "tagstream_dispatch_duration_seconds",
    "Duration of one dispatch: claiming due tags and publishing their batches.",
    buckets=_REQUEST_BUCKETS,
)
CLAIMED_TAGS = _counter(
    "tagstream_schedule_claimed_tags_total", "Due tags that a scheduler claimed for a check."
)

IMPORT_TARGETS = _counter(
    "tagstream_import_targets_total",
    "Imported tags and images by outcome (new, updated, unchanged, failed), and failed tag lists.",
    *("registry", "outcome", "reason", "trigger"),
)
JOB_DURATION_SECONDS = _histogram(
    "tagstream_job_duration_seconds",
    "Duration of import jobs; state is `failed` for a job that failed as a whole.",
    *("priority", "state"),
    buckets=_JOB_BUCKETS,
)

REGISTRY_REQUESTS = _counter(
    "tagstream_registry_requests_total",
    "Requests to registries and token servers; code is the HTTP status or the kind of failure.",
    *("registry", "method", "code"),
)
REGISTRY_REQUEST_DURATION_SECONDS = _histogram(
    "tagstream_registry_request_duration_seconds",
    "Duration of requests to registries, redirects and body included.",
    *("registry", "method"),
    buckets=_REQUEST_BUCKETS,
)
REGISTRY_RETRIES = _counter(
    "tagstream_registry_retries_total", "Retries of requests to registries.", "registry"
)
REGISTRY_LIMIT_WAIT_SECONDS = _histogram(
    "tagstream_registry_limit_wait_seconds",
    "Time that requests waited for our limits of a registry: concurrency, rate, quota, cooldown.",
    *("registry", "priority"),
    buckets=_WAIT_BUCKETS,
)

API_REQUESTS = _counter(
    "tagstream_api_requests_total", "Requests to the API.", "resource", "verb", "code"
)
API_REQUEST_DURATION_SECONDS = _histogram(
    "tagstream_api_request_duration_seconds",
    "Duration of requests to the API; watches are not measured.",
    "verb",
    buckets=_REQUEST_BUCKETS,
)
API_WATCHES = _gauge("tagstream_api_watches", "Open watches.", "resource")

QUOTA_REMAINING = _scraped_gauge(
    "tagstream_registry_quota_remaining_pulls",
    "Pulls that remain of the limit that a registry reported.",
    *("registry", "credential"),
)
QUOTA_LIMIT = _scraped_gauge(
    "tagstream_registry_quota_limit_pulls",
    "Pull limit that a registry reported.",
    *("registry", "credential"),
)
CIRCUIT_OPEN = _scraped_gauge(
    "tagstream_registry_circuit_open",
    "1 while the circuit breaker of a registry is open because it does not respond, else 0.",
    "registry",
)
REQUESTS_IN_FLIGHT = _scraped_gauge(
    "tagstream_registry_requests_in_flight",
    "Requests of this process in flight at a registry.",
    "registry",
)
REQUESTS_QUEUED = _scraped_gauge(
    "tagstream_registry_requests_queued",
    "Requests of this process that wait for a permit of a registry.",
    "registry",
)
SCHEDULED_TAGS = _scraped_gauge(
    "tagstream_schedule_tags",
    "Tags in the schedule: scheduled, or to be retried; estimated above 100,000.",
)
OVERDUE_TAGS = _scraped_gauge(
    "tagstream_schedule_overdue_tags", "Tags that are due and not yet checked; at most 100,000."
)
MAX_OVERDUE_SECONDS = _scraped_gauge(
    "tagstream_schedule_max_overdue_seconds",
    "Time since the due time of the tag that has been due longest.",
)
UNFINISHED_JOBS = _scraped_gauge(
    "tagstream_jobs", "Unfinished jobs; at most 10,000 of each state.", "state", "priority"
)
OLDEST_JOB_AGE_SECONDS = _scraped_gauge(
    "tagstream_jobs_oldest_age_seconds", "Age of the oldest unfinished job.", "state"
)
QUEUE_MESSAGES = _scraped_gauge(
    "tagstream_queue_messages", "Messages in the broker that no worker has received.", "queue"
)
SCRAPE_SOURCE_UP = _scraped_gauge(
    "tagstream_scrape_source_up",
    "1 if this source of values could be read at the scrape, else 0.",
    "source",
)

METRICS.extend(
    MetricDescription(each.name, "counter", each.labels, each.text) for each in OPENSHIFT_METRICS
)


_RequestMetrics = tuple[Counter, Histogram]
_REQUEST_METRICS: dict[tuple[str, str, int | str], _RequestMetrics] = {}


def count_request(registry: str, method: str, code: int | str, seconds: float) -> None:
    """Count and time a request to a registry.

    It runs for every request, so its label children are cached. `code` is the HTTP status, or the
    kind of failure where there was no response.
    """
    found = _REQUEST_METRICS.get((registry, method, code))
    if found is None:
        found = _request_metrics(registry, method, code)
    found[0].inc()
    found[1].observe(seconds)


def _request_metrics(registry: str, method: str, code: int | str) -> _RequestMetrics:
    name = registry_label(registry)
    code_text = code_label(code)
    found = (
        REGISTRY_REQUESTS.labels(name, method, code_text),
        REGISTRY_REQUEST_DURATION_SECONDS.labels(name, method),
    )
    if name == registry and code_text == str(code):  # bounds the cache
        _REQUEST_METRICS[registry, method, code] = found
    return found


def count_import(registry: str, *, outcome: str, reason: str, trigger: str, count: int = 1) -> None:
    """Count targets of an import that ended alike at one registry.

    `outcome` is `new`, `updated`, `unchanged` or `failed`; `reason` is the reason of the failure's
    Status.
    """
    reason_text = reason_label(reason)
    IMPORT_TARGETS.labels(registry_label(registry), outcome, reason_text, trigger).inc(count)


def observe_check(registry: str, outcome: str, *, lateness_seconds: float | None = None) -> None:
    """Count a scheduled check, and record how many seconds after its due time it ended."""
    CHECKS.labels(registry_label(registry), outcome).inc()
    if lateness_seconds is not None:
        CHECK_LATENESS_SECONDS.observe(max(0.0, lateness_seconds))


_WAIT_METRICS: dict[tuple[str, str], Histogram] = {}


def observe_permit_wait(registry: str, priority: str, seconds: float) -> None:
    """Record how long a request waited for a permit; its label children are cached as well."""
    found = _WAIT_METRICS.get((registry, priority))
    if found is None:
        name = registry_label(registry)
        found = REGISTRY_LIMIT_WAIT_SECONDS.labels(name, priority)
        if name == registry:
            _WAIT_METRICS[registry, priority] = found
    found.observe(seconds)


def observe_job(priority: str, *, failed: bool, seconds: float) -> None:
    """Record the duration of a finished job."""
    JOB_DURATION_SECONDS.labels(priority, "failed" if failed else "succeeded").observe(seconds)


def count_retry(registry: str) -> None:
    """Count a retry of a request."""
    REGISTRY_RETRIES.labels(registry_label(registry)).inc()


_API_METRICS: dict[tuple[str, str, int], _RequestMetrics] = {}


def count_api_request(resource: str, verb: str, code: int, seconds: float | None) -> None:
    """Count and time a request to the API.

    The labels are fixed words of the server, never text of a client. `seconds` is None for watches.
    """
    found = _API_METRICS.get((resource, verb, code))
    if found is None:
        found = (
            API_REQUESTS.labels(resource, verb, code_label(code)),
            API_REQUEST_DURATION_SECONDS.labels(verb),
        )
        _API_METRICS[resource, verb, code] = found
    found[0].inc()
    if seconds is not None:
        found[1].observe(seconds)


GaugeSource = Callable[[], Iterable[GaugeSample]]
_gauge_sources: dict[str, GaugeSource] = {}


@contextmanager
def gauge_source(name: str, read: GaugeSource) -> Iterator[None]:
    """Read `read` at every scrape while the block runs; of sources with one name the newest counts.

    `read` raises OSError, RuntimeError or TimeoutError where it cannot read: then its gauges are
    missing and `tagstream_scrape_source_up` is 0.
    """
    older = _gauge_sources.get(name)
    _gauge_sources[name] = read
    try:
        yield
    finally:
        if _gauge_sources.get(name) is read:
            del _gauge_sources[name]
            if older is not None:
                _gauge_sources[name] = older


class _ScrapeCollector:
    """The collector of all values that are read at a scrape."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering the collector reads no source."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each gauge that has a value."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, read in sorted(_gauge_sources.items()):
            values: list[GaugeSample] = []
            try:
                values.extend(read())
            except (OSError, RuntimeError, TimeoutError):
                values.append(GaugeSample(SCRAPE_SOURCE_UP, 0, (name,)))
            else:
                values.append(GaugeSample(SCRAPE_SOURCE_UP, 1, (name,)))
            for sample in values:
                gauge = sample.gauge
                family = families.get(gauge.name)
                if family is None:
                    family = families[gauge.name] = GaugeMetricFamily(
                        gauge.name, gauge.text, labels=gauge.labels
                    )
                family.add_metric(sample.labels, sample.value)
        yield from families.values()
        yield from collect_openshift_metrics()


REGISTRY.register(_ScrapeCollector())
ProcessCollector(registry=REGISTRY)


def render_metrics() -> bytes:
    """Render all metrics in Prometheus' text format."""
    text = generate_latest(REGISTRY)
    # They are counters, but the library insists on `_total` at the end of a counter's name.
    for openshift in OPENSHIFT_METRICS:
        text = text.replace(
            f"# TYPE {openshift.name} untyped".encode(), f"# TYPE {openshift.name} counter".encode()
        )
    return text
