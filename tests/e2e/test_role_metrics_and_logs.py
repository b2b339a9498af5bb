"""Tests of Celery's own programs: they serve metrics and write logs as our commands do."""

import json

from tests.e2e.conftest import BIN, until
from tests.fakeregistry.leak_detector import LeakDetector
from tests.scrapes import sample_value, scrape


def serves_metrics(role):
    return until(lambda: '"metrics.served"' in role.output or not role.runs, within=60)


def test_celery_worker_and_beat_serve_metrics_and_write_json(open_cluster):
    detector = LeakDetector()
    cluster = open_cluster(TAGSTREAM_METRICS_LISTEN="127.0.0.1:0")
    cluster.variables["TAGSTREAM_BROKER_URL"] = cluster.variables["TAGSTREAM_BROKER_URL"].replace(
        "redis://", f"redis://:{detector.secret}@"
    )  # a Redis without a password refuses it, and beat logs an error
    refused = cluster.beat()
    cluster.variables["TAGSTREAM_BROKER_URL"] = cluster.settings.broker_url.get_secret_value()
    worker = cluster.start(str(BIN / "celery"), "-A", "worker.celery_main", "worker", "-l", "DEBUG")
    beat = cluster.beat()
    assert all(serves_metrics(role) for role in (refused, worker, beat)), (
        worker.output + beat.output
    )

    until(
        lambda: (
            sample_value("tagstream_scrape_source_up", page=scrape(worker), source="database") == 1
        )
    )
    assert sample_value("tagstream_jobs", page=scrape(worker), state="queued", priority="bulk") == 0
    assert "tagstream_scrape_source_up" not in scrape(beat)  # it has no database

    refused.kill()  # it still waits for its broker
    for role in (worker, beat):
        assert role.stop() == 0
    for role in (worker, beat):
        lines = [line for line in role.output.splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        assert events
        assert all({"event", "level", "timestamp"} <= set(event) for event in events)
    detector.check(refused.output)
