"""Registries as a resource: policies that apply at once, and status computed on read."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from models.store.database.session import transaction
from models.store.registries.registry_reports import save_health_reports
from models.store.registries.registry_store import create_discovered_registries

PATH = "/apis/sync.tagstream.io/v1/registries"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture
def registries(tenant):
    return RegistryRequests(tenant)


class RegistryRequests:
    """Short methods for requests; the names are unique to one test."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.admin = tenant.admin
        self.host = f"{tenant.ns}.example"

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

    def report(self, **fields):
        """Save a health report of a worker about the host."""
        health = {"host": self.host, "breaker": "closed", **fields}
        with transaction(self.tenant.api_server.engine) as session:
            save_health_reports(session, [health], worker="test", now=datetime.now(UTC))


def test_registry_defaults_host_and_supports_every_verb(registries):
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
    missing = registries.get()
    assert missing.status_code == 404
    assert missing.json()["message"] == (
        f'registries.sync.tagstream.io "{registries.host}" not found'
    )


def test_registry_create_reports_each_invalid_field(registries):
    response = registries.make(
        host="nowhere",
        rate=-1,
        concurrency=33,
        interval="often",
        mirrorSourcePolicy="NeverContactSource",
    )
    assert response.status_code == 422
    causes = {each["field"]: each["message"] for each in response.json()["details"]["causes"]}
    assert set(causes) == {
        "spec.host",
        "spec.rate",
        "spec.concurrency",
        "spec.interval",
        "spec.mirrorSourcePolicy",
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


def test_mirror_source_policy_is_one_of_two_values(registries):
    mirrors = [{"location": "mirror.example/x"}]
    response = registries.make(mirrors=mirrors, mirrorSourcePolicy="Sometimes")
    assert response.status_code == 422
    [cause] = response.json()["details"]["causes"]
    assert cause["field"] == "spec.mirrorSourcePolicy"
    assert cause["message"] == (
        'Unsupported value: "Sometimes": supported values: '
        '"AllowContactingSource", "NeverContactSource"'
    )
    for policy in ("AllowContactingSource", "NeverContactSource"):
        name = f"{policy.lower()}.{registries.host}"
        found = registries.make(name, mirrors=mirrors, mirrorSourcePolicy=policy).json()
        assert found["spec"]["mirrorSourcePolicy"] == policy


def test_registry_host_is_immutable_and_unique(registries):
    assert registries.make(rate=1).status_code == 201
    with_other_host = registries.patch({"spec": {"host": f"x-{registries.host}"}})
    assert with_other_host.status_code == 422
    assert "spec.host: Invalid value" in with_other_host.json()["message"]
    second = registries.make(f"other-{registries.host}", host=registries.host)
    assert second.status_code == 422
    assert f"the Registry {registries.host} covers this host already" in second.text


def test_registry_status_is_computed_on_read_and_ignored_in_writes(registries):
    version = registries.make(rate=3).json()["metadata"]["resourceVersion"]
    before = registries.get().json()
    assert before["status"]["health"] == "Unknown"
    registries.tenant.stream(
        "app",
        {
            "name": "v1",
            "from": {"kind": "DockerImage", "name": f"{registries.host}/a/b:1"},
            "importPolicy": {"scheduled": True},
        },
    )
    registries.report(
        in_flight=2,
        limit=8,
        quotas=[("user:secret", 100, 3, 60.0)],
        last_error="received unexpected HTTP status: 503 Service Unavailable",
    )
    found = registries.get().json()
    status = found["status"]
    assert status["health"] == "RateLimited"
    assert (status["requestsInFlight"], status["concurrency"]) == (2, 8)
    assert (status["rate"], status["tagsScheduled"]) == (3, 1)
    assert status["circuitBreaker"] == {"state": "Closed"}
    assert "user" not in json.dumps(status)
    assert status["conditions"][0]["status"] == "False"
    assert found["metadata"]["resourceVersion"] == version
    with_status = registries.patch({"status": {"health": "Healthy"}}).json()
    assert with_status["status"]["health"] == "RateLimited"
    assert with_status["metadata"]["resourceVersion"] == version
    with_rate = registries.patch({"spec": {"rate": 9}}).json()
    assert (with_rate["status"]["rate"], with_rate["status"]["tagsScheduled"]) == (9, 1)
    assert registries.patch({"spec": {"rate": None}}).json()["status"]["rate"] == 50


def test_registry_table_has_columns(registries):
    registries.make(rate=0.5)
    quotas = [("", 100, 40, 60.0)]
    registries.report(
        in_flight=1, limit=16, breaker="open", seconds_until_probe=30.0, quotas=quotas
    )
    table = registries.get(headers=TABLE).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == [
        *("Name", "Host", "Health", "Rate", "In-Flight", "Quota", "Tags", "Circuit", "Age"),
        "Last-Error",
    ]
    [row] = table["rows"]
    assert row["cells"][:8] == [
        *(registries.host, registries.host, "Unreachable", "0.5/s", "1/16"),
        *("40/100", "0", "Open"),
    ]


def test_registry_apply_removes_dropped_field(registries):
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
    registries.report()
    found = apply(rate=1).json()
    assert found["spec"] == {"host": registries.host, "rate": 1}
    owned = json.dumps(found["metadata"]["managedFields"])
    assert "f:rate" in owned
    assert "f:status" not in owned


def test_registry_watch_events_contain_current_status(registries):
    registries.make(rate=1)
    registries.report(in_flight=5, limit=8)
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
    assert seen[0]["object"]["status"]["requestsInFlight"] == 5


def test_registries_are_readable_cluster_wide_and_writable_by_cluster_admin(registries):
    registries.make()
    reader = registries.tenant.user(("view", "*"))
    assert reader.get(PATH).status_code == 200
    assert reader.get(f"{PATH}/{registries.host}").status_code == 200
    body = {"metadata": {"name": f"a.{registries.host}"}}
    assert reader.post(PATH, json=body).status_code == 403
    editor = registries.tenant.user(("edit", "*"), name=f"{registries.tenant.user_name}-e")
    assert editor.get(PATH).status_code == 200
    assert editor.delete(f"{PATH}/{registries.host}").status_code == 403
    member = registries.tenant.user(
        ("admin", registries.tenant.ns), name=f"{registries.tenant.user_name}-t"
    )
    assert member.get(PATH).status_code == 403
    assert member.get(f"{PATH}/{registries.host}").status_code == 403


def test_discovered_registry_is_selectable_by_label_and_updatable(registries):
    host = f"{registries.tenant.ns}.example:5000"
    registries.tenant.stream(
        "app",
        {
            "name": "v1",
            "from": {"kind": "DockerImage", "name": f"{host}/a/b:1"},
            "importPolicy": {"scheduled": True},
        },
    )
    with transaction(registries.tenant.api_server.engine) as session:
        create_discovered_registries(session, now=datetime.now(UTC), limit=100)
    query = {
        "labelSelector": "sync.tagstream.io/discovered=true",
        "fieldSelector": f"spec.host={host}",
    }
    [found] = registries.admin.get(PATH, params=query).json()["items"]
    name = found["metadata"]["name"]
    assert name == host.replace(":", "-")
    assert found["status"]["tagsScheduled"] == 1
    assert registries.patch({"spec": {"suspended": True}}, name).json()["spec"] == {
        "host": host,
        "suspended": True,
    }


def test_api_uses_changed_registry_policies_without_restart(registries):
    """A dry run of a reimport counts requests at the mirror that a Registry names."""
    tenant, host = registries.tenant, registries.host
    source = {"kind": "DockerImage", "name": f"{host}/a/b:1"}
    tenant.stream("app", {"name": "v1", "from": source, "generation": 1})

    def requested_registries():
        body = {"metadata": {"generateName": "try-"}, "spec": {"reimport": {"dryRun": True}}}
        path = f"/apis/sync.tagstream.io/v1/namespaces/{tenant.ns}/importjobs"
        response = tenant.admin.post(path, json=body)
        assert response.status_code == 201, response.text
        return [each["registry"] for each in response.json()["status"].get("estimate", [])]

    assert requested_registries() == [host]
    registries.make(mirrors=[{"location": f"mirror-{host}/x"}])
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while requested_registries() != [f"mirror-{host}"] and datetime.now(UTC) < deadline:
        time.sleep(0.1)
    assert requested_registries() == [f"mirror-{host}"]


def test_registries_are_in_discovery_and_openapi(registries):
    found = registries.admin.get("/apis/sync.tagstream.io/v1").json()["resources"]
    [entry] = [each for each in found if each["name"] == "registries"]
    assert entry["shortNames"] == ["reg"]
    assert not entry["namespaced"]
    assert {"watch", "patch", "deletecollection"} <= set(entry["verbs"])
    schemas = registries.admin.get("/openapi/v3/apis/sync.tagstream.io/v1").json()
    spec = schemas["components"]["schemas"]["io.tagstream.api.sync.v1.RegistrySpec"]
    assert spec["properties"]["rate"]["type"] == "number"
    assert all(each["description"] for each in spec["properties"].values())
