"""Watches over a real connection (`api.md` C15): cases 107 to 112."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import prune_changes
from models.store.database.session import transaction
from models.store.streams.stream_store import save_stream
from tests.apiserver import IMAGE_API, ApiWorld
from tests.integration.api.rooms import Room, tag_from
from tests.integration.api.test_streams_created import causes
from tests.integration.store.things import NOW
from tests.integration.store.things import stream as stored_stream

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Watching:
    """One open watch: `next` is the next event, `rest` all until its end."""

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
    """Opens watches; `path` may be any, the caller `admin` unless another is given."""
    opened = []

    def open_watch(room, path=None, *, client=None, accept=None, **params):
        params = {"watch": "1", "timeoutSeconds": "20", **params}
        request = (client or room.admin).build_request(
            "GET",
            path or room.path("imagestreams"),
            params={key: value for key, value in params.items() if value is not None},
            headers={"Accept": accept} if accept else {},
        )
        response = (client or room.admin).send(request, stream=True)
        opened.append(response)
        return Watching(response)

    yield open_watch
    for response in opened:
        response.close()


def version(room):
    return room.get("imagestreams").json()["metadata"]["resourceVersion"]


def seen(events):
    return [(each["type"], each["object"]["metadata"]["name"]) for each in events]


def versions(events):
    return [int(each["object"]["metadata"]["resourceVersion"]) for each in events]


@pytest.mark.case("api 107")
@pytest.mark.parametrize("start", [None, "0"])
def test_a_watch_begins_with_what_there_is(room, watch, start):
    for name in ("l2", "l0", "l1"):
        room.stream(name)
    found = watch(room, resourceVersion=start)
    assert found.response.headers["Content-Type"] == "application/json"
    events = found.take(3)
    assert seen(events) == [("ADDED", "l0"), ("ADDED", "l1"), ("ADDED", "l2")]
    assert {each["object"]["kind"] for each in events} == {"ImageStream"}
    assert {each["object"]["apiVersion"] for each in events} == {"image.openshift.io/v1"}
    room.stream("l3")
    assert seen([found.next()]) == [("ADDED", "l3")]


@pytest.mark.case("api 108")
def test_a_watch_from_a_version_tells_what_came_after(room, watch):
    room.stream("l1")
    found = watch(room, resourceVersion=version(room))
    patched = room.patch("imagestreams", "l1", {"metadata": {"labels": {"a": "b"}}}).json()
    made = room.stream("w")
    room.delete("imagestreams", "w")
    events = found.take(3)
    assert seen(events) == [("MODIFIED", "l1"), ("ADDED", "w"), ("DELETED", "w")]
    assert versions(events) == sorted(set(versions(events)))
    assert events[0]["object"] == patched
    assert events[1]["object"] == made
    gone = events[2]["object"]
    assert gone["spec"] == made["spec"]
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]


def test_a_write_that_changes_nothing_is_no_event(room, watch):
    old = room.stream("l1")
    found = watch(room, resourceVersion=version(room))
    assert room.put("imagestreams", "l1", old).json() == old
    room.stream("l2")
    assert seen([found.next()]) == [("ADDED", "l2")]


def test_other_namespaces_are_not_told_of(room, watch):
    found = watch(room, resourceVersion=version(room))
    room.stream("elsewhere", ns=room.other)
    room.stream("here")
    assert seen([found.next()]) == [("ADDED", "here")]


@pytest.mark.case("api 109")
def test_what_no_longer_matches_is_deleted_for_the_watcher(room, watch):
    room.post("imagestreams", {"metadata": {"name": "st", "labels": {"g": "x"}}})
    found = watch(room, resourceVersion=version(room), labelSelector="g=x")
    left = room.patch("imagestreams", "st", {"metadata": {"labels": {"g": "y"}}}).json()
    room.patch("imagestreams", "st", {"metadata": {"labels": {"g": "y", "h": "z"}}})
    room.patch("imagestreams", "st", {"metadata": {"labels": {"g": "x"}}})
    room.patch("imagestreams", "st", {"metadata": {"labels": {"h": "a"}}})
    events = found.take(3)
    assert seen(events) == [("DELETED", "st"), ("ADDED", "st"), ("MODIFIED", "st")]
    assert events[0]["object"]["metadata"] == left["metadata"]


def test_one_object_is_watched_by_its_name(room, watch):
    room.stream("st")
    found = watch(room, fieldSelector="metadata.name=st", resourceVersion=version(room))
    room.stream("other")
    room.delete("imagestreams", "st")
    assert seen([found.next()]) == [("DELETED", "st")]


@pytest.mark.parametrize("name", ["", "/st"])
def test_the_old_paths_watch_too(room, watch, name):
    room.stream("other")
    room.stream("st")
    path = f"{IMAGE_API}/watch/namespaces/{room.ns}/imagestreams{name}"
    found = watch(room, path, watch=None)
    if not name:
        assert seen([found.next()]) == [("ADDED", "other")]
    assert seen([found.next()]) == [("ADDED", "st")]
    room.delete("imagestreams", "other")
    room.delete("imagestreams", "st")
    if not name:
        assert seen([found.next()]) == [("DELETED", "other")]
    assert seen([found.next()]) == [("DELETED", "st")]


def test_images_are_watched_by_the_old_paths(room, watch, digest):
    one, two = digest(), digest("b")
    now = version(room)
    everything = watch(room, f"{IMAGE_API}/watch/images", watch=None, resourceVersion=now)
    only = watch(room, f"{IMAGE_API}/watch/images/{two}", watch=None, resourceVersion=now)
    room.image(one)
    room.image(two)
    assert seen(everything.take(2)) == [("ADDED", one), ("ADDED", two)]
    assert seen([only.next()]) == [("ADDED", two)]


def test_a_watch_on_one_object_is_a_get(room):
    room.stream("st")
    found = room.get("imagestreams", "st", params={"watch": "1"})
    assert found.json()["kind"] == "ImageStream"


@pytest.mark.case("api 110")
def test_a_watch_ends_when_its_time_is_over(room, watch):
    start = time.monotonic()
    assert watch(room, resourceVersion=version(room), timeoutSeconds="1").rest() == []
    assert 0.8 < time.monotonic() - start < 4


@pytest.mark.case("api 111")
def test_initial_events_end_with_a_bookmark(room, watch):
    room.stream("a")
    room.stream("b")
    how = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    found = watch(room, resourceVersionMatch="NotOlderThan", **how)
    *added, bookmark = found.take(3)
    assert seen(added) == [("ADDED", "a"), ("ADDED", "b")]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ImageStream"
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= max(versions(added))
    room.stream("c")
    assert seen([found.next()]) == [("ADDED", "c")]
    refused = room.get("imagestreams", params={"watch": "1", **how})
    assert refused.status_code == 422
    assert causes(refused)["resourceVersionMatch"] == (
        "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    )


def forget(world):
    """Take everything out of the log that nobody needs."""
    with transaction(world.engine) as session:
        prune_changes(session, now=datetime.now(UTC) + timedelta(days=1), keep_each=0)


@pytest.fixture
def old_world(tmp_path):
    """A server that found a store whose beginnings are forgotten."""
    world = ApiWorld(tmp_path)
    with transaction(world.engine) as session:
        ensure_namespace(session, "ns1", now=NOW)
        for name in ("a", "b", "c"):
            save_stream(session, None, stored_stream(name, namespace="ns1"), now=NOW)
    forget(world)
    with world:
        yield world


@pytest.mark.case("api 112")
def test_whoever_comes_too_late_is_told_so(old_world, watch):
    room = Room(old_world)
    [event] = watch(room, f"{IMAGE_API}/imagestreams", resourceVersion="1").rest()
    assert event["type"] == "ERROR"
    assert event["object"]["kind"] == "Status"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


def test_a_list_of_a_forgotten_past_is_gone(old_world):
    def get(**params):
        return old_world.admin.get(f"{IMAGE_API}/imagestreams", params=params)

    first = get(limit=1).json()["metadata"]
    room = Room(old_world)
    room.stream("d")
    forget(old_world)
    exact = get(resourceVersion=first["resourceVersion"], resourceVersionMatch="Exact")
    assert exact.status_code == 410
    assert exact.json()["message"] == "The resourceVersion for the provided list is too old."
    late = get(**{"continue": first["continue"]})
    assert (late.status_code, late.json()["reason"]) == (410, "Expired")
    assert late.json()["message"].startswith("The provided continue parameter is too old")
    rest = get(**{"continue": late.json()["metadata"]["continue"]}).json()
    assert [each["metadata"]["name"] for each in rest["items"]] == ["b", "c", "d"]


def test_a_watch_from_the_future_stays_silent(room, watch):
    found = watch(room, resourceVersion="99999999", timeoutSeconds="1")
    room.stream("a")
    assert found.response.status_code == 200
    assert found.rest() == []


def test_a_watch_begins_at_a_number(room):
    answer = room.get("imagestreams", params={"watch": "1", "resourceVersion": "abc"})
    assert answer.status_code == 400


@pytest.mark.parametrize("resource", ["imagestreamtags", "imagetags"])
def test_views_are_not_watched(room, resource):
    answer = room.get(resource, params={"watch": "1"})
    assert answer.status_code == 405
    expected = f'watch is not supported on resources of kind "{resource}.image.openshift.io"'
    assert answer.json()["message"] == expected
    assert answer.json()["details"] == {"group": "image.openshift.io", "kind": resource}


def test_a_watch_is_never_yaml(room):
    headers = {"Accept": "application/yaml"}
    answer = room.get("imagestreams", params={"watch": "1"}, headers=headers)
    assert answer.status_code == 406
    expected = "only the following media types are accepted: application/json;stream=watch"
    assert yaml.safe_load(answer.text)["message"].startswith(expected)


def test_tables_are_watched_row_by_row(room, watch):
    room.stream("a")
    found = watch(room, accept=TABLE)
    first = found.next()
    room.stream("b", tag_from("v1", "q/1"))
    second = found.next()
    room.delete("imagestreams", "b")
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


def test_a_bookmark_of_a_table_has_no_rows(room, watch):
    found = watch(
        room,
        accept=TABLE,
        sendInitialEvents="true",
        allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan",
    )
    event = found.next()
    assert event["type"] == "BOOKMARK"
    assert (event["object"]["kind"], event["object"]["rows"]) == ("Table", [])


def test_secrets_and_namespaces_are_watched(room, watch):
    now = version(room)
    secrets = watch(room, f"/api/v1/namespaces/{room.ns}/secrets", resourceVersion=now)
    rooms = watch(room, "/api/v1/namespaces", resourceVersion=now)
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = room.admin.post(f"/api/v1/namespaces/{room.ns}/secrets", json=body).json()
    room.admin.post("/api/v1/namespaces", json={"metadata": {"name": f"{room.ns}-x"}})
    event = secrets.next()
    assert (event["type"], event["object"]) == ("ADDED", made)
    assert event["object"]["data"] == {"a": "Yg=="}
    event = rooms.next()
    assert seen([event]) == [("ADDED", f"{room.ns}-x")]
    assert event["object"]["kind"] == "Namespace"


def test_projects_are_watched_by_those_who_have_a_role_in_them(room, watch):
    """Neither a new one of their own nor a foreign one is mixed up."""
    member = room.user(("view", room.ns))
    found = watch(room, "/apis/project.openshift.io/v1/projects", client=member)
    event = found.next()
    assert seen([event]) == [("ADDED", room.ns)]
    assert event["object"]["kind"] == "Project"
    for name in (room.other, room.ns):
        patch = {"metadata": {"labels": {"a": "b"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        room.admin.patch(f"/api/v1/namespaces/{name}", json=patch, headers=headers)
    event = found.next()
    assert seen([event]) == [("MODIFIED", room.ns)]
    assert event["object"]["kind"] == "Project"
    assert event["object"]["apiVersion"] == "project.openshift.io/v1"


def test_many_watchers_see_the_same(room, watch):
    now = version(room)
    watchers = [watch(room, resourceVersion=now) for _ in range(20)]
    writers = [threading.Thread(target=room.stream, args=[f"s{number}"]) for number in range(5)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    stories = [versions(each.take(5)) for each in watchers]
    assert all(story == stories[0] for story in stories)
    assert stories[0] == sorted(stories[0])
