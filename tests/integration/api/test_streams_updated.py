"""PUT of streams and of their status (`api.md` B6, B7, C7): cases 43 to 70."""

import pytest

from tests.integration.api.rooms import follows, tag_from
from tests.integration.api.test_streams_created import causes


def read(room, name="app", ns=None):
    return room.get("imagestreams", name, ns=ns).json()


def write(room, stream, **more):
    return room.put("imagestreams", stream["metadata"]["name"], stream, **more)


@pytest.mark.case("api 43")
def test_a_put_that_changes_nothing_writes_nothing(room):
    stream = room.stream("app", tag_from("v1", "q/x:1"))
    answer = write(room, read(room))
    assert answer.status_code == 200
    assert answer.json()["metadata"]["resourceVersion"] == stream["metadata"]["resourceVersion"]


@pytest.mark.case("api 44")
def test_a_put_has_to_name_the_version_it_replaces(room):
    stream = room.stream("app")
    del stream["metadata"]["resourceVersion"]
    answer = write(room, stream)
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        'imagestreams.image.openshift.io "app" is invalid: metadata.resourceVersion: '
        "Invalid value: 0: must be specified for an update"
    )
    assert answer.json()["details"]["kind"] == "imagestreams"


@pytest.mark.case("api 45")
def test_a_put_onto_another_version_is_a_conflict(room):
    stream = room.stream("app")
    stream["metadata"]["resourceVersion"] = "1"
    answer = write(room, stream)
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on imagestreams.image.openshift.io "app": the object has '
        "been modified; please apply your changes to the latest version and try again"
    )


@pytest.mark.case("api 46")
def test_a_put_may_not_rename(room):
    stream = room.stream("app")
    stream["metadata"]["name"] = "other"
    answer = room.put("imagestreams", "app", stream)
    assert answer.status_code == 400
    expected = "the name of the object (other) does not match the name on the URL (app)"
    assert answer.json()["message"] == expected


@pytest.mark.case("api 47")
def test_a_put_does_not_create(room):
    body = {"metadata": {"name": "none", "resourceVersion": "1"}}
    answer = room.put("imagestreams", "none", body)
    assert answer.status_code == 404
    assert answer.json()["message"] == 'imagestreams.image.openshift.io "none" not found'


@pytest.mark.case("api 48")
def test_a_put_onto_another_uid_is_a_conflict(room):
    stream = room.stream("app")
    stream["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    answer = write(room, stream)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition" in answer.json()["message"]


@pytest.mark.case("api 49")
def test_creation_and_generation_are_the_servers(room):
    stream = room.stream("app")
    changed = stream | {
        "metadata": stream["metadata"]
        | {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99}
    }
    found = write(room, changed).json()
    assert found["metadata"]["creationTimestamp"] == stream["metadata"]["creationTimestamp"]
    assert found["metadata"]["generation"] == 1


@pytest.mark.case("api 50", "api 51", "api 52", "api 53", "api 54", "api 55")
def test_generations_tell_which_wishes_ask_for_an_import(room):
    def step(change):
        stream = read(room)
        change(stream, stream["spec"]["tags"][0])
        answer = write(room, stream)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found["metadata"]["generation"], found["spec"]["tags"][0]["generation"]

    room.stream("app", tag_from("v1", "nowhere.invalid/x:1"))
    assert step(lambda _s, tag: tag["from"].update(name="nowhere.invalid/x:2")) == (2, 2)
    assert step(lambda _s, tag: tag.update(annotations={"a": "b"})) == (3, 2)
    assert step(lambda _s, tag: tag["importPolicy"].update(scheduled=True)) == (4, 2)
    assert step(lambda _s, tag: tag["referencePolicy"].update(type="Local")) == (5, 2)
    assert step(lambda s, _tag: s["spec"]["lookupPolicy"].update(local=True)) == (6, 2)
    change = {"importMode": "PreserveOriginal"}
    assert step(lambda _s, tag: tag["importPolicy"].update(change)) == (7, 7)
    assert step(lambda _s, tag: tag.update(generation=0)) == (8, 8)
    assert step(lambda _s, tag: tag.update(generation=55)) == (8, 8)
    assert step(lambda _s, tag: tag.update(generation=None)) == (8, 8)


@pytest.mark.case("api 56")
def test_labels_move_the_version_but_not_the_generation(room):
    stream = room.stream("app")
    stream["metadata"]["labels"] = {"a": "b"}
    found = write(room, stream).json()
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["resourceVersion"] != stream["metadata"]["resourceVersion"]


@pytest.mark.case("api 57", "api 58")
def test_a_put_cannot_touch_what_was_seen(room):
    stream = room.stream("app", tag_from("v1", "q/x:1", reference=True))
    seen = stream["status"]["tags"]
    bogus = stream | {"status": {"tags": [{"tag": "zz", "items": []}]}}
    assert write(room, bogus).json()["status"]["tags"] == seen
    without = read(room)
    del without["status"]
    assert write(room, without).json()["status"]["tags"] == seen
    emptied = read(room)
    emptied["spec"]["tags"] = []
    found = write(room, emptied).json()
    assert found["status"]["tags"] == seen
    assert "tags" not in found["spec"]


@pytest.mark.case("api 59")
def test_a_copied_event_leaves_its_source_alone(room):
    stream = room.stream("app", tag_from("v1", "q/x:1", reference=True))
    stream["spec"]["tags"].append(follows("copy", "v1"))
    found = write(room, stream).json()
    seen = {tag["tag"]: tag["items"][0] for tag in found["status"]["tags"]}
    assert seen["copy"]["dockerImageReference"] == "q/x:1"
    assert seen["v1"]["generation"] == 1


@pytest.mark.case("api 60", "api 61")
def test_tags_from_another_namespace_point_at_this_streams_place(room, digest):
    image = digest()
    room.stream("src", ns=room.other)
    reference = f"reg.local:5000/{room.other}/src@{image}"
    answer = room.map("src", "int", image, ns=room.other, dockerImageReference=reference)
    assert answer.status_code == 201, answer.text
    found = room.stream(
        "web",
        follows("t", "src:int", namespace=room.other),
        follows("r", "src:int", namespace=room.other) | {"reference": True},
        follows("i", f"src@{image}", "ImageStreamImage", namespace=room.other),
        follows("p", f"src@{image[:19]}", "ImageStreamImage", namespace=room.other),
    )
    seen = {tag["tag"]: tag["items"][0] for tag in found["status"]["tags"]}
    own = f"reg.local:5000/{room.ns}/web@{image}"
    references = {name: event["dockerImageReference"] for name, event in seen.items()}
    assert references == {"t": own, "i": own, "p": own, "r": reference}
    assert {event["image"] for event in seen.values()} == {image}
    wrong = follows("t", "src@sha256:bbb", "ImageStreamImage", namespace=room.other)
    answer = room.post("imagestreams", {"metadata": {"name": "w2"}, "spec": {"tags": [wrong]}})
    assert answer.status_code == 422
    assert (
        'error generating tag event: imagestreamimage.image.openshift.io "sha256:bbb" not found'
        in answer.json()["message"]
    )


@pytest.mark.case("api 62")
def test_a_prefix_of_two_images_names_neither(room, digest):
    room.stream("src")
    first = digest()
    second = first[:-1] + "b"
    for tag, image in (("a", first), ("b", second)):
        room.map("src", tag, image)
    wrong = follows("t", f"src@{first[:20]}", "ImageStreamImage")
    answer = room.post("imagestreams", {"metadata": {"name": "w"}, "spec": {"tags": [wrong]}})
    assert answer.status_code == 422
    assert f'multiple images match the prefix "{first[:20]}"' in answer.json()["message"]


@pytest.mark.case("api 63", "api 64", "api 65")
def test_tagging_from_another_namespace_needs_the_right_to_pull_there(room, digest):
    room.stream("src", ns=room.other)
    room.map("src", "int", digest(), ns=room.other)
    body = {
        "metadata": {"name": "web"},
        "spec": {"tags": [follows("t", "src:int", namespace=room.other)]},
    }
    editor = room.user(("edit", room.ns))
    answer = editor.post(room.path("imagestreams"), json=body)
    assert answer.status_code == 422
    assert f"spec.tags[t].from: Forbidden: {room.other}/src" in answer.json()["message"]
    body["spec"]["tags"][0]["from"]["name"] = "not-there:int"
    hidden = editor.post(room.path("imagestreams"), json=body).json()["message"]
    assert "Not found" not in hidden
    body["spec"]["tags"][0]["from"]["name"] = "src:int"
    puller = room.user(("edit", room.ns), ("puller", room.other), name=f"{room.who}p")
    assert puller.post(room.path("imagestreams"), json=body).status_code == 201
    own = {
        "metadata": {"name": "own"},
        "spec": {"tags": [follows("t", "web:t", namespace=room.ns)]},
    }
    assert editor.post(room.path("imagestreams"), json=own).status_code == 201


def event(reference, image="", generation=0):
    return {
        "created": "2026-01-02T03:04:05Z",
        "dockerImageReference": reference,
        "image": image,
        "generation": generation,
    }


def put_status(room, stream, tags):
    changed = stream | {"status": {"dockerImageRepository": "", "tags": tags}}
    return room.put("imagestreams", f"{stream['metadata']['name']}/status", changed)


@pytest.mark.case("api 66", "api 67")
def test_a_write_of_the_status_leaves_the_spec_alone(room, digest):
    image = digest()
    stream = room.stream("st", tag_from("v1", "q/x:1", reference=True))
    changed = stream | {"spec": {"lookupPolicy": {"local": True}}}
    items = [event(f"q/x@{image}", image)]
    answer = put_status(room, changed, [{"tag": "v9", "items": items}])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["spec"] == stream["spec"]
    assert found["metadata"]["generation"] == 1
    [tag] = found["status"]["tags"]
    assert tag["items"][0]["generation"] == 1
    assert found["status"]["dockerImageRepository"] == f"reg.local:5000/{room.ns}/st"


@pytest.mark.case("api 68")
@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("Bad Ref", "invalid reference format"),
        ("", "repository name must have at least one component"),
    ],
)
def test_a_status_with_a_wrong_reference_is_refused(room, reference, text):
    stream = room.stream("st")
    answer = put_status(room, stream, [{"tag": "v1", "items": [event(reference, "x")]}])
    assert answer.status_code == 422
    assert text in causes(answer)["status.tags[v1].items[0].dockerImageReference"]


@pytest.mark.case("api 69")
def test_a_condition_may_stand_where_nothing_was_seen(room):
    room.stream("st")
    condition = {
        "type": "ImportSuccess",
        "status": "False",
        "reason": "NotFound",
        "message": "m",
        "generation": 1,
        "lastTransitionTime": None,
    }
    patch = {"status": {"tags": [{"tag": "v1", "conditions": [condition]}]}}
    answer = room.patch("imagestreams", "st/status", patch)
    assert answer.status_code == 200, answer.text
    [tag] = answer.json()["status"]["tags"]
    assert tag["items"] is None
    assert tag["conditions"][0]["lastTransitionTime"] is None


@pytest.mark.case("api 70")
def test_a_status_is_neither_made_nor_deleted(room):
    room.stream("st")
    assert room.post("imagestreams/st/status", {}).status_code == 405
    assert room.delete("imagestreams", "st/status").status_code == 405
