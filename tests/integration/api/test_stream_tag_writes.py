"""Writes of ImageStreamTags: each becomes a wish of its stream (`api.md` B8): cases 159 to 169."""

import re

import pytest

from tests.integration.api.pushes import read
from tests.integration.api.test_stream_tags import (
    get,
    histories,
    istag,
    patch,
    post,
    put,
    spec_tags,
)
from tests.integration.api.test_streams_created import causes

ONLY_ANNOTATIONS = "may not update fields other than metadata.annotations"


@pytest.mark.case("api 159")
def test_annotations_of_a_tag_are_shown_in_three_places(room, pushed):
    body = get(room, "web:v1").json()
    body["metadata"]["annotations"] = {"n": "w"}
    answer = put(room, "web:v1", body)
    assert answer.status_code == 200
    for found in (answer.json(), get(room, "web:v1").json()):
        assert found["metadata"]["annotations"] == {"n": "w"}
        assert found["tag"]["annotations"] == {"n": "w"}
        assert found["image"]["metadata"]["annotations"] == {"n": "w"}
    assert "annotations" not in read(room, pushed)["metadata"]


@pytest.mark.case("api 160")
@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"app": "other"}},
        {"uid": "00000000-0000-0000-0000-000000000000"},
        {"finalizers": ["a.io/b"]},
    ],
)
def test_of_the_metadata_only_annotations_can_be_put(room, pushed, change):
    body = get(room, "web:v1").json()
    body["metadata"] |= change
    answer = put(room, "web:v1", body)
    assert answer.status_code == 422
    assert causes(answer) == {"metadata": f'Invalid value: "": {ONLY_ANNOTATIONS}'}
    expected = f'"web:v1" is invalid: metadata: Invalid value: "": {ONLY_ANNOTATIONS}'
    assert answer.json()["message"].endswith(expected)


@pytest.mark.case("api 161")
def test_labels_and_version_may_be_left_out(room, pushed):
    body = get(room, "web:v1").json()
    del body["metadata"]["labels"]
    del body["metadata"]["resourceVersion"]
    answer = put(room, "web:v1", body)
    assert answer.status_code == 200
    assert answer.json()["metadata"]["labels"] == {"app": "web"}


@pytest.mark.case("api 162")
def test_another_version_than_the_streams_is_a_conflict(room, pushed):
    body = get(room, "web:v1").json()
    current = body["metadata"]["resourceVersion"]
    body["metadata"]["resourceVersion"] = "1"
    answer = put(room, "web:v1", body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on imagestreamtags.image.openshift.io "web:v1": another '
        f"caller has updated the resource version to {current}"
    )


@pytest.mark.case("api 163")
def test_no_tag_means_the_tag_that_there_is(room, pushed):
    before = spec_tags(room)["v1"]
    answer = put(room, "web:v1", {"metadata": {"name": "web:v1"}, "tag": None})
    assert (answer.status_code, answer.json()["tag"]) == (200, before)
    assert spec_tags(room)["v1"] == before


def test_what_the_server_tells_of_a_tag_cannot_be_put(room, pushed):
    before = get(room, "web:v1").json()
    changed = before | {
        "lookupPolicy": {"local": True},
        "generation": 99,
        "image": {"metadata": {"name": "other"}},
        "conditions": [{"type": "ImportSuccess", "status": "False"}],
    }
    answer = put(room, "web:v1", changed)
    assert answer.status_code == 200
    assert answer.json() == before


@pytest.mark.case("api 164")
def test_a_put_creates_tag_and_stream(room):
    room.stream("web")
    assert put(room, "web:new", istag("web:new")).status_code == 201
    assert put(room, "brand:new", istag("brand:new")).status_code == 201
    assert set(spec_tags(room, "brand")) == {"new"}
    body = istag("brand2:new", metadata={"name": "brand2:new", "resourceVersion": "5"})
    answer = put(room, "brand2:new", body)
    assert answer.status_code == 404
    expected = 'imagestreamtags.image.openshift.io "brand2:new" not found'
    assert answer.json()["message"] == expected


@pytest.mark.case("api 165")
def test_a_put_without_a_tag_creates_nothing(room):
    room.stream("web")
    answer = put(room, "web:new2", istag("web:new2", None))
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        f"imagestreamtag new2 is not a spec tag in imagestream {room.ns}/web, cannot be updated"
    )


@pytest.mark.case("api 166")
def test_a_tag_that_was_only_seen_cannot_be_annotated(room, pushed, digest):
    room.map("web", "seen", digest())
    body = get(room, "web:seen").json()
    body["metadata"]["annotations"] = {"a": "b"}
    answer = put(room, "web:seen", body)
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        f"imagestreamtag seen is not a spec tag in imagestream {room.ns}/web, cannot be updated"
    )


@pytest.mark.case("api 167")
def test_a_patch_is_applied_to_the_view_and_put(room, pushed):
    annotated = patch(room, "web:v1", {"metadata": {"annotations": {"n": "w"}}})
    assert (annotated.status_code, annotated.json()["tag"]["annotations"]) == (200, {"n": "w"})
    labelled = patch(room, "web:v1", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status_code == 422
    assert causes(labelled) == {"metadata": f'Invalid value: "": {ONLY_ANNOTATIONS}'}
    before = room.get("imagestreams", "web").json()["metadata"]["generation"]
    moved = [{"op": "replace", "path": "/tag/from/name", "value": "elsewhere"}]
    answer = patch(room, "web:v1", moved, "json")
    assert answer.status_code == 200
    assert answer.json()["tag"]["from"]["name"] == "elsewhere"
    assert answer.json()["tag"]["generation"] == before + 1
    tag = {"from": {"kind": "DockerImage", "name": "registry.invalid/x/y:2"}}
    for absent in ("web:absent", "begun:v1"):
        created = patch(room, absent, {"tag": {"name": "x"} | tag}, "strategic")
        assert created.status_code == 201, created.text
    assert set(spec_tags(room)) == {"v1", "absent"}
    nothing = patch(room, "web:nothing", {"metadata": {"annotations": {"a": "b"}}})
    assert nothing.status_code == 400


def test_the_metadata_of_a_tag_follows_the_rules_for_any(room, pushed):
    wrong = {"annotations": {"bad key!": "x"}}
    created = post(
        room, "web:v9", metadata={"name": "web:v9", "labels": {"bad key!": "x"}, **wrong}
    )
    assert created.status_code == 422
    text = 'Invalid value: "bad key!": name part must consist of alphanumeric characters'
    assert set(causes(created)) == {"metadata.labels", "metadata.annotations"}
    assert causes(created)["metadata.annotations"].startswith(text)
    replaced = put(room, "web:v1", istag("web:v1", metadata={"name": "web:v1", **wrong}))
    assert replaced.status_code == 422
    assert causes(replaced)["metadata.annotations"].startswith(text)


def test_the_name_of_a_tag_can_be_generated(room):
    answer = post(room, "", metadata={"generateName": "web:v-"})
    assert answer.status_code == 201
    name = answer.json()["metadata"]["name"]
    assert re.fullmatch("web:v-[bcdfghjklmnpqrstvwxz2456789]{5}", name)
    assert get(room, "web:v1").status_code == 404


def test_a_patch_of_the_tags_own_annotations_has_no_effect(room, pushed):
    patch(room, "web:v1", {"metadata": {"annotations": {"n": "w"}}})
    before = get(room, "web:v1").json()
    for body in ({"tag": {"annotations": {"other": "x"}}}, {"tag": None}):
        answer = patch(room, "web:v1", body)
        assert (answer.status_code, answer.json()) == (200, before)


def test_a_tag_can_be_applied(room):
    body = {"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag", **istag("web:v1")}
    created = patch(room, "web:v1", body, "apply", fieldManager="me")
    assert created.status_code == 201, created.text
    body["metadata"]["annotations"] = {"a": "b"}
    changed = patch(room, "web:v1", body, "apply", fieldManager="me")
    assert changed.status_code == 200, changed.text
    assert changed.json()["tag"]["annotations"] == {"a": "b"}
    assert "managedFields" not in changed.json()["metadata"]


@pytest.mark.case("api 168")
def test_a_local_tag_is_pulled_from_our_own_registry(room, pushed):
    answer = patch(room, "web:v1", {"tag": {"referencePolicy": {"type": "Local"}}})
    assert answer.status_code == 200
    expected = f"reg.local:5000/{room.ns}/web@{pushed}"
    assert answer.json()["image"]["dockerImageReference"] == expected
    assert get(room, "web:v1").json()["image"]["dockerImageReference"] == expected


@pytest.mark.case("api 169")
def test_the_tag_command_asks_for_the_tag_anew(room, pushed):
    before = room.get("imagestreams", "web").json()["metadata"]["generation"]
    body = {
        "kind": "ImageStreamTag",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "web:v1", "namespace": room.ns},
        "tag": {
            "name": "v1",
            "annotations": None,
            "from": {"kind": "DockerImage", "name": "registry.invalid/app:v3"},
            "generation": 0,
            "importPolicy": {"importMode": "Legacy"},
            "referencePolicy": {"type": "Source"},
        },
        "generation": 0,
        "lookupPolicy": {"local": False},
        "image": {"metadata": {}, "dockerImageMetadata": None},
    }
    for generation in (before + 1, before + 2):
        answer = put(room, "web:v1", body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["tag"]["generation"] == generation
        stream = room.get("imagestreams", "web").json()
        assert stream["metadata"]["generation"] == generation


def test_trials_with_tags_store_nothing(room, pushed):
    before = room.get("imagestreams", "web").json()
    trial = {"dryRun": "All"}
    created = post(room, "web:v9", params=trial)
    assert created.status_code == 201
    version = before["metadata"]["resourceVersion"]
    assert created.json()["metadata"]["resourceVersion"] == version
    begun = post(room, "begun:v1", params=trial)
    assert begun.status_code == 201
    assert begun.json()["metadata"]["uid"]
    assert "resourceVersion" not in begun.json()["metadata"]
    assert put(room, "begun:v1", istag("begun:v1"), **trial).status_code == 201
    assert put(room, "web:v1", istag("web:v1"), **trial).status_code == 200
    patched = patch(room, "web:v1", {"metadata": {"annotations": {"a": "b"}}}, **trial)
    assert (patched.status_code, patched.json()["tag"]["annotations"]) == (200, {"a": "b"})
    assert post(room, "web:v1", params=trial).status_code == 409
    assert room.get("imagestreams", "web").json() == before
    assert room.get("imagestreams", "begun").status_code == 404


def test_whoever_may_not_pull_from_another_namespace_may_not_tag_from_it(room, digest):
    """Nor learn whether there is anything (`api.md` D.4)."""
    room.stream("src", ns=room.other)
    room.map("src", "v1", digest(), ns=room.other)
    editor = room.user(("edit", room.ns), ("view", room.other))
    rights = ("edit", room.ns), ("puller", room.other, "src")
    puller = room.user(*rights, name=f"{room.who}p")

    def tag_from_other(name, kind="imagestreamtags", who=editor):
        source = {"kind": "ImageStreamTag", "namespace": room.other, "name": name}
        key = "tag" if kind == "imagestreamtags" else "spec"
        body = {"metadata": {"name": "web:v1"}, key: {"name": "v1", "from": source}}
        return who.put(room.path(kind, "web:v1"), json=body)

    for kind in ("imagestreamtags", "imagetags"):
        for source in ("src", "nope"):
            answer = tag_from_other(f"{source}:v1", kind)
            assert answer.status_code == 422, answer.text
            expected = f'Forbidden: {room.other}/{source}: "" ""'
            assert causes(answer) == {"spec.tags[v1].from": expected}
    assert room.get("imagestreams", "web").status_code == 404
    assert tag_from_other("src:v1", who=puller).status_code == 201
    assert set(histories(room)) == {"v1"}
