"""Rules that replace, change or delay the responses of the fake registry (fault injection)."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.fakeregistry.quotas import METERS
from tests.fakeregistry.wire import STALL, Action, Headers, Raw, Reply, Request

Path = str | re.Pattern[str]
Responder = Callable[[Request], Action] | Reply | Raw | bytes
Change = Callable[[Reply, Request], Action]
_BLOCK = 1 << 16


@dataclass(eq=False)
class Rule:
    """Which requests a rule applies to, how often (None: always), and its action.

    `path` is the whole path, with or without `/v2` and with or without the query, or a regular
    expression for the whole of it. A compiled pattern is searched for in path and query.
    """

    path: Path
    action: object
    times: int | None = None
    method: str | None = None
    _whole: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self):
        if isinstance(self.path, str):
            with contextlib.suppress(re.error):
                self._whole = re.compile(f"(?:/v2)?(?:{self.path})")

    def matches(self, request: Request) -> bool:
        if self.times == 0 or (self.method and request.method != self.method):
            return False
        if isinstance(self.path, re.Pattern):
            return bool(self.path.search(request.target))
        for path in (request.path, request.target, request.plain_path):
            if path in {self.path, f"/v2{self.path}"}:
                return True
            if self._whole and self._whole.fullmatch(path):
                return True
        return False

    def count_use(self):
        if self.times is not None:
            self.times -= 1


class Quota:
    """The requests that a quota has admitted and refused, each with its time."""

    def __init__(self, meter):
        self.meter = meter
        self.left = meter.limit
        self.admitted: list[tuple[float, Request]] = []
        self.refused: list[tuple[float, Request]] = []


@dataclass
class ResponseRules:
    """The active rules.

    Rules with a count (`times`) come first, in the order in which they were added; of the others
    the newest wins. All `changes` apply to the response, whichever rule made it.
    """

    rules: list[Rule] = field(default_factory=list)
    changes: list[Rule] = field(default_factory=list)
    delays: list[Rule] = field(default_factory=list)

    def on(self, path: Path, responder: Responder, *, times=None, method=None) -> Rule:
        """Answer with `responder`: a Reply, raw bytes, or a function of the request.

        The function may be async. If it returns None, the registry sends its normal response.
        """
        return self._add(self.rules, Rule(path, responder, times, method))

    def change(self, path: Path, change: Change, *, times=None, method=None) -> Rule:
        """Replace the response by the result of `change(reply, request)`."""
        return self._add(self.changes, Rule(path, change, times, method))

    def fail_next(
        self, path: Path, *, status: int, body: bytes = b"", times: int = 1, method=None, **headers
    ) -> Rule:
        """Answer the next `times` requests with `status`; `Retry_After="0"` is a header."""
        pairs = [(name.replace("_", "-"), str(value)) for name, value in headers.items()]
        content = body.encode() if isinstance(body, str) else body
        return self.on(path, lambda _: Reply(status, content, pairs), times=times, method=method)

    def delay(self, seconds: float, path: Path = ".*", *, times=None, method=None) -> Rule:
        """Wait before every response."""
        return self._add(self.delays, Rule(path, seconds, times, method))

    def stall(
        self, path: Path = ".*", *, after: int | None = None, times=None, method=None
    ) -> Rule:
        """Send no response, or only the head and `after` bytes of the body."""
        if after is None:
            return self.on(path, STALL, times=times, method=method)

        def stop(reply: Reply, _: Request) -> Reply:
            length = len(reply.body)
            return Reply(reply.status, reply.body[:after], reply.pairs(), length, hold=True)

        return self.change(path, stop, times=times, method=method)

    def truncate(self, path: Path, *, keep: int, times=None, method=None) -> Rule:
        """Send the Content-Length of the whole body, `keep` bytes of it, and close."""

        def cut(reply: Reply, _: Request) -> Reply:
            length = len(reply.body)
            return Reply(reply.status, reply.body[:keep], reply.pairs(), length, close=True)

        return self.change(path, cut, times=times, method=method)

    def raw(
        self,
        path: Path,
        chunks: Iterable[bytes] | bytes,
        pauses: float | Sequence[float] = (),
        *,
        end: str = "close",
        times=None,
        method=None,
    ) -> Rule:
        """Send `chunks` unchanged, with a pause after each; see `Raw`."""
        pieces = [chunks] if isinstance(chunks, bytes) else list(chunks)
        return self.on(path, lambda _: Raw(pieces, pauses, end), times=times, method=method)

    def drip(self, path: Path, *, pause: float, size: int = 1, times=None, method=None) -> Rule:
        """Send the normal response `size` bytes at a time, from the status line on."""

        def slow(reply: Reply, request: Request) -> Raw:
            content = reply.render(request.method)
            pieces = [content[at : at + size] for at in range(0, len(content), size)]
            return Raw(pieces, pause, end="keep")

        return self.change(path, slow, times=times, method=method)

    def redirect(
        self, path: Path, location: str, status: int = 307, *, times=None, method=None
    ) -> Rule:
        """Redirect the client to `location`."""
        return self.on(
            path, lambda _: Reply(status, b"", [("Location", location)]), times=times, method=method
        )

    def header(
        self, path: Path, name: str, value: str | Sequence[str] | None, *, times=None, method=None
    ) -> Rule:
        """Replace the header `name` by one value, by several lines, or remove it (None)."""
        return self.change(
            path, lambda reply, _: reply.with_header(name, value), times=times, method=method
        )

    def claim_digest(self, path: Path, digest: str | Sequence[str] | None, **options) -> Rule:
        """Send a false Docker-Content-Digest, or none."""
        return self.header(path, "Docker-Content-Digest", digest, **options)

    def claim_length(self, path: Path, length: int, *, times=None, method=None) -> Rule:
        """Send a false Content-Length, and close after the body."""

        def replace_length(reply: Reply, _: Request) -> Reply:
            return Reply(reply.status, reply.body, reply.pairs(), length, close=True)

        return self.change(path, replace_length, times=times, method=method)

    def replace_body(self, path: Path, body: bytes, *, times=None, method=None) -> Rule:
        """Send other bytes with the normal headers."""

        def swap(reply: Reply, _: Request) -> Reply:
            return Reply(reply.status, body, reply.pairs())

        return self.change(path, swap, times=times, method=method)

    def gzip_bomb(
        self, path: Path, size: int = 200_000_000, *, headers: Headers = (), **options
    ) -> Rule:
        """Send a gzip body that expands to `size` zeros."""
        body = gzip_zeros(size)
        pairs = [*Reply(headers=headers).pairs(), ("Content-Encoding", "gzip")]
        return self.on(path, lambda _: Reply(200, body, pairs), **options)

    def endless(
        self,
        path: Path,
        *,
        pause: float = 0.0,
        block: bytes = b" " * _BLOCK,
        headers: Headers = (),
        **options,
    ) -> Rule:
        """Send a chunked body without end."""
        pairs = [*Reply(headers=headers).pairs(), ("Transfer-Encoding", "chunked")]
        head = Reply(200, b"", pairs, length=-1).render("GET")
        chunk = b"%x\r\n%b\r\n" % (len(block), block)
        return self.on(
            path, lambda _: Raw(itertools.chain([head], itertools.repeat(chunk)), pause), **options
        )

    def rate_limit(
        self,
        max_requests: int,
        *,
        path: Path = ".*",
        retry_after: str | None = "1",
        methods=("GET",),
        **headers,
    ) -> Rule:
        """Answer `max_requests` requests and then 429 until the rule is dropped.

        The rate limit headers say how many requests are left.
        """
        left = itertools.count(max_requests - 1, -1)
        extra = [(name.replace("_", "-"), str(value)) for name, value in headers.items()]

        def count(reply: Reply, request: Request) -> Reply:
            if request.method not in methods:
                return reply
            remaining = next(left)
            limits = [
                ("ratelimit-limit", f"{max_requests};w=21600"),
                ("ratelimit-remaining", f"{max(remaining, 0)};w=21600"),
            ]
            if remaining < 0:
                wait = [] if retry_after is None else [("Retry-After", retry_after)]
                body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}'
                return Reply(
                    429, body, [("Content-Type", "application/json"), *wait, *limits, *extra]
                )
            return Reply(reply.status, reply.body, [*reply.pairs(), *limits, *extra])

        return self.change(path, count)

    def quota(
        self,
        limit: int,
        window: float,
        *,
        counts: str = "sliding",
        path: Path = "/v2/.+",
        methods=("GET", "HEAD"),
        shows=("GET", "HEAD"),
    ) -> Quota:
        """Admit `limit` requests in each window of seconds, and answer 429 beyond that.

        `counts` names the algorithm of `quotas`; `methods` are the methods that count, `shows`
        those whose responses have the rate limit headers.
        """
        quota = Quota(METERS[counts](limit, window))
        length = max(1, round(window))

        def count(reply: Reply, request: Request) -> Reply:
            now = time.monotonic()
            if request.method in methods:
                admitted, quota.left, wait = quota.meter.admit(now)
                (quota.admitted if admitted else quota.refused).append((now, request))
            else:
                admitted, wait = True, 0.0
            limits = [
                ("RateLimit-Limit", f"{limit};w={length}"),
                ("RateLimit-Remaining", f"{quota.left};w={length}"),
            ]
            if not admitted:
                body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}'
                kind = ("Content-Type", "application/json")
                return Reply(429, body, [kind, ("Retry-After", str(int(wait) + 1)), *limits])
            shown = limits if request.method in shows else []
            return Reply(reply.status, reply.body, [*reply.pairs(), *shown])

        self.change(path, count)
        return quota

    def drop(self, rule: Rule):
        """Remove one rule."""
        for rules in (self.rules, self.changes, self.delays):
            if rule in rules:
                rules.remove(rule)

    def forget(self):
        """Remove all rules."""
        self.rules, self.changes, self.delays = [], [], []

    def rules_for(self, request: Request) -> Iterator[Rule]:
        counted = [rule for rule in self.rules if rule.times is not None]
        steady = [rule for rule in reversed(self.rules) if rule.times is None]
        return (rule for rule in [*counted, *steady] if rule.matches(request))

    def changes_for(self, request: Request) -> list[Rule]:
        return [rule for rule in self.changes if rule.matches(request)]

    def delay_of(self, request: Request) -> float:
        waits = [rule for rule in self.delays if rule.matches(request)]
        for rule in waits:
            rule.count_use()
        return sum(rule.action for rule in waits)

    def _add(self, rules: list[Rule], rule: Rule) -> Rule:
        rules.append(rule)
        return rule


def gzip_zeros(size: int) -> bytes:
    """Return `size` zeros as gzip, without holding them all in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    parts = [
        packer.compress(block[: min(len(block), size - at)]) for at in range(0, size, len(block))
    ]
    return b"".join([*parts, packer.flush()])
