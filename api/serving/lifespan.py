"""Opens an API process: what it holds, and what runs beside it as long as it serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from celery import Celery
from sqlalchemy import Engine
from starlette.applications import Starlette

from api.api_context import House
from api.app import build_api
from api.auth.token_authenticator import Gatekeeper
from api.codec.storage_conversion import opener
from api.serving.executor import Threads
from api.watch.change_reader import Feed, Follower
from api.watch.reauthorization import WatchGuard
from api.watch.watch_cache import Hub, Page
from models.config.live_policies import LiveRules
from models.config.settings import Settings
from models.store.database.cipher import Cipher


def open_house(
    settings: Settings,
    engine: Engine,
    cipher: Cipher,
    counter: Celery,
    *,
    open_door: Callable[[Engine, Threads], Gatekeeper] = Gatekeeper,
) -> House:
    """What a process holds; `open_door` makes who decides whom to let in."""
    live = LiveRules(settings, engine)
    threads = Threads()
    feed = Feed(engine, open_object=opener(live, cipher))

    async def read_past(kind: str, after: int) -> Page:
        return await threads.run(feed.read, kind, after)

    gatekeeper = open_door(engine, threads)
    return House(
        settings=settings,
        engine=engine,
        live=live,
        cipher=cipher,
        counter=counter,
        threads=threads,
        gatekeeper=gatekeeper,
        hub=Hub(read_past),
        guard=WatchGuard(gatekeeper),
        feed=feed,
    )


def open_api(settings: Settings, engine: Engine, cipher: Cipher, counter: Celery) -> Starlette:
    """The application, ready to be served; the follower lives as long as it does."""
    house = open_house(settings, engine, cipher, counter)

    async def live() -> AsyncIterator[None]:
        follower = Follower(engine, house.hub, house.feed)
        follower.start()
        try:
            yield
        finally:
            house.hub.close()
            await house.threads.run(follower.stop)
            house.threads.close()

    api = build_api(house, lifespan=live)
    api.state.before_end = house.hub.close  # a server that stops ends its watches first
    return api
