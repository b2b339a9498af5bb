"""One registry, politely: how many requests at once, whose turn it is, when to leave it alone.

`registry.md` 4.4, `import.md` B1, B4, B5. Every request takes a slot at its registry's `Host` and
tells it how it ended. A breaker keeps everybody away from a registry that is down; a 429 closes a
gate for the rights that were used, and for those alone; a quota that was shown is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from models.errors import RateLimitedError, RegistryError, TransientRegistryError
from worker.registry.clock import Clock
from worker.registry.host_policy import HostHealth, HostPolicy, Observer
from worker.registry.limits.circuit_breaker import Breaker, Tally
from worker.registry.limits.concurrency import Budget, Slots
from worker.registry.limits.credential_limits import Rights
from worker.registry.limits.fair_queue import LANES, Sockets, Turns
from worker.registry.limits.rate_limit_headers import Said, parse_limits
from worker.registry.registry_types import ANONYMOUS, KNOCK
from worker.registry.request_context import Access

LONGEST_PAUSE = 30.0  # what is longer ends the attempt: the job comes back later
RETRIES_FREE = 10
RETRY_PART = 10
_MOST_NOTES = 256
_TRANSIENT = frozenset({408, 425, 499, 500, 502, 503, 504, *range(520, 528)})
_OVERLOADED = frozenset({408, 429, 503, 504})


class Host:
    """What this process knows of one registry's health and patience."""

    def __init__(
        self,
        name: str,
        *,
        slots: Slots,
        budget: Budget,
        sockets: Sockets,
        policy: Callable[[], HostPolicy],
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.breaker = Breaker()
        self.observer = observer
        self._clock = clock
        self._budget = budget
        self._policy_now = policy
        self._policy = policy()
        self._turns = Turns(sockets=sockets, rate=self._policy.rate, clock=clock)
        self._share = self._turns.share = slots.share(name, self._policy.budget(budget), self)
        self._asked = Tally()
        self._rights = Rights(name, share=self._share, shelf=slots.shelf, clock=clock)
        self._told: OrderedDict[str, str] = OrderedDict()
        self._last = ""

    def slot(self, access: Access, *, scope: str | None = None, kind: str = "other") -> Slot:
        """`async with host.slot(access) as slot:` — a turn at the registry.

        Raises TransientRegistryError `circuit.open` while the breaker is open, with the last
        error's text. With `scope`, the rights the request will use, a 429 of theirs and their quota
        are waited for; RateLimitedError where that takes longer than the lane bears: 5 s for the
        calendar's, 30 s else. `kind` says what the request is in terms of quotas (`Outgoing`).
        """
        return Slot(self, access, scope, kind)

    @property
    def limit(self) -> int:
        """How many requests may be in flight at the moment."""
        return self._share.allowed

    @property
    def in_flight(self) -> int:
        return self._turns.in_flight

    @property
    def waiting(self) -> int:
        return self._turns.waiting

    @property
    def started(self) -> int:
        return self._turns.started

    @property
    def persons(self) -> int:
        return self._turns.persons

    @property
    def hurries(self) -> bool:
        return self._turns.hurries

    @property
    def is_open(self) -> bool:
        """Whether the breaker keeps requests away at the moment."""
        return self.breaker.refuses(self._clock.now())

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this host would lose nothing."""
        busy = self._turns.in_flight or self._turns.waiting
        return not busy and not self.is_open and not self.notes()

    def health(self) -> HostHealth:
        """What there is to tell, without asking anybody."""
        now = self._clock.now()
        until = self.breaker.until
        state = "closed" if until is None else "open" if now < until else "half-open"
        return HostHealth(
            host=self.name,
            in_flight=self.in_flight,
            limit=self.limit,
            waiting=self.waiting,
            breaker=state,
            rest=0.0 if until is None else max(0.0, until - now),
            last_error="" if until is None else self._last,
            gates=self._rights.closed(),
            quotas=self._rights.quotas(),
        )

    # answers

    def answered(
        self,
        status: int,
        headers: httpx.Headers | None = None,
        *,
        scope: str | None = None,
        slot: Slot | None = None,
    ) -> None:
        """Learn from an answer: its status, and what its headers say of limits.

        `scope` says whose limits those are; without it no gate closes. `slot` is the turn by which
        the request went, where it is known.
        """
        if headers is not None:
            said = parse_limits(headers.raw, now=self._clock.wall())
            self._hear(status, said, scope, slot)
        if status in _OVERLOADED:
            self._share.overloaded()
        else:
            self._share.clean()
        if status in _TRANSIENT:
            self._told.clear()
            self._count_failure(f"received unexpected HTTP status: {_phrase_of(status)}")
            return
        if self._told:
            self._told.clear()
        if self.breaker.answered(self._clock.now()):
            self._share.closed()
            self._observe_breaker("closed")

    def succeeded(self, headers: httpx.Headers | None = None, *, scope: str | None = None) -> None:
        """The registry answered as one wishes."""
        self.answered(HTTPStatus.OK, headers, scope=scope)

    def failed(self, error: RegistryError) -> None:
        """Learn from a failure; only transient ones speak against the registry."""
        if isinstance(error, RateLimitedError):
            self.answered(HTTPStatus.TOO_MANY_REQUESTS)
            return
        if not isinstance(error, TransientRegistryError) or error.code == "circuit.open":
            return
        if error.code.endswith("timeout"):
            self._share.overloaded()
        self._count_failure(f'Get "https://{self.name}/v2/": the registry does not answer')

    def limited(self, retry_after: float | None, scope: str, text: str = "toomanyrequests") -> None:
        """Close the gate for `scope` as long as the registry wished; without a wish, not at all."""
        self._turns.pace.active = True
        if retry_after is not None:
            self._rights.close(scope, retry_after, text)

    def may_retry(self) -> bool:
        """Take a retry out of the budget: a tenth of the last minute's requests, or ten."""
        now = self._clock.now()
        asked, retried = self._asked.totals(now)
        if retried >= max(RETRIES_FREE, asked // RETRY_PART):
            return False
        self._asked.add(now, every=False, some=True)
        return True

    # turns

    async def enter(self, slot: Slot) -> None:
        """Come in by `slot`; see there."""
        policy = self._policy_now()
        if policy is not self._policy:
            self._obey(policy)
        began = self._clock.now()
        try:
            await self._enter(slot, began)
        except BaseException:
            self._rights.abandon(slot)
            raise

    async def _enter(self, slot: Slot, began: float) -> None:
        turns, tenant = self._turns, slot.access.tenant
        lane = slot.lane
        cost = 0 if slot.kind == "token" else 1
        while True:
            if slot.scope is not None and self._rights:
                cost = await self._rights.enter(slot, slot.scope, began)
            now = self._clock.now()
            if self.breaker.until is not None and self.breaker.refuses(now):
                raise self._is_down(tenant)
            if not turns.enter(lane, tenant, cost):
                await turns.wait(lane, tenant, cost)
                if self._must_go_back(slot):
                    turns.leave(lane, tenant)
                    continue
            slot.probe = self.breaker.until is not None and self.breaker.begin()
            if slot.probe:
                self._observe_breaker("half-open")
            self._asked.add(now)
            slot.began = now
            if self.observer is not None:
                self.observer.waited(self.name, slot.access.lane, self._clock.now() - began)
            return

    def leave(self, slot: Slot, error: BaseException | None) -> None:
        """Go, and leave the turn to the next one."""
        if isinstance(error, TransientRegistryError):
            self._remember(slot.access.tenant, error.text)
        if slot.probe:
            self.breaker.abandon()
        if slot.sent is not None and not slot.is_told:
            self._rights.settle(slot)
        self._turns.leave(slot.lane, slot.access.tenant)

    def _must_go_back(self, slot: Slot) -> bool:
        """Whether a gate closed, a quota appeared, or the registry went down, while we waited."""
        if self.breaker.until is not None and self.breaker.refuses(self._clock.now()):
            return True
        return bool(self._rights) and self._rights.must_go_back(slot)

    def _obey(self, policy: HostPolicy) -> None:
        """The operator has changed something."""
        if policy != self._policy:
            self._share.resize(policy.budget(self._budget))
            self._turns.pace.set(policy.rate * self._share.part)
        self._policy = policy

    def _hear(self, status: int, said: Said | None, scope: str | None, slot: Slot | None) -> None:
        refused = status == HTTPStatus.TOO_MANY_REQUESTS
        if said is not None or refused:
            self._turns.pace.active = True
        if said is None and not self._rights:
            return
        if slot is not None:
            scope = slot.scope
            if scope == KNOCK and status not in {HTTPStatus.UNAUTHORIZED, 429}:
                scope = ANONYMOUS
        if scope is None:
            return
        if refused and said is not None and said.retry_after is not None:
            self._rights.close(scope, said.retry_after, "toomanyrequests")
        more = max(0, self._turns.in_flight - 1)
        allowed = self._rights.hear(status, said, scope, slot, more=more)
        if self.observer is not None and allowed is not None:
            self.observer.quota(self.name, scope, allowed.limit, allowed.remaining)

    async def close(self) -> None:
        """Write down what the books have not been told."""
        await self._rights.flush()

    # health

    def _count_failure(self, text: str) -> None:
        """`text` must be fit for every tenant."""
        now = self._clock.now()
        self._last = text
        if self.breaker.failed(now):
            self._turns.refuse(self._is_down)
            self._share.opened((self.breaker.until or now) - now, text)
            self._observe_breaker("open")

    def _remember(self, tenant: str, text: str) -> None:
        self._told[tenant] = text
        self._told.move_to_end(tenant)
        if len(self._told) > _MOST_NOTES:
            self._told.popitem(last=False)

    def _is_down(self, tenant: str) -> TransientRegistryError:
        """The last error in its own words, so that it is not recorded anew (Q39). Errors name
        repositories, hence each tenant hears its own; others hear that nobody answers.
        """
        text = self._told.get(tenant) or self._last
        return TransientRegistryError(text, code="circuit.open")

    def _observe_breaker(self, state: str) -> None:
        if self.observer is not None:
            self.observer.breaker(self.name, state)

    # what others tell

    def admit(self) -> None:
        """Our share of the budget has changed."""
        self._turns.pace.set(self._policy.rate * self._share.part)
        self._turns.admit()

    def rest(self, seconds: float, text: str) -> None:
        """Another process found the registry down."""
        self._last = self._last or text
        self.breaker.adopt(self._clock.now() + seconds)
        if self.is_open:
            self._turns.refuse(self._is_down)

    def heed(self, note: str, seconds: float) -> None:
        """Another process learnt of a limit."""
        self._turns.pace.active = True
        self._rights.heed(note, seconds)

    def notes(self) -> dict[str, float]:
        """What others should know, should they have forgotten it."""
        if not self._rights:
            return {}
        return self._rights.notes(busy=bool(self._turns.in_flight or self._turns.waiting))


class Slot:
    """A turn at a registry, as a context: the way in and the way out.

    `sent` is the moment for which the request stands in its quota's book; `is_free` says that it
    need not stand there, `is_told` that the book has heard how it ended.
    """

    __slots__ = (
        "_host",
        "access",
        "began",
        "is_free",
        "is_told",
        "kind",
        "lane",
        "probe",
        "scope",
        "sent",
    )

    def __init__(self, host: Host, access: Access, scope: str | None, kind: str) -> None:
        self._host = host
        self.access = access
        self.lane = LANES.get(access.lane, LANES["bulk"])
        self.scope = scope
        self.kind = kind
        self.began = 0.0
        self.probe = False
        self.sent: float | None = None
        self.is_free = False
        self.is_told = False

    async def __aenter__(self) -> Self:
        await self._host.enter(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.leave(self, error)


def _phrase_of(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
