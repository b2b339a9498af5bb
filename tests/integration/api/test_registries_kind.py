"""Registries as a resource: policy that counts at once, and status worked out on reading."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from models.store.database.session import transaction
from models.store.registries.registry_reports import publish_health
from models.store.registries.registry_store import discover_registries

PATH = "/apis/sync.tagstream.io/v1/registries"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture
def registries(room):
    return Registries(room)


class Registries:
    """Short words for what is asked; every name is this test's own."""

    def __init__(self, room):
        self.room = room
        self.admin = room.admin
        self.host = f"{room.ns}.example"

    def make(self, name="", **spec):
        body = {"metadata": {"name": name or self.host}, "spec": spec}
        return self.admin.post(PATH, json=body)

    def get(self, name="", **more):
        return self.admin.get(f"{PATH}/{name or self.host}", **more)

    def patch(self, body, name="", kind="merge", **more):
        types = {"merge": "merge-patch+json", "apply": "apply-patch+yaml"}
        headers = {"Content-Type": f"application/{types[kind]}"}
        path = f"{PATH}/{name or self.host}"
        return self.admin.patch(path, json=body, headers=headers, **more)

    def tell(self, **told):
        """What a worker says of the host."""
        report = {"host": self.host, "breaker": "closed", **told}
        with transaction(self.room.world.engine) as session:
            publish_health(session, [report], worker="test", now=datetime.now(UTC))


def test_a_registry_takes_its_host_from_its_name_and_lives_through_all_verbs(registries):
    made = registries.make(rate=0, blocked=False)
    assert made.status_code == 201, made.text
    found = registries.get().json()
    assert (found["kind"], found["apiVersion"]) == ("Registry", "sync.tagstream.io/v1")
    assert found["spec"] == {"host": registries.host, "blocked": False, "rate": 0}
    assert "namespace" not in found["metadata"]
    found["spec"] |= {"rate": 2.5, "concurrency": 4, "interval": "1h"}
    put = registries.admin.put(f"{PATH}/{registries.host}", json=found)
    assert put.status_code == 200, put.text
    assert put.json()["metadata"]["generation"] == 2
    patched = registries.patch({"spec": {"suspended": True, "blocked": None}}).json()
    assert patched["spec"] == {
        "host": registries.host,
        "rate": 2.5,
        "concurrency": 4,
        "interval": "1h",
        "suspended": True,
    }
    query = {"fieldSelector": f"spec.host={registries.host}"}
    [listed] = registries.admin.get(PATH, params=query).json()["items"]
    assert listed["spec"] == patched["spec"]
    assert registries.admin.delete(f"{PATH}/{registries.host}").json()["status"] == "Success"
    gone = registries.get()
    assert gone.status_code == 404
    assert gone.json()["message"] == (f'registries.sync.tagstream.io "{registries.host}" not found')


def test_what_makes_no_sense_is_refused_field_by_field(registries):
    answer = registries.make(
        host="nowhere",
        rate=-1,
        concurrency=33,
        interval="often",
        neverContactSource=True,
    )
    assert answer.status_code == 422
    causes = {each["field"]: each["message"] for each in answer.json()["details"]["causes"]}
    assert set(causes) == {
        "spec.host",
        "spec.rate",
        "spec.concurrency",
        "spec.interval",
        "spec.neverContactSource",
    }
    assert causes["spec.concurrency"] == "Invalid value: 33: must be between 1 and 32, inclusive"
    assert registries.make(rate="5").status_code == 400
    unknown = registries.admin.post(
        PATH,
        json={"metadata": {"name": registries.host}, "spec": {"blockd": True}},
        params={"fieldValidation": "Strict"},
    )
    assert unknown.status_code == 400
    assert 'unknown field "spec.blockd"' in unknown.json()["message"]


def test_a_host_never_changes_and_has_one_object(registries):
    assert registries.make(rate=1).status_code == 201
    moved = registries.patch({"spec": {"host": f"x-{registries.host}"}})
    assert moved.status_code == 422
    assert "spec.host: Invalid value" in moved.json()["message"]
    second = registries.make(f"other-{registries.host}", host=registries.host)
    assert second.status_code == 422
    assert f"the Registry {registries.host} speaks for this host already" in second.text


def test_status_is_worked_out_on_reading_and_ignored_in_writes(registries):
    version = registries.make(rate=3).json()["metadata"]["resourceVersion"]
    before = registries.get().json()
    assert before["status"]["health"] == "Unknown"
    registries.room.stream(
        "app",
        {
            "name": "v1",
            "from": {"kind": "DockerImage", "name": f"{registries.host}/a/b:1"},
            "importPolicy": {"scheduled": True},
        },
    )
    registries.tell(
        in_flight=2,
        limit=8,
        quotas=[("user:secret", 100, 3, 60.0)],
        last_error="received unexpected HTTP status: 503 Service Unavailable",
    )
    found = registries.get().json()
    status = found["status"]
    assert (status["health"], status["inFlight"], status["limit"]) == ("Limited", 2, 8)
    assert (status["rate"], status["tagsFollowed"]) == (3, 1)
    assert status["breaker"] == {"state": "closed"}
    assert "user" not in json.dumps(status)
    assert status["conditions"][0]["status"] == "False"
    assert found["metadata"]["resourceVersion"] == version
    lie = registries.patch({"status": {"health": "Healthy"}}).json()
    assert lie["status"]["health"] == "Limited"
    assert lie["metadata"]["resourceVersion"] == version
    faster = registries.patch({"spec": {"rate": 9}}).json()
    assert (faster["status"]["rate"], faster["status"]["tagsFollowed"]) == (9, 1)
    assert registries.patch({"spec": {"rate": None}}).json()["status"]["rate"] == 50


def test_a_registry_has_columns(registries):
    registries.make(rate=0.5)
    quotas = [("", 100, 40, 60.0)]
    registries.tell(in_flight=1, limit=16, breaker="open", rest=30.0, quotas=quotas)
    table = registries.get(headers=TABLE).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == [
        *("Name", "Host", "Health", "Rate", "In-Flight", "Quota", "Tags", "Breaker", "Age"),
        "Last-Error",
    ]
    [row] = table["rows"]
    assert row["cells"][:8] == [
        *(registries.host, registries.host, "Down", "0.5/s", "1/16", "40/100", "0", "open"),
    ]


def test_what_a_manager_no_longer_applies_goes_away(registries):
    def apply(**spec):
        body = {
            "apiVersion": "sync.tagstream.io/v1",
            "kind": "Registry",
            "metadata": {"name": registries.host},
            "spec": spec,
        }
        query = {"fieldManager": "gitops"}
        return registries.patch(body, kind="apply", params=query)

    assert apply(blocked=True, rate=1).status_code == 201
    registries.tell()
    found = apply(rate=1).json()
    assert found["spec"] == {"host": registries.host, "rate": 1}
    owned = json.dumps(found["metadata"]["managedFields"])
    assert "f:rate" in owned
    assert "f:status" not in owned


def test_a_watch_tells_of_policies_with_the_state_at_the_moment(registries):
    registries.make(rate=1)
    registries.tell(in_flight=5, limit=8)
    start = registries.admin.get(PATH).json()["metadata"]["resourceVersion"]
    query = {"watch": "true", "resourceVersion": start, "timeoutSeconds": "20"}
    query["fieldSelector"] = f"metadata.name={registries.host}"
    seen = []

    def change():
        time.sleep(0.2)
        registries.patch({"spec": {"rate": 7}})
        registries.admin.delete(f"{PATH}/{registries.host}")

    changing = threading.Thread(target=change)
    with registries.admin.stream("GET", PATH, params=query) as response:
        changing.start()
        for line in response.iter_lines():
            seen.append(json.loads(line))
            if seen[-1]["type"] == "DELETED":
                break
    changing.join()
    assert [each["type"] for each in seen] == ["MODIFIED", "DELETED"]
    assert [each["object"]["spec"]["rate"] for each in seen] == [7, 7]
    assert seen[0]["object"]["status"]["inFlight"] == 5


def test_registries_are_read_by_whoever_reads_everything_and_written_by_administrators(registries):
    registries.make()
    reader = registries.room.user(("view", "*"))
    assert reader.get(PATH).status_code == 200
    assert reader.get(f"{PATH}/{registries.host}").status_code == 200
    body = {"metadata": {"name": f"a.{registries.host}"}}
    assert reader.post(PATH, json=body).status_code == 403
    editor = registries.room.user(("edit", "*"), name=f"{registries.room.who}-e")
    assert editor.get(PATH).status_code == 200
    assert editor.delete(f"{PATH}/{registries.host}").status_code == 403
    tenant = registries.room.user(("admin", registries.room.ns), name=f"{registries.room.who}-t")
    assert tenant.get(PATH).status_code == 403
    assert tenant.get(f"{PATH}/{registries.host}").status_code == 403


def test_one_that_was_found_is_changed_in_place_and_selected_by_its_label(registries):
    host = f"{registries.room.ns}.example:5000"
    registries.room.stream(
        "app",
        {
            "name": "v1",
            "from": {"kind": "DockerImage", "name": f"{host}/a/b:1"},
            "importPolicy": {"scheduled": True},
        },
    )
    with transaction(registries.room.world.engine) as session:
        discover_registries(session, now=datetime.now(UTC), limit=100)
    query = {
        "labelSelector": "sync.tagstream.io/discovered=true",
        "fieldSelector": f"spec.host={host}",
    }
    [found] = registries.admin.get(PATH, params=query).json()["items"]
    name = found["metadata"]["name"]
    assert name == host.replace(":", "-")
    assert found["status"]["tagsFollowed"] == 1
    assert registries.patch({"spec": {"suspended": True}}, name).json()["spec"] == {
        "host": host,
        "suspended": True,
    }


def test_the_api_goes_by_changed_policies_without_a_restart(registries):
    """A dry run of a reimport counts requests at the mirror that a Registry names."""
    room, host = registries.room, registries.host
    source = {"kind": "DockerImage", "name": f"{host}/a/b:1"}
    room.stream("app", {"name": "v1", "from": source, "generation": 1})

    def asked():
        body = {"metadata": {"generateName": "try-"}, "spec": {"reimport": {"dryRun": True}}}
        path = f"/apis/sync.tagstream.io/v1/namespaces/{room.ns}/importjobs"
        answer = room.admin.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return [each["registry"] for each in answer.json()["status"].get("requests", [])]

    assert asked() == [host]
    registries.make(mirrors=[{"location": f"mirror-{host}/x"}])
    until = datetime.now(UTC) + timedelta(seconds=10)
    while asked() != [f"mirror-{host}"] and datetime.now(UTC) < until:
        time.sleep(0.1)
    assert asked() == [f"mirror-{host}"]


def test_registries_are_discovered_and_explained(registries):
    found = registries.admin.get("/apis/sync.tagstream.io/v1").json()["resources"]
    [entry] = [each for each in found if each["name"] == "registries"]
    assert entry["shortNames"] == ["reg"]
    assert not entry["namespaced"]
    assert {"watch", "patch", "deletecollection"} <= set(entry["verbs"])
    schemas = registries.admin.get("/openapi/v3/apis/sync.tagstream.io/v1").json()
    spec = schemas["components"]["schemas"]["io.tagstream.api.sync.v1.RegistrySpec"]
    assert spec["properties"]["rate"]["type"] == "number"
    assert all(each["description"] for each in spec["properties"].values())
