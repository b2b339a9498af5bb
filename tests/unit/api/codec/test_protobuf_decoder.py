"""Protobuf bodies of kubectl and oc, and malformed ones (api-15.1, clients-6.1)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.codec.body_decoder import decode_body, parse_resource
from api.codec.protobuf_decoder import MAGIC, MAX_PROTOBUF_FIELDS, decode_protobuf
from models.api_errors import BadRequestError
from models.resources.core import Namespace
from models.resources.meta import Secret

PROTOBUF = "application/vnd.kubernetes.protobuf"


def varint(number):
    number %= 2**64
    out = b""
    while True:
        out += bytes([(number & 0x7F) | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if not number:
            return out


def field(number, value):
    """Encode a field: ints and bools as varints, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def envelope(kind, raw, *, version="v1", **more):
    head = message((1, version), (2, kind))
    rest = message((3, more.get("encoding", "")), (4, more.get("content_type", "")))
    return MAGIC + message((1, head), (2, raw)) + rest


def entry(key, value):
    return message((1, key), (2, value))


# Clients write every string of metadata, also when it is empty.
EMPTY = ((2, ""), (3, ""), (4, ""), (5, ""), (6, ""), (7, 0), (8, b""))


@pytest.mark.case("api 213")
def test_protobuf_namespace_of_kubectl_is_decoded():
    meta = message((1, "team"), *EMPTY, (11, entry("a", "b")))
    body = envelope("Namespace", message((1, meta), (2, b""), (3, message((1, "")))))
    assert decode_protobuf(body) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team", "labels": {"a": "b"}},
    }
    decoded = decode_body(PROTOBUF, body, kind="Namespace", group="", version="v1", model=Namespace)
    assert parse_resource(decoded.object, Namespace).metadata.labels == {"a": "b"}


@pytest.mark.case("api 214")
def test_protobuf_secret_keeps_binary_data():
    login = b'{"auths":{"quay.io":{"auth":"YTpi"}}}'
    meta = message((1, "pull"), *EMPTY)
    body = envelope(
        "Secret",
        message(
            (1, meta),
            (2, entry(".dockerconfigjson", login)),
            (2, entry("other", b"\xff\x00")),
            (3, "kubernetes.io/dockerconfigjson"),
            (4, entry("plain", "text")),
        ),
    )
    decoded = decode_body(PROTOBUF, body, kind="Secret", group="", version="v1", model=Secret)
    secret = parse_resource(decoded.object, Secret)
    assert base64.b64decode(secret.data[".dockerconfigjson"]) == login
    assert base64.b64decode(secret.data["other"]) == b"\xff\x00"
    assert secret.string_data == {"plain": "text"}
    assert secret.type == "kubernetes.io/dockerconfigjson"


def test_protobuf_metadata_is_decoded_field_by_field():
    owner = message((1, "Job"), (3, "j"), (4, "u"), (5, "batch/v1"), (6, 1), (7, 0))
    meta = message(
        (1, "a"),
        (2, "a-"),
        (3, "ns"),
        (5, "uid"),
        (6, "17"),
        (7, 3),
        (8, message((1, 1_767_323_045), (2, 999))),
        (12, entry("k", "v")),
        (13, owner),
        (14, "one/x"),
        (14, ""),
        (14, "two/x"),
        (17, b"whatever"),
        (99, b"unknown"),
    )
    assert decode_protobuf(envelope("Namespace", message((1, meta))))["metadata"] == {
        "name": "a",
        "generateName": "a-",
        "namespace": "ns",
        "uid": "uid",
        "resourceVersion": "17",
        "generation": 3,
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "annotations": {"k": "v"},
        "ownerReferences": [
            {"kind": "Job", "name": "j", "uid": "u", "apiVersion": "batch/v1", "controller": True}
        ],
        "finalizers": ["one/x", "two/x"],
    }


def test_protobuf_reviews_are_decoded():
    attributes = message((1, "ns"), (2, "get"), (3, "image.openshift.io"), (5, "imagestreams"))
    body = envelope(
        "SelfSubjectAccessReview",
        message((1, message(*EMPTY)), (2, message((1, attributes))), (3, b"\x08\x00")),
        version="authorization.k8s.io/v1",
    )
    found = decode_protobuf(body)
    assert found["apiVersion"] == "authorization.k8s.io/v1"
    assert found["spec"] == {
        "resourceAttributes": {
            "namespace": "ns",
            "verb": "get",
            "group": "image.openshift.io",
            "resource": "imagestreams",
        }
    }
    path = message((2, message((2, message((1, "/healthz"), (2, "get"))))))
    found = decode_protobuf(envelope("SelfSubjectAccessReview", path))
    assert found["spec"] == {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}
    other = message((2, message((3, "bob"), (4, "devs"), (4, "ops"))))
    found = decode_protobuf(envelope("SubjectAccessReview", other))
    assert found["spec"] == {"user": "bob", "groups": ["devs", "ops"]}
    rules = envelope("SelfSubjectRulesReview", message((2, message((1, "ns")))))
    assert decode_protobuf(rules)["spec"] == {"namespace": "ns"}
    assert decode_protobuf(envelope("SelfSubjectReview", b""))["kind"] == "SelfSubjectReview"


def test_protobuf_delete_options_keep_false():
    raw = message((2, message((1, "u"))), (3, 0), (4, "Background"), (5, "All"))
    assert decode_protobuf(envelope("DeleteOptions", raw)) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "orphanDependents": False,
        "propagationPolicy": "Background",
        "dryRun": ["All"],
    }


def test_protobuf_keeps_last_of_duplicate_field():
    meta = message((1, message((1, "a"))), (1, message((1, "b"))))
    assert decode_protobuf(envelope("Namespace", meta))["metadata"]["name"] == "b"
    meta = message((1, message((11, entry("k", "1")), (11, entry("k", "2")))))
    assert decode_protobuf(envelope("Namespace", meta))["metadata"]["labels"] == {"k": "2"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"k8s",
        b"{}",
        MAGIC,
        envelope("ImageStream", b""),
        envelope("Namespace", b"", encoding="gzip"),
        envelope("Namespace", b"{}", content_type="application/json"),
        envelope("Namespace", b"\x0a\xff"),
        envelope("Namespace", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        envelope("Namespace", b"\x0a" + b"\xff" * 9 + b"\x7f"),
        envelope("Namespace", b"\x0b"),
        envelope("Namespace", b"\x00\x00"),
        envelope("Namespace", b"\x0d\x00"),
        envelope("Namespace", message((1, 5))),
        envelope("Namespace", message((1, message((7, "text"))))),
        envelope("Namespace", message((1, message((1, b"\xff"))))),
        envelope("Namespace", message((1, message((8, message((1, 2**62))))))),
        envelope("Namespace", message((1, message((8, message((1, "x"))))))),
        envelope("Namespace", message((1, message((11, 5))))),
        envelope("Namespace", message((1, message((11, message((1, 5))))))),
    ],
)
def test_protobuf_of_invalid_body_is_bad_request(body):
    with pytest.raises(BadRequestError):
        decode_protobuf(body)


def test_protobuf_skips_unknown_fields_of_every_wire_type():
    raw = b"\xf8\x06\x05" + b"\xf9\x06" + b"x" * 8 + b"\xfd\x06" + b"x" * 4 + field(111, "x")
    assert "metadata" not in decode_protobuf(envelope("Namespace", raw))
    wrong = b"\x09" + b"x" * 8  # metadata as a fixed64
    with pytest.raises(BadRequestError, match="wire type 1 for field metadata"):
        decode_protobuf(envelope("Namespace", wrong))


def test_protobuf_zero_time_is_absent():
    for seconds in (0, -62_135_596_800):
        meta = message((1, message((8, message((1, seconds))))))
        assert "metadata" not in decode_protobuf(envelope("Namespace", meta))


def test_protobuf_with_too_many_fields_is_rejected():
    raw = message((1, field(14, "x") * (MAX_PROTOBUF_FIELDS + 1)))
    with pytest.raises(BadRequestError, match="more than"):
        decode_protobuf(envelope("Namespace", raw))


def test_protobuf_replaces_unstorable_characters():
    found = decode_protobuf(envelope("Namespace", message((1, message((1, "a\0b"))))))
    assert found["metadata"]["name"] == "a\ufffdb"


@given(st.binary(), st.sampled_from(["Namespace", "Secret", "SubjectAccessReview", "X"]))
def test_protobuf_of_any_bytes_raises_only_bad_request(raw, kind):
    for body in (raw, MAGIC + raw, envelope(kind, raw)):
        try:
            found = decode_protobuf(body)
        except BadRequestError:
            continue
        assert found["kind"] == kind


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.dictionaries(plain, st.binary(min_size=1)), plain)
def test_protobuf_secret_data_round_trips(data, name):
    raw = message((1, message((1, name))), *((2, entry(key, data[key])) for key in data))
    found = decode_protobuf(envelope("Secret", raw))
    assert found["metadata"]["name"] == name
    read = {key: base64.b64decode(text) for key, text in found.get("data", {}).items()}
    assert read == data
