"""PATCH by four kinds of patches (`api.md` C8, C9): cases 71 to 84, 93."""

import pytest

from tests.integration.api.rooms import tag_from
from tests.integration.api.test_streams_created import causes


def names(answer):
    return [tag["name"] for tag in answer.json()["spec"]["tags"]]


@pytest.mark.case("api 71", "api 72", "api 73", "api 74", "api 75")
def test_each_kind_of_patch_has_its_own_way_with_lists(room):
    room.stream("st", tag_from("v1", "q/1"))

    def strategic(spec):
        return room.patch("imagestreams", "st", {"spec": spec}, "strategic")

    assert names(strategic({"tags": [tag_from("v9", "q/9")]})) == ["v1", "v9"]
    assert names(strategic({"tags": [{"name": "v9", "$patch": "delete"}]})) == ["v1"]
    ordered = {
        "$setElementOrder/tags": [{"name": "zz"}, {"name": "v1"}],
        "tags": [tag_from("zz", "q/z")],
    }
    assert names(strategic(ordered)) == ["v1", "zz"]
    merged = {"spec": {"tags": [tag_from("only", "q/o")]}}
    assert names(room.patch("imagestreams", "st", merged)) == ["only"]
    added = [{"op": "add", "path": "/spec/tags/-", "value": tag_from("more", "q/m")}]
    assert names(room.patch("imagestreams", "st", added, "json")) == ["more", "only"]


@pytest.mark.case("api 76")
def test_a_json_patch_whose_test_fails_is_invalid(room):
    room.stream("st")
    patch = [{"op": "test", "path": "/metadata/name", "value": "other"}]
    answer = room.patch("imagestreams", "st", patch, "json")
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    expected = "the server rejected our request due to an error in our request"
    assert answer.json()["message"] == expected


@pytest.mark.case("api 77")
@pytest.mark.parametrize(
    ("kind", "body"), [("json", '{"a":1}'), ("merge", "[1]"), ("merge", "nonsense")]
)
def test_what_is_no_patch_is_a_bad_request(room, kind, body):
    room.stream("st")
    answer = room.patch("imagestreams", "st", body, kind)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("error decoding patch: ")


@pytest.mark.case("api 78")
def test_a_patch_has_to_say_its_kind(room):
    room.stream("st")
    answer = room.patch("imagestreams", "st", {}, "application/json")
    assert answer.status_code == 415


@pytest.mark.case("api 79")
def test_a_patch_can_neither_rename_nor_take_over_nor_overtake(room):
    room.stream("st")

    def patch(**metadata):
        return room.patch("imagestreams", "st", {"metadata": metadata})

    uid = patch(uid="00000000-0000-0000-0000-000000000000")
    assert uid.status_code == 422
    assert "field is immutable" in causes(uid)["metadata.uid"]
    assert patch(name="other").status_code == 400
    assert patch(resourceVersion="1").status_code == 409


@pytest.mark.case("api 80")
def test_null_takes_a_key_away(room):
    body = {"metadata": {"name": "st", "annotations": {"a": "1", "b": "2"}}}
    assert room.post("imagestreams", body).status_code == 201
    patch = {"metadata": {"annotations": {"a": None, "c": "3"}}}
    found = room.patch("imagestreams", "st", patch, "strategic").json()
    assert found["metadata"]["annotations"] == {"b": "2", "c": "3"}


def applied(source):
    return {
        "apiVersion": "image.openshift.io/v1",
        "kind": "ImageStream",
        "metadata": {"name": "st"},
        "spec": {"tags": [tag_from("v1", source)]},
    }


def apply(room, body, **params):
    return room.patch("imagestreams", "st", body, "apply", params=params)


@pytest.mark.case("api 81", "api 82", "api 83")
def test_whoever_applies_owns_what_they_applied(room):
    assert apply(room, applied("q/1"), fieldManager="a").status_code == 201
    nobody = apply(room, applied("q/1"))
    assert nobody.status_code == 422
    assert "fieldManager: Required value: is required for apply patch" in nobody.json()["message"]
    other = apply(room, applied("q/2"), fieldManager="b")
    assert other.status_code == 409
    [cause] = other.json()["details"]["causes"]
    assert cause["reason"] == "FieldManagerConflict"
    assert cause["field"] == '.spec.tags[name="v1"].from'
    forced = apply(room, applied("q/2"), fieldManager="b", force="true")
    assert forced.status_code == 200
    assert forced.json()["spec"]["tags"][0]["from"]["name"] == "q/2"


@pytest.mark.case("api 84")
def test_only_an_apply_can_be_forced(room):
    room.stream("st")
    answer = room.patch("imagestreams", "st", {}, params={"force": "true"})
    assert answer.status_code == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.json()["message"]


@pytest.mark.case("api 93")
def test_a_strict_patch_with_an_unknown_field_is_invalid(room):
    room.stream("st")
    params = {"fieldValidation": "Strict"}
    answer = room.patch("imagestreams", "st", {"spec": {"foo": 1}}, params=params)
    assert answer.status_code == 422
    assert 'strict decoding error: unknown field "spec.foo"' in answer.json()["message"]
