"""Requests for new projects, and who one is, as `oc` asks (`api.md` C21).

A project is a namespace seen from its members' side; whoever requests one becomes its admin.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.auth.token_authenticator import require
from api.object_meta import label_problems
from models.access.builtin_roles import ADMIN, PROJECT, USER
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
from models.store.access.token_store import bind, unbind_namespace

Answer = tuple[int, dict[str, Any]]

REQUESTER = "openshift.io/requester"
DISPLAY_NAME = "openshift.io/display-name"
DESCRIPTION = "openshift.io/description"
NAME_LABEL = "kubernetes.io/metadata.name"

_RESERVED = ("openshift", "kubernetes", "kube")


def describe_user(caller: Caller) -> Answer:
    """`users/~`: the caller as a User."""
    return 200, {
        "kind": "User",
        "apiVersion": f"{USER}/v1",
        "metadata": {"name": caller.user, **({"uid": caller.uid} if caller.uid else {})},
        "groups": list(caller.groups),
        "identities": None,
    }


def may_request_project(caller: Caller) -> Answer:
    """`GET projectrequests`: Success for whoever may create one, else 403."""
    require(caller, verb="create", group=PROJECT, resource="projectrequests")
    return 200, {"kind": "Status", "apiVersion": "v1", **SUCCESS.wire()}


def request_project(
    session: Session, body: dict[str, Any], caller: Caller, *, now: datetime
) -> Answer:
    """`POST projectrequests`: a namespace of the caller's own, answered as a Project.

    The caller is its admin from the commit on, so forget what is remembered of them then.
    """
    require(caller, verb="create", group=PROJECT, resource="projectrequests")
    name = _check_request(body)
    if load_namespace(session, name) is not None:
        raise AlreadyExistsError(resource="project", name=name, group=PROJECT)
    said = {
        DESCRIPTION: _text(body, "description"),
        DISPLAY_NAME: _text(body, "displayName"),
        REQUESTER: caller.user,
    }
    wanted = Namespace(
        metadata=ObjectMeta(
            name=name,
            labels={NAME_LABEL: name},
            annotations={key: value for key, value in said.items() if value},
        ),
        spec=NamespaceSpec(finalizers=["kubernetes"]),
        status=NamespaceStatus(phase=ACTIVE),
    )
    # A role that outlived an earlier namespace of this name must not open the new one.
    unbind_namespace(session, name)
    try:
        made = save_namespace(session, None, wanted, now=now)
    except StreamConflictError as error:
        raise AlreadyExistsError(resource="project", name=name, group=PROJECT) from error
    bind(session, USER_KIND, caller.user, ADMIN, name, now=now)
    project = Project(metadata=made.metadata, spec=made.spec, status=made.status)
    return 201, {"kind": "Project", "apiVersion": f"{PROJECT}/v1", **project.wire()}


def _check_request(body: dict[str, Any]) -> str:
    """The name of the project that is asked for, if there may be one of that name."""
    metadata = {} if body.get("metadata") is None else body["metadata"]
    if not isinstance(metadata, dict):
        raise BadRequestError("metadata has to be an object")
    name = _text(metadata, "name")
    errors = _check_name(name)
    display = _text(body, "displayName")
    if "\n" in display:
        place = f"metadata.annotations[{DISPLAY_NAME}]"
        errors.append(FieldError.invalid(place, display, "may not contain a new line"))
    if errors:
        raise InvalidObjectError(kind="Project", name=name, errors=errors, group=PROJECT)
    for each in _RESERVED:
        if name == each:
            raise _reserved(name, f'with the name "{each}"')
        if name.startswith(f"{each}-"):
            raise _reserved(name, f'starting with "{each}-"')
    return name


def _check_name(name: str) -> list[FieldError]:
    place = "metadata.name"
    if not name:
        return [FieldError.required(place, "name or generateName is required")]
    return [FieldError.invalid(place, name, each) for each in label_problems(name)]


def _reserved(name: str, why: str) -> ForbiddenError:
    return ForbiddenError(
        f"cannot request a project {why}", resource="project", name=name, group=PROJECT
    )


def _text(body: dict[str, Any], key: str) -> str:
    found = body.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise BadRequestError(f"{key} has to be a string")
    return found
