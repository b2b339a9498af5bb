"""The wire form: which keys appear, how times print, what the last of doubles does."""

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


def test_an_embedded_image_without_data_prints_its_metadata_skeleton():
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


def test_null_metadata_is_accepted_on_input():
    assert Image.model_validate({"dockerImageMetadata": None}) == Image()


def test_a_tag_reference_always_shows_annotations_and_generation():
    assert TagReference(name="t").wire() == {
        "name": "t",
        "annotations": None,
        "generation": None,
        "importPolicy": {"importMode": "Legacy"},
        "referencePolicy": {"type": "Source"},
    }


def test_a_tag_without_events_shows_null_items():
    assert NamedTagEventList(tag="t").wire() == {"tag": "t", "items": None}


def test_a_layer_of_no_size_still_shows_it():
    assert ImageLayer(name="d", size=0, media_type="").wire() == {
        "name": "d",
        "size": 0,
        "mediaType": "",
    }


def test_times_are_utc_and_cut_to_seconds():
    paris = timezone(timedelta(hours=2))
    event = TagEvent(
        created=datetime(2026, 1, 2, 5, 4, 5, 999_999, paris),
        docker_image_reference="r",
        image="i",
        generation=1,
    )
    assert event.wire()["created"] == "2026-01-02T03:04:05Z"
    assert event.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_naive_times_are_refused():
    with pytest.raises(ValidationError, match="time zone"):
        TagEvent(
            created=datetime(2026, 1, 2),
            docker_image_reference="r",
            image="i",
            generation=1,
        )


@pytest.mark.case("import 2-53")
def test_the_last_of_two_spec_tags_with_one_name_wins():
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


def test_a_stream_keeps_its_tags_sorted_when_one_is_put_in():
    stream = ImageStream().with_spec_tag(TagReference(name="b"))
    stream = stream.with_spec_tag(TagReference(name="a"))
    stream = stream.with_status_tag(NamedTagEventList(tag="z"))
    assert [tag.name for tag in stream.spec.tags] == ["a", "b"]
    assert stream.status_tag("z") == NamedTagEventList(tag="z")
    assert stream.status_tag("y") is None


def test_an_import_always_shows_its_empty_status():
    request = ImageStreamImport.model_validate(
        {"spec": {"import": True, "images": [{"from": {"kind": "DockerImage", "name": "a:b"}}]}}
    )
    printed = request.wire()
    assert printed["status"] == {}
    assert printed["spec"]["import"] is True
    assert "to" not in printed["spec"]["images"][0]


def test_empty_details_that_were_set_stay_visible():
    assert SUCCESS.wire() == {"metadata": {}, "status": "Success"}
    assert Status(status="Failure", details={}, code=403).wire()["details"] == {}
