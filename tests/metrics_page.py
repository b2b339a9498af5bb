"""docs/reference/metrics.md, made from the metrics themselves by `make docs`."""

from pathlib import Path

from models.telemetry.metric_labels import MOST_REGISTRIES
from models.telemetry.metrics import METRICS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
HEAD = f"""\
# Metrics

Every process tells them in Prometheus' text format: where `TAGSTREAM_METRICS_LISTEN` says, and the
API at `/metrics` too, to a token of a caller who may list image streams in all namespaces (roles
`view`, `auditor`, `admin`, ... without a namespace). Written by `make docs`; a test compares.

- Each process counts its own work: add counters up with `sum`. What is read of the database or the
  broker (`tagstream_tags_…`, `tagstream_schedule_…`, `tagstream_jobs`, `tagstream_oldest_…`,
  `tagstream_queue_length`) is the same in every process: take the `max`. It is read at most every
  five seconds, and never for more than a hundredth of the time. The scheduler's metronome has no
  database and tells of its process alone; its ticks are timed by the worker that carries them.
- `registry` is the host as references name it; Docker Hub is `docker.io`. A process knows the first
  {MOST_REGISTRIES} by name, the rest is `other`, so that nobody can make it remember names without
  end. `code` is the status where it is a usual one, else its class (`5xx`), or `timeout`, `tls`,
  `broken`, `cancelled` where there was no answer.
- Histograms end in `_bucket`, `_count` and `_sum`. Beside these there are `process_…` for memory,
  processor and files.
- The two `openshift_…` counters are those of OpenShift's controller, for dashboards that have them:
  each image and each repository of a request counts once.

| metric | kind | labels | what it tells |
|---|---|---|---|
"""


def render():
    """A row per metric: name, kind, labels, what it tells."""
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
