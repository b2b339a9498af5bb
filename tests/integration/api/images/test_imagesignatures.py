"""Signatures, which are stored in their images (api-22.1 to api-22.4)."""

import pytest

from tests.api_test_server import IMAGE_API
from tests.integration.api.pushed_images import image_path, read_image
from tests.integration.api.tenant import causes

SIGNATURES = f"{IMAGE_API}/imagesignatures"
FORM = "name must be of format <imageName>@<signatureName>"


def sign(tenant, name, **fields):
    params = fields.pop("params", {})
    body = {"metadata": {"name": name}, "type": "AtomicImageV1", "content": "aGk="} | fields
    return tenant.admin.post(SIGNATURES, json=body, params=params)


def delete_signature(tenant, name, **params):
    return tenant.admin.delete(f"{SIGNATURES}/{name}", params=params)


@pytest.fixture
def image(tenant, digest):
    """Return the name of a stored image."""
    name = digest("b")
    tenant.image(name)
    return name


@pytest.mark.case("api 142")
def test_signature_create_drops_fields_of_verifier(tenant, image):
    conditions = [{"type": "Trusted", "status": "True"}, {"type": "ForImage", "status": "True"}]
    response = sign(
        tenant,
        f"{image}@s1",
        imageIdentity="zz",
        conditions=conditions,
        signedClaims={"a": "b"},
        created="2020-01-01T00:00:00Z",
        issuedBy={"organization": "o"},
        issuedTo={"publicKeyID": "k"},
    )
    found = response.json()
    assert response.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageSignature", "image.openshift.io/v1")
    assert set(found) == {"kind", "apiVersion", "metadata", "type", "content"}
    assert (found["type"], found["content"]) == ("AtomicImageV1", "aGk=")
    assert found["metadata"]["uid"]
    assert found["metadata"]["creationTimestamp"] > "2020"
    assert "resourceVersion" not in found["metadata"]
    [stored] = read_image(tenant, image)["signatures"]
    assert stored == {key: found[key] for key in ("metadata", "type", "content")}


@pytest.mark.case("api 143")
def test_signature_create_rejects_duplicate_name_or_content(tenant, image):
    assert sign(tenant, f"{image}@s1").status_code == 201
    equal_name = sign(tenant, f"{image}@s1", content="b3RoZXI=")
    assert (equal_name.status_code, equal_name.json()["reason"]) == (409, "AlreadyExists")
    expected = f'imageSignatures.image.openshift.io "{image}@s1" already exists'
    assert equal_name.json()["message"] == expected
    equal_content = sign(tenant, f"{image}@s2")
    assert equal_content.status_code == 409
    expected = f'imageSignatures.image.openshift.io "{image}@s2" already exists'
    assert equal_content.json()["message"] == expected
    assert sign(tenant, f"{image}@s2", type="Other").status_code == 201
    assert len(read_image(tenant, image)["signatures"]) == 2


@pytest.mark.case("api 144")
@pytest.mark.parametrize("name", ["nope", "a@b@c"])
def test_signature_create_requires_name_of_image(tenant, name):
    response = sign(tenant, name)
    assert response.status_code == 422
    assert causes(response) == {"metadata.name": f'Invalid value: "{name}": {FORM}'}


@pytest.mark.case("api 144")
def test_signature_create_of_missing_image_is_not_found(tenant):
    response = sign(tenant, "nope@s")
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
    assert response.json()["message"] == 'images.image.openshift.io "nope" not found'
    assert response.json()["details"] == {
        "name": "nope",
        "group": "image.openshift.io",
        "kind": "images",
    }


@pytest.mark.case("api 145")
def test_signature_create_requires_type_and_content(tenant, image):
    response = tenant.admin.post(SIGNATURES, json={"metadata": {"name": f"{image}@s"}})
    assert response.status_code == 422
    assert causes(response) == {"type": "Required value", "content": "Required value"}


def test_signature_create_forbids_labels_and_annotations(tenant, image):
    metadata = {"name": f"{image}@s", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    response = sign(tenant, "", metadata=metadata)
    assert response.status_code == 422
    assert causes(response) == {
        "metadata.labels": "Forbidden: signature labels cannot be set",
        "metadata.annotations": "Forbidden: signature annotations cannot be set",
    }


def test_signature_create_of_invalid_base64_is_bad_request(tenant, image):
    response = sign(tenant, f"{image}@s", content="a*b")
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert response.json()["message"] == (
        'ImageSignature in version "v1" cannot be handled as a ImageSignature: '
        "illegal base64 data at input byte 1"
    )


def test_signature_create_rejects_generate_name(tenant, image):
    response = sign(tenant, "", metadata={"generateName": f"{image}@"})
    assert response.status_code == 422
    assert causes(response) == {"metadata.name": "Required value"}


@pytest.mark.case("api 146")
def test_signature_dry_runs_store_nothing(tenant, image):
    before = read_image(tenant, image)
    assert sign(tenant, f"{image}@s", params={"dryRun": "All"}).status_code == 201
    assert read_image(tenant, image) == before
    sign(tenant, f"{image}@s")
    signed = read_image(tenant, image)
    dry_run = delete_signature(tenant, f"{image}@s", dryRun="All")
    assert (dry_run.status_code, dry_run.json()["status"]) == (200, "Success")
    assert read_image(tenant, image) == signed


@pytest.mark.case("api 147")
def test_signature_delete_twice_is_not_found(tenant, image):
    sign(tenant, f"{image}@s1")
    sign(tenant, f"{image}@s2", content="b3RoZXI=")
    response = delete_signature(tenant, f"{image}@s1")
    bare = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    assert (response.status_code, response.json()) == (200, bare)
    remaining = [each["metadata"]["name"] for each in read_image(tenant, image)["signatures"]]
    assert remaining == [f"{image}@s2"]
    again = delete_signature(tenant, f"{image}@s1")
    assert again.status_code == 404
    expected = f'imageSignatures.image.openshift.io "{image}@s1" not found'
    assert again.json()["message"] == expected
    missing = delete_signature(tenant, "nope@s")
    assert missing.status_code == 404
    assert missing.json()["message"] == 'images.image.openshift.io "nope" not found'
    malformed = delete_signature(tenant, "nope")
    assert (malformed.status_code, malformed.json()["reason"]) == (400, "BadRequest")
    expected = "ImageSignatures must be accessed with <imageName>@<signatureName>"
    assert malformed.json()["message"] == expected


def test_signatures_support_only_create_and_delete(tenant, image):
    sign(tenant, f"{image}@s")
    for method in ("GET", "PUT", "PATCH"):
        response = tenant.admin.request(method, f"{SIGNATURES}/{image}@s")
        assert response.status_code == 405, method


@pytest.mark.case("api 148")
def test_signature_annotation_managed_is_stripped_and_others_rejected_on_put(tenant, image):
    sign(tenant, f"{image}@s")
    stored = read_image(tenant, image)
    stored["signatures"][0]["metadata"]["annotations"] = {
        "image.openshift.io/managed-signature": "true"
    }
    response = tenant.admin.put(image_path(image), json=stored)
    assert response.status_code == 200
    assert "annotations" not in response.json()["signatures"][0]["metadata"]
    again = response.json()
    again["signatures"][0]["metadata"]["annotations"] = {"other": "x"}
    refused = tenant.admin.put(image_path(image), json=again)
    assert refused.status_code == 422
    assert causes(refused) == {
        "signatures[0].metadata.annotations": "Forbidden: signature annotations cannot be set"
    }


def test_signature_conditions_require_trusted_and_for_image(tenant, image):
    sign(tenant, f"{image}@s")
    stored = read_image(tenant, image)
    stored["signatures"][0]["conditions"] = [{"type": "Trusted", "status": "True"}]
    incomplete = tenant.admin.put(image_path(image), json=stored)
    assert incomplete.status_code == 422
    assert 'missing "ForImage" condition type' in causes(incomplete)["signatures[0].conditions"]
    stored["signatures"][0]["conditions"] = [{"type": "ForImage", "status": "True"}]
    stored["signatures"][0]["imageIdentity"] = "zz"
    other = causes(tenant.admin.put(image_path(image), json=stored))
    assert 'missing "Trusted" condition type' in other["signatures[0].conditions"]
    assert other["signatures[0].imageIdentity"] == (
        'Invalid value: "zz": must be unset for unknown signature state'
    )


def test_signer_creates_signatures_without_image_write_permission(tenant, image):
    signer = tenant.user(("signer", "*"))
    body = {"metadata": {"name": f"{image}@s"}, "type": "AtomicImageV1", "content": "aGk="}
    assert signer.post(SIGNATURES, json=body).status_code == 201
    assert signer.put(image_path(image), json=read_image(tenant, image)).status_code == 403
    assert signer.delete(f"{SIGNATURES}/{image}@s").status_code == 200
