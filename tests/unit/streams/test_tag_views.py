"""One tag or one image of a stream, as clients see it (`api.md` B2.1, B2.6, B8 to B10)."""

from datetime import timedelta

import pytest

from models.api_errors import BadRequestError
from models.errors import NotFoundError, StreamConflictError
from models.resources.image import Image
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_views import (
    list_imagetags,
    list_istags,
    parse_image_name,
    parse_new_tag_name,
    parse_tag_name,
    read_imagetag,
    read_istag,
    resolve_isimage,
    view_imagetag,
    view_isimage,
    view_istag,
    wanted_image,
)
from models.streams.writes.stream_strategy import decorate
from tests.unit.streams.scenes import D1, D2, NOON, event, history, stream_of, wish

LATER = NOON + timedelta(hours=1)
META = {
    "name": "web",
    "uid": "u1",
    "resource_version": "7",
    "creation_timestamp": NOON,
    "labels": {"app": "web"},
    "annotations": {"of": "the stream"},
    "generation": 4,
}
IMAGE = Image.model_validate(
    {
        "metadata": {
            "name": D1,
            "uid": "i1",
            "annotations": {"n": "image", "own": "kept"},
            "creationTimestamp": NOON,
        },
        "dockerImageReference": "first/importer",
        "dockerImageManifest": "{}",
        "dockerImageConfig": "{}",
    }
)
CONDITION = {"type": "ImportSuccess", "status": "False", "generation": 3}


def scene(**tag):
    """Stream web: v1 wished for and seen, wished only wished for, seen only seen."""
    spec = [wish("v1", "quay.io/x/y:1", generation=3, **tag), wish("wished", "quay.io/x/y:2")]
    status = [
        history(
            "v1",
            event(f"quay.io/x/y@{D1}", D1, 3, at=LATER),
            event(f"quay.io/x/y@{D2}", D2, 1),
            conditions=[CONDITION],
        ),
        history("seen", event(f"quay.io/x/y@{D2}", D2, 2)),
        history("broken"),
        history("other", event("quay.io/o:1", "")),
    ]
    return stream_of(spec, status, **META)


# -- names --


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", ":b", "a:", "a:b@c"])
@pytest.mark.parametrize("kind", ["ImageStreamTag", "ImageTag"])
def test_a_tag_in_a_path_is_a_stream_and_a_tag(name, kind):
    with pytest.raises(BadRequestError) as caught:
        parse_tag_name(name, kind)
    assert caught.value.message == f"{kind}s must be retrieved with <name>:<tag>"
    assert parse_tag_name("web:v1", kind) == ("web", "v1")


@pytest.mark.parametrize("name", ["web", "a:b:c", ":b", ""])
def test_a_new_tag_cannot_be_named_in_a_way_that_is_never_found_again(name):
    with pytest.raises(BadRequestError) as caught:
        parse_new_tag_name(name)
    assert caught.value.message == f'"{name}" must be of the form <stream_name>:<tag>'


def test_a_new_tag_without_a_name_is_latest():
    assert parse_new_tag_name("web:") == ("web", "latest")
    assert parse_new_tag_name("web:v1") == ("web", "v1")


@pytest.mark.case("api 183")
@pytest.mark.parametrize("name", ["s", "s@", "a@b@c", "@b"])
def test_an_image_in_a_path_is_a_stream_and_an_id(name):
    with pytest.raises(BadRequestError) as caught:
        parse_image_name(name)
    assert caught.value.message == "ImageStreamImages must be retrieved with <name>@<id>"
    assert parse_image_name("s@ab") == ("s", "ab")


# -- ImageStreamTag --


@pytest.mark.case("api 158")
def test_an_istag_is_the_streams_metadata_the_wish_and_the_image():
    shown = view_istag(scene(annotations={"n": "w"}), "v1", IMAGE)
    assert shown.metadata.wire() == {
        "name": "web:v1",
        "namespace": "ns",
        "uid": "u1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-02T13:00:00Z",
        "labels": {"app": "web"},
        "annotations": {"n": "w"},
    }
    assert shown.generation == 3
    assert shown.tag == scene(annotations={"n": "w"}).spec_tag("v1")
    assert [each.generation for each in shown.conditions] == [3]
    assert shown.image.name == D1
    assert shown.image.docker_image_reference == f"quay.io/x/y@{D1}"


@pytest.mark.case("api 159")
def test_the_wishs_annotations_lie_over_the_images_own():
    image = view_istag(scene(annotations={"n": "w"}), "v1", IMAGE).image
    assert image.metadata.annotations == {"n": "w", "own": "kept"}
    assert IMAGE.metadata.annotations["n"] == "image"
    assert (image.docker_image_manifest, image.docker_image_config) == ("", "")


def test_a_wish_without_annotations_shows_none():
    wire = view_istag(scene(), "v1", IMAGE).wire()
    assert "annotations" not in wire["metadata"]
    assert wire["tag"]["annotations"] is None


def test_a_tag_that_was_only_seen_has_no_wish():
    shown = view_istag(scene(), "seen", None)
    assert shown.tag is None
    assert shown.wire()["tag"] is None
    assert shown.generation == 2


@pytest.mark.case("api 149")
def test_a_tag_that_was_only_wished_for_shows_an_empty_image_and_generation_zero():
    wire = view_istag(scene(), "wished", None).wire()
    assert wire["generation"] == 0
    assert wire["metadata"]["creationTimestamp"] == "2026-01-02T12:00:00Z"
    assert wire["image"] == {
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


def test_the_lookup_policy_is_the_streams():
    stream = scene()
    policy = stream.spec.lookup_policy.replace(local=True)
    stream = stream.replace(spec=stream.spec.replace(lookup_policy=policy))
    assert view_istag(stream, "v1", None).lookup_policy.local is True


@pytest.mark.case("api 168")
@pytest.mark.parametrize("view", [view_istag, view_imagetag])
def test_the_local_policy_points_at_the_integrated_registry(view):
    stream = scene(referencePolicy={"type": "Local"})
    local = decorate(stream, ImportRules(internal_hostname="reg.local:5000"))
    assert view(local, "v1", IMAGE).image.docker_image_reference == f"reg.local:5000/ns/web@{D1}"
    # Without a registry of our own, or one that makes no sense, the source has to do.
    assert view(stream, "v1", IMAGE).image.docker_image_reference == f"quay.io/x/y@{D1}"
    broken = stream.replace(status=stream.status.replace(docker_image_repository="a///b"))
    assert view(broken, "v1", IMAGE).image.docker_image_reference == f"quay.io/x/y@{D1}"


def test_a_local_reference_tag_without_an_image_keeps_its_reference():
    stream = stream_of(
        [wish("t", "quay.io/o:1", reference=True, referencePolicy={"type": "Local"})],
        [history("t", event("quay.io/o:1", ""))],
    )
    local = decorate(stream, ImportRules(internal_hostname="reg.local:5000"))
    assert view_istag(local, "t", None).image.docker_image_reference == "quay.io/o:1"


def missing(read, *arguments):
    with pytest.raises(NotFoundError) as caught:
        read(*arguments)
    assert caught.value.details() == {
        "name": caught.value.name,
        "group": "image.openshift.io",
        "kind": caught.value.resource,
    }
    return caught.value.message


@pytest.mark.case("api 151", "api 153", "api 172")
@pytest.mark.parametrize(
    ("stream", "name", "tag", "text"),
    [
        (None, "nope", "x", '"nope"'),
        (scene(), "web", "none", '"web:none"'),
        (scene(), "web", "wished", '"web:wished"'),
        (scene(), "web", "broken", '"web:broken"'),
        (scene(), "web", "other", '"web:other"'),
        (scene(), "web", "v1", f'"{D1}"'),
    ],
)
def test_an_istag_that_means_no_image_is_not_found(stream, name, tag, text):
    found = missing(read_istag, stream, name, tag, None)
    assert found == f"imagestreamtags.image.openshift.io {text} not found"


def test_an_istag_with_its_image_is_found():
    assert wanted_image(scene(), "v1") == D1
    assert wanted_image(scene(), "wished") == wanted_image(scene(), "other") == ""
    assert wanted_image(None, "v1") == ""
    assert read_istag(scene(), "web", "v1", IMAGE) == view_istag(scene(), "v1", IMAGE)


@pytest.mark.case("api 172", "api 173")
def test_the_list_of_istags_has_what_means_an_image_by_name_and_reference_only():
    listed = list_istags(scene())
    assert [each.metadata.name for each in listed] == ["web:seen", "web:v1"]
    assert [each.metadata.labels for each in listed] == [{"app": "web"}] * 2
    assert listed[1].image.wire() == {
        "metadata": {"name": D1},
        "dockerImageReference": f"quay.io/x/y@{D1}",
        "dockerImageMetadata": Image().docker_image_metadata,
        "dockerImageMetadataVersion": "1.0",
    }


# -- ImageTag --


def test_an_imagetag_is_the_streams_whole_metadata_the_wish_the_history_and_the_image():
    stream = scene(annotations={"n": "w"})
    shown = view_imagetag(stream, "v1", IMAGE)
    assert shown.metadata == stream.metadata.replace(name="web:v1")
    assert shown.spec == stream.spec_tag("v1")
    assert shown.status == stream.status_tag("v1")
    assert shown.image.docker_image_reference == f"quay.io/x/y@{D1}"
    assert shown.image.metadata.annotations == IMAGE.metadata.annotations
    assert shown.image.docker_image_manifest == ""


@pytest.mark.case("api 151", "api 172")
def test_an_imagetag_is_found_wherever_there_is_a_wish_or_a_history():
    wished = read_imagetag(scene(), "web", "wished", None).wire()
    assert (wished["status"], wished["image"]) == (None, None)
    seen = read_imagetag(scene(), "web", "seen", None).wire()
    assert (seen["spec"], seen["image"]) == (None, None)
    assert len(seen["status"]["items"]) == 1


@pytest.mark.parametrize(
    ("stream", "name", "tag", "text"),
    [(None, "nope", "x", '"nope"'), (scene(), "app", "x", '"app:x"')],
)
def test_an_imagetag_of_nothing_is_not_found(stream, name, tag, text):
    found = missing(read_imagetag, stream, name, tag, None)
    assert found == f"imagetags.image.openshift.io {text} not found"


@pytest.mark.case("api 180")
def test_the_list_of_imagetags_has_every_wish_and_every_history():
    listed = list_imagetags(scene())
    names = [each.metadata.name.partition(":")[2] for each in listed]
    assert names == ["broken", "other", "seen", "v1", "wished"]
    assert all(each.image is None for each in listed)


# -- ImageStreamImage --

AB = "sha256:ab" + "0" * 62
AC = "sha256:ac" + "0" * 62


@pytest.mark.case("api 182")
@pytest.mark.parametrize("wanted", [AB, AB[:20], "ab00", "sha256:ab"])
def test_an_image_is_named_by_its_digest_or_the_beginning_of_it(wanted):
    assert resolve_isimage([AC, AB, AB], "s", wanted) == AB


@pytest.mark.parametrize("wanted", ["AB00", "b0", "sha512:ab"])
@pytest.mark.case("api 183")
def test_an_image_that_the_stream_never_had_is_not_found_in_the_singular(wanted):
    found = missing(resolve_isimage, [AC, AB], "s", wanted)
    assert found == f'imagestreamimage.image.openshift.io "s@{wanted}" not found'


@pytest.mark.case("api 184")
def test_a_beginning_that_fits_several_images_is_a_conflict():
    with pytest.raises(StreamConflictError) as caught:
        resolve_isimage([AC, AB], "s", "a")
    assert caught.value.message == (
        'Operation cannot be fulfilled on imagestreamimage.image.openshift.io "a": multiple '
        f'images match the prefix "a": {AB}, {AC}'
    )


def test_the_exact_name_wins_over_longer_ones():
    assert resolve_isimage(["ab", "abc"], "s", "ab") == "ab"


@pytest.mark.case("api 182")
def test_an_isimage_echoes_the_request_and_carries_the_streams_annotations():
    wire = view_isimage(scene(), "d1d1", IMAGE).wire()
    assert wire["metadata"] == {
        "name": "web@d1d1",
        "namespace": "ns",
        "creationTimestamp": "2026-01-02T12:00:00Z",
        "annotations": {"of": "the stream"},
    }
    assert wire["image"]["metadata"]["name"] == D1
    assert wire["image"]["dockerImageReference"] == "first/importer"
    assert "dockerImageManifest" not in wire["image"]
