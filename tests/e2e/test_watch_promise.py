"""The promise of a watch: whoever comes back with the last version it saw misses nothing, at
whichever API process it knocks, and whatever became of the one it left (`api.md` C15).

SOAK_SECONDS says for how long (`make soak`).
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

from models.access.rbac import EVERYWHERE, USER_KIND
from models.store.access.namespace_store import ensure_namespace
from models.store.access.token_store import bind, create_token
from models.store.changes.change_log import latest_version, load_changes
from models.store.database.session import transaction
from tests.e2e.conftest import BIN, until
from tests.servers import free_port

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
WRITERS, WATCHERS = 8, 4
NAMES = [f"app-{number}" for number in range(24)]
STREAMS = "/apis/image.openshift.io/v1/namespaces/team/imagestreams"
MERGE = {"Content-Type": "application/merge-patch+json"}
PATIENCE = 30.0


class ApiProcess:
    """One `tagstream api`; it comes back at the same port."""

    def __init__(self, house):
        self.house = house
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.role = None

    def start(self):
        listen = ("--listen", f"127.0.0.1:{self.port}", "--plain-http")
        self.role = self.house.start(str(BIN / "tagstream"), "api", *listen)
        until(self.is_ready, within=PATIENCE)
        return self

    def is_ready(self):
        assert self.role.runs, self.role.output
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Play:
    """Everybody on stage: who writes, who watches, and what they saw."""

    def __init__(self, house):
        self.house = house
        self.processes = [ApiProcess(house).start() for _ in range(2)]
        with transaction(house.engine) as session:
            now = datetime.now(UTC)
            ensure_namespace(session, "team", now=now)
            self.token = create_token(session, name="root", user="root", now=now)
            bind(session, USER_KIND, "root", "admin", EVERYWHERE, now=now)
        with transaction(house.engine, write=False) as session:
            self.start = latest_version(session)
        self.written = []
        self.trouble = []
        self.curtain = threading.Event()
        self.end = None

    def log(self):
        """What the store remembers: (type, name, version) in order."""
        with transaction(self.house.engine, write=False) as session:
            changes = load_changes(session, after=self.start, limit=10**6, kind="ImageStream")
        return [(str(each.change.verb), each.change.name, each.version) for each in changes]

    def on_stage(self, part):
        """A thread that plays a part; what goes wrong there is told at the end."""
        headers = {"Authorization": f"Bearer {self.token}"}

        def play():
            with contextlib.ExitStack() as stack:
                clients = [
                    stack.enter_context(
                        httpx.Client(
                            base_url=each.url, headers=headers, timeout=PATIENCE, trust_env=False
                        )
                    )
                    for each in self.processes
                ]
                try:
                    part(clients, random.Random())
                except Exception as error:  # noqa: BLE001 - it is told in the main thread
                    self.trouble.append(error)

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        return thread

    # -- parts --

    def write(self, clients, chance):
        """Create, change and delete what all the others do too, now here, now there."""
        while not self.curtain.is_set():
            try:
                self.write_once(chance.choice(clients), chance)
            except httpx.TransportError:  # it was killed; perhaps it did what we asked
                time.sleep(0.05)

    def write_once(self, client, chance):
        name = chance.choice(NAMES)
        roll = chance.random()
        if roll < 0.35:
            answer = client.post(STREAMS, json={"metadata": {"name": name}})
            verb, good, vain = "ADDED", 201, {409}
        elif roll < 0.8:
            body = {"metadata": {"annotations": {"roll": repr(chance.random())}}}
            path = f"{STREAMS}/{name}"
            answer = client.patch(path, content=json.dumps(body), headers=MERGE)
            verb, good, vain = "MODIFIED", 200, {404, 409}
        else:
            answer = client.delete(f"{STREAMS}/{name}")
            verb, good, vain = "DELETED", 200, {404, 409}
        if answer.status_code == good:
            version = answer.json().get("metadata", {}).get("resourceVersion")
            self.written.append((verb, name, int(version) if version else None))
        else:
            assert answer.status_code in vain, answer.text

    def watch(self, seen, clients, chance):
        """Come, listen for a while, leave in the middle, come back: at either process."""
        version = self.start
        while self.end is None or version < self.end:
            most = chance.randint(1, 120)
            try:
                patience = httpx.Timeout(PATIENCE, read=chance.uniform(0.05, 1.0))
                for line in self.lines(chance.choice(clients), version, patience):
                    event = json.loads(line)
                    assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
                    metadata = event["object"]["metadata"]
                    version = int(metadata["resourceVersion"])
                    seen.append((event["type"], metadata["name"], version))
                    most -= 1
                    if not most or version == self.end:
                        break
            except httpx.TransportError:
                time.sleep(chance.uniform(0, 0.1))

    def lines(self, client, version, patience):
        query = {"watch": "true", "resourceVersion": str(version), "timeoutSeconds": "60"}
        with client.stream("GET", STREAMS, params=query, timeout=patience) as answer:
            if answer.status_code != 200:
                answer.read()
                raise AssertionError(answer.text)
            yield from answer.iter_lines()

    # -- acts --

    def perform(self, between):
        """All parts at once, `between` in the middle; what each watcher saw."""
        seen = [[] for _ in range(WATCHERS)]
        watchers = [
            self.on_stage(lambda clients, chance, mine=mine: self.watch(mine, clients, chance))
            for mine in seen
        ]
        writers = [self.on_stage(self.write) for _ in range(WRITERS)]
        began = time.monotonic()
        between(self)
        self.curtain.wait(max(0.0, SECONDS - (time.monotonic() - began)))
        self.curtain.set()
        for thread in writers:
            thread.join(2 * PATIENCE)
        self.end = self.log()[-1][2]
        for thread in watchers:
            thread.join(PATIENCE)
        assert not self.trouble, self.trouble
        return seen


def check(play, seen):
    """Everybody saw the log, all of it and in its order; and what was answered stands in it."""
    log = play.log()
    versions = [version for *_, version in log]
    assert versions == sorted(set(versions))
    assert {verb for verb, *_ in log} == {"ADDED", "MODIFIED", "DELETED"}
    for mine in seen:
        assert mine == log
    answered = {each for each in play.written if each[2] is not None}
    assert answered <= set(log)
    return log


def nothing(_play):
    """Happens in between."""


def kill_one(play):
    """A third of the time both live, a third one, then both again."""
    victim = random.choice(play.processes)
    play.curtain.wait(SECONDS / 3)
    victim.role.kill()
    play.curtain.wait(SECONDS / 4)
    victim.start()


@pytest.mark.timeout(SECONDS + 120)
def test_watchers_that_come_and_go_between_two_processes_see_the_same_list(open_server):
    play = Play(open_server())
    log = check(play, play.perform(nothing))
    assert len(play.written) == len(log)
    assert len(log) > 5 * SECONDS


@pytest.mark.timeout(SECONDS + 150)
def test_a_killed_process_takes_no_event_with_it(open_server):
    play = Play(open_server())
    log = check(play, play.perform(kill_one))
    # What was written in the moment of the kill has no answer.
    assert len(play.written) <= len(log) <= len(play.written) + WRITERS
