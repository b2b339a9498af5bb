"""Policies of a Registry object apply from the next import on, in a running worker."""

import pytest

from tests import fixtures as fx
from worker.monitoring.registry_reporter import publish_registry_health
from worker.registry.registry_types import SourceRepository
from worker.worker_context import worker_context_of

PATH = "/apis/sync.tagstream.io/v1/registries"


@pytest.fixture
def source_registry(fake, worker_tenant):
    """A registry with `team/app:v1`; its Registry object is deleted after the test."""
    fake.push("team/app", tag="v1", manifest=fx.S2, config=fx.CFG_A)
    fake.name = fake.host.replace(":", "-")
    yield fake
    worker_tenant.admin.delete(f"{PATH}/{fake.name}")


def set_policy(tenant, source_registry, **spec):
    """Create the Registry object or update its spec."""
    body = {
        "metadata": {"name": source_registry.name},
        "spec": {"host": source_registry.host, **spec},
    }
    headers = {"Content-Type": "application/merge-patch+json"}
    patched = tenant.admin.patch(f"{PATH}/{source_registry.name}", json=body, headers=headers)
    response = patched if patched.status_code != 404 else tenant.admin.post(PATH, json=body)
    assert response.status_code in {200, 201}, response.text


def do_import(tenant, source_registry, source=""):
    name = source or f"{source_registry.host}/team/app:v1"
    body = {
        "metadata": {"name": "app"},
        "spec": {
            "import": True,
            "images": [{"from": {"kind": "DockerImage", "name": name}, "to": {"name": "v1"}}],
        },
    }
    response = tenant.post("imagestreamimports", body)
    assert response.status_code == 201, response.text
    [image] = response.json()["status"]["images"]
    return image["status"]


def test_blocked_registry_rejects_next_import_until_unblocked(worker_tenant, source_registry):
    assert do_import(worker_tenant, source_registry)["status"] == "Success"
    requests_before = len(source_registry.requests)
    set_policy(worker_tenant, source_registry, blocked=True)
    blocked = do_import(worker_tenant, source_registry)
    assert blocked["status"] == "Failure"
    assert f"registry {source_registry.host} blocked" in blocked["message"]
    assert len(source_registry.requests) == requests_before
    set_policy(worker_tenant, source_registry, blocked=None)
    assert do_import(worker_tenant, source_registry)["status"] == "Success"


def test_registry_limits_apply_at_once_and_appear_in_status(worker_tenant, source_registry):
    set_policy(worker_tenant, source_registry, rate=7, concurrency=2)
    assert do_import(worker_tenant, source_registry)["status"] == "Success"
    context = worker_context_of(worker_tenant.api_server.celery_app)
    policy = context.client.hosts.policy_of(source_registry.host)
    assert (policy.rate, policy.concurrency) == (7, 2)
    registry = SourceRepository(source_registry.host, "team/app")

    async def limit():
        return context.client.hosts.host(registry).limit

    assert context.loop.run(limit(), within=5) <= 2
    assert publish_registry_health(context)
    status = worker_tenant.admin.get(f"{PATH}/{source_registry.name}").json()["status"]
    assert (status["health"], status["rate"]) == ("Healthy", 7)
    assert status["concurrency"] <= 2
    assert status["circuitBreaker"] == {"state": "Closed"}
