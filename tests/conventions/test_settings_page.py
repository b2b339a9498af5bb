"""Every setting stands in the settings page."""

from tests import settings_page


def test_the_page_is_what_the_settings_say():
    assert settings_page.PAGE.read_text() == settings_page.render()
