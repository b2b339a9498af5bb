"""PUT of streams and of their status (api-6.5 to api-6.7, api-23.1, api-23.5)."""

import pytest

from tests.integration.api.tenant import causes, tag_from, tracking_tag


def read(tenant, name="app", ns=None):
    return tenant.get("imagestreams", name, ns=ns).json()


def write(tenant, stream, **more):
    return tenant.put("imagestreams", stream["metadata"]["name"], stream, **more)


@pytest.mark.case("api 43")
def test_put_of_unchanged_stream_writes_nothing(tenant):
    stream = tenant.stream("app", tag_from("v1", "q/x:1"))
    response = write(tenant, read(tenant))
    assert response.status_code == 200
    assert response.json()["metadata"]["resourceVersion"] == stream["metadata"]["resourceVersion"]


@pytest.mark.case("api 44")
def test_put_requires_resource_version(tenant):
    stream = tenant.stream("app")
    del stream["metadata"]["resourceVersion"]
    response = write(tenant, stream)
    assert response.status_code == 422
    assert response.json()["message"] == (
        'imagestreams.image.openshift.io "app" is invalid: metadata.resourceVersion: '
        "Invalid value: 0: must be specified for an update"
    )
    assert response.json()["details"]["kind"] == "imagestreams"


@pytest.mark.case("api 45")
def test_put_with_other_resource_version_is_conflict(tenant):
    stream = tenant.stream("app")
    stream["metadata"]["resourceVersion"] = "1"
    response = write(tenant, stream)
    assert response.status_code == 409
    assert response.json()["message"] == (
        'Operation cannot be fulfilled on imagestreams.image.openshift.io "app": the object has '
        "been modified; please apply your changes to the latest version and try again"
    )


@pytest.mark.case("api 46")
def test_put_with_other_name_is_bad_request(tenant):
    stream = tenant.stream("app")
    stream["metadata"]["name"] = "other"
    response = tenant.put("imagestreams", "app", stream)
    assert response.status_code == 400
    expected = "the name of the object (other) does not match the name on the URL (app)"
    assert response.json()["message"] == expected


@pytest.mark.case("api 47")
def test_put_of_missing_stream_is_not_found(tenant):
    body = {"metadata": {"name": "none", "resourceVersion": "1"}}
    response = tenant.put("imagestreams", "none", body)
    assert response.status_code == 404
    assert response.json()["message"] == 'imagestreams.image.openshift.io "none" not found'


@pytest.mark.case("api 48")
def test_put_with_other_uid_is_conflict(tenant):
    stream = tenant.stream("app")
    stream["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    response = write(tenant, stream)
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition" in response.json()["message"]


@pytest.mark.case("api 49")
def test_put_ignores_creation_timestamp_and_generation(tenant):
    stream = tenant.stream("app")
    changed = stream | {
        "metadata": stream["metadata"]
        | {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99}
    }
    found = write(tenant, changed).json()
    assert found["metadata"]["creationTimestamp"] == stream["metadata"]["creationTimestamp"]
    assert found["metadata"]["generation"] == 1


@pytest.mark.case("api 50", "api 51", "api 52", "api 53", "api 54", "api 55")
def test_put_raises_generation_of_tags_to_import(tenant):
    def update(change):
        stream = read(tenant)
        change(stream, stream["spec"]["tags"][0])
        response = write(tenant, stream)
        assert response.status_code == 200, response.text
        found = response.json()
        return found["metadata"]["generation"], found["spec"]["tags"][0]["generation"]

    tenant.stream("app", tag_from("v1", "nowhere.invalid/x:1"))
    assert update(lambda _s, tag: tag["from"].update(name="nowhere.invalid/x:2")) == (2, 2)
    assert update(lambda _s, tag: tag.update(annotations={"a": "b"})) == (3, 2)
    assert update(lambda _s, tag: tag["importPolicy"].update(scheduled=True)) == (4, 2)
    assert update(lambda _s, tag: tag["referencePolicy"].update(type="Local")) == (5, 2)
    assert update(lambda s, _tag: s["spec"]["lookupPolicy"].update(local=True)) == (6, 2)
    change = {"importMode": "PreserveOriginal"}
    assert update(lambda _s, tag: tag["importPolicy"].update(change)) == (7, 7)
    assert update(lambda _s, tag: tag.update(generation=0)) == (8, 8)
    assert update(lambda _s, tag: tag.update(generation=55)) == (8, 8)
    assert update(lambda _s, tag: tag.update(generation=None)) == (8, 8)


@pytest.mark.case("api 56")
def test_put_of_labels_keeps_generation(tenant):
    stream = tenant.stream("app")
    stream["metadata"]["labels"] = {"a": "b"}
    found = write(tenant, stream).json()
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["resourceVersion"] != stream["metadata"]["resourceVersion"]


@pytest.mark.case("api 57", "api 58")
def test_put_ignores_status(tenant):
    stream = tenant.stream("app", tag_from("v1", "q/x:1", reference=True))
    history = stream["status"]["tags"]
    with_status = stream | {"status": {"tags": [{"tag": "zz", "items": []}]}}
    assert write(tenant, with_status).json()["status"]["tags"] == history
    without = read(tenant)
    del without["status"]
    assert write(tenant, without).json()["status"]["tags"] == history
    without_tags = read(tenant)
    without_tags["spec"]["tags"] = []
    found = write(tenant, without_tags).json()
    assert found["status"]["tags"] == history
    assert "tags" not in found["spec"]


@pytest.mark.case("api 59")
def test_put_of_tracking_tag_keeps_event_of_source(tenant):
    stream = tenant.stream("app", tag_from("v1", "q/x:1", reference=True))
    stream["spec"]["tags"].append(tracking_tag("copy", "v1"))
    found = write(tenant, stream).json()
    history = {tag["tag"]: tag["items"][0] for tag in found["status"]["tags"]}
    assert history["copy"]["dockerImageReference"] == "q/x:1"
    assert history["v1"]["generation"] == 1


@pytest.mark.case("api 60", "api 61")
def test_tag_from_other_namespace_points_to_own_repository(tenant, digest):
    image = digest()
    tenant.stream("src", ns=tenant.other)
    reference = f"reg.local:5000/{tenant.other}/src@{image}"
    response = tenant.push("src", "int", image, ns=tenant.other, dockerImageReference=reference)
    assert response.status_code == 201, response.text
    found = tenant.stream(
        "web",
        tracking_tag("t", "src:int", namespace=tenant.other),
        tracking_tag("r", "src:int", namespace=tenant.other) | {"reference": True},
        tracking_tag("i", f"src@{image}", "ImageStreamImage", namespace=tenant.other),
        tracking_tag("p", f"src@{image[:19]}", "ImageStreamImage", namespace=tenant.other),
    )
    history = {tag["tag"]: tag["items"][0] for tag in found["status"]["tags"]}
    own = f"reg.local:5000/{tenant.ns}/web@{image}"
    references = {name: event["dockerImageReference"] for name, event in history.items()}
    assert references == {"t": own, "i": own, "p": own, "r": reference}
    assert {event["image"] for event in history.values()} == {image}
    wrong = tracking_tag("t", "src@sha256:bbb", "ImageStreamImage", namespace=tenant.other)
    response = tenant.post("imagestreams", {"metadata": {"name": "w2"}, "spec": {"tags": [wrong]}})
    assert response.status_code == 422
    assert (
        'error generating tag event: imagestreamimage.image.openshift.io "sha256:bbb" not found'
        in response.json()["message"]
    )


@pytest.mark.case("api 62")
def test_image_tag_of_ambiguous_prefix_is_invalid(tenant, digest):
    tenant.stream("src")
    first = digest()
    second = first[:-1] + "b"
    for tag, image in (("a", first), ("b", second)):
        tenant.push("src", tag, image)
    wrong = tracking_tag("t", f"src@{first[:20]}", "ImageStreamImage")
    response = tenant.post("imagestreams", {"metadata": {"name": "w"}, "spec": {"tags": [wrong]}})
    assert response.status_code == 422
    assert f'multiple images match the prefix "{first[:20]}"' in response.json()["message"]


@pytest.mark.case("api 63", "api 64", "api 65")
def test_stream_with_tag_of_other_namespace_requires_pull_permission(tenant, digest):
    tenant.stream("src", ns=tenant.other)
    tenant.push("src", "int", digest(), ns=tenant.other)
    body = {
        "metadata": {"name": "web"},
        "spec": {"tags": [tracking_tag("t", "src:int", namespace=tenant.other)]},
    }
    editor = tenant.user(("edit", tenant.ns))
    response = editor.post(tenant.path("imagestreams"), json=body)
    assert response.status_code == 422
    assert f"spec.tags[t].from: Forbidden: {tenant.other}/src" in response.json()["message"]
    body["spec"]["tags"][0]["from"]["name"] = "not-there:int"
    message = editor.post(tenant.path("imagestreams"), json=body).json()["message"]
    assert "Not found" not in message
    body["spec"]["tags"][0]["from"]["name"] = "src:int"
    puller = tenant.user(("edit", tenant.ns), ("puller", tenant.other), name=f"{tenant.user_name}p")
    assert puller.post(tenant.path("imagestreams"), json=body).status_code == 201
    own = {
        "metadata": {"name": "own"},
        "spec": {"tags": [tracking_tag("t", "web:t", namespace=tenant.ns)]},
    }
    assert editor.post(tenant.path("imagestreams"), json=own).status_code == 201


def event(reference, image="", generation=0):
    return {
        "created": "2026-01-02T03:04:05Z",
        "dockerImageReference": reference,
        "image": image,
        "generation": generation,
    }


def put_status(tenant, stream, tags):
    changed = stream | {"status": {"dockerImageRepository": "", "tags": tags}}
    return tenant.put("imagestreams", f"{stream['metadata']['name']}/status", changed)


@pytest.mark.case("api 66", "api 67")
def test_status_put_keeps_spec(tenant, digest):
    image = digest()
    stream = tenant.stream("st", tag_from("v1", "q/x:1", reference=True))
    changed = stream | {"spec": {"lookupPolicy": {"local": True}}}
    items = [event(f"q/x@{image}", image)]
    response = put_status(tenant, changed, [{"tag": "v9", "items": items}])
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["spec"] == stream["spec"]
    assert found["metadata"]["generation"] == 1
    [tag] = found["status"]["tags"]
    assert tag["items"][0]["generation"] == 1
    assert found["status"]["dockerImageRepository"] == f"reg.local:5000/{tenant.ns}/st"


@pytest.mark.case("api 68")
@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("Bad Ref", "invalid reference format"),
        ("", "repository name must have at least one component"),
    ],
)
def test_status_put_rejects_invalid_reference(tenant, reference, text):
    stream = tenant.stream("st")
    response = put_status(tenant, stream, [{"tag": "v1", "items": [event(reference, "x")]}])
    assert response.status_code == 422
    assert text in causes(response)["status.tags[v1].items[0].dockerImageReference"]


@pytest.mark.case("api 69")
def test_status_patch_accepts_condition_without_events(tenant):
    tenant.stream("st")
    condition = {
        "type": "ImportSuccess",
        "status": "False",
        "reason": "NotFound",
        "message": "m",
        "generation": 1,
        "lastTransitionTime": None,
    }
    patch = {"status": {"tags": [{"tag": "v1", "conditions": [condition]}]}}
    response = tenant.patch("imagestreams", "st/status", patch)
    assert response.status_code == 200, response.text
    [tag] = response.json()["status"]["tags"]
    assert tag["items"] is None
    assert tag["conditions"][0]["lastTransitionTime"] is None


@pytest.mark.case("api 70")
def test_status_supports_neither_post_nor_delete(tenant):
    tenant.stream("st")
    assert tenant.post("imagestreams/st/status", {}).status_code == 405
    assert tenant.delete("imagestreams", "st/status").status_code == 405
