"""What is counted and timed: every metric of every process, defined once, with bounded labels.

Counters and histograms live here and are told by whoever does the work, in one line beside the log
line. What a database, a broker or the registries' hosts know is read when somebody scrapes
(`Reading`, `source`). Two counters keep the names that OpenShift's dashboards know (`import.md`
6.10). No label is what a stranger wrote: a process knows so many registries by name, and the
rest as `other`.
"""

from __future__ import annotations

import threading
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

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAITS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
_LATE = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_JOBS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

REGISTRY = CollectorRegistry()
"""All that is exposed."""


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as docs/reference/metrics.md tells it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A gauge that nobody sets: its values are read at each scrape, by a `source`."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What was read of a gauge; `labels` in its order."""

    reading: Reading
    number: float
    labels: tuple[str, ...] = ()


METRICS: list[Described] = []
"""Every metric, in the order of this page."""


def _counter(name: str, text: str, *labels: str) -> Counter:
    METRICS.append(Described(name, "counter", labels, text))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    METRICS.append(Described(name, "gauge", labels, text))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    METRICS.append(Described(name, "histogram", labels, text))
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


def _reading(name: str, text: str, *labels: str) -> Reading:
    METRICS.append(Described(name, "gauge", labels, text))
    return Reading(name, text, labels)


disable_created_metrics()  # type: ignore[no-untyped-call]

CHECKS = _counter(
    "tagstream_checks_total", "Scheduled checks, by what was decided.", "registry", "outcome"
)
LATENESS = _histogram(
    "tagstream_check_lateness_seconds", "How long after its turn a tag was checked.", buckets=_LATE
)
SHARED = _counter(
    "tagstream_checks_shared_total", "Scheduled checks answered by another tag's request."
)
TICK = _histogram(
    "tagstream_tick_seconds", "How long a tick of the scheduler took.", buckets=_QUICK
)
CLAIMED = _counter("tagstream_claimed_total", "Tags that ticks took out of the calendar.")

IMPORTS = _counter(
    "tagstream_imports_total",
    "Tags and images asked of a registry: changed, unchanged or failed; listings that failed.",
    *("registry", "result", "reason", "trigger"),
)
JOB_SECONDS = _histogram(
    "tagstream_job_seconds",
    "How long jobs took; those that came to nothing as a whole are `failed`.",
    *("lane", "state"),
    buckets=_JOBS,
)

REQUESTS = _counter(
    "tagstream_registry_requests_total",
    "Requests to registries and their token servers; code is the HTTP status or what broke.",
    *("registry", "method", "code"),
)
REQUEST_SECONDS = _histogram(
    "tagstream_registry_request_seconds",
    "How long a registry took to answer, redirects and body included.",
    *("registry", "method"),
    buckets=_QUICK,
)
RETRIES = _counter(
    "tagstream_registry_retries_total", "Requests to registries that were tried again.", "registry"
)
BUDGET_WAIT = _histogram(
    "tagstream_budget_wait_seconds",
    "How long requests waited for their turn at a registry.",
    *("registry", "lane"),
    buckets=_WAITS,
)

API_REQUESTS = _counter(
    "tagstream_api_requests_total", "Requests to the API.", "resource", "verb", "code"
)
API_SECONDS = _histogram(
    "tagstream_api_request_seconds",
    "How long the API took to answer; watches are not timed.",
    "verb",
    buckets=_QUICK,
)
API_WATCHES = _gauge("tagstream_api_watches", "Watches that are open.", "resource")

QUOTA = _reading(
    "tagstream_quota_remaining",
    "What a registry said is left of its pull limit.",
    *("registry", "credential"),
)
QUOTA_LIMIT = _reading(
    "tagstream_quota_limit", "The pull limit that a registry told.", "registry", "credential"
)
BREAKER = _reading(
    "tagstream_breaker_open",
    "1 while a registry is left alone because it does not answer, else 0.",
    "registry",
)
IN_FLIGHT = _reading(
    "tagstream_registry_in_flight", "Requests in flight at a registry, of this process.", "registry"
)
WAITING = _reading(
    "tagstream_registry_waiting", "Requests in line for a registry, of this process.", "registry"
)
TAGS_SCHEDULED = _reading(
    "tagstream_tags_scheduled",
    "Tags in the calendar: scheduled, or to be tried again; estimated past 100,000.",
)
TAGS_PENDING = _reading(
    "tagstream_tags_pending", "Tags that are due and not yet checked; 100,000 at most."
)
OLDEST_DUE = _reading(
    "tagstream_schedule_oldest_due_seconds", "For how long the tag that waits longest has been due."
)
JOBS = _reading(
    "tagstream_jobs", "Jobs that are not finished; 10,000 of a state at most.", "state", "lane"
)
OLDEST_JOB = _reading(
    "tagstream_oldest_job_seconds", "The age of the oldest job that is not finished.", "state"
)
QUEUE = _reading(
    "tagstream_queue_length", "Messages in the broker that no worker has taken yet.", "queue"
)
SOURCE_UP = _reading(
    "tagstream_source_up", "Whether what is read at a scrape could be read.", "source"
)

_OLD = {
    name: Reading(name, text, labels)
    for name, text, labels in (
        (
            "openshift_imagestreamcontroller_success_count",
            "Counts successful image stream imports, under OpenShift's name.",
            ("scheduled", "registry"),
        ),
        (
            "openshift_imagestreamcontroller_error_count",
            "Counts failed image stream imports, under OpenShift's name.",
            ("scheduled", "registry", "reason"),
        ),
    )
}
METRICS.extend(Described(old.name, "counter", old.labels, old.text) for old in _OLD.values())


_Children = tuple[Counter, Histogram]
_CHILDREN: dict[tuple[str, str, int | str], _Children] = {}


def count_request(registry: str, method: str, code: int | str, seconds: float) -> None:
    """An answer of a registry, or what broke. On the way of every request, so it is quick."""
    found = _CHILDREN.get((registry, method, code))
    if found is None:
        found = _resolve(registry, method, code)
    found[0].inc()
    found[1].observe(seconds)


def _resolve(registry: str, method: str, code: int | str) -> _Children:
    name = registry_label(registry)
    word = code_label(code)
    found = (REQUESTS.labels(name, method, word), REQUEST_SECONDS.labels(name, method))
    if name == registry and word == str(code):  # as few as there are labels
        _CHILDREN[registry, method, code] = found
    return found


def count_import(registry: str, *, result: str, reason: str, trigger: str, count: int = 1) -> None:
    """Targets of an import, at one registry, that ended alike."""
    word = reason_label(reason)
    IMPORTS.labels(registry_label(registry), result, word, trigger).inc(count)


def count_old(registry: str, *, scheduled: bool, reason: str | None) -> None:
    """A result under OpenShift's names (`import.md` 6.10); `reason` None is a success."""
    flag = "true" if scheduled else "false"
    name = registry_label(registry)
    if reason is None:
        _add_old("openshift_imagestreamcontroller_success_count", (flag, name))
    else:
        word = reason_label(reason or "Unknown")
        _add_old("openshift_imagestreamcontroller_error_count", (flag, name, word))


def observe_check(registry: str, outcome: str, *, late: float | None = None) -> None:
    """A scheduled check, and how many seconds after its turn it came."""
    CHECKS.labels(registry_label(registry), outcome).inc()
    if late is not None:
        LATENESS.observe(max(0.0, late))


_WAITED: dict[tuple[str, str], Histogram] = {}


def observe_wait(registry: str, lane: str, seconds: float) -> None:
    """How long a request waited for its turn; as quick as `count_request`."""
    found = _WAITED.get((registry, lane))
    if found is None:
        name = registry_label(registry)
        found = BUDGET_WAIT.labels(name, lane)
        if name == registry:
            _WAITED[registry, lane] = found
    found.observe(seconds)


def observe_job(lane: str, *, failed: bool, seconds: float) -> None:
    """A job is over."""
    JOB_SECONDS.labels(lane, "failed" if failed else "succeeded").observe(seconds)


def count_retry(registry: str) -> None:
    """A request is tried again."""
    RETRIES.labels(registry_label(registry)).inc()


_ANSWERED: dict[tuple[str, str, int], _Children] = {}


def count_api(resource: str, verb: str, code: int, seconds: float | None) -> None:
    """A request to the API; all three are words of ours, never the client's."""
    found = _ANSWERED.get((resource, verb, code))
    if found is None:
        found = (API_REQUESTS.labels(resource, verb, code_label(code)), API_SECONDS.labels(verb))
        _ANSWERED[resource, verb, code] = found
    found[0].inc()
    if seconds is not None:
        found[1].observe(seconds)


_old_counts: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _OLD}
_old_lock = threading.Lock()


def _add_old(name: str, labels: tuple[str, ...]) -> None:
    counts = _old_counts[name]
    with _old_lock:
        counts[labels] = counts.get(labels, 0.0) + 1


Source = Callable[[], Iterable[Value]]
_sources: dict[str, Source] = {}


@contextmanager
def source(name: str, read: Source) -> Iterator[None]:
    """`read` is asked at every scrape, as long as the block lasts; of equal names the newest."""
    older = _sources.get(name)
    _sources[name] = read
    try:
        yield
    finally:
        if _sources.get(name) is read:
            del _sources[name]
            if older is not None:
                _sources[name] = older


class _Readings:
    """The collector of everything that is read at a scrape."""

    def describe(self) -> Iterable[Metric]:
        """Nothing is read just to be registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family for each gauge that has a value."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, read in sorted(_sources.items()):
            values: list[Value] = []
            try:
                values.extend(read())
            except (OSError, RuntimeError, TimeoutError):
                values.append(Value(SOURCE_UP, 0, (name,)))
            else:
                values.append(Value(SOURCE_UP, 1, (name,)))
            for value in values:
                reading = value.reading
                family = families.get(reading.name)
                if family is None:
                    family = families[reading.name] = GaugeMetricFamily(
                        reading.name, reading.text, labels=reading.labels
                    )
                family.add_metric(value.labels, value.number)
        yield from families.values()
        yield from _collect_old()


def _collect_old() -> Iterator[Metric]:
    for name, reading in _OLD.items():
        metric = Metric(name, reading.text, "unknown")
        with _old_lock:
            counts = list(_old_counts[name].items())
        for labels, number in counts:
            metric.add_sample(name, dict(zip(reading.labels, labels, strict=True)), number)
        yield metric


REGISTRY.register(_Readings())
ProcessCollector(registry=REGISTRY)


def render() -> bytes:
    """Everything, in Prometheus' text format."""
    text = generate_latest(REGISTRY)
    for name in _OLD:  # counters, though their names lack the ending that the library insists on
        text = text.replace(f"# TYPE {name} untyped".encode(), f"# TYPE {name} counter".encode())
    return text
