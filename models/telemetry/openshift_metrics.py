"""Two counters of imports under the names that OpenShift's dashboards use (imports-7.8).

Their names lack the ending `_total` that Prometheus' client library demands of counters, so they
are collected as samples without a type.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric

from models.telemetry.metric_labels import reason_label, registry_label


@dataclass(frozen=True, slots=True)
class OpenShiftMetric:
    """Name, help text and labels of one counter."""

    name: str
    text: str
    labels: tuple[str, ...]


_SUCCESS = OpenShiftMetric(
    "openshift_imagestreamcontroller_success_count",
    "Counts successful image stream imports, under OpenShift's name.",
    ("scheduled", "registry"),
)
_ERROR = OpenShiftMetric(
    "openshift_imagestreamcontroller_error_count",
    "Counts failed image stream imports, under OpenShift's name.",
    ("scheduled", "registry", "reason"),
)
OPENSHIFT_METRICS = (_SUCCESS, _ERROR)

_counts: dict[str, dict[tuple[str, ...], float]] = {each.name: {} for each in OPENSHIFT_METRICS}
_lock = threading.Lock()


def count_openshift_import(registry: str, *, scheduled: bool, reason: str | None) -> None:
    """Count a result under OpenShift's names (imports-7.8); `reason` None is a success."""
    flag = "true" if scheduled else "false"
    name = registry_label(registry)
    if reason is None:
        _increment(_SUCCESS, (flag, name))
    else:
        _increment(_ERROR, (flag, name, reason_label(reason or "Unknown")))


def _increment(openshift: OpenShiftMetric, labels: tuple[str, ...]) -> None:
    counts = _counts[openshift.name]
    with _lock:
        counts[labels] = counts.get(labels, 0.0) + 1


def collect_openshift_metrics() -> Iterator[Metric]:
    """Yield both counters with their samples."""
    for openshift in OPENSHIFT_METRICS:
        metric = Metric(openshift.name, openshift.text, "unknown")
        with _lock:
            counts = list(_counts[openshift.name].items())
        for labels, number in counts:
            metric.add_sample(
                openshift.name, dict(zip(openshift.labels, labels, strict=True)), number
            )
        yield metric
