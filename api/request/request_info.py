"""The RequestInfo of a raw path: group, version, resource, namespace and name.

Rules: api-2.4, api-2.5, api-2.6. `api/served_resources.py` is the one table of routes: every
resource path is derived from it. Segments are split before they are decoded, so that `%2F`, `%3A`
and `%40` stay inside a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from api.served_resources import RESOURCES, ResourceInfo
from models.api_errors import BadRequestError

_RESOURCES_BY_GROUP_VERSION: dict[tuple[str, str], dict[str, ResourceInfo]] = {}
for _each in RESOURCES:
    _RESOURCES_BY_GROUP_VERSION.setdefault((_each.group, _each.version), {})[_each.resource] = _each

_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ITEM_VERBS = {
    "GET": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "POST": "create",
}
_OTHER_VERBS = {"PUT": "update", "PATCH": "patch", "HEAD": "get", "OPTIONS": "options"}


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a resource path names; `info` is None if no such resource is served.

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
    def is_served(self) -> bool:
        """Return whether the path exists for any method."""
        if self.info is None:
            return False
        verbs = set(self.info.verbs)
        if self.info.namespaced and not self.namespace:
            # Across all namespaces only lists and watches exist.
            return not self.name and ("watch" if self.watched else "list") in verbs
        if not self.info.namespaced and self.namespace:
            return False
        if self.watched:
            return "watch" in verbs
        if self.name:
            return bool({"get", "delete", "update"} & verbs)
        return bool({"list", "create", "deletecollection"} & verbs)

    def allows(self, method: str) -> bool:
        """Return whether an existing path allows this method.

        Across all namespaces only GET is allowed: a DELETE without a namespace, sent by mistake,
        must not delete the objects of all namespaces.
        """
        assert self.info is not None
        verb = self.verb(method, watch=False)
        if self.watched or (self.info.namespaced and not self.namespace):
            return method == "GET"
        if method == "POST" and self.name:
            return False
        return verb in self.info.verbs and (bool(self.name) or verb not in {"update", "patch"})

    def verb(self, method: str, *, watch: bool) -> str:
        """Return the verb to authorize the request for, such as `list` or `deletecollection`."""
        verbs = _ITEM_VERBS if self.name else _COLLECTION_VERBS
        verb = verbs.get(method) or _OTHER_VERBS.get(method, method.lower())
        if method == "GET" and (self.watched or (watch and not self.name)):
            return "watch"
        return verb

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def split_path(raw_path: bytes) -> list[str]:
    """Return the decoded segments of a path; a trailing slash is ignored (api-2.4, clients-1.3).

    Raises BadRequestError for a path that is not UTF-8 or contains a NUL.
    """
    segments = raw_path.partition(b"?")[0].split(b"/")[1:]
    while segments and segments[-1] == b"":
        segments.pop()
    try:
        decoded = [unquote_to_bytes(segment).decode() for segment in segments]
    except UnicodeDecodeError:
        raise BadRequestError("the path is not UTF-8") from None
    if any("\0" in segment for segment in decoded):
        raise BadRequestError("the path contains a NUL character")
    return decoded


def parse_request_info(segments: list[str]) -> RequestInfo | None:
    """Return what a path below `/api/v1` or `/apis/GROUP/VERSION` names; None if no resource."""
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
    resources = _RESOURCES_BY_GROUP_VERSION.get((group, version), {})
    full = f"{resource}/{subresource}" if subresource else resource
    info = resources.get(full) if len(rest) <= 3 and "" not in rest else None
    return RequestInfo(group, version, resource, subresource, namespace, name, watched, info)
