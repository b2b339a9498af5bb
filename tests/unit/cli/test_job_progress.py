"""The progress of a command: its title, and a bar or plain lines."""

import pytest

from cli.job_progress import open_progress
from cli.rendering.output import console


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def is_terminal(request, monkeypatch):
    """Whether stderr is a terminal for the CLI."""
    if request.param:
        monkeypatch.setenv("FORCE_COLOR", "1")
    else:
        monkeypatch.delenv("FORCE_COLOR", raising=False)
    console.cache_clear()
    yield request.param
    console.cache_clear()


def test_progress_prints_title_first(is_terminal, capsys):
    assert console(stderr=True).is_terminal is is_terminal
    with open_progress("importing a into b", jobs=1):
        pass
    assert capsys.readouterr().err.splitlines()[0] == "importing a into b …"
