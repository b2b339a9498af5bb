"""POST of streams (`api.md` B6, C5, C6): cases 12 to 42."""

import re

import pytest

from tests.integration.api.rooms import follows, tag_from


def causes(answer):
    return {each["field"]: each["message"] for each in answer.json()["details"]["causes"]}


@pytest.mark.case("api 12")
def test_a_stream_without_kind_is_created_with_all_that_the_server_adds(room):
    answer = room.post("imagestreams", {"metadata": {"name": "app"}})
    found = answer.json()
    assert answer.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageStream", "image.openshift.io/v1")
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["uid"]
    assert found["spec"] == {"lookupPolicy": {"local": False}}
    assert found["status"] == {"dockerImageRepository": f"reg.local:5000/{room.ns}/app"}


@pytest.mark.case("api 13")
def test_a_stream_is_not_created_twice(room):
    room.stream("app")
    answer = room.post("imagestreams", {"metadata": {"name": "app"}})
    assert answer.status_code == 409
    assert answer.json()["reason"] == "AlreadyExists"
    assert answer.json()["message"] == 'imagestreams.image.openshift.io "app" already exists'


@pytest.mark.case("api 14", "api 15")
@pytest.mark.parametrize("name", ["Bad_Name", "bad..name", "-bad", "a__b"])
def test_a_name_that_no_repository_could_have_is_refused(room, name):
    answer = room.post("imagestreams", {"metadata": {"name": name}})
    assert answer.status_code == 422
    assert 'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"' in causes(answer)["metadata.name"]


@pytest.mark.case("api 16")
def test_a_very_long_name_is_refused(room):
    answer = room.post("imagestreams", {"metadata": {"name": "a" * 300}})
    assert answer.status_code == 422
    text = "'namespace/name' cannot be longer than 255 characters"
    assert text in causes(answer)["metadata.name"]


@pytest.mark.case("api 17")
def test_a_stream_needs_a_name(room):
    answer = room.post("imagestreams", {"metadata": {}})
    assert answer.status_code == 422
    expected = "Required value: name or generateName is required"
    assert causes(answer)["metadata.name"] == expected


@pytest.mark.case("api 18")
def test_a_generated_name_has_five_quiet_letters(room):
    answer = room.post("imagestreams", {"metadata": {"generateName": "gen-"}})
    assert answer.status_code == 201
    name = answer.json()["metadata"]["name"]
    assert re.fullmatch("gen-[bcdfghjklmnpqrstvwxz2456789]{5}", name)


@pytest.mark.case("api 19")
def test_another_namespace_in_the_body_is_a_bad_request(room):
    body = {"metadata": {"name": "app", "namespace": room.other}}
    answer = room.post("imagestreams", body)
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


@pytest.mark.case("api 20")
def test_nothing_is_created_in_a_namespace_that_is_not_there(room):
    answer = room.post("imagestreams", {"metadata": {"name": "app"}}, ns="zz")
    assert answer.status_code == 404
    assert answer.json()["message"] == 'namespaces "zz" not found'
    assert answer.json()["details"] == {"name": "zz", "kind": "namespaces"}


@pytest.mark.case("api 21")
def test_what_the_server_owns_is_not_taken_from_the_client(room):
    body = {
        "metadata": {
            "name": "app",
            "uid": "mine",
            "creationTimestamp": "2001-01-01T00:00:00Z",
            "generation": 77,
            "deletionTimestamp": "2001-01-01T00:00:00Z",
        },
        "status": {
            "tags": [
                {
                    "tag": "x",
                    "items": [
                        {
                            "created": "2001-01-01T00:00:00Z",
                            "dockerImageReference": "q/x:1",
                            "image": "i",
                            "generation": 1,
                        }
                    ],
                }
            ]
        },
    }
    found = room.post("imagestreams", body).json()
    assert found["metadata"]["uid"] != "mine"
    assert found["metadata"]["creationTimestamp"] > "2020"
    assert found["metadata"]["generation"] == 1
    assert "deletionTimestamp" not in found["metadata"]
    assert "tags" not in found["status"]


@pytest.mark.case("api 22")
def test_an_object_of_another_kind_is_refused(room):
    answer = room.post(
        "imagestreams",
        {"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "x"}},
    )
    assert answer.status_code == 400
    expected = 'Image in version "v1" cannot be handled as a ImageStream'
    assert answer.json()["message"].startswith(expected)


@pytest.mark.case("api 23")
@pytest.mark.parametrize("body", ["", "{bad", "[]"])
def test_what_is_no_object_is_a_bad_request(room, body):
    answer = room.admin.post(
        room.path("imagestreams"), content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


@pytest.mark.case("api 24")
def test_a_field_of_the_wrong_type_is_a_bad_request(room):
    answer = room.post("imagestreams", {"metadata": {"name": "x"}, "spec": "str"})
    assert answer.status_code == 400
    expected = 'ImageStream in version "v1" cannot be handled as a ImageStream: '
    assert answer.json()["message"].startswith(expected)


@pytest.mark.case("api 25")
def test_a_label_key_has_to_be_one(room):
    answer = room.post("imagestreams", {"metadata": {"name": "x", "labels": {"bad key!": "v"}}})
    assert answer.status_code == 422
    text = causes(answer)["metadata.labels"]
    assert 'Invalid value: "bad key!": name part must consist of alphanumeric characters' in text


@pytest.mark.case("api 26")
def test_a_finalizer_has_to_be_qualified(room):
    answer = room.post("imagestreams", {"metadata": {"name": "x", "finalizers": ["a"]}})
    assert answer.status_code == 422
    assert "fully qualified" in causes(answer)["metadata.finalizers[0]"]


@pytest.mark.case("api 27")
def test_a_spec_tag_is_shown_with_its_defaults(room):
    found = room.stream("app", tag_from("v1", "quay.io/x/y:v1"))
    assert found["spec"]["tags"] == [
        {
            "name": "v1",
            "annotations": None,
            "from": {"kind": "DockerImage", "name": "quay.io/x/y:v1"},
            "generation": 1,
            "importPolicy": {"importMode": "Legacy"},
            "referencePolicy": {"type": "Source"},
        }
    ]
    assert "tags" not in found["status"]


@pytest.mark.case("api 28")
def test_a_reference_tag_has_its_event_at_once(room):
    found = room.stream("app", tag_from("ref", "q/x:1", reference=True))
    [tag] = found["status"]["tags"]
    [event] = tag["items"]
    assert tag["tag"] == "ref"
    assert (event["dockerImageReference"], event["image"], event["generation"]) == ("q/x:1", "", 1)


@pytest.mark.case("api 29")
def test_a_tag_that_follows_another_has_its_event_too(room):
    found = room.stream("app", follows("latest", "dev"), tag_from("dev", "q/x:1", reference=True))
    seen = {tag["tag"]: tag["items"][0]["dockerImageReference"] for tag in found["status"]["tags"]}
    assert seen == {"dev": "q/x:1", "latest": "q/x:1"}


@pytest.mark.case("api 30")
def test_of_two_tags_of_one_name_the_last_counts(room):
    found = room.stream("app", tag_from("t", "q/x:1"), tag_from("t", "q/x:2"))
    assert [tag["from"]["name"] for tag in found["spec"]["tags"]] == ["q/x:2"]


@pytest.mark.case("api 31")
def test_a_tag_may_have_annotations_and_no_source(room):
    found = room.stream("app", {"name": "t", "annotations": {"a": "b"}})
    assert found["spec"]["tags"][0]["annotations"] == {"a": "b"}


@pytest.mark.case("api 32", "api 33", "api 34", "api 35", "api 36", "api 38", "api 39", "api 40")
@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        pytest.param(
            {"tags": [{"name": "t", "from": {"kind": "Foo", "name": "x"}}]},
            "spec.tags[t].from.kind",
            "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
            id="kind",
        ),
        pytest.param({"tags": [tag_from("t", "")]}, "spec.tags[t].from.name", "Required value"),
        pytest.param(
            {"tags": [tag_from("t", "Bad Ref!!")]},
            "spec.tags[t].from.name",
            'Invalid value: "Bad Ref!!": invalid reference format',
        ),
        pytest.param(
            {"tags": [follows("t", "a:b:c")]},
            "spec.tags[t].from.name",
            "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>",
        ),
        pytest.param(
            {"tags": [follows("t", "other:b")]}, "spec.tags[t].from.name", 'Not found: "other:b"'
        ),
        pytest.param(
            {"tags": [follows("t", "a") | {"importPolicy": {"scheduled": True}}]},
            "spec.tags[t].importPolicy.scheduled",
            "only tags pointing to Docker repositories may be scheduled for background import",
        ),
        pytest.param(
            {"tags": [tag_from("t", "q/x:1", importPolicy={"importMode": "Foo"})]},
            "spec.tags[t].importPolicy.importMode",
            "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'",
        ),
        pytest.param(
            {"tags": [tag_from("t", "q/x:1", referencePolicy={"type": "Bar"})]},
            "spec.tags[t].referencePolicy.type",
            'valid values are "Source", "Local"',
        ),
        pytest.param(
            {"dockerImageRepository": "quay.io/a/b:tag"},
            "spec.dockerImageRepository",
            "the repository name may not contain a tag",
        ),
        pytest.param(
            {"dockerImageRepository": "quay.io/a/b@sha256:" + "a" * 64},
            "spec.dockerImageRepository",
            "the repository name may not contain an ID",
        ),
    ],
)
def test_a_wrong_spec_is_refused_where_it_is_wrong(room, spec, field, text):
    answer = room.post("imagestreams", {"metadata": {"name": "x"}, "spec": spec})
    assert answer.status_code == 422
    assert text in causes(answer)[field]


@pytest.mark.case("api 37")
def test_a_tag_may_wait_for_a_tag_that_is_not_there_yet(room):
    room.stream("other")
    found = room.stream("app", follows("t", "other:b"))
    assert found["spec"]["tags"][0]["from"]["name"] == "other:b"
    assert "tags" not in found["status"]
