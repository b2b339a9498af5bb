"""What deploy/ and the pages ask Prometheus for is there, and everything that is there is told."""

import json
import re

import pytest
import yaml

from models.telemetry.metrics import METRICS, render
from tests import metrics_page
from tests.conventions.test_files import HOME, TRACKED

ALERTS = yaml.safe_load((HOME / "deploy/alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BOARD = json.loads((HOME / "deploy/grafana/tagstream.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]
EVERYWHERE = {"job", "instance"}
OURS = re.compile(r"\b(?:tagstream|openshift_imagestreamcontroller)_[a-z_]+[a-z]\b")
NOT_METRICS = {"tagstream_key", "tagstream_changes"}  # a secret's file, a channel


def _known():
    """Every series by its name, with its labels."""
    found = {"up": EVERYWHERE}
    for metric in METRICS:
        labels = {*metric.labels, *EVERYWHERE}
        if metric.kind == "histogram":
            found[f"{metric.name}_bucket"] = labels | {"le"}
            found.update({f"{metric.name}_{end}": labels for end in ("count", "sum")})
        else:
            found[metric.name] = labels
    for name in re.findall(r"^# TYPE (process_\w+)", render().decode(), re.MULTILINE):
        found[name] = EVERYWHERE
    return found


KNOWN = _known()


def asked(expression):
    """The series of an expression: name, and the labels that it is matched by."""
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
    """The labels that an expression groups by."""
    found = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    return {label.strip() for each in found for label in each.split(",")}


def check(expression):
    """Fail where an expression asks for what nobody tells."""
    series = list(asked(expression))
    assert series, expression
    for name, labels in series:
        assert name in KNOWN, f"{name} in {expression}"
        assert labels <= KNOWN[name], f"{labels} of {name}"
        assert groupings(expression) <= KNOWN[name], f"{name} in {expression}"
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule):
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
def test_a_panel_asks_for_what_there_is(panel, target):
    expression = target["expr"].replace("$__rate_interval", "5m")
    check(expression)
    legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert legend <= groupings(expression) | EVERYWHERE
    variables = set(re.findall(r"\$\{?(\w+)", json.dumps(panel))) - {"__rate_interval"}
    assert variables <= {each["name"] for each in BOARD["templating"]["list"]}


def test_a_wrong_name_and_a_wrong_label_are_found():
    for wrong in (
        "sum(rate(tagstream_nothing_total[5m]))",
        'tagstream_jobs{color="red"}',
        "sum by (color) (tagstream_jobs)",
    ):
        with pytest.raises(AssertionError):
            check(wrong)


def test_the_dashboard_is_one_that_grafana_opens():
    assert BOARD["title"] == BOARD["uid"] == "tagstream"
    assert BOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def test_every_metric_of_schedule_and_registries_has_a_panel():
    shown = {name for _, target in TARGETS for name, _ in asked(target["expr"])}
    missing = [
        metric.name
        for metric in METRICS
        if not any(name.startswith(metric.name) for name in shown)
        and not metric.name.startswith("openshift_")
    ]
    assert set(missing) <= {"tagstream_quota_limit", "tagstream_source_up"}


def test_every_alert_is_explained():
    page = (HOME / "docs/howto/monitoring.md").read_text()
    assert set(re.findall(r"^\| `(Tagstream\w+)`", page, re.MULTILINE)) == {
        rule["alert"] for rule in RULES
    }


def test_the_page_is_what_the_metrics_say():
    assert metrics_page.PAGE.read_text() == metrics_page.render()


@pytest.mark.parametrize(
    "name", [n for n in TRACKED if n.endswith(".md") or n.startswith("deploy/")]
)
def test_every_metric_that_is_named_is_there(name):
    text = (HOME / name).read_text()
    endings = re.sub(r"[a-z_]+…", "", text)
    assert {each for each in OURS.findall(endings) if each not in KNOWN} <= NOT_METRICS | {
        metric.name for metric in METRICS
    }
