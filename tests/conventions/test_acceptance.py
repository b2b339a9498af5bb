"""Every acceptance case has a test or a reason why it has none, and the page shows it."""

from tests import acceptance


def test_case_marks_name_existing_cases():
    assert sorted(set(acceptance.claimed()) - set(acceptance.read_page())) == []


def test_every_case_has_a_test_or_a_reason():
    shown = set(acceptance.claimed())
    cases = acceptance.read_page()
    assert len(cases) == 682
    assert [case for case in cases if case not in shown | set(acceptance.LEFT_OUT)] == []


def test_no_case_has_both_a_test_and_a_reason():
    assert sorted(set(acceptance.claimed()) & set(acceptance.LEFT_OUT)) == []


def test_acceptance_page_links_each_case_to_its_tests():
    assert acceptance.PAGE.read_text() == acceptance.render()
