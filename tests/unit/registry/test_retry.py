"""Trying again: twice, after a moment, within the budget, and not at all where it is no use."""

import pytest

from models.errors import (
    ContentError,
    ManifestUnknownError,
    RateLimitedError,
    RegistryDeniedError,
    TransientRegistryError,
)
from tests.manual_clock import HandClock
from worker.registry.limits.host_limiters import Hosts
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.transport.request_retry import with_retries

PLACE = Place("r.example", "team/app")
DOWN = TransientRegistryError("EOF", code="net.reset")


class Script:
    """Attempts that end as told, one after the other."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.clock = HandClock(impatient=True)
        self.host = Hosts(clock=self.clock).host(PLACE)
        self.attempts = 0

    async def attempt(self):
        self.attempts += 1
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    async def run(self, dice=max):
        return await with_retries(self.attempt, host=self.host, clock=self.clock, dice=dice)


@pytest.mark.case("registry 162")
async def test_two_transient_failures_cost_two_jittered_pauses_and_not_the_import():
    script = Script(DOWN, DOWN, "manifest")
    assert await script.run(dice=lambda low, high: (low + high) / 2) == "manifest"
    assert script.clock.slept == [0.25, 1.0]


async def test_the_third_failure_is_final():
    script = Script(DOWN, DOWN, DOWN, "manifest")
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
async def test_what_no_second_try_mends_is_tried_once(error):
    script = Script(error, "manifest")
    with pytest.raises(type(error)):
        await script.run()
    assert script.attempts == 1


@pytest.mark.case("registry 159")
@pytest.mark.parametrize(("retry_after", "slept"), [(2.0, [2.0]), (30.0, [30.0]), (None, [0.5])])
async def test_a_wish_of_up_to_thirty_seconds_is_waited_out(retry_after, slept):
    script = Script(RateLimitedError("slow down", retry_after=retry_after), "manifest")
    assert await script.run() == "manifest"
    assert script.clock.slept == slept


@pytest.mark.case("registry 159")
async def test_a_longer_wish_ends_the_attempt_without_sleeping():
    script = Script(RateLimitedError("slow down", retry_after=30.5), "manifest")
    with pytest.raises(RateLimitedError) as caught:
        await script.run()
    assert caught.value.retry_after == 30.5
    assert script.clock.slept == []


async def test_ten_retries_a_minute_are_free_and_the_eleventh_waits_for_the_next_minute():
    script = Script(*[DOWN] * 16)
    for _ in range(5):
        with pytest.raises(TransientRegistryError):
            await script.run()
    assert script.attempts == 15
    with pytest.raises(TransientRegistryError):
        await script.run()
    assert script.attempts == 16
    script.ends = [DOWN, "manifest"]
    script.clock.time += 61
    assert await script.run() == "manifest"


async def test_retries_are_a_tenth_of_what_was_asked_in_the_last_minute():
    script = Script()
    for _ in range(200):
        async with script.host.slot(Access()):
            pass
    assert sum(script.host.may_retry() for _ in range(100)) == 20
