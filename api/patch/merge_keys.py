"""How the parts of each kind merge: lists with keys, and values that are one piece (`api.md` C8).

A `Shape` is drawn once per kind from its model, and carries the table of C8. Strategic patches and
server-side apply read the same shapes; where they differ, the shape says so.
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
class Shape:
    """How one value merges.

    `fields`: the declared members of an object; None where any member may come.
    `members`: the shape of the undeclared members of an object, or of a list's elements.
    """

    fields: Mapping[str, Shape] | None = None
    members: Shape | None = None
    kind: str = "any"  # any, object, list, plain
    key: str = ""  # a list of objects told apart by this member; dots lead inside
    is_set: bool = False  # a list of texts, each at most once
    replaced: bool = False  # a strategic patch exchanges it whole
    atomic: bool = False  # server-side apply owns it whole

    def member(self, name: str) -> Shape:
        """The shape of an object's member."""
        if self.fields is not None and name in self.fields:
            return self.fields[name]
        return self.members or ANY

    @property
    def element(self) -> Shape:
        """The shape of a list's elements."""
        return self.members or ANY

    @property
    def apply_key(self) -> str:
        """The key as server-side apply sees it: a key that is not the element's own is none."""
        return "" if "." in self.key else self.key


ANY = Shape()
PLAIN = Shape(kind="plain")

# The table of C8. `Image.signatures` is declared with `name`, which its elements lack: quirk 20.
_KEYS: dict[tuple[type[Wire], str], str] = {
    (ImageStreamSpec, "tags"): "name",
    (ImageStreamStatus, "tags"): "tag",
    (Image, "signatures"): "metadata.name",
    (ImageSignature, "conditions"): "type",
    (ObjectMeta, "ownerReferences"): "uid",
    (NamespaceStatus, "conditions"): "type",
}
_SETS = {(ObjectMeta, "finalizers")}
_REPLACED = {(Image, "dockerImageMetadata")}
_ATOMIC = (ObjectReference, LocalObjectReference)
# What clients may say of an object beside the fields of our models.
_UNMODELLED: dict[type[Wire], tuple[str, ...]] = {
    ObjectMeta: ("selfLink", "deletionGracePeriodSeconds")
}
_TRACKED = {"Image", "ImageStream", "Namespace", "Registry", "Secret"}


@cache
def shape_of(kind: str) -> Shape:
    """The shape of a kind's objects; of a kind we do not know, only that its metadata has one."""
    model = next((info.model for info in RESOURCES if info.kind == kind and info.model), None)
    if model is None:
        return Shape(members=ANY, fields={"metadata": _draw(ObjectMeta)})
    shape = _draw(model)
    fields = {"kind": PLAIN, "apiVersion": PLAIN, **(shape.fields or {})}
    return replace(shape, fields=fields)


@cache
def api_version_of(kind: str) -> str:
    """What objects of a kind write as their `apiVersion`; "" of a kind we do not know."""
    return next((info.api_version for info in RESOURCES if info.kind == kind), "")


@cache
def resource_of(kind: str) -> tuple[str, str]:
    """The resource and the group of a kind, as errors name them."""
    found = ((info.resource, info.group) for info in RESOURCES if info.kind == kind)
    return next(found, (kind.lower(), ""))


def is_tracked(kind: str) -> bool:
    """Whether objects of a kind remember who owns which field: views of streams do not (B8)."""
    return kind in _TRACKED


@cache
def _draw(model: type[Wire]) -> Shape:
    fields = dict.fromkeys(_UNMODELLED.get(model, ()), PLAIN)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        fields[alias] = _adorn(_draw_type(field.annotation), model, alias)
    return Shape(kind="object", fields=fields, atomic=issubclass(model, _ATOMIC))


def _adorn(shape: Shape, model: type[Wire], alias: str) -> Shape:
    place = (model, alias)
    key = _KEYS.get(place, "")
    whole = place in _REPLACED
    return replace(
        shape, key=key, is_set=place in _SETS, replaced=whole, atomic=shape.atomic or whole
    )


def _draw_type(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _draw_type(arguments[0])
    if origin in {Union, UnionType}:
        known = [each for each in arguments if each is not type(None)]
        return _draw_type(known[0]) if len(known) == 1 else ANY
    if origin is list:
        return Shape(kind="list", members=_draw_type(arguments[0]))
    if origin is dict:
        return Shape(kind="object", members=_draw_type(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return _draw(annotation)
    return ANY if annotation is Any else PLAIN
