"""`tagstream up`: what one person gets from one command, and keeps."""

import re
import signal
import socket
import stat

import httpx
import pytest

from tests.apiserver import streams
from tests.e2e.alone import Alone, push_builds
from tests.e2e.conftest import until


@pytest.fixture
def alone(tmp_path):
    """A directory in which nothing was started yet."""
    found = Alone(tmp_path)
    yield found
    found.close()


def test_it_tells_where_it_serves_and_how_to_begin_in_three_lines(alone):
    alone.start()
    first, second, third = alone.role.output.splitlines()
    assert first == f"tagstream serves {alone.url}; try:"
    kubectl, tagstream = second.split(), third.split()
    assert kubectl[0] == "kubectl"
    assert tagstream[0] == "tagstream"
    shown = alone.run(*kubectl)
    assert (shown.returncode, shown.stdout) == (0, ""), shown.stderr
    assert shown.stderr == "No resources found\n"
    assert alone.config["clusters"][0]["cluster"]["server"] == alone.url


def test_it_is_ready_and_lets_nobody_in_without_a_token(alone):
    alone.start()
    with alone.client() as client:
        for path in ("/readyz", "/livez", "/healthz"):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (200, "ok")
        assert client.get(streams("default")).json()["items"] == []
    with alone.client("tgs_wrong") as stranger:
        assert stranger.get("/readyz").status_code == 200
        assert stranger.get(streams("default")).status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{alone.url}/readyz")


def test_what_it_writes_down_is_for_its_owner_alone(alone):
    alone.start()
    secret = [alone.kubeconfig, alone.data / "secrets.key", *alone.data.glob("pki/*.key")]
    assert len(secret) == 4
    for path in (alone.data, *secret):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_within_seconds_whoever_still_watches(alone, number):
    alone.start()
    watcher = alone.begin("kubectl", "get", "imagestreams", "-w", "--output-watch-events")
    client = alone.client()  # it keeps its connection, and reads nothing from it
    made = client.post(streams("default"), json={"metadata": {"name": "seen"}})
    assert made.status_code == 201
    assert "EVENT" in watcher.stdout.readline()
    assert "seen" in watcher.stdout.readline()
    code, took = alone.stop(number)
    watcher.communicate(timeout=20)
    client.close()
    assert code == 0
    assert took < 10  # a watch may last for an hour, a silent connection 20 s
    assert not re.search("error|warning|Traceback", alone.role.output, re.IGNORECASE)


def test_the_second_start_knows_the_ca_the_token_and_all_that_was_stored(alone):
    alone.start()
    before = (alone.authority, alone.token)
    with alone.client() as client:
        assert client.post(streams("default"), json={"metadata": {"name": "kept"}}).is_success
        uid = client.get(f"{streams('default')}/kept").json()["metadata"]["uid"]
    assert alone.stop(signal.SIGTERM)[0] == 0

    alone.start()
    assert (alone.authority, alone.token) == before
    with alone.client() as client:
        assert client.get(f"{streams('default')}/kept").json()["metadata"]["uid"] == uid
        told = client.get("/apis/authentication.k8s.io/v1/selfsubjectreviews")
    assert told.status_code == 405


def test_a_kubeconfig_that_was_lost_is_written_anew_and_the_old_token_ends(alone):
    alone.start()
    old = alone.token
    alone.stop(signal.SIGTERM)
    alone.kubeconfig.unlink()
    alone.start()
    assert alone.token != old
    with alone.client() as client, alone.client(old) as stranger:
        assert client.get(streams("default")).status_code == 200
        assert stranger.get(streams("default")).status_code == 401


def test_a_port_that_is_taken_is_one_clear_line(alone):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = alone.run("tagstream", "up", "--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line


def test_it_imports_what_is_asked_for_without_any_other_process(tmp_path, registry):
    [digest] = push_builds(registry, "up/app", "1.0")
    alone = Alone(tmp_path, registry).start()
    try:
        tag = {
            "name": "1.0",
            "from": {"kind": "DockerImage", "name": f"{registry.host}/up/app:1.0"},
        }
        body = {"metadata": {"name": "app"}, "spec": {"tags": [tag]}}
        with alone.client() as client:
            assert client.post(streams("default"), json=body).status_code == 201
            path = f"{streams('default')}/app"
            [seen] = until(lambda: client.get(path).json()["status"].get("tags"))
        assert seen["items"][0]["image"] == digest
    finally:
        alone.close()
