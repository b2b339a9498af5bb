"""Politeness, per registry: how many requests at once, whose turn it is, when to leave it alone.

`registry.md` 4.4, `import.md` B1, B4, B5. Every request takes a slot at its registry's `Host` and
tells it how it ended. A breaker keeps everybody away from a registry that is down; a 429 closes a
gate for the rights that were used, and for those alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

import httpx

from models.errors import RateLimitedError, RegistryError, TransientRegistryError
from worker.registry.access import Access
from worker.registry.breaker import Breaker, Tally
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits import parse_limits
from worker.registry.slots import MOST, START, Budget, LocalSlots, Slots
from worker.registry.turns import LANES, MOST_SOCKETS, Sockets, Turns
from worker.registry.words import ANONYMOUS, Place

LONGEST_PAUSE = 30.0  # what is longer ends the attempt: the job comes back later
RETRIES_FREE = 10
RETRY_PART = 10
RATE = 50.0
MOST_HOSTS = 4096
_MOST_NOTES = 256
_TRANSIENT = frozenset({408, 425, 499, 500, 502, 503, 504, *range(520, 528)})
_OVERLOADED = frozenset({408, 429, 503, 504})
_QUOTA_LOW = (
    "toomanyrequests: the pull rate limit is nearly used up; "
    "manifests are fetched again when it has recovered"
)


@dataclass(frozen=True, slots=True)
class _Gate:
    until: float
    text: str = ""


_OPEN = _Gate(0.0)


class Host:
    """What this process knows of one registry's health and patience."""

    def __init__(
        self,
        name: str,
        *,
        slots: Slots,
        budget: Budget,
        sockets: Sockets,
        rate: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self.breaker = Breaker()
        self._clock = clock
        self._turns = Turns(sockets=sockets, rate=rate, clock=clock)
        self._share = self._turns.share = slots.share(name, budget, self)
        self._asked = Tally()
        self._gates: dict[str, _Gate] = {}
        self._low: dict[str, float] = {}
        self._told: OrderedDict[str, str] = OrderedDict()
        self._last = ""

    def slot(self, access: Access, *, scope: str | None = None, costly: bool = False) -> _Slot:
        """`async with host.slot(access):` — a turn at the registry.

        Raises TransientRegistryError `circuit.open` while the breaker is open, with the last
        error's text. With `scope`, the rights the request will use, a 429 of theirs is waited
        out, or raised as RateLimitedError where that takes more than 30 s; `costly` says that the
        request draws on a pull quota (GET of a manifest), which stops when the quota is nearly
        used up.
        """
        return _Slot(self, access, scope, costly=costly)

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
    def is_open(self) -> bool:
        """Whether the breaker keeps requests away at the moment."""
        return self.breaker.refuses(self._clock.now())

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this host would lose nothing."""
        self._forget_old_notes(most=0)
        busy = self._turns.in_flight or self._turns.waiting or self._gates or self._low
        return not busy and not self.is_open

    def answered(
        self, status: int, headers: httpx.Headers | None = None, *, scope: str | None = None
    ) -> None:
        """Learn from an answer: its status, and what its headers say of limits.

        `scope` says whose limits those are; without it no gate closes.
        """
        if headers is not None:
            self._hear(status, headers, scope)
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
            until = self._clock.now() + retry_after
            self._gates[scope] = _Gate(max(until, self._gates.get(scope, _OPEN).until), text)
            self._forget_old_notes()

    def close_gate(self, scope: str, headers: httpx.Headers) -> float | None:
        """A 429 for these rights: notes, and returns, how long to stay away."""
        said = parse_limits(headers.raw, now=self._clock.wall())
        wait = said.retry_after if said is not None else None
        self.limited(wait, scope)
        return wait

    def check_gate(self, scope: str) -> None:
        """Raises RateLimitedError while a 429 is to be waited out for these rights."""
        gate = self._gates.get(scope)
        if gate is None:
            return
        left = gate.until - self._clock.now()
        if left > 0:
            raise RateLimitedError(gate.text, retry_after=left)
        del self._gates[scope]

    def slow_get(self, scope: str) -> float:
        """For how many seconds no manifests should be fetched by these rights (4.1)."""
        until = self._low.get(scope)
        if until is None:
            return 0.0
        left = until - self._clock.now()
        if left > 0:
            return left
        del self._low[scope]
        return 0.0

    def check_quota(self, scope: str = ANONYMOUS) -> None:
        """Raises RateLimitedError while these rights should fetch no manifests."""
        left = self.slow_get(scope)
        if left:
            raise RateLimitedError(_QUOTA_LOW, retry_after=left)

    async def pass_gate(self, scope: str, *, costly: bool = False) -> None:
        """Wait until these rights may be used again; raises where that takes too long."""
        waited = 0.0
        while True:
            try:
                self.check_gate(scope)
            except RateLimitedError as refusal:
                left = refusal.retry_after or 0.0
                if waited + left > LONGEST_PAUSE:
                    raise
            else:
                left = self.slow_get(scope) if costly else 0.0
                if waited + left > LONGEST_PAUSE:
                    self.check_quota(scope)
            if not left:
                return
            await self._clock.sleep(left)
            waited += left

    def may_retry(self) -> bool:
        """Take a retry out of the budget: a tenth of the last minute's requests, or ten."""
        now = self._clock.now()
        asked, retried = self._asked.totals(now)
        if retried >= max(RETRIES_FREE, asked // RETRY_PART):
            return False
        self._asked.add(now, every=False, some=True)
        return True

    async def enter(self, slot: _Slot) -> None:
        """Come in by `slot`; see there."""
        turns, tenant = self._turns, slot.access.tenant
        lane = LANES.get(slot.access.lane, LANES["bulk"])
        cost = 1
        while True:
            if slot.scope is not None and (self._gates or self._low):
                await self.pass_gate(slot.scope, costly=slot.costly)
                cost = 2 if self.slow_get(slot.scope) else 1  # the rest goes on at half rate
            now = self._clock.now()
            if self.breaker.until is not None and self.breaker.refuses(now):
                raise self._is_down(tenant)
            if not turns.enter(lane, tenant, cost):
                await turns.wait(lane, tenant, cost)
                if self._must_go_back(slot):
                    turns.leave(tenant)
                    continue
            slot.probe = self.breaker.until is not None and self.breaker.begin()
            self._asked.add(now)
            return

    def leave(self, slot: _Slot, error: BaseException | None) -> None:
        """Go, and leave the turn to the next one."""
        if isinstance(error, TransientRegistryError):
            self._remember(slot.access.tenant, error.text)
        if slot.probe:
            self.breaker.abandon()
        self._turns.leave(slot.access.tenant)

    def _must_go_back(self, slot: _Slot) -> bool:
        """Whether a gate closed, or the registry went down, while we stood in line."""
        if self.breaker.until is not None and self.breaker.refuses(self._clock.now()):
            return True
        if slot.scope is None or not (self._gates or self._low):
            return False
        gate = self._gates.get(slot.scope, _OPEN)
        return gate.until > self._clock.now() or (slot.costly and self.slow_get(slot.scope) > 0)

    def _hear(self, status: int, headers: httpx.Headers, scope: str | None) -> None:
        said = parse_limits(headers.raw, now=self._clock.wall())
        if said is None:
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                self._turns.pace.active = True
            return
        self._turns.pace.active = True
        if status == HTTPStatus.TOO_MANY_REQUESTS and scope is not None:
            self.limited(said.retry_after, scope)
        scope = ANONYMOUS if scope is None else scope
        if said.allowed is not None and said.allowed.is_low:
            self._low.setdefault(scope, self._clock.now() + said.allowed.wait)
            self._forget_old_notes()
        elif said.allowed is not None:
            self._low.pop(scope, None)

    def _count_failure(self, text: str) -> None:
        """`text` must be fit for every tenant."""
        now = self._clock.now()
        self._last = text
        if self.breaker.failed(now):
            self._turns.refuse(self._is_down)
            self._share.opened((self.breaker.until or now) - now, text)

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

    def admit(self) -> None:
        """Our share of the budget has changed."""
        self._turns.admit()

    def rest(self, seconds: float, text: str) -> None:
        """Another process found the registry down."""
        self._last = self._last or text
        self.breaker.adopt(self._clock.now() + seconds)
        if self.is_open:
            self._turns.refuse(self._is_down)

    def _forget_old_notes(self, *, most: int = _MOST_NOTES) -> None:
        if len(self._gates) > most or len(self._low) > most:
            now = self._clock.now()
            self._gates = {key: gate for key, gate in self._gates.items() if gate.until > now}
            self._low = {key: until for key, until in self._low.items() if until > now}


class _Slot:
    """A turn at a registry, as a context: the way in and the way out."""

    __slots__ = ("_host", "access", "costly", "probe", "scope")

    def __init__(self, host: Host, access: Access, scope: str | None, *, costly: bool) -> None:
        self._host = host
        self.access = access
        self.scope = scope
        self.costly = costly
        self.probe = False

    async def __aenter__(self) -> None:
        await self._host.enter(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.leave(self, error)


class Hosts:
    """Every registry that this process has asked lately. Belongs to one event loop."""

    def __init__(
        self,
        *,
        start: int = START,
        most: int = MOST,
        slots: Slots | None = None,
        rate: float = RATE,
        sockets: int = MOST_SOCKETS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._slots = slots or LocalSlots()
        self._budget = Budget(start, most)
        self._sockets = Sockets(sockets)
        self._rate = rate
        self._clock = clock
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def host(self, place: Place) -> Host:
        """The registry of a place, by the host that serves its API."""
        name = place.api_host
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(
                name,
                slots=self._slots,
                budget=self._budget,
                sockets=self._sockets,
                rate=self._rate,
                clock=self._clock,
            )
            self._forget_idle_hosts(new=name)
        return found

    async def close(self) -> None:
        """Give every share back."""
        await self._slots.close()

    def _forget_idle_hosts(self, *, new: str) -> None:
        if len(self._hosts) > MOST_HOSTS:
            idle = [name for name, host in self._hosts.items() if host.is_idle]
            for name in idle[: MOST_HOSTS // 4]:
                if name != new:
                    del self._hosts[name]


def _phrase_of(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
