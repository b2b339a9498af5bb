"""ScheduledTags: the calendar as a resource, only to be read (`sync.tagstream.io/v1`)."""

import pytest
from sqlalchemy import update

from models.store.database.session import transaction
from models.store.tables.schedule import ScheduleRow
from tests.integration.api.rooms import tag_from

SYNC = "/apis/sync.tagstream.io/v1"


def path(room, name="", *, ns=None):
    return f"{SYNC}/namespaces/{ns or room.ns}/scheduledtags" + (f"/{name}" if name else "")


def scheduled(name, source):
    return tag_from(name, source, importPolicy={"scheduled": True})


def names(answer):
    assert answer.status_code == 200, answer.text
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture
def calendar(room):
    """Two streams: five tags of three registries, and one that the clock has no business with."""
    body = {
        "metadata": {
            "name": "web",
            "labels": {"app": "web"},
            "annotations": {"sync.tagstream.io/interval": "1h30m"},
        },
        "spec": {"tags": [scheduled(f"v{each}", f"quay.io/x/y:{each}") for each in range(3)]},
    }
    body["spec"]["tags"].append(tag_from("once", "quay.io/x/y:once"))
    assert room.post("imagestreams", body).status_code == 201
    room.stream("api", scheduled("a", "nginx:1"), scheduled("b", "r.example:5000/x:1"))
    return room


def decide(room, tag, **values):
    with transaction(room.world.engine) as session:
        here = (ScheduleRow.namespace == room.ns, ScheduleRow.tag == tag)
        session.execute(update(ScheduleRow).where(*here).values(**values))


def test_a_scheduled_tag_tells_what_is_looked_at_and_how_often(calendar):
    found = calendar.admin.get(path(calendar, "web:v1")).json()
    assert (found["kind"], found["apiVersion"]) == ("ScheduledTag", "sync.tagstream.io/v1")
    assert found["spec"] == {
        "stream": "web",
        "tag": "v1",
        "registry": "quay.io",
        "source": "quay.io/x/y:1",
        "interval": "1h30m0s",
        "intervalSeconds": 5400,
        "scheduled": True,
    }
    assert found["status"]["decision"] == "new"
    stream = calendar.get("imagestreams", "web").json()["metadata"]
    metadata = found["metadata"]
    assert (metadata["uid"], metadata["labels"]) == (stream["uid"], {"app": "web"})


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ({}, ["api:a", "api:b", "web:v0", "web:v1", "web:v2"]),
        ({"fieldSelector": "spec.stream=api"}, ["api:a", "api:b"]),
        ({"fieldSelector": "spec.stream!=api,metadata.name!=web:v0"}, ["web:v1", "web:v2"]),
        ({"fieldSelector": "spec.registry=docker.io"}, ["api:a"]),
        ({"fieldSelector": "metadata.name=web:v2"}, ["web:v2"]),
        ({"fieldSelector": "status.decision=failed"}, ["web:v1"]),
        ({"fieldSelector": "status.decision=checking"}, []),
        ({"labelSelector": "app=web"}, ["web:v0", "web:v1", "web:v2"]),
    ],
)
def test_lists_are_narrowed_by_fields_and_by_the_labels_of_streams(calendar, selector, left):
    decide(calendar, "v1", decision="failed", reason="net.dns", failures=2)
    assert names(calendar.admin.get(path(calendar), params=selector)) == left


@pytest.mark.parametrize("selector", ["", "spec.stream!=nothing"])
def test_long_lists_come_in_pages(calendar, selector):
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        query = {"limit": "2", "continue": token, "fieldSelector": selector}
        answer = calendar.admin.get(path(calendar), params=query)
        seen += names(answer)
        token = answer.json()["metadata"].get("continue", "")
        pages += 1
    assert seen == ["api:a", "api:b", "web:v0", "web:v1", "web:v2"]
    assert pages == 3


def test_a_list_of_all_namespaces_goes_on_where_a_page_ended(calendar):
    calendar.stream("app", scheduled("x", "quay.io/x/y:1"), ns=calendar.other)
    seen, token = [], ""
    while True:
        query = {"limit": "1", "continue": token, "fieldSelector": "status.decision=new"}
        page = calendar.admin.get(f"{SYNC}/scheduledtags", params=query).json()
        seen += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == sorted(seen)
    assert (calendar.other, "app:x") in seen
    assert (calendar.ns, "web:v2") in seen


def test_the_calendar_has_columns(calendar):
    decide(calendar, "v1", decision="failed", reason="net.dns", message="no such host", failures=2)
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    query = {"fieldSelector": "metadata.name=web:v1"}
    table = calendar.admin.get(path(calendar), headers=headers, params=query).json()
    names = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert names == ["Name", "Registry", "Interval", "Last Check", "Next", "Decision", "Failures"]
    [row] = table["rows"]
    assert row["cells"][:4] == ["web:v1", "quay.io", "1h30m0s", "<never>"]
    assert row["cells"][5:] == ["failed", 2, "net.dns", "no such host"]


def test_whoever_may_see_streams_may_see_when_they_are_looked_at(calendar):
    viewer = calendar.user(("view", calendar.ns))
    assert len(names(viewer.get(path(calendar)))) == 5
    assert viewer.get(path(calendar, "web:v0")).status_code == 200
    assert viewer.get(path(calendar, ns=calendar.other)).status_code == 403
    puller = calendar.user(("puller", calendar.ns), name=f"{calendar.who}-p")
    assert puller.get(path(calendar)).status_code == 403


def test_nobody_writes_to_the_calendar(calendar):
    body = {"metadata": {"name": "web:v9"}, "spec": {}}
    assert calendar.admin.post(path(calendar), json=body).status_code == 405
    assert calendar.admin.request("DELETE", path(calendar, "web:v0")).status_code == 405


def test_a_tag_that_is_not_in_the_calendar_is_not_found(calendar):
    answer = calendar.admin.get(path(calendar, "web:once"))
    assert answer.status_code == 404
    assert answer.json()["message"] == ('scheduledtags.sync.tagstream.io "web:once" not found')
    assert calendar.admin.get(path(calendar, "web")).status_code == 400


def test_the_calendar_is_discovered_by_its_short_name(calendar):
    found = calendar.admin.get(SYNC).json()["resources"]
    [entry] = [each for each in found if each["name"] == "scheduledtags"]
    assert (entry["shortNames"], sorted(entry["verbs"])) == (["st"], ["get", "list"])
