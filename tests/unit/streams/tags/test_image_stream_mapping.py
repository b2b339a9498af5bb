"""An image pushed onto a tag (api-27.1, api-27.4)."""

from datetime import timedelta

import pytest

from models.errors import InvalidObjectError, NotFoundError
from models.resources.image import Image
from models.resources.stream import ImageStreamMapping
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.tags.image_stream_mapping import apply_mapping, check_mapping
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    NOON,
    event,
    failure,
    history,
    items,
    spec_tag,
    stream_of,
)

RULES = ImportRules(internal_hostname="reg.local:5000")
MANAGED = {"openshift.io/image.managed": "true"}
EMPTY = stream_of(name="s", namespace="ns1", generation=4)


def mapping(
    name=DIGEST_1, tag="t1", *, reference=f"quay.io/x/y@{DIGEST_1}", annotations=None, stream="s"
):
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
def test_mapping_onto_missing_stream_is_not_found():
    with pytest.raises(NotFoundError) as caught:
        push(None, mapping(stream="nostream"))
    assert caught.value.message == ('imagestreammappings.image.openshift.io "nostream" not found')


@pytest.mark.case("api 191")
def test_mapping_requires_tag_stream_and_image():
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


def test_mapping_accepts_any_tag_text():
    assert check_mapping(mapping(tag="weird/tag"), rules=RULES).tag == "weird/tag"


@pytest.mark.case("api 192")
def test_mapping_without_reference_points_to_integrated_registry():
    stream = push(EMPTY, mapping(reference=""))
    (head,) = stream.status_tag("t1").items
    assert head.docker_image_reference == f"reg.local:5000/ns1/s@{DIGEST_1}"
    assert refused(mapping(reference=""), ImportRules()) == [
        "image.dockerImageReference: Required value"
    ]


def test_mapping_records_event_with_stream_generation():
    stream = push(EMPTY, mapping())
    (head,) = stream.status_tag("t1").items
    assert (head.created, head.image, head.generation) == (NOON, DIGEST_1, 4)
    assert head.docker_image_reference == f"quay.io/x/y@{DIGEST_1}"
    assert stream.metadata.generation == 4
    assert stream.status.docker_image_repository == "reg.local:5000/ns1/s"


@pytest.mark.case("api 193")
def test_mapping_of_current_image_writes_nothing():
    pushed = push(EMPTY, mapping())
    assert push(pushed, mapping(), now=NOON + timedelta(hours=1)) is None
    other = push(pushed, mapping(DIGEST_2, reference=f"quay.io/x/y@{DIGEST_2}"))
    restored = push(other, mapping())
    assert [image for image, _ in items(restored, "t1")] == [DIGEST_1, DIGEST_2, DIGEST_1]


@pytest.mark.case("api 194")
def test_mapping_of_stored_managed_image_points_to_own_repository():
    stored = Image.model_validate({"metadata": {"name": DIGEST_1}})
    managed = mapping(annotations=MANAGED)

    def reference(body, **rest):
        return push(EMPTY, body, **rest).status_tag("t1").items[0].docker_image_reference

    assert reference(managed, stored=stored) == f"reg.local:5000/ns1/s@{DIGEST_1}"
    assert reference(managed) == f"quay.io/x/y@{DIGEST_1}"
    assert reference(mapping(), stored=stored) == f"quay.io/x/y@{DIGEST_1}"
    # Without an integrated registry the reference of the request stays.
    assert reference(managed, stored=stored, rules=ImportRules()) == f"quay.io/x/y@{DIGEST_1}"


def test_mapping_of_managed_image_points_to_spec_repository_without_registry():
    stream = stream_of(name="s", namespace="ns1", repository="quay.io/team/app")
    stored = Image.model_validate({"metadata": {"name": DIGEST_1}})
    new = push(stream, mapping(annotations=MANAGED), stored=stored, rules=ImportRules())
    assert new.status_tag("t1").items[0].docker_image_reference == f"quay.io/team/app@{DIGEST_1}"


@pytest.mark.case("api 195")
def test_mapping_updates_tracking_tags_transitively():
    stream = stream_of(
        [
            spec_tag("track", "t1", kind="ImageStreamTag"),
            spec_tag("far", "s:track", kind="ImageStreamTag"),
            spec_tag("aside", "t2", kind="ImageStreamTag"),
        ],
        [history("t1", event("r", DIGEST_1)), history("track", event("r", DIGEST_1))],
        name="s",
        namespace="ns1",
    )
    new = push(stream, mapping(DIGEST_3, reference=f"quay.io/x/y@{DIGEST_3}"))
    for tag in ("t1", "track", "far"):
        assert items(new, tag)[0][0] == DIGEST_3
    assert items(new, "aside") == []


def test_mapping_clears_condition_of_tag():
    condition = {"type": "ImportSuccess", "status": "False", "generation": 2, "reason": "x"}
    stream = stream_of(
        [], [history("t1", conditions=[condition])], name="s", namespace="ns1", generation=2
    )
    new = push(stream, mapping())
    assert failure(new, "t1") is None


def test_mapping_drops_signatures():
    body = mapping()
    signature = {"metadata": {"name": f"{DIGEST_1}@s"}, "type": "t", "content": "eA=="}
    image = Image.model_validate({**body.image.wire(), "signatures": [signature]})
    assert check_mapping(body.replace(image=image), rules=RULES).image.signatures == []


def test_mapping_from_registry_off_allow_list_is_rejected():
    rules = ImportRules(allow_list=AllowList.parse([("quay.io", False)]))
    with pytest.raises(InvalidObjectError) as caught:
        push(EMPTY, mapping(reference=f"evil.io/x/y@{DIGEST_1}"), rules=rules)
    assert [error.field for error in caught.value.errors] == [
        "status.tags[t1].items[0].dockerImageReference"
    ]
