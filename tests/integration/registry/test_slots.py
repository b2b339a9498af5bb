"""Processes that share a registry's budget, with a real Redis between them and without."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis

from models.errors import TransientRegistryError
from worker.registry.limits.host_limiters import Hosts
from worker.registry.limits.shared_concurrency import RedisSlots
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

PLACE = Place("r.example", "team/app")
KEY = "tagstream:reg:r.example"
ASKER = Path(__file__).with_name("asker.py")
HOME = Path(__file__).parents[3]


class RedisServer:
    """A Redis that can be stopped and started; what it knew is gone then."""

    def __init__(self, folder):
        self._socket = f"{folder}/redis"
        self.url = f"unix://{self._socket}"
        self._process = None

    def start(self):
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.fail("redis-server is missing; tests/install-servers installs it")
        self._process = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", self._socket, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return
        pytest.fail("redis-server did not start")

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory(prefix="slots") as folder:
        server = RedisServer(folder)
        server.start()
        yield server
        server.stop()


class House:
    """Several processes' worth of hosts in one loop; counts what all of them have in flight."""

    def __init__(self, server):
        self.server = server
        self.members = []
        self.in_flight = 0
        self.peak = 0

    def join(self, *, start=8, most=8, lease=5.0, processes=4):
        slots = RedisSlots(self.server.url, lease=lease, processes=processes)
        hosts = Hosts(start=start, most=most, slots=slots)
        self.members.append(hosts)
        return hosts.host(PLACE)

    async def ask(self, host, *, seconds=0.01, status=200, lane="interactive"):
        async with host.slot(Access(lane=lane)):
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.in_flight -= 1
            host.answered(status)

    def ask_often(self, host, times, **how):
        return asyncio.gather(*[self.ask(host, **how) for _ in range(times)])

    async def close(self):
        for hosts in self.members:
            await hosts.close()


@pytest.fixture
async def house(server):
    house = House(server)
    yield house
    await house.close()


async def until(condition, seconds=10.0):
    """Wait until something has come true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def promised(server):
    """What stands in the books: the budget, and what each process was promised."""
    with redis.Redis.from_url(server.url) as client:
        book = client.hgetall(KEY)
    return int(book.get(b"limit", 0)), [
        int(line.split()[0]) for name, line in book.items() if name.startswith(b"m:")
    ]


def start_asker(server, address, tags, budget, *more):
    return subprocess.Popen(
        [sys.executable, str(ASKER), server.url, address, str(tags), str(budget), *more],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.case("registry 166")
def test_four_processes_never_ask_a_registry_for_more_than_its_budget(server, fake):
    fake.delay(0.02)
    askers = [start_asker(server, fake.host, 50, 8) for _ in range(4)]
    answers = [int(asker.communicate(timeout=60)[0]) for asker in askers]
    assert answers == [50] * 4
    assert len(fake.requests) == 200
    assert 1 < fake.in_flight_peak <= 8


@pytest.mark.case("registry 166")
async def test_promises_never_sum_above_the_budget_while_processes_come_and_go(server, house):
    async def come_and_go(delay):
        await asyncio.sleep(delay)
        await house.ask_often(house.join(), 60)

    async def watch():
        while True:
            limit, shares = promised(server)
            assert sum(shares) <= limit == 8 or not shares
            assert house.in_flight <= 8
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*[come_and_go(delay) for delay in (0, 0.05, 0.1, 0.3, 0.4)])
    assert not watching.done()
    watching.cancel()
    assert house.peak == 8


async def test_a_newcomer_gets_its_part_when_others_have_come_down_to_theirs(house):
    first = house.join()
    old = house.ask_often(first, 150, seconds=0.05)
    await until(lambda: first.in_flight == 8)
    second = house.join()
    new = house.ask_often(second, 60, seconds=0.05)
    await until(lambda: (first.limit, second.limit) == (4, 4))
    await until(lambda: second.in_flight == 4)
    await asyncio.gather(old, new)
    assert house.peak == 8


async def test_a_process_alone_has_it_all_and_needs_no_round_trip_for_each_request(server, house):
    host = house.join()
    await house.ask_often(host, 8)
    with redis.Redis.from_url(server.url) as client:
        before = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        for _ in range(20):
            await house.ask_often(host, 8, seconds=0.001)
        after = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert house.peak == 8
    assert after - before <= 5


async def test_the_share_of_a_killed_process_comes_back_when_its_lease_has_run_out(server, house):
    asker = start_asker(server, PLACE.api_host, "forever", 8, "0.5")
    held = await asyncio.to_thread(lambda: [asker.stdout.readline() for _ in range(8)])
    assert held == ["holding\n"] * 8
    asker.send_signal(signal.SIGKILL)
    asker.communicate()
    host = house.join(lease=0.5)
    await asyncio.wait_for(house.ask_often(host, 20), 5)
    assert host.limit == 4


async def test_a_process_that_leaves_gives_its_share_back_at_once(house):
    first, second = house.join(), house.join()
    await asyncio.gather(house.ask_often(first, 40), house.ask_often(second, 40))
    await house.members[0].close()
    asked = house.ask_often(second, 40, seconds=0.05)
    await until(lambda: second.in_flight == 8, seconds=1)
    await asked


async def test_where_processes_outnumber_slots_each_has_its_turn(house):
    hosts = [house.join(start=2, most=2) for _ in range(5)]
    async with asyncio.timeout(20):
        await asyncio.gather(*[house.ask_often(host, 20) for host in hosts])
    assert house.peak == 2


async def test_what_one_process_learns_of_the_budget_holds_for_all(server, house):
    first, second = house.join(), house.join()
    asked = [house.ask_often(host, 60, seconds=0.05) for host in (first, second)]
    await until(lambda: (first.limit, second.limit) == (4, 4))
    first.answered(429)
    await until(lambda: (first.limit, second.limit) == (2, 2))
    await until(lambda: sum(promised(server)[1]) <= 4)
    await asyncio.gather(*asked)


async def test_clean_answers_of_all_processes_let_the_budget_grow(server, house):
    hosts = [house.join(start=4, most=16) for _ in range(3)]
    await asyncio.gather(*[house.ask_often(host, 60, seconds=0.002) for host in hosts])
    await until(lambda: promised(server)[0] == 7)


@pytest.mark.case("import 9-4")
async def test_what_one_process_finds_down_no_other_asks(house):
    first, second = house.join(), house.join()
    await house.ask(second)
    for _ in range(8):
        await house.ask(first, status=502, seconds=0)
    await until(lambda: second.is_open)
    with pytest.raises(TransientRegistryError) as caught:
        await house.ask(second)
    assert caught.value.code == "circuit.open"
    assert caught.value.text == "received unexpected HTTP status: 502 Bad Gateway"
    newcomer = house.join()
    with pytest.raises(TransientRegistryError, match="502 Bad Gateway"):
        await house.ask(newcomer)


async def test_a_person_in_any_process_finds_the_slot_that_the_others_leave(house):
    hosts = [house.join() for _ in range(3)]
    for host in hosts[:2]:
        await house.ask(host, lane="bulk")
    others = [house.ask_often(host, 10, seconds=30, lane="bulk") for host in hosts[:2]]
    await until(lambda: house.in_flight == 7)
    async with asyncio.timeout(10):
        for host in hosts:
            await house.ask(host, seconds=0)
            assert house.in_flight == 7
    assert house.peak == 8
    for each in others:
        each.cancel()
    assert len(await asyncio.gather(*others, return_exceptions=True)) == 2


@pytest.mark.case("registry 167")
async def test_without_redis_each_process_keeps_to_its_part(server, house):
    server.stop()
    hosts = [house.join(processes=4) for _ in range(4)]
    await asyncio.gather(*[house.ask_often(host, 20) for host in hosts])
    assert [host.limit for host in hosts] == [2] * 4
    assert house.peak <= 8


@pytest.mark.case("registry 167")
async def test_when_redis_dies_the_parts_shrink_and_when_it_is_back_they_are_shared_anew(
    server, house
):
    hosts = [house.join(lease=0.5) for _ in range(2)]
    first, second = hosts
    asked = [house.ask_often(host, 200, seconds=0.02) for host in hosts]
    await until(lambda: (first.limit, second.limit) == (4, 4))
    server.stop()
    await asyncio.gather(*asked)
    assert house.peak <= 8
    assert (first.limit, second.limit) == (4, 4)
    alone = house.ask_often(first, 100, seconds=0.02)
    await asyncio.sleep(0.3)
    assert first.in_flight == 4
    server.start()
    await alone
    again = house.ask_often(first, 100, seconds=0.05)
    await until(lambda: first.in_flight > 4, seconds=5)
    await again
    assert house.peak <= 8
