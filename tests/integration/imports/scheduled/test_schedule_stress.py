"""Stress test: concurrent schedulers, workers and writers lose and repeat no check.

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
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.integration.imports.import_requests import img, isi, save_pull_secret
from worker.checks.check_batch import run_checks
from worker.job_queue import precise_utc_now, utc_now

SECONDS = float(os.environ.get("TAGSTREAM_SOAK", "1.0"))
STREAMS, TAGS = 12, 4
SUSPEND = "sync.tagstream.io/suspend"
IMAGES = [(fx.S2, fx.S2_TYPE), (fx.OCI, fx.OCI_TYPE), (fx.OCI_BARE, fx.OCI_TYPE)]


class StressRun:
    """Threads that repeat their steps until `stopped`; their errors are recorded."""

    def __init__(self, harness, reg):
        self.harness, self.reg = harness, reg
        self.stopped = threading.Event()
        self.errors = []
        self.batches = queue.Queue()
        self.random = random.Random(4)
        self.counts = dict.fromkeys(("ticks", "checks", "writes", "lost_races"), 0)

    def repeat(self, step, pause):
        def run():
            while not self.stopped.is_set():
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - asserted at the end
                    self.errors.append(error)
                time.sleep(pause)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def tick(self):
        settings = self.harness.settings
        rules = DispatchConfig(
            build_cadence(settings), settings.check_lease, lambda _host: CheckRatePolicy()
        )
        with transaction(self.harness.engine) as session:
            batch, batches, _ = claim_round(session, rules, now=precise_utc_now(), limit=20)
        for ids in batches:
            self.batches.put((batch, ids))
        self.counts["ticks"] += 1

    def check(self):
        try:
            batch, ids = self.batches.get(timeout=0.05)
        except queue.Empty:
            return
        run_checks(batch, ids, self.harness.context)
        self.counts["checks"] += 1

    def write(self):
        """Save, delete and import streams, and change the secrets that refused tags wait for."""
        name = f"s{self.random.randrange(STREAMS)}"
        choice = self.random.random()
        try:
            if choice < 0.15:
                with transaction(self.harness.engine) as session:
                    delete_stream(session, "ns", name, now=utc_now())
            elif choice < 0.4:
                save_pull_secret(
                    self.harness, {self.reg.host: ("me", f"word{self.random.random()}")}
                )
            elif choice < 0.5:
                import_scheduled_stream(self.harness, self.reg, name)
            else:
                self.rewrite(name)
        except StreamConflictError as error:
            if "aborted the transaction in favour of another writer" in str(error):
                raise
            self.counts["lost_races"] += 1
        self.counts["writes"] += 1

    def rewrite(self, name):
        old = self.harness.stream(name)
        if old is None:
            return
        tags = [
            tag.replace(annotations={SUSPEND: "true"} if self.random.random() < 0.3 else {})
            for tag in old.spec.tags
        ]
        self.harness.save_stream(old, old.replace(spec=old.spec.replace(tags=tags)))

    def push_image(self):
        tag = f"t{self.random.randrange(TAGS)}"
        manifest, kind = self.random.choice(IMAGES)
        self.reg.push("a/b", tag=tag, manifest=manifest, media_type=kind, config=fx.CFG_A)


def import_scheduled_stream(harness, reg, name):
    tags = [
        img(f"{reg.host}/a/b:t{number}", to=f"t{number}", scheduled=True) for number in range(TAGS)
    ]
    refused = img(f"{reg.host}/no/entry:t", to="refused", scheduled=True)
    harness.run(isi(*tags, refused, name=name), wants_response=False)


def test_concurrent_schedule_loses_no_rows(open_harness, reg):
    second = timedelta(seconds=1)
    harness = open_harness(check_interval=second, check_interval_floor=second)
    stress = StressRun(harness, reg)
    for number in range(TAGS):
        reg.push("a/b", tag=f"t{number}", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    reg.on("/no/entry/.*", error_reply(403, "DENIED", "no"))
    for number in range(STREAMS):
        import_scheduled_stream(harness, reg, f"s{number}")
    with capture_logs() as logs:
        threads = [stress.repeat(stress.tick, 0.05) for _ in range(2)]
        threads += [stress.repeat(stress.check, 0.0) for _ in range(4)]
        threads += [stress.repeat(stress.write, 0.01) for _ in range(2)]
        threads.append(stress.repeat(stress.push_image, 0.1))
        time.sleep(SECONDS)
        stress.stopped.set()
        for thread in threads:
            thread.join()
    while not stress.batches.empty():
        stress.check()
    problems = [line for line in logs if line["log_level"] in {"warning", "error"}]
    assert (stress.errors, problems) == ([], [])
    rows = harness.schedule_rows().values()
    assert [row for row in rows if row.batch is not None] == []
    lost = [
        (row.stream, row.tag, row.reason, row.next_check_at)
        for row in rows
        if not row.suspended
        and (row.next_check_at is None or row.next_check_at > precise_utc_now() + 3 * second)
    ]
    assert [each for each in lost if each[1] != "refused"] == []
    streams = {name for name in (f"s{n}" for n in range(STREAMS)) if harness.stream(name)}
    assert {row.stream for row in rows} == streams
    assert min(stress.counts[name] for name in ("ticks", "checks", "writes")) > 0
