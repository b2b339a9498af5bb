"""Events, as `kubectl get events` and `kubectl describe` request them."""

import json

import pytest

from models.store.database.session import transaction
from models.store.events.event_store import record_object_event
from worker.job_queue import utc_now

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def events(tenant, name="", *, ns=None):
    path = f"/api/v1/namespaces/{ns or tenant.ns}/events"
    return f"{path}/{name}" if name else path


def record(tenant, name="app", *, ns=None, **fields):
    involved = {
        "kind": "ImageStream",
        "uid": f"uid-{name}",
        "type": "Normal",
        "reason": "TagUpdated",
    }
    fields = {**involved, "message": "tag t updated", **fields}
    with transaction(tenant.api_server.engine) as session:
        record_object_event(session, namespace=ns or tenant.ns, name=name, now=utc_now(), **fields)


def involved_names(found):
    return [each["involvedObject"]["name"] for each in found.json()["items"]]


def test_event_list_field_selectors_of_describe_find_events(tenant):
    record(tenant)
    record(tenant, "other")
    record(tenant, ns=tenant.other)
    selector = (
        f"involvedObject.name=app,involvedObject.namespace={tenant.ns},"
        "involvedObject.kind=ImageStream,involvedObject.uid=uid-app"
    )
    found = tenant.admin.get(events(tenant), params={"fieldSelector": selector, "limit": 500})
    assert (found.json()["kind"], found.json()["apiVersion"]) == ("EventList", "v1")
    assert involved_names(found) == ["app"]
    for selector in ("reason=Other", "type=Warning", "involvedObject.uid=x", "source=kubelet"):
        found = tenant.admin.get(events(tenant), params={"fieldSelector": selector})
        assert involved_names(found) == [], selector
    found = tenant.admin.get(
        events(tenant), params={"fieldSelector": "source=tagstream,type!=Warning"}
    )
    assert involved_names(found) == ["app", "other"]
    found = tenant.admin.get("/api/v1/events", params={"fieldSelector": "involvedObject.name=app"})
    assert {tenant.ns, tenant.other} <= {e["metadata"]["namespace"] for e in found.json()["items"]}


def test_event_list_of_unknown_field_selector_is_bad_request(tenant):
    found = tenant.admin.get(events(tenant), params={"fieldSelector": "involvedObject.colour=red"})
    assert found.status_code == 400


def test_event_table_has_standard_columns(tenant):
    record(tenant, type="Warning", reason="ImportFailed", message=" the tag is missing\n")
    record(tenant, type="Warning", reason="ImportFailed", message=" the tag is missing\n")
    table = tenant.admin.get(events(tenant), headers={"Accept": TABLE}).json()
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
        "Message": "the tag is missing",
        "Count": 2,
    }


def test_event_watch_receives_repeated_and_new_events(tenant):
    record(tenant)
    listed = tenant.admin.get(events(tenant)).json()
    params = {
        "watch": "1",
        "timeoutSeconds": "20",
        "resourceVersion": listed["metadata"]["resourceVersion"],
    }
    with tenant.admin.stream("GET", events(tenant), params=params) as response:
        lines = response.iter_lines()
        record(tenant)
        first = json.loads(next(lines))
        record(tenant, "other")
        second = json.loads(next(lines))
    assert (first["type"], first["object"]["count"]) == ("MODIFIED", 2)
    assert (first["object"]["kind"], first["object"]["apiVersion"]) == ("Event", "v1")
    assert (second["type"], second["object"]["involvedObject"]["name"]) == ("ADDED", "other")


def test_events_are_readable_by_viewer_and_deletable_by_admin(tenant):
    record(tenant)
    [event] = tenant.admin.get(events(tenant)).json()["items"]
    name = event["metadata"]["name"]
    viewer = tenant.user(("view", tenant.ns))
    assert viewer.get(events(tenant, name)).json() == {"kind": "Event", "apiVersion": "v1"} | event
    assert viewer.delete(events(tenant, name)).status_code == 403
    assert viewer.get(events(tenant, ns=tenant.other)).status_code == 403
    assert tenant.admin.delete(events(tenant, name)).json()["status"] == "Success"
    assert tenant.admin.get(events(tenant, name)).status_code == 404
    assert tenant.admin.delete(events(tenant, name)).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_event_writes_of_clients_are_not_allowed(tenant, method):
    record(tenant)
    [event] = tenant.admin.get(events(tenant)).json()["items"]
    path = events(tenant) if method == "POST" else events(tenant, event["metadata"]["name"])
    assert tenant.admin.request(method, path, json=event).status_code == 405
