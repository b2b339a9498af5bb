"""Tests of watch continuity (api-12.6).

A client that resumes a watch with the last version it saw misses no event, at whichever API
process it resumes, even if the former process was killed. SOAK_SECONDS is the duration
(`make soak`).
"""

import contextlib
import json
import os
import random
import threading
import time
from datetime import UTC, datetime

import httpx
import pytest

from models.access.rbac import ALL_NAMESPACES, USER_KIND
from models.store.access.namespace_store import ensure_namespace
from models.store.access.token_store import bind_role, create_token
from models.store.changes.change_log import latest_version, load_changes
from models.store.database.session import transaction
from tests.e2e.conftest import BIN, until
from tests.servers import free_port

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
WRITERS, WATCHERS = 8, 4
NAMES = [f"app-{number}" for number in range(24)]
STREAMS = "/apis/image.openshift.io/v1/namespaces/team/imagestreams"
MERGE = {"Content-Type": "application/merge-patch+json"}
TIMEOUT_SECONDS = 30.0


class ApiProcess:
    """One `tagstream api`; it restarts on the same port."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.role = None

    def start(self):
        listen = ("--listen", f"127.0.0.1:{self.port}", "--plain-http")
        self.role = self.cluster.start(str(BIN / "tagstream"), "api", *listen)
        until(self.is_ready, within=TIMEOUT_SECONDS)
        return self

    def is_ready(self):
        assert self.role.runs, self.role.output
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class WatchScenario:
    """Two API processes, writers and watchers, and what they have written and received."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.processes = [ApiProcess(cluster).start() for _ in range(2)]
        with transaction(cluster.engine) as session:
            now = datetime.now(UTC)
            ensure_namespace(session, "team", now=now)
            self.token = create_token(session, name="root", user="root", now=now)
            bind_role(session, USER_KIND, "root", "admin", ALL_NAMESPACES, now=now)
        with transaction(cluster.engine, write=False) as session:
            self.start = latest_version(session)
        self.answered_writes = []
        self.errors = []
        self.stopping = threading.Event()
        self.end = None

    def log(self):
        """Return the change log of the store: (type, name, version) in order."""
        with transaction(self.cluster.engine, write=False) as session:
            changes = load_changes(session, after=self.start, limit=10**6, kind="ImageStream")
        return [(str(each.change.verb), each.change.name, each.version) for each in changes]

    def start_thread(self, part):
        """Run a writer or watcher in a thread; its error is reported in the main thread."""
        headers = {"Authorization": f"Bearer {self.token}"}

        def run():
            with contextlib.ExitStack() as stack:
                clients = [
                    stack.enter_context(
                        httpx.Client(
                            base_url=each.url,
                            headers=headers,
                            timeout=TIMEOUT_SECONDS,
                            trust_env=False,
                        )
                    )
                    for each in self.processes
                ]
                try:
                    part(clients, random.Random())
                except Exception as error:  # noqa: BLE001 - reported in the main thread
                    self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    # writers and watchers

    def write(self, clients, rng):
        """Create, change and delete streams that all writers share, at a random process."""
        while not self.stopping.is_set():
            try:
                self.write_once(rng.choice(clients), rng)
            except httpx.TransportError:  # it was killed, perhaps after it had written
                time.sleep(0.05)

    def write_once(self, client, rng):
        name = rng.choice(NAMES)
        draw = rng.random()
        if draw < 0.35:
            answer = client.post(STREAMS, json={"metadata": {"name": name}})
            verb, success, rejected = "ADDED", 201, {409}
        elif draw < 0.8:
            body = {"metadata": {"annotations": {"roll": repr(rng.random())}}}
            path = f"{STREAMS}/{name}"
            answer = client.patch(path, content=json.dumps(body), headers=MERGE)
            verb, success, rejected = "MODIFIED", 200, {404, 409}
        else:
            answer = client.delete(f"{STREAMS}/{name}")
            verb, success, rejected = "DELETED", 200, {404, 409}
        if answer.status_code == success:
            version = answer.json().get("metadata", {}).get("resourceVersion")
            self.answered_writes.append((verb, name, int(version) if version else None))
        else:
            assert answer.status_code in rejected, answer.text

    def watch(self, seen, clients, rng):
        """Watch, disconnect after some events or seconds, and resume at a random process."""
        version = self.start
        while self.end is None or version < self.end:
            remaining = rng.randint(1, 120)
            try:
                timeout = httpx.Timeout(TIMEOUT_SECONDS, read=rng.uniform(0.05, 1.0))
                for line in self.lines(rng.choice(clients), version, timeout):
                    event = json.loads(line)
                    assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
                    metadata = event["object"]["metadata"]
                    version = int(metadata["resourceVersion"])
                    seen.append((event["type"], metadata["name"], version))
                    remaining -= 1
                    if not remaining or version == self.end:
                        break
            except httpx.TransportError:
                time.sleep(rng.uniform(0, 0.1))

    def lines(self, client, version, timeout):
        query = {"watch": "true", "resourceVersion": str(version), "timeoutSeconds": "60"}
        with client.stream("GET", STREAMS, params=query, timeout=timeout) as answer:
            if answer.status_code != 200:
                answer.read()
                raise AssertionError(answer.text)
            yield from answer.iter_lines()

    # the test run

    def run(self, between):
        """Run writers and watchers together with `between`; return what each watcher received."""
        seen = [[] for _ in range(WATCHERS)]
        watchers = [
            self.start_thread(lambda clients, rng, events=events: self.watch(events, clients, rng))
            for events in seen
        ]
        writers = [self.start_thread(self.write) for _ in range(WRITERS)]
        started = time.monotonic()
        between(self)
        self.stopping.wait(max(0.0, SECONDS - (time.monotonic() - started)))
        self.stopping.set()
        for thread in writers:
            thread.join(2 * TIMEOUT_SECONDS)
        self.end = self.log()[-1][2]
        for thread in watchers:
            thread.join(TIMEOUT_SECONDS)
        assert not self.errors, self.errors
        return seen


def check(scenario, seen):
    """Assert that each watcher received the whole log in order, and that answered writes are in it.

    Return the log.
    """
    log = scenario.log()
    versions = [version for *_, version in log]
    assert versions == sorted(set(versions))
    assert {verb for verb, *_ in log} == {"ADDED", "MODIFIED", "DELETED"}
    for events in seen:
        assert events == log
    answered = {each for each in scenario.answered_writes if each[2] is not None}
    assert answered <= set(log)
    return log


def do_nothing(_scenario):
    """Leave both processes running."""


def kill_one(scenario):
    """Kill one process after a third of the time; restart it after a further quarter."""
    victim = random.choice(scenario.processes)
    scenario.stopping.wait(SECONDS / 3)
    victim.role.kill()
    scenario.stopping.wait(SECONDS / 4)
    victim.start()


@pytest.mark.timeout(SECONDS + 120)
def test_watchers_that_resume_at_two_processes_receive_all_events(open_cluster):
    scenario = WatchScenario(open_cluster())
    log = check(scenario, scenario.run(do_nothing))
    assert len(scenario.answered_writes) == len(log)
    assert len(log) > 5 * SECONDS


@pytest.mark.timeout(SECONDS + 150)
def test_watch_loses_no_event_of_killed_process(open_cluster):
    scenario = WatchScenario(open_cluster())
    log = check(scenario, scenario.run(kill_one))
    # A write at the time of the kill may be stored without a response.
    assert len(scenario.answered_writes) <= len(log) <= len(scenario.answered_writes) + WRITERS
