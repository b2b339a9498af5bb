"""Reviews: a caller asks what they, or somebody else, may do (`api.md` C20). Nothing is stored.

Each takes the decoded body and gives the code and the answer. Empty fields count as absent:
protobuf cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from models.access.builtin_roles import AUTHENTICATION, AUTHORIZATION
from models.access.rbac import (
    Caller,
    allowed_path,
    find_binding,
    path_rules_of,
    rules_of,
)
from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError
from models.store.access.token_store import bindings_of

Answer = tuple[int, dict[str, Any]]

_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def review_self(body: dict[str, Any], caller: Caller) -> Answer:
    """SelfSubjectReview: who am I? (`kubectl auth whoami`, `oc whoami`)."""
    info: dict[str, Any] = {"username": caller.user}
    if caller.uid:
        info["uid"] = caller.uid
    info |= {"groups": list(caller.groups), "extra": {}}
    return _answer("SelfSubjectReview", body, {"userInfo": info}, group=AUTHENTICATION)


def review_self_access(body: dict[str, Any], caller: Caller) -> Answer:
    """SelfSubjectAccessReview: may I? (`kubectl auth can-i`)."""
    kind = "SelfSubjectAccessReview"
    spec = _spec(body)
    _refuse(kind, _check_attributes(spec))
    return _answer(kind, body, _decide(caller, spec))


def review_self_rules(body: dict[str, Any], caller: Caller) -> Answer:
    """SelfSubjectRulesReview: what may I do in this namespace? (`kubectl auth can-i --list`)."""
    namespace = _text(_spec(body), "namespace")
    if not namespace:
        raise BadRequestError("no namespace on request")
    status = {
        "resourceRules": rules_of(caller, namespace),
        "nonResourceRules": path_rules_of(caller),
        "incomplete": False,
    }
    return _answer("SelfSubjectRulesReview", body, status)


def review_access(session: Session, body: dict[str, Any], caller: Caller) -> Answer:
    """SubjectAccessReview: may somebody else? Who may ask is settled before this is called."""
    kind = "SubjectAccessReview"
    spec = _spec(body)
    _refuse(kind, [*_check_attributes(spec), *_check_subject(spec)])
    return _answer(kind, body, _decide(_subject(session, spec, caller), spec))


def review_local_access(
    session: Session, body: dict[str, Any], caller: Caller, namespace: str
) -> Answer:
    """LocalSubjectAccessReview: may somebody else, in the namespace of the path?"""
    kind = "LocalSubjectAccessReview"
    spec = _spec(body)
    own = _text(_part(body, "metadata"), "namespace") or namespace
    if own != namespace:
        raise BadRequestError(
            f"spec.resourceAttributes.namespace must match namespace: {namespace}"
        )
    errors = [*_check_attributes(spec), *_check_subject(spec)]
    asked = _text(_part(spec, "resourceAttributes"), "namespace")
    if _part(spec, "resourceAttributes") and asked != namespace:
        place = "spec.resourceAttributes.namespace"
        errors.append(FieldError.invalid(place, asked, "must match metadata.namespace"))
    if _part(spec, "nonResourceAttributes"):
        detail = "disallowed on this kind of request"
        errors.append(FieldError.invalid("spec.nonResourceAttributes", None, detail))
    _refuse(kind, errors)
    return _answer(kind, body, _decide(_subject(session, spec, caller), spec), namespace=namespace)


def _decide(caller: Caller, spec: dict[str, Any]) -> dict[str, Any]:
    """The status of an access review. `can-i` prints the reason of a refusal, so there is none."""
    path = _part(spec, "nonResourceAttributes")
    if path:
        may = allowed_path(caller, verb=_text(path, "verb"), path=_text(path, "path"))
        return {"allowed": may, "reason": "open to this caller" if may else ""}
    asked = _part(spec, "resourceAttributes")
    found = find_binding(
        caller,
        verb=_text(asked, "verb"),
        group=_text(asked, "group"),
        resource=_text(asked, "resource"),
        subresource=_text(asked, "subresource"),
        namespace=_text(asked, "namespace"),
        name=_text(asked, "name"),
    )
    if found is None:
        return {"allowed": False, "reason": ""}
    return {"allowed": True, "reason": f"allowed by role {found}"}


def _subject(session: Session, spec: dict[str, Any], caller: Caller) -> Caller:
    """Whom a review asks about. Only the groups that it names are theirs; none are looked up."""
    user = _text(spec, "user")
    named = spec.get("groups")
    groups = tuple(map(str, named)) if isinstance(named, list) else ()
    if user == caller.user and not groups:
        return caller
    subject = Caller(user, groups, uid=_text(spec, "uid"))
    return replace(subject, bindings=bindings_of(session, user, groups))


def _check_attributes(spec: dict[str, Any]) -> list[FieldError]:
    of_resource = _part(spec, "resourceAttributes")
    of_path = _part(spec, "nonResourceAttributes")
    if of_resource and of_path:
        detail = "cannot be specified in combination with resourceAttributes"
        return [FieldError.invalid("spec.nonResourceAttributes", None, detail)]
    if not of_resource and not of_path:
        return [FieldError.invalid("spec.resourceAttributes", None, _ONE_OF)]
    return []


def _check_subject(spec: dict[str, Any]) -> list[FieldError]:
    if _text(spec, "user") or spec.get("groups"):
        return []
    return [FieldError.invalid("spec.user", "", "at least one of user or group must be specified")]


def _refuse(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise InvalidObjectError(kind=kind, name="", errors=errors, group=AUTHORIZATION)


def _answer(
    kind: str,
    body: dict[str, Any],
    status: dict[str, Any],
    *,
    group: str = AUTHORIZATION,
    namespace: str = "",
) -> Answer:
    metadata = {**_part(body, "metadata")}
    if namespace:
        metadata["namespace"] = namespace
    answer: dict[str, Any] = {"kind": kind, "apiVersion": f"{group}/v1", "metadata": metadata}
    if "spec" in body:
        answer["spec"] = _spec(body)
    return 201, answer | {"status": status}


def _spec(body: dict[str, Any]) -> dict[str, Any]:
    return _part(body, "spec")


def _part(body: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of the body; absent and null are the empty one. BadRequestError for no object."""
    found = body.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequestError(f"{key} has to be an object")
    return found


def _text(body: dict[str, Any], key: str) -> str:
    found = body.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise BadRequestError(f"{key} has to be a string")
    return found
