"""The context of a worker process: database engine, event loop, registry client, rules."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Engine

from models.config.import_config import build_cadence
from models.config.live_policies import LivePolicies
from models.config.settings import Settings
from models.job_types import Priority
from models.store.database.cipher import Cipher, open_cipher
from models.store.database.session import open_engine
from models.streams.imports.import_rules import ImportRules
from models.streams.schedule.check_schedule import Cadence
from worker.celery_app import TagstreamCelery
from worker.checks.lease_renewer import LeaseRenewer
from worker.context_holder import ContextHolder
from worker.event_loop import EventLoopThread
from worker.registry.auth.credentials import Keyring
from worker.registry.client_config import build_client_config
from worker.registry.limits.host_limiters import HostPolicy
from worker.registry.registry_client import RegistryClient
from worker.registry.request_context import RequestContext


@dataclass(slots=True)
class WorkerContext:
    """One for each process: the client's connections and tokens outlive every job.

    `rules` and `cadence` are those of `live_policies` as of the last `refresh`. `name` is the
    worker in leases and reports, HOST:PID. `stopping` is set when running jobs are to end now.
    """

    settings: Settings
    engine: Engine
    loop: EventLoopThread
    client: RegistryClient
    live_policies: LivePolicies
    rules: ImportRules
    cadence: Cadence
    cipher: Cipher
    name: str
    lease_renewer: LeaseRenewer
    policies_version: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def refresh(self) -> None:
        """Read the Registry objects again if they changed, for the jobs that start from now on."""
        self.live_policies.refresh()
        version = self.live_policies.policies.version
        if version != self.policies_version:
            self.rules, self.policies_version = self.live_policies.rules, version
            self.cadence = build_cadence(self.settings, self.live_policies.policies)

    def stop_jobs(self) -> None:
        """Cancel running jobs now. They are released to the queue, for another worker."""
        self.stopping.set()
        self.loop.cancel_all()

    def request_context(
        self, keyring: Keyring, *, tenant: str, priority: Priority
    ) -> RequestContext:
        """Return the credentials, the tenant and the priority of a job's requests."""
        return RequestContext(keyring=keyring, tenant=tenant, priority=priority.value)

    def job_timeout_seconds(self, priority: Priority) -> float:
        """Return how long a job of that priority may take (imports-7.6, scheduling-10.7)."""
        if priority is Priority.INTERACTIVE:
            return self.settings.import_deadline.total_seconds()
        return self.settings.bulk_deadline.total_seconds()

    def close(self) -> None:
        """Close connections, the event loop and the database engine."""
        self.loop.run(self.client.close(), within=10)
        self.loop.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_worker_context(settings: Settings, *, engine: Engine | None = None) -> WorkerContext:
    """Open the context of this process. The database has to be at the newest schema.

    An `engine` that is passed in is used, and closed with the context.
    """
    engine = engine or open_engine(settings.effective_database_url)
    cipher = open_cipher(
        key=settings.key,
        key_file=settings.key_file,
        data_dir=settings.data_dir,
        embedded=settings.embedded,
    )
    loop = EventLoopThread()
    client = loop.run(_open_client(settings), within=10)
    live_policies = LivePolicies(settings, engine)
    name = f"{socket.gethostname()}:{os.getpid()}"
    client.hosts.policy_of = _host_policies(settings, live_policies)
    return WorkerContext(
        settings=settings,
        engine=engine,
        loop=loop,
        client=client,
        live_policies=live_policies,
        rules=live_policies.rules,
        cadence=build_cadence(settings),
        cipher=cipher,
        name=name,
        lease_renewer=LeaseRenewer(engine, worker=name),
    )


def _host_policies(settings: Settings, live_policies: LivePolicies) -> Callable[[str], HostPolicy]:
    """Return a lookup of a host's rate and concurrency, as of the last refresh."""

    def policy_of(host: str) -> HostPolicy:
        registry_policy = live_policies.policies.policy(host)
        rate = settings.registry_rate if registry_policy.rate is None else registry_policy.rate
        return HostPolicy(rate=rate, concurrency=registry_policy.concurrency)

    return policy_of


async def _open_client(settings: Settings) -> RegistryClient:
    return RegistryClient(build_client_config(settings))


def worker_context_of(app: TagstreamCelery) -> WorkerContext:
    """Return the context of this process for that application; open it at first use."""
    return _holder_of(app).get_or_open(lambda: open_worker_context(app.settings))


def opened_worker_context(app: TagstreamCelery) -> WorkerContext | None:
    """Return the context of that application, None if none is open."""
    return _holder_of(app).get()


def adopt_worker_context(app: TagstreamCelery, context: WorkerContext) -> None:
    """Let the tasks of `app` use a context that is open already."""
    _holder_of(app).put(context)


def close_worker_context(app: TagstreamCelery) -> None:
    """Close the context of `app`, if one is open."""
    context = _holder_of(app).take()
    if context is not None:
        context.close()


def _holder_of(app: TagstreamCelery) -> ContextHolder[WorkerContext]:
    return app.context_holder
