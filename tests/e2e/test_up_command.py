"""Tests of `tagstream up`: start, stop, restart, credentials, imports and scheduled checks."""

import json
import re
import signal
import socket
import stat

import httpx
import pytest

from tests import fixtures as fx
from tests.api_test_server import streams
from tests.e2e.conftest import until
from tests.e2e.local_instance import LocalInstance, push_builds
from tests.scrapes import sample_value

JOBS = "/apis/sync.tagstream.io/v1/namespaces/default/importjobs"


@pytest.fixture
def instance(tmp_path):
    """An instance with an empty directory, not started yet."""
    instance = LocalInstance(tmp_path)
    yield instance
    instance.close()


def test_up_prints_address_and_two_commands(instance):
    instance.start()
    first, second, third = instance.role.output.splitlines()
    assert first == f"tagstream serves {instance.url}; try:"
    kubectl, tagstream = second.split(), third.split()
    assert kubectl[0] == "kubectl"
    assert tagstream[0] == "tagstream"
    shown = instance.run(*kubectl)
    assert (shown.returncode, shown.stdout) == (0, ""), shown.stderr
    assert shown.stderr == "No resources found\n"
    assert instance.config["clusters"][0]["cluster"]["server"] == instance.url


def test_up_serves_ready_api_that_requires_a_token(instance):
    instance.start()
    with instance.client() as client:
        for path in ("/readyz", "/livez", "/healthz"):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (200, "ok")
        assert client.get(streams("default")).json()["items"] == []
        page = client.get("/metrics").text
        for source in ("database", "registries"):  # one process exposes all sources
            assert sample_value("tagstream_scrape_source_up", page=page, source=source) == 1
    with instance.client("tgs_wrong") as unauthenticated:
        assert unauthenticated.get("/readyz").status_code == 200
        assert unauthenticated.get(streams("default")).status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{instance.url}/readyz")


def test_up_writes_secret_files_readable_only_by_owner(instance):
    instance.start()
    secret = [instance.kubeconfig, instance.data / "secrets.key", *instance.data.glob("pki/*.key")]
    assert len(secret) == 4
    for path in (instance.data, *secret):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_within_seconds_despite_open_watches(instance, number):
    instance.start()
    watcher = instance.begin("kubectl", "get", "imagestreams", "-w", "--output-watch-events")
    client = instance.client()  # it keeps its connection open and reads nothing from it
    created = client.post(streams("default"), json={"metadata": {"name": "seen"}})
    assert created.status_code == 201
    assert "EVENT" in watcher.stdout.readline()
    assert "seen" in watcher.stdout.readline()
    code, duration = instance.stop(number)
    watcher.communicate(timeout=20)
    client.close()
    assert code == 0
    assert duration < 10  # a watch may last an hour, a silent connection 20 s
    assert not re.search("error|warning|Traceback", instance.role.output, re.IGNORECASE)


def test_up_restart_keeps_ca_token_and_objects(instance):
    instance.start()
    before = (instance.authority, instance.token)
    with instance.client() as client:
        assert client.post(streams("default"), json={"metadata": {"name": "kept"}}).is_success
        uid = client.get(f"{streams('default')}/kept").json()["metadata"]["uid"]
    assert instance.stop(signal.SIGTERM)[0] == 0

    instance.start()
    assert (instance.authority, instance.token) == before
    with instance.client() as client:
        assert client.get(f"{streams('default')}/kept").json()["metadata"]["uid"] == uid
        response = client.get("/apis/authentication.k8s.io/v1/selfsubjectreviews")
    assert response.status_code == 405


def test_up_replaces_lost_kubeconfig_and_revokes_old_token(instance):
    instance.start()
    old = instance.token
    instance.stop(signal.SIGTERM)
    instance.kubeconfig.unlink()
    instance.start()
    assert instance.token != old
    with instance.client() as client, instance.client(old) as unauthenticated:
        assert client.get(streams("default")).status_code == 200
        assert unauthenticated.get(streams("default")).status_code == 401


def test_up_reports_port_in_use_on_one_line(instance):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = instance.run("tagstream", "up", "--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line


@pytest.fixture
def registry_instance(tmp_path, registry):
    """An instance that may import from a real registry."""
    instance = LocalInstance(tmp_path, registry)
    yield instance
    instance.close()


def test_up_imports_new_stream_without_other_processes(registry_instance, registry):
    [digest] = push_builds(registry, "up/app", "1.0")
    registry_instance.start()
    tag = {"name": "1.0", "from": {"kind": "DockerImage", "name": f"{registry.host}/up/app:1.0"}}
    body = {"metadata": {"name": "app"}, "spec": {"tags": [tag]}}
    with registry_instance.client() as client:
        assert client.post(streams("default"), json=body).status_code == 201
        path = f"{streams('default')}/app"
        [tag] = until(lambda: client.get(path).json()["status"].get("tags"))
    assert tag["items"][0]["image"] == digest


def test_up_import_command_imports_over_the_api(registry_instance, registry):
    [digest] = push_builds(registry, "up/third", "1.0")
    third = registry_instance.start().role.output.splitlines()[2]
    command = third.split()
    imported = registry_instance.run(*command[:-1], f"{registry.host}/up/third:1.0")
    assert imported.returncode == 0, imported.stderr
    with registry_instance.client() as client:
        [seen] = client.get(f"{streams('default')}/third").json()["status"]["tags"]
    assert (seen["tag"], seen["items"][0]["image"]) == ("1.0", digest)


@pytest.fixture
def short_interval(tmp_path, registry):
    """An instance that checks scheduled tags every second."""
    instance = LocalInstance(tmp_path, registry, TAGSTREAM_CHECK_INTERVAL="PT1S")
    yield instance
    instance.close()


def test_up_imports_updated_scheduled_tag(short_interval, registry):
    [first] = push_builds(registry, "up/moving", "1.0")
    short_interval.start()
    reference = f"{registry.host}/up/moving:latest"
    registry.put_manifest("up/moving", "latest", *manifest_of(registry, first))
    imported = short_interval.run(
        "tagstream",
        "--kubeconfig",
        str(short_interval.kubeconfig),
        "import",
        reference,
        "--scheduled",
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
    counts = [[job["status"].get(name, 0) for name in ("tagsNew", "tagsUpdated")] for job in jobs]
    assert sorted(counts) == [[0, 1], [1, 0]]
    code, _ = short_interval.stop(signal.SIGTERM)
    assert code == 0
    assert not re.search("error|warning|Traceback", short_interval.role.output, re.IGNORECASE)


def manifest_of(registry, digest):
    """Return the bytes and the media type of a manifest, to be pushed with another tag."""
    answer = registry.request(
        "GET", f"up/moving/manifests/{digest}", headers={"Accept": fx.OCI_TYPE}
    )
    return answer.content, answer.headers["Content-Type"]


@pytest.fixture
def stalled(tmp_path, fake):
    """An instance whose registry does not respond; the reaper runs every second."""
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    fake.stall("/team/app/manifests/v1")
    instance = LocalInstance(tmp_path, fake, TAGSTREAM_REAPER_INTERVAL="PT1S")
    yield instance
    instance.close()


def image_of(fake):
    return {
        "from": {"kind": "DockerImage", "name": f"{fake.host}/team/app:v1"},
        "to": {"name": "v1"},
    }


def test_up_requeues_running_job_for_next_start(stalled, fake):
    stalled.start()
    body = {"metadata": {"name": "slow"}, "spec": {"stream": "app", "images": [image_of(fake)]}}
    with stalled.client() as client:
        assert client.post(JOBS, json=body).status_code == 201
        until(lambda: any("manifests/v1" in line for line in fake.requests))
    code, duration = stalled.stop(signal.SIGTERM)
    assert code == 0
    assert duration < 12  # a registry may take much longer

    fake.forget()
    stalled.start()
    with stalled.client() as client:
        done = until(
            lambda: client.get(f"{JOBS}/slow").json()["status"].get("completionTime"), within=30
        )
        assert done
        status = client.get(f"{JOBS}/slow").json()["status"]
    assert (status["state"], status["tagsNew"], status["attempts"]) == ("Succeeded", 1, 2)


def test_up_shutdown_names_job_that_continues_waiting_import(stalled, fake):
    stalled.start()
    body = {"metadata": {"name": "app"}, "spec": {"import": True, "images": [image_of(fake)]}}
    (stalled.home / "import.json").write_text(
        json.dumps({"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport"} | body)
    )
    waiting = stalled.begin("kubectl", "create", "-f", "import.json")
    until(lambda: any("manifests/v1" in line for line in fake.requests))
    code, duration = stalled.stop(signal.SIGINT)
    waiting.communicate(timeout=20)
    assert (code, waiting.returncode) == (0, 1)
    assert duration < 16
    assert "continues as job" in stalled.role.output
    assert "Traceback" not in stalled.role.output
