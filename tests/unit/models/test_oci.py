"""Strict reading of JSON and descriptors from registries (registry-22.1, registry-25.1)."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ContentError
from models.oci import (
    ACCEPT_MANIFESTS,
    OCI_CONFIG,
    compute_digest,
    parse_descriptor,
    storable_json,
    strict_json,
)

DIGEST = "sha256:" + "1" * 64


@pytest.mark.case("registry 126")
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":NaN}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"{" + b",".join(b'"%d":1' % i for i in range(1_000_000)) + b"}",
        b"{} x",
        b"",
        b"<html>",
        b'{"a":1e400}',
        b'{"\\u0000":1}',
        b'{"a":9223372036854775808}',
    ],
    ids=[
        *("bom", "utf16", "surrogate bytes", "nan", "huge int", "deep", "many keys"),
        *("trailing", "empty", "html", "inf", "nul key", "2^63"),
    ],
)
def test_strict_json_rejects_ambiguous_document(content):
    with pytest.raises(ContentError) as refused:
        strict_json(content)
    assert refused.value.code == "content.invalid_json"


@pytest.mark.case("registry 116")
def test_strict_json_rejects_or_resolves_duplicate_keys():
    doubled = b'{"a":{"x":1,"x":2}}'
    with pytest.raises(ContentError):
        strict_json(doubled)
    assert strict_json(doubled, duplicates="last") == {"a": {"x": 2}}
    assert strict_json(b'{"Foo":1,"foo":2}') == {"Foo": 1, "foo": 2}


def test_strict_json_depth_ignores_brackets_in_long_string():
    assert strict_json(b'["' + b"[" * 100 + b'\\"["]') == ["[" * 100 + '"[']


@pytest.mark.case("registry 125")
def test_storable_json_replaces_nul_and_lone_surrogates():
    document = strict_json(b'{"a":"x\\u0000y\\ud800z"}')
    assert storable_json(document) == {"a": "x\ufffdy\ufffdz"}


@pytest.mark.case("registry 122", "registry 124")
@pytest.mark.parametrize("size", ["-1", "9007199254740992", "1e3", "1.0", '"2"', "true", "null"])
def test_parse_descriptor_rejects_size_that_is_no_byte_count(size):
    text = f'{{"mediaType":"{OCI_CONFIG}","digest":"{DIGEST}","size":{size}}}'
    with pytest.raises(ContentError, match=r"layer\.size"):
        parse_descriptor(strict_json(text.encode()), where="layer")


@pytest.mark.parametrize("digest", ["sha256:abc", "sha256:" + "A" * 64, "../../x", "", "a:b/c"])
def test_parse_descriptor_rejects_malformed_digest(digest):
    with pytest.raises(ContentError, match=r"config\.digest"):
        parse_descriptor({"mediaType": OCI_CONFIG, "digest": digest, "size": 1}, where="config")


def test_parse_descriptor_rejects_key_in_other_case():
    value = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 1, "Size": 2}
    with pytest.raises(ContentError) as refused:
        parse_descriptor(value, where="config")
    assert refused.value.code == "content.ambiguous"


@pytest.mark.case("registry 111")
@pytest.mark.parametrize(
    ("data", "is_stored"), [("good", True), ("not base64!", False), ("b3RoZXI=", False), (5, False)]
)
def test_parse_descriptor_keeps_inline_data_only_with_matching_digest(data, is_stored):
    content = b'{"architecture":"amd64"}'
    value = {
        "mediaType": OCI_CONFIG,
        "digest": compute_digest(content),
        "size": len(content),
        "data": base64.b64encode(content).decode() if data == "good" else data,
    }
    assert parse_descriptor(value, where="config").data == (content if is_stored else None)


@pytest.mark.case("registry 43")
def test_accept_header_names_six_types_without_weights():
    assert len(ACCEPT_MANIFESTS.split(", ")) == 6
    assert "q=" not in ACCEPT_MANIFESTS
    assert "*" not in ACCEPT_MANIFESTS
    assert ACCEPT_MANIFESTS.startswith("application/vnd.oci.image.index.v1+json")


@given(st.binary(max_size=200))
def test_strict_json_of_any_bytes_raises_only_content_error(content):
    try:
        strict_json(content)
    except ContentError:
        return
    assert content.strip()


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 500_000, b'"\\' * 500_000, b'["' * 500_000])
def test_strict_json_rejects_unterminated_quotes_in_linear_time(text):
    with pytest.raises(ContentError) as caught:
        strict_json(text)
    assert caught.value.code == "content.invalid_json"


@pytest.mark.parametrize("text", ['"[[[["', '"\\"[[[["', '{"a]":"\\\\","[[":1}', '"\\\\\\"[[[["'])
def test_strict_json_depth_ignores_brackets_in_strings(text):
    assert strict_json(text.encode(), max_depth=1) == json.loads(text)
