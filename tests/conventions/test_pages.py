"""What the pages for people say of other pages, settings and commands is there."""

import re
import subprocess
from pathlib import Path

import pytest

from cli.main import COMMANDS
from models.config.settings import RENAMED_SETTINGS, Settings

ROOT = Path(__file__).parents[2]
PAGES = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split()
VARIABLES = {
    f"TAGSTREAM_{name.upper()}" for name in (*Settings.model_fields, *RENAMED_SETTINGS)
} | {
    "TAGSTREAM_KUBECONFIG"  # of the command alone
}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_is_a_setting(page):
    named = set(re.findall(r"\bTAGSTREAM_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / page).read_text()))
    assert named - VARIABLES == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_of_ours(page):
    named = set(re.findall(r"(?:`|\$ |\()tagstream ([a-z]\w+)", (ROOT / page).read_text()))
    assert named - set(COMMANDS) == set()
