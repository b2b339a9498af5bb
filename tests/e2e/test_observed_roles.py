"""Celery's own programs tell of themselves as our commands do: metrics, and logs of one form."""

import json

from models.jobs import JobState
from tests.e2e.conftest import BIN, fill, until
from tests.fakeregistry.canary import Canary
from tests.scrapes import scrape, told


def serves(role):
    return until(lambda: '"metrics.served"' in role.output or not role.runs, within=60)


def test_celerys_worker_and_beat_serve_metrics_and_write_json(open_server, fake):
    fill(fake, 3)
    canary = Canary()
    house = open_server(TAGSTREAM_METRICS_LISTEN="127.0.0.1:0")
    house.variables["TAGSTREAM_BROKER_URL"] = house.variables["TAGSTREAM_BROKER_URL"].replace(
        "redis://", f"redis://:{canary.secret}@"
    )  # which a Redis without a password refuses: something to complain of
    refused = house.beat()
    house.variables["TAGSTREAM_BROKER_URL"] = house.settings.broker_url.get_secret_value()
    worker = house.start(str(BIN / "celery"), "-A", "worker.app", "worker", "-l", "DEBUG")
    beat = house.beat()
    assert all(serves(role) for role in (refused, worker, beat)), worker.output + beat.output

    job = house.enqueue("app")
    assert house.finished(job, within=60).state is JobState.SUCCEEDED
    ended = {"registry": fake.host, "result": "changed", "reason": "", "trigger": "api"}
    until(lambda: told("tagstream_imports_total", page=scrape(worker), **ended) == 3, within=60)
    page = scrape(worker)
    requests = {"registry": fake.host, "method": "GET", "code": "200"}
    assert told("tagstream_registry_requests_total", page=page, **requests) >= 3
    assert told("tagstream_source_up", page=page, source="database") == 1
    assert "tagstream_source_up" not in scrape(beat)  # it has no database to tell of
    until(lambda: told("tagstream_tick_seconds_count", page=scrape(worker)) > 0, within=60)

    for role in (refused, worker, beat):
        role.stop()
    for role in (worker, beat):
        lines = [line for line in role.output.splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        assert all({"event", "level", "timestamp"} <= set(event) for event in events)
    finished = [
        json.loads(line) for line in worker.output.splitlines() if "import.finished" in line
    ]
    assert [(event["job"], event["stream"]) for event in finished] == [(str(job.id), "team/app")]
    canary.check(refused.output)
