"""Images (`api.md` B1.2, B3.8, B4): cases 126 to 141."""

import json
from uuid import uuid4

import pytest

from tests.integration.api.pushes import (
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGES,
    L1,
    L2,
    at,
    hashed,
    pushed_image,
    read,
)
from tests.integration.api.test_streams_created import causes

ORDER = "image.openshift.io/dockerLayersOrder"


def post(room, body, **params):
    return room.admin.post(IMAGES, json=body, params=params)


def created(room, body):
    answer = post(room, body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(room, image, **changes):
    answer = room.admin.put(at(image["metadata"]["name"]), json=image | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def without_metadata(image):
    """All but who wrote what and when."""
    return {key: value for key, value in image.items() if key != "metadata"}


@pytest.mark.case("api 126")
def test_an_image_says_where_it_comes_from(room, digest):
    answer = post(room, {"metadata": {"name": digest()}})
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert causes(answer) == {"dockerImageReference": "Required value"}
    assert answer.json()["message"].endswith("is invalid: dockerImageReference: Required value")


@pytest.mark.case("api 127")
@pytest.mark.parametrize(
    ("name", "text"),
    [("a/b", "may not contain '/'"), ("a%b", "may not contain '%'"), (".", "may not be '.'")],
)
def test_a_name_that_no_path_could_hold_is_refused(room, name, text):
    answer = post(room, {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"})
    assert answer.status_code == 422
    assert causes(answer) == {"metadata.name": f'Invalid value: "{name}": {text}'}


@pytest.mark.case("api 128")
def test_any_other_name_will_do(room):
    name = f"ANY Name_x{uuid4().hex}"
    created(room, {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"})
    found = room.admin.get(f"{IMAGES}/{name.replace(' ', '%20')}")
    assert (found.status_code, found.json()["metadata"]["name"]) == (200, name)


@pytest.mark.case("api 129")
def test_an_image_lives_in_no_namespace(room, digest):
    metadata = {"name": digest(), "namespace": "foo", "generation": 7}
    found = created(room, {"metadata": metadata, "dockerImageReference": "quay.io/x/y:1"})
    assert "namespace" not in found["metadata"]
    assert "generation" not in found["metadata"]
    assert found["dockerImageMetadataVersion"] == "1.0"


@pytest.mark.case("api 130")
def test_what_is_no_part_of_a_config_is_dropped(room, digest):
    metadata = {"Id": "x", "foo": 1, "Config": {"Env": ["A=b"], "Unknown": 1}, "Size": 5}
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadata": metadata,
    }
    answer = post(room, body, fieldValidation="Strict")
    assert (answer.status_code, "warning" in answer.headers) == (201, False)
    assert answer.json()["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "x",
        "Created": None,
        "ContainerConfig": {},
        "Config": {"Env": ["A=b"]},
        "Size": 5,
    }


@pytest.mark.case("api 131")
def test_another_version_of_the_metadata_is_a_bad_request(room, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadataVersion": "9.9",
    }
    answer = post(room, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"].startswith(
        'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered '
        'for version "image.openshift.io/9.9"'
    )


@pytest.mark.parametrize("metadata", ["text", [1], {"Created": "yesterday"}, {"Size": "big"}])
def test_metadata_of_the_wrong_shape_is_a_bad_request(room, digest, metadata):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadata": metadata,
    }
    answer = post(room, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


@pytest.mark.case("api 132")
def test_manifest_and_config_tell_what_the_image_is_made_of(room):
    body = pushed_image()
    found = created(room, body)
    assert found["dockerImageLayers"] == [
        {"name": L1, "size": 100, "mediaType": DOCKER_LAYER},
        {"name": L2, "size": 200, "mediaType": DOCKER_LAYER},
        {"name": L2, "size": 200, "mediaType": DOCKER_LAYER},
    ]
    metadata = found["dockerImageMetadata"]
    assert metadata["Size"] == 562
    assert metadata["Id"] == hashed(body["dockerImageConfig"])
    assert metadata["Created"] == "2024-05-06T07:08:09Z"
    assert metadata["Config"] == {"Env": ["A=b"]}
    assert metadata["Architecture"] == "amd64"
    assert found["dockerImageManifestMediaType"] == DOCKER_MANIFEST
    assert found["metadata"]["annotations"] == {ORDER: "ascending"}
    assert found["dockerImageManifest"] == body["dockerImageManifest"]
    assert found["dockerImageConfig"] == body["dockerImageConfig"]
    assert read(room, body["metadata"]["name"]) == found


@pytest.mark.case("api 133")
def test_without_a_config_only_the_layers_are_known(room):
    body = pushed_image()
    del body["dockerImageConfig"]
    found = created(room, body)
    assert [layer["size"] for layer in found["dockerImageLayers"]] == [100, 200, 200]
    assert found["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "",
        "Created": None,
        "ContainerConfig": {},
    }


@pytest.mark.case("api 134")
def test_texts_that_are_stored_elsewhere_are_dropped_once_read(room):
    body = pushed_image()
    body["metadata"]["annotations"] = {"image.openshift.io/manifestBlobStored": "true"}
    found = created(room, body)
    assert "dockerImageManifest" not in found
    assert "dockerImageConfig" not in found
    assert found["dockerImageMetadata"]["Size"] == 562
    assert len(found["dockerImageLayers"]) == 3


def platform(digest, architecture, **more):
    return {
        "mediaType": DOCKER_MANIFEST,
        "size": 500,
        "digest": digest,
        "platform": {"architecture": architecture, "os": "linux", **more},
    }


@pytest.mark.case("api 135")
def test_a_list_tells_its_children(room, digest):
    amd, arm = digest("a"), digest("b")
    children = [platform(amd, "amd64"), platform(arm, "arm", variant="v7")]
    document = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": children}
    text = json.dumps(document)
    name = hashed(text)
    found = created(
        room,
        {
            "metadata": {"name": name},
            "dockerImageReference": f"quay.io/x/y@{name}",
            "dockerImageManifest": text,
            "dockerImageManifestMediaType": DOCKER_LIST,
        },
    )
    common = {"mediaType": DOCKER_MANIFEST, "manifestSize": 500, "os": "linux"}
    assert found["dockerImageManifests"] == [
        {"digest": amd, "architecture": "amd64", **common},
        {"digest": arm, "architecture": "arm", "variant": "v7", **common},
    ]
    assert found["dockerImageMetadata"]["Id"] == name
    assert found["dockerImageMetadata"]["Created"] > "2020"
    assert "dockerImageLayers" not in found


@pytest.mark.case("api 136")
def test_a_manifest_that_cannot_be_read_tells_nothing(room, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageManifest": "{bad",
    }
    found = created(room, body)
    assert found["dockerImageManifest"] == "{bad"
    assert found["dockerImageMetadata"]["Id"] == ""
    assert not {"dockerImageLayers", "dockerImageManifests"} & set(found)


@pytest.mark.case("api 137")
def test_everything_wrong_with_a_list_is_said_at_once(room, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageManifests": [
            {"digest": "bad", "mediaType": "x", "manifestSize": -1, "architecture": "", "os": ""}
        ],
        "dockerImageLayers": [{"name": L1, "size": 1, "mediaType": DOCKER_LAYER}],
    }
    answer = post(room, body)
    assert answer.status_code == 422
    first = "dockerImageManifests[0]"
    assert len(answer.json()["details"]["causes"]) == 6
    found = causes(answer)
    text = "digest does not conform with OCI image specification"
    assert found[f"{first}.digest"] == f'Invalid value: "bad": {text}'
    expected = 'Invalid value: "x": media type does not conform to RFC6838'
    assert found[f"{first}.mediaType"] == expected
    assert found[f"{first}.architecture"] == "Required value"
    assert found[f"{first}.os"] == "Required value"
    assert found[f"{first}.size"] == "Invalid value: -1: manifest size cannot be negative"
    assert found["dockerImageLayers"].startswith("Invalid value: [")
    assert found["dockerImageLayers"].endswith(
        ": dockerImageLayers should not be set when dockerImageManifests is set"
    )


@pytest.mark.case("api 138")
@pytest.mark.parametrize(
    "change",
    [
        {"dockerImageMetadata": {"Id": "hacked"}},
        {"dockerImageLayers": []},
        {"dockerImageManifest": "{}"},
        {"dockerImageConfig": "{}"},
    ],
)
def test_what_follows_from_the_digest_quietly_stays(room, change):
    before = created(room, pushed_image())
    after = put(room, before, **change)
    assert without_metadata(after) == without_metadata(before)
    assert without_metadata(read(room, before["metadata"]["name"])) == without_metadata(before)


@pytest.mark.case("api 139")
@pytest.mark.parametrize("field", ["dockerImageConfig", "dockerImageManifest"])
def test_a_text_can_be_taken_out_and_put_back_if_it_is_the_right_one(room, field):
    before = created(room, pushed_image())
    cleared = put(room, before, **{field: ""})
    assert field not in cleared
    assert cleared["dockerImageLayers"] == before["dockerImageLayers"]
    refused = put(room, cleared, **{field: '{"another": "text"}'})
    assert without_metadata(refused) == without_metadata(cleared)
    restored = put(room, refused, **{field: before[field]})
    assert restored[field] == before[field]
    assert restored["dockerImageMetadata"] == before["dockerImageMetadata"]


@pytest.mark.case("api 140")
def test_a_put_says_which_version_it_replaces(room, digest):
    image = room.image(digest())
    name = image["metadata"]["name"]
    del image["metadata"]["resourceVersion"]
    answer = room.admin.put(at(name), json=image)
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == (
        f'images.image.openshift.io "{name}" is invalid: metadata.resourceVersion: '
        "Invalid value: 0: must be specified for an update"
    )
    assert answer.json()["details"]["kind"] == "images"


def test_an_old_version_is_a_conflict(room, digest):
    old = room.image(digest())
    name = old["metadata"]["name"]
    put(room, old, dockerImageReference="quay.io/x/z:1")
    answer = room.admin.put(at(name), json=old | {"dockerImageReference": "quay.io/x/z:2"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        f'Operation cannot be fulfilled on images.image.openshift.io "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again"
    )


@pytest.mark.case("api 141")
def test_docker_signatures_once_set_stay(room, digest):
    image = room.image(digest())
    signed = put(room, image, dockerImageSignatures=["aGk="])
    assert signed["dockerImageSignatures"] == ["aGk="]
    assert put(room, signed, dockerImageSignatures=[])["dockerImageSignatures"] == ["aGk="]


def test_what_a_client_may_change_is_changed(room, digest):
    image = room.image(digest())
    metadata = image["metadata"] | {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    found = put(
        room,
        image,
        metadata=metadata,
        dockerImageReference="quay.io/x/z:1",
        dockerImageManifestMediaType=DOCKER_MANIFEST,
    )
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["metadata"]["annotations"] == {"c": "d"}
    assert found["dockerImageReference"] == "quay.io/x/z:1"
    assert found["dockerImageManifestMediaType"] == DOCKER_MANIFEST
    assert int(found["metadata"]["resourceVersion"]) > int(image["metadata"]["resourceVersion"])


def test_an_unreadable_reference_is_refused_in_the_words_of_the_grammar(room, digest):
    answer = post(room, {"metadata": {"name": digest()}, "dockerImageReference": "Bad Ref!!"})
    assert answer.status_code == 422
    expected = 'Invalid value: "Bad Ref!!": invalid reference format'
    assert causes(answer) == {"dockerImageReference": expected}


def test_an_image_can_be_deleted_while_a_stream_still_means_it(room, digest):
    name = digest()
    room.stream("app")
    room.map("app", "v1", name)
    answer = room.admin.delete(at(name))
    assert answer.status_code == 200
    assert answer.json()["status"] == "Success"
    details = answer.json()["details"]
    assert (details["name"], details["group"], details["kind"]) == (
        name,
        "image.openshift.io",
        "images",
    )
    gone = room.admin.get(at(name))
    assert gone.status_code == 404
    assert gone.json()["message"] == f'images.image.openshift.io "{name}" not found'


def test_trials_with_images_store_nothing(room, digest):
    name = digest()
    body = {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"}
    tried = post(room, body, dryRun="All")
    assert tried.status_code == 201
    assert tried.json()["metadata"]["uid"]
    assert "resourceVersion" not in tried.json()["metadata"]
    assert room.admin.get(at(name)).status_code == 404
    stored = created(room, body)
    changed = stored | {"dockerImageReference": "quay.io/x/y:2"}
    put_tried = room.admin.put(at(name), json=changed, params={"dryRun": "All"})
    assert put_tried.json()["dockerImageReference"] == "quay.io/x/y:2"
    version = stored["metadata"]["resourceVersion"]
    assert put_tried.json()["metadata"]["resourceVersion"] == version
    assert room.admin.delete(at(name), params={"dryRun": "All"}).status_code == 200
    assert read(room, name) == stored
