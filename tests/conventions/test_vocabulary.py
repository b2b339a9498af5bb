"""The vocabulary of docs/development/engineering.md, section 3, holds in code, tests and docs.

Two lists: words that are wrong everywhere, and words that are plain English in a sentence but
wrong as the name of an identifier, a column, a metric, a log event or a setting. Every exception
stands in an allow-list with its reason. Modules and classes have names of their own.
"""

import ast
import collections
import fnmatch
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from models.config.settings import Settings
from models.store.tables.all_tables import METADATA
from models.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
).stdout.split()
PACKAGES = ("models", "worker", "scheduler", "api", "cli", "bench", "demo")
PYTHON = [name for name in TRACKED if name.endswith(".py") and (ROOT / name).exists()]
TEXTS = [
    name
    for name in TRACKED
    if name.endswith((".py", ".md", ".yml", ".toml", ".json", ".svg", "Makefile", "Dockerfile"))
    and (ROOT / name).exists()
]

NEVER = re.compile(
    r"(?<![a-z])(knock(s|ed|ing)?|heed(s|ed|ing)?|errands?|desks?|baskets?|handfuls?|strangers?"
    r"|somebod(y|ies)|nobod(y|ies)|whoever|calendars?|shel(f|ves)|embrac(e|es|ed|ing)"
    r"|blacken(s|ed|ing)?|deaf|metronomes?|furniture|storeys?|askers?|lanes?"
    r"|wish(es|ed|ing)?)(?![a-z])",
    re.IGNORECASE,
)
_NAMES = """
look looks looked looking turn turns turned turning tell tells told telling
say says said saying hear hears heard hearing ask asks asked asking
house houses room rooms counter counters place places placed line lines
share shares slot slots book books gate gates door doors word words
moved same mixed meant means kept took patience patient
"""
NOT_AS_NAMES = frozenset(re.findall(r"\w+", _NAMES))

# Where a word of the first list may stand, and why.
ALLOWED_TEXT = {
    "docs/development/engineering.md": "names the words that are not used",
    "tests/conventions/test_vocabulary.py": "names the words that are not used",
    "CHANGELOG.md": "its tables name what was renamed",
    "models/store/migrations/versions/000[1-5]_*.py": "a migration names the columns that it found",
    "models/store/migrations/documents_0005.py": "names the fields that the migration found",
    "tests/integration/store/renamed_fields.py": "names the fields that were renamed",
    "tests/integration/store/database/test_schema.py": "fills the columns of revision 0001",
    "tests/previous/*": "written by the previous version",
    "requirements.lock": "names of packages",
}
# Names of the second list that are the technical term where they stand: (path, name) -> reason.
# A pattern of a path, a pattern of a name.
ALLOWED_NAMES = {
    ("*", "line"): "a line of text",
    ("*", "lines"): "lines of text",
    ("*", "*_line"): "a line of text",
    ("*", "*_lines"): "lines of text",
    ("*", "lineno"): "a line of text",
    ("models/telemetry/metrics.py", "*counter*"): "a counter of Prometheus",
    ("*", "slots__"): "`__slots__` of Python",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_uses_no_figurative_term(name):
    if any(fnmatch.fnmatch(name, pattern) for pattern in ALLOWED_TEXT):
        return
    text = (ROOT / name).read_text()
    found = [
        f"{number}: {match.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in NEVER.finditer(_spaced(line))
    ]
    assert found == []


@pytest.mark.parametrize("name", TRACKED)
def test_path_uses_no_figurative_term(name):
    assert [term for term in _split(name.replace("/", "_")) if NEVER.fullmatch(term)] == []


@pytest.mark.parametrize("name", PYTHON)
def test_identifiers_use_no_figurative_term(name):
    if name.startswith("models/store/migrations/versions/"):
        return
    found = sorted({each for each in _defined(name) if _wrong(each) and not _allowed(name, each)})
    assert found == []


def test_columns_use_no_figurative_term():
    names = [
        each
        for table in METADATA.tables.values()
        for each in (table.name, *(f"{table.name}.{column.name}" for column in table.columns))
    ]
    assert [each for each in names if _wrong(each.split(".")[-1])] == []


def test_metrics_use_no_figurative_term():
    names = {each for metric in METRICS for each in (metric.name, *metric.labels)}
    assert sorted(each for each in names if _wrong(each)) == []


def test_settings_use_no_figurative_term():
    assert [name for name in Settings.model_fields if _wrong(name)] == []


def test_log_events_use_no_figurative_term():
    events = [
        event
        for name in PYTHON
        if name.startswith(PACKAGES)
        for event in re.findall(
            r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"([^\"]+)\"",
            (ROOT / name).read_text(),
        )
    ]
    assert len(events) > 20
    assert sorted(event for event in events if _wrong(event.replace(".", "_"))) == []


# Folders that hold one file a kind, a table, a resource or a command.
BY_SUBJECT = (
    "models/store/tables",
    "models/resources",
    "api/kinds",
    "api/printers",
    "cli/commands",
)


def test_module_names_are_unique():
    """Apart from the table, the resource, the kind, the printer and the command of one subject."""
    found = collections.defaultdict(list)
    for name in PYTHON:
        path = Path(name)
        if name.startswith(PACKAGES) and "__" not in path.stem and "versions" not in path.parts:
            found[path.stem].append(name)
    shared = {
        stem: names
        for stem, names in found.items()
        if sum(not name.startswith(BY_SUBJECT) for name in names) > 1
        or (len(names) > 1 and not all(name.startswith(BY_SUBJECT) for name in names))
    }
    assert shared == {}


def test_modules_shadow_no_module_of_the_standard_library():
    standard = {"http", "types", "logging", "json", "queue", "calendar", "secrets", "select"}
    names = [Path(name) for name in PYTHON if name.startswith(PACKAGES)]
    assert [str(path) for path in names if path.stem in standard] == []


def test_class_names_are_unique():
    """A private class counts as a public one of its name."""
    found = collections.defaultdict(list)
    for name in PYTHON:
        if name.startswith(PACKAGES):
            for node in ast.walk(_tree(name)):
                if isinstance(node, ast.ClassDef):
                    found[node.name.lstrip("_")].append(f"{name}:{node.lineno}")
    assert {each: where for each, where in found.items() if len(where) > 1} == {}


MAX_FILES_IN_A_FOLDER = 16
LARGE_FOLDERS = ("cli/commands", "api/printers", "models/store/tables", "models/resources")


def test_folders_are_small():
    found = collections.Counter(
        str(Path(name).parent) for name in PYTHON if not name.startswith(LARGE_FOLDERS)
    )
    assert {name: count for name, count in found.items() if count > MAX_FILES_IN_A_FOLDER} == {}


def _spaced(text):
    """Return the text with the parts of its identifiers apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)


def _split(name):
    return [part for part in re.split(r"[^a-z]+", _spaced(name).lower()) if part]


def _wrong(name):
    parts = _split(name)
    return any(part in NOT_AS_NAMES or NEVER.fullmatch(part) for part in parts)


def _allowed(path, name):
    return any(
        fnmatch.fnmatch(path, where) and fnmatch.fnmatch(name.lstrip("_").lower(), what)
        for where, what in ALLOWED_NAMES
    )


@cache
def _tree(name):
    return ast.parse((ROOT / name).read_text())


def _defined(name):
    """Yield the names that a module defines, parameters, variables and attributes included."""
    for node in ast.walk(_tree(name)):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store(), value=ast.Name(id="self" | "cls")):
                yield node.attr
            case ast.ExceptHandler(name=str()):
                yield node.name
