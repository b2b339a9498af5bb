"""The plain page of metrics: served where it was asked for, or not at all, and the work goes on."""

import socket
import threading
from dataclasses import dataclass

import httpx
import pytest
import structlog

from models.config.settings import Settings
from models.store.database.session import open_engine, upgrade
from models.telemetry.metrics import QUEUE, TAGS_SCHEDULED, source
from tests.scrapes import few_registries, samples, told
from worker.celery_app import CONTROL
from worker.monitoring.instrumentation import observed
from worker.monitoring.metrics_collectors import Kept, tell_health
from worker.monitoring.metrics_server import metrics_served, start_listener


@pytest.fixture
def listener():
    with metrics_served("127.0.0.1:0") as found:
        yield found


def get(listener, path="/metrics", method="GET"):
    return httpx.request(method, f"http://127.0.0.1:{listener.port}{path}", timeout=10)


def test_it_serves_the_page_in_prometheus_format(listener):
    answer = get(listener)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert told("tagstream_claimed_total", page=answer.text) >= 0
    assert "process_resident_memory_bytes" in answer.text
    assert get(listener, method="HEAD").content == b""


def test_it_serves_nothing_else(listener):
    assert get(listener, "/").status_code == 404
    assert get(listener, "/metrics/x").status_code == 404
    assert get(listener, method="POST").status_code == 501


def test_a_client_that_says_nothing_keeps_nobody_waiting(listener):
    with socket.create_connection(("127.0.0.1", listener.port)):
        assert get(listener).status_code == 200


def test_it_ends_with_its_block():
    with metrics_served("127.0.0.1:0") as found:
        port = found.port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_nothing_listens_where_nothing_was_asked_for():
    before = threading.active_count()
    with metrics_served("") as found:
        assert found is None
        assert threading.active_count() == before


@pytest.mark.parametrize("wrong", ["nonsense", "127.0.0.1", "127.0.0.1:99999999"])
def test_an_address_that_is_none_is_told_and_harms_nothing(wrong):
    with structlog.testing.capture_logs() as lines:
        assert start_listener(wrong) is None
    assert [line["event"] for line in lines] == ["metrics.not_served"]
    assert wrong in lines[0]["reason"]


def test_a_port_that_is_taken_is_told_and_harms_nothing(listener):
    place = f"127.0.0.1:{listener.port}"
    with structlog.testing.capture_logs() as lines:
        assert start_listener(place) is None
    [line] = lines
    assert line["log_level"] == "error"
    assert line["listen"] == place
    assert "in use" in line["reason"]
    assert "TAGSTREAM_METRICS_LISTEN" in line["advice"]


def test_a_house_tells_of_its_database_and_its_queues(tmp_path, redis_url):
    settings = Settings(data_dir=tmp_path, broker_url=redis_url)
    engine = open_engine(settings.effective_database_url)
    upgrade(engine)
    with observed(settings, lambda: engine):
        found = samples()
    engine.dispose()
    assert found[TAGS_SCHEDULED.name,] == 0
    assert found[QUEUE.name, ("queue", CONTROL)] == 0
    assert found["tagstream_source_up", ("source", "broker")] == 1


def test_a_broker_that_is_away_is_told_and_spoils_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{port}/0")
    engine = open_engine(settings.effective_database_url)
    with observed(settings, lambda: engine):
        found = samples()
    engine.dispose()
    assert found["tagstream_source_up", ("source", "broker")] == 0
    assert found["tagstream_source_up", ("source", "database")] == 0  # it has no tables
    assert not any(key[0] == QUEUE.name for key in found)


def test_what_is_read_is_kept_for_a_while_and_longer_where_it_is_dear():
    now = [0.0]
    reads = []

    def read():
        reads.append(now[0])
        now[0] += 0.2  # so long it takes
        return []

    kept = Kept(read, clock=lambda: now[0])
    for _ in range(60):
        kept()
        now[0] += 1.0
    assert len(reads) == 3  # after twenty seconds, again and again


def test_a_reading_that_failed_is_not_tried_again_at_once():
    now = [0.0]
    reads = []

    def read():
        reads.append(now[0])
        raise OSError

    kept = Kept(read, clock=lambda: now[0])
    for moment in (0.0, 1.0, 6.0):
        now[0] = moment
        with pytest.raises(OSError, match="could not be read"):
            kept()
    assert reads == [0.0, 6.0]


@dataclass
class Healthy:
    """A registry as a host tells of it."""

    host: str
    in_flight: int = 0
    waiting: int = 0
    breaker: str = "closed"
    quotas: tuple = ()


def test_registries_tell_their_health_by_the_name_that_references_use():
    hosts = [
        Healthy("registry-1.docker.io", 3, 2, quotas=(("", 100, 40, 9.0), ("uid/1", 200, 7, 9.0))),
        Healthy("down.example", breaker="open"),
        Healthy("back.example", breaker="half-open"),
    ]
    with few_registries(), source("registries", lambda: tell_health(hosts)):
        found = samples()
    hub, down, back = (("registry", name) for name in ("docker.io", "down.example", "back.example"))
    assert found["tagstream_registry_in_flight", hub] == 3
    assert found["tagstream_registry_waiting", hub] == 2
    assert found["tagstream_quota_remaining", ("credential", "anonymous"), hub] == 40
    assert found["tagstream_quota_remaining", ("credential", "uid/1"), hub] == 7
    assert found["tagstream_quota_limit", ("credential", "uid/1"), hub] == 200
    assert found["tagstream_breaker_open", hub] == 0
    assert found["tagstream_breaker_open", down] == 1
    assert found["tagstream_breaker_open", back] == 0


def test_of_registries_that_share_a_label_the_worst_is_told():
    names = [f"h{number}.example" for number in range(300)]
    hosts = [Healthy(name, 1, quotas=(("", 100, 50, 1.0),)) for name in names]
    hosts[250] = Healthy(names[250], 1, breaker="open", quotas=(("", 100, 2, 1.0),))
    with few_registries(), source("registries", lambda: tell_health(hosts)):
        found = samples()
    other = ("registry", "other")
    assert found["tagstream_breaker_open", other] == 1
    assert found["tagstream_registry_in_flight", other] == 100
    assert found["tagstream_quota_remaining", ("credential", "anonymous"), other] == 2
