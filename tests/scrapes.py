"""Reading what a process exposes, as Prometheus does."""

import contextlib
import re

import httpx

from models.telemetry import metrics
from models.telemetry.metric_labels import registry_label

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """Every sample of a page, by its name and labels; whatever is no sample is a mistake."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, number = _SAMPLE.fullmatch(line).groups()
            found[name, *sorted(_LABEL.findall(labels or ""))] = float(number)
    return found


def samples():
    """Every sample of this process."""
    return parse(metrics.render().decode())


def told(name, *, page=None, **labels):
    """The value of one sample; 0 where it is not told."""
    found = samples() if page is None else parse(page)
    return found.get((name, *sorted(labels.items())), 0.0)


def grown(act, name, **labels):
    """How much a sample grows while `act` is done."""
    before = told(name, **labels)
    act()
    return told(name, **labels) - before


@contextlib.contextmanager
def few_registries():
    """A process that has met no registry yet; afterwards it remembers those of before."""
    known, children, waits = registry_label._known, metrics._CHILDREN, metrics._WAITED
    kept = dict(known), dict(children), dict(waits)
    for each in (known, children, waits):
        each.clear()
    yield
    for each, before in zip((known, children, waits), kept, strict=True):
        each.clear()
        each.update(before)


def scrape(role):
    """The page of a process that tells in its log where it serves it."""
    found = re.search(r'"port": (\d+), "event": "metrics.served"', role.output)
    assert found, role.output
    return httpx.get(f"http://127.0.0.1:{found[1]}/metrics", timeout=10).text
