"""Settings: notation of durations, renamed variables, defaults that can be pasted back."""

import shlex
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.config.settings import RENAMED_SETTINGS, Settings, load_settings
from tests import settings_page


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("15m", 900),
        ("1h30m", 5400),
        ("7d", 604800),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("PT15M", 900),
        ("90", 90),
        ("0:00:15", 15),
    ],
)
def test_duration_is_read_in_each_notation(monkeypatch, text, seconds):
    monkeypatch.setenv("TAGSTREAM_DISPATCH_INTERVAL", text)
    assert load_settings().dispatch_interval == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "15x", "m", "15 m 3", "-15m"])
def test_duration_in_any_other_notation_is_refused(monkeypatch, text):
    monkeypatch.setenv("TAGSTREAM_DISPATCH_INTERVAL", text)
    with pytest.raises(ValidationError):
        load_settings()


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS.items())
def test_old_variable_of_a_renamed_setting_is_read_with_a_warning(monkeypatch, old, new):
    monkeypatch.setenv(f"TAGSTREAM_{old.upper()}", "17s")
    with pytest.warns(FutureWarning) as found:
        settings = load_settings()
    assert getattr(settings, new) == timedelta(seconds=17)
    text = "the old name is read in this release only: rename it"
    expected = f"TAGSTREAM_{old.upper()} is now TAGSTREAM_{new.upper()}; {text}"
    assert [str(each.message) for each in found] == [expected]


@pytest.mark.parametrize(
    ("value", "policy"), [("true", "NeverContactSource"), ("false", "AllowContactingSource")]
)
def test_old_key_of_a_mirror_is_read_with_a_warning(monkeypatch, value, policy):
    mirror = f'{{"source": "q.example", "mirrors": ["m.example"], "never_contact_source": {value}}}'
    monkeypatch.setenv("TAGSTREAM_MIRRORS", f"[{mirror}]")
    with pytest.warns(FutureWarning, match="never_contact_source of TAGSTREAM_MIRRORS"):
        [found] = load_settings().mirrors
    assert found.mirror_source_policy == policy


def test_mirror_contacts_its_source_by_default_and_refuses_other_policies(monkeypatch):
    monkeypatch.setenv("TAGSTREAM_MIRRORS", '[{"source": "q.example"}]')
    assert load_settings().mirrors[0].mirror_source_policy == "AllowContactingSource"
    monkeypatch.setenv(
        "TAGSTREAM_MIRRORS", '[{"source": "q.example", "mirror_source_policy": "Never"}]'
    )
    with pytest.raises(ValidationError):
        load_settings()


def test_new_variable_of_a_renamed_setting_takes_precedence(monkeypatch):
    monkeypatch.setenv("TAGSTREAM_SWEEP_INTERVAL", "17s")
    monkeypatch.setenv("TAGSTREAM_REAPER_INTERVAL", "18s")
    with pytest.warns(FutureWarning):
        assert load_settings().reaper_interval == timedelta(seconds=18)


def test_new_variables_give_no_warning(monkeypatch):
    monkeypatch.setenv("TAGSTREAM_REAPER_INTERVAL", "18s")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_settings()


def test_old_names_are_settings_no_longer():
    assert RENAMED_SETTINGS.keys().isdisjoint(Settings.model_fields)
    assert set(RENAMED_SETTINGS.values()) <= Settings.model_fields.keys()


def test_defaults_of_the_page_can_be_pasted_back(monkeypatch):
    rows = [
        line.split(" | ")
        for line in settings_page.render().splitlines()
        if line.startswith("| `TAGSTREAM_") and line.count("|") == 4
    ]
    assert len(rows) == len(Settings.model_fields)
    expected = load_settings()
    pasted = set()
    for cell, default, _ in rows:
        variable = cell.strip("| `")
        if default != "–":
            [value] = shlex.split(default.strip("`"))
            monkeypatch.setenv(variable, value)
            pasted.add(variable.removeprefix("TAGSTREAM_").lower())
    assert len(pasted) > 35
    found = load_settings()
    assert found.model_fields_set == pasted
    assert found.model_dump() == expected.model_dump()


def test_examples_of_the_page_can_be_pasted(monkeypatch):
    lines = [
        shlex.split(line)
        for line in settings_page.render().splitlines()
        if line.startswith("export ")
    ]
    for _, assignment in lines:
        monkeypatch.setenv(*assignment.split("=", 1))
    settings = load_settings()
    assert settings.model_fields_set == settings_page.EXAMPLES.keys()
    assert settings.allowed_registries[1].domain_name == "registry.example:5000"
    assert settings.mirrors[0].mirrors == ["mirror.example/hub"]
    assert settings.egress_allow[1].namespace == "team"


def test_home_directory_in_data_dir_is_expanded(monkeypatch):
    monkeypatch.setenv("TAGSTREAM_DATA_DIR", "~/streams")
    assert load_settings().data_dir == Path.home() / "streams"
