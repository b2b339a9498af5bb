"""Schedulers, workers, Redis and PostgreSQL are killed in turn; the schedule goes on as promised:
no tag is lost, none is looked at twice in an interval, no tag event is doubled.

SOAK_ROUNDS, SOAK_TAGS and SOAK_INTERVAL say for how long and with how much (`make soak`).
"""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, update

from models.errors import StoreError
from models.reference import Reference
from models.resources.stream import ImageStream
from models.store.database.session import transaction
from models.store.streams.stream_store import load_stream, save_known, save_stream
from models.store.tables.schedule import ScheduleRow
from models.streams.imports.import_outcome import Known, Target
from tests import fixtures as fx
from tests.e2e.conftest import ServerHouse, until
from tests.servers import Postgres, Redis
from worker.job_queue import moment

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
TAGS = int(os.environ.get("SOAK_TAGS", "300"))
INTERVAL = int(os.environ.get("SOAK_INTERVAL", "4"))
LEASE = 5 if INTERVAL < 30 else 30
A_STREAM = 50  # tags
MOVES = max(5, TAGS // 200)  # before each kill
RATE = 3 * TAGS / INTERVAL  # HEADs a second that the registry takes
ON_TIME = max(3.0, INTERVAL / 10)  # seconds after its turn
PROMISE = 60.0  # seconds, until the schedule is on time again
DOWN = 1.0


class MortalRedis(Redis):
    """A Redis that can die without farewell."""

    def die(self):
        self._process.kill()
        self._process.wait()


class MortalPostgres(Postgres):
    """A PostgreSQL that can crash, and then still has what it promised to keep."""

    def command(self):
        return [*super().command(), "-csynchronous_commit=on", "-cautovacuum=on"]

    def die(self):
        self._process.send_signal(signal.SIGQUIT)  # kill -9 would leave its children behind
        self._process.wait()


@dataclass
class Kill:
    """When somebody was killed, when all was well again, and which tags were in whose hands."""

    who: str
    at: float
    hands: set = field(default_factory=set)
    well: float = 0.0


class Stage:
    """The house, what is killed in it, and what its registry saw."""

    def __init__(self, house, fake, redis, postgres):
        self.house, self.fake, self.redis, self.postgres = house, fake, redis, postgres
        self.beats = [house.beat(), house.beat()]
        self.workers = [house.worker(), house.worker()]
        self.kills = []
        self.moved = {}
        self.chance = random.Random(4)

    # what happens

    def kill_scheduler(self):
        self._replace(self.beats, self.house.beat)

    def kill_worker(self):
        self._catch(f":{self.workers[0].pid}")
        victim = self._replace(self.workers, self.house.worker)
        self.kills[-1].hands = self._in_hands(f":{victim.pid}")

    def kill_redis(self):
        self.redis.die()
        time.sleep(DOWN)
        self.redis.restart()

    def kill_postgres(self):
        """While workers look at something; nothing of that is asked again."""
        self._catch("")
        self.postgres.die()
        time.sleep(DOWN)
        self.postgres.restart()

    def _replace(self, roles, start):
        victim = roles.pop(0)
        assert victim.runs, victim.output
        victim.kill()
        roles.append(start())
        return victim

    def _catch(self, carrier):
        """What a worker is just looking at, once it is looking at something."""
        return until(lambda: self._in_hands(carrier), within=PROMISE, rest=0.01)

    def _in_hands(self, carrier):
        """The tags that workers have, or died with, whose names end so."""
        mine = ScheduleRow.carrier != "", ScheduleRow.carrier.endswith(carrier)
        found = select(ScheduleRow.stream, ScheduleRow.tag).where(*mine)
        with transaction(self.house.engine, write=False) as session:
            return {tuple(row) for row in session.execute(found)}

    def kill(self, who):
        """Kill it, and wait until the schedule is on time again."""
        self.move_some()
        self.kills.append(Kill(who, time.monotonic()))
        getattr(self, f"kill_{who}")()
        time.sleep(ON_TIME)
        until(self.is_on_time, within=PROMISE, rest=0.2)
        self.kills[-1].well = time.monotonic()

    def move_some(self):
        """Upstream, some tags that never moved get an image of their own."""
        still = [place for place in every_tag() if place not in self.moved]
        for place in self.chance.sample(still, MOVES):
            stream, tag = place
            config = b'{"architecture":"amd64","os":"linux","author":"%d"}' % len(self.moved)
            self.moved[place] = self.fake.push(
                f"team/{stream}", tag=tag, manifest=fx.oci_manifest(config), config=config
            )

    def tell(self):
        """What came of the last kill; `make soak` shows it."""
        last, (early, repeated) = self.kills[-1], self.too_early()
        print(  # noqa: T201
            f"{last.who}: on time again {last.well - last.at:.1f} s later, with {len(last.hands)} "
            f"in hands; so far {len(repeated)} were asked again and {early} came too early, "
            f"{self.most_within(1)} in the busiest second"
        )

    # what is seen

    def is_on_time(self):
        """Whether no tag's turn is long past."""
        late = ScheduleRow.due < moment() - timedelta(seconds=ON_TIME)
        with suppress(StoreError), transaction(self.house.engine, write=False) as session:
            return not session.scalar(select(func.count()).where(late))
        return False

    def looks(self):
        """When each tag was looked at."""
        found = {}
        for request in list(self.fake.log):
            if request.method == "HEAD":
                _, _, _, stream, _, tag = request.path.split("/")
                found.setdefault((stream, tag), []).append(request.when)
        return found

    def seen_since(self, when):
        """The tags that were looked at since."""
        return {place for place, looks in self.looks().items() if looks[-1] > when}

    def have_arrived(self):
        """Whether every tag that moved upstream has moved here."""
        newest = self.histories()
        return all(newest[place][0] == digest for place, digest in self.moved.items())

    def histories(self):
        """The images of each tag, newest first."""
        found = {}
        with transaction(self.house.engine, write=False) as session:
            for stream in {stream for stream, _ in every_tag()}:
                for tag in load_stream(session, "team", stream, history=None).status.tags:
                    found[stream, tag.tag] = [event.image for event in tag.items]
        return found

    def too_early(self):
        """Looks that came within an interval after the one before; and, apart, those that repeat
        what died with a worker, each once: it may have had the answer, and nobody can know.
        """
        found, repeated = [], []
        for place, looks in self.looks().items():
            excused = [kill.at for kill in self.kills if place in kill.hands]
            for one, next_one in pairwise(looks):
                if next_one - one >= 0.9 * INTERVAL - 0.05:
                    continue
                reasons = [at for at in excused if one - LEASE <= at <= next_one]
                if reasons:
                    excused.remove(reasons[0])
                    repeated.append(place)
                else:
                    found.append((place, one, next_one - one))
        return found, repeated

    def most_within(self, seconds):
        """The most looks that the registry saw in any such time."""
        looks = sorted(when for each in self.looks().values() for when in each)
        most = start = 0
        for end, when in enumerate(looks):
            while looks[start] < when - seconds:
                start += 1
            most = max(most, end - start + 1)
        return most


def every_tag():
    return [(f"app-{n // A_STREAM}", f"v{n % A_STREAM}") for n in range(TAGS)]


def fill(house, fake):
    """Streams whose tags were imported already, with turns all over the interval."""
    digest = fake.push("team/first", tag="v", manifest=fx.OCI, config=fx.CFG_A)
    tags = {}
    for stream, tag in every_tag():
        fake.push(f"team/{stream}", tag=tag, manifest=fx.OCI, config=fx.CFG_A)
        tags.setdefault(stream, []).append(tag)
    for stream, names in tags.items():
        wish = _stream(stream, names, f"{fake.host}/team/{stream}", digest)
        known = {
            tag.name: (Target(Reference.parse(tag.from_.name)).key(), Known(digest, digest))
            for tag in wish.spec.tags
        }
        with transaction(house.engine) as session:
            save_stream(session, None, wish, now=moment())
            save_known(session, "team", stream, known)
    with transaction(house.engine) as session:
        ids = session.scalars(select(ScheduleRow.id)).all()
        assert len(ids) == TAGS
        begin = moment() + timedelta(seconds=min(INTERVAL, 8))
        for number, row_id in enumerate(ids):
            due = begin + timedelta(seconds=INTERVAL * number / TAGS)
            row = update(ScheduleRow).where(ScheduleRow.id == row_id)
            session.execute(row.values(fresh=False, due=due, next_look=due))


def _stream(name, tags, repository, digest):
    created = "2026-01-01T00:00:00Z"
    return ImageStream.model_validate(
        {
            "metadata": {"name": name, "namespace": "team", "generation": 1},
            "spec": {
                "tags": [
                    {
                        "name": tag,
                        "generation": 1,
                        "from": {"kind": "DockerImage", "name": f"{repository}:{tag}"},
                        "importPolicy": {"scheduled": True, "importMode": "Legacy"},
                    }
                    for tag in tags
                ]
            },
            "status": {
                "tags": [
                    {
                        "tag": tag,
                        "items": [
                            {
                                "created": created,
                                "dockerImageReference": f"{repository}@{digest}",
                                "image": digest,
                                "generation": 1,
                            }
                        ],
                    }
                    for tag in tags
                ]
            },
        }
    )


@pytest.fixture
def stage(tmp_path, fake):
    """Two schedulers, two workers, a Redis and a PostgreSQL of their own."""
    with MortalRedis() as redis, MortalPostgres() as postgres:
        house = ServerHouse(
            tmp_path,
            registry=fake,
            database_url=postgres.url(postgres.create_database()),
            broker_url=redis.url,
            TAGSTREAM_CHECK_INTERVAL=f"PT{INTERVAL}S",
            TAGSTREAM_CHECK_LEASE=f"PT{LEASE}S",
            TAGSTREAM_REGISTRY_RATE=f"{RATE}",
            TAGSTREAM_LOG_LEVEL="WARNING",
        )
        fill(house, fake)
        fake.delay(0.05)
        yield Stage(house, fake, redis, postgres)
        house.close()


@pytest.mark.timeout(180 + ROUNDS * (60 if INTERVAL < 30 else 600))
def test_whoever_is_killed_no_tag_is_lost_or_looked_at_twice_in_an_interval(stage):
    until(lambda: len(stage.looks()) == TAGS, within=60 + 2 * INTERVAL, rest=0.2)
    for _ in range(ROUNDS):
        for who in ("scheduler", "worker", "redis", "postgres"):
            stage.kill(who)
            stage.tell()
    end = time.monotonic()
    until(lambda: len(stage.seen_since(end)) == TAGS, within=PROMISE + INTERVAL, rest=0.2)
    until(stage.have_arrived, within=PROMISE, rest=0.2)

    assert stage.too_early()[0] == []
    for place, images in stage.histories().items():
        assert len(images) == (2 if place in stage.moved else 1), place
    assert stage.most_within(5) <= 1.2 * RATE * 5
