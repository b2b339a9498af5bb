"""Retries of transient errors: at most two, after a pause, within the retry budget."""

import pytest

from models.errors import (
    ContentError,
    ManifestUnknownError,
    RateLimitedError,
    RegistryDeniedError,
    TransientRegistryError,
)
from tests.manual_clock import ManualClock
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.request_retry import with_retries

SOURCE = SourceRepository("r.example", "team/app")
DOWN = TransientRegistryError("EOF", code="net.reset")


class ScriptedAttempts:
    """Attempts with the given outcomes, in order."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.clock = ManualClock(auto_advance=True)
        self.host = HostLimiters(clock=self.clock).host(SOURCE)
        self.attempts = 0

    async def attempt(self):
        self.attempts += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run(self, random_uniform=max):
        return await with_retries(
            self.attempt, host=self.host, clock=self.clock, random_uniform=random_uniform
        )


@pytest.mark.case("registry 162")
async def test_two_transient_failures_are_retried_with_jittered_pauses():
    script = ScriptedAttempts(DOWN, DOWN, "manifest")
    assert await script.run(random_uniform=lambda low, high: (low + high) / 2) == "manifest"
    assert script.clock.slept == [0.25, 1.0]


async def test_third_transient_failure_is_final():
    script = ScriptedAttempts(DOWN, DOWN, DOWN, "manifest")
    with pytest.raises(TransientRegistryError, match="EOF"):
        await script.run()
    assert script.attempts == 3
    assert script.clock.slept == [0.5, 2.0]


@pytest.mark.parametrize(
    "error",
    [
        ManifestUnknownError(),
        RegistryDeniedError(),
        ContentError("too large", code="content.too_large"),
        TransientRegistryError("EOF", code="circuit.open"),
    ],
)
async def test_permanent_error_is_not_retried(error):
    script = ScriptedAttempts(error, "manifest")
    with pytest.raises(type(error)):
        await script.run()
    assert script.attempts == 1


@pytest.mark.case("registry 159")
@pytest.mark.parametrize(("retry_after", "slept"), [(2.0, [2.0]), (30.0, [30.0]), (None, [0.5])])
async def test_retry_after_up_to_thirty_seconds_is_waited_out(retry_after, slept):
    script = ScriptedAttempts(RateLimitedError("slow down", retry_after=retry_after), "manifest")
    assert await script.run() == "manifest"
    assert script.clock.slept == slept


@pytest.mark.case("registry 159")
async def test_longer_retry_after_fails_without_sleeping():
    script = ScriptedAttempts(RateLimitedError("slow down", retry_after=30.5), "manifest")
    with pytest.raises(RateLimitedError) as caught:
        await script.run()
    assert caught.value.retry_after == 30.5
    assert script.clock.slept == []


async def test_retry_budget_allows_ten_retries_a_minute():
    script = ScriptedAttempts(*[DOWN] * 16)
    for _ in range(5):
        with pytest.raises(TransientRegistryError):
            await script.run()
    assert script.attempts == 15
    with pytest.raises(TransientRegistryError):
        await script.run()
    assert script.attempts == 16
    script.outcomes = [DOWN, "manifest"]
    script.clock.time += 61
    assert await script.run() == "manifest"


async def test_retry_budget_is_tenth_of_recent_requests():
    script = ScriptedAttempts()
    for _ in range(200):
        async with script.host.permit(RequestContext()):
            pass
    assert sum(script.host.take_retry() for _ in range(100)) == 20
