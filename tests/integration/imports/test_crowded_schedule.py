"""Everybody at once: schedulers, workers and writers, and nothing is lost or done twice.

`TAGSTREAM_SOAK=600` makes it last ten minutes.
"""

import os
import queue
import random
import threading
import time
from datetime import timedelta

from structlog.testing import capture_logs

from models.config.import_config import build_cadence
from models.errors import StreamConflictError
from models.store.database.session import transaction
from models.store.streams.stream_store import delete_stream
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.integration.imports.conftest import img, isi, save
from worker.checks.check_batch import run_checks
from worker.job_queue import moment, utc_now

SECONDS = float(os.environ.get("TAGSTREAM_SOAK", "1.0"))
STREAMS, TAGS = 12, 4
SUSPEND = "sync.tagstream.io/suspend"
IMAGES = [(fx.S2, fx.S2_TYPE), (fx.OCI, fx.OCI_TYPE), (fx.OCI_BARE, fx.OCI_TYPE)]


class Crowd:
    """Threads that go on until it is over; what they raise is kept."""

    def __init__(self, house, reg):
        self.house, self.reg = house, reg
        self.over = threading.Event()
        self.errors = []
        self.batches = queue.Queue()
        self.dice = random.Random(4)
        self.counts = dict.fromkeys(("ticks", "checks", "writes", "lost_races"), 0)

    def go_on(self, step, pause):
        def run():
            while not self.over.is_set():
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - told at the end
                    self.errors.append(error)
                time.sleep(pause)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def tick(self):
        settings = self.house.settings
        rules = Rules(build_cadence(settings), settings.check_lease, lambda _host: Pace())
        with transaction(self.house.engine) as session:
            batch, batches, _ = claim_round(session, rules, now=moment(), limit=20)
        for ids in batches:
            self.batches.put((batch, ids))
        self.counts["ticks"] += 1

    def check(self):
        try:
            batch, ids = self.batches.get(timeout=0.05)
        except queue.Empty:
            return
        run_checks(batch, ids, self.house.runtime)
        self.counts["checks"] += 1

    def write(self):
        """Save, delete and import streams, and change the secrets that refused tags wait for."""
        name = f"s{self.dice.randrange(STREAMS)}"
        what = self.dice.random()
        try:
            if what < 0.15:
                with transaction(self.house.engine) as session:
                    delete_stream(session, "ns", name, now=utc_now())
            elif what < 0.4:
                save(self.house, {self.reg.host: ("me", f"word{self.dice.random()}")})
            elif what < 0.5:
                follow(self.house, self.reg, name)
            else:
                self.rewrite(name)
        except StreamConflictError as error:
            if "gave way" in str(error):
                raise
            self.counts["lost_races"] += 1
        self.counts["writes"] += 1

    def rewrite(self, name):
        old = self.house.stream(name)
        if old is None:
            return
        tags = [
            tag.replace(annotations={SUSPEND: "true"} if self.dice.random() < 0.3 else {})
            for tag in old.spec.tags
        ]
        self.house.save_stream(old, old.replace(spec=old.spec.replace(tags=tags)))

    def move(self):
        tag = f"t{self.dice.randrange(TAGS)}"
        manifest, kind = self.dice.choice(IMAGES)
        self.reg.push("a/b", tag=tag, manifest=manifest, media_type=kind, config=fx.CFG_A)


def follow(house, reg, name):
    tags = [
        img(f"{reg.host}/a/b:t{number}", to=f"t{number}", scheduled=True) for number in range(TAGS)
    ]
    refused = img(f"{reg.host}/no/entry:t", to="refused", scheduled=True)
    house.run(isi(*tags, refused, name=name), wants_answer=False)


def test_nothing_is_lost_in_a_crowd(open_house, reg):
    second = timedelta(seconds=1)
    house = open_house(check_interval=second, check_interval_floor=second)
    crowd = Crowd(house, reg)
    for number in range(TAGS):
        reg.push("a/b", tag=f"t{number}", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    reg.on("/no/entry/.*", error_reply(403, "DENIED", "no"))
    for number in range(STREAMS):
        follow(house, reg, f"s{number}")
    with capture_logs() as logs:
        threads = [crowd.go_on(crowd.tick, 0.05) for _ in range(2)]
        threads += [crowd.go_on(crowd.check, 0.0) for _ in range(4)]
        threads += [crowd.go_on(crowd.write, 0.01) for _ in range(2)]
        threads.append(crowd.go_on(crowd.move, 0.1))
        time.sleep(SECONDS)
        crowd.over.set()
        for thread in threads:
            thread.join()
    while not crowd.batches.empty():
        crowd.check()
    troubles = [line for line in logs if line["log_level"] in {"warning", "error"}]
    assert (crowd.errors, troubles) == ([], [])
    rows = house.calendar().values()
    assert [row for row in rows if row.batch is not None] == []
    lost = [
        (row.stream, row.tag, row.decision, row.next_look)
        for row in rows
        if not row.suspended and (row.next_look is None or row.next_look > moment() + 3 * second)
    ]
    assert [each for each in lost if each[1] != "refused"] == []
    streams = {name for name in (f"s{n}" for n in range(STREAMS)) if house.stream(name)}
    assert {row.stream for row in rows} == streams
    assert min(crowd.counts[name] for name in ("ticks", "checks", "writes")) > 0
