"""ImageStreamMappings: images pushed onto tags (`api.md` B12): cases 190 to 196."""

import pytest

from tests.integration.api.pushes import at, pushed_image, read
from tests.integration.api.rooms import follows
from tests.integration.api.test_stream_tags import histories
from tests.integration.api.test_streams_created import causes

DONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
MANAGED = {"openshift.io/image.managed": "true"}


def post(room, stream, tag, image, **params):
    body = {"metadata": {"name": stream}, "image": image, "tag": tag}
    return room.post("imagestreammappings", body, params=params)


def pushed(name, **fields):
    return {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}", **fields}


def managed(name):
    return pushed(name, metadata={"name": name, "annotations": MANAGED})


def heads(room, stream="s"):
    return {tag: items[0]["image"] for tag, items in histories(room, stream).items()}


@pytest.mark.case("api 190")
def test_a_push_makes_no_stream(room, digest):
    name = digest()
    answer = post(room, "nostream", "t", pushed(name))
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    expected = 'imagestreammappings.image.openshift.io "nostream" not found'
    assert answer.json()["message"] == expected
    assert room.admin.get(at(name)).status_code == 404
    assert room.get("imagestreams", "nostream").status_code == 404


@pytest.mark.case("api 191")
def test_a_push_says_which_image_on_which_tag(room, digest):
    room.stream("s")
    untagged = post(room, "s", "", pushed(digest()))
    assert untagged.status_code == 422
    assert causes(untagged) == {"tag": "Required value"}
    assert untagged.json()["details"]["kind"] == "ImageStreamMapping"
    image = pushed(digest(), dockerImageReference="Bad Ref!!")
    expected = 'Invalid value: "Bad Ref!!": invalid reference format'
    assert causes(post(room, "s", "t", image)) == {"image.dockerImageReference": expected}
    image = {"metadata": {}, "dockerImageReference": "quay.io/x/y:1"}
    expected = "Required value: name or generateName is required"
    assert causes(post(room, "s", "t", image)) == {"image.metadata.name": expected}
    assert histories(room, "s") == {}


def test_a_push_names_its_stream(room, digest):
    body = {"metadata": {}, "image": pushed(digest()), "tag": "t"}
    answer = room.post("imagestreammappings", body)
    assert answer.status_code == 422
    assert causes(answer) == {
        "metadata.name": "Required value: name or generateName is required",
        "name": "Required value",
        "dockerImageRepository": "Required value",
    }


def test_the_metadata_of_a_push_follows_the_rules_for_any(room, digest):
    room.stream("s")
    wrong = {"labels": {"bad key!": "x"}}
    image = pushed("") | {"metadata": {"name": digest(), **wrong}, "dockerImageReference": "q/x:1"}
    body = {"metadata": {"name": "s", **wrong}, "image": image, "tag": "t"}
    answer = room.post("imagestreammappings", body)
    assert answer.status_code == 422
    assert set(causes(answer)) == {"metadata.labels", "image.metadata.labels"}


@pytest.mark.case("api 192")
def test_an_image_without_a_reference_lives_in_our_own_registry(room, digest):
    name = digest()
    room.stream("s")
    answer = post(room, "s", "t", {"metadata": {"name": name}})
    assert (answer.status_code, answer.json()) == (201, DONE)
    [event] = histories(room, "s")["t"]
    assert event["dockerImageReference"] == f"reg.local:5000/{room.ns}/s@{name}"
    assert read(room, name)["dockerImageReference"] == event["dockerImageReference"]


@pytest.mark.case("api 193")
def test_a_push_is_an_event_unless_nothing_is_new(room, digest):
    first, second = digest("a"), digest("b")
    room.stream("s")
    for name, count in ((first, 1), (first, 1), (second, 2), (first, 3)):
        answer = room.map("s", "t1", name)
        assert (answer.status_code, answer.json()) == (201, DONE)
        items = histories(room, "s")["t1"]
        assert (len(items), items[0]["image"]) == (count, name)
        assert items[0]["generation"] == 1


def test_a_push_of_nothing_new_writes_nothing(room, digest):
    name = digest()
    room.stream("s")
    room.map("s", "t", name)
    before = room.get("imagestreams", "s").json()
    assert room.map("s", "t", name).status_code == 201
    assert room.get("imagestreams", "s").json() == before


def test_a_pushed_image_is_read_as_a_created_one(room):
    image = pushed_image()
    name = image["metadata"]["name"]
    image["signatures"] = [{"metadata": {"name": f"{name}@s"}, "type": "t", "content": "aGk="}]
    room.stream("s")
    assert post(room, "s", "weird/tag", image).status_code == 201
    found = read(room, name)
    assert found["dockerImageMetadata"]["Size"] == 562
    assert "signatures" not in found
    assert heads(room) == {"weird/tag": name}


@pytest.mark.case("api 194")
def test_a_managed_image_that_is_known_is_pulled_through_this_stream(room, digest):
    name = digest("8")
    room.stream("other")
    room.stream("s")
    assert post(room, "other", "m1", managed(name)).status_code == 201
    [event] = histories(room, "other")["m1"]
    assert event["dockerImageReference"] == f"quay.io/x/y@{name}"
    before = read(room, name)
    changed = managed(name) | {"dockerImageReference": f"quay.io/x/other@{name}"}
    assert post(room, "s", "m2", changed).status_code == 201
    [event] = histories(room, "s")["m2"]
    assert event["dockerImageReference"] == f"reg.local:5000/{room.ns}/s@{name}"
    assert read(room, name) == before


@pytest.mark.case("api 195")
def test_tags_follow_the_tag_that_is_pushed_to(room, digest):
    room.stream("s", follows("track", "t1"), follows("far", "s:track"), follows("not", "t2"))
    name = digest("c")
    room.map("s", "t1", name)
    assert heads(room) == {"t1": name, "track": name, "far": name}


@pytest.mark.case("api 196")
def test_a_trial_of_a_push_stores_nothing(room, digest):
    name = digest()
    room.stream("s")
    before = room.get("imagestreams", "s").json()
    answer = post(room, "s", "t", pushed(name), dryRun="All")
    assert (answer.status_code, answer.json()) == (201, DONE)
    assert room.get("imagestreams", "s").json() == before
    assert room.admin.get(at(name)).status_code == 404


def test_pushes_are_only_made(room):
    assert room.get("imagestreammappings").status_code == 405
    assert room.get("imagestreammappings", "s").status_code == 404


def test_whoever_may_edit_a_namespace_may_push_images(room, digest):
    """The image is written by the server, not by the right to write images (`api.md` D.2)."""
    room.stream("s")
    editor = room.user(("edit", room.ns))
    body = {"metadata": {"name": "s"}, "image": pushed(digest()), "tag": "t"}
    assert editor.post(room.path("imagestreammappings"), json=body).status_code == 201
