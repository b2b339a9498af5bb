"""ScheduledTag: a tag in the calendar as clients see it (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated

from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire


class ScheduledTagSpec(Wire):
    """What is looked at, and how often: `interval` reads `15m0s`.

    A tag that is not `scheduled` is in the calendar because its last import failed and is to be
    tried again.
    """

    stream: Annotated[str, ALWAYS] = ""
    tag: Annotated[str, ALWAYS] = ""
    registry: Annotated[str, ALWAYS] = ""
    source: Annotated[str, ALWAYS] = ""
    interval: str = ""
    interval_seconds: int = 0
    scheduled: Annotated[bool, ALWAYS] = False
    suspended: bool = False


class ScheduledTagStatus(Wire):
    """What was decided about it last, in one word, and why; when it was and will be looked at.

    `due` is when its turn is, `next_look` when that will be seen to: later, where it waits for
    something. `waited_seconds` is how long the last look waited for its registry,
    `lateness_seconds` how long its turn has been due by now.
    """

    decision: Annotated[str, ALWAYS] = ""
    reason: str = ""
    message: str = ""
    due: Time | None = None
    next_look: Time | None = None
    checked: Time | None = None
    decided: Time | None = None
    failures: int = 0
    waited_seconds: int = 0
    lateness_seconds: int = 0


class ScheduledTag(Wire):
    """A tag that the clock has business with. Only to be looked at."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ScheduledTagSpec, ALWAYS] = ScheduledTagSpec()
    status: Annotated[ScheduledTagStatus, ALWAYS] = ScheduledTagStatus()
