"""Types that Kubernetes objects share: metadata, Status, references, secrets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.wire import ALWAYS, Time, Wire

API_VERSION = "image.openshift.io/v1"


class ObjectMeta(Wire):
    """metav1 ObjectMeta, with the fields that clients of the Image API use (api-5.1, api-5.6)."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[dict[str, Any]] = Field(default_factory=list)
    finalizers: list[str] = Field(default_factory=list)
    managed_fields: list[dict[str, Any]] = Field(default_factory=list)


class ListMeta(Wire):
    """metav1 ListMeta."""

    resource_version: str = ""
    continue_: str = Field(default="", alias="continue")
    remaining_item_count: int | None = None


class ObjectReference(Wire):
    """A reference to another object; `kind` decides what `name` refers to."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class Status(Wire):
    """metav1 Status: the result of one element of an import (imports-4.1)."""

    metadata: Annotated[dict[str, Any], ALWAYS] = Field(default_factory=dict)
    status: str = ""
    message: str = ""
    reason: str = ""
    details: dict[str, Any] | None = None
    code: int = 0

    def wire(self) -> dict[str, Any]:
        """Return the JSON object; an empty `details` object that was set stays (imports-4.8)."""
        printed = super().wire()
        if self.details is not None:
            printed["details"] = self.details
        return printed


SUCCESS = Status(status="Success")


class Secret(Wire):
    """core/v1 Secret: values of `data` are standard base64; `string_data` is plain text and
    write-only.
    """

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    data: dict[str, str] = Field(default_factory=dict)
    string_data: dict[str, str] = Field(default_factory=dict)
    type: str = ""
    immutable: bool = False


class SecretList(Wire):
    """The pull secrets of a stream's namespace (api-26.5)."""

    metadata: Annotated[ListMeta, ALWAYS] = ListMeta()
    items: Annotated[list[Secret], ALWAYS] = Field(default_factory=list)
