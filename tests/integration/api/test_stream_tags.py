"""ImageStreamTags, views of one tag each (`api.md` B8): cases 149 to 158,
170 to 174, 224.
"""

import pytest

from tests.apiserver import IMAGE_API
from tests.integration.api.pushes import at, pushed_image, read
from tests.integration.api.rooms import follows, tag_from
from tests.integration.api.test_streams_created import causes

BARE_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
NO_IMAGE = {
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


def istag(name, source="registry.invalid/x/y:v1", **more):
    """The body of a POST or PUT; no source: no tag."""
    tag = {} if source is None else {"tag": {"from": {"kind": "DockerImage", "name": source}}}
    return {"metadata": {"name": name}} | tag | more


def post(room, *args, params=None, **more):
    return room.post("imagestreamtags", istag(*args, **more), params=params)


def put(room, name, body, **params):
    return room.put("imagestreamtags", name, body, params=params)


def get(room, name):
    return room.get("imagestreamtags", name)


def patch(room, name, body, kind="merge", **params):
    return room.patch("imagestreamtags", name, body, kind, params=params)


def spec_tags(room, stream="web"):
    spec = room.get("imagestreams", stream).json()["spec"]
    return {tag["name"]: tag for tag in spec.get("tags", [])}


def histories(room, stream="web"):
    status = room.get("imagestreams", stream).json()["status"]
    return {tag["tag"]: tag["items"] for tag in status.get("tags", [])}


@pytest.mark.case("api 149")
def test_a_tag_brings_its_stream_with_it(room):
    answer = post(room, "web:v1")
    found = answer.json()
    assert answer.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamTag", "image.openshift.io/v1")
    assert found["metadata"]["name"] == "web:v1"
    assert found["tag"]["generation"] == 1
    assert found["generation"] == 0
    assert found["image"] == NO_IMAGE
    assert found["lookupPolicy"] == {"local": False}
    stream = room.get("imagestreams", "web").json()
    assert [tag["name"] for tag in stream["spec"]["tags"]] == ["v1"]
    assert not {"labels", "annotations"} & set(stream["metadata"])
    assert found["metadata"]["resourceVersion"]
    for field in ("uid", "creationTimestamp", "namespace"):
        assert found["metadata"][field] == stream["metadata"][field]


@pytest.mark.case("api 150")
def test_a_tag_is_not_created_twice(room):
    assert post(room, "web:v1").status_code == 201
    answer = post(room, "web:v1")
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    expected = 'imagestreamtag.image.openshift.io "web:v1" already exists'
    assert answer.json()["message"] == expected


def test_a_tag_that_was_only_seen_can_still_be_wished_for(room, pushed, digest):
    room.map("web", "seen", digest())
    assert post(room, "web:seen").status_code == 201


@pytest.mark.case("api 151")
def test_a_tag_is_not_found_before_its_import_but_its_wish_is(room):
    post(room, "web:v1")
    answer = get(room, "web:v1")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    expected = 'imagestreamtags.image.openshift.io "web:v1" not found'
    assert answer.json()["message"] == expected
    assert answer.json()["details"] == {
        "name": "web:v1",
        "group": "image.openshift.io",
        "kind": "imagestreamtags",
    }


@pytest.mark.case("api 151")
def test_an_imagetag_is_found_before_its_import(room):
    room.stream("web", follows("v1", "later"))
    answer = room.get("imagetags", "web:v1")
    assert answer.status_code == 200
    assert answer.json()["spec"]["name"] == "v1"
    assert (answer.json()["status"], answer.json()["image"]) == (None, None)


@pytest.mark.case("api 152")
@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", "a:", ":b"])
def test_a_name_that_is_no_tags_is_a_bad_request(room, name):
    answer = get(room, name)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    expected = "ImageStreamTags must be retrieved with <name>:<tag>"
    assert answer.json()["message"] == expected


@pytest.mark.case("api 153")
def test_of_a_missing_stream_only_the_stream_is_named(room):
    answer = get(room, "nope:x")
    assert answer.status_code == 404
    assert answer.json()["message"] == 'imagestreamtags.image.openshift.io "nope" not found'


@pytest.mark.case("api 154")
def test_the_name_of_the_object_is_the_name_of_the_tag(room):
    source = {"kind": "DockerImage", "name": "q/x:1"}
    answer = post(room, "web:v2", tag={"name": "other", "from": source})
    assert (answer.status_code, answer.json()["tag"]["name"]) == (201, "v2")
    assert set(spec_tags(room)) == {"v2"}


@pytest.mark.case("api 155")
def test_annotations_of_a_tag_are_those_of_the_object(room):
    source = {"kind": "DockerImage", "name": "q/x:1"}
    tag = {"from": source, "annotations": {"x": "y"}}
    answer = post(room, "web:v1", tag=tag)
    assert answer.status_code == 422
    assert causes(answer) == {
        "tag.annotations": 'Invalid value: "map[x:y]": tag annotations must not be provided or '
        "must be equal to the object meta annotations"
    }
    same = post(room, "web:v1", tag=tag, metadata={"name": "web:v1", "annotations": {"x": "y"}})
    assert (same.status_code, same.json()["tag"]["annotations"]) == (201, {"x": "y"})


def test_annotations_of_the_object_become_the_tags(room):
    answer = post(room, "web:v1", metadata={"name": "web:v1", "annotations": {"x": "y"}})
    assert answer.status_code == 201
    assert answer.json()["metadata"]["annotations"] == {"x": "y"}
    assert spec_tags(room)["v1"]["annotations"] == {"x": "y"}


@pytest.mark.case("api 156")
def test_a_tag_of_a_stream_that_cannot_be_names_the_stream(room):
    answer = post(room, "BAD!:x")
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        'ImageStream.image.openshift.io "BAD!" is invalid: metadata.name: Invalid value: "BAD!": '
        'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'
    )
    details = answer.json()["details"]
    assert (details["kind"], details["name"]) == ("ImageStream", "BAD!")


@pytest.mark.parametrize("name", ["web", ":v1", "web:v1:more"])
def test_a_name_that_is_no_tags_cannot_be_created(room, name):
    answer = post(room, name)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == f'"{name}" must be of the form <stream_name>:<tag>'


def test_a_tag_without_a_name_is_the_latest(room):
    answer = post(room, "web:")
    assert (answer.status_code, answer.json()["metadata"]["name"]) == (201, "web:latest")
    assert set(spec_tags(room)) == {"latest"}


def test_a_tag_is_not_created_in_a_namespace_that_is_not_there(room):
    answer = room.post("imagestreamtags", istag("web:v1"), ns="zz")
    assert answer.status_code == 404
    assert answer.json()["message"] == 'namespaces "zz" not found'


def test_a_wrong_tag_is_refused_where_it_is_wrong(room):
    tag = {"from": {"kind": "Foo", "name": "x"}, "referencePolicy": {"type": "Bar"}}
    answer = post(room, "web:v1", tag=tag)
    assert answer.status_code == 422
    assert answer.json()["details"]["kind"] == "ImageStreamTag"
    found = causes(answer)
    kinds = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'"
    assert found["tag.from.kind"] == f"Required value: {kinds}"
    text = 'Invalid value: "Bar": valid values are "Source", "Local"'
    assert found["tag.referencePolicy.type"] == text


@pytest.mark.case("api 157")
def test_without_a_tag_only_the_stream_comes_to_be(room):
    answer = post(room, "web:v1", None)
    assert (answer.status_code, answer.json()["tag"]) == (201, None)
    assert spec_tags(room) == {}


@pytest.mark.case("api 158")
def test_a_tag_shows_its_image_in_the_frame_of_its_stream(room, pushed):
    found = get(room, "web:v1").json()
    stream = room.get("imagestreams", "web").json()
    [event] = histories(room)["v1"]
    assert found["generation"] == event["generation"]
    assert found["image"]["metadata"]["name"] == pushed
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{pushed}"
    assert not {"kind", "apiVersion"} & set(found["image"])
    metadata = found["metadata"]
    assert metadata["labels"] == {"app": "web"}
    assert metadata["resourceVersion"] == stream["metadata"]["resourceVersion"]
    assert metadata["uid"] == stream["metadata"]["uid"]
    assert metadata["creationTimestamp"] == event["created"]
    assert not {"annotations", "generation", "managedFields"} & set(metadata)
    assert found["tag"] == stream["spec"]["tags"][0]


def test_a_tag_shows_no_manifest(room):
    image = pushed_image()
    room.stream("web")
    name = image.pop("metadata")["name"]
    assert room.map("web", "v1", name, **image).status_code == 201
    assert "dockerImageManifest" in read(room, name)
    found = get(room, "web:v1").json()["image"]
    assert not {"dockerImageManifest", "dockerImageConfig"} & set(found)
    assert len(found["dockerImageLayers"]) == 3


@pytest.mark.case("api 170")
def test_a_tag_goes_with_its_history_and_without_its_image(room, pushed):
    answer = room.delete("imagestreamtags", "web:v1")
    assert (answer.status_code, answer.json()) == (200, BARE_SUCCESS)
    assert "v1" not in spec_tags(room)
    assert "v1" not in histories(room)
    assert read(room, pushed)["metadata"]["name"] == pushed
    again = room.delete("imagestreamtags", "web:v1")
    assert again.status_code == 404
    expected = 'imagestreamtags.image.openshift.io "web:v1" not found'
    assert again.json()["message"] == expected
    nowhere = room.delete("imagestreamtags", "nope:v1")
    assert nowhere.json()["message"] == 'imagestreamtags.image.openshift.io "nope" not found'
    assert room.delete("imagestreamtags", "web").status_code == 400


@pytest.mark.case("api 171")
def test_a_tag_is_deleted_only_as_its_stream_is_known_to_be(room, pushed):
    tried = room.delete("imagestreamtags", "web:v1", params={"dryRun": "All"})
    assert (tried.status_code, tried.json()) == (200, BARE_SUCCESS)
    assert get(room, "web:v1").status_code == 200

    def delete(**preconditions):
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        return room.delete("imagestreamtags", "web:v1", json=body)

    answer = delete(uid="00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    assert delete(resourceVersion="1").status_code == 409
    metadata = room.get("imagestreams", "web").json()["metadata"]
    found = delete(uid=metadata["uid"], resourceVersion=metadata["resourceVersion"])
    assert found.status_code == 200


@pytest.mark.case("api 172")
def test_a_tag_outlives_its_image_only_in_lists(room, pushed, digest):
    gone = digest("7")
    room.map("web", "gone", gone)
    assert room.admin.delete(at(gone)).status_code == 200
    answer = get(room, "web:gone")
    assert answer.status_code == 404
    expected = f'imagestreamtags.image.openshift.io "{gone}" not found'
    assert answer.json()["message"] == expected
    imagetag = room.get("imagetags", "web:gone")
    assert (imagetag.status_code, imagetag.json()["image"]) == (200, None)
    listed = room.get("imagestreamtags").json()["items"]
    names = {each["metadata"]["name"]: each["image"]["metadata"]["name"] for each in listed}
    assert names == {"web:gone": gone, "web:v1": pushed}


@pytest.mark.case("api 173")
def test_all_tags_with_an_image_are_listed_and_selected(room, pushed, digest):
    room.stream("app", tag_from("ref", "q/x:1", reference=True))
    room.map("app", "v2", digest())
    room.map("app", "v1", digest())

    def listed(path=None, **params):
        answer = room.admin.get(path or room.path("imagestreamtags"), params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(found):
        return [each["metadata"]["name"] for each in found["items"]]

    every = ["app:v1", "app:v2", "web:v1"]
    found = listed()
    assert names(found) == every
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamTagList", "image.openshift.io/v1")
    for each in found["items"]:
        assert not {"kind", "apiVersion"} & set(each)
        assert set(each["image"]) == {*NO_IMAGE, "dockerImageReference"}
    limited = listed(limit="1")
    assert names(limited) == every or limited["metadata"]["continue"]
    assert names(listed(fieldSelector="metadata.name=web:v1")) == ["web:v1"]
    assert names(listed(fieldSelector=f"metadata.namespace!={room.ns}")) == []
    assert names(listed(labelSelector="app=web")) == ["web:v1"]
    everywhere = listed(f"{IMAGE_API}/imagestreamtags")["items"]
    ours = [each for each in everywhere if each["metadata"]["namespace"] == room.ns]
    assert names({"items": ours}) == every
    places = [tuple(each["metadata"][key] for key in ("namespace", "name")) for each in everywhere]
    assert places == sorted(places, key=lambda place: (place[0], *place[1].split(":")))


@pytest.mark.case("api 174")
def test_tags_cannot_be_watched(room):
    answer = room.get("imagestreamtags", params={"watch": "1"})
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    expected = 'watch is not supported on resources of kind "imagestreamtags.image.openshift.io"'
    assert answer.json()["message"] == expected
    assert answer.json()["details"] == {"group": "image.openshift.io", "kind": "imagestreamtags"}
    assert room.admin.delete(room.path("imagestreamtags")).status_code == 405


@pytest.mark.case("api 224")
def test_an_encoded_name_names_the_same(room, pushed):
    raw = get(room, "web:v1").json()
    assert get(room, "web%3Av1").json() == raw
    assert get(room, "web%3av1").json() == raw
    image = room.get("imagestreamimages", f"web@{pushed}")
    assert image.status_code == 200
    encoded = f"web%40{pushed.replace(':', '%3A')}"
    assert room.get("imagestreamimages", encoded).json() == image.json()
    assert put(room, "web%3Av1", {"metadata": {"name": "web:v1"}}).status_code == 200
    assert room.get("imagetags", "web%3Av1").status_code == 200
    assert room.delete("imagestreamtags", "web%3Av1").status_code == 200
