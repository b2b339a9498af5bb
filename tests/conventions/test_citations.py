"""Every rule that code, tests or docs cite stands in docs/spec, and every rule is cited."""

import re
import subprocess
from pathlib import Path

import pytest

from tests import acceptance

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "docs" / "spec"
PAGES = ("imports", "registry", "api", "scheduling", "clients")
RULE = re.compile(rf"\b(?:{'|'.join(PAGES)})-\d+\.\d+\b")
DEFINITION = re.compile(
    rf"^(?:- )?<a id=\"({RULE.pattern})\"></a>\*\*({RULE.pattern})\*\*( \*\(planned\)\*)?"
)
MAX_LINES = 2500
MAX_RULE_LINES = 5
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
).stdout.split()
CITING = [
    name
    for name in TRACKED
    if name.endswith((".py", ".md"))
    and not name.startswith("docs/spec/")
    and (ROOT / name).exists()
]
CODE = [name for name in CITING if name.endswith(".py")]


def read_rules(page):
    """Return rule -> (is planned, lines), in the order of the page."""
    rules, current = {}, None
    for line in (SPEC / f"{page}.md").read_text().splitlines():
        found = DEFINITION.match(line)
        if found:
            assert found[1] == found[2], line
            assert found[1].startswith(f"{page}-"), line
            assert found[1] not in rules, line
            current = found[1]
            rules[current] = (bool(found[3]), [line])
        elif not line.strip() or line.startswith("#"):
            current = None
        elif current is not None:
            rules[current][1].append(line)
    return rules


RULES = {rule: found for page in PAGES for rule, found in read_rules(page).items()}


@pytest.mark.parametrize("name", CITING)
def test_every_citation_has_its_rule(name):
    cited = set(RULE.findall((ROOT / name).read_text()))
    assert sorted(cited - RULES.keys()) == []


@pytest.mark.parametrize("page", PAGES)
def test_rules_of_a_page_cite_rules_that_exist(page):
    cited = set(RULE.findall((SPEC / f"{page}.md").read_text()))
    assert sorted(cited - RULES.keys()) == []


def test_every_rule_is_shown_by_code_or_by_a_test():
    cited = {rule for name in CODE for rule in RULE.findall((ROOT / name).read_text())}
    shown = acceptance.rules_with_tests()
    missing = [
        rule for rule, (planned, _) in RULES.items() if not planned and rule not in cited | shown
    ]
    assert missing == []


def test_no_rule_is_longer_than_its_bound():
    """A table of a rule counts as one line."""
    long = {
        rule: len(lines)
        for rule, (_, found) in RULES.items()
        if len(lines := [line for line in found if not line.strip().startswith("|")])
        > MAX_RULE_LINES
    }
    assert long == {}


def test_the_specification_stays_short():
    lines = sum(len((SPEC / f"{page}.md").read_text().splitlines()) for page in PAGES)
    assert lines < MAX_LINES


# `import.md 5.9`, and bare codes as `(B23)`, named documents that are not in the repository.
OLD_CITATION = re.compile(
    r"\b(?:import|registry|api|clients|engine)\.md`? (?:[A-Z]?\d|Appendix|[A-F]\b)"
    r"|[(,;] ?(?:[ABCEQSI]\d{1,2}(?:\.\d+)?)(?=[),;:])"
)


@pytest.mark.parametrize("name", [name for name in CITING if name != "CHANGELOG.md"])
def test_no_citation_names_a_document_that_is_elsewhere(name):
    if name == "tests/conventions/test_citations.py":
        return
    assert [found.group() for found in OLD_CITATION.finditer((ROOT / name).read_text())] == []
