"""Decoding of bodies: media types, kinds, unknown fields, wrong types, hostile text (api-6.1)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.codec.body_decoder import (
    check_findings,
    decode_apply_patch,
    decode_body,
    decode_options,
    find_unknown_fields,
    parse_resource,
)
from models.api_errors import BadRequestError, UnsupportedMediaTypeError
from models.errors import TagstreamError
from models.resources.image import Image, ImageSignature
from models.resources.imports import ImageStreamImport
from models.resources.meta import Secret
from models.resources.stream import ImageStream, ImageStreamTag

GROUP = "image.openshift.io"
JSON, YAML = "application/json", "application/yaml"
MODELS = (ImageStream, Image, ImageStreamTag, ImageStreamImport, ImageSignature, Secret)
UNDECLARED = "Kind=ImageStream): .spec.bogus: field not declared in schema"
PREFIX = 'ImageStream in version "v1" cannot be handled as a ImageStream: '


def decode(body, content_type=JSON, model=ImageStream, group=GROUP):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_body(
        content_type, raw, kind=model.__name__, group=group, version="v1", model=model
    )


def read_object(body, content_type=JSON, model=ImageStream):
    return parse_resource(decode(body, content_type, model).object, model)


def refusal(body, content_type=JSON, model=ImageStream):
    with pytest.raises(BadRequestError) as refused:
        read_object(body, content_type, model)
    return refused.value.message


@pytest.mark.parametrize(
    "content_type", ["", JSON, "application/json; charset=utf-8", "Application/JSON", YAML]
)
def test_decode_body_accepts_json_media_types(content_type):
    assert read_object(b'{"metadata":{"name":"app"}}', content_type).metadata.name == "app"


def test_decode_body_rejects_unsupported_media_type():
    for other in ("text/yaml", "application/xml", "application/x-www-form-urlencoded"):
        with pytest.raises(UnsupportedMediaTypeError) as refused:
            decode(b"{}", other)
        assert refused.value.message == (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
        assert refused.value.details() is None


def test_decode_body_fills_kind_and_api_version():
    assert decode({}).object == {"kind": "ImageStream", "apiVersion": f"{GROUP}/v1"}
    assert decode({}, model=Secret, group="").object["apiVersion"] == "v1"


@pytest.mark.case("api 22")
def test_decode_body_rejects_other_kind():
    message = refusal({"kind": "Image", "apiVersion": f"{GROUP}/v1"})
    assert message.startswith('Image in version "v1" cannot be handled as a ImageStream: ')


@pytest.mark.parametrize("version", ["v1", f"{GROUP}/v2", "apps/v1"])
def test_decode_body_rejects_other_version(version):
    message = refusal({"kind": "ImageStream", "apiVersion": version})
    short = version.rpartition("/")[2]
    assert message.startswith(
        f'ImageStream in version "{short}" cannot be handled as a ImageStream: '
    )


@pytest.mark.case("api 23")
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "json parse error: unexpected end of JSON input (<empty>)"),
        (b"{bad", "json parse error: invalid character 'b' at offset 1 ({bad)"),
        (b"[]", "json parse error: json: cannot unmarshal array into Go value of type "),
        (b"null", "json parse error: json: cannot unmarshal null into Go value of type "),
        (b'{"a":NaN}', "json parse error: invalid character 'N' looking for beginning of value"),
        (b'{"a":1} x', "json parse error: invalid character 'x' at offset 8"),
    ],
)
def test_decode_body_of_no_object_is_unrecognized(body, detail):
    assert refusal(body).startswith(
        "the object provided is unrecognized (must be of type ImageStream): "
        f"couldn't get version/kind; {detail}"
    )


def test_decode_body_error_does_not_quote_secret():
    message = refusal(b'{"data":{"password":"hunter2"', model=Secret)
    assert "hunter2" not in message
    assert "password" not in message


@pytest.mark.case("api 24")
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"spec": "str"}, "json: cannot unmarshal string into Go struct field ImageStream.spec"),
        ({"metadata": {"name": 5}}, "json: cannot unmarshal number 5 into"),
        ({"metadata": {"labels": {"a": 1}}}, "json: cannot unmarshal number 1 into"),
        ({"metadata": {"labels": ["a"]}}, "json: cannot unmarshal array into"),
        ({"metadata": {"generation": "1"}}, "json: cannot unmarshal string into"),
        ({"metadata": {"generation": 1.5}}, "json: cannot unmarshal number 1.5 into"),
        ({"metadata": {"generation": True}}, "json: cannot unmarshal bool into"),
        ({"metadata": {"generation": 2**63}}, "json: cannot unmarshal number"),
        ({"metadata": {"creationTimestamp": 1}}, "json: cannot unmarshal number 1 into"),
        ({"metadata": {"creationTimestamp": "2026-01-02"}}, 'parsing time "2026-01-02" as'),
        ({"metadata": {"creationTimestamp": ""}}, 'parsing time "" as'),
        ({"spec": {"tags": {}}}, "json: cannot unmarshal object into"),
        ({"spec": {"tags": ["a"]}}, "json: cannot unmarshal string into"),
        ({"spec": {"lookupPolicy": {"local": "true"}}}, "json: cannot unmarshal string into"),
    ],
)
def test_parse_resource_rejects_field_of_wrong_type(body, detail):
    assert refusal(body).startswith(PREFIX + detail)


def test_parse_resource_treats_null_as_absent():
    """`oc` sends nulls for empty values of Go, and elements without names."""
    stream = read_object(
        {
            "metadata": {"name": "app", "creationTimestamp": None, "annotations": None},
            "spec": {"tags": [{"from": None, "annotations": None, "generation": None}, None]},
            "status": None,
        }
    )
    assert [tag.name for tag in stream.spec.tags] == [""]
    assert read_object({"status": {"dockerImageRepository": ""}}).status.tags == []
    request = read_object({"spec": {"import": True, "images": [{}]}}, model=ImageStreamImport)
    assert request.spec.images[0].from_.kind == ""
    tag = read_object({"tag": None, "image": {"dockerImageMetadata": None}}, model=ImageStreamTag)
    assert tag.image.docker_image_metadata["kind"] == "DockerImage"


def test_parse_resource_truncates_time_to_seconds():
    stream = read_object({"metadata": {"creationTimestamp": "2026-01-02T03:04:05.999+01:00"}})
    assert stream.wire()["metadata"]["creationTimestamp"] == "2026-01-02T02:04:05Z"
    stream = read_object({"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z"}})
    assert stream.metadata.creation_timestamp is None


@pytest.mark.case("api 30")
def test_parse_resource_keeps_last_of_duplicate_tags():
    tags = [
        {"name": "t", "from": {"kind": "DockerImage", "name": f"q/x:{number}"}} for number in (1, 2)
    ]
    decoded = decode({"spec": {"tags": tags}})
    assert decoded.findings == ()
    stream = parse_resource(decoded.object, ImageStream)
    assert [tag.from_.name for tag in stream.spec.tags] == ["q/x:2"]


@pytest.mark.case("api 89")
def test_decode_body_finds_unknown_and_duplicate_fields_in_order():
    body = b"""{"metadata": {"bogus": 1, "name": "a", "name": "b"}, "spec": {"foo": 1, "tags": [
        {"name": "t", "zed": 1, "from": {"Name": "x"}}]}, "spec": {}, "Kind": "ImageStream"}"""
    decoded = decode(body)
    assert decoded.findings == (
        'unknown field "metadata.bogus"',
        'duplicate field "metadata.name"',
        'unknown field "spec.foo"',
        'unknown field "spec.tags[0].zed"',
        'unknown field "spec.tags[0].from.Name"',
        'duplicate field "spec"',
        'unknown field "Kind"',
    )
    assert decoded.object["metadata"] == {"name": "b"}
    assert decoded.object["spec"] == {}
    with pytest.raises(BadRequestError) as refused:
        check_findings(decoded.findings[:3], "Strict", kind="ImageStream")
    assert refused.value.message == (
        f'{PREFIX}strict decoding error: unknown field "metadata.bogus", '
        'duplicate field "metadata.name", unknown field "spec.foo"'
    )


@pytest.mark.case("api 90", "api 91")
def test_check_findings_returns_warnings_or_nothing():
    findings = decode({"spec": {"foo": 1}}).findings
    assert check_findings(findings, "Warn", kind="ImageStream") == ['unknown field "spec.foo"']
    assert check_findings(findings, "Ignore", kind="ImageStream") == []
    assert check_findings((), "Strict", kind="ImageStream") == []


def test_findings_and_warnings_are_bounded():
    many = decode({"spec": {f"{number:05}" + "x" * 500: 1 for number in range(5000)}}).findings
    assert len(many) == 100
    assert sum(map(len, check_findings(many, "Warn", kind="ImageStream"))) <= 4096


def test_decode_body_accepts_unstored_kubernetes_fields():
    decoded = decode(
        {
            "metadata": {"selfLink": "/x", "deletionGracePeriodSeconds": 0, "managedFields": None},
            "status": {"tags": [{"tag": "a", "items": None}]},
        }
    )
    assert decoded.findings == ()
    assert "selfLink" not in decoded.object["metadata"]
    embedded = {"image": {"kind": "Image", "apiVersion": f"{GROUP}/v1", "metadata": {}}}
    assert decode(embedded, model=ImageStreamTag).findings == ()


def test_decode_body_has_no_findings_in_docker_image_metadata():
    body = b'{"dockerImageMetadata": {"Foo": 1, "Foo": 2, "Config": {"Bar": {}}, "Author": "me"}}'
    decoded = decode(body, model=Image)
    assert decoded.findings == ()
    image = parse_resource(decoded.object, Image)
    assert image.docker_image_metadata == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "",
        "Created": None,
        "ContainerConfig": {},
        "Author": "me",
        "Config": {},
    }


def test_parse_resource_rejects_unknown_metadata_version():
    assert read_object({"dockerImageMetadataVersion": ""}, model=Image).wire()[
        "dockerImageMetadataVersion"
    ] == ("1.0")
    assert refusal({"dockerImageMetadataVersion": "2.0"}, model=Image).startswith(
        'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered '
        'for version "image.openshift.io/2.0"'
    )


@pytest.mark.parametrize("metadata", ["text", 5, ["a"], {"Created": "bad"}, {"Config": 1}])
def test_parse_resource_rejects_invalid_docker_image_metadata(metadata):
    message = refusal({"dockerImageMetadata": metadata}, model=Image)
    assert message.startswith('Image in version "v1" cannot be handled as a Image: ')
    nested = refusal({"image": {"dockerImageMetadata": metadata}}, model=ImageStreamTag)
    assert nested.startswith('ImageStreamTag in version "v1" cannot be handled as a')


def test_parse_resource_rejects_invalid_base64():
    assert read_object({"content": "YWJj\n"}, model=ImageSignature).content == "YWJj"
    for content, position in (("YWJj?", 4), ("YWJ", 3), ("YW=j", 2), ("Y===", 1)):
        assert refusal({"content": content}, model=ImageSignature) == (
            'ImageSignature in version "v1" cannot be handled as a ImageSignature: '
            f"illegal base64 data at input byte {position}"
        )
    assert "illegal base64" in refusal({"data": {"a": "*"}}, model=Secret)
    assert read_object({"data": {"a": "YWJj", "b": None}}, model=Secret).data == {
        "a": "YWJj",
        "b": "",
    }


@pytest.mark.case("api 93")
def test_find_unknown_fields_returns_paths():
    patched = {"kind": "ImageStream", "spec": {"foo": 1, "tags": [{"name": "t"}, {"zed": {}}]}}
    assert find_unknown_fields(patched, ImageStream) == ["spec.foo", "spec.tags[1].zed"]


def test_decode_options_accepts_any_group():
    body = b'{"kind":"DeleteOptions","apiVersion":"image.openshift.io/v1","dryRun":["All"]}'
    assert decode_options("", body)["dryRun"] == ["All"]
    assert decode_options(JSON, b"{}") == {}
    with pytest.raises(BadRequestError, match="cannot be handled as a DeleteOptions"):
        decode_options(JSON, b'{"kind":"Pod","apiVersion":"v1"}')
    with pytest.raises(BadRequestError):
        decode_options(JSON, b"[]")


def decode_applied(text):
    return decode_apply_patch(
        text, kind="ImageStream", group=GROUP, version="v1", model=ImageStream, object_name="ns/app"
    )


def test_decode_apply_patch_requires_yaml_of_kind():
    head = b"apiVersion: image.openshift.io/v1\nkind: ImageStream\n"
    assert decode_applied(head + b"spec: {tags: [{name: a}]}").object["spec"] == {
        "tags": [{"name": "a"}]
    }
    for text, message in (
        (b"{", "error decoding YAML: yaml: "),
        (b"[]", "error decoding YAML: "),
        (b"apiVersion: v1\nkind: Pod", "invalid object type: v1, Kind=Pod"),
        (
            head + b"spec: {bogus: 1}",
            f"failed to create typed patch object (ns/app; {GROUP}/v1, {UNDECLARED}",
        ),
    ):
        with pytest.raises(BadRequestError) as refused:
            decode_applied(text)
        assert refused.value.message.startswith(message)


def load_yaml(text):
    """Return a YAML document, decoded inside an object of any shape."""
    return decode_body(YAML, b"x:\n" + text, kind="X", group="", version="v1", model=None).object[
        "x"
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" 2026-01-02", "2026-01-02"),
        (b" 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        (b" 12:30", "12:30"),
        (b" 1.2.3", "1.2.3"),
        (b" 0644", 420),
        (b" 0x1F", 31),
        (b" 1_000", 1000),
        (b" 1.50", 1.5),
        (b" 1e3", 1000.0),
        (b" yes", True),
        (b" Off", False),
        (b" ~", None),
        (b"", None),
        (b" 'yes'", "yes"),
        (b' "1"', "1"),
        (b" !!str 1", "1"),
        (b" ! 1", "1"),
        (b" !!int '7'", 7),
        (b" -", [None]),
        (b" -x", "-x"),
        (b" .", "."),
        (b" 09", 9),
        (b" {1: a, true: b, 1.5: c}", {"1": "a", "true": "b", "1.5": "c"}),
        (b"  a: &a {k: 1}\n  b: *a", {"a": {"k": 1}, "b": {"k": 1}}),
        (
            b"  a: &a {k: 1, l: 1}\n  b: {<<: *a, k: 2}",
            {"a": {"k": 1, "l": 1}, "b": {"k": 2, "l": 1}},
        ),
        (b" 18446744073709551616", 18446744073709551616.0),
    ],
)
def test_yaml_scalar_is_decoded_as_upstream(text, value):
    found = load_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_decode_body_finds_duplicate_yaml_keys():
    decoded = decode(b"metadata: {name: a, name: b}\nspec:\n  foo: 1\n", YAML)
    assert decoded.findings == ('duplicate field "metadata.name"', 'unknown field "spec.foo"')
    assert decoded.object["metadata"]["name"] == "b"


LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(9)
)
CHAIN = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {x: *a%d}\n" % (i, i, i - 1) for i in range(1, 90)
)


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS,
        CHAIN,
        b"a: &a [*a]",
        b"a: *b",
        b"a: 1\n---\nb: 2\n",
        b"a: !!python/object:os.system x",
        b"a: !!set {a}",
        b"a: .inf",
        b"a: .nan",
        b"a: 1e999",
        b"a: " + b"9" * 5000,
        b"? {a: 1}\n: b",
        b"~: a",
        b"a: {<<: 1}",
        b"a: \x00",
        b"[" * 100_000,
        b"- " * 100_000,
        b"{a: " * 100_000,
        b"- a\n" * 300_000,
        b'"\\ud800"',
        b"\xff\xfe",
        b"\xff",
        b"%TAG ! x\n" * 1000,
    ],
    ids=range(23),
)
def test_decode_body_rejects_hostile_yaml(body):
    with pytest.raises(BadRequestError):
        decode(body, YAML)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" + b"1," * 300_000 + b"1]",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":Infinity}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"a":"\x00"}',
        b'{"a',
        b'"' * 100_001,
        b"\\" * 100_000,
        b'{"kind":{}}',
        b'{"apiVersion":"a/b/c"}',
    ],
    ids=range(16),
)
def test_decode_body_rejects_hostile_json(body):
    with pytest.raises(BadRequestError):
        decode(body)


def test_decode_body_accepts_maximum_depth():
    assert decode(b'{"a":' * 64 + b"1" + b"}" * 64).findings == ('unknown field "a"',)
    assert load_yaml(b" " + b"[" * 63 + b"]" * 63)


def test_decode_body_depth_ignores_brackets_in_strings():
    assert read_object(
        {"metadata": {"annotations": {"a": "[{" * 1000 + '"\\'}}}
    ).metadata.annotations


def test_decode_body_replaces_unstorable_characters():
    body = rb'{"metadata":{"annotations":{"a\u0000":"\ud800x","b":"\ud83d\ude00"}}}'
    assert read_object(body).metadata.annotations == {"a\ufffd": "\ufffdx", "b": "😀"}
    assert read_object(b'{"metadata":{"name":"a\xff"}}').metadata.name == "a\ufffd"


def test_parse_resource_cleans_and_bounds_patched_object():
    annotations = {"a\0": "\ud800"}
    found = parse_resource({"metadata": {"annotations": annotations}}, ImageStream)
    assert found.metadata.annotations == {"a\ufffd": "\ufffd"}
    deep = {}
    for _ in range(5000):
        deep = {"a": deep}
    for step in (find_unknown_fields, parse_resource):
        step({"spec": {"a": deep}}, ImageStream)
        with pytest.raises(BadRequestError, match="nested deeper"):
            step({"metadata": {"ownerReferences": [deep]}}, ImageStream)


FIELD_NAMES = """
metadata name labels annotations spec status tags from kind apiVersion image items created data
dockerImageMetadata dockerImageLayers signatures content images import to generation managedFields
creationTimestamp Created Config size dockerImageSignatures
"""
keys = st.sampled_from(FIELD_NAMES.split()) | st.text()
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["ImageStream", "2026-01-02T03:04:05Z", "YWJj", "v1", "1.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
objects = st.dictionaries(keys, values, max_size=5)


@given(objects, st.sampled_from(MODELS), st.sampled_from([JSON, YAML]))
def test_decode_body_of_any_object_raises_only_bad_request(value, model, content_type):
    try:
        decoded = decode(value, content_type, model)
        found = parse_resource(decoded.object, model)
        check_findings(decoded.findings, "Strict", kind=model.__name__)
    except TagstreamError as error:
        assert isinstance(error, BadRequestError), error  # noqa: PT017
        return
    json.dumps(found.wire(), allow_nan=False).encode()


@given(objects, st.sampled_from(MODELS))
def test_parse_resource_of_any_object_raises_only_bad_request(value, model):
    find_unknown_fields(value, model)
    try:
        found = parse_resource(value, model)
    except BadRequestError:
        return
    again = parse_resource(found.wire(), model)
    assert again.wire() == found.wire()


YAML_PIECES = """a :_ -_ __ &x_ *x << { } [ ] , !!str_ | > ' " ?_ # 1 ~ % \\u0000 0x . é"""
JSON_PIECES = """{"a": } [ ] , " \\ \\u0000 \\ud800 1 - e9 . null"""
yaml_pieces = st.sampled_from(
    [*(each.replace("_", " ") for each in YAML_PIECES.split()), "\n", "---\n", "...\n"]
)
json_pieces = st.sampled_from(JSON_PIECES.split())
texts = (
    st.binary()
    | st.lists(yaml_pieces).map(lambda each: "".join(each).encode())
    | st.lists(json_pieces).map(lambda each: "".join(each).encode())
)


@given(texts, st.sampled_from([JSON, YAML, "application/vnd.kubernetes.protobuf"]))
def test_decode_body_of_any_bytes_raises_only_bad_request(body, content_type):
    try:
        decoded = decode(body, content_type)
    except BadRequestError:
        return
    assert decoded.object["kind"] == "ImageStream"


@given(objects)
def test_decode_body_reads_json_as_equal_yaml(value):
    """Every JSON document that libyaml accepts is YAML."""
    body = json.dumps(value).encode()
    try:
        from_yaml = decode_body(YAML, body, kind="X", group="", version="v1", model=None)
        from_json = decode_body(JSON, body, kind="X", group="", version="v1", model=None)
    except BadRequestError:
        return
    assert from_yaml == from_json
