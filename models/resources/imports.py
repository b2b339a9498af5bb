"""ImageStreamImport: a request to import, with its response in the same object (api-28.1)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.resources.image import Image
from models.resources.meta import ObjectMeta, ObjectReference, Status
from models.resources.stream import ImageStream, TagImportPolicy, TagReferencePolicy
from models.resources.wire import ALWAYS, Wire


class LocalObjectReference(Wire):
    """The name of an object in the same namespace: the tag that an import writes to."""

    name: str = ""


class ImageImportSpec(Wire):
    """One image to import and the tag to write it to; without a tag it is only reported."""

    from_: Annotated[ObjectReference, ALWAYS] = Field(alias="from")
    to: LocalObjectReference | None = None
    import_policy: Annotated[TagImportPolicy, ALWAYS] = TagImportPolicy()
    reference_policy: Annotated[TagReferencePolicy, ALWAYS] = TagReferencePolicy()
    include_manifest: bool = False


class RepositoryImportSpec(Wire):
    """A whole repository to import."""

    from_: Annotated[ObjectReference, ALWAYS] = Field(alias="from")
    import_policy: Annotated[TagImportPolicy, ALWAYS] = TagImportPolicy()
    reference_policy: Annotated[TagReferencePolicy, ALWAYS] = TagReferencePolicy()
    include_manifest: bool = False


class ImageStreamImportSpec(Wire):
    """What to import.

    With `import_` false it is a dry run: everything is fetched, nothing is stored.
    """

    import_: Annotated[bool, ALWAYS] = Field(default=False, alias="import")
    repository: RepositoryImportSpec | None = None
    images: list[ImageImportSpec] = Field(default_factory=list)


class ImageImportStatus(Wire):
    """The result of one image."""

    status: Annotated[Status, ALWAYS] = Status()
    image: Image | None = None
    tag: str = ""
    manifests: list[Image] = Field(default_factory=list)


class RepositoryImportStatus(Wire):
    """The result of a repository; `additional_tags` are those beyond the cap of tags."""

    status: Annotated[Status, ALWAYS] = Status()
    images: list[ImageImportStatus] = Field(default_factory=list)
    additional_tags: list[str] = Field(default_factory=list)


class ImageStreamImportStatus(Wire):
    """The result of a request."""

    import_: ImageStream | None = Field(default=None, alias="import")
    repository: RepositoryImportStatus | None = None
    images: list[ImageImportStatus] = Field(default_factory=list)


class ImageStreamImport(Wire):
    """A request to import into the stream that `metadata` names."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ImageStreamImportSpec, ALWAYS] = ImageStreamImportSpec()
    status: Annotated[ImageStreamImportStatus, ALWAYS] = ImageStreamImportStatus()
