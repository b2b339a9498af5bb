"""Signatures, which live inside their images (`api.md` B5): cases 142 to 148."""

import pytest

from tests.apiserver import IMAGE_API
from tests.integration.api.pushes import at, read
from tests.integration.api.test_streams_created import causes

SIGNATURES = f"{IMAGE_API}/imagesignatures"
FORM = "name must be of format <imageName>@<signatureName>"


def sign(room, name, **fields):
    params = fields.pop("params", {})
    body = {"metadata": {"name": name}, "type": "AtomicImageV1", "content": "aGk="} | fields
    return room.admin.post(SIGNATURES, json=body, params=params)


def unsign(room, name, **params):
    return room.admin.delete(f"{SIGNATURES}/{name}", params=params)


@pytest.fixture
def image(room, digest):
    """The name of a stored image."""
    name = digest("b")
    room.image(name)
    return name


@pytest.mark.case("api 142")
def test_a_signature_is_kept_without_what_only_a_verifier_may_say(room, image):
    conditions = [{"type": "Trusted", "status": "True"}, {"type": "ForImage", "status": "True"}]
    answer = sign(
        room,
        f"{image}@s1",
        imageIdentity="zz",
        conditions=conditions,
        signedClaims={"a": "b"},
        created="2020-01-01T00:00:00Z",
        issuedBy={"organization": "o"},
        issuedTo={"publicKeyID": "k"},
    )
    found = answer.json()
    assert answer.status_code == 201
    assert (found["kind"], found["apiVersion"]) == ("ImageSignature", "image.openshift.io/v1")
    assert set(found) == {"kind", "apiVersion", "metadata", "type", "content"}
    assert (found["type"], found["content"]) == ("AtomicImageV1", "aGk=")
    assert found["metadata"]["uid"]
    assert found["metadata"]["creationTimestamp"] > "2020"
    assert "resourceVersion" not in found["metadata"]
    [kept] = read(room, image)["signatures"]
    assert kept == {key: found[key] for key in ("metadata", "type", "content")}


@pytest.mark.case("api 143")
def test_neither_a_name_nor_a_content_is_signed_with_twice(room, image):
    assert sign(room, f"{image}@s1").status_code == 201
    same_name = sign(room, f"{image}@s1", content="b3RoZXI=")
    assert (same_name.status_code, same_name.json()["reason"]) == (409, "AlreadyExists")
    expected = f'imageSignatures.image.openshift.io "{image}@s1" already exists'
    assert same_name.json()["message"] == expected
    same_content = sign(room, f"{image}@s2")
    assert same_content.status_code == 409
    expected = f'imageSignatures.image.openshift.io "{image}@s2" already exists'
    assert same_content.json()["message"] == expected
    assert sign(room, f"{image}@s2", type="Other").status_code == 201
    assert len(read(room, image)["signatures"]) == 2


@pytest.mark.case("api 144")
@pytest.mark.parametrize("name", ["nope", "a@b@c"])
def test_a_signature_is_named_after_its_image(room, name):
    answer = sign(room, name)
    assert answer.status_code == 422
    assert causes(answer) == {"metadata.name": f'Invalid value: "{name}": {FORM}'}


@pytest.mark.case("api 144")
def test_what_is_not_there_cannot_be_signed(room):
    answer = sign(room, "nope@s")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'images.image.openshift.io "nope" not found'
    assert answer.json()["details"] == {
        "name": "nope",
        "group": "image.openshift.io",
        "kind": "images",
    }


@pytest.mark.case("api 145")
def test_a_signature_has_a_type_and_a_content(room, image):
    answer = room.admin.post(SIGNATURES, json={"metadata": {"name": f"{image}@s"}})
    assert answer.status_code == 422
    assert causes(answer) == {"type": "Required value", "content": "Required value"}


def test_labels_and_annotations_of_a_signature_are_forbidden(room, image):
    metadata = {"name": f"{image}@s", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    answer = sign(room, "", metadata=metadata)
    assert answer.status_code == 422
    assert causes(answer) == {
        "metadata.labels": "Forbidden: signature labels cannot be set",
        "metadata.annotations": "Forbidden: signature annotations cannot be set",
    }


def test_a_content_that_is_not_base64_is_a_bad_request(room, image):
    answer = sign(room, f"{image}@s", content="a*b")
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        'ImageSignature in version "v1" cannot be handled as a ImageSignature: '
        "illegal base64 data at input byte 1"
    )


def test_the_name_of_a_signature_is_not_generated(room, image):
    answer = sign(room, "", metadata={"generateName": f"{image}@"})
    assert answer.status_code == 422
    assert causes(answer) == {"metadata.name": "Required value"}


@pytest.mark.case("api 146")
def test_trials_with_signatures_store_nothing(room, image):
    before = read(room, image)
    assert sign(room, f"{image}@s", params={"dryRun": "All"}).status_code == 201
    assert read(room, image) == before
    sign(room, f"{image}@s")
    signed = read(room, image)
    tried = unsign(room, f"{image}@s", dryRun="All")
    assert (tried.status_code, tried.json()["status"]) == (200, "Success")
    assert read(room, image) == signed


@pytest.mark.case("api 147")
def test_a_signature_is_taken_away_once(room, image):
    sign(room, f"{image}@s1")
    sign(room, f"{image}@s2", content="b3RoZXI=")
    answer = unsign(room, f"{image}@s1")
    bare = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    assert (answer.status_code, answer.json()) == (200, bare)
    left = [each["metadata"]["name"] for each in read(room, image)["signatures"]]
    assert left == [f"{image}@s2"]
    again = unsign(room, f"{image}@s1")
    assert again.status_code == 404
    expected = f'imageSignatures.image.openshift.io "{image}@s1" not found'
    assert again.json()["message"] == expected
    missing = unsign(room, "nope@s")
    assert missing.status_code == 404
    assert missing.json()["message"] == 'images.image.openshift.io "nope" not found'
    malformed = unsign(room, "nope")
    assert (malformed.status_code, malformed.json()["reason"]) == (400, "BadRequest")
    expected = "ImageSignatures must be accessed with <imageName>@<signatureName>"
    assert malformed.json()["message"] == expected


def test_signatures_are_only_made_and_taken_away(room, image):
    sign(room, f"{image}@s")
    for method in ("GET", "PUT", "PATCH"):
        answer = room.admin.request(method, f"{SIGNATURES}/{image}@s")
        assert answer.status_code == 405, method


@pytest.mark.case("api 148")
def test_an_obsolete_annotation_of_a_signature_is_stripped_and_others_are_refused(room, image):
    sign(room, f"{image}@s")
    stored = read(room, image)
    stored["signatures"][0]["metadata"]["annotations"] = {
        "image.openshift.io/managed-signature": "true"
    }
    answer = room.admin.put(at(image), json=stored)
    assert answer.status_code == 200
    assert "annotations" not in answer.json()["signatures"][0]["metadata"]
    again = answer.json()
    again["signatures"][0]["metadata"]["annotations"] = {"other": "x"}
    refused = room.admin.put(at(image), json=again)
    assert refused.status_code == 422
    assert causes(refused) == {
        "signatures[0].metadata.annotations": "Forbidden: signature annotations cannot be set"
    }


def test_a_verdict_is_whole_or_not_at_all(room, image):
    sign(room, f"{image}@s")
    stored = read(room, image)
    stored["signatures"][0]["conditions"] = [{"type": "Trusted", "status": "True"}]
    half = room.admin.put(at(image), json=stored)
    assert half.status_code == 422
    assert 'missing "ForImage" condition type' in causes(half)["signatures[0].conditions"]
    stored["signatures"][0]["conditions"] = [{"type": "ForImage", "status": "True"}]
    stored["signatures"][0]["imageIdentity"] = "zz"
    other = causes(room.admin.put(at(image), json=stored))
    assert 'missing "Trusted" condition type' in other["signatures[0].conditions"]
    assert other["signatures[0].imageIdentity"] == (
        'Invalid value: "zz": must be unset for unknown signature state'
    )


def test_a_signer_needs_no_right_to_write_images(room, image):
    signer = room.user(("signer", "*"))
    body = {"metadata": {"name": f"{image}@s"}, "type": "AtomicImageV1", "content": "aGk="}
    assert signer.post(SIGNATURES, json=body).status_code == 201
    assert signer.put(at(image), json=read(room, image)).status_code == 403
    assert signer.delete(f"{SIGNATURES}/{image}@s").status_code == 200
