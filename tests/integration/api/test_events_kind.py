"""Events, as `kubectl get events` and `describe` ask for them."""

import json

import pytest

from models.store.database.session import transaction
from models.store.events.event_store import record_event
from worker.job_queue import utc_now

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def events(room, name="", *, ns=None):
    path = f"/api/v1/namespaces/{ns or room.ns}/events"
    return f"{path}/{name}" if name else path


def tell(room, name="app", *, ns=None, **fields):
    about = {"kind": "ImageStream", "uid": f"uid-{name}", "type": "Normal", "reason": "TagMoved"}
    fields = {**about, "message": "tag t moved", **fields}
    with transaction(room.world.engine) as session:
        record_event(session, namespace=ns or room.ns, name=name, now=utc_now(), **fields)


def about(found):
    return [each["involvedObject"]["name"] for each in found.json()["items"]]


def test_describe_finds_the_events_of_its_object(room):
    tell(room)
    tell(room, "other")
    tell(room, ns=room.other)
    selector = (
        f"involvedObject.name=app,involvedObject.namespace={room.ns},"
        "involvedObject.kind=ImageStream,involvedObject.uid=uid-app"
    )
    found = room.admin.get(events(room), params={"fieldSelector": selector, "limit": 500})
    assert (found.json()["kind"], found.json()["apiVersion"]) == ("EventList", "v1")
    assert about(found) == ["app"]
    for selector in ("reason=Other", "type=Warning", "involvedObject.uid=x", "source=kubelet"):
        found = room.admin.get(events(room), params={"fieldSelector": selector})
        assert about(found) == [], selector
    found = room.admin.get(events(room), params={"fieldSelector": "source=tagstream,type!=Warning"})
    assert about(found) == ["app", "other"]
    found = room.admin.get("/api/v1/events", params={"fieldSelector": "involvedObject.name=app"})
    assert {room.ns, room.other} <= {e["metadata"]["namespace"] for e in found.json()["items"]}


def test_an_unknown_field_is_refused(room):
    found = room.admin.get(events(room), params={"fieldSelector": "involvedObject.colour=red"})
    assert found.status_code == 400


def test_a_table_has_the_usual_columns(room):
    tell(room, type="Warning", reason="ImportFailed", message=" the tag is gone\n")
    tell(room, type="Warning", reason="ImportFailed", message=" the tag is gone\n")
    table = room.admin.get(events(room), headers={"Accept": TABLE}).json()
    shown = [each["name"] for each in table["columnDefinitions"] if not each["priority"]]
    assert shown == ["Last Seen", "Type", "Reason", "Object", "Message"]
    [row] = table["rows"]
    cells = dict(
        zip([each["name"] for each in table["columnDefinitions"]], row["cells"], strict=True)
    )
    assert cells.pop("Name").startswith("app.")
    assert (cells.pop("Last Seen")[-1], cells.pop("First Seen")[-1]) == ("s", "s")
    assert cells == {
        "Type": "Warning",
        "Reason": "ImportFailed",
        "Object": "imagestream/app",
        "Subobject": "",
        "Source": "tagstream",
        "Message": "the tag is gone",
        "Count": 2,
    }


def test_events_are_watched(room):
    tell(room)
    listed = room.admin.get(events(room)).json()
    params = {
        "watch": "1",
        "timeoutSeconds": "20",
        "resourceVersion": listed["metadata"]["resourceVersion"],
    }
    with room.admin.stream("GET", events(room), params=params) as response:
        lines = response.iter_lines()
        tell(room)
        told = json.loads(next(lines))
        tell(room, "other")
        more = json.loads(next(lines))
    assert (told["type"], told["object"]["count"]) == ("MODIFIED", 2)
    assert (told["object"]["kind"], told["object"]["apiVersion"]) == ("Event", "v1")
    assert (more["type"], more["object"]["involvedObject"]["name"]) == ("ADDED", "other")


def test_events_are_read_by_viewers_and_deleted_by_admins(room):
    tell(room)
    [event] = room.admin.get(events(room)).json()["items"]
    name = event["metadata"]["name"]
    viewer = room.user(("view", room.ns))
    assert viewer.get(events(room, name)).json() == {"kind": "Event", "apiVersion": "v1"} | event
    assert viewer.delete(events(room, name)).status_code == 403
    assert viewer.get(events(room, ns=room.other)).status_code == 403
    assert room.admin.delete(events(room, name)).json()["status"] == "Success"
    assert room.admin.get(events(room, name)).status_code == 404
    assert room.admin.delete(events(room, name)).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_nobody_writes_events_but_the_house(room, method):
    tell(room)
    [event] = room.admin.get(events(room)).json()["items"]
    path = events(room) if method == "POST" else events(room, event["metadata"]["name"])
    assert room.admin.request(method, path, json=event).status_code == 405
