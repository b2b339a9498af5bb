"""Tests of the metrics endpoint, of its collectors, and of the registry gauges."""

import socket
import threading
from dataclasses import dataclass

import httpx
import pytest
import structlog

from models.config.settings import Settings
from models.store.database.session import open_engine, upgrade_database
from models.telemetry.metrics import QUEUE_MESSAGES, SCHEDULED_TAGS, gauge_source
from tests.scrapes import few_registries, sample_value, samples
from worker.job_queue import CONTROL_QUEUE
from worker.monitoring.instrumentation import instrument_process
from worker.monitoring.metrics_collectors import CachedSource, build_health_values
from worker.monitoring.metrics_server import serve_metrics, start_metrics_server


@pytest.fixture
def endpoint():
    with serve_metrics("127.0.0.1:0") as found:
        yield found


def get(endpoint, path="/metrics", method="GET"):
    return httpx.request(method, f"http://127.0.0.1:{endpoint.port}{path}", timeout=10)


def test_metrics_endpoint_serves_prometheus_format(endpoint):
    answer = get(endpoint)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert sample_value("tagstream_schedule_claimed_tags_total", page=answer.text) >= 0
    assert "process_resident_memory_bytes" in answer.text
    assert get(endpoint, method="HEAD").content == b""


def test_metrics_endpoint_rejects_other_paths_and_post(endpoint):
    assert get(endpoint, "/").status_code == 404
    assert get(endpoint, "/metrics/x").status_code == 404
    assert get(endpoint, method="POST").status_code == 501


def test_metrics_endpoint_answers_beside_a_silent_connection(endpoint):
    with socket.create_connection(("127.0.0.1", endpoint.port)):
        assert get(endpoint).status_code == 200


def test_metrics_endpoint_closes_with_its_block():
    with serve_metrics("127.0.0.1:0") as found:
        port = found.port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_metrics_endpoint_is_not_opened_without_an_address():
    before = threading.active_count()
    with serve_metrics("") as found:
        assert found is None
        assert threading.active_count() == before


@pytest.mark.parametrize("wrong", ["nonsense", "127.0.0.1", "127.0.0.1:99999999"])
def test_metrics_endpoint_with_invalid_address_is_logged_and_skipped(wrong):
    with structlog.testing.capture_logs() as lines:
        assert start_metrics_server(wrong) is None
    assert [line["event"] for line in lines] == ["metrics.not_served"]
    assert wrong in lines[0]["reason"]


def test_metrics_endpoint_with_port_in_use_is_logged_and_skipped(endpoint):
    address = f"127.0.0.1:{endpoint.port}"
    with structlog.testing.capture_logs() as lines:
        assert start_metrics_server(address) is None
    [line] = lines
    assert line["log_level"] == "error"
    assert line["listen"] == address
    assert "in use" in line["reason"]
    assert "TAGSTREAM_METRICS_LISTEN" in line["advice"]


def test_instrumented_process_exposes_database_and_queues(tmp_path, redis_url):
    settings = Settings(data_dir=tmp_path, broker_url=redis_url)
    engine = open_engine(settings.effective_database_url)
    upgrade_database(engine)
    with instrument_process(settings, lambda: engine):
        found = samples()
    engine.dispose()
    assert found[SCHEDULED_TAGS.name,] == 0
    assert found[QUEUE_MESSAGES.name, ("queue", CONTROL_QUEUE)] == 0
    assert found["tagstream_scrape_source_up", ("source", "broker")] == 1


def test_unreachable_broker_marks_its_scrape_source_as_down(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{port}/0")
    engine = open_engine(settings.effective_database_url)
    with instrument_process(settings, lambda: engine):
        found = samples()
    engine.dispose()
    assert found["tagstream_scrape_source_up", ("source", "broker")] == 0
    assert found["tagstream_scrape_source_up", ("source", "database")] == 0  # it has no tables
    assert not any(key[0] == QUEUE_MESSAGES.name for key in found)


def test_cached_source_reads_slow_values_less_often():
    now = [0.0]
    reads = []

    def read():
        reads.append(now[0])
        now[0] += 0.2  # the duration of a read
        return []

    source = CachedSource(read, clock=lambda: now[0])
    for _ in range(60):
        source()
        now[0] += 1.0
    assert len(reads) == 3  # a read of 0.2 s is repeated after 20 s


def test_cached_source_waits_before_it_retries_a_failed_read():
    now = [0.0]
    reads = []

    def read():
        reads.append(now[0])
        raise OSError

    source = CachedSource(read, clock=lambda: now[0])
    for time in (0.0, 1.0, 6.0):
        now[0] = time
        with pytest.raises(OSError, match="could not be read"):
            source()
    assert reads == [0.0, 6.0]


@dataclass
class RegistryHealth:
    """The values of a registry that the gauges show."""

    host: str
    in_flight: int = 0
    waiting: int = 0
    breaker: str = "closed"
    quotas: tuple = ()


def test_registry_gauges_use_the_host_of_references():
    hosts = [
        RegistryHealth(
            "registry-1.docker.io", 3, 2, quotas=(("", 100, 40, 9.0), ("uid/1", 200, 7, 9.0))
        ),
        RegistryHealth("down.example", breaker="open"),
        RegistryHealth("back.example", breaker="half-open"),
    ]
    with few_registries(), gauge_source("registries", lambda: build_health_values(hosts)):
        found = samples()
    hub, down, back = (("registry", name) for name in ("docker.io", "down.example", "back.example"))
    assert found["tagstream_registry_requests_in_flight", hub] == 3
    assert found["tagstream_registry_requests_queued", hub] == 2
    assert found["tagstream_registry_quota_remaining_pulls", ("credential", "anonymous"), hub] == 40
    assert found["tagstream_registry_quota_remaining_pulls", ("credential", "uid/1"), hub] == 7
    assert found["tagstream_registry_quota_limit_pulls", ("credential", "uid/1"), hub] == 200
    assert found["tagstream_registry_circuit_open", hub] == 0
    assert found["tagstream_registry_circuit_open", down] == 1
    assert found["tagstream_registry_circuit_open", back] == 0


def test_registry_gauges_of_a_shared_label_take_the_worst_value():
    names = [f"h{number}.example" for number in range(300)]
    hosts = [RegistryHealth(name, 1, quotas=(("", 100, 50, 1.0),)) for name in names]
    hosts[250] = RegistryHealth(names[250], 1, breaker="open", quotas=(("", 100, 2, 1.0),))
    with few_registries(), gauge_source("registries", lambda: build_health_values(hosts)):
        found = samples()
    other = ("registry", "other")
    assert found["tagstream_registry_circuit_open", other] == 1
    assert found["tagstream_registry_requests_in_flight", other] == 100
    assert (
        found["tagstream_registry_quota_remaining_pulls", ("credential", "anonymous"), other] == 2
    )
