"""Alerts, dashboard and pages use existing metrics only, and every metric is documented."""

import json
import re

import pytest
import yaml

from models.telemetry.metrics import METRICS, render_metrics
from tests import metrics_page
from tests.conventions.test_files import ROOT, TRACKED

ALERTS = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BOARD = json.loads((ROOT / "deploy/grafana/tagstream.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]
EVERYWHERE = {"job", "instance"}
OURS = re.compile(r"\b(?:tagstream|openshift_imagestreamcontroller)_[a-z_]+[a-z]\b")
NOT_METRICS = {"tagstream_key", "tagstream_changes"}  # a secret's file, a channel


def _known():
    """Return the labels of every series by its name."""
    found = {"up": EVERYWHERE}
    for metric in METRICS:
        labels = {*metric.labels, *EVERYWHERE}
        if metric.kind == "histogram":
            found[f"{metric.name}_bucket"] = labels | {"le"}
            found.update({f"{metric.name}_{end}": labels for end in ("count", "sum")})
        else:
            found[metric.name] = labels
    for name in re.findall(r"^# TYPE (process_\w+)", render_metrics().decode(), re.MULTILINE):
        found[name] = EVERYWHERE
    return found


KNOWN = _known()


def series_of(expression):
    """Yield the series of an expression: name, and the labels of its matchers."""
    bare = re.sub(r"\[[^\]]*\]", "", expression)
    grouped = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    for name, matchers in re.findall(
        r"(?<![\w\"$])([a-z_]+)\b(?!\s*\()(\{[^}]*\})?", _without_texts(grouped)
    ):
        if name not in {"or", "and", "unless", "offset", "d", "bool"}:
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def _without_texts(expression):
    return re.sub(r'"[^"]*"', '""', expression)


def groupings(expression):
    """Return the labels that an expression groups by."""
    found = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    return {label.strip() for each in found for label in each.split(",")}


def check(expression):
    """Fail where an expression uses a series or label that no process exposes."""
    series = list(series_of(expression))
    assert series, expression
    for name, labels in series:
        assert name in KNOWN, f"{name} in {expression}"
        assert labels <= KNOWN[name], f"{labels} of {name}"
        assert groupings(expression) <= KNOWN[name], f"{name} in {expression}"
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_uses_existing_series(rule):
    check(rule["expr"])
    queries = re.findall(r'query "([^"]+)"', str(rule["annotations"]))
    for query in queries:
        check(query)
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert named <= groupings(rule["expr"]) | ({"instance"} if "up{" in rule["expr"] else set())
    assert {"expr", "for", "labels", "annotations"} <= set(rule)
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize(("panel", "target"), TARGETS, ids=lambda it: it.get("title", ""))
def test_panel_uses_existing_series(panel, target):
    expression = target["expr"].replace("$__rate_interval", "5m")
    check(expression)
    legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert legend <= groupings(expression) | EVERYWHERE
    variables = set(re.findall(r"\$\{?(\w+)", json.dumps(panel))) - {"__rate_interval"}
    assert variables <= {each["name"] for each in BOARD["templating"]["list"]}


def test_check_finds_wrong_names_and_labels():
    for wrong in (
        "sum(rate(tagstream_nothing_total[5m]))",
        'tagstream_jobs{color="red"}',
        "sum by (color) (tagstream_jobs)",
    ):
        with pytest.raises(AssertionError):
            check(wrong)


def test_dashboard_has_the_form_that_grafana_reads():
    assert BOARD["title"] == BOARD["uid"] == "tagstream"
    assert BOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    used = set()
    for panel in BOARD["panels"]:
        position = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & used, panel["title"]
        used |= cells
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def test_every_metric_has_a_panel():
    shown = {name for _, target in TARGETS for name, _ in series_of(target["expr"])}
    missing = [
        metric.name
        for metric in METRICS
        if not any(name.startswith(metric.name) for name in shown)
        and not metric.name.startswith("openshift_")
    ]
    assert set(missing) <= {"tagstream_registry_quota_limit_pulls", "tagstream_scrape_source_up"}


def test_every_alert_is_documented():
    page = (ROOT / "docs/howto/monitoring.md").read_text()
    assert set(re.findall(r"^\| `(Tagstream\w+)`", page, re.MULTILINE)) == {
        rule["alert"] for rule in RULES
    }


def test_metrics_page_is_up_to_date():
    assert metrics_page.PAGE.read_text() == metrics_page.render()


@pytest.mark.parametrize(
    "name", [n for n in TRACKED if n.endswith(".md") or n.startswith("deploy/")]
)
def test_named_metrics_exist(name):
    text = (ROOT / name).read_text()
    if name == "CHANGELOG.md":  # the first column of its tables has the old names
        text = re.sub(r"^\| `[^|]*\|", "", text, flags=re.MULTILINE)
    endings = re.sub(r"[a-z_]+…", "", text)
    assert {each for each in OURS.findall(endings) if each not in KNOWN} <= NOT_METRICS | {
        metric.name for metric in METRICS
    }
