"""Images over HTTP (api-18.5, api-21.1 to api-21.8)."""

import json
from uuid import uuid4

import pytest

from tests.integration.api.pushed_images import (
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGES,
    L1,
    L2,
    digest_of,
    image_path,
    pushed_image,
    read_image,
)
from tests.integration.api.tenant import causes

ORDER = "image.openshift.io/dockerLayersOrder"


def post(tenant, body, **params):
    return tenant.admin.post(IMAGES, json=body, params=params)


def created(tenant, body):
    response = post(tenant, body)
    assert response.status_code == 201, response.text
    return response.json()


def put(tenant, image, **changes):
    response = tenant.admin.put(image_path(image["metadata"]["name"]), json=image | changes)
    assert response.status_code == 200, response.text
    return response.json()


def without_metadata(image):
    """Return the image without its metadata."""
    return {key: value for key, value in image.items() if key != "metadata"}


@pytest.mark.case("api 126")
def test_image_create_requires_reference(tenant, digest):
    response = post(tenant, {"metadata": {"name": digest()}})
    assert (response.status_code, response.json()["reason"]) == (422, "Invalid")
    assert causes(response) == {"dockerImageReference": "Required value"}
    assert response.json()["message"].endswith("is invalid: dockerImageReference: Required value")


@pytest.mark.case("api 127")
@pytest.mark.parametrize(
    ("name", "text"),
    [("a/b", "may not contain '/'"), ("a%b", "may not contain '%'"), (".", "may not be '.'")],
)
def test_image_create_rejects_name_invalid_in_path(tenant, name, text):
    response = post(tenant, {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"})
    assert response.status_code == 422
    assert causes(response) == {"metadata.name": f'Invalid value: "{name}": {text}'}


@pytest.mark.case("api 128")
def test_image_create_accepts_any_other_name(tenant):
    name = f"ANY Name_x{uuid4().hex}"
    created(tenant, {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"})
    found = tenant.admin.get(f"{IMAGES}/{name.replace(' ', '%20')}")
    assert (found.status_code, found.json()["metadata"]["name"]) == (200, name)


@pytest.mark.case("api 129")
def test_image_create_drops_namespace_and_generation(tenant, digest):
    metadata = {"name": digest(), "namespace": "foo", "generation": 7}
    found = created(tenant, {"metadata": metadata, "dockerImageReference": "quay.io/x/y:1"})
    assert "namespace" not in found["metadata"]
    assert "generation" not in found["metadata"]
    assert found["dockerImageMetadataVersion"] == "1.0"


@pytest.mark.case("api 130")
def test_image_create_drops_unknown_metadata_keys(tenant, digest):
    metadata = {"Id": "x", "foo": 1, "Config": {"Env": ["A=b"], "Unknown": 1}, "Size": 5}
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadata": metadata,
    }
    response = post(tenant, body, fieldValidation="Strict")
    assert (response.status_code, "warning" in response.headers) == (201, False)
    assert response.json()["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "x",
        "Created": None,
        "ContainerConfig": {},
        "Config": {"Env": ["A=b"]},
        "Size": 5,
    }


@pytest.mark.case("api 131")
def test_image_create_of_unknown_metadata_version_is_bad_request(tenant, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadataVersion": "9.9",
    }
    response = post(tenant, body)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"].startswith(
        'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered '
        'for version "image.openshift.io/9.9"'
    )


@pytest.mark.parametrize("metadata", ["text", [1], {"Created": "yesterday"}, {"Size": "big"}])
def test_image_create_of_invalid_metadata_is_bad_request(tenant, digest, metadata):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageMetadata": metadata,
    }
    response = post(tenant, body)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")


@pytest.mark.case("api 132")
def test_image_create_fills_metadata_from_manifest_and_config(tenant):
    body = pushed_image()
    found = created(tenant, body)
    assert found["dockerImageLayers"] == [
        {"name": L1, "size": 100, "mediaType": DOCKER_LAYER},
        {"name": L2, "size": 200, "mediaType": DOCKER_LAYER},
        {"name": L2, "size": 200, "mediaType": DOCKER_LAYER},
    ]
    metadata = found["dockerImageMetadata"]
    assert metadata["Size"] == 562
    assert metadata["Id"] == digest_of(body["dockerImageConfig"])
    assert metadata["Created"] == "2024-05-06T07:08:09Z"
    assert metadata["Config"] == {"Env": ["A=b"]}
    assert metadata["Architecture"] == "amd64"
    assert found["dockerImageManifestMediaType"] == DOCKER_MANIFEST
    assert found["metadata"]["annotations"] == {ORDER: "ascending"}
    assert found["dockerImageManifest"] == body["dockerImageManifest"]
    assert found["dockerImageConfig"] == body["dockerImageConfig"]
    assert read_image(tenant, body["metadata"]["name"]) == found


@pytest.mark.case("api 133")
def test_image_create_without_config_fills_only_layers(tenant):
    body = pushed_image()
    del body["dockerImageConfig"]
    found = created(tenant, body)
    assert [layer["size"] for layer in found["dockerImageLayers"]] == [100, 200, 200]
    assert found["dockerImageMetadata"] == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "",
        "Created": None,
        "ContainerConfig": {},
    }


@pytest.mark.case("api 134")
def test_image_create_drops_texts_marked_as_stored_elsewhere(tenant):
    body = pushed_image()
    body["metadata"]["annotations"] = {"image.openshift.io/manifestBlobStored": "true"}
    found = created(tenant, body)
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
def test_image_create_of_index_fills_child_manifests(tenant, digest):
    amd, arm = digest("a"), digest("b")
    children = [platform(amd, "amd64"), platform(arm, "arm", variant="v7")]
    document = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": children}
    text = json.dumps(document)
    name = digest_of(text)
    found = created(
        tenant,
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
def test_image_create_of_invalid_manifest_fills_nothing(tenant, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageManifest": "{bad",
    }
    found = created(tenant, body)
    assert found["dockerImageManifest"] == "{bad"
    assert found["dockerImageMetadata"]["Id"] == ""
    assert not {"dockerImageLayers", "dockerImageManifests"} & set(found)


@pytest.mark.case("api 137")
def test_image_create_reports_every_invalid_field(tenant, digest):
    body = {
        "metadata": {"name": digest()},
        "dockerImageReference": "quay.io/x/y:1",
        "dockerImageManifests": [
            {"digest": "bad", "mediaType": "x", "manifestSize": -1, "architecture": "", "os": ""}
        ],
        "dockerImageLayers": [{"name": L1, "size": 1, "mediaType": DOCKER_LAYER}],
    }
    response = post(tenant, body)
    assert response.status_code == 422
    first = "dockerImageManifests[0]"
    assert len(response.json()["details"]["causes"]) == 6
    found = causes(response)
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
def test_image_put_keeps_fields_derived_from_digest(tenant, change):
    before = created(tenant, pushed_image())
    after = put(tenant, before, **change)
    assert without_metadata(after) == without_metadata(before)
    assert without_metadata(read_image(tenant, before["metadata"]["name"])) == without_metadata(
        before
    )


@pytest.mark.case("api 139")
@pytest.mark.parametrize("field", ["dockerImageConfig", "dockerImageManifest"])
def test_image_put_clears_and_restores_only_matching_text(tenant, field):
    before = created(tenant, pushed_image())
    cleared = put(tenant, before, **{field: ""})
    assert field not in cleared
    assert cleared["dockerImageLayers"] == before["dockerImageLayers"]
    refused = put(tenant, cleared, **{field: '{"another": "text"}'})
    assert without_metadata(refused) == without_metadata(cleared)
    restored = put(tenant, refused, **{field: before[field]})
    assert restored[field] == before[field]
    assert restored["dockerImageMetadata"] == before["dockerImageMetadata"]


@pytest.mark.case("api 140")
def test_image_put_requires_resource_version(tenant, digest):
    image = tenant.image(digest())
    name = image["metadata"]["name"]
    del image["metadata"]["resourceVersion"]
    response = tenant.admin.put(image_path(name), json=image)
    assert (response.status_code, response.json()["reason"]) == (422, "Invalid")
    assert response.json()["message"] == (
        f'images.image.openshift.io "{name}" is invalid: metadata.resourceVersion: '
        "Invalid value: 0: must be specified for an update"
    )
    assert response.json()["details"]["kind"] == "images"


def test_image_put_with_stale_resource_version_is_conflict(tenant, digest):
    old = tenant.image(digest())
    name = old["metadata"]["name"]
    put(tenant, old, dockerImageReference="quay.io/x/z:1")
    response = tenant.admin.put(
        image_path(name), json=old | {"dockerImageReference": "quay.io/x/z:2"}
    )
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")
    assert response.json()["message"] == (
        f'Operation cannot be fulfilled on images.image.openshift.io "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again"
    )


@pytest.mark.case("api 141")
def test_image_put_keeps_docker_image_signatures(tenant, digest):
    image = tenant.image(digest())
    signed = put(tenant, image, dockerImageSignatures=["aGk="])
    assert signed["dockerImageSignatures"] == ["aGk="]
    assert put(tenant, signed, dockerImageSignatures=[])["dockerImageSignatures"] == ["aGk="]


def test_image_put_changes_labels_annotations_and_reference(tenant, digest):
    image = tenant.image(digest())
    metadata = image["metadata"] | {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    found = put(
        tenant,
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


def test_image_create_of_invalid_reference_has_upstream_message(tenant, digest):
    response = post(tenant, {"metadata": {"name": digest()}, "dockerImageReference": "Bad Ref!!"})
    assert response.status_code == 422
    expected = 'Invalid value: "Bad Ref!!": invalid reference format'
    assert causes(response) == {"dockerImageReference": expected}


def test_image_delete_succeeds_while_stream_points_to_it(tenant, digest):
    name = digest()
    tenant.stream("app")
    tenant.push("app", "v1", name)
    response = tenant.admin.delete(image_path(name))
    assert response.status_code == 200
    assert response.json()["status"] == "Success"
    details = response.json()["details"]
    assert (details["name"], details["group"], details["kind"]) == (
        name,
        "image.openshift.io",
        "images",
    )
    missing = tenant.admin.get(image_path(name))
    assert missing.status_code == 404
    assert missing.json()["message"] == f'images.image.openshift.io "{name}" not found'


def test_image_dry_runs_store_nothing(tenant, digest):
    name = digest()
    body = {"metadata": {"name": name}, "dockerImageReference": "quay.io/x/y:1"}
    dry_run = post(tenant, body, dryRun="All")
    assert dry_run.status_code == 201
    assert dry_run.json()["metadata"]["uid"]
    assert "resourceVersion" not in dry_run.json()["metadata"]
    assert tenant.admin.get(image_path(name)).status_code == 404
    stored = created(tenant, body)
    changed = stored | {"dockerImageReference": "quay.io/x/y:2"}
    put_dry_run = tenant.admin.put(image_path(name), json=changed, params={"dryRun": "All"})
    assert put_dry_run.json()["dockerImageReference"] == "quay.io/x/y:2"
    version = stored["metadata"]["resourceVersion"]
    assert put_dry_run.json()["metadata"]["resourceVersion"] == version
    assert tenant.admin.delete(image_path(name), params={"dryRun": "All"}).status_code == 200
    assert read_image(tenant, name) == stored
