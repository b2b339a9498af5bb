"""`/metrics` of the API: who may read it, and what it tells of requests and watches."""

import json

import pytest

from api.serving.metrics_endpoint import words_of
from tests.apiserver import IMAGE_API
from tests.e2e.conftest import until
from tests.scrapes import parse, told

REQUESTS = "tagstream_api_requests_total"


def page(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_whoever_may_look_everywhere_may_read_it(room):
    for role in ("view", "auditor", "admin"):
        answer = room.user((role, "*"), name=f"{room.who}-{role}").get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert told("tagstream_claimed_total", page=answer.text) >= 0


def test_nobody_else_may(room):
    assert room.world.client().get("/metrics").status_code == 401
    for roles in ((), (("admin", room.ns),), (("view", room.ns),), (("puller", "*"),)):
        name = f"{room.who}-{len(roles)}{''.join(roles[0]) if roles else ''}".replace("*", "all")
        answer = room.user(*roles, name=name).get("/metrics")
        assert answer.status_code == 403
        status = answer.json()
        assert status["message"] == f'forbidden: User "{name}" cannot get path "/metrics"'


def test_it_is_for_reading(room):
    assert room.admin.post("/metrics").status_code == 405
    assert room.admin.head("/metrics").content == b""
    assert "/metrics" in room.admin.get("/").json()["paths"]


def test_requests_are_counted_by_resource_verb_and_code(room):
    before = page(room.admin)
    room.get("imagestreams")
    room.get("imagestreams", "none")
    room.post("imagestreams", {"metadata": {"name": "web"}})
    after = page(room.admin)

    def more(verb, code, resource="imagestreams"):
        labels = {"resource": resource, "verb": verb, "code": code}
        return told(REQUESTS, page=after, **labels) - told(REQUESTS, page=before, **labels)

    assert more("list", "200") == 1
    assert more("get", "404") == 1
    assert more("create", "201") == 1
    assert more("get", "200", "metrics") == 1
    seconds = "tagstream_api_request_seconds_count"
    assert told(seconds, page=after, verb="list") > told(seconds, page=before, verb="list")


def test_a_subresource_is_counted_by_its_own_name(room):
    room.post("imagestreams", {"metadata": {"name": "web"}})
    room.admin.get(room.path("imagestreams", "web/layers"))
    labels = {"resource": "imagestreams/layers", "verb": "get", "code": "200"}
    assert told(REQUESTS, page=page(room.admin), **labels) >= 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/apis/evil.example/v1/widgets"),
        ("GET", "/nowhere/at/all"),
        ("BREW", f"{IMAGE_API}/namespaces/ns1/imagestreams"),
        ("GET", f"{IMAGE_API}/namespaces/ns1/gadgets/x/y/z"),
        ("GET", "/%ff"),
    ],
)
def test_what_a_client_makes_up_becomes_no_label(room, method, path):
    room.admin.request(method, path)
    for name, *labels in parse(page(room.admin)):
        if name == REQUESTS:
            assert dict(labels)["verb"] != "brew"
            assert not {"widgets", "nowhere", "gadgets"} & set(dict(labels).values())


def test_paths_are_remembered_only_as_far_as_memory_goes(room):
    long = "x" * 3000
    before = words_of.cache_info().currsize
    assert room.get("imagestreams", long).status_code == 404
    assert words_of.cache_info().currsize == before
    assert words_of.cache_info().maxsize <= 4096


def test_a_watch_is_told_while_it_is_open(room):
    def watches():
        return told("tagstream_api_watches", page=page(room.admin), resource="imagestreams")

    before = watches()
    room.post("imagestreams", {"metadata": {"name": "web"}})
    with room.admin.stream("GET", room.path("imagestreams"), params={"watch": "1"}) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["type"] == "ADDED"
        assert watches() == before + 1
    until(lambda: watches() == before)
    labels = {"resource": "imagestreams", "verb": "watch", "code": "200"}
    assert told(REQUESTS, page=page(room.admin), **labels) >= 1
