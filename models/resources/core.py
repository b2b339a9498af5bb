"""Namespaces, and projects as another view of them (`api.md` C21, E)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.base import ALWAYS, Wire
from models.resources.meta import ObjectMeta

ACTIVE = "Active"
TERMINATING = "Terminating"


class NamespaceSpec(Wire):
    """`finalizers` is `["kubernetes"]` on every live namespace."""

    finalizers: list[str] = Field(default_factory=list)


class NamespaceStatus(Wire):
    """`phase` is Active or Terminating."""

    phase: str = ""
    conditions: list[dict[str, Any]] = Field(default_factory=list)


class Namespace(Wire):
    """core/v1 Namespace: a tenant's room."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[NamespaceSpec, ALWAYS] = NamespaceSpec()
    status: Annotated[NamespaceStatus, ALWAYS] = NamespaceStatus()


class Project(Wire):
    """A namespace as OpenShift's clients ask for it."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[NamespaceSpec, ALWAYS] = NamespaceSpec()
    status: Annotated[NamespaceStatus, ALWAYS] = NamespaceStatus()
