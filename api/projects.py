"""Project requests and the caller's own User, as `oc` reads them.

A project is a namespace as its members see it; who requests one becomes its admin (api-15.5,
api-15.6, api-15.7). `oc new-project` first lists project requests, then posts one (clients-5.3).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.auth.token_authenticator import require_access
from api.object_meta import label_problems
from models.access.builtin_roles import ADMIN, PROJECT_API_GROUP, USER_API_GROUP
from models.access.rbac import USER_KIND, Caller
from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    FieldError,
    ForbiddenError,
    InvalidObjectError,
    StreamConflictError,
)
from models.resources.core import ACTIVE, Namespace, NamespaceSpec, NamespaceStatus, Project
from models.resources.meta import SUCCESS, ObjectMeta
from models.store.access.namespace_store import load_namespace, save_namespace
from models.store.access.token_store import bind_role, unbind_namespace

CodeAndBody = tuple[int, dict[str, Any]]

REQUESTER_ANNOTATION = "openshift.io/requester"
DISPLAY_NAME_ANNOTATION = "openshift.io/display-name"
DESCRIPTION_ANNOTATION = "openshift.io/description"
NAME_LABEL = "kubernetes.io/metadata.name"

_RESERVED_NAMES = ("openshift", "kubernetes", "kube")


def describe_user(caller: Caller) -> CodeAndBody:
    """Return the caller as a User: the response of `GET users/~`."""
    return 200, {
        "kind": "User",
        "apiVersion": f"{USER_API_GROUP}/v1",
        "metadata": {"name": caller.user, **({"uid": caller.uid} if caller.uid else {})},
        "groups": list(caller.groups),
        "identities": None,
    }


def review_project_request(caller: Caller) -> CodeAndBody:
    """Return a Status `Success` if the caller may request a project; else raise ForbiddenPathError.

    This is the response of `GET projectrequests`.
    """
    require_access(caller, verb="create", group=PROJECT_API_GROUP, resource="projectrequests")
    return 200, {"kind": "Status", "apiVersion": "v1", **SUCCESS.wire()}


def create_project(
    session: Session, body: dict[str, Any], caller: Caller, *, now: datetime
) -> CodeAndBody:
    """Create a namespace with the caller as its admin, and return it as a Project.

    The role counts from the commit on: invalidate the cached caller then. Raises
    AlreadyExistsError, InvalidObjectError for a bad name, ForbiddenError for a reserved one.
    """
    require_access(caller, verb="create", group=PROJECT_API_GROUP, resource="projectrequests")
    name = _check_request(body)
    if load_namespace(session, name) is not None:
        raise AlreadyExistsError(resource="project", name=name, group=PROJECT_API_GROUP)
    annotations = {
        DESCRIPTION_ANNOTATION: _string_field(body, "description"),
        DISPLAY_NAME_ANNOTATION: _string_field(body, "displayName"),
        REQUESTER_ANNOTATION: caller.user,
    }
    namespace = Namespace(
        metadata=ObjectMeta(
            name=name,
            labels={NAME_LABEL: name},
            annotations={key: value for key, value in annotations.items() if value},
        ),
        spec=NamespaceSpec(finalizers=["kubernetes"]),
        status=NamespaceStatus(phase=ACTIVE),
    )
    # A role binding left over from a deleted namespace of this name must not grant access here.
    unbind_namespace(session, name)
    try:
        created = save_namespace(session, None, namespace, now=now)
    except StreamConflictError as error:
        raise AlreadyExistsError(resource="project", name=name, group=PROJECT_API_GROUP) from error
    bind_role(session, USER_KIND, caller.user, ADMIN, name, now=now)
    project = Project(metadata=created.metadata, spec=created.spec, status=created.status)
    return 201, {"kind": "Project", "apiVersion": f"{PROJECT_API_GROUP}/v1", **project.wire()}


def _check_request(body: dict[str, Any]) -> str:
    """Return the requested name, or raise if a project of that name may not be created."""
    metadata = {} if body.get("metadata") is None else body["metadata"]
    if not isinstance(metadata, dict):
        raise BadRequestError("metadata has to be an object")
    name = _string_field(metadata, "name")
    errors = _check_name(name)
    display_name = _string_field(body, "displayName")
    if "\n" in display_name:
        field = f"metadata.annotations[{DISPLAY_NAME_ANNOTATION}]"
        errors.append(FieldError.invalid(field, display_name, "may not contain a new line"))
    if errors:
        raise InvalidObjectError(kind="Project", name=name, errors=errors, group=PROJECT_API_GROUP)
    for each in _RESERVED_NAMES:
        if name == each:
            raise _reserved_name_error(name, f'with the name "{each}"')
        if name.startswith(f"{each}-"):
            raise _reserved_name_error(name, f'starting with "{each}-"')
    return name


def _check_name(name: str) -> list[FieldError]:
    field = "metadata.name"
    if not name:
        return [FieldError.required(field, "name or generateName is required")]
    return [FieldError.invalid(field, name, each) for each in label_problems(name)]


def _reserved_name_error(name: str, reason: str) -> ForbiddenError:
    return ForbiddenError(
        f"cannot request a project {reason}", resource="project", name=name, group=PROJECT_API_GROUP
    )


def _string_field(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequestError(f"{key} has to be a string")
    return value
