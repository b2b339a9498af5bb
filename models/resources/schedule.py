"""ScheduledTag: a tag of the schedule, as clients see it (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated

from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire


class ScheduledTagSpec(Wire):
    """What is checked, and how often: `interval` is a Go duration such as `15m0s`.

    A tag that is not `scheduled` is in the schedule because its last import failed and is retried.
    """

    stream: Annotated[str, ALWAYS] = ""
    tag: Annotated[str, ALWAYS] = ""
    registry: Annotated[str, ALWAYS] = ""
    source: Annotated[str, ALWAYS] = ""
    interval: str = ""
    scheduled: Annotated[bool, ALWAYS] = False
    suspended: bool = False


class ScheduledTagStatus(Wire):
    """The outcome of the last check, the present state, and when the next check is.

    `outcome` is new, updated, unchanged or failed, empty before the first check; it stays while
    later checks are deferred. `reason` is the present state as a CamelCase word. `scheduled_time`
    is when the check is due, `next_check_time` when it is to be sent: later, if it is deferred.
    `wait_duration` is how long the last check waited for its registry, `lateness` how long the
    check has been due; both are Go durations.
    """

    outcome: str = ""
    reason: Annotated[str, ALWAYS] = ""
    message: str = ""
    scheduled_time: Time | None = None
    next_check_time: Time | None = None
    last_check_time: Time | None = None
    last_transition_time: Time | None = None
    consecutive_failures: int = 0
    wait_duration: str = ""
    lateness: str = ""


class ScheduledTag(Wire):
    """A tag of the schedule. It is read-only."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ScheduledTagSpec, ALWAYS] = ScheduledTagSpec()
    status: Annotated[ScheduledTagStatus, ALWAYS] = ScheduledTagStatus()
