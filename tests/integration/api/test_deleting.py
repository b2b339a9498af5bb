"""Dry runs, field validation, and deleting (`api.md` C10 to C13): cases 85 to 99."""

import pytest

from tests.integration.api.rooms import tag_from


@pytest.mark.case("api 85", "api 87")
def test_a_dry_run_creates_nothing_but_looks_like_it(room):
    body = {"metadata": {"name": "app"}}
    answer = room.post("imagestreams", body, params={"dryRun": "All"})
    assert answer.status_code == 201
    assert answer.json()["metadata"]["uid"]
    assert "resourceVersion" not in answer.json()["metadata"]
    assert room.get("imagestreams", "app").status_code == 404
    room.stream("app")
    assert room.post("imagestreams", body, params={"dryRun": "All"}).status_code == 409


@pytest.mark.case("api 86")
@pytest.mark.parametrize("value", ["Foo", ""])
def test_a_dry_run_is_of_all_or_refused(room, value):
    answer = room.post("imagestreams", {"metadata": {"name": "x"}}, params={"dryRun": value})
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        f'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["{value}"]: '
        'supported values: "All"'
    )


@pytest.mark.case("api 88")
def test_a_dry_run_deletes_nothing(room):
    room.stream("app")
    assert room.delete("imagestreams", "app", json={"dryRun": ["All"]}).status_code == 200
    assert room.get("imagestreams", "app").status_code == 200


DOUBLED = '{"metadata":{"name":"NAME"},"spec":{"foo":1},"spec":{"foo":1}}'


def post_text(room, text, **params):
    return room.admin.post(
        room.path("imagestreams"),
        content=text.replace("NAME", params.pop("name", "x")),
        headers={"Content-Type": "application/json"},
        params=params,
    )


@pytest.mark.case("api 89")
def test_strict_names_every_unknown_and_doubled_field(room):
    answer = post_text(room, DOUBLED, fieldValidation="Strict")
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert "strict decoding error: " in message
    assert 'unknown field "spec.foo"' in message
    assert 'duplicate field "spec"' in message


@pytest.mark.case("api 90", "api 91")
def test_warnings_are_headers_unless_nobody_wants_them(room):
    text = '{"metadata":{"name":"NAME"},"spec":{"foo":1}}'
    for params in ({"fieldValidation": "Warn", "name": "a"}, {"name": "b"}):
        answer = post_text(room, text, **params)
        assert answer.status_code == 201
        assert answer.headers["warning"] == r'299 - "unknown field \"spec.foo\""'
    ignored = post_text(room, text, fieldValidation="Ignore", name="c")
    assert ignored.status_code == 201
    assert "warning" not in ignored.headers


@pytest.mark.case("api 92")
def test_another_field_validation_is_refused(room):
    answer = post_text(room, '{"metadata":{"name":"x"}}', fieldValidation="Foo")
    assert answer.status_code == 422
    expected = 'fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore"'
    assert expected in answer.json()["message"]


@pytest.mark.case("api 94")
def test_a_deleted_stream_is_named_and_gone(room):
    stream = room.stream("app")
    answer = room.delete("imagestreams", "app")
    assert answer.status_code == 200
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": "app",
            "group": "image.openshift.io",
            "kind": "imagestreams",
            "uid": stream["metadata"]["uid"],
        },
    }
    assert room.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 95")
@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"uid": "x"}, "the UID in the precondition (x) does not match the UID in record"),
        (
            {"resourceVersion": "1"},
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion",
        ),
    ],
)
def test_a_precondition_that_does_not_hold_is_a_conflict(room, condition, text):
    room.stream("app")
    answer = room.delete("imagestreams", "app", json={"preconditions": condition})
    assert answer.status_code == 409
    assert text in answer.json()["message"]


@pytest.mark.case("api 96", "api 97")
def test_every_propagation_deletes_at_once(room):
    for policy in ("Foreground", "Orphan", "Background"):
        room.stream("app")
        params = {"propagationPolicy": policy}
        assert room.delete("imagestreams", "app", params=params).status_code == 200
        assert room.get("imagestreams", "app").status_code == 404
    room.stream("app")
    wrong = room.delete("imagestreams", "app", params={"propagationPolicy": "Foo"})
    assert wrong.status_code == 422


@pytest.mark.case("api 98")
def test_a_finalizer_holds_a_stream_until_it_is_taken_away(room):
    body = {"metadata": {"name": "app", "finalizers": ["x.io/y"]}}
    assert room.post("imagestreams", body).status_code == 201
    answer = room.delete("imagestreams", "app")
    assert answer.status_code == 200
    assert answer.json()["metadata"]["deletionTimestamp"]
    again = room.post("imagestreams", body)
    assert again.status_code == 409
    assert again.json()["message"].startswith("object is being deleted: ")
    released = room.patch("imagestreams", "app", {"metadata": {"finalizers": None}})
    assert released.status_code == 200
    assert room.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 99")
def test_a_collection_is_deleted_by_its_labels(room):
    for number in range(5):
        labels = {"g": "y"} if number < 2 else {}
        body = {"metadata": {"name": f"l{number}", "labels": labels}}
        assert room.post("imagestreams", body).status_code == 201
    answer = room.admin.request(
        "DELETE", room.path("imagestreams"), params={"labelSelector": "g=y"}
    )
    assert answer.status_code == 200
    assert answer.json()["kind"] == "ImageStreamList"
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["l0", "l1"]
    left = room.get("imagestreams").json()["items"]
    assert [item["metadata"]["name"] for item in left] == ["l2", "l3", "l4"]


def test_an_empty_collection_is_deleted_as_a_list_of_nothing(room):
    room.stream("keep", tag_from("v1", "q/1"), ns=room.other)
    answer = room.admin.request("DELETE", room.path("imagestreams"))
    assert answer.json()["items"] == []
    assert room.get("imagestreams", "keep", ns=room.other).status_code == 200
