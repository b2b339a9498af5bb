"""What a Registry object says counts from the next import on, in a worker that runs."""

import pytest

from tests import fixtures as fx
from worker.monitoring.registry_reporter import report
from worker.registry.registry_types import Place
from worker.worker_context import runtime_of

PATH = "/apis/sync.tagstream.io/v1/registries"


@pytest.fixture
def shop(fake, workroom):
    """A registry with `team/app:v1`, whose Registry object goes when the test ends."""
    fake.push("team/app", tag="v1", manifest=fx.S2, config=fx.CFG_A)
    fake.name = fake.host.replace(":", "-")
    yield fake
    workroom.admin.delete(f"{PATH}/{fake.name}")


def say(room, shop, **spec):
    """Make the object, or change what it says."""
    body = {"metadata": {"name": shop.name}, "spec": {"host": shop.host, **spec}}
    headers = {"Content-Type": "application/merge-patch+json"}
    patched = room.admin.patch(f"{PATH}/{shop.name}", json=body, headers=headers)
    answer = patched if patched.status_code != 404 else room.admin.post(PATH, json=body)
    assert answer.status_code in {200, 201}, answer.text


def do_import(room, shop, source=""):
    name = source or f"{shop.host}/team/app:v1"
    body = {
        "metadata": {"name": "app"},
        "spec": {
            "import": True,
            "images": [{"from": {"kind": "DockerImage", "name": name}, "to": {"name": "v1"}}],
        },
    }
    answer = room.post("imagestreamimports", body)
    assert answer.status_code == 201, answer.text
    [image] = answer.json()["status"]["images"]
    return image["status"]


def test_the_next_import_is_refused_by_a_registry_that_was_blocked_and_let_in_again(workroom, shop):
    assert do_import(workroom, shop)["status"] == "Success"
    asked = len(shop.requests)
    say(workroom, shop, blocked=True)
    refused = do_import(workroom, shop)
    assert refused["status"] == "Failure"
    assert f"registry {shop.host} blocked" in refused["message"]
    assert len(shop.requests) == asked
    say(workroom, shop, blocked=None)
    assert do_import(workroom, shop)["status"] == "Success"


def test_a_budget_counts_at_once_and_the_status_tells_of_it(workroom, shop):
    say(workroom, shop, rate=7, concurrency=2)
    assert do_import(workroom, shop)["status"] == "Success"
    runtime = runtime_of(workroom.world.counter)
    policy = runtime.client.hosts.policies(shop.host)
    assert (policy.rate, policy.concurrency) == (7, 2)
    registry = Place(shop.host, "team/app")

    async def limit():
        return runtime.client.hosts.host(registry).limit

    assert runtime.loop.run(limit(), within=5) <= 2
    assert report(runtime)
    status = workroom.admin.get(f"{PATH}/{shop.name}").json()["status"]
    assert (status["health"], status["rate"]) == ("Healthy", 7)
    assert status["limit"] <= 2
    assert status["breaker"] == {"state": "closed"}
