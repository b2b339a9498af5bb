"""ImportJobs as a resource: create, watch, cancel, delete (scheduling-10.2, scheduling-11.2)."""

import json
import time

import pytest

from tests import fixtures as fx

JOBS = "/apis/sync.tagstream.io/v1"


def jobs_path(tenant, name="", *, ns=None):
    tail = f"/{name}" if name else ""
    return f"{JOBS}/namespaces/{ns or tenant.ns}/importjobs{tail}"


def image(fake, tag, *, to):
    source = {"kind": "DockerImage", "name": f"{fake.host}/team/app:{tag}"}
    return {"from": source, "to": {"name": to}, "importPolicy": {"insecure": True}}


def push(fake, *tags):
    for tag in tags:
        fake.push("team/app", tag=tag, manifest=fx.OCI, config=fx.CFG_A)


def create_job(tenant, spec, name="", **more):
    metadata = {"name": name} if name else {"generateName": "import-"}
    return tenant.admin.post(jobs_path(tenant), json={"metadata": metadata, "spec": spec}, **more)


def wait_for_job(tenant, name, *, within=20.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = tenant.admin.get(jobs_path(tenant, name)).json()
        if found["status"]["state"] not in {"Queued", "Running"}:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def conditions(status):
    """Return type -> reason of the conditions, all of which must be True."""
    assert {each["status"] for each in status["conditions"]} == {"True"}
    return {each["type"]: each["reason"] for each in status["conditions"]}


def test_import_job_that_is_created_is_run(worker_tenant, fake):
    push(fake, "v1")
    spec = {"stream": "app", "images": [image(fake, "v1", to="one")]}
    response = create_job(worker_tenant, spec, "mine")
    assert response.status_code == 201, response.text
    assert response.json()["status"]["state"] == "Queued"
    done = wait_for_job(worker_tenant, "mine")
    assert done["status"]["state"] == "Succeeded"
    assert (done["status"]["tagsNew"], done["status"].get("tagsFailed", 0)) == (1, 0)
    assert (done["status"]["tagsCompleted"], done["status"]["tagsTotal"]) == (1, 1)
    [target] = done["status"]["targets"]
    assert (target["streamTag"], target["tag"], target["outcome"]) == ("one", "v1", "new")
    assert [c["type"] for c in done["status"]["conditions"]] == ["Complete"]
    stream = worker_tenant.get("imagestreams", "app").json()
    assert [tag["tag"] for tag in stream["status"]["tags"]] == ["one"]


def test_import_job_with_failed_tag_list_has_reason_and_message(worker_tenant, fake):
    source = {"kind": "DockerImage", "name": f"{fake.host}/team/nothing"}
    spec = {"stream": "app", "repository": {"from": source, "importPolicy": {"insecure": True}}}
    name = create_job(worker_tenant, spec).json()["metadata"]["name"]
    status = wait_for_job(worker_tenant, name)["status"]
    assert (status["state"], status["reason"]) == ("Failed", "NotFound")
    assert conditions(status) == {"Failed": "TagListFailed"}
    assert f"{fake.host}/team/nothing" in status["message"]


def test_import_job_lists_failed_tags_with_reason(worker_tenant, fake):
    push(fake, "v1")
    images = [image(fake, "v1", to="one"), image(fake, "nope", to="two")]
    name = create_job(worker_tenant, {"stream": "app", "images": images}).json()["metadata"]["name"]
    assert name.startswith("import-")
    status = wait_for_job(worker_tenant, name)["status"]
    assert (status["tagsNew"], status["tagsFailed"]) == (1, 1)
    assert (status["state"], status["reason"]) == ("Succeeded", "SomeTagsFailed")
    assert conditions(status) == {
        "Complete": "SomeTagsFailed",
        "PartiallyFailed": "SomeTagsFailed",
    }
    targets = status["targets"]
    assert {(t["streamTag"], t["outcome"], t.get("reason", "")) for t in targets} == {
        ("one", "new", ""),
        ("two", "failed", "NotFound"),
    }


def test_import_job_without_any_imported_tag_is_failed(worker_tenant, fake):
    images = [image(fake, "nope", to="one"), image(fake, "none", to="two")]
    name = create_job(worker_tenant, {"stream": "app", "images": images}).json()["metadata"]["name"]
    status = wait_for_job(worker_tenant, name)["status"]
    assert (status["state"], status["tagsFailed"], status["reason"]) == (
        "Failed",
        2,
        "AllTagsFailed",
    )
    [condition] = status["conditions"]
    assert condition == {
        "type": "Failed",
        "status": "True",
        "lastTransitionTime": status["completionTime"],
        "reason": "AllTagsFailed",
        "message": "2 of 2 tags failed",
    }


def test_import_job_counts_new_updated_and_unchanged_tags(worker_tenant, fake):
    push(fake, "v1", "v2")
    images = [image(fake, tag, to=tag) for tag in ("v1", "v2")]
    create_job(worker_tenant, {"stream": "app", "images": images}, "first")
    assert wait_for_job(worker_tenant, "first")["status"]["tagsNew"] == 2
    fake.push("team/app", tag="v1", manifest=fx.OCI_ARM, config=fx.CFG_ARM)
    push(fake, "v3")
    images.append(image(fake, "v3", to="v3"))
    create_job(worker_tenant, {"stream": "app", "images": images}, "second")
    status = wait_for_job(worker_tenant, "second")["status"]
    assert {each["streamTag"]: each["outcome"] for each in status["targets"]} == {
        "v1": "updated",
        "v2": "unchanged",
        "v3": "new",
    }
    counts = [status[f"tags{each}"] for each in ("New", "Updated", "Unchanged")]
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("priority", ["interactive", "Urgent"])
def test_import_job_with_unknown_priority_is_refused(worker_tenant, priority):
    source = [{"from": {"kind": "DockerImage", "name": "q.example/x:1"}}]
    response = create_job(worker_tenant, {"stream": "x", "images": source, "priority": priority})
    assert response.status_code == 422
    [cause] = response.json()["details"]["causes"]
    assert cause["field"] == "spec.priority"
    assert cause["message"] == (
        f'Unsupported value: "{priority}": supported values: "Interactive", "Bulk", "Scheduled"'
    )


def test_import_job_watch_shows_job_until_it_ends(worker_tenant, fake):
    push(fake, "v1")
    version = worker_tenant.admin.get(jobs_path(worker_tenant)).json()["metadata"][
        "resourceVersion"
    ]
    create_job(worker_tenant, {"stream": "app", "images": [image(fake, "v1", to="one")]}, "seen")
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "10"}
    states = []
    with worker_tenant.admin.stream("GET", jobs_path(worker_tenant), params=params) as lines:
        for line in lines.iter_lines():
            event = json.loads(line)
            states.append((event["type"], event["object"]["status"]["state"]))
            if states[-1][1] == "Succeeded":
                break
    assert states[0] == ("ADDED", "Queued")
    assert states[-1] == ("MODIFIED", "Succeeded")


def test_import_job_delete_cancels_running_and_removes_ended_job(worker_tenant, fake):
    push(fake, "v1")
    fake.delay(3)
    spec = {"stream": "app", "images": [image(fake, "v1", to="one")]}
    create_job(worker_tenant, spec, "slow")
    response = worker_tenant.admin.request("DELETE", jobs_path(worker_tenant, "slow"))
    assert response.status_code == 200
    assert wait_for_job(worker_tenant, "slow")["status"]["state"] == "Cancelled"
    assert worker_tenant.get("imagestreams", "app").status_code == 404
    assert (
        worker_tenant.admin.request("DELETE", jobs_path(worker_tenant, "slow")).json()["status"]
        == "Success"
    )
    assert worker_tenant.admin.get(jobs_path(worker_tenant, "slow")).status_code == 404


def test_reimport_job_imports_only_selected_streams(worker_tenant, fake):
    push(fake, "v1")
    for name in ("a", "b"):
        spec = {"stream": name, "images": [image(fake, "v1", to="one")]}
        create_job(worker_tenant, spec, f"first-{name}")
        wait_for_job(worker_tenant, f"first-{name}")
    fake.push("team/app", tag="v1", manifest=fx.OCI_ARM, config=fx.CFG_ARM)
    response = create_job(worker_tenant, {"reimport": {"streams": ["b"]}}, "again")
    assert response.status_code == 201, response.text
    done = wait_for_job(worker_tenant, "again")
    assert done["status"]["state"] == "Succeeded"
    assert (done["status"]["jobsCompleted"], done["status"]["jobsTotal"]) == (1, 1)
    children = {"fieldSelector": f"spec.parent={done['metadata']['uid']}"}
    [child] = worker_tenant.admin.get(jobs_path(worker_tenant), params=children).json()["items"]
    assert (child["spec"]["stream"], child["spec"]["trigger"]) == ("b", "Administrator")
    seen = {
        name: len(worker_tenant.get("imagestreams", name).json()["status"]["tags"][0]["items"])
        for name in ("a", "b")
    }
    assert seen == {"a": 1, "b": 2}


def test_reimport_dry_run_returns_estimate_of_requests(worker_tenant, fake):
    push(fake, "v1")
    spec = {"stream": "app", "images": [image(fake, "v1", to="one"), image(fake, "v1", to="two")]}
    create_job(worker_tenant, spec, "first")
    wait_for_job(worker_tenant, "first")
    estimate = [
        {"registry": fake.host, "minRequests": 1, "maxRequests": 3, "tags": 2, "streams": 1}
    ]
    fake.forget_requests()
    dry_run = create_job(worker_tenant, {"reimport": {}}, "trial", params={"dryRun": "All"}).json()
    assert (dry_run["status"]["state"], dry_run["status"]["estimate"]) == ("Succeeded", estimate)
    assert worker_tenant.admin.get(jobs_path(worker_tenant, "trial")).status_code == 404
    stored = create_job(worker_tenant, {"reimport": {"dryRun": True}}, "kept").json()
    assert worker_tenant.admin.get(jobs_path(worker_tenant, "kept")).json() == stored
    status = stored["status"]
    assert (status["state"], status["estimate"], status["jobsTotal"]) == ("Succeeded", estimate, 1)
    assert status["message"].startswith("dry run: 1 to 3 requests to 1 registry")
    assert fake.requests == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.images"),
        ({"stream": "x"}, "spec.images"),
        ({"stream": "x", "reimport": {}}, "spec.stream"),
        ({"images": [{"from": {"kind": "DockerImage", "name": "q/x:1"}}]}, "spec.stream"),
    ],
)
def test_import_job_with_ambiguous_spec_is_invalid(worker_tenant, spec, field):
    response = create_job(worker_tenant, spec)
    assert response.status_code == 422
    assert field in {cause["field"] for cause in response.json()["details"]["causes"]}


def test_reimport_of_all_namespaces_requires_cluster_admin(worker_tenant):
    editor = worker_tenant.user(("edit", worker_tenant.ns))
    body = {"metadata": {"name": "x"}, "spec": {"reimport": {"allNamespaces": True}}}
    assert editor.post(jobs_path(worker_tenant), json=body).status_code == 403
    body = {"metadata": {"name": "y"}, "spec": {"reimport": {}}}
    assert editor.post(jobs_path(worker_tenant), json=body).status_code == 201


def test_import_job_table_has_columns(worker_tenant, fake):
    push(fake, "v1")
    create_job(worker_tenant, {"stream": "app", "images": [image(fake, "v1", to="one")]}, "mine")
    wait_for_job(worker_tenant, "mine")
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = worker_tenant.admin.get(jobs_path(worker_tenant), headers=headers).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == [
        *("Name", "Stream", "State", "Progress", "Imported", "Failed", "Duration", "Created"),
        "Reason",
    ]
    cells = table["rows"][0]["cells"]
    assert cells[:6] == ["mine", "app", "Succeeded", "100%", 1, 0]
