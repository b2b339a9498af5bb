"""The OpenAPI schemas of a group's kinds and of all types that they use (api-14.4).

Types come from the models, texts from the description modules. The schemas carry the merge keys of
api-7.5, since kubectl computes strategic merge patches from them (clients-2.4). Where a model is
less exact than the wire format, because we only pass a value on, the tables here declare it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from api.openapi.descriptions import IMAGE_DESCRIPTIONS, IMPORT_DESCRIPTIONS
from api.openapi.descriptions_core import JOB_DESCRIPTIONS, META_DESCRIPTIONS
from api.openapi.descriptions_events import EVENT_DESCRIPTIONS
from api.openapi.descriptions_registries import REGISTRY_DESCRIPTIONS
from api.openapi.descriptions_schedule import SCHEDULE_DESCRIPTIONS
from api.openapi.external_types import CORE_PACKAGE, EXTERNAL_TYPES, META_PACKAGE, Fields
from api.openapi.type_notation import Schema, build_property
from api.served_resources import RESOURCES, ResourceInfo
from models.resources.meta import ListMeta, ObjectMeta, SecretList, Status
from models.resources.wire import ALWAYS, Wire

DESCRIPTIONS = (
    IMAGE_DESCRIPTIONS
    | IMPORT_DESCRIPTIONS
    | META_DESCRIPTIONS
    | JOB_DESCRIPTIONS
    | SCHEDULE_DESCRIPTIONS
    | EVENT_DESCRIPTIONS
    | REGISTRY_DESCRIPTIONS
)
IMAGE_PACKAGE = "com.github.openshift.api.image.v1"
_PACKAGES = {
    "models.resources.image": IMAGE_PACKAGE,
    "models.resources.stream": IMAGE_PACKAGE,
    "models.resources.imports": IMAGE_PACKAGE,
    "models.resources.meta": CORE_PACKAGE,
    "models.resources.core": CORE_PACKAGE,
    "models.resources.jobs": "io.tagstream.api.sync.v1",
    "models.resources.registries": "io.tagstream.api.sync.v1",
    "models.resources.schedule": "io.tagstream.api.sync.v1",
}
_PACKAGE_OVERRIDES = {
    "ObjectMeta": META_PACKAGE,
    "ListMeta": META_PACKAGE,
    "Status": META_PACKAGE,
    "LocalObjectReference": CORE_PACKAGE,
    "SecretList": IMAGE_PACKAGE,
    "Project": "com.github.openshift.api.project.v1",
}
# Fields that the published schemas require; decoding does not enforce them (api-14.5).
_REQUIRED_FIELDS: dict[str, tuple[str, ...]] = {
    "ImageManifest": ("digest", "mediaType", "manifestSize", "architecture", "os"),
    "ImageLayer": ("name", "size", "mediaType"),
    "ImageSignature": ("type", "content"),
    "ImageStreamImage": ("image",),
    "ImageStreamImport": ("spec", "status"),
    "ImageStreamImportSpec": ("import",),
    "ImageImportSpec": ("from",),
    "RepositoryImportSpec": ("from",),
    "ImageImportStatus": ("status",),
    "ImageStreamLayers": ("blobs", "images"),
    "ImageStreamMapping": ("image", "tag"),
    "TagReference": ("name",),
    "ImageLookupPolicy": ("local",),
    "TagReferencePolicy": ("type",),
    "NamedTagEventList": ("tag", "items"),
    "TagEvent": ("created", "dockerImageReference", "image", "generation"),
    "TagEventCondition": ("type", "status", "generation"),
    "ImageStreamTag": ("tag", "generation", "lookupPolicy", "image"),
    "ImageTag": ("spec", "status", "image"),
    "SignatureCondition": ("type", "status"),
    "SignatureSubject": ("publicKeyID",),
    "SecretList": ("items",),
    "ImportJob": ("spec",),
    "Event": ("metadata", "involvedObject"),
}
# The exact types of values that our models pass on as strings or objects.
_TYPE_OVERRIDES = {
    ("Image", "dockerImageMetadata"): "null|object",
    ("Image", "dockerImageSignatures"): "[]bytes",
    ("ImageSignature", "content"): "bytes",
    ("Secret", "data"): "mapbytes",
    ("ObjectMeta", "ownerReferences"): "[]@OwnerReference",
    ("ObjectMeta", "managedFields"): "[]@ManagedFieldsEntry",
    ("NamespaceStatus", "conditions"): "[]@NamespaceCondition",
    ("ImportJobStatus", "conditions"): "[]@Condition",
    ("RegistryStatus", "conditions"): "[]@Condition",
    ("Status", "metadata"): "@ListMeta",
    ("Status", "details"): "@StatusDetails",
    ("Status", "code"): "int32",
    ("Event", "count"): "int32",
}
# Fields that clients may send and we do not model.
_UNMODELLED_FIELDS: dict[str, Fields] = {
    "ObjectMeta": {
        "deletionGracePeriodSeconds": ("int64", "The grace period of a deletion; always 0."),
        "selfLink": ("string", "Deprecated; never set."),
    },
}
_ENUMS: dict[tuple[str, str], list[str]] = {
    ("TagImportPolicy", "importMode"): ["", "Legacy", "PreserveOriginal"],
    ("TagReferencePolicy", "type"): ["", "Source", "Local"],
    ("RegistryMirror", "kind"): ["", "digest", "tag"],
}
# `Image.signatures` has no merge key here: upstream declares `name`, which its elements lack, and
# kubectl would reject every patch of an image that has signatures (api-7.7).
_MERGE_KEYS: dict[tuple[str, str], str] = {
    ("ImageStreamSpec", "tags"): "name",
    ("ImageStreamStatus", "tags"): "tag",
    ("ImageSignature", "conditions"): "type",
    ("ObjectMeta", "ownerReferences"): "uid",
    ("ObjectMeta", "finalizers"): "",
    ("NamespaceStatus", "conditions"): "type",
}
_REPLACED_FIELDS = {("Image", "dockerImageMetadata")}
_ATOMIC_TYPES = {"ObjectReference", "LocalObjectReference"}
_TYPE_META_FIELDS: Fields = {
    "apiVersion": ("string", "The API group and version of the object."),
    "kind": ("string", "The kind of the object."),
}


class SchemaBuilder:
    """A builder that collects the requested schemas and all schemas they refer to."""

    def __init__(self, group: str, version: str) -> None:
        self.definitions: dict[str, Schema] = {}
        self._group_version = {"group": group, "version": version}
        self._kinds = {
            info.kind for info in RESOURCES if (info.group, info.version) == (group, version)
        }

    def refer(self, name: str) -> str:
        """Return the `$ref` of a type; its schema is built if it is not there yet."""
        full = full_name(name)
        if full not in self.definitions:
            self.definitions[full] = {}  # a placeholder, because types may be recursive
            self.definitions[full] = self._build(name)
        return f"#/components/schemas/{full}"

    def refer_list(self, info: ResourceInfo) -> str:
        """Return the `$ref` of the list of a kind."""
        full = f"{full_name(info.kind).rpartition('.')[0]}.{info.list_kind}"
        if full not in self.definitions:
            fields: Fields = {
                "metadata": ("@ListMeta", "The version and the continue token of the list."),
                "items": (f"[]@{info.kind}", "The objects."),
            }
            description = f"{info.list_kind} is a list of objects of kind {info.kind}."
            self.definitions[full] = self._object_schema(
                info.list_kind, description, fields, ("items",), is_kind=True
            )
        return f"#/components/schemas/{full}"

    def _build(self, name: str) -> Schema:
        external_type = EXTERNAL_TYPES.get(name)
        if external_type is not None:
            is_kind = name in self._kinds or name == "DeleteOptions"
            schema = self._object_schema(
                name,
                external_type.description,
                external_type.fields,
                external_type.required,
                is_kind=is_kind,
            )
            if name == "WatchEvent":
                self._add_group_version_kind(schema, name)
            return schema
        model = _MODELS[name]
        descriptions = DESCRIPTIONS.get(name, {})
        fields = {
            (field.alias or key): (
                _TYPE_OVERRIDES.get((name, field.alias or key)) or _type_notation(field),
                descriptions.get(field.alias or key, ""),
            )
            for key, field in model.model_fields.items()
        }
        fields |= {
            key: each for key, each in _UNMODELLED_FIELDS.get(name, {}).items() if key not in fields
        }
        is_kind = name in self._kinds or name in {"Status", "SecretList"}
        required = _REQUIRED_FIELDS.get(name, ())
        return self._object_schema(
            name, descriptions.get("", ""), fields, required, is_kind=is_kind
        )

    def _object_schema(
        self, name: str, description: str, fields: Fields, required: Iterable[str], *, is_kind: bool
    ) -> Schema:
        fields = _TYPE_META_FIELDS | fields if is_kind else fields
        schema: Schema = {"description": description, "type": "object"}
        if fields:
            schema["properties"] = {
                key: build_property(notation, text, self.refer) | _extensions(name, key)
                for key, (notation, text) in sorted(fields.items())
            }
        if required:
            schema["required"] = sorted(required)
        if name in _ATOMIC_TYPES:
            schema["x-kubernetes-map-type"] = "atomic"
        if is_kind:
            self._add_group_version_kind(schema, name)
        return schema

    def _add_group_version_kind(self, schema: Schema, name: str) -> None:
        is_core = name == "Status"
        group_version = {"group": "", "version": "v1"} if is_core else self._group_version
        schema["x-kubernetes-group-version-kind"] = [{**group_version, "kind": name}]
        properties = schema["properties"]
        if "kind" in properties:
            properties["kind"]["enum"] = [name]
            api_version = "/".join(each for each in group_version.values() if each)
            # DeleteOptions may have the apiVersion of the group or of the core group.
            versions = dict.fromkeys(
                [api_version, "v1"] if name == "DeleteOptions" else [api_version]
            )
            properties["apiVersion"]["enum"] = list(versions)


def full_name(name: str) -> str:
    """Return the name of a type's schema: `com.github.openshift.api.image.v1.ImageStream`."""
    if name in EXTERNAL_TYPES:
        return f"{EXTERNAL_TYPES[name].package}.{name}"
    package = _PACKAGE_OVERRIDES.get(name) or _PACKAGES[_MODELS[name].__module__]
    return f"{package}.{name}"


def _extensions(owner: str, field: str) -> Schema:
    """Return the merge key, the patch strategy and the allowed values of a field."""
    field_key = (owner, field)
    extensions: Schema = {}
    if field_key in _ENUMS:
        extensions["enum"] = _ENUMS[field_key]
    if field_key in _REPLACED_FIELDS:
        extensions["x-kubernetes-patch-strategy"] = "replace"
    if field_key in _MERGE_KEYS:
        key = _MERGE_KEYS[field_key]
        extensions["x-kubernetes-patch-strategy"] = "merge"
        extensions["x-kubernetes-list-type"] = "map" if key else "set"
        if key:
            extensions["x-kubernetes-patch-merge-key"] = key
            extensions["x-kubernetes-list-map-keys"] = [key]
    return extensions


def _type_notation(field: FieldInfo) -> str:
    """Return a field's type in the notation of `type_notation.py`; null only if it is sent."""
    notation = _annotation_notation(field.annotation)
    optional = type(None) in get_args(field.annotation)
    prints_null = any(annotation is ALWAYS for annotation in field.metadata)
    is_time = notation == "time"  # clients send null for a time that is not set
    return f"null|{notation}" if optional and (prints_null or is_time) else notation


def _annotation_notation(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotation_notation(arguments[0])
    if origin in {Union, UnionType}:
        return _annotation_notation(next(each for each in arguments if each is not type(None)))
    if origin is list:
        return f"[]{_annotation_notation(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else f"map{_annotation_notation(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return f"@{annotation.__name__}"
    return _PLAIN.get(annotation, "any")


_PLAIN: dict[Any, str] = {
    str: "string",
    bool: "bool",
    int: "int64",
    float: "double",
    datetime: "time",
}


def _models_used_by(model: type[Wire]) -> dict[str, type[Wire]]:
    """Return the model and all models that its fields use, by name."""
    found: dict[str, type[Wire]] = {}
    pending: list[Any] = [model]
    while pending:
        annotation = pending.pop()
        pending.extend(get_args(annotation))
        if not isinstance(annotation, type) or not issubclass(annotation, Wire):
            continue
        if annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            pending.extend(field.annotation for field in annotation.model_fields.values())
    return found


_MODELS: dict[str, type[Wire]] = {}
for _model in (ObjectMeta, ListMeta, Status, SecretList, *(info.model for info in RESOURCES)):
    if _model is not None:
        _MODELS |= _models_used_by(_model)
