"""The schemas of a group's kinds and of all they are made of (`api.md` C18).

Fields come from the models, words from the word lists, and what a strategic patch has to know from
the table of C8. Where the models are vague, because we only pass something on, the tables here say
what clients are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from api.openapi.descriptions import IMAGE_WORDS, IMPORT_WORDS
from api.openapi.descriptions_core import JOB_WORDS, META_WORDS
from api.openapi.descriptions_events import EVENT_WORDS
from api.openapi.descriptions_registries import REGISTRY_WORDS
from api.openapi.descriptions_schedule import SCHEDULE_WORDS
from api.openapi.external_types import CORE, HANDMADE, META, Fields
from api.openapi.type_notation import Schema, build_property
from api.served_resources import RESOURCES, ResourceInfo
from models.resources.meta import ListMeta, ObjectMeta, SecretList, Status
from models.resources.wire import ALWAYS, Wire

WORDS = (
    IMAGE_WORDS
    | IMPORT_WORDS
    | META_WORDS
    | JOB_WORDS
    | SCHEDULE_WORDS
    | EVENT_WORDS
    | REGISTRY_WORDS
)
IMAGE = "com.github.openshift.api.image.v1"
_PACKAGES = {
    "models.resources.image": IMAGE,
    "models.resources.stream": IMAGE,
    "models.resources.imports": IMAGE,
    "models.resources.meta": CORE,
    "models.resources.core": CORE,
    "models.resources.jobs": "io.tagstream.api.sync.v1",
    "models.resources.registries": "io.tagstream.api.sync.v1",
    "models.resources.schedule": "io.tagstream.api.sync.v1",
}
_ELSEWHERE = {
    "ObjectMeta": META,
    "ListMeta": META,
    "Status": META,
    "LocalObjectReference": CORE,
    "SecretList": IMAGE,
    "Project": "com.github.openshift.api.project.v1",
}
# Required by the published schemas, whatever decoding lets through (`api.md` B1.1).
_REQUIRED: dict[str, tuple[str, ...]] = {
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
# What we pass on as plain text or as whole objects, told exactly.
_EXACTLY = {
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
_BESIDE: dict[str, Fields] = {
    "ObjectMeta": {
        "deletionGracePeriodSeconds": ("int64", "How long a deleted object is kept; always 0."),
        "selfLink": ("string", "No longer set."),
    },
}
_ENUMS: dict[tuple[str, str], list[str]] = {
    ("TagImportPolicy", "importMode"): ["", "Legacy", "PreserveOriginal"],
    ("TagReferencePolicy", "type"): ["", "Source", "Local"],
    ("RegistryMirror", "kind"): ["", "digest", "tag"],
}
# `Image.signatures` carries no merge key: upstream declares `name`, which its elements lack, and
# kubectl would refuse every patch of an image that has some (quirk 20).
_MERGED: dict[tuple[str, str], str] = {
    ("ImageStreamSpec", "tags"): "name",
    ("ImageStreamStatus", "tags"): "tag",
    ("ImageSignature", "conditions"): "type",
    ("ObjectMeta", "ownerReferences"): "uid",
    ("ObjectMeta", "finalizers"): "",
    ("NamespaceStatus", "conditions"): "type",
}
_REPLACED = {("Image", "dockerImageMetadata")}
_ATOMIC = {"ObjectReference", "LocalObjectReference"}
_OWN: Fields = {
    "apiVersion": ("string", "The version of the API that the object is written in."),
    "kind": ("string", "What kind of object this is."),
}


class Schemas:
    """Collects the schemas that are asked for, and all they refer to."""

    def __init__(self, group: str, version: str) -> None:
        self.found: dict[str, Schema] = {}
        self._place = {"group": group, "version": version}
        self._kinds = {
            info.kind for info in RESOURCES if (info.group, info.version) == (group, version)
        }

    def refer(self, name: str) -> str:
        """The `$ref` of a type, whose schema is built if it is not there yet."""
        full = full_name(name)
        if full not in self.found:
            self.found[full] = {}  # types may lead back to themselves
            self.found[full] = self._build(name)
        return f"#/components/schemas/{full}"

    def refer_list(self, info: ResourceInfo) -> str:
        """The `$ref` of the list of a kind."""
        full = f"{full_name(info.kind).rpartition('.')[0]}.{info.list_kind}"
        if full not in self.found:
            fields: Fields = {
                "metadata": ("@ListMeta", "The version that the list is of, and where to go on."),
                "items": (f"[]@{info.kind}", "The objects."),
            }
            about = f"{info.list_kind} is some objects of kind {info.kind}."
            self.found[full] = self._shape(info.list_kind, about, fields, ("items",), is_kind=True)
        return f"#/components/schemas/{full}"

    def _build(self, name: str) -> Schema:
        made = HANDMADE.get(name)
        if made is not None:
            is_kind = name in self._kinds or name == "DeleteOptions"
            schema = self._shape(name, made.about, made.fields, made.required, is_kind=is_kind)
            if name == "WatchEvent":
                self._name_kind(schema, name)
            return schema
        model = _MODELS[name]
        words = WORDS.get(name, {})
        fields = {
            (field.alias or key): (
                _EXACTLY.get((name, field.alias or key)) or _written(field),
                words.get(field.alias or key, ""),
            )
            for key, field in model.model_fields.items()
        }
        fields |= {key: each for key, each in _BESIDE.get(name, {}).items() if key not in fields}
        is_kind = name in self._kinds or name in {"Status", "SecretList"}
        required = _REQUIRED.get(name, ())
        return self._shape(name, words.get("", ""), fields, required, is_kind=is_kind)

    def _shape(
        self, name: str, about: str, fields: Fields, required: Iterable[str], *, is_kind: bool
    ) -> Schema:
        fields = _OWN | fields if is_kind else fields
        schema: Schema = {"description": about, "type": "object"}
        if fields:
            schema["properties"] = {
                key: build_property(written, text, self.refer) | _extensions(name, key)
                for key, (written, text) in sorted(fields.items())
            }
        if required:
            schema["required"] = sorted(required)
        if name in _ATOMIC:
            schema["x-kubernetes-map-type"] = "atomic"
        if is_kind:
            self._name_kind(schema, name)
        return schema

    def _name_kind(self, schema: Schema, name: str) -> None:
        core = name == "Status"
        place = {"group": "", "version": "v1"} if core else self._place
        schema["x-kubernetes-group-version-kind"] = [{**place, "kind": name}]
        own = schema["properties"]
        if "kind" in own:
            own["kind"]["enum"] = [name]
            written = "/".join(each for each in place.values() if each)
            # Options of a deletion may be written in the group's version or in the core's.
            versions = dict.fromkeys([written, "v1"] if name == "DeleteOptions" else [written])
            own["apiVersion"]["enum"] = list(versions)


def full_name(name: str) -> str:
    """The name of a type's schema: `com.github.openshift.api.image.v1.ImageStream`."""
    if name in HANDMADE:
        return f"{HANDMADE[name].package}.{name}"
    package = _ELSEWHERE.get(name) or _PACKAGES[_MODELS[name].__module__]
    return f"{package}.{name}"


def _extensions(owner: str, field: str) -> Schema:
    """What a patch has to know of a field, and which values it may have."""
    place = (owner, field)
    extensions: Schema = {}
    if place in _ENUMS:
        extensions["enum"] = _ENUMS[place]
    if place in _REPLACED:
        extensions["x-kubernetes-patch-strategy"] = "replace"
    if place in _MERGED:
        key = _MERGED[place]
        extensions["x-kubernetes-patch-strategy"] = "merge"
        extensions["x-kubernetes-list-type"] = "map" if key else "set"
        if key:
            extensions["x-kubernetes-patch-merge-key"] = key
            extensions["x-kubernetes-list-map-keys"] = [key]
    return extensions


def _written(field: FieldInfo) -> str:
    """A field's type in the notation of `types.py`; null is told where it is printed."""
    written = _type(field.annotation)
    optional = type(None) in get_args(field.annotation)
    shown = any(mark is ALWAYS for mark in field.metadata)
    is_time = written == "time"  # clients that know no better send null
    return f"null|{written}" if optional and (shown or is_time) else written


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in {Union, UnionType}:
        return _type(next(each for each in arguments if each is not type(None)))
    if origin is list:
        return f"[]{_type(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else f"map{_type(arguments[1])}"
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


def _parts(model: type[Wire]) -> dict[str, type[Wire]]:
    """The model and all models that its fields lead to, by name."""
    found: dict[str, type[Wire]] = {}
    waiting: list[Any] = [model]
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        if not isinstance(annotation, type) or not issubclass(annotation, Wire):
            continue
        if annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            waiting.extend(field.annotation for field in annotation.model_fields.values())
    return found


_MODELS: dict[str, type[Wire]] = {}
for _model in (ObjectMeta, ListMeta, Status, SecretList, *(info.model for info in RESOURCES)):
    if _model is not None:
        _MODELS |= _parts(_model)
