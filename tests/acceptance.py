"""The acceptance cases: their text, the rules that they show, and the tests that show them.

`docs/development/acceptance.md` holds the text of each case and its rules. A test claims a case
with `@pytest.mark.case("import 3-1")`; `make docs` writes the column of tests into the page.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "development" / "acceptance.md"
_ROW = re.compile(
    r"^\| (?P<case>(?:import|registry|api) [\d-]+) \| (?P<text>.*)"
    r" \| (?P<rules>.*) \| (?P<tests>.*) \|$"
)
_RULE = re.compile(r"\[([a-z]+-\d+\.\d+)\]")
_BUCKETS = "upstream's buckets and limiter; each tag has a due time of its own instead"
_SIGNATURES = "the signature controller is not built"
NO_REASON = "**no reason given**"
LEFT_OUT = {
    **{f"import 7-{n}": _BUCKETS for n in (*range(6, 13), 16, 17)},
    **{f"import 8-{n}": _SIGNATURES for n in range(1, 12)},
    "import 5-35": "quota is an admission step of the API",
    "registry 169": "there is no cache of errors by digest: a broken manifest is fetched again",
}


def read_page():
    """Return case -> (text, rules as links), in the order of the page."""
    rows = map(_ROW.match, PAGE.read_text().splitlines())
    return {row["case"]: (row["text"], row["rules"]) for row in rows if row}


def claimed():
    """Return case -> the tests that claim it, as path::name, sorted."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for case in _cases_of(node):
                name = f"{path.relative_to(ROOT / 'tests')}::{node.name}"
                found.setdefault(case, []).append(name)
    return found


def rules_with_tests():
    """Return the rules that a case shows which a test claims."""
    tests = claimed()
    return {
        rule
        for case, (_, rules) in read_page().items()
        if case in tests
        for rule in _RULE.findall(rules)
    }


def _cases_of(node):
    """Yield the case of every `mark.case(...)`, also inside `pytest.param(..., marks=...)`."""
    for decorator in node.decorator_list:
        for call in ast.walk(decorator):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.case"):
                for argument in call.args:
                    if isinstance(argument, ast.Constant):
                        yield argument.value


def render():
    """Return the page with its column of tests generated again."""
    tests = claimed()
    return "".join(
        _row(row, tests) if (row := _ROW.match(line)) else line + "\n"
        for line in PAGE.read_text().splitlines()
    )


def _row(row, tests):
    names = sorted(set(tests.get(row["case"], ())))
    shown = (
        "<br>".join(f"[{name.split('::')[1]}](../../tests/{name.split('::')[0]})" for name in names)
        or f"left out: {LEFT_OUT.get(row['case'], NO_REASON)}"
    )
    return f"| {row['case']} | {row['text']} | {row['rules']} | {shown} |\n"


if __name__ == "__main__":
    PAGE.write_text(render())
