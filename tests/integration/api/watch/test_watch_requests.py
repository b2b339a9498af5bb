"""Watches over a real connection (api-12.1, api-12.4, api-12.5)."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_pruning import prune_changes
from models.store.database.session import transaction
from models.store.streams.stream_store import save_stream
from tests.api_test_server import IMAGE_API, ApiTestServer
from tests.integration.api.tenant import Tenant, causes, tag_from
from tests.integration.store.sample_objects import NOW
from tests.integration.store.sample_objects import stream as stored_stream

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class OpenWatch:
    """One open watch: `next` returns the next event, `rest` all events until its end."""

    def __init__(self, response):
        self.response = response
        self._lines = response.iter_lines()

    def next(self):
        return json.loads(next(self._lines))

    def take(self, count):
        return [self.next() for _ in range(count)]

    def rest(self):
        return [json.loads(line) for line in self._lines]


@pytest.fixture
def watch():
    """Return a function that opens watches, of streams by `admin` unless given otherwise."""
    opened = []

    def open_watch(tenant, path=None, *, client=None, accept=None, **params):
        params = {"watch": "1", "timeoutSeconds": "20", **params}
        request = (client or tenant.admin).build_request(
            "GET",
            path or tenant.path("imagestreams"),
            params={key: value for key, value in params.items() if value is not None},
            headers={"Accept": accept} if accept else {},
        )
        response = (client or tenant.admin).send(request, stream=True)
        opened.append(response)
        return OpenWatch(response)

    yield open_watch
    for response in opened:
        response.close()


def version(tenant):
    return tenant.get("imagestreams").json()["metadata"]["resourceVersion"]


def seen(events):
    return [(each["type"], each["object"]["metadata"]["name"]) for each in events]


def versions(events):
    return [int(each["object"]["metadata"]["resourceVersion"]) for each in events]


@pytest.mark.case("api 107")
@pytest.mark.parametrize("start", [None, "0"])
def test_watch_without_version_begins_with_existing_streams(tenant, watch, start):
    for name in ("l2", "l0", "l1"):
        tenant.stream(name)
    found = watch(tenant, resourceVersion=start)
    assert found.response.headers["Content-Type"] == "application/json"
    events = found.take(3)
    assert seen(events) == [("ADDED", "l0"), ("ADDED", "l1"), ("ADDED", "l2")]
    assert {each["object"]["kind"] for each in events} == {"ImageStream"}
    assert {each["object"]["apiVersion"] for each in events} == {"image.openshift.io/v1"}
    tenant.stream("l3")
    assert seen([found.next()]) == [("ADDED", "l3")]


@pytest.mark.case("api 108")
def test_watch_from_version_receives_later_events(tenant, watch):
    tenant.stream("l1")
    found = watch(tenant, resourceVersion=version(tenant))
    patched = tenant.patch("imagestreams", "l1", {"metadata": {"labels": {"a": "b"}}}).json()
    made = tenant.stream("w")
    tenant.delete("imagestreams", "w")
    events = found.take(3)
    assert seen(events) == [("MODIFIED", "l1"), ("ADDED", "w"), ("DELETED", "w")]
    assert versions(events) == sorted(set(versions(events)))
    assert events[0]["object"] == patched
    assert events[1]["object"] == made
    deleted = events[2]["object"]
    assert deleted["spec"] == made["spec"]
    assert deleted["metadata"]["uid"] == made["metadata"]["uid"]


def test_watch_receives_no_event_of_unchanged_write(tenant, watch):
    old = tenant.stream("l1")
    found = watch(tenant, resourceVersion=version(tenant))
    assert tenant.put("imagestreams", "l1", old).json() == old
    tenant.stream("l2")
    assert seen([found.next()]) == [("ADDED", "l2")]


def test_watch_of_namespace_excludes_others(tenant, watch):
    found = watch(tenant, resourceVersion=version(tenant))
    tenant.stream("elsewhere", ns=tenant.other)
    tenant.stream("here")
    assert seen([found.next()]) == [("ADDED", "here")]


@pytest.mark.case("api 109")
def test_watch_by_label_deletes_object_that_stops_matching(tenant, watch):
    tenant.post("imagestreams", {"metadata": {"name": "st", "labels": {"g": "x"}}})
    found = watch(tenant, resourceVersion=version(tenant), labelSelector="g=x")
    unmatched = tenant.patch("imagestreams", "st", {"metadata": {"labels": {"g": "y"}}}).json()
    tenant.patch("imagestreams", "st", {"metadata": {"labels": {"g": "y", "h": "z"}}})
    tenant.patch("imagestreams", "st", {"metadata": {"labels": {"g": "x"}}})
    tenant.patch("imagestreams", "st", {"metadata": {"labels": {"h": "a"}}})
    events = found.take(3)
    assert seen(events) == [("DELETED", "st"), ("ADDED", "st"), ("MODIFIED", "st")]
    assert events[0]["object"]["metadata"] == unmatched["metadata"]


def test_watch_by_name_receives_only_that_object(tenant, watch):
    tenant.stream("st")
    found = watch(tenant, fieldSelector="metadata.name=st", resourceVersion=version(tenant))
    tenant.stream("other")
    tenant.delete("imagestreams", "st")
    assert seen([found.next()]) == [("DELETED", "st")]


@pytest.mark.parametrize("name", ["", "/st"])
def test_deprecated_watch_paths_are_served(tenant, watch, name):
    tenant.stream("other")
    tenant.stream("st")
    path = f"{IMAGE_API}/watch/namespaces/{tenant.ns}/imagestreams{name}"
    found = watch(tenant, path, watch=None)
    if not name:
        assert seen([found.next()]) == [("ADDED", "other")]
    assert seen([found.next()]) == [("ADDED", "st")]
    tenant.delete("imagestreams", "other")
    tenant.delete("imagestreams", "st")
    if not name:
        assert seen([found.next()]) == [("DELETED", "other")]
    assert seen([found.next()]) == [("DELETED", "st")]


def test_deprecated_watch_paths_serve_images(tenant, watch, digest):
    one, two = digest(), digest("b")
    now = version(tenant)
    everything = watch(tenant, f"{IMAGE_API}/watch/images", watch=None, resourceVersion=now)
    only = watch(tenant, f"{IMAGE_API}/watch/images/{two}", watch=None, resourceVersion=now)
    tenant.image(one)
    tenant.image(two)
    assert seen(everything.take(2)) == [("ADDED", one), ("ADDED", two)]
    assert seen([only.next()]) == [("ADDED", two)]


def test_watch_parameter_on_single_object_is_ignored(tenant):
    tenant.stream("st")
    found = tenant.get("imagestreams", "st", params={"watch": "1"})
    assert found.json()["kind"] == "ImageStream"


@pytest.mark.case("api 110")
def test_watch_ends_after_timeout_seconds(tenant, watch):
    start = time.monotonic()
    assert watch(tenant, resourceVersion=version(tenant), timeoutSeconds="1").rest() == []
    assert 0.8 < time.monotonic() - start < 4


@pytest.mark.case("api 111")
def test_watch_with_initial_events_sends_bookmark(tenant, watch):
    tenant.stream("a")
    tenant.stream("b")
    options = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    found = watch(tenant, resourceVersionMatch="NotOlderThan", **options)
    *added, bookmark = found.take(3)
    assert seen(added) == [("ADDED", "a"), ("ADDED", "b")]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ImageStream"
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= max(versions(added))
    tenant.stream("c")
    assert seen([found.next()]) == [("ADDED", "c")]
    refused = tenant.get("imagestreams", params={"watch": "1", **options})
    assert refused.status_code == 422
    assert causes(refused)["resourceVersionMatch"] == (
        "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    )


def prune_all_changes(api_server):
    """Prune the change log as far as possible."""
    with transaction(api_server.engine) as session:
        prune_changes(session, now=datetime.now(UTC) + timedelta(days=1), min_per_kind=0)


@pytest.fixture
def pruned_server(tmp_path):
    """A server on a store whose early changes are pruned."""
    api_server = ApiTestServer(tmp_path)
    with transaction(api_server.engine) as session:
        ensure_namespace(session, "ns1", now=NOW)
        for name in ("a", "b", "c"):
            save_stream(session, None, stored_stream(name, namespace="ns1"), now=NOW)
    prune_all_changes(api_server)
    with api_server:
        yield api_server


@pytest.mark.case("api 112")
def test_watch_from_expired_version_receives_error_event(pruned_server, watch):
    tenant = Tenant(pruned_server)
    [event] = watch(tenant, f"{IMAGE_API}/imagestreams", resourceVersion="1").rest()
    assert event["type"] == "ERROR"
    assert event["object"]["kind"] == "Status"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


def test_list_of_pruned_version_is_gone(pruned_server):
    def get(**params):
        return pruned_server.admin.get(f"{IMAGE_API}/imagestreams", params=params)

    first = get(limit=1).json()["metadata"]
    tenant = Tenant(pruned_server)
    tenant.stream("d")
    prune_all_changes(pruned_server)
    exact = get(resourceVersion=first["resourceVersion"], resourceVersionMatch="Exact")
    assert exact.status_code == 410
    assert exact.json()["message"] == "The resourceVersion for the provided list is too old."
    late = get(**{"continue": first["continue"]})
    assert (late.status_code, late.json()["reason"]) == (410, "Expired")
    assert late.json()["message"].startswith("The provided continue parameter is too old")
    rest = get(**{"continue": late.json()["metadata"]["continue"]}).json()
    assert [each["metadata"]["name"] for each in rest["items"]] == ["b", "c", "d"]


def test_watch_from_future_version_receives_nothing(tenant, watch):
    found = watch(tenant, resourceVersion="99999999", timeoutSeconds="1")
    tenant.stream("a")
    assert found.response.status_code == 200
    assert found.rest() == []


def test_watch_from_invalid_version_is_bad_request(tenant):
    response = tenant.get("imagestreams", params={"watch": "1", "resourceVersion": "abc"})
    assert response.status_code == 400


@pytest.mark.parametrize("resource", ["imagestreamtags", "imagetags"])
def test_watch_of_virtual_resource_is_not_allowed(tenant, resource):
    response = tenant.get(resource, params={"watch": "1"})
    assert response.status_code == 405
    expected = f'watch is not supported on resources of kind "{resource}.image.openshift.io"'
    assert response.json()["message"] == expected
    assert response.json()["details"] == {"group": "image.openshift.io", "kind": resource}


def test_watch_as_yaml_is_not_acceptable(tenant):
    headers = {"Accept": "application/yaml"}
    response = tenant.get("imagestreams", params={"watch": "1"}, headers=headers)
    assert response.status_code == 406
    expected = "only the following media types are accepted: application/json;stream=watch"
    assert yaml.safe_load(response.text)["message"].startswith(expected)


def test_watch_as_table_sends_one_row_for_each_event(tenant, watch):
    tenant.stream("a")
    found = watch(tenant, accept=TABLE)
    first = found.next()
    tenant.stream("b", tag_from("v1", "q/1"))
    second = found.next()
    tenant.delete("imagestreams", "b")
    third = found.next()
    assert [each["type"] for each in (first, second, third)] == ["ADDED", "ADDED", "DELETED"]
    tables = [each["object"] for each in (first, second, third)]
    assert {table["kind"] for table in tables} == {"Table"}
    headings = [column["name"] for column in tables[0]["columnDefinitions"]]
    assert headings == ["Name", "Image Repository", "Tags", "Updated"]
    rows = [table["rows"] for table in tables]
    assert [len(each) for each in rows] == [1, 1, 1]
    assert [each[0]["cells"][0] for each in rows] == ["a", "b", "b"]
    assert rows[0][0]["object"]["kind"] == "PartialObjectMetadata"


def test_watch_as_table_sends_bookmark_without_rows(tenant, watch):
    found = watch(
        tenant,
        accept=TABLE,
        sendInitialEvents="true",
        allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan",
    )
    event = found.next()
    assert event["type"] == "BOOKMARK"
    assert (event["object"]["kind"], event["object"]["rows"]) == ("Table", [])


def test_watch_of_secrets_and_namespaces_receives_events(tenant, watch):
    now = version(tenant)
    secrets = watch(tenant, f"/api/v1/namespaces/{tenant.ns}/secrets", resourceVersion=now)
    namespaces = watch(tenant, "/api/v1/namespaces", resourceVersion=now)
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = tenant.admin.post(f"/api/v1/namespaces/{tenant.ns}/secrets", json=body).json()
    tenant.admin.post("/api/v1/namespaces", json={"metadata": {"name": f"{tenant.ns}-x"}})
    event = secrets.next()
    assert (event["type"], event["object"]) == ("ADDED", made)
    assert event["object"]["data"] == {"a": "Yg=="}
    event = namespaces.next()
    assert seen([event]) == [("ADDED", f"{tenant.ns}-x")]
    assert event["object"]["kind"] == "Namespace"


def test_watch_of_projects_includes_only_own_projects(tenant, watch):
    """Events of own projects arrive, those of others do not."""
    member = tenant.user(("view", tenant.ns))
    found = watch(tenant, "/apis/project.openshift.io/v1/projects", client=member)
    event = found.next()
    assert seen([event]) == [("ADDED", tenant.ns)]
    assert event["object"]["kind"] == "Project"
    for name in (tenant.other, tenant.ns):
        patch = {"metadata": {"labels": {"a": "b"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        tenant.admin.patch(f"/api/v1/namespaces/{name}", json=patch, headers=headers)
    event = found.next()
    assert seen([event]) == [("MODIFIED", tenant.ns)]
    assert event["object"]["kind"] == "Project"
    assert event["object"]["apiVersion"] == "project.openshift.io/v1"


def test_concurrent_watches_receive_equal_events(tenant, watch):
    now = version(tenant)
    watchers = [watch(tenant, resourceVersion=now) for _ in range(20)]
    writers = [threading.Thread(target=tenant.stream, args=[f"s{number}"]) for number in range(5)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    histories = [versions(each.take(5)) for each in watchers]
    assert all(history == histories[0] for history in histories)
    assert histories[0] == sorted(histories[0])
