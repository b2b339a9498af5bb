"""ImageTags: wish, history and image of one tag (`api.md` B9): cases 175 to 181."""

import pytest

from tests.apiserver import IMAGE_API
from tests.integration.api.pushes import read
from tests.integration.api.rooms import follows, tag_from
from tests.integration.api.test_stream_tags import BARE_SUCCESS, histories, spec_tags
from tests.integration.api.test_streams_created import causes

ONLY_SPEC = 'Invalid value: "": may not update fields other than spec'


def itag(name, source="registry.invalid/x/y:v1", /, **more):
    """The body of a POST or PUT."""
    return {
        "metadata": {"name": name},
        "spec": {"from": {"kind": "DockerImage", "name": source}, **more},
    }


def put(room, name, body, **params):
    return room.put("imagetags", name, body, params=params)


def get(room, name):
    return room.get("imagetags", name)


@pytest.fixture
def pushed(room, digest):
    """A stream `web` with a tag `v1` that is wished for and was seen; the image's digest."""
    name = digest()
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"of": "stream"}},
        "spec": {"tags": [follows("v1", "later") | {"annotations": {"of": "tag"}}]},
    }
    assert room.post("imagestreams", body).status_code == 201
    assert room.map("web", "v1", name).status_code == 201
    return name


@pytest.mark.case("api 175")
def test_an_imagetag_is_created_with_a_spec_of_its_name(room):
    answer = room.post("imagetags", {"metadata": {"name": "web:v1"}})
    assert answer.status_code == 422
    text = "spec is a required field during creation"
    assert causes(answer) == {"spec": f"Required value: {text}"}
    assert f"spec: Required value: {text}" in answer.json()["message"]
    other = room.post("imagetags", itag("web:v1", name="other"))
    assert other.status_code == 422
    expected = 'Invalid value: "other": must match image tag name'
    assert causes(other) == {"spec.name": expected}
    bare = room.post("imagetags", itag("web", name="v1"))
    assert bare.status_code == 422
    assert causes(bare) == {"spec.name": 'Invalid value: "v1": must match image tag name'}
    assert room.get("imagestreams", "web").status_code == 404


@pytest.mark.case("api 176")
def test_an_imagetag_keeps_the_annotations_of_its_spec(room):
    answer = room.post("imagetags", itag("web:v1", annotations={"a": "b"}))
    found = answer.json()
    assert answer.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageTag", "image.openshift.io/v1")
    assert (found["spec"]["name"], found["spec"]["annotations"]) == ("v1", {"a": "b"})
    assert (found["status"], found["image"]) == (None, None)
    assert spec_tags(room)["v1"]["annotations"] == {"a": "b"}
    again = room.post("imagetags", itag("web:v1"))
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    expected = 'imagetags.image.openshift.io "web:v1" already exists'
    assert again.json()["message"] == expected


def test_a_wrong_spec_is_refused_where_it_is_wrong(room):
    body = {"metadata": {"name": "web:v1"}, "spec": {"from": {"kind": "Foo", "name": "x"}}}
    answer = room.post("imagetags", body)
    assert answer.status_code == 422
    assert answer.json()["details"]["kind"] == "ImageTag"
    kinds = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'"
    assert causes(answer) == {"spec.from.kind": f"Required value: {kinds}"}


def test_an_imagetag_has_the_metadata_of_its_stream(room, pushed):
    found = get(room, "web:v1").json()
    stream = room.get("imagestreams", "web").json()
    assert found["metadata"] == stream["metadata"] | {"name": "web:v1"}
    assert found["metadata"]["generation"] == 1
    assert found["spec"] == stream["spec"]["tags"][0]
    assert found["status"] == stream["status"]["tags"][0]
    assert found["image"]["metadata"]["name"] == pushed
    assert "annotations" not in found["image"]["metadata"]
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{pushed}"


@pytest.mark.parametrize("name", ["app", "a@b", "a:b:c", "a:", ":b"])
def test_a_name_that_is_no_tags_is_a_bad_request(room, name):
    answer = get(room, name)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == "ImageTags must be retrieved with <name>:<tag>"


def test_what_is_missing_is_named(room):
    room.stream("web")
    stream, tag = get(room, "nope:x"), get(room, "web:x")
    assert (stream.status_code, tag.status_code) == (404, 404)
    assert stream.json()["message"] == 'imagetags.image.openshift.io "nope" not found'
    assert tag.json()["message"] == 'imagetags.image.openshift.io "web:x" not found'


@pytest.mark.case("api 177")
def test_only_the_spec_of_an_imagetag_can_be_put(room, pushed):
    before = get(room, "web:v1").json()

    def refused(**changes):
        answer = put(room, "web:v1", before | changes)
        assert answer.status_code == 422
        return causes(answer)

    assert refused(status=None) == {"status": ONLY_SPEC}
    items = [before["status"]["items"][0] | {"image": "other"}]
    assert refused(status=before["status"] | {"items": items}) == {"status": ONLY_SPEC}
    labels = before["metadata"] | {"labels": {"app": "other"}}
    assert refused(metadata=labels) == {"metadata": ONLY_SPEC}
    annotations = before["metadata"] | {"annotations": {}}
    assert refused(metadata=annotations) == {"metadata": ONLY_SPEC}
    changed = put(
        room, "web:v1", before | {"spec": before["spec"] | {"annotations": {"a": "b"}}, "image": {}}
    )
    assert changed.status_code == 200
    assert changed.json()["spec"]["annotations"] == {"a": "b"}
    assert changed.json()["image"]["metadata"]["name"] == pushed


@pytest.mark.case("api 178")
def test_a_put_without_a_status_needs_a_tag_without_one(room, digest):
    room.stream("web", follows("wished", "later"))
    room.map("web", "seen", digest())
    answer = put(room, "web:seen", itag("web:seen"))
    assert answer.status_code == 422
    assert causes(answer)["status"] == ONLY_SPEC
    assert put(room, "web:wished", itag("web:wished")).status_code == 200
    assert put(room, "web:new", itag("web:new")).status_code == 201
    assert put(room, "begun:new", itag("begun:new")).status_code == 201


@pytest.mark.case("api 179")
def test_no_spec_takes_the_wish_away_and_leaves_the_history(room, pushed):
    before = get(room, "web:v1").json()
    answer = put(room, "web:v1", before | {"spec": None})
    assert (answer.status_code, answer.json()["spec"]) == (200, None)
    assert answer.json()["status"] == before["status"]
    assert spec_tags(room) == {}
    assert histories(room)["v1"] == before["status"]["items"]
    again = put(room, "web:v1", answer.json())
    assert (again.status_code, again.json()["spec"]) == (200, None)
    wished = put(room, "web:v1", answer.json() | {"spec": before["spec"]})
    assert wished.status_code == 201


def test_another_version_than_the_streams_is_a_conflict(room, pushed):
    body = get(room, "web:v1").json()
    current = body["metadata"]["resourceVersion"]
    body["metadata"]["resourceVersion"] = "1"
    answer = put(room, "web:v1", body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on imagetags.image.openshift.io "web:v1": another caller '
        f"has updated the resource version to {current}"
    )
    body["metadata"] |= {"name": "nope:v1"}
    missing = put(room, "nope:v1", body)
    assert missing.status_code == 404
    assert missing.json()["message"] == 'imagetags.image.openshift.io "nope:v1" not found'


def test_a_patch_is_applied_to_the_view_and_put(room, pushed):
    answer = room.patch("imagetags", "web:v1", {"spec": {"annotations": {"a": "b"}}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["annotations"] == {"of": "tag", "a": "b"}
    patch = [{"op": "add", "path": "/spec", "value": itag("x")["spec"]}]
    created = room.patch("imagetags", "web:new", patch, "json")
    assert created.status_code == 201, created.text
    labelled = room.patch("imagetags", "web:v1", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status_code == 422
    assert causes(labelled) == {"metadata": ONLY_SPEC}


def test_an_imagetag_can_be_applied(room):
    body = {"apiVersion": "image.openshift.io/v1", "kind": "ImageTag", **itag("web:v1")}
    params = {"fieldManager": "me"}
    created = room.patch("imagetags", "web:v1", body, "apply", params=params)
    assert created.status_code == 201, created.text
    body["spec"]["annotations"] = {"a": "b"}
    changed = room.patch("imagetags", "web:v1", body, "apply", params=params)
    assert changed.status_code == 200, changed.text
    assert changed.json()["spec"]["annotations"] == {"a": "b"}


@pytest.mark.case("api 180")
def test_every_tag_wished_for_or_seen_is_listed_without_its_image(room, pushed, digest):
    room.stream("app", tag_from("ref", "q/x:1", reference=True), follows("a", "later"))
    room.map("app", "seen", digest())
    found = room.get("imagetags").json()
    assert (found["kind"], found["apiVersion"]) == ("ImageTagList", "image.openshift.io/v1")
    names = [each["metadata"]["name"] for each in found["items"]]
    assert names == ["app:a", "app:ref", "app:seen", "web:v1"]
    assert [each["image"] for each in found["items"]] == [None] * 4
    shown = {each["metadata"]["name"]: each for each in found["items"]}
    assert shown["app:a"]["status"] is None
    assert shown["app:seen"]["spec"] is None
    assert not {"kind", "apiVersion"} & set(found["items"][0])
    params = {"fieldSelector": "metadata.name=app:seen"}
    [only] = room.get("imagetags", params=params).json()["items"]
    assert only["metadata"]["name"] == "app:seen"
    [only] = room.get("imagetags", params={"labelSelector": "app=web"}).json()["items"]
    assert only["metadata"]["name"] == "web:v1"
    everywhere = room.admin.get(f"{IMAGE_API}/imagetags").json()["items"]
    ours = [each for each in everywhere if each["metadata"]["namespace"] == room.ns]
    assert [each["metadata"]["name"] for each in ours] == names


def test_imagetags_cannot_be_watched(room):
    answer = room.get("imagetags", params={"watch": "1"})
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    expected = 'watch is not supported on resources of kind "imagetags.image.openshift.io"'
    assert answer.json()["message"] == expected
    assert room.admin.delete(room.path("imagetags")).status_code == 405


@pytest.mark.case("api 181")
def test_an_imagetag_goes_with_its_history_and_without_its_image(room, pushed):
    body = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    answer = room.delete("imagetags", "web:v1", json=body)
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on imagetags.image.openshift.io "web:v1": the UID '
        "precondition was not met"
    )
    deleted = room.delete("imagetags", "web:v1")
    assert (deleted.status_code, deleted.json()) == (200, BARE_SUCCESS)
    assert spec_tags(room) == {}
    assert histories(room) == {}
    assert read(room, pushed)["metadata"]["name"] == pushed
    again = room.delete("imagetags", "web:v1")
    assert again.status_code == 404
    assert again.json()["message"] == 'imagetags.image.openshift.io "web:v1" not found'


def test_trials_with_imagetags_store_nothing(room, pushed):
    before = room.get("imagestreams", "web").json()
    trial = {"dryRun": "All"}
    created = room.post("imagetags", itag("web:v9"), params=trial)
    assert created.status_code == 201
    version = before["metadata"]["resourceVersion"]
    assert created.json()["metadata"]["resourceVersion"] == version
    begun = room.post("imagetags", itag("begun:v1"), params=trial)
    assert begun.status_code == 201
    assert begun.json()["metadata"]["uid"]
    assert "resourceVersion" not in begun.json()["metadata"]
    assert put(room, "begun:v1", itag("begun:v1"), **trial).status_code == 201
    body = {"spec": {"annotations": {"a": "b"}}}
    patched = room.patch("imagetags", "web:v1", body, params=trial)
    assert (patched.status_code, patched.json()["spec"]["annotations"]["a"]) == (200, "b")
    deleted = room.delete("imagetags", "web:v1", params=trial)
    assert (deleted.status_code, deleted.json()) == (200, BARE_SUCCESS)
    assert room.get("imagestreams", "web").json() == before
    assert room.get("imagestreams", "begun").status_code == 404
