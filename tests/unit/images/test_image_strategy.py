"""Create, update and validation of Images and their signatures (api-21.1, api-21.7, api-22.1)."""

import base64
from datetime import UTC, datetime

import pytest

from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    FieldError,
    InvalidObjectError,
    NotFoundError,
    status_of,
)
from models.images.image_strategy import (
    add_signature,
    parse_signed_image_name,
    prepare_image_create,
    prepare_image_update,
    remove_signature,
)
from models.images.image_validation import validate_image
from models.resources.image import Image, ImageSignature
from tests.fixtures import (
    CFG_A,
    CFG_ARM,
    INDEX_TYPE,
    L1,
    L2,
    LIST,
    LIST_TYPE,
    OCI,
    OCI_TYPE,
    S1_SIGNED_TYPE,
    S2_TYPE,
    SCHEMA1_PAYLOAD,
    SCHEMA1_RAW,
    compact,
    digest_of,
)
from tests.fixtures import (
    S2 as SCHEMA2,
)

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
A = "sha256:" + "a" * 64
ORDER = "image.openshift.io/dockerLayersOrder"
STORED = "image.openshift.io/manifestBlobStored"
MANAGED = "image.openshift.io/managed-signature"


def image(name=A, *, annotations=None, reference="quay.io/x/y", **rest):
    return Image.model_validate(
        {
            "metadata": {"name": name, "annotations": annotations or {}},
            "dockerImageReference": reference,
            **rest,
        }
    )


def create(one, **rest):
    return prepare_image_create(one, now=NOON, **rest)


def update(old, **changes):
    return prepare_image_update(old, old.replace(**changes), now=NOON)


def refused(act, *arguments, **rest):
    """Return the texts of the causes of a 422."""
    with pytest.raises(InvalidObjectError) as caught:
        act(*arguments, **rest)
    return [str(error) for error in caught.value.errors]


def entry(**change):
    return {
        "digest": A,
        "mediaType": OCI_TYPE,
        "manifestSize": 0,
        "architecture": "amd64",
        "os": "linux",
        **change,
    }


def layer(name=L1):
    return {"name": name, "size": 1, "mediaType": "a/b"}


# -- create and validation --


@pytest.mark.case("api 126")
@pytest.mark.parametrize(
    ("reference", "text"),
    [("", "Required value"), ("a///b", 'Invalid value: "a///b": invalid reference format')],
)
def test_image_create_requires_valid_reference(reference, text):
    wrong = refused(create, image(reference=reference))
    assert wrong == [f"dockerImageReference: {text}"]


@pytest.mark.case("api 127")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a/b", "may not contain '/'"),
        ("a%b", "may not contain '%'"),
        (".", "may not be '.'"),
        ("..", "may not be '..'"),
    ],
)
def test_image_create_rejects_name_invalid_in_path(name, text):
    assert refused(create, image(name)) == [f'metadata.name: Invalid value: "{name}": {text}']


def test_image_create_requires_name():
    wrong = refused(create, image(""))
    assert wrong == ["metadata.name: Required value: name or generateName is required"]


@pytest.mark.case("api 128")
def test_image_create_accepts_any_other_name():
    assert create(image("ANY Name_x")).name == "ANY Name_x"


@pytest.mark.case("api 129")
def test_image_create_drops_namespace():
    sent = image()
    sent = sent.replace(metadata=sent.metadata.replace(namespace="foo"))
    assert create(sent).metadata.namespace == ""


@pytest.mark.case("api 130")
def test_image_create_keeps_known_metadata_keys():
    sent = {"Id": "x", "foo": 1, "Config": {"Env": ["A=b"], "Unknown": 1}, "Size": 5}
    assert create(image(dockerImageMetadata=sent)).docker_image_metadata == {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "x",
        "Created": None,
        "ContainerConfig": {},
        "Config": {"Env": ["A=b"]},
        "Size": 5,
    }


def test_image_create_keeps_metadata_that_is_written_back():
    shown = create(image(**text_of(SCHEMA2, CFG_A, S2_TYPE)))
    again = create(image(dockerImageMetadata=shown.docker_image_metadata))
    assert again.docker_image_metadata == shown.docker_image_metadata


@pytest.mark.case("api 131")
def test_image_create_rejects_unknown_metadata_version():
    with pytest.raises(BadRequestError) as caught:
        create(image(dockerImageMetadataVersion="9.9"))
    assert caught.value.message.startswith(
        'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered '
        'for version "image.openshift.io/9.9"'
    )
    assert create(image(dockerImageMetadataVersion="")).docker_image_metadata_version == "1.0"


@pytest.mark.parametrize("wrong", [{"Created": "noon"}, {"Size": "5"}, {"Config": []}])
def test_image_create_rejects_metadata_of_wrong_type(wrong):
    with pytest.raises(BadRequestError):
        create(image(dockerImageMetadata=wrong))


def text_of(manifest, config=b"", media_type=""):
    return {
        "dockerImageManifest": manifest.decode(),
        "dockerImageConfig": config.decode(),
        "dockerImageManifestMediaType": media_type,
    }


@pytest.mark.case("api 134")
def test_image_create_drops_texts_marked_as_stored_elsewhere():
    made = create(image(annotations={STORED: "true"}, **text_of(SCHEMA2, CFG_A)))
    assert (made.docker_image_manifest, made.docker_image_config) == ("", "")
    assert len(made.docker_image_layers) == 3
    assert made.docker_image_metadata["Author"] == "me"
    stored = create(image(annotations={STORED: "false"}, **text_of(SCHEMA2, CFG_A)))
    assert stored.docker_image_manifest


@pytest.mark.case("api 135")
def test_image_create_replaces_entries_by_index_text():
    name = digest_of(LIST)
    sent = image(name, dockerImageManifests=[entry()], **text_of(LIST, media_type=LIST_TYPE))
    made = create(sent)
    shown = [(each.architecture, each.variant) for each in made.docker_image_manifests]
    assert shown == [("arm64", "v8"), ("amd64", ""), ("unknown", "")]
    assert made.docker_image_metadata["Id"] == name


@pytest.mark.case("api 136")
@pytest.mark.parametrize("media_type", ["", S2_TYPE, LIST_TYPE, INDEX_TYPE])
def test_image_create_stores_invalid_manifest_unchanged(media_type):
    sent = image(dockerImageManifests=[entry()], **text_of(b"{bad", media_type=media_type))
    assert create(sent) == sent


@pytest.mark.case("api 137")
def test_image_create_reports_each_invalid_field():
    wrong = entry(digest="bad", mediaType="x", manifestSize=-1, architecture="", os="")
    texts = refused(create, image(dockerImageManifests=[wrong], dockerImageLayers=[layer()]))
    assert texts == [
        (
            'dockerImageManifests[0].digest: Invalid value: "bad": digest does not conform with '
            "OCI image specification"
        ),
        (
            'dockerImageManifests[0].mediaType: Invalid value: "x": media type does not conform to '
            "RFC6838"
        ),
        "dockerImageManifests[0].architecture: Required value",
        "dockerImageManifests[0].os: Required value",
        "dockerImageManifests[0].size: Invalid value: -1: manifest size cannot be negative",
        (
            f'dockerImageLayers: Invalid value: [{{"name":"{L1}","size":1,"mediaType":"a/b"}}]: '
            "dockerImageLayers should not be set when dockerImageManifests is set"
        ),
    ]


def test_validate_image_accepts_complete_image():
    assert validate_image(image(dockerImageManifests=[entry()])) == []
    assert validate_image(image(dockerImageManifests=[entry(digest=f"about {A}")])) == []


def test_image_create_applies_metadata_check_of_caller():
    error = FieldError.invalid("metadata.labels", "!", "no")
    assert refused(create, image(), check_meta=lambda _: [error]) == [str(error)]


# -- update --

DOCKER = create(image(digest_of(SCHEMA2), **text_of(SCHEMA2, CFG_A, S2_TYPE)))


@pytest.mark.case("api 138")
@pytest.mark.parametrize(
    "change",
    [
        {"docker_image_metadata": {"Id": "hacked"}},
        {"docker_image_metadata_version": "2"},
        {"docker_image_layers": []},
        {"docker_image_manifest": "{}"},
        {"docker_image_config": "{}"},
        {"docker_image_config": CFG_ARM.decode()},
        {"docker_image_manifest": OCI.decode()},
        {"metadata": DOCKER.metadata.replace(annotations={})},
        {"metadata": DOCKER.metadata.replace(annotations={ORDER: "descending"})},
    ],
)
def test_image_update_keeps_fields_derived_from_digest(change):
    assert update(DOCKER, **change) == DOCKER


@pytest.mark.case("api 139")
def test_image_update_clears_texts_and_restores_matching_ones():
    bare = update(DOCKER, docker_image_config="")
    assert bare.docker_image_config == ""
    assert update(bare, docker_image_config=CFG_A.decode()) == DOCKER
    bare = update(DOCKER, docker_image_manifest="")
    assert bare.docker_image_manifest == ""
    assert update(bare, docker_image_manifest=SCHEMA2.decode()) == DOCKER


def test_image_update_checks_config_against_sent_manifest():
    bare = update(DOCKER, docker_image_manifest="", docker_image_config="")
    assert update(bare, docker_image_config=CFG_A.decode()) == bare
    both = {"docker_image_manifest": SCHEMA2.decode(), "docker_image_config": CFG_A.decode()}
    assert update(bare, **both) == DOCKER


def test_image_update_accepts_schema1_with_other_signatures():
    old = image(digest_of(SCHEMA1_PAYLOAD), dockerImageManifestMediaType=S1_SIGNED_TYPE)
    new = update(old, docker_image_manifest=SCHEMA1_RAW.decode())
    assert new.docker_image_manifest == SCHEMA1_RAW.decode()
    assert update(old, docker_image_manifest='{"signatures": 5, "schemaVersion": 1}') == old


@pytest.mark.parametrize("name", [A, "no digest"])
@pytest.mark.parametrize("media_type", ["x/y", "", S2_TYPE])
def test_image_update_ignores_manifest_of_other_digest_or_type(name, media_type):
    old = image(name, dockerImageManifestMediaType=media_type)
    assert update(old, docker_image_manifest=SCHEMA2.decode()) == old


def test_image_update_changes_reference_labels_and_annotations():
    label = DOCKER.metadata.replace(labels={"a": "b"}, annotations={ORDER: "ascending", "n": "w"})
    change = {"docker_image_reference": "other/repository", "metadata": label}
    new = update(DOCKER, **change)
    assert new == DOCKER.replace(**change)


@pytest.mark.case("api 141")
def test_image_update_keeps_docker_image_signatures():
    old = update(image(), docker_image_signatures=["eA=="])
    assert old.docker_image_signatures == ["eA=="]
    assert update(old, docker_image_signatures=[]) == old


def test_image_update_of_unchanged_index_changes_nothing():
    made = create(image(digest_of(LIST), **text_of(LIST, media_type=LIST_TYPE)))
    later = NOON.replace(hour=15)
    assert prepare_image_update(made, made, now=later) == made


def test_image_update_is_validated():
    wrong = refused(update, image(), docker_image_reference="")
    assert wrong == ["dockerImageReference: Required value"]


# -- signatures --


def signature(name=f"{A}@s1", *, kind="AtomicImageV1", content="aGk=", meta=None, **rest):
    return ImageSignature.model_validate(
        {
            "metadata": {"name": name, **(meta or {})},
            "type": kind,
            "content": content,
            **rest,
        }
    )


def condition(kind, status="True"):
    return {"type": kind, "status": status}


def add(one, sent):
    return add_signature(one, sent, "u1", NOON)


def sign(one, **rest):
    return add(one, signature(**rest))


@pytest.mark.case("api 142")
def test_add_signature_drops_fields_of_verifier():
    sent = signature(
        imageIdentity="zz",
        signedClaims={"a": "b"},
        created="2020-01-01T00:00:00Z",
        issuedBy={"commonName": "me"},
        issuedTo={"publicKeyID": "k"},
        conditions=[condition("Trusted")],
        meta={"namespace": "ns", "uid": "mine", "resourceVersion": "7"},
    )
    (stored,) = add(image(), sent).signatures
    assert stored.wire() == {
        "metadata": {
            "name": f"{A}@s1",
            "uid": "u1",
            "creationTimestamp": "2026-01-02T12:00:00Z",
        },
        "type": "AtomicImageV1",
        "content": base64.b64encode(b"hi").decode(),
    }


@pytest.mark.case("api 143")
def test_add_signature_rejects_duplicate_name_or_content():
    signed = sign(image())
    for twin in ({"content": "bm8="}, {"name": f"{A}@s2"}):
        with pytest.raises(AlreadyExistsError) as caught:
            sign(signed, **twin)
        name = twin.get("name", f"{A}@s1")
        assert caught.value.message == (
            f'imageSignatures.image.openshift.io "{name}" already exists'
        )
    both = sign(signed, name=f"{A}@s2", kind="other")
    assert [each.metadata.name for each in both.signatures] == [f"{A}@s1", f"{A}@s2"]


@pytest.mark.case("api 144")
def test_add_signature_requires_name_of_its_image():
    for name in ("nope", "a@b@c", "@s", "a@"):
        assert refused(add, None, signature(name)) == [
            (
                f'metadata.name: Invalid value: "{name}": name must be of format '
                "<imageName>@<signatureName>"
            )
        ]
    with pytest.raises(NotFoundError) as caught:
        sign(None, name="nope@s")
    assert caught.value.message == 'images.image.openshift.io "nope" not found'


@pytest.mark.case("api 145")
def test_add_signature_requires_type_and_content():
    wrong = refused(add, None, signature(kind="", content=""))
    assert wrong == ["type: Required value", "content: Required value"]


def test_add_signature_rejects_generate_name():
    wrong = refused(add, None, signature("", meta={"generateName": "s-"}))
    assert wrong == ["metadata.name: Required value"]


@pytest.mark.case("api 147")
def test_remove_signature_twice_is_not_found():
    signed = sign(image())
    bare = remove_signature(signed, f"{A}@s1")
    assert bare.signatures == []
    for one, name, text in (
        (bare, f"{A}@s1", f'imageSignatures.image.openshift.io "{A}@s1" not found'),
        (None, "nope@s", 'images.image.openshift.io "nope" not found'),
    ):
        with pytest.raises(NotFoundError) as caught:
            remove_signature(one, name)
        assert caught.value.message == text
    assert parse_signed_image_name("i@s") == "i"
    with pytest.raises(BadRequestError) as bad:
        parse_signed_image_name("nope")
    assert status_of(bad.value)["code"] == 400
    assert bad.value.message == "ImageSignatures must be accessed with <imageName>@<signatureName>"


@pytest.mark.case("api 148")
def test_signature_annotation_managed_is_stripped_and_others_rejected():
    managed = signature(meta={"annotations": {MANAGED: "true"}})
    (stored,) = update(image(), signatures=[managed]).signatures
    assert stored.metadata.annotations == {}
    other = signature(meta={"annotations": {"a": "b"}, "labels": {"a": "b"}})
    assert refused(update, image(), signatures=[managed, other]) == [
        "signatures[1].metadata.labels: Forbidden: signature labels cannot be set",
        "signatures[1].metadata.annotations: Forbidden: signature annotations cannot be set",
    ]


@pytest.mark.parametrize(
    ("rest", "texts"),
    [
        ({"conditions": [condition("Trusted"), condition("ForImage")]}, []),
        (
            {
                "conditions": [condition("Trusted"), condition("ForImage")],
                "imageIdentity": "i",
                "issuedTo": {"publicKeyID": "k"},
            },
            [],
        ),
        (
            {"conditions": [condition("Trusted")]},
            ["conditions", 'missing "ForImage" condition type'],
        ),
        (
            {"conditions": [condition("ForImage")]},
            ["conditions", 'missing "Trusted" condition type'],
        ),
        ({"imageIdentity": "i"}, ["imageIdentity", 'Invalid value: "i": must be unset']),
        ({"signedClaims": {"a": "b"}}, ["signedClaims", 'Invalid value: {"a":"b"}: must be unset']),
        ({"issuedBy": {"commonName": "c"}}, ["issuedBy", "must be unset"]),
        (
            {
                "issuedTo": {"publicKeyID": "k"},
                "conditions": [condition("Trusted", "Unknown"), condition("ForImage")],
            },
            ["issuedTo", "must be unset for unknown signature state"],
        ),
    ],
)
def test_signature_details_require_verified_conditions(rest, texts):
    sent = image().replace(signatures=[signature(**rest)])
    found = [str(error) for error in validate_image(sent)]
    assert len(found) == (1 if texts else 0)
    assert all(text in found[0] for text in texts)


def test_image_create_accepts_layer_digest_of_any_form():
    """Digests of a manifest that a client sends are only repeated, never requested."""
    manifest = compact(
        {"schemaVersion": 2, "layers": [{"digest": "l", "size": 3, "mediaType": "m"}]}
    )
    made = create(image(**text_of(manifest, b"{}")))
    assert [each.name for each in made.docker_image_layers] == ["l"]
    assert L2 not in made.docker_image_manifest
