"""Startup and shutdown of an API process: its application context and its background work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from celery import Celery
from sqlalchemy import Engine
from starlette.applications import Starlette

from api.api_context import ApiContext
from api.app import build_api
from api.auth.token_authenticator import TokenAuthenticator
from api.codec.storage_conversion import build_change_converter
from api.serving.executor import ThreadExecutor
from api.watch.change_reader import ChangeReader, Reflector
from api.watch.reauthorization import WatchReauthorizer
from api.watch.watch_cache import WatchCache, WatchEventPage
from models.config.live_policies import LivePolicies
from models.config.settings import Settings
from models.store.database.cipher import Cipher


def open_context(
    settings: Settings,
    engine: Engine,
    cipher: Cipher,
    job_queue: Celery,
    *,
    build_authenticator: Callable[
        [Engine, ThreadExecutor], TokenAuthenticator
    ] = TokenAuthenticator,
) -> ApiContext:
    """Return the application context of a process.

    `build_authenticator` is replaced by the CLI, whose in-process backend needs no tokens.
    """
    live_policies = LivePolicies(settings, engine)
    executor = ThreadExecutor()
    change_reader = ChangeReader(
        engine, convert_change=build_change_converter(live_policies, cipher)
    )

    async def read_change_log(kind: str, after: int) -> WatchEventPage:
        return await executor.run(change_reader.read, kind, after)

    authenticator = build_authenticator(engine, executor)
    return ApiContext(
        settings=settings,
        engine=engine,
        live_policies=live_policies,
        cipher=cipher,
        job_queue=job_queue,
        executor=executor,
        authenticator=authenticator,
        watch_cache=WatchCache(read_change_log),
        watch_reauthorizer=WatchReauthorizer(authenticator),
        change_reader=change_reader,
    )


def open_api(settings: Settings, engine: Engine, cipher: Cipher, job_queue: Celery) -> Starlette:
    """Return the application, ready to be served. The reflector runs as long as the application."""
    context = open_context(settings, engine, cipher, job_queue)

    async def run_lifespan() -> AsyncIterator[None]:
        reflector = Reflector(engine, context.watch_cache, context.change_reader)
        reflector.start()
        try:
            yield
        finally:
            context.watch_cache.close()
            await context.executor.run(reflector.stop)
            context.executor.close()

    api = build_api(context, lifespan=run_lifespan)
    api.state.on_shutdown = context.watch_cache.close  # a server that stops ends its watches first
    return api
