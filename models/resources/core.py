"""Namespaces, projects (a second view of namespaces: api-15.4, api-17.1) and events."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.wire import ALWAYS, Time, Wire

ACTIVE = "Active"
TERMINATING = "Terminating"


class NamespaceSpec(Wire):
    """The spec of a namespace: `finalizers` is `["kubernetes"]` until it is deleted."""

    finalizers: list[str] = Field(default_factory=list)


class NamespaceStatus(Wire):
    """The status of a namespace: `phase` is Active or Terminating."""

    phase: str = ""
    conditions: list[dict[str, Any]] = Field(default_factory=list)


class Namespace(Wire):
    """core/v1 Namespace: the unit of tenancy."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[NamespaceSpec, ALWAYS] = NamespaceSpec()
    status: Annotated[NamespaceStatus, ALWAYS] = NamespaceStatus()


class Project(Wire):
    """project.openshift.io/v1 Project: a namespace in the form that OpenShift's clients request."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[NamespaceSpec, ALWAYS] = NamespaceSpec()
    status: Annotated[NamespaceStatus, ALWAYS] = NamespaceStatus()


class EventSource(Wire):
    """The component that reported an event."""

    component: str = ""
    host: str = ""


class Event(Wire):
    """core/v1 Event: something that happened to an object, with the number of its recent
    repetitions.
    """

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
