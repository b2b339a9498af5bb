"""Image and ImageSignature on the wire (api-18.1, api-18.5)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire


def empty_metadata() -> dict[str, Any]:
    """Return the `dockerImageMetadata` of an image that has none (api-18.5)."""
    return {
        "kind": "DockerImage",
        "apiVersion": "image.openshift.io/1.0",
        "Id": "",
        "Created": None,
        "ContainerConfig": {},
    }


class ImageLayer(Wire):
    """One layer: digest, compressed size in bytes, media type. Lists of layers are oldest first."""

    name: Annotated[str, ALWAYS]
    size: Annotated[int, ALWAYS]
    media_type: Annotated[str, ALWAYS]


class ImageManifest(Wire):
    """One entry of an index; `manifest_size` is in bytes, as the index declares it."""

    digest: Annotated[str, ALWAYS]
    media_type: Annotated[str, ALWAYS]
    manifest_size: Annotated[int, ALWAYS]
    architecture: Annotated[str, ALWAYS]
    os: Annotated[str, ALWAYS]
    variant: str = ""


class SignatureCondition(Wire):
    """A verifier's statement about a signature."""

    type: Annotated[str, ALWAYS]
    status: Annotated[str, ALWAYS]
    last_probe_time: Annotated[Time | None, ALWAYS] = None
    last_transition_time: Annotated[Time | None, ALWAYS] = None
    reason: str = ""
    message: str = ""


class SignatureIssuer(Wire):
    """The issuer of the signing certificate."""

    organization: str = ""
    common_name: str = ""


class SignatureSubject(Wire):
    """The owner of the signing key."""

    organization: str = ""
    common_name: str = ""
    public_key_id: Annotated[str, ALWAYS, Field(alias="publicKeyID")] = ""


class ImageSignature(Wire):
    """A signature that is stored inside its Image; `content` is base64."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    type: Annotated[str, ALWAYS] = ""
    content: Annotated[str, ALWAYS] = ""
    conditions: list[SignatureCondition] = Field(default_factory=list)
    image_identity: str = ""
    signed_claims: dict[str, str] = Field(default_factory=dict)
    created: Time | None = None
    issued_by: SignatureIssuer | None = None
    issued_to: SignatureSubject | None = None


class Image(Wire):
    """The stored record of a manifest, named by its digest."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    docker_image_reference: str = ""
    docker_image_metadata: Annotated[dict[str, Any], ALWAYS] = Field(default_factory=empty_metadata)
    docker_image_metadata_version: Annotated[str, ALWAYS] = "1.0"
    docker_image_manifest: str = ""
    docker_image_layers: list[ImageLayer] = Field(default_factory=list)
    signatures: list[ImageSignature] = Field(default_factory=list)
    docker_image_signatures: list[str] = Field(default_factory=list)
    docker_image_manifest_media_type: str = ""
    docker_image_config: str = ""
    docker_image_manifests: list[ImageManifest] = Field(default_factory=list)

    @field_validator("docker_image_metadata", mode="before")
    @classmethod
    def accept_null(cls, value: Any) -> Any:
        """Read `null` as empty metadata (api-18.5)."""
        return empty_metadata() if value is None else value

    @property
    def name(self) -> str:
        """Return the image's digest."""
        return self.metadata.name

    def without_content(self) -> Image:
        """Return the image as it is stored and shown: without manifest and config text
        (imports-2.15).
        """
        return self.replace(docker_image_manifest="", docker_image_config="")
