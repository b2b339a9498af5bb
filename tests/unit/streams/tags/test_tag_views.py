"""Views of one tag or one image of a stream (api-19.1, api-4.7, api-24.1, api-25.1, api-26.1)."""

from datetime import timedelta

import pytest

from models.api_errors import BadRequestError
from models.errors import NotFoundError, StreamConflictError
from models.resources.image import Image
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_views import (
    build_imagetag,
    build_imagetags,
    build_isimage,
    build_istag,
    build_istags,
    parse_image_name,
    parse_new_tag_name,
    parse_tag_name,
    require_imagetag,
    require_istag,
    required_image_digest,
    resolve_isimage,
)
from models.streams.writes.stream_strategy import decorate
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    NOON,
    event,
    history,
    spec_tag,
    stream_of,
)

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
            "name": DIGEST_1,
            "uid": "i1",
            "annotations": {"n": "image", "own": "stays"},
            "creationTimestamp": NOON,
        },
        "dockerImageReference": "first/importer",
        "dockerImageManifest": "{}",
        "dockerImageConfig": "{}",
    }
)
CONDITION = {"type": "ImportSuccess", "status": "False", "generation": 3}


def web_stream(**tag):
    """Return stream web: v1 has spec and status, `pending` only spec, `seen` only status."""
    spec = [
        spec_tag("v1", "quay.io/x/y:1", generation=3, **tag),
        spec_tag("pending", "quay.io/x/y:2"),
    ]
    status = [
        history(
            "v1",
            event(f"quay.io/x/y@{DIGEST_1}", DIGEST_1, 3, at=LATER),
            event(f"quay.io/x/y@{DIGEST_2}", DIGEST_2, 1),
            conditions=[CONDITION],
        ),
        history("seen", event(f"quay.io/x/y@{DIGEST_2}", DIGEST_2, 2)),
        history("broken"),
        history("other", event("quay.io/o:1", "")),
    ]
    return stream_of(spec, status, **META)


# -- names --


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", ":b", "a:", "a:b@c"])
@pytest.mark.parametrize("kind", ["ImageStreamTag", "ImageTag"])
def test_parse_tag_name_requires_stream_and_tag(name, kind):
    with pytest.raises(BadRequestError) as caught:
        parse_tag_name(name, kind)
    assert caught.value.message == f"{kind}s must be retrieved with <name>:<tag>"
    assert parse_tag_name("web:v1", kind) == ("web", "v1")


@pytest.mark.parametrize("name", ["web", "a:b:c", ":b", ""])
def test_parse_new_tag_name_rejects_unretrievable_name(name):
    with pytest.raises(BadRequestError) as caught:
        parse_new_tag_name(name)
    assert caught.value.message == f'"{name}" must be of the form <stream_name>:<tag>'


def test_parse_new_tag_name_defaults_to_latest():
    assert parse_new_tag_name("web:") == ("web", "latest")
    assert parse_new_tag_name("web:v1") == ("web", "v1")


@pytest.mark.case("api 183")
@pytest.mark.parametrize("name", ["s", "s@", "a@b@c", "@b"])
def test_parse_image_name_requires_stream_and_id(name):
    with pytest.raises(BadRequestError) as caught:
        parse_image_name(name)
    assert caught.value.message == "ImageStreamImages must be retrieved with <name>@<id>"
    assert parse_image_name("s@ab") == ("s", "ab")


# -- ImageStreamTag --


@pytest.mark.case("api 158")
def test_istag_combines_stream_metadata_spec_tag_and_image():
    shown = build_istag(web_stream(annotations={"n": "w"}), "v1", IMAGE)
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
    assert shown.tag == web_stream(annotations={"n": "w"}).spec_tag("v1")
    assert [each.generation for each in shown.conditions] == [3]
    assert shown.image.name == DIGEST_1
    assert shown.image.docker_image_reference == f"quay.io/x/y@{DIGEST_1}"


@pytest.mark.case("api 159")
def test_istag_annotations_override_annotations_of_image():
    image = build_istag(web_stream(annotations={"n": "w"}), "v1", IMAGE).image
    assert image.metadata.annotations == {"n": "w", "own": "stays"}
    assert IMAGE.metadata.annotations["n"] == "image"
    assert (image.docker_image_manifest, image.docker_image_config) == ("", "")


def test_istag_without_annotations_omits_them_in_metadata():
    wire = build_istag(web_stream(), "v1", IMAGE).wire()
    assert "annotations" not in wire["metadata"]
    assert wire["tag"]["annotations"] is None


def test_istag_without_spec_tag_has_null_tag():
    shown = build_istag(web_stream(), "seen", None)
    assert shown.tag is None
    assert shown.wire()["tag"] is None
    assert shown.generation == 2


@pytest.mark.case("api 149")
def test_istag_without_event_has_empty_image_and_generation_zero():
    wire = build_istag(web_stream(), "pending", None).wire()
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


def test_istag_lookup_policy_is_of_stream():
    stream = web_stream()
    policy = stream.spec.lookup_policy.replace(local=True)
    stream = stream.replace(spec=stream.spec.replace(lookup_policy=policy))
    assert build_istag(stream, "v1", None).lookup_policy.local is True


@pytest.mark.case("api 168")
@pytest.mark.parametrize("view", [build_istag, build_imagetag])
def test_local_reference_policy_points_to_integrated_registry(view):
    stream = web_stream(referencePolicy={"type": "Local"})
    local = decorate(stream, ImportRules(internal_hostname="reg.local:5000"))
    assert (
        view(local, "v1", IMAGE).image.docker_image_reference == f"reg.local:5000/ns/web@{DIGEST_1}"
    )
    # Without an integrated registry, or with an invalid repository, the source is used.
    assert view(stream, "v1", IMAGE).image.docker_image_reference == f"quay.io/x/y@{DIGEST_1}"
    broken = stream.replace(status=stream.status.replace(docker_image_repository="a///b"))
    assert view(broken, "v1", IMAGE).image.docker_image_reference == f"quay.io/x/y@{DIGEST_1}"


def test_istag_of_local_reference_tag_without_image_keeps_reference():
    stream = stream_of(
        [spec_tag("t", "quay.io/o:1", reference=True, referencePolicy={"type": "Local"})],
        [history("t", event("quay.io/o:1", ""))],
    )
    local = decorate(stream, ImportRules(internal_hostname="reg.local:5000"))
    assert build_istag(local, "t", None).image.docker_image_reference == "quay.io/o:1"


def not_found_message(read, *arguments):
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
        (web_stream(), "web", "none", '"web:none"'),
        (web_stream(), "web", "pending", '"web:pending"'),
        (web_stream(), "web", "broken", '"web:broken"'),
        (web_stream(), "web", "other", '"web:other"'),
        (web_stream(), "web", "v1", f'"{DIGEST_1}"'),
    ],
)
def test_require_istag_without_image_is_not_found(stream, name, tag, text):
    found = not_found_message(require_istag, stream, name, tag, None)
    assert found == f"imagestreamtags.image.openshift.io {text} not found"


def test_require_istag_returns_istag_with_image():
    assert required_image_digest(web_stream(), "v1") == DIGEST_1
    assert (
        required_image_digest(web_stream(), "pending")
        == required_image_digest(web_stream(), "other")
        == ""
    )
    assert required_image_digest(None, "v1") == ""
    assert require_istag(web_stream(), "web", "v1", IMAGE) == build_istag(web_stream(), "v1", IMAGE)


@pytest.mark.case("api 172", "api 173")
def test_istag_list_contains_tags_with_image():
    listed = build_istags(web_stream())
    assert [each.metadata.name for each in listed] == ["web:seen", "web:v1"]
    assert [each.metadata.labels for each in listed] == [{"app": "web"}] * 2
    assert listed[1].image.wire() == {
        "metadata": {"name": DIGEST_1},
        "dockerImageReference": f"quay.io/x/y@{DIGEST_1}",
        "dockerImageMetadata": Image().docker_image_metadata,
        "dockerImageMetadataVersion": "1.0",
    }


# -- ImageTag --


def test_imagetag_combines_metadata_spec_tag_history_and_image():
    stream = web_stream(annotations={"n": "w"})
    shown = build_imagetag(stream, "v1", IMAGE)
    assert shown.metadata == stream.metadata.replace(name="web:v1")
    assert shown.spec == stream.spec_tag("v1")
    assert shown.status == stream.status_tag("v1")
    assert shown.image.docker_image_reference == f"quay.io/x/y@{DIGEST_1}"
    assert shown.image.metadata.annotations == IMAGE.metadata.annotations
    assert shown.image.docker_image_manifest == ""


@pytest.mark.case("api 151", "api 172")
def test_require_imagetag_accepts_spec_tag_or_history_alone():
    pending = require_imagetag(web_stream(), "web", "pending", None).wire()
    assert (pending["status"], pending["image"]) == (None, None)
    seen = require_imagetag(web_stream(), "web", "seen", None).wire()
    assert (seen["spec"], seen["image"]) == (None, None)
    assert len(seen["status"]["items"]) == 1


@pytest.mark.parametrize(
    ("stream", "name", "tag", "text"),
    [(None, "nope", "x", '"nope"'), (web_stream(), "app", "x", '"app:x"')],
)
def test_require_imagetag_without_tag_is_not_found(stream, name, tag, text):
    found = not_found_message(require_imagetag, stream, name, tag, None)
    assert found == f"imagetags.image.openshift.io {text} not found"


@pytest.mark.case("api 180")
def test_imagetag_list_contains_every_spec_tag_and_history():
    listed = build_imagetags(web_stream())
    names = [each.metadata.name.partition(":")[2] for each in listed]
    assert names == ["broken", "other", "pending", "seen", "v1"]
    assert all(each.image is None for each in listed)


# -- ImageStreamImage --

AB = "sha256:ab" + "0" * 62
AC = "sha256:ac" + "0" * 62


@pytest.mark.case("api 182")
@pytest.mark.parametrize("wanted", [AB, AB[:20], "ab00", "sha256:ab"])
def test_resolve_isimage_accepts_digest_or_prefix(wanted):
    assert resolve_isimage([AC, AB, AB], "s", wanted) == AB


@pytest.mark.parametrize("wanted", ["AB00", "b0", "sha512:ab"])
@pytest.mark.case("api 183")
def test_resolve_isimage_of_unknown_image_is_not_found_in_singular(wanted):
    found = not_found_message(resolve_isimage, [AC, AB], "s", wanted)
    assert found == f'imagestreamimage.image.openshift.io "s@{wanted}" not found'


@pytest.mark.case("api 184")
def test_resolve_isimage_of_ambiguous_prefix_is_conflict():
    with pytest.raises(StreamConflictError) as caught:
        resolve_isimage([AC, AB], "s", "a")
    assert caught.value.message == (
        'Operation cannot be fulfilled on imagestreamimage.image.openshift.io "a": multiple '
        f'images match the prefix "a": {AB}, {AC}'
    )


def test_resolve_isimage_prefers_exact_name():
    assert resolve_isimage(["ab", "abc"], "s", "ab") == "ab"


@pytest.mark.case("api 182")
def test_isimage_has_requested_name_and_annotations_of_stream():
    wire = build_isimage(web_stream(), "d1d1", IMAGE).wire()
    assert wire["metadata"] == {
        "name": "web@d1d1",
        "namespace": "ns",
        "creationTimestamp": "2026-01-02T12:00:00Z",
        "annotations": {"of": "the stream"},
    }
    assert wire["image"]["metadata"]["name"] == DIGEST_1
    assert wire["image"]["dockerImageReference"] == "first/importer"
    assert "dockerImageManifest" not in wire["image"]
