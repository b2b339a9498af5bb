"""Which test shows which acceptance case. `make docs` writes docs/reference/acceptance.md.

The cases are those of the import specification (import 1-1 to 9-12), of the registry client
(registry 1 to 190) and of the API (api 1 to 230); a test claims one with
`@pytest.mark.case("import 3-1")`.
"""

import ast
from pathlib import Path

HOME = Path(__file__).parents[1]
PAGE = HOME / "docs" / "reference" / "acceptance.md"
IMPORT_SECTIONS = {1: 10, 2: 53, 3: 50, 4: 27, 5: 36, 6: 40, 7: 23, 8: 11, 9: 12}
REGISTRY_CASES = 190
API_CASES = 230
SECTIONS = {
    "Import": [
        f"import {s}-{n}" for s, most in IMPORT_SECTIONS.items() for n in range(1, most + 1)
    ],
    "Registry": [f"registry {n}" for n in range(1, REGISTRY_CASES + 1)],
    "API": [f"api {n}" for n in range(1, API_CASES + 1)],
}
CASES = [case for cases in SECTIONS.values() for case in cases]
_BUCKETS = "upstream's buckets and limiter; a due time for each tag replaces them (B26)"
_SIGNATURES = "the signature controller; comes later"
NO_REASON = "**no reason given**"
LEFT_OUT = {
    **{f"import 7-{n}": _BUCKETS for n in (*range(6, 13), 16, 17)},
    **{f"import 8-{n}": _SIGNATURES for n in range(1, 12)},
    "import 5-35": "quota is an admission step of the API",
    "registry 169": "an error cache by digest is not built yet: a broken manifest is asked again",
}


def claimed():
    """Case → the tests that claim it, as path::name, sorted."""
    found = {}
    for path in sorted((HOME / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for case in _cases_of(node):
                name = f"{path.relative_to(HOME / 'tests')}::{node.name}"
                found.setdefault(case, []).append(name)
    return found


def _cases_of(node):
    """Every `mark.case(...)` on the function, also inside `pytest.param(..., marks=…)`."""
    for decorator in node.decorator_list:
        for call in ast.walk(decorator):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.case"):
                for argument in call.args:
                    if isinstance(argument, ast.Constant):
                        yield argument.value


def render():
    """The page: a section per specification, a row per case."""
    tests = claimed()
    lines = [
        "# Acceptance cases",
        "",
        "Each case and the tests that show it. Written by `make docs`; a test compares.",
        "",
    ]
    for title, cases in SECTIONS.items():
        lines += [f"## {title}", "", "| case | tests, below `tests/` |", "|---|---|"]
        lines += [_row(case, tests.get(case)) for case in cases]
        lines.append("")
    return "\n".join(lines)


def _row(case, names):
    if names:
        shown = "<br>".join(f"`{name}`" for name in sorted(set(names)))
        return f"| {case} | {shown} |"
    return f"| {case} | left out: {LEFT_OUT.get(case, NO_REASON)} |"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render())
