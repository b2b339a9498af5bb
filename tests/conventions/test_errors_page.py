"""docs/reference/errors.md explains every error code and reason of the sources, and no other."""

import ast
import re
from functools import cache

from models import job_resource
from models.api_errors import TagstreamError
from models.store.registries import registry_reports
from models.streams.registries import registry_health
from tests.conventions.test_files import ROOT

PAGE = (ROOT / "docs/reference/errors.md").read_text()
PACKAGES = ("models", "worker", "scheduler", "api", "cli")
MODULES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "migrations" not in path.parts
]
AREAS = "auth|budget|circuit|content|http|job|net|notfound|policy|protocol|ratelimit|ref|server|tls"
CODE = re.compile(rf"(?:{AREAS})\.[a-z0-9_]+")
# Texts of the sources that look like a code and are none.
NOT_CODES = {
    "http.disconnect": "an ASGI message",
    "http.response": "the start of an ASGI message",
    "notfound.tag_unreadable": "has a retry class, and nothing produces it",
    "tls.crt": "a key of a Secret",
    "tls.key": "a key of a Secret",
}
CAUSE = re.compile(r"FieldValue\w+|FieldManagerConflict|ResourceVersionTooLarge")


@cache
def nodes_of(path):
    return list(ast.walk(ast.parse(path.read_text())))


def codes_of(path):
    """Yield the codes that a module names: literals of their form, and arguments named `code`."""
    logged = set()
    for node in nodes_of(path):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log")), args=[first, *_]):
                logged.add(id(first))
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                yield code
            case ast.FunctionDef(args=arguments):
                for argument, default in zip(
                    arguments.kwonlyargs, arguments.kw_defaults, strict=True
                ):
                    if argument.arg == "code" and isinstance(default, ast.Constant):
                        yield str(default.value)
    for node in nodes_of(path):
        match node:
            case ast.Constant(value=str(text)) if CODE.fullmatch(text) and id(node) not in logged:
                yield text


SOURCE_CODES = {
    code for path in MODULES for code in codes_of(path) if not code.isdigit() and code != ""
}


def section(heading):
    """Return a section of the page, its subsections included."""
    level = heading.partition(" ")[0]
    text = PAGE.partition(f"{heading}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text):
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def error_classes(base=TagstreamError):
    yield base
    for each in base.__subclasses__():
        yield from error_classes(each)


def test_every_code_is_explained_once():
    listed = [
        code
        for heading in (
            "## Error codes of registries",
            "## Error codes of policies",
            "## Error codes of tagstream",
        )
        for code in first_column(section(heading))
    ]
    assert len(listed) > 60
    assert sorted(listed) == sorted(SOURCE_CODES - NOT_CODES.keys())


def test_what_is_no_code_is_in_the_sources():
    literals = {
        node.value
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [text for text in NOT_CODES if not any(text in each for each in literals)] == []


def test_every_row_has_a_meaning_and_a_remedy():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (`|\d)", line)]
    assert len(rows) > 90
    assert [line for line in rows if any(not cell.strip() for cell in line.split("|")[1:-1])] == []


def test_every_reason_of_a_status_is_explained():
    listed = set(re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE))
    own = {(str(each.http), each.reason) for each in error_classes() if each.http}
    assert listed == own


def test_every_cause_is_explained():
    named = {
        text
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and isinstance(text := node.value, str)
        if CAUSE.fullmatch(text)
    }
    assert set(first_column(section("### Causes of a Status"))) == named | {"InternalError"}


def test_every_reason_of_a_job_is_explained():
    own = {
        job_resource.SOME_TAGS_FAILED,
        job_resource.ALL_TAGS_FAILED,
        job_resource.TAG_LIST_FAILED,
        job_resource.DRY_RUN,
        *(state for state in job_resource.STATES.values() if state not in {"Queued", "Running"}),
    }
    heading = "### ImportJob: `Complete`, `Failed`, `PartiallyFailed`"
    assert set(first_column(section(heading))) == own


def test_every_reason_of_a_registry_is_explained():
    own = {reason for reason, _ in registry_health._REASONS.values()}
    own.add(registry_reports._NO_REGISTRY_CONDITION["reason"])
    assert set(first_column(section("### Registry: `Healthy`"))) == own
