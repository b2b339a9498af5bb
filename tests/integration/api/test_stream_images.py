"""ImageStreamImages: an image that a stream has or had (`api.md` B10): cases 182 to 185."""

import pytest

from tests.integration.api.pushes import IMAGES, at, index_of, pushed_image


def get(room, name):
    return room.get("imagestreamimages", name)


@pytest.fixture
def stream(room):
    """The name of a stream with annotations and labels."""
    metadata = {"name": "s", "annotations": {"of": "stream"}, "labels": {"a": "b"}}
    assert room.post("imagestreams", {"metadata": metadata}).status_code == 201
    return "s"


@pytest.mark.case("api 182")
def test_an_image_of_a_stream_is_found_by_its_beginning(room, stream):
    image = pushed_image()
    name = image.pop("metadata")["name"]
    assert room.map(stream, "t", name, **image).status_code == 201
    stored = room.admin.get(at(name)).json()
    for wanted in (name, name[:20], name.removeprefix("sha256:")[:12]):
        answer = get(room, f"{stream}@{wanted}")
        found = answer.json()
        assert answer.status_code == 200
        assert (found["kind"], found["apiVersion"]) == (
            "ImageStreamImage",
            "image.openshift.io/v1",
        )
        assert found["metadata"] == {
            "name": f"{stream}@{wanted}",
            "namespace": room.ns,
            "creationTimestamp": stored["metadata"]["creationTimestamp"],
            "annotations": {"of": "stream"},
        }
        dropped = {"kind", "apiVersion", "dockerImageManifest", "dockerImageConfig"}
        assert found["image"] == {key: stored[key] for key in stored if key not in dropped}


def test_an_image_that_a_tag_once_meant_is_still_found(room, stream, digest):
    first, second = digest("a"), digest("b")
    room.map(stream, "t", first)
    room.map(stream, "t", second)
    assert get(room, f"{stream}@{first}").status_code == 200
    assert get(room, f"{stream}@{second}").status_code == 200


@pytest.mark.case("api 183")
@pytest.mark.parametrize("name", ["s", "s@", "a@b@c", "@b"])
def test_a_name_that_is_no_streams_image_is_a_bad_request(room, name):
    answer = get(room, name)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == "ImageStreamImages must be retrieved with <name>@<id>"


@pytest.mark.case("api 183")
def test_what_is_missing_is_named(room, stream, digest):
    unknown, gone = digest("e"), digest("f")

    def message(name):
        answer = get(room, name)
        assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
        return answer.json()["message"]

    name = f"{stream}@{unknown}"
    assert message(name) == f'imagestreamimage.image.openshift.io "{name}" not found'
    expected = 'imagestreamimages.image.openshift.io "nope" not found'
    assert message(f"nope@{unknown}") == expected
    room.map(stream, "t", gone)
    assert room.admin.delete(at(gone)).status_code == 200
    expected = f'imagestreamimages.image.openshift.io "{gone}" not found'
    assert message(f"{stream}@{gone}") == expected


@pytest.mark.case("api 184")
def test_of_two_images_with_one_beginning_neither_is_chosen(room, stream, digest):
    beginning = digest("a")[:30]
    first, second = (beginning.ljust(71, letter) for letter in "bc")
    room.map(stream, "t1", second)
    room.map(stream, "t2", first)
    answer = get(room, f"{stream}@{beginning}")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        f'Operation cannot be fulfilled on imagestreamimage.image.openshift.io "{beginning}": '
        f'multiple images match the prefix "{beginning}": {first}, {second}'
    )
    assert get(room, f"{stream}@{first}").status_code == 200


@pytest.mark.case("api 185")
def test_the_child_of_a_list_is_an_image_of_the_stream(room, stream):
    child = pushed_image()
    assert room.admin.post(IMAGES, json=child).status_code == 201
    name = child["metadata"]["name"]
    parent, fields = index_of(name)
    assert room.map(stream, "t", parent, **fields).status_code == 201
    answer = get(room, f"{stream}@{name}")
    assert (answer.status_code, answer.json()["image"]["metadata"]["name"]) == (200, name)


def test_images_of_streams_are_only_read_one_by_one(room, stream, digest):
    name = digest()
    room.map(stream, "t", name)
    collection = room.path("imagestreamimages")
    for method in ("GET", "POST", "DELETE"):
        answer = room.admin.request(method, collection)
        assert answer.status_code == 404, method
        text = "the server could not find the requested resource"
        assert answer.json()["message"] == text
    for method in ("PUT", "PATCH", "DELETE"):
        answer = room.admin.request(method, f"{collection}/{stream}@{name}")
        assert answer.status_code == 405, method
