"""LivePolicies: rules are refreshed when registries change, and kept when the database fails."""

import pytest

from models.config.live_policies import LivePolicies
from models.config.settings import Settings
from models.reference import Reference
from models.resources.meta import ObjectMeta
from models.resources.registries import Registry, RegistrySpec
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.registries.registry_store import save_registry
from tests.integration.store.sample_objects import NOW


class LivePoliciesSetup:
    """A store, the live policies of one process, and its clock."""

    def __init__(self, url):
        self.engine = open_engine(url)
        upgrade_database(self.engine)
        self.time = 100.0
        self.live = LivePolicies(Settings(), self.engine, clock=lambda: self.time)

    def block_host(self, host):
        spec = RegistrySpec(host=host, blocked=True)
        with transaction(self.engine) as session:
            save_registry(
                session, None, Registry(metadata=ObjectMeta(name=host), spec=spec), now=NOW
            )

    def is_blocked(self, host):
        return self.live.rules.registries.is_blocked(Reference.parse(f"{host}/a/b:1"))


@pytest.fixture
def policies(ready_database_url):
    policies = LivePoliciesSetup(ready_database_url)
    yield policies
    policies.engine.dispose()


def test_refresh_builds_new_rules_only_after_a_change(policies):
    before = policies.live.rules
    assert not policies.live.refresh()
    assert policies.live.rules is before
    policies.block_host("quay.io")
    assert policies.live.refresh()
    assert policies.is_blocked("quay.io")
    refreshed = policies.live.rules
    assert not policies.live.refresh()
    assert policies.live.rules is refreshed


def test_refresh_with_max_age_reads_database_once_per_age(policies):
    policies.live.refresh(1.0)
    policies.block_host("quay.io")
    policies.time += 0.9
    assert not policies.live.refresh(1.0)
    assert not policies.is_blocked("quay.io")
    policies.time += 0.2
    assert policies.live.refresh(1.0)
    assert policies.is_blocked("quay.io")


def test_refresh_with_failing_database_keeps_rules(policies, tmp_path):
    policies.block_host("quay.io")
    policies.live.refresh()
    policies.live.engine = open_engine(f"sqlite:///{tmp_path}/empty.db")
    assert not policies.live.refresh()
    assert policies.is_blocked("quay.io")
    policies.live.engine.dispose()
