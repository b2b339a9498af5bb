"""Namespaces, projects as another view of them (`api.md` C21, E), and events."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.wire import ALWAYS, Time, Wire

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


class EventSource(Wire):
    """Who told an event."""

    component: str = ""
    host: str = ""


class Event(Wire):
    """core/v1 Event: something that happened to an object, and how often lately."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    involved_object: Annotated[ObjectReference, ALWAYS] = ObjectReference()
    reason: str = ""
    message: str = ""
    source: Annotated[EventSource, ALWAYS] = EventSource()
    first_timestamp: Annotated[Time | None, ALWAYS] = None
    last_timestamp: Annotated[Time | None, ALWAYS] = None
    count: int = 0
    type: str = ""
    event_time: Annotated[Time | None, ALWAYS] = None
    reporting_component: Annotated[str, ALWAYS] = ""
    reporting_instance: Annotated[str, ALWAYS] = ""
