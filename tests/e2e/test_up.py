"""`tagstream up`: what one person gets from one command, and keeps."""

import json
import re
import signal
import socket
import stat

import httpx
import pytest

from tests import fixtures as fx
from tests.apiserver import streams
from tests.e2e.alone import Alone, push_builds
from tests.e2e.conftest import until
from tests.scrapes import told

JOBS = "/apis/sync.tagstream.io/v1/namespaces/default/importjobs"


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
        page = client.get("/metrics").text
        for source in ("database", "registries"):  # one process, so one page tells everything
            assert told("tagstream_source_up", page=page, source=source) == 1
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


@pytest.fixture
def registry_world(tmp_path, registry):
    """The same with a registry to import from."""
    found = Alone(tmp_path, registry)
    yield found
    found.close()


def test_it_imports_what_is_asked_for_without_any_other_process(registry_world, registry):
    [digest] = push_builds(registry, "up/app", "1.0")
    registry_world.start()
    tag = {"name": "1.0", "from": {"kind": "DockerImage", "name": f"{registry.host}/up/app:1.0"}}
    body = {"metadata": {"name": "app"}, "spec": {"tags": [tag]}}
    with registry_world.client() as client:
        assert client.post(streams("default"), json=body).status_code == 201
        path = f"{streams('default')}/app"
        [seen] = until(lambda: client.get(path).json()["status"].get("tags"))
    assert seen["items"][0]["image"] == digest


def test_our_own_command_imports_over_the_api_as_the_third_line_says(registry_world, registry):
    [digest] = push_builds(registry, "up/third", "1.0")
    third = registry_world.start().role.output.splitlines()[2]
    told = third.split()
    imported = registry_world.run(*told[:-1], f"{registry.host}/up/third:1.0")
    assert imported.returncode == 0, imported.stderr
    with registry_world.client() as client:
        [seen] = client.get(f"{streams('default')}/third").json()["status"]["tags"]
    assert (seen["tag"], seen["items"][0]["image"]) == ("1.0", digest)


@pytest.fixture
def short_interval(tmp_path, registry):
    """The same, and what is scheduled is looked at every second."""
    found = Alone(tmp_path, registry, TAGSTREAM_CHECK_INTERVAL="PT1S")
    yield found
    found.close()


def test_a_scheduled_tag_that_moved_upstream_is_noticed_by_itself(short_interval, registry):
    [first] = push_builds(registry, "up/moving", "1.0")
    short_interval.start()
    place = f"{registry.host}/up/moving:latest"
    registry.put_manifest("up/moving", "latest", *manifest_of(registry, first))
    imported = short_interval.run(
        "tagstream", "--kubeconfig", str(short_interval.kubeconfig), "import", place, "--scheduled"
    )
    assert imported.returncode == 0, imported.stderr
    [second] = push_builds(registry, "up/moving", "2.0")
    registry.put_manifest("up/moving", "latest", *manifest_of(registry, second))
    with short_interval.client() as client:
        path = f"{streams('default')}/moving"

        def seen():
            [tag] = client.get(path).json()["status"]["tags"]
            return [event["image"] for event in tag["items"]]

        until(lambda: len(seen()) == 2, within=30)
        assert seen() == [second, first]
        jobs = client.get(JOBS).json()["items"]
    assert sorted(job["status"]["imported"] for job in jobs) == [1, 1]
    code, _ = short_interval.stop(signal.SIGTERM)
    assert code == 0
    assert not re.search("error|warning|Traceback", short_interval.role.output, re.IGNORECASE)


def manifest_of(registry, digest):
    """Its bytes and media type, to be pushed under another tag."""
    answer = registry.request(
        "GET", f"up/moving/manifests/{digest}", headers={"Accept": fx.OCI_TYPE}
    )
    return answer.content, answer.headers["Content-Type"]


@pytest.fixture
def stalled(tmp_path, fake):
    """The same, and a registry that says nothing for now; the sweep comes every second."""
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    fake.stall("/team/app/manifests/v1")
    found = Alone(tmp_path, fake, TAGSTREAM_SWEEP_INTERVAL="PT1S")
    yield found
    found.close()


def image_of(fake):
    return {
        "from": {"kind": "DockerImage", "name": f"{fake.host}/team/app:v1"},
        "to": {"name": "v1"},
    }


def test_a_job_that_is_in_its_way_waits_for_the_next_start(stalled, fake):
    stalled.start()
    body = {"metadata": {"name": "slow"}, "spec": {"stream": "app", "images": [image_of(fake)]}}
    with stalled.client() as client:
        assert client.post(JOBS, json=body).status_code == 201
        until(lambda: any("manifests/v1" in line for line in fake.requests))
    code, took = stalled.stop(signal.SIGTERM)
    assert code == 0
    assert took < 12  # a registry has much longer

    fake.forget()
    stalled.start()
    with stalled.client() as client:
        done = until(lambda: client.get(f"{JOBS}/slow").json()["status"].get("finished"), within=30)
        assert done
        status = client.get(f"{JOBS}/slow").json()["status"]
    assert (status["state"], status["imported"], status["attempts"]) == ("Succeeded", 1, 2)


def test_who_waits_for_an_import_is_told_where_it_goes_on(stalled, fake):
    stalled.start()
    body = {"metadata": {"name": "app"}, "spec": {"import": True, "images": [image_of(fake)]}}
    (stalled.home / "import.json").write_text(
        json.dumps({"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport"} | body)
    )
    waiting = stalled.begin("kubectl", "create", "-f", "import.json")
    until(lambda: any("manifests/v1" in line for line in fake.requests))
    code, took = stalled.stop(signal.SIGINT)
    waiting.communicate(timeout=20)
    assert (code, waiting.returncode) == (0, 1)
    assert took < 16
    assert "goes on as job" in stalled.role.output
    assert "Traceback" not in stalled.role.output
