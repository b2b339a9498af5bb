"""Completion, version, database upgrade: what a shell and an operator need."""

import sqlite3
import subprocess

import pytest

from tests.integration.cli.conftest import TAGSTREAM


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_names_the_command(cli, shell):
    ended = cli("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert "_TAGSTREAM_COMPLETE" in ended.out


def test_bash_completes_verbs_and_options(cli):
    assert complete(cli, "tagstream rei") == ["reimport"]
    assert "--import-mode" in complete(cli, "tagstream import --")
    assert complete(cli, "tagstream import --import-mode P") == ["PreserveOriginal"]
    assert "create" in complete(cli, "tagstream secret ")


def complete(cli, line):
    """What bash would offer at the end of the line, by the script that we print."""
    words = line.split(" ")
    script = (
        f"source <({TAGSTREAM} completion bash)\n"
        f"COMP_WORDS=({' '.join(words[:-1])} {words[-1]!r}); COMP_CWORD={len(words) - 1}\n"
        '_tagstream_completion tagstream\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = cli.environment()
    environment["PATH"] = f"{TAGSTREAM.parent}:{environment['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return ended.stdout.split()


def test_version_is_that_of_the_package(cli):
    assert cli("version").out.startswith("tagstream 0.1.0 (Python 3.")


def test_db_upgrade_makes_the_tables_and_may_run_again(cli):
    assert cli("db", "upgrade").code == 0
    ended = cli("db", "upgrade")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("the database is at schema 0")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        assert database.execute("select count(*) from alembic_version").fetchone() == (1,)
    database.close()


def test_data_names_the_embedded_directory(cli, tmp_path):
    cli("--data", tmp_path / "mine", "db", "upgrade")
    assert (tmp_path / "mine" / "tagstream.db").exists()
    assert not cli.data.exists()
