"""From a raw path to what it names (`api.md` C2).

The one table of routes is `api/served_resources.py`: every path of a resource is made from it here.
Segments are split before they are decoded, so that `%2F`, `%3A` and `%40` stay inside a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from api.served_resources import RESOURCES, ResourceInfo
from models.api_errors import BadRequestError

_BY_PLACE: dict[tuple[str, str], dict[str, ResourceInfo]] = {}
for _each in RESOURCES:
    _BY_PLACE.setdefault((_each.group, _each.version), {})[_each.resource] = _each

_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ITEM = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
_OTHER = {"PUT": "update", "PATCH": "patch", "HEAD": "get", "OPTIONS": "options"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path of a resource names. `info` is None where we serve no such resource.

    `watched` is set on the deprecated `/watch/` paths.
    """

    group: str
    version: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    watched: bool = False
    info: ResourceInfo | None = None

    @property
    def serves(self) -> bool:
        """Whether the path exists, for whatever method."""
        if self.info is None:
            return False
        verbs = set(self.info.verbs)
        if self.info.namespaced and not self.namespace:
            # Over all namespaces there are only lists.
            return not self.name and ("watch" if self.watched else "list") in verbs
        if not self.info.namespaced and self.namespace:
            return False
        if self.watched:
            return "watch" in verbs
        if self.name:
            return bool({"get", "delete", "update"} & verbs)
        return bool({"list", "create", "deletecollection"} & verbs)

    def allows(self, method: str) -> bool:
        """Whether a path that exists takes this method; a slip must not empty all namespaces."""
        assert self.info is not None
        verb = self.verb(method, watch=False)
        if self.watched or (self.info.namespaced and not self.namespace):
            return method == "GET"
        if method == "POST" and self.name:
            return False
        return verb in self.info.verbs and (bool(self.name) or verb not in {"update", "patch"})

    def verb(self, method: str, *, watch: bool) -> str:
        """The word that rights are asked for."""
        table = _ITEM if self.name else _COLLECTION
        verb = table.get(method) or _OTHER.get(method, method.lower())
        if method == "GET" and (self.watched or (watch and not self.name)):
            return "watch"
        return verb

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def split_path(raw_path: bytes) -> list[str]:
    """The decoded segments of a path; a slash at the end does not count."""
    segments = raw_path.partition(b"?")[0].split(b"/")[1:]
    while segments and segments[-1] == b"":
        segments.pop()
    try:
        decoded = [unquote_to_bytes(segment).decode() for segment in segments]
    except UnicodeDecodeError:
        raise BadRequestError("the path is not UTF-8") from None
    if any("\0" in segment for segment in decoded):
        raise BadRequestError("the path holds a NUL")
    return decoded


def find_target(segments: list[str]) -> Target | None:
    """What a path below `/api/v1` or `/apis/GROUP/VERSION` names; None where it is no resource."""
    if segments[:1] == ["api"] and len(segments) > 2:
        group, version, rest = "", segments[1], segments[2:]
    elif segments[:1] == ["apis"] and len(segments) > 3:
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    watched = rest[0] == "watch" and len(rest) > 1
    if watched:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    known = _BY_PLACE.get((group, version), {})
    full = f"{resource}/{subresource}" if subresource else resource
    info = known.get(full) if len(rest) <= 3 and "" not in rest else None
    return Target(group, version, resource, subresource, namespace, name, watched, info)
