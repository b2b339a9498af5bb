"""ImageStream, and the views of one of its tags or images (api-18.1, api-18.4, api-18.7)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from models.resources.image import Image
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.wire import ALWAYS, Time, Wire

ImportMode = Literal["", "Legacy", "PreserveOriginal"]


class TagImportPolicy(Wire):
    """How a tag is imported. `import_mode` is text, so that validation writes the error text."""

    insecure: bool = False
    scheduled: bool = False
    import_mode: Annotated[str, ALWAYS] = "Legacy"

    @field_validator("import_mode", mode="before")
    @classmethod
    def default_mode(cls, value: object) -> object:
        return value or "Legacy"


class TagReferencePolicy(Wire):
    """Whether readers get the pull spec of the source or of the local registry."""

    type: Annotated[str, ALWAYS] = "Source"

    @field_validator("type", mode="before")
    @classmethod
    def default_type(cls, value: object) -> object:
        return value or "Source"


class TagReference(Wire):
    """The desired state of a tag (spec)."""

    name: Annotated[str, ALWAYS]
    annotations: Annotated[dict[str, str] | None, ALWAYS] = None
    from_: ObjectReference | None = Field(default=None, alias="from")
    reference: bool = False
    generation: Annotated[int | None, ALWAYS] = None
    import_policy: Annotated[TagImportPolicy, ALWAYS] = TagImportPolicy()
    reference_policy: Annotated[TagReferencePolicy, ALWAYS] = TagReferencePolicy()


class ImageLookupPolicy(Wire):
    """Whether pods of the namespace may use the stream's name as an image."""

    local: Annotated[bool, ALWAYS] = False


class TagEvent(Wire):
    """The image that a tag pointed to from `created` on (status)."""

    created: Annotated[Time, ALWAYS]
    docker_image_reference: Annotated[str, ALWAYS]
    image: Annotated[str, ALWAYS]
    generation: Annotated[int, ALWAYS]


class TagEventCondition(Wire):
    """Why a tag is not in its desired state."""

    type: Annotated[str, ALWAYS]
    status: Annotated[str, ALWAYS]
    last_transition_time: Annotated[Time | None, ALWAYS] = None
    reason: str = ""
    message: str = ""
    generation: Annotated[int, ALWAYS] = 0


class NamedTagEventList(Wire):
    """The history of one tag, newest event first."""

    tag: Annotated[str, ALWAYS]
    items: Annotated[list[TagEvent] | None, ALWAYS] = None
    conditions: list[TagEventCondition] = Field(default_factory=list)


class ImageStreamSpec(Wire):
    """The desired state of a stream; `tags` are sorted by name, the last of duplicates wins
    (imports-6.12).
    """

    lookup_policy: Annotated[ImageLookupPolicy, ALWAYS] = ImageLookupPolicy()
    docker_image_repository: str = ""
    tags: list[TagReference] = Field(default_factory=list)

    @field_validator("tags", mode="after")
    @classmethod
    def keyed_by_name(cls, tags: list[TagReference]) -> list[TagReference]:
        by_name = {tag.name: tag for tag in tags}
        return [by_name[name] for name in sorted(by_name)]


class ImageStreamStatus(Wire):
    """The observed state of a stream; `tags` are sorted by name."""

    docker_image_repository: Annotated[str, ALWAYS] = ""
    public_docker_image_repository: str = ""
    tags: list[NamedTagEventList] = Field(default_factory=list)

    @field_validator("tags", mode="after")
    @classmethod
    def keyed_by_name(cls, tags: list[NamedTagEventList]) -> list[NamedTagEventList]:
        by_name = {tag.tag: tag for tag in tags}
        return [by_name[name] for name in sorted(by_name)]


class ImageStream(Wire):
    """Named tags that point to images, with their history."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ImageStreamSpec, ALWAYS] = ImageStreamSpec()
    status: Annotated[ImageStreamStatus, ALWAYS] = ImageStreamStatus()

    def spec_tag(self, name: str) -> TagReference | None:
        """Return the spec tag of that name, or None."""
        return next((tag for tag in self.spec.tags if tag.name == name), None)

    def status_tag(self, name: str) -> NamedTagEventList | None:
        """Return the history of that name, or None."""
        return next((tag for tag in self.status.tags if tag.tag == name), None)

    def with_spec_tag(self, tag: TagReference) -> ImageStream:
        """Return the stream with this spec tag added or replaced, in sorted order."""
        others = [other for other in self.spec.tags if other.name != tag.name]
        tags = sorted([*others, tag], key=lambda each: each.name)
        return self.replace(spec=self.spec.replace(tags=tags))

    def with_status_tag(self, history: NamedTagEventList) -> ImageStream:
        """Return the stream with this history added or replaced, in sorted order."""
        others = [other for other in self.status.tags if other.tag != history.tag]
        tags = sorted([*others, history], key=lambda each: each.tag)
        return self.replace(status=self.status.replace(tags=tags))


class ImageStreamTag(Wire):
    """One tag of a stream with the image that it points to."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    tag: Annotated[TagReference | None, ALWAYS] = None
    generation: Annotated[int, ALWAYS] = 0
    lookup_policy: Annotated[ImageLookupPolicy, ALWAYS] = ImageLookupPolicy()
    conditions: list[TagEventCondition] = Field(default_factory=list)
    image: Annotated[Image, ALWAYS] = Image()


class ImageTag(Wire):
    """One tag of a stream: its spec, its history and its image."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[TagReference | None, ALWAYS] = None
    status: Annotated[NamedTagEventList | None, ALWAYS] = None
    image: Annotated[Image | None, ALWAYS] = None


class ImageStreamImage(Wire):
    """One image of a stream, by digest."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    image: Annotated[Image, ALWAYS] = Image()


class ImageStreamMapping(Wire):
    """Input only: an image that is pushed to a tag."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    image: Annotated[Image, ALWAYS] = Image()
    tag: Annotated[str, ALWAYS] = ""


class ImageLayerData(Wire):
    """Size of a blob in bytes (null when unknown) and its media type."""

    size: Annotated[int | None, ALWAYS] = None
    media_type: Annotated[str, ALWAYS] = ""


class ImageBlobReferences(Wire):
    """The blobs of one image."""

    image_missing: Annotated[bool, ALWAYS] = False
    layers: Annotated[list[str] | None, ALWAYS] = None
    config: Annotated[str | None, ALWAYS] = None
    manifests: list[str] = Field(default_factory=list)


class ImageStreamLayers(Wire):
    """Every blob that the images of a stream need."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    blobs: Annotated[dict[str, ImageLayerData], ALWAYS] = Field(default_factory=dict)
    images: Annotated[dict[str, ImageBlobReferences], ALWAYS] = Field(default_factory=dict)
