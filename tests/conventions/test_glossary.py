"""docs/explanation/glossary.md defines each term once, in order, with the guide's vocabulary."""

import re

from tests.conventions.test_citations import RULES
from tests.conventions.test_files import ROOT

PAGE = (ROOT / "docs/explanation/glossary.md").read_text()
GUIDE = (ROOT / "docs/development/engineering.md").read_text()
ENTRY = re.compile(r"^- \*\*(.+?)\*\*: (.+) \((.+)\)\.$")
ENTRIES = [line for line in PAGE.splitlines() if line.startswith("- ")]
TERMS = [ENTRY.match(line)[1] for line in ENTRIES]
NAMES = [name for term in TERMS for name in term.split(", ")]


def guide_terms():
    """Return the terms of the left column of the guide's vocabulary table."""
    table = GUIDE.partition("| say | not |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        left = re.sub(r"`|\([^)]*\)|^.*: ", "", row.split("|")[1])
        yield from (term.strip() for term in re.split(r"[,;/]", left) if term.strip())


def test_every_entry_has_a_definition_and_a_link():
    assert [line for line in ENTRIES if not ENTRY.match(line)] == []
    assert [line for line in ENTRIES if "](" not in ENTRY.match(line)[3]] == []


def test_definitions_have_one_to_three_short_sentences():
    long = [line for line in ENTRIES if ENTRY.match(line)[2].count(". ") > 2]
    assert long == []


def test_terms_are_unique():
    assert sorted(name.lower() for name in NAMES) == sorted({name.lower() for name in NAMES})


def test_terms_are_sorted():
    assert sorted(TERMS, key=str.lower) == TERMS
    assert [term.split(", ") for term in TERMS] == [
        sorted(term.split(", "), key=str.lower) for term in TERMS
    ]


def test_every_term_of_the_guide_is_defined():
    terms = list(guide_terms())
    assert len(terms) > 80
    assert [term for term in terms if term not in NAMES] == []


def test_every_rule_exists():
    linked = re.findall(r"\[([a-z]+-\d+\.\d+)\]\(\.\./spec/([a-z]+)\.md#([a-z]+-\d+\.\d+)\)", PAGE)
    assert len(linked) > 80
    wrong = [each for each in linked if each[0] != each[2] or each[0].split("-")[0] != each[1]]
    assert wrong == []
    assert [rule for rule, _, _ in linked if rule not in RULES] == []
