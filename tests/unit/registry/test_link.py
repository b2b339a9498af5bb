"""Link fields: which page comes next, and which is not followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.transport.link_header import next_page, next_target, parse_links

FIRST = "https://reg.example/v2/r/tags/list?n=1000"


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        (['</x?last=a>; rel="next"'], "/x?last=a"),
        (["</x>; rel=next"], "/x"),
        (["</x>;rel=next"], "/x"),
        (['</x> ; REL = "NeXt"'], "/x"),
        (['</x>; rel="prev next"'], "/x"),
        (['</x>; title="a, b; c"; rel="next"'], "/x"),
        (['</x>; title="say \\"next\\""; rel=next'], "/x"),
        (["</a,b;c%2Fd>; rel=next"], "/a,b;c%2Fd"),
        (['</"quoted">; rel=next'], '/"quoted"'),
        (['</z>; rel="last", </x>; rel="next"'], "/x"),
        (['</z>; rel="last"', '</x>; rel="next"'], "/x"),
        (["</x>; rel=next; rel=last"], "/x"),
        (["</x>; crossorigin; rel=next"], "/x"),
        (["< /x >; rel=next"], "/x"),
        (["</x>"], "/x"),
        (['</x>; title="no relation"'], "/x"),
        (["</x>, </y>"], None),
        (['</x>; rel="last"'], None),
        (["</x>; rel=nextish"], None),
        (["</x>; rel=last; rel=next"], None),
        (["/x; rel=next"], None),
        (["</x; rel=next"], None),
        ([""], None),
        ([], None),
    ],
)
def test_the_next_target_is_the_one_that_says_so(fields, target):
    assert next_target(fields) == target


@given(st.lists(st.text(alphabet='<>;,=" \\abrelnxt/', max_size=60), max_size=4))
def test_any_field_is_read_or_passed_over(fields):
    for link in parse_links(fields):
        assert ">" not in link.target


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("?last=b", "https://reg.example/v2/r/tags/list?last=b"),
        ("/v2/r/tags/list?a=%2F&b=c,d;e", "https://reg.example/v2/r/tags/list?a=%2F&b=c,d;e"),
        ("https://REG.example:443/v2/r/tags/list?x", "https://REG.example:443/v2/r/tags/list?x"),
        ("//reg.example/v2/r/tags/list?x#there", "https://reg.example/v2/r/tags/list?x"),
    ],
)
def test_a_target_is_resolved_against_its_page_and_used_as_it_came(target, url):
    assert next_page([f"<{target}>; rel=next"], page=FIRST, first=FIRST) == url


@pytest.mark.parametrize(
    ("target", "kind", "code"),
    [
        ("https://evil.example/v2/r/tags/list?x", EgressRefusedError, "policy.link_cross_origin"),
        ("//evil.example/v2/r/tags/list", EgressRefusedError, "policy.link_cross_origin"),
        ("http://reg.example/v2/r/tags/list?x", EgressRefusedError, "policy.link_cross_origin"),
        ("https://reg.example:8443/v2/r/tags/list", EgressRefusedError, "policy.link_cross_origin"),
        ("https://u@reg.example/v2/r/tags/list", EgressRefusedError, "policy.url"),
        ("ftp://reg.example/v2/r/tags/list", EgressRefusedError, "policy.url"),
        ("/v2/_catalog", ProtocolError, "protocol.link"),
        ("/v2/other/tags/list?x", ProtocolError, "protocol.link"),
        ("../tags/list/../../_catalog", ProtocolError, "protocol.link"),
        ("?x=" + "y" * 5000, ProtocolError, "protocol.link"),
    ],
)
def test_a_target_that_leads_astray_is_refused(target, kind, code):
    with pytest.raises(kind) as caught:
        next_page([f"<{target}>; rel=next"], page=FIRST, first=FIRST)
    assert caught.value.code == code


def test_without_a_link_the_list_is_at_its_end():
    assert next_page([], page=FIRST, first=FIRST) is None
