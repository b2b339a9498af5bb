"""Rules of a process that runs: as new as they need be, and never a reason to fail."""

import pytest

from models.config.live_policies import LiveRules
from models.config.settings import Settings
from models.reference import Reference
from models.resources.meta import ObjectMeta
from models.resources.registries import Registry, RegistrySpec
from models.store.database.session import open_engine, transaction, upgrade
from models.store.registries.registry_store import save_registry
from tests.integration.store.things import NOW


class World:
    """A store, a process that goes by it, and the time."""

    def __init__(self, url):
        self.engine = open_engine(url)
        upgrade(self.engine)
        self.time = 100.0
        self.live = LiveRules(Settings(), self.engine, clock=lambda: self.time)

    def block(self, host):
        spec = RegistrySpec(host=host, blocked=True)
        with transaction(self.engine) as session:
            save_registry(
                session, None, Registry(metadata=ObjectMeta(name=host), spec=spec), now=NOW
            )

    def blocks(self, host):
        return self.live.rules.registries.is_blocked(Reference.parse(f"{host}/a/b:1"))


@pytest.fixture
def world(ready_database_url):
    world = World(ready_database_url)
    yield world
    world.engine.dispose()


def test_a_look_finds_what_changed_and_only_then_makes_new_rules(world):
    before = world.live.rules
    assert not world.live.look()
    assert world.live.rules is before
    world.block("quay.io")
    assert world.live.look()
    assert world.blocks("quay.io")
    known = world.live.rules
    assert not world.live.look()
    assert world.live.rules is known


def test_who_may_be_a_second_behind_asks_once_a_second(world):
    world.live.look(1.0)
    world.block("quay.io")
    world.time += 0.9
    assert not world.live.look(1.0)
    assert not world.blocks("quay.io")
    world.time += 0.2
    assert world.live.look(1.0)
    assert world.blocks("quay.io")


def test_a_database_that_is_away_leaves_the_rules_as_they_are(world, tmp_path):
    world.block("quay.io")
    world.live.look()
    world.live.engine = open_engine(f"sqlite:///{tmp_path}/empty.db")
    assert not world.live.look()
    assert world.blocks("quay.io")
    world.live.engine.dispose()
