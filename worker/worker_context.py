"""What a worker process holds as long as it lives: engine, loop, registry client, rules."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from celery import Celery
from sqlalchemy import Engine

from models.config.import_config import build_cadence
from models.config.live_policies import LiveRules
from models.config.settings import Settings
from models.job_types import Lane
from models.store.database.cipher import Cipher, open_cipher
from models.store.database.session import open_engine
from models.streams.imports.import_rules import ImportRules
from models.streams.schedule.check_schedule import Cadence
from worker.event_loop import WorkerLoop
from worker.registry.auth.credentials import Keyring
from worker.registry.client_config import build_client_config
from worker.registry.limits.host_limiters import HostPolicy
from worker.registry.registry_client import RegistryClient
from worker.registry.request_context import Access

_OPENING = threading.Lock()
_OPEN: dict[int, Runtime] = {}


@dataclass(slots=True)
class Runtime:
    """One per process. The client's connections and tokens outlive every job.

    `rules` are those of `live` as of the last `refresh`.
    """

    settings: Settings
    engine: Engine
    loop: WorkerLoop
    client: RegistryClient
    live: LiveRules
    rules: ImportRules
    cadence: Cadence
    cipher: Cipher
    name: str
    policies_version: int = 0
    leaving: threading.Event = field(default_factory=threading.Event)

    def refresh(self) -> None:
        """Let the next job go by what Registry objects say by now."""
        self.live.look()
        version = self.live.policies.version
        if version != self.policies_version:
            self.rules, self.policies_version = self.live.rules, version
            self.cadence = build_cadence(self.settings, self.live.policies)

    def leave(self) -> None:
        """Stop what runs, now; those jobs go back on the counter, for whoever comes next."""
        self.leaving.set()
        self.loop.abandon()

    def access(self, keyring: Keyring, *, tenant: str, lane: Lane) -> Access:
        """Whose rights and whose turn a job's requests have."""
        return Access(keyring=keyring, tenant=tenant, lane=lane.value)

    def seconds_for(self, lane: Lane) -> float:
        """How long a job of that lane may take."""
        if lane is Lane.INTERACTIVE:
            return self.settings.import_deadline.total_seconds()
        return self.settings.bulk_deadline.total_seconds()

    def close(self) -> None:
        """Give everything back."""
        self.loop.run(self.client.close(), within=10)
        self.loop.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_runtime(settings: Settings, *, engine: Engine | None = None) -> Runtime:
    """Open what a worker needs. The database is expected to be at its newest schema."""
    engine = engine or open_engine(settings.effective_database_url)
    cipher = open_cipher(
        key=settings.key,
        key_file=settings.key_file,
        data_dir=settings.data_dir,
        embedded=settings.embedded,
    )
    loop = WorkerLoop()
    client = loop.run(_open_client(settings), within=10)
    live = LiveRules(settings, engine)
    client.hosts.policies = _policies(settings, live)
    return Runtime(
        settings=settings,
        engine=engine,
        loop=loop,
        client=client,
        live=live,
        rules=live.rules,
        cadence=build_cadence(settings),
        cipher=cipher,
        name=f"{socket.gethostname()}:{os.getpid()}",
    )


def _policies(settings: Settings, live: LiveRules) -> Callable[[str], HostPolicy]:
    """What Registry objects say of a host's budget, as of the last look at them."""

    def policy_of(host: str) -> HostPolicy:
        said = live.policies.policy(host)
        rate = settings.registry_rate if said.rate is None else said.rate
        return HostPolicy(rate=rate, concurrency=said.concurrency)

    return policy_of


async def _open_client(settings: Settings) -> RegistryClient:
    return RegistryClient(build_client_config(settings))


def runtime_of(app: Celery) -> Runtime:
    """The runtime of this process for that application, opened at the first need."""
    with _OPENING:
        found = _OPEN.get(id(app))
        if found is None:
            found = _OPEN[id(app)] = open_runtime(app.settings)
        return found


def opened_runtime(app: Celery) -> Runtime | None:
    """The runtime of this process for that application, where one is open."""
    with _OPENING:
        return _OPEN.get(id(app))


def adopt_runtime(app: Celery, runtime: Runtime) -> None:
    """Let the tasks of `app` use a runtime that is open already."""
    with _OPENING:
        _OPEN[id(app)] = runtime


def close_runtime(app: Celery) -> None:
    """Close the runtime of `app`, if one was opened."""
    with _OPENING:
        found = _OPEN.pop(id(app), None)
    if found is not None:
        found.close()
