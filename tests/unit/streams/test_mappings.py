"""An image pushed onto a tag (`api.md` B12)."""

from datetime import timedelta

import pytest

from models.errors import InvalidObjectError, NotFoundError
from models.resources.image import Image
from models.resources.stream import ImageStreamMapping
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.tags.image_stream_mapping import apply_mapping, check_mapping
from tests.unit.streams.scenes import (
    D1,
    D2,
    D3,
    NOON,
    event,
    failure,
    history,
    items,
    stream_of,
    wish,
)

RULES = ImportRules(internal_hostname="reg.local:5000")
MANAGED = {"openshift.io/image.managed": "true"}
EMPTY = stream_of(name="s", namespace="ns1", generation=4)


def mapping(name=D1, tag="t1", *, reference=f"quay.io/x/y@{D1}", annotations=None, stream="s"):
    return ImageStreamMapping.model_validate(
        {
            "metadata": {"name": stream, "namespace": "ns1"},
            "tag": tag,
            "image": {
                "metadata": {"name": name, "annotations": annotations or {}},
                "dockerImageReference": reference,
            },
        }
    )


def push(stream, body, *, stored=None, rules=RULES, now=NOON):
    checked = check_mapping(body, rules=rules)
    return apply_mapping(stream, checked, now=now, rules=rules, stored=stored)


def refused(body, rules=RULES):
    with pytest.raises(InvalidObjectError) as caught:
        check_mapping(body, rules=rules)
    assert caught.value.kind == "ImageStreamMapping"
    return [str(error) for error in caught.value.errors]


@pytest.mark.case("api 190")
def test_a_missing_stream_is_not_begun():
    with pytest.raises(NotFoundError) as caught:
        push(None, mapping(stream="nostream"))
    assert caught.value.message == ('imagestreammappings.image.openshift.io "nostream" not found')


@pytest.mark.case("api 191")
def test_a_mapping_needs_a_tag_a_stream_and_a_whole_image():
    assert refused(mapping(tag="")) == ["tag: Required value"]
    assert refused(mapping(reference="a///b")) == [
        'image.dockerImageReference: Invalid value: "a///b": invalid reference format'
    ]
    assert refused(mapping("")) == [
        "image.metadata.name: Required value: name or generateName is required"
    ]
    assert refused(mapping(stream="")) == [
        "metadata.name: Required value: name or generateName is required",
        "name: Required value",
        "dockerImageRepository: Required value",
    ]


def test_the_text_of_a_tag_is_free():
    assert check_mapping(mapping(tag="weird/tag"), rules=RULES).tag == "weird/tag"


@pytest.mark.case("api 192")
def test_without_a_reference_the_image_is_in_the_registry_of_our_own():
    stream = push(EMPTY, mapping(reference=""))
    (head,) = stream.status_tag("t1").items
    assert head.docker_image_reference == f"reg.local:5000/ns1/s@{D1}"
    assert refused(mapping(reference=""), ImportRules()) == [
        "image.dockerImageReference: Required value"
    ]


def test_the_event_is_of_now_and_of_the_streams_generation():
    stream = push(EMPTY, mapping())
    (head,) = stream.status_tag("t1").items
    assert (head.created, head.image, head.generation) == (NOON, D1, 4)
    assert head.docker_image_reference == f"quay.io/x/y@{D1}"
    assert stream.metadata.generation == 4
    assert stream.status.docker_image_repository == "reg.local:5000/ns1/s"


@pytest.mark.case("api 193")
def test_a_push_of_what_is_there_writes_nothing_and_any_other_is_history():
    once = push(EMPTY, mapping())
    assert push(once, mapping(), now=NOON + timedelta(hours=1)) is None
    other = push(once, mapping(D2, reference=f"quay.io/x/y@{D2}"))
    back = push(other, mapping())
    assert [image for image, _ in items(back, "t1")] == [D1, D2, D1]


@pytest.mark.case("api 194")
def test_a_managed_image_that_was_there_before_is_reached_through_this_stream():
    stored = Image.model_validate({"metadata": {"name": D1}})
    managed = mapping(annotations=MANAGED)

    def reference(body, **rest):
        return push(EMPTY, body, **rest).status_tag("t1").items[0].docker_image_reference

    assert reference(managed, stored=stored) == f"reg.local:5000/ns1/s@{D1}"
    assert reference(managed) == f"quay.io/x/y@{D1}"
    assert reference(mapping(), stored=stored) == f"quay.io/x/y@{D1}"
    # Without a registry of our own nothing better is known.
    assert reference(managed, stored=stored, rules=ImportRules()) == f"quay.io/x/y@{D1}"


def test_a_managed_image_is_reached_through_the_streams_repository_where_there_is_no_registry():
    stream = stream_of(name="s", namespace="ns1", repository="quay.io/team/app")
    stored = Image.model_validate({"metadata": {"name": D1}})
    new = push(stream, mapping(annotations=MANAGED), stored=stored, rules=ImportRules())
    assert new.status_tag("t1").items[0].docker_image_reference == f"quay.io/team/app@{D1}"


@pytest.mark.case("api 195")
def test_tags_that_follow_the_tag_follow_the_push_transitively():
    stream = stream_of(
        [
            wish("track", "t1", kind="ImageStreamTag"),
            wish("far", "s:track", kind="ImageStreamTag"),
            wish("aside", "t2", kind="ImageStreamTag"),
        ],
        [history("t1", event("r", D1)), history("track", event("r", D1))],
        name="s",
        namespace="ns1",
    )
    new = push(stream, mapping(D3, reference=f"quay.io/x/y@{D3}"))
    for tag in ("t1", "track", "far"):
        assert items(new, tag)[0][0] == D3
    assert items(new, "aside") == []


def test_a_push_clears_the_tags_condition():
    condition = {"type": "ImportSuccess", "status": "False", "generation": 2, "reason": "x"}
    stream = stream_of(
        [], [history("t1", conditions=[condition])], name="s", namespace="ns1", generation=2
    )
    new = push(stream, mapping())
    assert failure(new, "t1") is None


def test_signatures_do_not_come_with_a_push():
    body = mapping()
    signature = {"metadata": {"name": f"{D1}@s"}, "type": "t", "content": "eA=="}
    image = Image.model_validate({**body.image.wire(), "signatures": [signature]})
    assert check_mapping(body.replace(image=image), rules=RULES).image.signatures == []


def test_a_push_from_a_registry_that_is_not_allowed_is_refused():
    rules = ImportRules(allow_list=AllowList.parse([("quay.io", False)]))
    with pytest.raises(InvalidObjectError) as caught:
        push(EMPTY, mapping(reference=f"evil.io/x/y@{D1}"), rules=rules)
    assert [error.field for error in caught.value.errors] == [
        "status.tags[t1].items[0].dockerImageReference"
    ]
