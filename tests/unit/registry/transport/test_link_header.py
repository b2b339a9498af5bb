"""Link headers: which next page is followed, and which is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.transport.link_header import next_page_url, next_target, parse_links

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
def test_next_target_is_link_with_rel_next(fields, target):
    assert next_target(fields) == target


@given(st.lists(st.text(alphabet='<>;,=" \\abrelnxt/', max_size=60), max_size=4))
def test_parse_links_accepts_any_field(fields):
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
def test_next_page_url_resolves_target_unchanged(target, url):
    assert next_page_url([f"<{target}>; rel=next"], page_url=FIRST, first_url=FIRST) == url


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
def test_next_page_url_refuses_foreign_target(target, kind, code):
    with pytest.raises(kind) as caught:
        next_page_url([f"<{target}>; rel=next"], page_url=FIRST, first_url=FIRST)
    assert caught.value.code == code


def test_next_page_url_without_link_is_none():
    assert next_page_url([], page_url=FIRST, first_url=FIRST) is None
