"""What a registry grants to each right that is used there: gates that are closed, quotas.

`registry.md` 4.1 and 4.4. False as long as there is nothing to know: then nothing is asked.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from worker.registry.clock import Clock
from worker.registry.limits.concurrency import Share
from worker.registry.limits.cooldown import Gates
from worker.registry.limits.quota_limiter import Book, patience_of
from worker.registry.limits.quota_store import Shelf
from worker.registry.limits.rate_limit_headers import Allowed, Said
from worker.registry.limits.redis_pubsub import GATE, QUOTA
from worker.registry.registry_types import KNOCK
from worker.registry.request_context import Access

_MOST_BOOKS = 1024
_PLAIN = frozenset({200, 206, 304, 404})  # answers that say what they cost, if anything does
_LONGER = 60.0


class Turn(Protocol):
    """What a request's slot holds.

    `sent` is the moment for which the request stands in its quota's book; `is_free` says that it
    need not stand there, `is_told` that the book has heard how it ended.
    """

    began: float
    access: Access
    scope: str | None
    kind: str
    sent: float | None
    is_free: bool
    is_told: bool


class Rights:
    """Gates and quotas of one registry."""

    def __init__(self, host: str, *, share: Share, shelf: Shelf, clock: Clock) -> None:
        self._host = host
        self._share = share
        self._shelf = shelf
        self._clock = clock
        self._gates = Gates(clock)
        self._books: dict[str, Book] = {}

    def __bool__(self) -> bool:
        return bool(self._gates or self._books)

    async def enter(self, turn: Turn, scope: str, began: float) -> int:
        """Through the gate and past the quota of these rights; what the turn costs."""
        lane, patience = turn.access.lane, patience_of(turn.access.lane)
        while left := self._gates.left(scope):
            if self._clock.now() - began + left > patience:
                raise self._gates.refusal(scope, left)
            await self._clock.sleep(left)
        if turn.kind == "token":
            return 0
        book = self._books.get(scope)
        if book is None:
            return 1
        if turn.sent is None and not turn.is_free:
            turn.sent = await book.enter(turn.kind, lane)
            turn.is_free = turn.sent is None
        if turn.is_free and turn.kind == "head":
            quota = book.quota  # the rest goes on at half rate (4.1)
            return 2 if quota.limit and quota.left(book.now()) <= quota.low else 1
        return 1

    def must_go_back(self, turn: Turn) -> bool:
        """Whether a gate has closed, or a quota has appeared, since the turn came in."""
        if turn.scope is None:
            return False
        is_new = turn.sent is None and not turn.is_free and turn.kind != "token"
        return self._gates.left(turn.scope) > 0 or (is_new and turn.scope in self._books)

    def abandon(self, turn: Turn) -> None:
        """It was never sent."""
        if turn.sent is not None:
            self._book(turn.scope or "").give_back(turn.sent)
            turn.sent = None

    def settle(self, turn: Turn) -> None:
        """It ended without an answer."""
        if turn.sent is not None:
            self._book(turn.scope or "").settle(turn.sent)

    def close(self, scope: str, seconds: float, text: str) -> None:
        """Keep these rights away for so long."""
        if self._gates.close(scope, seconds, text):
            self._share.tell(GATE + scope, seconds)

    def hear(
        self, status: int, said: Said | None, scope: str, turn: Turn | None, *, more: int
    ) -> Allowed | None:
        """What an answer says of the quota; `more` requests are on their way meanwhile."""
        allowed = said.allowed if said is not None else None
        is_known = scope in self._books
        if scope == KNOCK or not (is_known or allowed is not None):
            return None
        kind, sent = ("other", None) if turn is None else (turn.kind, turn.sent)
        if kind == "token":
            return None
        book = self._book(scope)
        if not is_known and allowed is not None:
            self._share.tell(QUOTA + scope, max(allowed.period, allowed.window) + _LONGER)
        if turn is not None:
            turn.is_told = True
        if status == HTTPStatus.UNAUTHORIZED and allowed is None:
            if sent is not None:
                book.give_back(sent)  # a challenge: nothing was asked for yet
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            book.refuse(said.retry_after if said is not None else None)
        took = 0.0 if turn is None else self._clock.now() - turn.began
        book.hear(allowed, kind, sent=sent, took=took, is_plain=status in _PLAIN, more=more)
        return allowed

    def heed(self, note: str, seconds: float) -> None:
        """Another process learnt of a limit."""
        if note.startswith(GATE):
            self._gates.close(note.removeprefix(GATE), seconds, "toomanyrequests")
        elif note.startswith(QUOTA):
            self._book(note.removeprefix(QUOTA))

    def notes(self, *, busy: bool) -> dict[str, float]:
        """What others should know, and for how many seconds; what is history is put away."""
        self._gates.forget()
        notes = {GATE + scope: left for scope, left in self._gates.closed().items()}
        for scope, book in list(self._books.items()):
            quota = book.quota
            left = max(quota.at + quota.span, quota.reset) - book.now()
            if quota.limit and left > 0:
                notes[QUOTA + scope] = left + _LONGER
            elif quota.limit and not busy and not book.is_busy:
                del self._books[scope]
        return notes

    def closed(self) -> tuple[tuple[str, float], ...]:
        """Which rights are kept away, and for how many seconds."""
        return tuple(self._gates.closed().items())

    def quotas(self) -> tuple[tuple[str, int, int, float], ...]:
        """Scope, limit, what is left, and the seconds until there is all of it."""
        found = []
        for scope, book in self._books.items():
            quota, now = book.quota, book.now()
            if not quota.is_over(now):
                ends = quota.reset if quota.reset > now else quota.at + quota.window
                found.append((scope, quota.limit, quota.left(now), max(0.0, ends - now)))
        return tuple(found)

    async def flush(self) -> None:
        """Write down what the books have not been told."""
        for book in self._books.values():
            await book.close()

    def _book(self, scope: str) -> Book:
        found = self._books.get(scope)
        if found is None:
            if len(self._books) >= _MOST_BOOKS:
                self.notes(busy=False)
            found = self._books[scope] = Book(
                f"{self._host} {scope}",
                shelf=self._shelf,
                clock=self._clock,
                members=lambda: self._share.members,
            )
        return found
