"""Celery's own programs tell of themselves as our commands do: metrics, and logs of one form."""

import json

from tests.e2e.conftest import BIN, until
from tests.fakeregistry.canary import Canary
from tests.scrapes import scrape, told


def serves(role):
    return until(lambda: '"metrics.served"' in role.output or not role.runs, within=60)


def test_celerys_worker_and_beat_serve_metrics_and_write_json(open_server):
    canary = Canary()
    house = open_server(TAGSTREAM_METRICS_LISTEN="127.0.0.1:0")
    house.variables["TAGSTREAM_BROKER_URL"] = house.variables["TAGSTREAM_BROKER_URL"].replace(
        "redis://", f"redis://:{canary.secret}@"
    )  # which a Redis without a password refuses: something to complain of
    refused = house.beat()
    house.variables["TAGSTREAM_BROKER_URL"] = house.settings.broker_url.get_secret_value()
    worker = house.start(str(BIN / "celery"), "-A", "worker.celery_app", "worker", "-l", "DEBUG")
    beat = house.beat()
    assert all(serves(role) for role in (refused, worker, beat)), worker.output + beat.output

    until(lambda: told("tagstream_source_up", page=scrape(worker), source="database") == 1)
    assert told("tagstream_jobs", page=scrape(worker), state="queued", lane="bulk") == 0
    assert "tagstream_source_up" not in scrape(beat)  # it has no database to tell of

    refused.kill()  # it would go on waiting for its broker
    for role in (worker, beat):
        assert role.stop() == 0
    for role in (worker, beat):
        lines = [line for line in role.output.splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        assert events
        assert all({"event", "level", "timestamp"} <= set(event) for event in events)
    canary.check(refused.output)
