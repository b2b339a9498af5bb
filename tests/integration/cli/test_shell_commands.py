"""`tagstream completion`, `version` and `db upgrade`, and the option --data."""

import sqlite3
import subprocess

import pytest

from tests.integration.cli.conftest import TAGSTREAM


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_script_for_shell(cli, shell):
    result = cli("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert "_TAGSTREAM_COMPLETE" in result.out


def test_bash_completion_offers_commands_and_options(cli):
    assert complete(cli, "tagstream rei") == ["reimport"]
    assert "--import-mode" in complete(cli, "tagstream import --")
    assert complete(cli, "tagstream import --import-mode P") == ["PreserveOriginal"]
    assert "create" in complete(cli, "tagstream secret ")


def complete(cli, line):
    """Return what bash offers at the end of the line with the script that we print."""
    arguments = line.split(" ")
    script = (
        f"source <({TAGSTREAM} completion bash)\n"
        f"COMP_WORDS=({' '.join(arguments[:-1])} {arguments[-1]!r})\n"
        f"COMP_CWORD={len(arguments) - 1}\n"
        '_tagstream_completion tagstream\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = cli.environment()
    environment["PATH"] = f"{TAGSTREAM.parent}:{environment['PATH']}"
    process = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return process.stdout.split()


def test_version_prints_version_of_package(cli):
    assert cli("version").out.startswith("tagstream 0.1.0 (Python 3.")


def test_db_upgrade_creates_tables_and_can_run_again(cli):
    assert cli("db", "upgrade").code == 0
    result = cli("db", "upgrade")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("database schema version: 0")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        assert database.execute("select count(*) from alembic_version").fetchone() == (1,)
    database.close()


def test_data_option_chooses_data_directory(cli, tmp_path):
    cli("--data", tmp_path / "mine", "db", "upgrade")
    assert (tmp_path / "mine" / "tagstream.db").exists()
    assert not cli.data.exists()
