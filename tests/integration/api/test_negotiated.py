"""Which form an answer has: JSON, YAML, a Table, or metadata alone (C3, C16): cases 113 to 121."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.integration.api.rooms import follows, tag_from

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def table(room, resource, name="", **params):
    answer = room.get(resource, name, headers={"Accept": KUBECTL}, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["kind"] == "Table"
    return answer.json()


def cells(found):
    return [row["cells"] for row in found["rows"]]


def ago(**how):
    return (datetime.now(UTC) - timedelta(**how)).strftime("%Y-%m-%dT%H:%M:%SZ")


def observe(room, name, *histories):
    """Write what was observed of a stream's tags."""
    stream = room.get("imagestreams", name).json()
    stream["status"]["tags"] = list(histories)
    answer = room.put("imagestreams", f"{name}/status", stream)
    assert answer.status_code == 200, answer.text


def history(tag, *events, **more):
    return {"tag": tag, "items": list(events), **more}


def event(image="", generation=1, created=None, reference="quay.io/x/y"):
    return {
        "created": created or ago(minutes=5),
        "dockerImageReference": reference,
        "image": image,
        "generation": generation,
    }


@pytest.mark.case("api 113")
def test_the_rows_of_image_tags_tell_how_they_came_to_be(room, digest):
    one, two = digest(), digest("b")
    room.image(one)
    room.stream("src", tag_from("v1", "quay.io/x/y:v1"))
    room.map("src", "c", one)
    room.stream(
        "foo",
        tag_from("ref", "a/b:c", reference=True),
        follows("tag", "src:c"),
        follows("image", f"src@{one}", "ImageStreamImage"),
        tag_from("sched", "a/b:c", importPolicy={"scheduled": True}),
        follows("track", "other"),
        tag_from("failed", "a/b:none"),
    )
    stream = room.get("imagestreams", "foo").json()
    wanted = {each["name"]: each["generation"] for each in stream["spec"]["tags"]}
    failure = {
        "type": "ImportSuccess",
        "status": "False",
        "reason": "AbjectFailure",
        "message": "it failed",
        "generation": wanted["failed"],
        "lastTransitionTime": ago(hours=2),
    }
    days = ago(days=2)
    observe(
        room,
        "foo",
        history("pushed", event(one, 0, days)),
        history("ref", event(one, wanted["ref"], days), event(two, 1, ago(days=3))),
        history("failed", conditions=[failure]),
    )
    found = {row[0]: row[1:] for row in cells(table(room, "imagetags")) if row[0] != "src:c"}
    assert found["foo:pushed"] == ["Push", f"image/{one}", 1, "2 days ago"]
    assert found["foo:ref"] == ["Ref", f"image/{one}", 2, "2 days ago"]
    assert found["foo:sched"] == ["Scheduled", "a/b:c", None, ""]
    assert found["foo:tag"][0] == "Tag"
    assert found["foo:track"] == ["Track", "istag/other", None, ""]
    assert found["foo:failed"] == ["Tag", "ImportFailed (AbjectFailure)", None, "2 hours ago"]


@pytest.mark.case("api 114")
def test_streams_are_shown_as_rows(room, digest):
    image = digest()
    room.stream("app", tag_from("v1", "quay.io/x/y:v1"))
    room.map("app", "v1", image)
    found = table(room, "imagestreams")
    headings = [column["name"] for column in found["columnDefinitions"]]
    assert headings == ["Name", "Image Repository", "Tags", "Updated"]
    name, repository, tags, updated = cells(found)[0]
    assert (name, repository, tags) == ("app", f"reg.local:5000/{room.ns}/app", "v1")
    assert updated.endswith(" ago")
    shown = found["rows"][0]["object"]
    assert shown.keys() == {"kind", "apiVersion", "metadata"}
    assert (shown["kind"], shown["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert shown["metadata"]["namespace"] == room.ns
    listed = room.get("imagestreams").json()
    assert found["metadata"]["resourceVersion"] == listed["metadata"]["resourceVersion"]


def test_one_stream_is_a_table_with_one_row(room):
    stored = room.stream("app")
    found = table(room, "imagestreams", "app")
    assert len(found["rows"]) == 1
    version = stored["metadata"]["resourceVersion"]
    assert found["metadata"] == {"resourceVersion": version}


def test_a_page_is_a_table_with_a_token(room):
    for name in ("a", "b", "c"):
        room.stream(name)
    found = table(room, "imagestreams", limit=2)
    assert [row[0] for row in cells(found)] == ["a", "b"]
    assert found["metadata"]["remainingItemCount"] == 1
    rest = table(room, "imagestreams", limit=2, **{"continue": found["metadata"]["continue"]})
    assert [row[0] for row in cells(rest)] == ["c"]


@pytest.mark.case("api 115")
def test_a_cell_shows_as_many_tags_as_fit(room, digest):
    image, now = digest(), ago(seconds=30)
    room.image(image)
    room.stream("app")
    tags = ["dry", "m1", "m2", "man", "mlist", "noref", "t1", "track", "weird/tag"]
    observe(room, "app", *(history(tag, event(image, 1, now)) for tag in tags))
    [row] = cells(table(room, "imagestreams"))
    assert row[2] == "dry,m1,m2,man,mlist,noref,t1,track + 1 more..."


@pytest.mark.case("api 116")
def test_a_row_carries_what_was_asked_for(room):
    room.stream("app")
    none = table(room, "imagestreams", includeObject="None")
    assert none["rows"][0]["object"] is None
    whole = table(room, "imagestreams", includeObject="Object")["rows"][0]["object"]
    assert whole["kind"] == "ImageStream"
    assert whole["apiVersion"] == "image.openshift.io/v1"
    assert whole["spec"] == {"lookupPolicy": {"local": False}}
    for params in ({"includeObject": "Foo"}, {"includeObject": "Foo", "watch": "1"}):
        answer = room.get("imagestreams", headers={"Accept": TABLE}, params=params)
        assert answer.status_code == 400
        assert answer.json()["message"] == (
            'Unable to convert to Table as requested: includeObject: Invalid value: "Foo": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )


@pytest.mark.case("api 117")
def test_a_table_of_tomorrow_is_not_acceptable(room):
    tomorrow = TABLE.replace("v=v1", "v=v2")
    answer = room.get("imagestreams", headers={"Accept": tomorrow})
    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    expected = "only the following media types are accepted: application/json, application/yaml"
    assert answer.json()["message"] == expected
    plain = room.get("imagestreams", headers={"Accept": f"{tomorrow},application/json"})
    assert plain.json()["kind"] == "ImageStreamList"


@pytest.mark.case("api 118")
@pytest.mark.parametrize(
    ("part", "kind"),
    [("layers", "ImageStreamLayers"), ("secrets", "SecretList"), ("status", "ImageStream")],
)
def test_what_has_no_columns_is_shown_as_it_is(room, part, kind):
    room.stream("app")
    answer = room.get("imagestreams", f"app/{part}", headers={"Accept": KUBECTL})
    assert answer.json()["kind"] == kind


@pytest.mark.case("api 119")
@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "x"])
def test_other_forms_are_not_acceptable(room, accept):
    answer = room.get("imagestreams", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    expected = (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
    )
    assert answer.json()["message"].startswith(expected)
    assert answer.json()["details"] == {}


@pytest.mark.case("api 119")
def test_nothing_is_written_for_whoever_could_not_read_the_answer(room):
    headers = {"Accept": "text/html"}
    body = {"metadata": {"name": "app"}}
    assert room.post("imagestreams", body, headers=headers).status_code == 406
    assert room.get("imagestreams", "app").status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*",
        "application/vnd.kubernetes.protobuf,application/json",
        "text/html, application/json;q=0.9, */*;q=0.8",
        "application/json; charset=utf-8",
    ],
)
def test_json_is_what_everybody_gets(room, accept):
    answer = room.get("imagestreams", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["kind"] == "ImageStreamList"


@pytest.mark.case("api 120")
def test_yaml_is_read_and_written(room):
    text = (
        "apiVersion: image.openshift.io/v1\nkind: ImageStream\n"
        "metadata:\n  name: app\n  annotations:\n    a: '2026-01-02T03:04:05Z'\n    b: 'yes'\n"
    )
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    answer = room.admin.post(room.path("imagestreams"), content=text, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/yaml"
    shown = room.get("imagestreams", "app", headers={"Accept": "application/yaml"})
    assert yaml.load(shown.text, yaml.BaseLoader)["metadata"]["name"] == "app"
    stored = room.get("imagestreams", "app").json()
    annotations = stored["metadata"]["annotations"]
    assert annotations == {"a": "2026-01-02T03:04:05Z", "b": "yes"}
    listed = room.get("imagestreams", headers={"Accept": "application/yaml"})
    assert yaml.safe_load(listed.text)["kind"] == "ImageStreamList"


@pytest.mark.case("api 120")
@pytest.mark.parametrize("kind", ["text/yaml", "text/plain", "application/xml"])
def test_other_bodies_are_not_read(room, kind):
    headers = {"Content-Type": kind}
    answer = room.admin.post(room.path("imagestreams"), content="{}", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.case("api 120")
@pytest.mark.parametrize("kind", ["", "application/json", "application/json; charset=utf-8"])
def test_json_bodies_need_not_say_so(room, kind):
    headers = {"Content-Type": kind}
    text = '{"metadata":{"name":"app"}}'
    answer = room.admin.post(room.path("imagestreams"), content=text, headers=headers)
    assert answer.status_code == 201


def test_a_refusal_is_yaml_for_whoever_wants_yaml(room):
    answer = room.get("imagestreams", "none", headers={"Accept": "application/yaml"})
    assert answer.status_code == 404
    assert yaml.safe_load(answer.text)["reason"] == "NotFound"


@pytest.mark.case("api 121")
def test_metadata_alone_is_a_form_of_its_own(room):
    room.stream("app")
    answer = room.get("imagestreams", headers={"Accept": PARTIAL_LIST})
    body = answer.json()
    assert body["kind"] == "PartialObjectMetadataList"
    [item] = body["items"]
    assert item.keys() == {"kind", "apiVersion", "metadata"}
    assert item["kind"] == "PartialObjectMetadata"
    one = room.get("imagestreams", "app", headers={"Accept": PARTIAL}).json()
    assert one == item
    wrong = room.get("imagestreams", headers={"Accept": PARTIAL})
    assert wrong.status_code == 406
    assert wrong.json()["message"].startswith(
        "you requested PartialObjectMetadata, but the requested object is a list ("
    )
    assert room.get("imagestreams", "app", headers={"Accept": PARTIAL_LIST}).status_code == 406


def test_other_kinds_have_columns_too(room, digest):
    image = digest()
    room.stream("app")
    room.map("app", "v1", image)
    row = cells(table(room, "imagestreamtags"))[0]
    assert (row[0], row[1], row[3]) == ("app:v1", f"quay.io/x/y@{image}", image)
    row = cells(table(room, "imagestreamtags", "app:v1"))[0]
    assert (row[0], row[1], row[3]) == ("app:v1", f"quay.io/x/y@{image}", image)
    row = cells(table(room, "imagestreamimages", f"app@{image}"))[0]
    assert (row[2], row[3]) == (f"quay.io/x/y@{image}", image)
    secrets = f"/api/v1/namespaces/{room.ns}/secrets"
    room.admin.post(secrets, json={"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    headers = {"Accept": KUBECTL}
    [row] = cells(room.admin.get(secrets, headers=headers).json())
    assert row[:3] == ["s", "Opaque", 1]
    shown = room.admin.get(f"/api/v1/namespaces/{room.ns}", headers=headers).json()
    assert cells(shown)[0][:2] == [room.ns, "Active"]
    path = f"/apis/project.openshift.io/v1/projects/{room.ns}"
    assert cells(room.admin.get(path, headers=headers).json())[0] == [room.ns, "", "Active"]
