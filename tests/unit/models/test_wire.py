"""The wire form of resources: keys, times, duplicate tags (api-18.1, api-18.2, api-18.7)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from models.resources.image import Image, ImageLayer
from models.resources.imports import ImageStreamImport
from models.resources.meta import SUCCESS, Status
from models.resources.stream import (
    ImageStream,
    NamedTagEventList,
    TagEvent,
    TagReference,
)


def test_image_wire_without_data_has_empty_docker_image_metadata():
    assert Image().wire() == {
        "metadata": {},
        "dockerImageMetadata": {
            "kind": "DockerImage",
            "apiVersion": "image.openshift.io/1.0",
            "Id": "",
            "Created": None,
            "ContainerConfig": {},
        },
        "dockerImageMetadataVersion": "1.0",
    }


def test_image_accepts_null_docker_image_metadata():
    assert Image.model_validate({"dockerImageMetadata": None}) == Image()


def test_tag_reference_wire_always_has_annotations_and_generation():
    assert TagReference(name="t").wire() == {
        "name": "t",
        "annotations": None,
        "generation": None,
        "importPolicy": {"importMode": "Legacy"},
        "referencePolicy": {"type": "Source"},
    }


def test_tag_event_list_wire_without_events_has_null_items():
    assert NamedTagEventList(tag="t").wire() == {"tag": "t", "items": None}


def test_image_layer_wire_has_size_zero():
    assert ImageLayer(name="d", size=0, media_type="").wire() == {
        "name": "d",
        "size": 0,
        "mediaType": "",
    }


def test_time_wire_is_utc_and_truncated_to_seconds():
    paris = timezone(timedelta(hours=2))
    event = TagEvent(
        created=datetime(2026, 1, 2, 5, 4, 5, 999_999, paris),
        docker_image_reference="r",
        image="i",
        generation=1,
    )
    assert event.wire()["created"] == "2026-01-02T03:04:05Z"
    assert event.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_time_without_zone_is_rejected():
    with pytest.raises(ValidationError, match="time zone"):
        TagEvent(
            created=datetime(2026, 1, 2),
            docker_image_reference="r",
            image="i",
            generation=1,
        )


@pytest.mark.case("import 2-53")
def test_image_stream_keeps_last_of_duplicate_spec_tags():
    stream = ImageStream.model_validate(
        {
            "spec": {
                "tags": [
                    {"name": "x", "from": {"kind": "DockerImage", "name": "quay.io/a:1"}},
                    {"name": "a"},
                    {"name": "x", "from": {"kind": "DockerImage", "name": "quay.io/a:2"}},
                ]
            }
        }
    )
    assert [tag.name for tag in stream.spec.tags] == ["a", "x"]
    assert stream.spec_tag("x").from_.name == "quay.io/a:2"


def test_image_stream_keeps_tags_sorted_when_one_is_added():
    stream = ImageStream().with_spec_tag(TagReference(name="b"))
    stream = stream.with_spec_tag(TagReference(name="a"))
    stream = stream.with_status_tag(NamedTagEventList(tag="z"))
    assert [tag.name for tag in stream.spec.tags] == ["a", "b"]
    assert stream.status_tag("z") == NamedTagEventList(tag="z")
    assert stream.status_tag("y") is None


def test_image_stream_import_wire_always_has_status():
    request = ImageStreamImport.model_validate(
        {"spec": {"import": True, "images": [{"from": {"kind": "DockerImage", "name": "a:b"}}]}}
    )
    printed = request.wire()
    assert printed["status"] == {}
    assert printed["spec"]["import"] is True
    assert "to" not in printed["spec"]["images"][0]


def test_status_wire_keeps_empty_details():
    assert SUCCESS.wire() == {"metadata": {}, "status": "Success"}
    assert Status(status="Failure", details={}, code=403).wire()["details"] == {}
