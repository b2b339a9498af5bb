"""The merge rules of each kind: lists with keys, and values that are replaced as a whole (api-7.5).

A `MergeSchema` is built once per kind from its model. Strategic merge patches and server-side apply
use the same schema; its fields say where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from api.served_resources import RESOURCES
from models.resources.core import NamespaceStatus
from models.resources.image import Image, ImageSignature
from models.resources.imports import LocalObjectReference
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStreamSpec, ImageStreamStatus
from models.resources.wire import Wire


@dataclass(frozen=True, slots=True)
class MergeSchema:
    """How one value merges.

    `fields`: the declared members of an object; None if any member is allowed. `members`: the
    schema of an object's undeclared members, or of a list's elements.
    """

    fields: Mapping[str, MergeSchema] | None = None
    members: MergeSchema | None = None
    kind: str = "any"  # any, object, list, plain
    key: str = ""  # the member that identifies the objects of a list; dots separate levels
    is_set: bool = False  # a list of unique strings
    replaced: bool = False  # a strategic merge patch replaces it as a whole
    atomic: bool = False  # in server-side apply it has one owner as a whole

    def member(self, name: str) -> MergeSchema:
        """Return the schema of an object's member."""
        if self.fields is not None and name in self.fields:
            return self.fields[name]
        return self.members or ANY_VALUE

    @property
    def element(self) -> MergeSchema:
        """Return the schema of a list's elements."""
        return self.members or ANY_VALUE

    @property
    def apply_key(self) -> str:
        """Return the key for server-side apply, which supports no key of a nested member."""
        return "" if "." in self.key else self.key


ANY_VALUE = MergeSchema()
SCALAR = MergeSchema(kind="plain")

# The lists with a merge key (api-7.5). Upstream declares the key `name` for `Image.signatures`,
# which its elements lack (api-7.7).
_MERGE_KEYS: dict[tuple[type[Wire], str], str] = {
    (ImageStreamSpec, "tags"): "name",
    (ImageStreamStatus, "tags"): "tag",
    (Image, "signatures"): "metadata.name",
    (ImageSignature, "conditions"): "type",
    (ObjectMeta, "ownerReferences"): "uid",
    (NamespaceStatus, "conditions"): "type",
}
_SET_FIELDS = {(ObjectMeta, "finalizers")}
_REPLACED_FIELDS = {(Image, "dockerImageMetadata")}
_ATOMIC_TYPES = (ObjectReference, LocalObjectReference)
# Fields that clients may send and our models do not have.
_UNMODELLED_FIELDS: dict[type[Wire], tuple[str, ...]] = {
    ObjectMeta: ("selfLink", "deletionGracePeriodSeconds")
}
_TRACKED_KINDS = {"Image", "ImageStream", "Namespace", "Registry", "Secret"}


@cache
def merge_schema_of(kind: str) -> MergeSchema:
    """Return the schema of a kind's objects; of an unknown kind only that of its metadata."""
    model = next((info.model for info in RESOURCES if info.kind == kind and info.model), None)
    if model is None:
        return MergeSchema(members=ANY_VALUE, fields={"metadata": _schema_of_model(ObjectMeta)})
    schema = _schema_of_model(model)
    fields = {"kind": SCALAR, "apiVersion": SCALAR, **(schema.fields or {})}
    return replace(schema, fields=fields)


@cache
def api_version_of(kind: str) -> str:
    """Return the `apiVersion` of a kind; "" for an unknown kind."""
    return next((info.api_version for info in RESOURCES if info.kind == kind), "")


@cache
def resource_of(kind: str) -> tuple[str, str]:
    """Return the resource and the group of a kind, as errors name them."""
    found = ((info.resource, info.group) for info in RESOURCES if info.kind == kind)
    return next(found, (kind.lower(), ""))


def is_tracked(kind: str) -> bool:
    """Return whether objects of a kind have managedFields: views of streams have none (api-8.7)."""
    return kind in _TRACKED_KINDS


@cache
def _schema_of_model(model: type[Wire]) -> MergeSchema:
    fields = dict.fromkeys(_UNMODELLED_FIELDS.get(model, ()), SCALAR)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        fields[alias] = _apply_merge_rules(_schema_of_type(field.annotation), model, alias)
    return MergeSchema(kind="object", fields=fields, atomic=issubclass(model, _ATOMIC_TYPES))


def _apply_merge_rules(schema: MergeSchema, model: type[Wire], alias: str) -> MergeSchema:
    field_key = (model, alias)
    key = _MERGE_KEYS.get(field_key, "")
    is_replaced = field_key in _REPLACED_FIELDS
    return replace(
        schema,
        key=key,
        is_set=field_key in _SET_FIELDS,
        replaced=is_replaced,
        atomic=schema.atomic or is_replaced,
    )


def _schema_of_type(annotation: Any) -> MergeSchema:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _schema_of_type(arguments[0])
    if origin in {Union, UnionType}:
        known = [each for each in arguments if each is not type(None)]
        return _schema_of_type(known[0]) if len(known) == 1 else ANY_VALUE
    if origin is list:
        return MergeSchema(kind="list", members=_schema_of_type(arguments[0]))
    if origin is dict:
        return MergeSchema(kind="object", members=_schema_of_type(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return _schema_of_model(annotation)
    return ANY_VALUE if annotation is Any else SCALAR
