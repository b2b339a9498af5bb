"""Every acceptance case has its test, or a reason why not, and the page says so."""

from tests import acceptance


def test_every_claimed_case_exists():
    assert sorted(set(acceptance.claimed()) - set(acceptance.read_page())) == []


def test_every_case_is_shown_or_left_out_with_a_reason():
    shown = set(acceptance.claimed())
    cases = acceptance.read_page()
    assert len(cases) == 682
    assert [case for case in cases if case not in shown | set(acceptance.LEFT_OUT)] == []


def test_no_case_is_both_shown_and_left_out():
    assert sorted(set(acceptance.claimed()) & set(acceptance.LEFT_OUT)) == []


def test_the_page_links_each_case_to_its_tests():
    assert acceptance.PAGE.read_text() == acceptance.render()
