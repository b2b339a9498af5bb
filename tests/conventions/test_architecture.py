"""docs/explanation/architecture.md lists the folders and the paths through the code as they are."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text()
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
).stdout.split()

# The first row of a table: what runs it. None for code outside of tagstream.
STARTED_BY = {
    "api.app:ApiApplication.__call__": None,  # uvicorn
    "cli.commands.import_:_run_import": None,  # the command `tagstream import`
    "worker.tasks:import_job": "worker.job_queue:_send",
    "api.watch.change_reader:Reflector._follow": None,  # a thread of the API process
    "api.handlers.watch_handler:watch_objects": None,  # a GET with `watch`
    "scheduler.beat:build_beat": None,  # Celery beat
    "worker.tasks:check_tags": "scheduler.dispatch:publish_batch",
}
# Calls that the source of the caller does not show by name, with the reason.
INDIRECT = {
    (
        "api.app:_authorize_and_dispatch",
        "api.virtual_resources:_handle_imports",
    ): "found in the table VIRTUAL_HANDLERS",
    (
        "api.kinds.kind_base:run_transaction",
        "models.store.jobs.job_store:create_job",
    ): "the step that the caller passes",
    (
        "worker.imports.importer:_execute_job",
        "worker.imports.importer:_import",
    ): "chosen before the heartbeat starts",
    (
        "worker.checks.source_checks:_SourceCheckRunner._drain",
        "worker.checks.check_batch:_ResultBuffer.add",
    ): "the callback on_result",
    (
        "worker.registry.limits.host_limiter:HostLimiter.permit",
        "worker.registry.limits.host_limiter:HostLimiter.acquire",
    ): "called when the permit is entered, by HostPermit.__aenter__",
    ("scheduler.beat:build_beat", "scheduler.beat_tasks:tick"): "the message of TICK_TASK",
}


def read_paths():
    """Return the functions of each table of a path, in order."""
    paths, current = [], []
    for line in [*PAGE.splitlines(), ""]:
        found = re.match(r"\| (\d+) \| `([\w.]+:[\w.]+)` \|", line)
        if found:
            assert int(found[1]) == len(current) + 1, line
            current.append(found[2])
        elif current:
            paths.append(current)
            current = []
    return paths


PATHS = read_paths()
FUNCTIONS = sorted({each for path in PATHS for each in path})


@cache
def tree_of(module):
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


@cache
def definition_of(function):
    """Return the AST of `module:name` or `module:Class.method`."""
    module, _, qualname = function.partition(":")
    node = tree_of(module)
    for name in qualname.split("."):
        node = next(
            each
            for each in node.body
            if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and each.name == name
        )
    return node


def local_names(caller, callee):
    """Return the names by which the module of `caller` knows the function or class `callee`."""
    module, _, qualname = callee.partition(":")
    own_module = caller.partition(":")[0]
    if module == own_module:
        return {qualname}
    return {
        alias.asname or alias.name
        for node in ast.walk(tree_of(own_module))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
        if alias.name == qualname
    }


def references(caller, callee):
    """Return the positions at which the source of `caller` names `callee`, in order.

    A method is named by its attribute alone. A call counts where it ends, as its arguments are
    evaluated first.
    """
    method = callee.partition(":")[2].partition(".")[2]
    names = set() if method else local_names(caller, callee)
    nodes = list(ast.walk(definition_of(caller)))
    calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    found = [
        calls.get(id(node), node)
        for node in nodes
        if (isinstance(node, ast.Attribute) and node.attr == method)
        or (isinstance(node, ast.Name) and node.id in names)
    ]
    return sorted((node.end_lineno, node.end_col_offset) for node in found)


def find_broken_step(path):
    """Return the first step that no function above it calls next, with the callers; else None.

    The stack holds the functions that are running, each with the position of its last call.
    """
    stack = [(path[0], (0, 0))]
    for callee in path[1:]:
        for depth in range(len(stack) - 1, -1, -1):
            caller, last = stack[depth]
            later = [each for each in references(caller, callee) if each > last]
            if later or (caller, callee) in INDIRECT:
                stack[depth:] = [(caller, later[0] if later else last), (callee, (0, 0))]
                break
        else:
            return callee, [caller for caller, _ in stack]
    return None


def test_page_has_every_path():
    assert [len(path) > 5 for path in PATHS] == [True] * len(STARTED_BY)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_of_a_path_exists(function):
    assert definition_of(function)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[0])
def test_functions_of_a_path_are_called_in_this_order(path):
    assert find_broken_step(path) is None


def test_each_path_begins_with_a_known_entry_point():
    assert [path[0] for path in PATHS] == list(STARTED_BY)
    starters = {each for each in STARTED_BY.values() if each}
    assert starters <= set(FUNCTIONS)


def test_every_indirect_call_is_on_the_page():
    assert {each for pair in INDIRECT for each in pair} - set(FUNCTIONS) == set()


def test_a_wrong_order_is_found():
    path = PATHS[0]
    assert find_broken_step([*path[:10], *path[:10:-1], path[10]]) is not None


def test_every_folder_is_listed_and_no_other():
    folders = {"."}
    for name in TRACKED:
        if (ROOT / name).exists():
            folders |= {str(parent) for parent in Path(name).parents}
    table = PAGE.partition("## Folders")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([^`]+)` \| \S", table, re.MULTILINE)
    assert listed == sorted(folders)
