"""Access reviews: what the caller or another user may do (api-15.2, api-15.3). Nothing is stored.

Each function takes the decoded body and returns the status code and the response. Empty fields
count as absent, because protobuf does not distinguish them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from models.access.builtin_roles import AUTHENTICATION_API_GROUP, AUTHORIZATION_API_GROUP
from models.access.rbac import (
    Caller,
    find_binding,
    is_path_allowed,
    namespace_rules,
    path_rules,
)
from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError
from models.store.access.token_store import load_bindings

CodeAndBody = tuple[int, dict[str, Any]]

_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def review_self(body: dict[str, Any], caller: Caller) -> CodeAndBody:
    """Return a SelfSubjectReview: who the caller is (`kubectl auth whoami`, `oc whoami`)."""
    info: dict[str, Any] = {"username": caller.user}
    if caller.uid:
        info["uid"] = caller.uid
    info |= {"groups": list(caller.groups), "extra": {}}
    return _build_review(
        "SelfSubjectReview", body, {"userInfo": info}, group=AUTHENTICATION_API_GROUP
    )


def review_self_access(body: dict[str, Any], caller: Caller) -> CodeAndBody:
    """Return a SelfSubjectAccessReview: whether the caller may do that (`kubectl auth can-i`)."""
    kind = "SelfSubjectAccessReview"
    spec = _spec(body)
    _raise_if_invalid(kind, _check_attributes(spec))
    return _build_review(kind, body, _decide(caller, spec))


def review_self_rules(body: dict[str, Any], caller: Caller) -> CodeAndBody:
    """Return a SelfSubjectRulesReview: all that the caller may do (`kubectl auth can-i --list`)."""
    namespace = _string_field(_spec(body), "namespace")
    if not namespace:
        raise BadRequestError("no namespace on request")
    status = {
        "resourceRules": namespace_rules(caller, namespace),
        "nonResourceRules": path_rules(caller),
        "incomplete": False,
    }
    return _build_review("SelfSubjectRulesReview", body, status)


def review_access(session: Session, body: dict[str, Any], caller: Caller) -> CodeAndBody:
    """Return a SubjectAccessReview: whether another user may do that.

    The caller's right to create one is checked before this is called.
    """
    kind = "SubjectAccessReview"
    spec = _spec(body)
    _raise_if_invalid(kind, [*_check_attributes(spec), *_check_subject(spec)])
    return _build_review(kind, body, _decide(_subject(session, spec, caller), spec))


def review_local_access(
    session: Session, body: dict[str, Any], caller: Caller, namespace: str
) -> CodeAndBody:
    """Return a LocalSubjectAccessReview: as `review_access`, in the namespace of the path only."""
    kind = "LocalSubjectAccessReview"
    spec = _spec(body)
    metadata_namespace = _string_field(_object_field(body, "metadata"), "namespace") or namespace
    if metadata_namespace != namespace:
        raise BadRequestError(
            f"spec.resourceAttributes.namespace must match namespace: {namespace}"
        )
    errors = [*_check_attributes(spec), *_check_subject(spec)]
    attributes_namespace = _string_field(_object_field(spec, "resourceAttributes"), "namespace")
    if _object_field(spec, "resourceAttributes") and attributes_namespace != namespace:
        field = "spec.resourceAttributes.namespace"
        errors.append(
            FieldError.invalid(field, attributes_namespace, "must match metadata.namespace")
        )
    if _object_field(spec, "nonResourceAttributes"):
        detail = "disallowed on this kind of request"
        errors.append(FieldError.invalid("spec.nonResourceAttributes", None, detail))
    _raise_if_invalid(kind, errors)
    return _build_review(
        kind, body, _decide(_subject(session, spec, caller), spec), namespace=namespace
    )


def _decide(caller: Caller, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the status of an access review.

    `can-i` prints the reason of a denial, so a denial has none.
    """
    path = _object_field(spec, "nonResourceAttributes")
    if path:
        is_allowed = is_path_allowed(
            caller, verb=_string_field(path, "verb"), path=_string_field(path, "path")
        )
        return {"allowed": is_allowed, "reason": "open to this caller" if is_allowed else ""}
    attributes = _object_field(spec, "resourceAttributes")
    binding = find_binding(
        caller,
        verb=_string_field(attributes, "verb"),
        group=_string_field(attributes, "group"),
        resource=_string_field(attributes, "resource"),
        subresource=_string_field(attributes, "subresource"),
        namespace=_string_field(attributes, "namespace"),
        name=_string_field(attributes, "name"),
    )
    if binding is None:
        return {"allowed": False, "reason": ""}
    return {"allowed": True, "reason": f"allowed by role {binding}"}


def _subject(session: Session, spec: dict[str, Any], caller: Caller) -> Caller:
    """Return the subject of a review, with the groups that the review names and no others."""
    user = _string_field(spec, "user")
    group_names = spec.get("groups")
    groups = tuple(map(str, group_names)) if isinstance(group_names, list) else ()
    if user == caller.user and not groups:
        return caller
    subject = Caller(user, groups, uid=_string_field(spec, "uid"))
    return replace(subject, bindings=load_bindings(session, user, groups))


def _check_attributes(spec: dict[str, Any]) -> list[FieldError]:
    resource_attributes = _object_field(spec, "resourceAttributes")
    path_attributes = _object_field(spec, "nonResourceAttributes")
    if resource_attributes and path_attributes:
        detail = "cannot be specified in combination with resourceAttributes"
        return [FieldError.invalid("spec.nonResourceAttributes", None, detail)]
    if not resource_attributes and not path_attributes:
        return [FieldError.invalid("spec.resourceAttributes", None, _ONE_OF)]
    return []


def _check_subject(spec: dict[str, Any]) -> list[FieldError]:
    if _string_field(spec, "user") or spec.get("groups"):
        return []
    return [FieldError.invalid("spec.user", "", "at least one of user or group must be specified")]


def _raise_if_invalid(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise InvalidObjectError(kind=kind, name="", errors=errors, group=AUTHORIZATION_API_GROUP)


def _build_review(
    kind: str,
    body: dict[str, Any],
    status: dict[str, Any],
    *,
    group: str = AUTHORIZATION_API_GROUP,
    namespace: str = "",
) -> CodeAndBody:
    metadata = {**_object_field(body, "metadata")}
    if namespace:
        metadata["namespace"] = namespace
    review: dict[str, Any] = {"kind": kind, "apiVersion": f"{group}/v1", "metadata": metadata}
    if "spec" in body:
        review["spec"] = _spec(body)
    return 201, review | {"status": status}


def _spec(body: dict[str, Any]) -> dict[str, Any]:
    return _object_field(body, "spec")


def _object_field(body: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object field of the body; absent and null are empty. Raises BadRequestError."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"{key} has to be an object")
    return value


def _string_field(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequestError(f"{key} has to be a string")
    return value
