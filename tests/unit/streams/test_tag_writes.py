"""Writes of ImageStreamTags and ImageTags, up to what is stored (`api.md` B8, B9)."""

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
from models.streams.tags.tag_views import view_imagetag, view_istag
from models.streams.tags.tag_writes import (
    create_imagetag,
    create_istag,
    current_imagetag,
    current_istag,
    delete_tag,
    drop_tag,
    put_imagetag,
    put_istag,
)
from models.streams.writes.stream_update import apply_write
from tests.unit.streams.scenes import D1, D2, NOON, event, history, items, stream_of, wish

SOURCE = {"kind": "DockerImage", "name": "quay.io/x/y:1"}
WEB = stream_of(
    [wish("v1", "quay.io/x/y:1", generation=3)],
    [
        history("v1", event(f"quay.io/x/y@{D1}", D1, 3), event(f"quay.io/x/y@{D2}", D2, 1)),
        history("seen", event(f"quay.io/x/y@{D2}", D2, 2)),
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
    [wish("v1", "quay.io/x/y:1")], name="web", namespace="ns1", uid="u1", resource_version="7"
)


def istag(name="web:v1", tag=None, *, spec=SOURCE, **meta):
    """An ImageStreamTag; `tag` None is a null on the wire, a dict is put over the source."""
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
    make = create_istag if isinstance(body, ImageStreamTag) else create_imagetag
    return make(stream, body, namespace="ns1", **rest)


def put(stream, body, *, name=None, **rest):
    make = put_istag if isinstance(body, ImageStreamTag) else put_imagetag
    return make(stream, body, namespace="ns1", name=name or body.metadata.name, **rest)


def store(old, new, **rest):
    """What the rules for a write of the stream make of it."""
    return apply_write(old, new, now=NOON, rules=ImportRules(), **rest)


def patched(current, **changes):
    """A representation with a merge patch upon it, as the body of a PUT."""
    wire = current.wire()
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = wire
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return type(current).model_validate(wire)


def refused(act, *arguments, **rest):
    with pytest.raises(InvalidObjectError) as caught:
        act(*arguments, **rest)
    return [str(error) for error in caught.value.errors]


def fails(error, act, *arguments, **rest):
    with pytest.raises(error) as caught:
        act(*arguments, **rest)
    return caught.value.message


# -- ImageStreamTag: POST --


@pytest.mark.case("api 149")
def test_a_posted_istag_begins_its_stream():
    new = store(None, create(None, istag(tag={})))
    assert (new.metadata.name, new.metadata.namespace, new.metadata.labels) == ("web", "ns1", {})
    assert new.spec_tag("v1").generation == 1
    shown = view_istag(new, "v1", None)
    assert shown.generation == 0
    assert shown.image == ImageStreamTag().image


@pytest.mark.case("api 150")
def test_a_tag_that_is_wished_for_already_exists_in_the_singular():
    text = fails(AlreadyExistsError, create, WEB, istag(tag={}))
    assert text == 'imagestreamtag.image.openshift.io "web:v1" already exists'
    assert fails(AlreadyExistsError, create, WEB, istag()) == text


def test_a_tag_that_was_only_seen_does_not_count_as_existing():
    new = store(WEB, create(WEB, istag("web:seen", tag={})))
    assert new.spec_tag("seen").generation == 5
    assert items(new, "seen") == [(D2, 2)]
    assert new.spec_tag("v1") == WEB.spec_tag("v1")


@pytest.mark.parametrize("name", ["web", "a:b:c", ":v1"])
def test_a_posted_name_that_could_never_be_fetched_is_a_bad_request(name):
    text = fails(BadRequestError, create, None, istag(name, tag={}))
    assert text == f'"{name}" must be of the form <stream_name>:<tag>'


def test_a_posted_name_without_a_tag_is_latest():
    new = create(None, istag("web:", tag={}))
    assert [tag.name for tag in new.spec.tags] == ["latest"]
    text = fails(AlreadyExistsError, create, new, istag("web:", tag={}))
    assert '"web:latest"' in text


def test_a_posted_istag_needs_a_name():
    assert refused(create, None, istag("", tag={})) == [
        "metadata.name: Required value: name or generateName is required"
    ]


@pytest.mark.case("api 154")
def test_a_posted_istag_names_its_tag_whatever_the_tag_says():
    new = create(WEB, istag("web:v2", tag={"name": "other"}))
    assert [tag.name for tag in new.spec.tags] == ["v1", "v2"]


@pytest.mark.case("api 155")
def test_annotations_of_the_tag_have_to_be_those_of_the_object():
    text = (
        'tag.annotations: Invalid value: "map[a:b x:y]": tag annotations must not be provided or '
        "must be equal to the object meta annotations"
    )
    both = {"x": "y", "a": "b"}
    assert refused(create, WEB, istag("web:v2", tag={"annotations": both})) == [text]
    assert refused(create, WEB, istag("web:v2", tag={"annotations": both}, annotations={})) == [
        text
    ]
    same = istag("web:v2", tag={"annotations": both}, annotations=both)
    assert create(WEB, same).spec_tag("v2").annotations == both
    # Creating through PUT knows the same rule.
    assert refused(put, None, istag("web:v2", tag={"annotations": both})) == [text]


def test_annotations_of_the_object_become_the_tags():
    new = create(WEB, istag("web:v2", tag={}, annotations={"n": "w"}, labels={"l": "dropped"}))
    assert new.spec_tag("v2").annotations == {"n": "w"}
    assert new.metadata == WEB.metadata


@pytest.mark.case("api 156")
def test_a_stream_that_cannot_be_named_so_is_refused_by_its_own_name():
    new = create(None, istag("BAD!:x", tag={}))
    text = fails(InvalidObjectError, store, None, new)
    assert text.startswith('ImageStream.image.openshift.io "BAD!" is invalid: metadata.name: ')


def test_a_name_that_no_path_can_hold_is_refused():
    assert refused(create, None, istag("a/b:c", tag={})) == [
        "metadata.name: Invalid value: \"a/b:c\": may not contain '/'"
    ]


@pytest.mark.case("api 157")
def test_without_a_tag_nothing_but_the_stream_comes_to_be():
    new = create(None, istag("web:v1"))
    assert (new.metadata.name, new.spec.tags) == ("web", [])
    assert view_istag(new, "v1", None).tag is None
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
def test_the_rules_for_a_wish_hold_wherever_it_is_written(tag, text):
    assert refused(create, WEB, istag("web:v2", tag=tag)) == [text]
    assert refused(put, WEB, istag("web:v2", tag=tag)) == [text]
    at_spec = "spec" + text.removeprefix("tag")
    assert refused(create, WEB, itag("web:v2", spec=tag)) == [at_spec]
    assert refused(put, PLAIN, itag("web:v2", spec=tag)) == [at_spec]


def test_the_allow_list_is_asked_and_what_the_stream_has_already_is_let_through():
    rule = {"allow_list": AllowList.parse([("docker.io", False)])}
    evil = {"from": {"kind": "DockerImage", "name": "evil.io/x/y"}}
    text = 'tag.from.name: Forbidden: registry "evil.io" not allowed by whitelist: "docker.io:443"'
    assert refused(create, WEB, istag("web:v2", tag=evil), **rule) == [text]
    assert refused(put, None, istag("web:v2", tag=evil), **rule) == [text]
    assert create(WEB, istag("web:v2", tag={}), **rule)
    hub = {"from": {"kind": "DockerImage", "name": "library/nginx"}}
    assert create(None, istag("web:v2", tag=hub), **rule)


def test_the_callers_rules_for_metadata_are_asked():
    error = FieldError.invalid("metadata.annotations", "!", "no")
    rule = {"check_meta": lambda _: [error]}
    for body in (istag("web:v2", tag={}), itag("web:v2", spec={})):
        assert refused(create, PLAIN, body, **rule) == [str(error)]
        assert refused(put, PLAIN, body, **rule) == [str(error)]


# -- ImageStreamTag: PUT --


@pytest.mark.case("api 159")
def test_put_annotations_become_the_tags_and_no_generation_of_it():
    written = put(WEB, patched(view_istag(WEB, "v1", None), metadata__annotations={"n": "w"}))
    assert written.created is False
    new = store(WEB, written.stream)
    assert new.spec_tag("v1").annotations == {"n": "w"}
    assert (new.metadata.generation, new.spec_tag("v1").generation) == (5, 3)
    assert view_istag(new, "v1", None).metadata.annotations == {"n": "w"}


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
def test_put_of_other_metadata_is_refused(meta):
    assert refused(put, WEB, istag(tag={}, **meta)) == [
        'metadata: Invalid value: "": may not update fields other than metadata.annotations'
    ]


@pytest.mark.case("api 161")
def test_a_put_without_labels_and_version_will_do():
    assert put(WEB, istag(tag={})).created is False


def test_what_the_server_owns_may_be_sent_in_any_form():
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
def test_a_put_on_another_version_is_a_conflict(body, resource):
    assert fails(StreamConflictError, put, WEB, body(resourceVersion="1")) == (
        f'Operation cannot be fulfilled on {resource}.image.openshift.io "web:v1": another '
        "caller has updated the resource version to 7"
    )


@pytest.mark.case("api 163")
def test_put_without_a_tag_keeps_the_wish_and_takes_its_annotations():
    written = put(WEB, istag(annotations={"n": "w"}))
    assert written.created is False
    kept = WEB.spec_tag("v1").replace(annotations={"n": "w"})
    assert written.stream.spec_tag("v1") == kept


@pytest.mark.case("api 164")
def test_put_creates_the_tag_and_the_stream_but_not_from_a_version():
    written = put(WEB, istag("web:new", tag={}))
    assert written.created is True
    assert store(WEB, written.stream).spec_tag("new").generation == 5
    begun = put(None, istag("brand:new", tag={}, annotations={"n": "w"}))
    assert begun.created is True
    new = store(None, begun.stream)
    assert (new.metadata.name, new.metadata.namespace) == ("brand", "ns1")
    assert new.spec_tag("new").annotations == {"n": "w"}
    for body, resource in ((istag, "imagestreamtags"), (itag, "imagetags")):
        text = fails(NotFoundError, put, None, body("brand2:new", resourceVersion="5"))
        assert text == f'{resource}.image.openshift.io "brand2:new" not found'


@pytest.mark.case("api 165", "api 166")
@pytest.mark.parametrize("tag", ["new2", "seen"])
def test_put_without_a_tag_needs_a_wish_that_is_there(tag):
    text = fails(BadRequestError, put, WEB, istag(f"web:{tag}", annotations={"n": "w"}))
    assert text == (
        f"imagestreamtag {tag} is not a spec tag in imagestream ns1/web, cannot be updated"
    )
    assert fails(BadRequestError, put, None, istag(f"web:{tag}")) == text


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c"])
def test_put_knows_the_names_that_get_knows(name):
    assert fails(BadRequestError, put, WEB, istag(tag={}), name=name) == (
        "ImageStreamTags must be retrieved with <name>:<tag>"
    )
    assert fails(BadRequestError, put, WEB, itag(spec={}), name=name) == (
        "ImageTags must be retrieved with <name>:<tag>"
    )


def test_what_is_no_wish_and_no_annotation_is_not_looked_at():
    same = put(
        WEB,
        patched(
            view_istag(WEB, "v1", None),
            generation=99,
            lookupPolicy={"local": True},
            image={"metadata": {"name": "x"}},
            conditions=[{"type": "a", "status": "b"}],
        ),
    )
    assert same.stream is WEB


@pytest.mark.case("api 169")
def test_the_body_of_oc_tag_asks_for_a_new_import():
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
    assert items(new, "v1") == [(D1, 3), (D2, 1)]


# -- ImageStreamTag: PATCH --


@pytest.mark.case("api 167")
def test_a_patch_is_a_put_upon_the_current_representation():
    current = current_istag(WEB, namespace="ns1", name="web:v1")
    assert current == view_istag(WEB, "v1", None)
    annotated = put(WEB, patched(current, metadata__annotations={"n": "w"}))
    assert annotated.stream.spec_tag("v1").annotations == {"n": "w"}
    assert refused(put, WEB, patched(current, metadata__labels={"l": "x"}))
    moved = put(WEB, patched(current, tag__from={"kind": "DockerImage", "name": "quay.io/x/y:2"}))
    assert store(WEB, moved.stream).spec_tag("v1").generation == 5


def test_a_patch_of_the_tags_own_annotations_or_to_null_has_no_effect():
    current = current_istag(WEB, namespace="ns1", name="web:v1")
    assert put(WEB, patched(current, tag__annotations={"x": "y"})).stream is WEB
    assert put(WEB, patched(current, tag=None)).stream is WEB


@pytest.mark.case("api 167")
@pytest.mark.parametrize("stream", [WEB, None])
def test_a_patch_of_a_missing_tag_creates_it(stream):
    current = current_istag(stream, namespace="ns1", name="web:new")
    assert current.tag is None
    written = put(stream, patched(current, tag={"name": "new", "from": SOURCE}))
    assert written.created is True
    assert written.stream.spec_tag("new").from_.name == "quay.io/x/y:1"


# -- DELETE --


@pytest.mark.case("api 170", "api 181")
@pytest.mark.parametrize("kind", ["ImageStreamTag", "ImageTag"])
def test_delete_takes_the_wish_and_the_history(kind):
    new = store(WEB, delete_tag(WEB, name="web:v1", kind=kind), keep_status=True)
    assert (new.spec_tag("v1"), new.status_tag("v1")) == (None, None)
    assert items(new, "seen") == [(D2, 2)]
    resource = "imagestreamtags" if kind == "ImageStreamTag" else "imagetags"
    for stream, name, missing in ((new, "web:v1", "web:v1"), (None, "nope:x", "nope")):
        text = fails(NotFoundError, delete_tag, stream, name=name, kind=kind)
        assert text == f'{resource}.image.openshift.io "{missing}" not found'
    text = fails(BadRequestError, delete_tag, WEB, name="web", kind=kind)
    assert text == f"{kind}s must be retrieved with <name>:<tag>"


def test_of_a_tag_that_was_only_wished_for_or_only_seen_that_goes():
    assert drop_tag(PLAIN, "v1").spec.tags == []
    assert drop_tag(WEB, "seen").status_tag("seen") is None
    assert drop_tag(WEB, "none") is WEB


def test_what_followed_a_deleted_tag_keeps_what_it_has():
    stream = stream_of(
        [wish("v1", "quay.io/x/y:1"), wish("track", "v1", kind="ImageStreamTag")],
        [history("v1", event("r", D1)), history("track", event("r", D1))],
    )
    new = store(stream, drop_tag(stream, "v1"), keep_status=True)
    assert items(new, "track") == [(D1, 1)]


@pytest.mark.case("api 171")
def test_delete_has_the_streams_uid_and_version_for_preconditions():
    assert delete_tag(WEB, name="web:v1", uid="u1", resource_version="7")
    text = fails(StreamConflictError, delete_tag, WEB, name="web:v1", uid="bad")
    assert text == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    assert fails(StreamConflictError, delete_tag, WEB, name="web:v1", resource_version="6")


# -- ImageTag --


@pytest.mark.case("api 175")
def test_a_posted_imagetag_needs_a_spec_of_its_own_name():
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
    assert fails(BadRequestError, create, WEB, itag("a:b:c", spec={}))
    assert refused(create, WEB, itag("", spec={})) == [
        "metadata.name: Required value: name or generateName is required"
    ]


@pytest.mark.case("api 176")
def test_a_posted_imagetag_keeps_the_annotations_of_its_spec():
    body = itag(spec={"annotations": {"a": "b"}}, annotations={"c": "d"})
    new = store(None, create(None, body))
    shown = view_imagetag(new, "v1", None)
    assert shown.spec.annotations == {"a": "b"}
    text = fails(AlreadyExistsError, create, new, body)
    assert text == 'imagetags.image.openshift.io "web:v1" already exists'


STATUS = view_imagetag(WEB, "v1", None)


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
def test_put_of_anything_but_the_spec_of_an_imagetag_is_refused(change, field):
    assert refused(put, WEB, patched(STATUS, **change)) == [
        f'{field}: Invalid value: "": may not update fields other than spec'
    ]


def test_an_imagetag_that_is_put_back_as_it_came_changes_nothing():
    assert put(WEB, STATUS).stream is WEB
    assert put(WEB, patched(STATUS, image={"metadata": {"name": "x"}})).stream is WEB


@pytest.mark.case("api 178")
def test_a_minimal_put_of_an_imagetag_works_only_where_there_is_no_history():
    moved = {"from": {"kind": "DockerImage", "name": "quay.io/x/y:2"}}
    written = put(PLAIN, itag(spec=moved))
    assert written.created is False
    assert store(PLAIN, written.stream).spec_tag("v1").generation == 2
    assert put(PLAIN, itag("web:new", spec={})).created is True
    assert put(None, itag("brand:new", spec={})).created is True
    bare = WEB.replace(metadata=PLAIN.metadata)
    assert refused(put, bare, itag(spec=moved)) == [
        'status: Invalid value: "": may not update fields other than spec'
    ]


@pytest.mark.case("api 179")
def test_put_without_a_spec_takes_the_wish_and_keeps_the_history():
    written = put(WEB, patched(STATUS, spec=None))
    assert written.created is False
    new = store(WEB, written.stream)
    assert new.spec_tag("v1") is None
    assert items(new, "v1") == [(D1, 3), (D2, 1)]
    assert view_imagetag(new, "v1", None).spec is None


def test_put_without_a_spec_of_a_tag_that_was_only_seen_changes_nothing():
    seen = current_imagetag(WEB, namespace="ns1", name="web:seen")
    written = put(WEB, seen)
    assert (written.stream, written.created) == (WEB, False)
    assert put(WEB, patched(seen, spec={"name": "seen", "from": SOURCE})).created is True


@pytest.mark.parametrize("stream", [PLAIN, None])
def test_put_of_nothing_onto_nothing_is_refused(stream):
    assert refused(put, stream, itag("web:none")) == [
        "spec: Required value: spec is a required field during creation"
    ]


@pytest.mark.parametrize("stream", [WEB, None])
def test_a_patch_of_a_missing_imagetag_creates_it(stream):
    current = current_imagetag(stream, namespace="ns1", name="web:new")
    written = put(stream, patched(current, spec={"name": "new", "from": SOURCE}))
    assert written.created is True


def test_refusals_name_the_kind_that_was_written():
    for body, kind in ((istag(tag={}), "ImageStreamTag"), (itag(spec={}), "ImageTag")):
        wrong = body.replace(metadata=body.metadata.replace(labels={"x": "y"}))
        with pytest.raises(InvalidObjectError) as caught:
            put(WEB, wrong)
        details = status_of(caught.value)["details"]
        assert (details["kind"], details["name"]) == (kind, "web:v1")
