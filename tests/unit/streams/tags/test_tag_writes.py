"""Writes of ImageStreamTags and ImageTags (api-24.5, api-24.7, api-25.3, api-25.4)."""

import pytest

from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    FieldError,
    InvalidObjectError,
    NotFoundError,
    StreamConflictError,
    status_of,
)
from models.resources.stream import ImageStreamTag, ImageTag
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.tags.tag_views import build_imagetag, build_istag
from models.streams.tags.tag_writes import (
    apply_imagetag_create,
    apply_imagetag_put,
    apply_istag_create,
    apply_istag_put,
    apply_tag_delete,
    current_imagetag,
    current_istag,
    remove_tag,
)
from models.streams.writes.stream_update import apply_write
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    NOON,
    event,
    history,
    items,
    spec_tag,
    stream_of,
)

SOURCE = {"kind": "DockerImage", "name": "quay.io/x/y:1"}
WEB = stream_of(
    [spec_tag("v1", "quay.io/x/y:1", generation=3)],
    [
        history(
            "v1",
            event(f"quay.io/x/y@{DIGEST_1}", DIGEST_1, 3),
            event(f"quay.io/x/y@{DIGEST_2}", DIGEST_2, 1),
        ),
        history("seen", event(f"quay.io/x/y@{DIGEST_2}", DIGEST_2, 2)),
    ],
    name="web",
    namespace="ns1",
    uid="u1",
    resource_version="7",
    generation=4,
    labels={"app": "web"},
    annotations={"of": "the stream"},
)
PLAIN = stream_of(
    [spec_tag("v1", "quay.io/x/y:1")], name="web", namespace="ns1", uid="u1", resource_version="7"
)


def istag(name="web:v1", tag=None, *, spec=SOURCE, **meta):
    """Return an ImageStreamTag; `tag` None is null on the wire, a dict is merged into it."""
    return ImageStreamTag.model_validate(
        {
            "metadata": {"name": name, "namespace": "ns1", **meta},
            "tag": None if tag is None else {"name": "", "from": spec, **tag},
        }
    )


def itag(name="web:v1", spec=None, *, status=None, **meta):
    return ImageTag.model_validate(
        {
            "metadata": {"name": name, "namespace": "ns1", **meta},
            "spec": None if spec is None else {"name": "", "from": SOURCE, **spec},
            "status": status,
        }
    )


def create(stream, body, **rest):
    make = apply_istag_create if isinstance(body, ImageStreamTag) else apply_imagetag_create
    return make(stream, body, namespace="ns1", **rest)


def put(stream, body, *, name=None, **rest):
    make = apply_istag_put if isinstance(body, ImageStreamTag) else apply_imagetag_put
    return make(stream, body, namespace="ns1", name=name or body.metadata.name, **rest)


def store(old, new, **rest):
    """Return the stream after the rules of a write."""
    return apply_write(old, new, now=NOON, rules=ImportRules(), **rest)


def patched(current, **changes):
    """Return the representation with a merge patch applied, as the body of a PUT."""
    wire = current.wire()
    for path, value in changes.items():
        *outer, last = path.split("__")
        target = wire
        for key in outer:
            target = target.setdefault(key, {})
        target[last] = value
    return type(current).model_validate(wire)


def refused(act, *arguments, **rest):
    with pytest.raises(InvalidObjectError) as caught:
        act(*arguments, **rest)
    return [str(error) for error in caught.value.errors]


def error_message(error, act, *arguments, **rest):
    with pytest.raises(error) as caught:
        act(*arguments, **rest)
    return caught.value.message


# -- ImageStreamTag: POST --


@pytest.mark.case("api 149")
def test_istag_create_creates_missing_stream():
    new = store(None, create(None, istag(tag={})))
    assert (new.metadata.name, new.metadata.namespace, new.metadata.labels) == ("web", "ns1", {})
    assert new.spec_tag("v1").generation == 1
    shown = build_istag(new, "v1", None)
    assert shown.generation == 0
    assert shown.image == ImageStreamTag().image


@pytest.mark.case("api 150")
def test_istag_create_of_existing_spec_tag_already_exists_in_singular():
    text = error_message(AlreadyExistsError, create, WEB, istag(tag={}))
    assert text == 'imagestreamtag.image.openshift.io "web:v1" already exists'
    assert error_message(AlreadyExistsError, create, WEB, istag()) == text


def test_istag_create_accepts_tag_with_history_only():
    new = store(WEB, create(WEB, istag("web:seen", tag={})))
    assert new.spec_tag("seen").generation == 5
    assert items(new, "seen") == [(DIGEST_2, 2)]
    assert new.spec_tag("v1") == WEB.spec_tag("v1")


@pytest.mark.parametrize("name", ["web", "a:b:c", ":v1"])
def test_istag_create_rejects_unretrievable_name(name):
    text = error_message(BadRequestError, create, None, istag(name, tag={}))
    assert text == f'"{name}" must be of the form <stream_name>:<tag>'


def test_istag_create_without_tag_name_is_latest():
    new = create(None, istag("web:", tag={}))
    assert [tag.name for tag in new.spec.tags] == ["latest"]
    text = error_message(AlreadyExistsError, create, new, istag("web:", tag={}))
    assert '"web:latest"' in text


def test_istag_create_requires_name():
    assert refused(create, None, istag("", tag={})) == [
        "metadata.name: Required value: name or generateName is required"
    ]


@pytest.mark.case("api 154")
def test_istag_create_takes_tag_name_from_object_name():
    new = create(WEB, istag("web:v2", tag={"name": "other"}))
    assert [tag.name for tag in new.spec.tags] == ["v1", "v2"]


@pytest.mark.case("api 155")
def test_istag_create_rejects_tag_annotations_unlike_metadata():
    text = (
        'tag.annotations: Invalid value: "map[a:b x:y]": tag annotations must not be provided or '
        "must be equal to the object meta annotations"
    )
    both = {"x": "y", "a": "b"}
    assert refused(create, WEB, istag("web:v2", tag={"annotations": both})) == [text]
    assert refused(create, WEB, istag("web:v2", tag={"annotations": both}, annotations={})) == [
        text
    ]
    matching = istag("web:v2", tag={"annotations": both}, annotations=both)
    assert create(WEB, matching).spec_tag("v2").annotations == both
    # A PUT that creates the tag has the same rule.
    assert refused(put, None, istag("web:v2", tag={"annotations": both})) == [text]


def test_istag_create_copies_metadata_annotations_to_tag():
    new = create(WEB, istag("web:v2", tag={}, annotations={"n": "w"}, labels={"l": "dropped"}))
    assert new.spec_tag("v2").annotations == {"n": "w"}
    assert new.metadata == WEB.metadata


@pytest.mark.case("api 156")
def test_istag_create_with_invalid_stream_name_is_invalid_stream():
    new = create(None, istag("BAD!:x", tag={}))
    text = error_message(InvalidObjectError, store, None, new)
    assert text.startswith('ImageStream.image.openshift.io "BAD!" is invalid: metadata.name: ')


def test_istag_create_rejects_name_invalid_in_path():
    assert refused(create, None, istag("a/b:c", tag={})) == [
        "metadata.name: Invalid value: \"a/b:c\": may not contain '/'"
    ]


@pytest.mark.case("api 157")
def test_istag_create_without_tag_creates_only_stream():
    new = create(None, istag("web:v1"))
    assert (new.metadata.name, new.spec.tags) == ("web", [])
    assert build_istag(new, "v1", None).tag is None
    assert create(WEB, istag("web:v2")) is WEB


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ({"from": {"kind": "DockerImage", "name": ""}}, "tag.from.name: Required value"),
        (
            {"from": {"kind": "DockerImage", "name": "a///b"}},
            'tag.from.name: Invalid value: "a///b": invalid reference format',
        ),
        (
            {"from": {"kind": "What", "name": "x"}},
            (
                "tag.from.kind: Required value: valid values are 'DockerImage', "
                "'ImageStreamImage', 'ImageStreamTag'"
            ),
        ),
        ({"from": {"kind": "ImageStreamTag", "name": ""}}, "tag.from.name: Required value"),
        (
            {
                "from": {"kind": "ImageStreamTag", "name": "x"},
                "importPolicy": {"scheduled": True},
            },
            (
                "tag.importPolicy.scheduled: Invalid value: true: only tags pointing to Docker "
                "repositories may be scheduled for background import"
            ),
        ),
        (
            {"referencePolicy": {"type": "x"}},
            ('tag.referencePolicy.type: Invalid value: "x": valid values are "Source", "Local"'),
        ),
        (
            {"importPolicy": {"importMode": "x"}},
            (
                'tag.importPolicy.importMode: Invalid value: "x": invalid import mode, valid '
                "modes are '', 'Legacy', 'PreserveOriginal'"
            ),
        ),
    ],
)
def test_spec_tag_validation_applies_to_every_write(tag, text):
    assert refused(create, WEB, istag("web:v2", tag=tag)) == [text]
    assert refused(put, WEB, istag("web:v2", tag=tag)) == [text]
    at_spec = "spec" + text.removeprefix("tag")
    assert refused(create, WEB, itag("web:v2", spec=tag)) == [at_spec]
    assert refused(put, PLAIN, itag("web:v2", spec=tag)) == [at_spec]


def test_istag_write_checks_allow_list_except_sources_of_stream():
    rule = {"allow_list": AllowList.parse([("docker.io", False)])}
    evil = {"from": {"kind": "DockerImage", "name": "evil.io/x/y"}}
    text = 'tag.from.name: Forbidden: registry "evil.io" not allowed by whitelist: "docker.io:443"'
    assert refused(create, WEB, istag("web:v2", tag=evil), **rule) == [text]
    assert refused(put, None, istag("web:v2", tag=evil), **rule) == [text]
    assert create(WEB, istag("web:v2", tag={}), **rule)
    hub = {"from": {"kind": "DockerImage", "name": "library/nginx"}}
    assert create(None, istag("web:v2", tag=hub), **rule)


def test_tag_write_applies_metadata_check_of_caller():
    error = FieldError.invalid("metadata.annotations", "!", "no")
    rule = {"check_meta": lambda _: [error]}
    for body in (istag("web:v2", tag={}), itag("web:v2", spec={})):
        assert refused(create, PLAIN, body, **rule) == [str(error)]
        assert refused(put, PLAIN, body, **rule) == [str(error)]


# -- ImageStreamTag: PUT --


@pytest.mark.case("api 159")
def test_istag_put_of_annotations_keeps_tag_generation():
    written = put(WEB, patched(build_istag(WEB, "v1", None), metadata__annotations={"n": "w"}))
    assert written.created is False
    new = store(WEB, written.stream)
    assert new.spec_tag("v1").annotations == {"n": "w"}
    assert (new.metadata.generation, new.spec_tag("v1").generation) == (5, 3)
    assert build_istag(new, "v1", None).metadata.annotations == {"n": "w"}


@pytest.mark.case("api 160")
@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {"app": "other"}},
        {"uid": "other"},
        {"finalizers": ["a/b"]},
        {"ownerReferences": [{"name": "x"}]},
    ],
)
def test_istag_put_rejects_metadata_other_than_annotations(meta):
    assert refused(put, WEB, istag(tag={}, **meta)) == [
        'metadata: Invalid value: "": may not update fields other than metadata.annotations'
    ]


@pytest.mark.case("api 161")
def test_istag_put_accepts_missing_labels_and_version():
    assert put(WEB, istag(tag={})).created is False


def test_istag_put_ignores_server_owned_metadata():
    sent = istag(
        tag={},
        uid="u1",
        creationTimestamp="1999-01-01T00:00:00Z",
        generation=9,
        managedFields=[{"manager": "me"}],
        resourceVersion="7",
    )
    assert put(WEB, sent).created is False


@pytest.mark.case("api 162")
@pytest.mark.parametrize(("body", "resource"), [(istag, "imagestreamtags"), (itag, "imagetags")])
def test_tag_put_on_other_resource_version_is_conflict(body, resource):
    assert error_message(StreamConflictError, put, WEB, body(resourceVersion="1")) == (
        f'Operation cannot be fulfilled on {resource}.image.openshift.io "web:v1": another '
        "caller has updated the resource version to 7"
    )


@pytest.mark.case("api 163")
def test_istag_put_without_tag_updates_only_annotations():
    written = put(WEB, istag(annotations={"n": "w"}))
    assert written.created is False
    expected = WEB.spec_tag("v1").replace(annotations={"n": "w"})
    assert written.stream.spec_tag("v1") == expected


@pytest.mark.case("api 164")
def test_tag_put_creates_tag_and_stream_unless_version_given():
    written = put(WEB, istag("web:new", tag={}))
    assert written.created is True
    assert store(WEB, written.stream).spec_tag("new").generation == 5
    created = put(None, istag("brand:new", tag={}, annotations={"n": "w"}))
    assert created.created is True
    new = store(None, created.stream)
    assert (new.metadata.name, new.metadata.namespace) == ("brand", "ns1")
    assert new.spec_tag("new").annotations == {"n": "w"}
    for body, resource in ((istag, "imagestreamtags"), (itag, "imagetags")):
        text = error_message(NotFoundError, put, None, body("brand2:new", resourceVersion="5"))
        assert text == f'{resource}.image.openshift.io "brand2:new" not found'


@pytest.mark.case("api 165", "api 166")
@pytest.mark.parametrize("tag", ["new2", "seen"])
def test_istag_put_without_tag_requires_existing_spec_tag(tag):
    text = error_message(BadRequestError, put, WEB, istag(f"web:{tag}", annotations={"n": "w"}))
    assert text == (
        f"imagestreamtag {tag} is not a spec tag in imagestream ns1/web, cannot be updated"
    )
    assert error_message(BadRequestError, put, None, istag(f"web:{tag}")) == text


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c"])
def test_tag_put_requires_retrievable_name(name):
    assert error_message(BadRequestError, put, WEB, istag(tag={}), name=name) == (
        "ImageStreamTags must be retrieved with <name>:<tag>"
    )
    assert error_message(BadRequestError, put, WEB, itag(spec={}), name=name) == (
        "ImageTags must be retrieved with <name>:<tag>"
    )


def test_istag_put_ignores_fields_other_than_tag_and_annotations():
    unchanged = put(
        WEB,
        patched(
            build_istag(WEB, "v1", None),
            generation=99,
            lookupPolicy={"local": True},
            image={"metadata": {"name": "x"}},
            conditions=[{"type": "a", "status": "b"}],
        ),
    )
    assert unchanged.stream is WEB


@pytest.mark.case("api 169")
def test_istag_put_of_oc_tag_requests_import():
    body = ImageStreamTag.model_validate(
        {
            "metadata": {"name": "web:v1", "namespace": "ns1"},
            "tag": {
                "name": "v1",
                "annotations": None,
                "from": SOURCE,
                "generation": 0,
                "importPolicy": {"importMode": "Legacy"},
                "referencePolicy": {"type": "Source"},
            },
            "generation": 0,
            "lookupPolicy": {"local": False},
            "image": {"metadata": {}, "dockerImageMetadata": None},
        }
    )
    new = store(WEB, put(WEB, body).stream)
    assert (new.metadata.generation, new.spec_tag("v1").generation) == (5, 5)
    assert items(new, "v1") == [(DIGEST_1, 3), (DIGEST_2, 1)]


# -- ImageStreamTag: PATCH --


@pytest.mark.case("api 167")
def test_istag_patch_is_put_of_current_representation():
    current = current_istag(WEB, namespace="ns1", name="web:v1")
    assert current == build_istag(WEB, "v1", None)
    annotated = put(WEB, patched(current, metadata__annotations={"n": "w"}))
    assert annotated.stream.spec_tag("v1").annotations == {"n": "w"}
    assert refused(put, WEB, patched(current, metadata__labels={"l": "x"}))
    updated = put(WEB, patched(current, tag__from={"kind": "DockerImage", "name": "quay.io/x/y:2"}))
    assert store(WEB, updated.stream).spec_tag("v1").generation == 5


def test_istag_patch_of_tag_annotations_or_null_changes_nothing():
    current = current_istag(WEB, namespace="ns1", name="web:v1")
    assert put(WEB, patched(current, tag__annotations={"x": "y"})).stream is WEB
    assert put(WEB, patched(current, tag=None)).stream is WEB


@pytest.mark.case("api 167")
@pytest.mark.parametrize("stream", [WEB, None])
def test_istag_patch_of_missing_tag_creates_it(stream):
    current = current_istag(stream, namespace="ns1", name="web:new")
    assert current.tag is None
    written = put(stream, patched(current, tag={"name": "new", "from": SOURCE}))
    assert written.created is True
    assert written.stream.spec_tag("new").from_.name == "quay.io/x/y:1"


# -- DELETE --


@pytest.mark.case("api 170", "api 181")
@pytest.mark.parametrize("kind", ["ImageStreamTag", "ImageTag"])
def test_tag_delete_removes_spec_tag_and_history(kind):
    new = store(WEB, apply_tag_delete(WEB, name="web:v1", kind=kind), accept_status=True)
    assert (new.spec_tag("v1"), new.status_tag("v1")) == (None, None)
    assert items(new, "seen") == [(DIGEST_2, 2)]
    resource = "imagestreamtags" if kind == "ImageStreamTag" else "imagetags"
    for stream, name, missing in ((new, "web:v1", "web:v1"), (None, "nope:x", "nope")):
        text = error_message(NotFoundError, apply_tag_delete, stream, name=name, kind=kind)
        assert text == f'{resource}.image.openshift.io "{missing}" not found'
    text = error_message(BadRequestError, apply_tag_delete, WEB, name="web", kind=kind)
    assert text == f"{kind}s must be retrieved with <name>:<tag>"


def test_remove_tag_removes_spec_tag_or_history_alone():
    assert remove_tag(PLAIN, "v1").spec.tags == []
    assert remove_tag(WEB, "seen").status_tag("seen") is None
    assert remove_tag(WEB, "none") is WEB


def test_remove_tag_keeps_history_of_tracking_tags():
    stream = stream_of(
        [spec_tag("v1", "quay.io/x/y:1"), spec_tag("track", "v1", kind="ImageStreamTag")],
        [history("v1", event("r", DIGEST_1)), history("track", event("r", DIGEST_1))],
    )
    new = store(stream, remove_tag(stream, "v1"), accept_status=True)
    assert items(new, "track") == [(DIGEST_1, 1)]


@pytest.mark.case("api 171")
def test_tag_delete_checks_preconditions_against_stream():
    assert apply_tag_delete(WEB, name="web:v1", uid="u1", resource_version="7")
    text = error_message(StreamConflictError, apply_tag_delete, WEB, name="web:v1", uid="bad")
    assert text == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    assert error_message(
        StreamConflictError, apply_tag_delete, WEB, name="web:v1", resource_version="6"
    )


# -- ImageTag --


@pytest.mark.case("api 175")
def test_imagetag_create_requires_spec_of_matching_name():
    for name in ("web:v2", "web"):
        assert refused(create, WEB, itag(name)) == [
            "spec: Required value: spec is a required field during creation"
        ]
    for name in ("web:v2", "web"):
        assert refused(create, WEB, itag(name, spec={"name": "x"})) == [
            'spec.name: Invalid value: "x": must match image tag name'
        ]
    assert refused(create, WEB, itag("web", spec={})) == [
        'spec.name: Invalid value: "": must match image tag name'
    ]
    assert refused(put, PLAIN, itag("web:v2", spec={"name": "x"})) == [
        'spec.name: Invalid value: "x": must match image tag name'
    ]
    assert error_message(BadRequestError, create, WEB, itag("a:b:c", spec={}))
    assert refused(create, WEB, itag("", spec={})) == [
        "metadata.name: Required value: name or generateName is required"
    ]


@pytest.mark.case("api 176")
def test_imagetag_create_keeps_annotations_of_spec():
    body = itag(spec={"annotations": {"a": "b"}}, annotations={"c": "d"})
    new = store(None, create(None, body))
    shown = build_imagetag(new, "v1", None)
    assert shown.spec.annotations == {"a": "b"}
    text = error_message(AlreadyExistsError, create, new, body)
    assert text == 'imagetags.image.openshift.io "web:v1" already exists'


STATUS = build_imagetag(WEB, "v1", None)


@pytest.mark.case("api 177")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": None}, "status"),
        ({"status__items": []}, "status"),
        ({"status__tag": "other"}, "status"),
        ({"metadata__labels": {}}, "metadata"),
        ({"metadata__annotations": {"x": "y"}}, "metadata"),
        ({"metadata__uid": "x"}, "metadata"),
    ],
)
def test_imagetag_put_rejects_fields_other_than_spec(change, field):
    assert refused(put, WEB, patched(STATUS, **change)) == [
        f'{field}: Invalid value: "": may not update fields other than spec'
    ]


def test_imagetag_put_of_unchanged_object_changes_nothing():
    assert put(WEB, STATUS).stream is WEB
    assert put(WEB, patched(STATUS, image={"metadata": {"name": "x"}})).stream is WEB


@pytest.mark.case("api 178")
def test_imagetag_put_without_status_requires_empty_history():
    other_source = {"from": {"kind": "DockerImage", "name": "quay.io/x/y:2"}}
    written = put(PLAIN, itag(spec=other_source))
    assert written.created is False
    assert store(PLAIN, written.stream).spec_tag("v1").generation == 2
    assert put(PLAIN, itag("web:new", spec={})).created is True
    assert put(None, itag("brand:new", spec={})).created is True
    bare = WEB.replace(metadata=PLAIN.metadata)
    assert refused(put, bare, itag(spec=other_source)) == [
        'status: Invalid value: "": may not update fields other than spec'
    ]


@pytest.mark.case("api 179")
def test_imagetag_put_without_spec_removes_spec_tag_and_keeps_history():
    written = put(WEB, patched(STATUS, spec=None))
    assert written.created is False
    new = store(WEB, written.stream)
    assert new.spec_tag("v1") is None
    assert items(new, "v1") == [(DIGEST_1, 3), (DIGEST_2, 1)]
    assert build_imagetag(new, "v1", None).spec is None


def test_imagetag_put_without_spec_of_history_only_changes_nothing():
    seen = current_imagetag(WEB, namespace="ns1", name="web:seen")
    written = put(WEB, seen)
    assert (written.stream, written.created) == (WEB, False)
    assert put(WEB, patched(seen, spec={"name": "seen", "from": SOURCE})).created is True


@pytest.mark.parametrize("stream", [PLAIN, None])
def test_imagetag_put_without_spec_of_missing_tag_is_rejected(stream):
    assert refused(put, stream, itag("web:none")) == [
        "spec: Required value: spec is a required field during creation"
    ]


@pytest.mark.parametrize("stream", [WEB, None])
def test_imagetag_patch_of_missing_tag_creates_it(stream):
    current = current_imagetag(stream, namespace="ns1", name="web:new")
    written = put(stream, patched(current, spec={"name": "new", "from": SOURCE}))
    assert written.created is True


def test_invalid_tag_write_names_kind_and_object():
    for body, kind in ((istag(tag={}), "ImageStreamTag"), (itag(spec={}), "ImageTag")):
        wrong = body.replace(metadata=body.metadata.replace(labels={"x": "y"}))
        with pytest.raises(InvalidObjectError) as caught:
            put(WEB, wrong)
        details = status_of(caught.value)["details"]
        assert (details["kind"], details["name"]) == (kind, "web:v1")
