"""Read the metrics of a process as Prometheus scrapes them."""

import contextlib
import re

import httpx

from models.telemetry import metrics
from models.telemetry.metric_labels import registry_label

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """Return every sample of a page by name and labels; fail at a malformed line."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, number = _SAMPLE.fullmatch(line).groups()
            found[name, *sorted(_LABEL.findall(labels or ""))] = float(number)
    return found


def samples():
    """Return every sample of this process."""
    return parse(metrics.render_metrics().decode())


def sample_value(name, *, page=None, **labels):
    """Return the value of one sample; 0 where it is missing."""
    found = samples() if page is None else parse(page)
    return found.get((name, *sorted(labels.items())), 0.0)


def increase(act, name, **labels):
    """Return how much a sample grows while `act` runs."""
    before = sample_value(name, **labels)
    act()
    return sample_value(name, **labels) - before


@contextlib.contextmanager
def few_registries():
    """Make the process know no registry; afterwards it knows those of before again."""
    known, children, waits = registry_label._known, metrics._REQUEST_METRICS, metrics._WAIT_METRICS
    saved = dict(known), dict(children), dict(waits)
    for each in (known, children, waits):
        each.clear()
    yield
    for each, before in zip((known, children, waits), saved, strict=True):
        each.clear()
        each.update(before)


def scrape(role):
    """Fetch the page of a process whose log names the port."""
    found = re.search(r'"port": (\d+), "event": "metrics.served"', role.output)
    assert found, role.output
    return httpx.get(f"http://127.0.0.1:{found[1]}/metrics", timeout=10).text
