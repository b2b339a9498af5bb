"""docs/reference/settings.md is generated from the settings."""

from tests import settings_page


def test_settings_page_is_up_to_date():
    assert settings_page.PAGE.read_text() == settings_page.render()
