"""ImportJobs as a resource: created, watched, cancelled, forgotten (`sync.tagstream.io/v1`)."""

import json
import time

import pytest

from tests import fixtures as fx

JOBS = "/apis/sync.tagstream.io/v1"


def jobs(room, name="", *, ns=None):
    tail = f"/{name}" if name else ""
    return f"{JOBS}/namespaces/{ns or room.ns}/importjobs{tail}"


def image(fake, tag, *, to):
    source = {"kind": "DockerImage", "name": f"{fake.host}/team/app:{tag}"}
    return {"from": source, "to": {"name": to}, "importPolicy": {"insecure": True}}


def push(fake, *tags):
    for tag in tags:
        fake.push("team/app", tag=tag, manifest=fx.OCI, config=fx.CFG_A)


def create(room, spec, name="", **more):
    metadata = {"name": name} if name else {"generateName": "import-"}
    return room.admin.post(jobs(room), json={"metadata": metadata, "spec": spec}, **more)


def wait(room, name, *, within=20.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = room.admin.get(jobs(room, name)).json()
        if found["status"]["state"] not in {"Queued", "Running"}:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_a_job_that_is_created_is_carried_out(workroom, fake):
    push(fake, "v1")
    spec = {"stream": "app", "images": [image(fake, "v1", to="one")]}
    answer = create(workroom, spec, "mine")
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"]["state"] == "Queued"
    done = wait(workroom, "mine")
    assert done["status"]["state"] == "Succeeded"
    assert (done["status"]["imported"], done["status"]["changed"]) == (1, 1)
    assert (done["status"]["done"], done["status"]["total"]) == (1, 1)
    assert [c["type"] for c in done["status"]["conditions"]] == ["Complete"]
    stream = workroom.get("imagestreams", "app").json()
    assert [tag["tag"] for tag in stream["status"]["tags"]] == ["one"]


def test_a_job_tells_why_the_tags_of_its_repository_could_not_be_listed(workroom, fake):
    source = {"kind": "DockerImage", "name": f"{fake.host}/team/nothing"}
    spec = {"stream": "app", "repository": {"from": source, "importPolicy": {"insecure": True}}}
    name = create(workroom, spec).json()["metadata"]["name"]
    status = wait(workroom, name)["status"]
    assert (status["state"], status["withErrors"], status["reason"]) == (
        "Succeeded",
        True,
        "NotFound",
    )
    assert f"{fake.host}/team/nothing" in status["message"]


def test_a_job_tells_which_tags_failed_and_why(workroom, fake):
    push(fake, "v1")
    images = [image(fake, "v1", to="one"), image(fake, "nope", to="two")]
    name = create(workroom, {"stream": "app", "images": images}).json()["metadata"]["name"]
    assert name.startswith("import-")
    status = wait(workroom, name)["status"]
    assert (status["imported"], status["failed"], status["reason"]) == (1, 1, "SomeTagsFailed")
    assert {(t["to"], t.get("reason", "")) for t in status["targets"]} == {
        ("one", ""),
        ("two", "NotFound"),
    }


def test_a_watch_shows_a_job_to_its_end(workroom, fake):
    push(fake, "v1")
    version = workroom.admin.get(jobs(workroom)).json()["metadata"]["resourceVersion"]
    create(workroom, {"stream": "app", "images": [image(fake, "v1", to="one")]}, "seen")
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "10"}
    states = []
    with workroom.admin.stream("GET", jobs(workroom), params=params) as lines:
        for line in lines.iter_lines():
            event = json.loads(line)
            states.append((event["type"], event["object"]["status"]["state"]))
            if states[-1][1] == "Succeeded":
                break
    assert states[0] == ("ADDED", "Queued")
    assert states[-1] == ("MODIFIED", "Succeeded")


def test_deleting_a_live_job_cancels_it_and_a_dead_one_forgets_it(workroom, fake):
    push(fake, "v1")
    fake.delay(3)
    spec = {"stream": "app", "images": [image(fake, "v1", to="one")]}
    create(workroom, spec, "slow")
    answer = workroom.admin.request("DELETE", jobs(workroom, "slow"))
    assert answer.status_code == 200
    assert wait(workroom, "slow")["status"]["state"] == "Cancelled"
    assert workroom.get("imagestreams", "app").status_code == 404
    assert workroom.admin.request("DELETE", jobs(workroom, "slow")).json()["status"] == "Success"
    assert workroom.admin.get(jobs(workroom, "slow")).status_code == 404


def test_a_reimport_takes_the_streams_it_selects(workroom, fake):
    push(fake, "v1")
    for name in ("a", "b"):
        spec = {"stream": name, "images": [image(fake, "v1", to="one")]}
        create(workroom, spec, f"first-{name}")
        wait(workroom, f"first-{name}")
    fake.push("team/app", tag="v1", manifest=fx.OCI_ARM, config=fx.CFG_ARM)
    answer = create(workroom, {"reimport": {"streams": ["b"]}}, "again")
    assert answer.status_code == 201, answer.text
    done = wait(workroom, "again")
    assert done["status"]["state"] == "Succeeded"
    assert (done["status"]["done"], done["status"]["total"]) == (1, 1)
    parts = {"fieldSelector": f"spec.parent={done['metadata']['uid']}"}
    [part] = workroom.admin.get(jobs(workroom), params=parts).json()["items"]
    assert (part["spec"]["stream"], part["spec"]["trigger"]) == ("b", "administrator")
    seen = {
        name: len(workroom.get("imagestreams", name).json()["status"]["tags"][0]["items"])
        for name in ("a", "b")
    }
    assert seen == {"a": 1, "b": 2}


def test_a_dry_run_of_a_reimport_tells_its_requests(workroom, fake):
    push(fake, "v1")
    spec = {"stream": "app", "images": [image(fake, "v1", to="one"), image(fake, "v1", to="two")]}
    create(workroom, spec, "first")
    wait(workroom, "first")
    told = [{"registry": fake.host, "requests": 1, "atMost": 3, "tags": 2, "streams": 1}]
    fake.forget_requests()
    trial = create(workroom, {"reimport": {}}, "trial", params={"dryRun": "All"}).json()
    assert (trial["status"]["state"], trial["status"]["requests"]) == ("Succeeded", told)
    assert workroom.admin.get(jobs(workroom, "trial")).status_code == 404
    kept = create(workroom, {"reimport": {"dryRun": True}}, "kept").json()
    assert workroom.admin.get(jobs(workroom, "kept")).json() == kept
    status = kept["status"]
    assert (status["state"], status["requests"], status["jobs"]) == ("Succeeded", told, 1)
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
def test_a_job_that_asks_for_nothing_clear_is_refused(workroom, spec, field):
    answer = create(workroom, spec)
    assert answer.status_code == 422
    assert field in {cause["field"] for cause in answer.json()["details"]["causes"]}


def test_only_an_administrator_of_all_reimports_everywhere(workroom):
    editor = workroom.user(("edit", workroom.ns))
    body = {"metadata": {"name": "x"}, "spec": {"reimport": {"allNamespaces": True}}}
    assert editor.post(jobs(workroom), json=body).status_code == 403
    body = {"metadata": {"name": "y"}, "spec": {"reimport": {}}}
    assert editor.post(jobs(workroom), json=body).status_code == 201


def test_jobs_have_columns(workroom, fake):
    push(fake, "v1")
    create(workroom, {"stream": "app", "images": [image(fake, "v1", to="one")]}, "mine")
    wait(workroom, "mine")
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = workroom.admin.get(jobs(workroom), headers=headers).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:3] == ["Name", "Stream", "State"] or "State" in names
    assert "Succeeded" in table["rows"][0]["cells"]
