"""Test of the schedule while schedulers, workers, Redis and PostgreSQL are killed one by one.

No tag is lost, no tag is checked twice in an interval, and no tag event is doubled. SOAK_ROUNDS,
SOAK_TAGS and SOAK_INTERVAL set the number of rounds and tags and the interval (`make soak`).
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
from models.store.streams.known_images import save_known_images
from models.store.streams.stream_store import load_stream, save_stream
from models.store.tables.schedule import ScheduledTagRow
from models.streams.imports.import_outcome import ImportTarget, KnownImage
from tests import fixtures as fx
from tests.e2e.conftest import ServerCluster, until
from tests.servers import Postgres, Redis
from worker.job_queue import precise_utc_now

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
TAGS = int(os.environ.get("SOAK_TAGS", "300"))
INTERVAL = int(os.environ.get("SOAK_INTERVAL", "4"))
LEASE = 5 if INTERVAL < 30 else 30
TAGS_PER_STREAM = 50
UPDATES_PER_KILL = max(5, TAGS // 200)  # tags that are updated upstream before each kill
RATE = 3 * TAGS / INTERVAL  # HEAD requests a second that the registry accepts
MAX_LATENESS_SECONDS = max(3.0, INTERVAL / 10)  # of a check after its due time
RECOVERY_TIMEOUT_SECONDS = 60.0  # until the schedule is on time again
DOWNTIME_SECONDS = 1.0


class KillableRedis(Redis):
    """A Redis that can be killed without a shutdown."""

    def kill(self):
        self._process.kill()
        self._process.wait()


class KillablePostgres(Postgres):
    """A PostgreSQL that can crash and keeps every committed transaction."""

    def command(self):
        return [*super().command(), "-csynchronous_commit=on", "-cautovacuum=on"]

    def kill(self):
        self._process.send_signal(signal.SIGQUIT)  # kill -9 would leave its children behind
        self._process.wait()


@dataclass
class Kill:
    """A kill: when it was, when the schedule was on time again, and the tags that were claimed."""

    target: str
    at: float
    claimed: set = field(default_factory=set)
    recovered_at: float = 0.0


class KillScenario:
    """The cluster, the processes that are killed, and the requests that its registry received."""

    def __init__(self, cluster, fake, redis, postgres):
        self.cluster, self.fake, self.redis, self.postgres = cluster, fake, redis, postgres
        self.beats = [cluster.beat(), cluster.beat()]
        self.workers = [cluster.worker(), cluster.worker()]
        self.kills = []
        self.updated = {}
        self.rng = random.Random(4)

    # kills

    def kill_scheduler(self):
        self._replace(self.beats, self.cluster.beat)

    def kill_worker(self):
        self._wait_for_claim(f":{self.workers[0].pid}")
        victim = self._replace(self.workers, self.cluster.worker)
        self.kills[-1].claimed = self._claimed(f":{victim.pid}")

    def kill_redis(self):
        self.redis.kill()
        time.sleep(DOWNTIME_SECONDS)
        self.redis.restart()

    def kill_postgres(self):
        """Kill it while workers run checks; none of these checks is repeated."""
        self._wait_for_claim("")
        self.postgres.kill()
        time.sleep(DOWNTIME_SECONDS)
        self.postgres.restart()

    def _replace(self, roles, start):
        victim = roles.pop(0)
        assert victim.runs, victim.output
        victim.kill()
        roles.append(start())
        return victim

    def _wait_for_claim(self, worker_suffix):
        """Wait until such a worker has claimed tags; return them."""
        return until(
            lambda: self._claimed(worker_suffix), within=RECOVERY_TIMEOUT_SECONDS, interval=0.01
        )

    def _claimed(self, worker_suffix):
        """Return the tags claimed by workers, dead or alive, whose names end with the suffix."""
        is_claimed = ScheduledTagRow.worker != ""
        is_by_worker = ScheduledTagRow.worker.endswith(worker_suffix)
        found = select(ScheduledTagRow.stream, ScheduledTagRow.tag).where(is_claimed, is_by_worker)
        with transaction(self.cluster.engine, write=False) as session:
            return {tuple(row) for row in session.execute(found)}

    def kill(self, target):
        """Kill `target`, and wait until the schedule is on time again."""
        self.update_some_tags()
        self.kills.append(Kill(target, time.monotonic()))
        getattr(self, f"kill_{target}")()
        time.sleep(MAX_LATENESS_SECONDS)
        until(self.is_on_time, within=RECOVERY_TIMEOUT_SECONDS, interval=0.2)
        self.kills[-1].recovered_at = time.monotonic()

    def update_some_tags(self):
        """Push a new image to some tags of the registry that were not updated before."""
        not_updated = [key for key in every_tag() if key not in self.updated]
        for stream, tag in self.rng.sample(not_updated, UPDATES_PER_KILL):
            config = b'{"architecture":"amd64","os":"linux","author":"%d"}' % len(self.updated)
            self.updated[stream, tag] = self.fake.push(
                f"team/{stream}", tag=tag, manifest=fx.oci_manifest(config), config=config
            )

    def report(self):
        """Print the result of the last kill; `make soak` shows it."""
        last, (early, repeated) = self.kills[-1], self.early_checks()
        print(  # noqa: T201
            f"{last.target}: on time again after {last.recovered_at - last.at:.1f} s, "
            f"{len(last.claimed)} tags claimed; so far {len(repeated)} checks repeated, "
            f"early checks: {early}, {self.max_checks_within(1)} checks in the busiest second"
        )

    # observations

    def is_on_time(self):
        """Return whether no tag is overdue by more than the allowed lateness."""
        late = ScheduledTagRow.due_at < precise_utc_now() - timedelta(seconds=MAX_LATENESS_SECONDS)
        with suppress(StoreError), transaction(self.cluster.engine, write=False) as session:
            return not session.scalar(select(func.count()).where(late))
        return False

    def check_times(self):
        """Return the times of the checks of each tag."""
        found = {}
        for request in list(self.fake.log):
            if request.method == "HEAD":
                _, _, _, stream, _, tag = request.path.split("/")
                found.setdefault((stream, tag), []).append(request.when)
        return found

    def checked_since(self, start):
        """Return the tags that were checked since `start`."""
        return {key for key, times in self.check_times().items() if times[-1] > start}

    def are_updates_imported(self):
        """Return whether every tag that was updated in the registry was updated in its stream."""
        newest = self.histories()
        return all(newest[key][0] == digest for key, digest in self.updated.items())

    def histories(self):
        """Return the images of each tag, newest first."""
        found = {}
        with transaction(self.cluster.engine, write=False) as session:
            for stream in {stream for stream, _ in every_tag()}:
                for tag in load_stream(session, "team", stream, history=None).status.tags:
                    found[stream, tag.tag] = [event.image for event in tag.items]
        return found

    def early_checks(self):
        """Return the checks less than an interval after the one before, and the repeated ones.

        A check of a tag that was claimed by a killed worker counts as repeated, once a kill: the
        worker may have received the response, which the store cannot know.
        """
        early, repeated = [], []
        for key, times in self.check_times().items():
            kills = [kill.at for kill in self.kills if key in kill.claimed]
            for first, second in pairwise(times):
                if second - first >= 0.9 * INTERVAL - 0.05:
                    continue
                reasons = [at for at in kills if first - LEASE <= at <= second]
                if reasons:
                    kills.remove(reasons[0])
                    repeated.append(key)
                else:
                    early.append((key, first, second - first))
        return early, repeated

    def max_checks_within(self, seconds):
        """Return the highest number of checks that the registry received within `seconds`."""
        times = sorted(at for each in self.check_times().values() for at in each)
        highest = start = 0
        for end, at in enumerate(times):
            while times[start] < at - seconds:
                start += 1
            highest = max(highest, end - start + 1)
        return highest


def every_tag():
    return [(f"app-{n // TAGS_PER_STREAM}", f"v{n % TAGS_PER_STREAM}") for n in range(TAGS)]


def fill(cluster, fake):
    """Save streams with imported tags whose due times are spread over the interval."""
    digest = fake.push("team/first", tag="v", manifest=fx.OCI, config=fx.CFG_A)
    tags = {}
    for stream, tag in every_tag():
        fake.push(f"team/{stream}", tag=tag, manifest=fx.OCI, config=fx.CFG_A)
        tags.setdefault(stream, []).append(tag)
    for stream, names in tags.items():
        stream_object = _stream(stream, names, f"{fake.host}/team/{stream}", digest)
        known = {
            tag.name: (
                ImportTarget(Reference.parse(tag.from_.name)).key(),
                KnownImage(digest, digest),
            )
            for tag in stream_object.spec.tags
        }
        with transaction(cluster.engine) as session:
            save_stream(session, None, stream_object, now=precise_utc_now())
            save_known_images(session, "team", stream, known)
    with transaction(cluster.engine) as session:
        ids = session.scalars(select(ScheduledTagRow.id)).all()
        assert len(ids) == TAGS
        first_due = precise_utc_now() + timedelta(seconds=min(INTERVAL, 8))
        for number, row_id in enumerate(ids):
            due = first_due + timedelta(seconds=INTERVAL * number / TAGS)
            row = update(ScheduledTagRow).where(ScheduledTagRow.id == row_id)
            session.execute(row.values(needs_due_time=False, due_at=due, next_check_at=due))


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
def scenario(tmp_path, fake):
    """Two schedulers, two workers, a Redis and a PostgreSQL for this test only."""
    with KillableRedis() as redis, KillablePostgres() as postgres:
        cluster = ServerCluster(
            tmp_path,
            registry=fake,
            database_url=postgres.url(postgres.create_database()),
            broker_url=redis.url,
            TAGSTREAM_CHECK_INTERVAL=f"PT{INTERVAL}S",
            TAGSTREAM_CHECK_LEASE=f"PT{LEASE}S",
            TAGSTREAM_REGISTRY_RATE=f"{RATE}",
            TAGSTREAM_LOG_LEVEL="WARNING",
        )
        fill(cluster, fake)
        fake.delay(0.05)
        yield KillScenario(cluster, fake, redis, postgres)
        cluster.close()


@pytest.mark.timeout(180 + ROUNDS * (60 if INTERVAL < 30 else 600))
def test_schedule_loses_and_repeats_no_check_when_processes_are_killed(scenario):
    until(lambda: len(scenario.check_times()) == TAGS, within=60 + 2 * INTERVAL, interval=0.2)
    for _ in range(ROUNDS):
        for target in ("scheduler", "worker", "redis", "postgres"):
            scenario.kill(target)
            scenario.report()
    end = time.monotonic()
    until(
        lambda: len(scenario.checked_since(end)) == TAGS,
        within=RECOVERY_TIMEOUT_SECONDS + INTERVAL,
        interval=0.2,
    )
    until(scenario.are_updates_imported, within=RECOVERY_TIMEOUT_SECONDS, interval=0.2)

    assert scenario.early_checks()[0] == []
    for key, images in scenario.histories().items():
        assert len(images) == (2 if key in scenario.updated else 1), key
    assert scenario.max_checks_within(5) <= 1.2 * RATE * 5
