"""The pages of the documentation are true: each command prints what its page shows."""

import os
import re
import shlex
from contextlib import closing
from datetime import UTC, datetime, timedelta

import click
import pytest

from cli.main import tagstream
from models.store.changes.change_pruning import prune_changes
from models.store.database.session import open_engine, transaction
from tests.e2e.conftest import ROOT
from tests.e2e.local_instance import need_kubectl
from tests.e2e.pages import NOT_RUN, open_shell, open_surroundings, steps_of
from tests.e2e.transcripts import Command, Shell, matches, read_blocks, read_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRANSCRIPTS = [page for page in PAGES if read_page(page.read_text())]
TYPED_PAGES = [
    page
    for page in PAGES
    if page.name == "README.md" or page.parent.name in {"tutorial", "howto", "explanation"}
]
# What a block of a page may be: a transcript, a file, or an extract that is not typed.
LANGUAGES = {"console", "yaml", "json", "python", "sh", "text", "promql"}
MAX_COLUMNS = 80


def _name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.timeout(400)
@pytest.mark.case("api 226")
@pytest.mark.parametrize("page", TRANSCRIPTS, ids=_name)
def test_commands_of_page_print_what_it_shows(page, tmp_path, request):
    if "kubectl " in page.read_text():
        need_kubectl()
    with open_surroundings(page, tmp_path, request) as surroundings:
        steps = steps_of(page, surroundings)
        with closing(open_shell(surroundings)) as shell:
            for step in steps:
                failure = shell.run(step)
                assert failure is None, f"line {step.line}: {step}\n{failure}"
            logs = [*tmp_path.rglob("*.log"), *tmp_path.rglob("log")]
            output = shell.output + "".join(log.read_text(errors="replace") for log in logs)
            assert "Traceback" not in output


@pytest.mark.parametrize("page", TYPED_PAGES, ids=_name)
def test_every_command_is_in_a_console_block(page):
    """So that no command of a page escapes the test above."""
    for language, content in read_blocks(page.read_text()):
        assert language in LANGUAGES, content
        if language not in {"console", "text"}:
            assert not re.search(r"^(\$|tagstream|kubectl) ", content, re.MULTILINE), content


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_examples_of_other_blocks_are_valid_commands(page):
    """Examples with names that exist nowhere are parsed, not run."""
    for language, content in read_blocks(page.read_text()):
        if language not in {"console", "text"}:
            for line in re.findall(r"^(?:\$ )?tagstream (.*)", content, re.MULTILINE):
                parse_arguments(tagstream, shlex.split(line.split(" < ")[0], comments=True))


def parse_arguments(command, arguments, parent=None):
    """Parse the arguments of a command without running it; an unknown option raises."""
    context = click.Context(command, info_name=command.name, parent=parent)
    _, rest, _ = command.make_parser(context).parse_args(list(arguments))
    if isinstance(command, click.Group):
        _, subcommand, rest = command.resolve_command(context, rest)
        parse_arguments(subcommand, rest, context)


def test_unknown_option_of_an_example_is_found():
    for arguments in (["import", "--everything", "quay.io/team/app"], ["job", "stop", "1"]):
        with pytest.raises(click.UsageError):
            parse_arguments(tagstream, arguments)


@pytest.mark.parametrize("page", TRANSCRIPTS, ids=_name)
def test_transcript_fits_terminal_of_80_columns(page):
    lines = [
        line
        for language, content in read_blocks(page.read_text())
        if language == "console"
        for line in content.splitlines()
    ]
    assert [line for line in lines if len(line) > MAX_COLUMNS] == []


@pytest.mark.parametrize("page", NOT_RUN)
def test_commands_that_are_not_run_exist_and_have_a_reason(page):
    commands = [
        step.text for step in read_page((ROOT / page).read_text()) if isinstance(step, Command)
    ]
    for shape, reason in NOT_RUN[page].items():
        assert any(re.match(shape, command) for command in commands), shape
        assert reason


CLIENTS = ROOT / "docs" / "howto" / "api-clients.md"


@pytest.mark.timeout(120)
def test_program_of_client_page_lists_again_when_its_version_has_expired(tmp_path, request):
    need_kubectl()
    with open_surroundings(CLIENTS, tmp_path, request) as surroundings:
        steps = steps_of(CLIENTS, surroundings)
        (tmp_path / "data").mkdir()
        with closing(open_shell(surroundings)) as shell:
            for step in steps:
                if getattr(step, "name", "") in {"follow.py", "stream.yaml"}:
                    shell.run(step)
            shell.type("export TAGSTREAM_DATA_DIR=data KUBECONFIG=data/kubeconfig")
            start = next(step for step in steps if "tagstream up" in getattr(step, "text", ""))
            assert shell.run(start) is None
            assert shell.type("kubectl create -f stream.yaml")[1] == 0
            assert shell.type("kill %1 && wait %1")[1] == 0
            _expire_all_changes(tmp_path / "data" / "tagstream.db")
            assert shell.run(start) is None
            (tmp_path / "version").write_text("1")
            program = Command("python follow.py data/kubeconfig &", 0, ["LISTED weather"])
            assert shell.run(program) is None


def _expire_all_changes(database):
    engine = open_engine(f"sqlite:///{database}")
    with transaction(engine) as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert prune_changes(session, now=later, min_per_kind=0) > 0
    engine.dispose()


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("app   3s", "app 12s", True),
        ("app   3s", "app   1m2s", True),
        ("app   3s", "app   old", False),
        ("app   3s ago", "app   4m ago", True),
        ("next check in 14m", "next check in 3s", True),
        ("every 15m", "every 14m", False),
        ("imported in 1.4 s", "imported in 12.0 s", True),
        ("x@sha256:84ab07…   2 seconds ago", "x@sha256:0123456789   Less than a second ago", True),
        ("at: 2026-01-02T03:04:05Z", "at: 2027-11-12T13:14:15Z", True),
        ("job 43ee8c28 done", "job 0f0f0f0f done", True),
        ("job 43ee8c28 done", "job abcdefgh done", False),
        ("name: …", "name: anything at all", True),
        ("100%   1/0", "0%   1/0", False),
    ],
)
def test_only_parts_that_vary_from_run_to_run_may_differ(shown, printed, equal):
    assert matches(shown, printed) is equal


@pytest.fixture
def shell(tmp_path):
    with closing(Shell(tmp_path, {"PATH": os.environ["PATH"]}, timeout=10)) as found:
        yield found


@pytest.mark.parametrize(
    ("text", "expected", "succeeds"),
    [
        ("echo one; echo two", ["one", "two"], True),
        ("echo one; echo two", ["one"], False),
        ("echo one; echo two", ["two", "one"], False),
        ("echo one; echo two", ["…", "two"], True),
        ("echo one; echo two", ["…"], True),
        ("true", [], True),
        ("false", [], False),
        ("echo error: no; false", ["error: no"], True),
        ("echo error: no; true", ["error: no"], False),
        ("sleep 0.2; echo late &", ["late"], True),
    ],
)
def test_shell_compares_output_and_exit_status(shell, text, expected, succeeds):
    assert (shell.run(Command(text, 1, expected)) is None) is succeeds


def test_shell_keeps_directory_variables_and_background_processes(shell, tmp_path):
    (tmp_path / "sub").mkdir()
    for text, expected in (
        ("cd sub && greeting=hello", []),
        ("echo $greeting > file; pwd", [str(tmp_path / "sub")]),
        ("cat file", ["hello"]),
        ("sleep 60 &", []),
        ("kill %1; wait %1; echo $?", ["143"]),
        ("false || true", []),
    ):
        assert shell.run(Command(text, 1, expected)) is None


def test_command_without_end_is_reported(tmp_path):
    with (
        closing(Shell(tmp_path, {"PATH": os.environ["PATH"]}, timeout=0.5)) as shell,
        pytest.raises(TimeoutError, match="sleep 60"),
    ):
        shell.run(Command("sleep 60", 1))
