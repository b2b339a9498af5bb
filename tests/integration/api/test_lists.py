"""Lists, page by page, by selectors and versions (`api.md` C14): cases 100 to 106."""

import itertools
import threading

import pytest

from tests.apiserver import IMAGE_API
from tests.integration.api.rooms import tag_from
from tests.integration.api.test_streams_created import causes


def names(answer):
    assert answer.status_code == 200, answer.text
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def listed(room, resource="imagestreams", **params):
    return room.get(resource, params=params)


@pytest.fixture
def five(room):
    """l0 to l4; those with an even number are labelled."""
    for number in range(5):
        labels = {"g": "xyz"[number % 3], "n": str(number)}
        body = {"metadata": {"name": f"l{number}", "labels": labels}}
        assert room.post("imagestreams", body).status_code == 201
    return room


@pytest.mark.case("api 100")
def test_pages_follow_each_other_without_gaps_or_doubles(five):
    first = listed(five, limit=2)
    assert names(first) == ["l0", "l1"]
    metadata = first.json()["metadata"]
    assert metadata["remainingItemCount"] == 3
    second = listed(five, limit=2, **{"continue": metadata["continue"]})
    assert names(second) == ["l2", "l3"]
    assert second.json()["metadata"]["remainingItemCount"] == 1
    assert second.json()["metadata"]["resourceVersion"] == metadata["resourceVersion"]
    token = second.json()["metadata"]["continue"]
    third = listed(five, limit=2, **{"continue": token})
    assert names(third) == ["l4"]
    assert third.json()["metadata"].keys() == {"resourceVersion"}


@pytest.mark.case("api 100")
def test_a_page_that_holds_everything_is_the_last(five):
    found = listed(five, limit=5)
    assert len(names(found)) == 5
    assert found.json()["metadata"].keys() == {"resourceVersion"}


@pytest.mark.case("api 100")
@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_is_no_page(five, limit):
    assert len(names(listed(five, limit=limit))) == 5


def test_a_limit_is_a_number(five):
    answer = listed(five, limit="abc")
    assert answer.status_code == 400
    assert answer.json()["message"] == 'strconv.ParseInt: parsing "abc": invalid syntax'


def test_pages_by_a_selector_tell_no_rest(five):
    first = listed(five, limit=1, labelSelector="g=x")
    assert names(first) == ["l0"]
    assert "remainingItemCount" not in first.json()["metadata"]
    token = first.json()["metadata"]["continue"]
    second = listed(five, limit=1, labelSelector="g=x", **{"continue": token})
    assert names(second) == ["l3"]
    assert "continue" not in second.json()["metadata"]


@pytest.mark.case("api 100")
def test_later_pages_show_what_the_first_one_saw(five):
    """Between two pages one stream goes, one comes and one changes."""
    first = listed(five, limit=2).json()["metadata"]
    assert five.delete("imagestreams", "l3").status_code == 200
    five.stream("l2b")
    assert five.patch("imagestreams", "l4", {"metadata": {"labels": {"n": "9"}}}).is_success
    second = listed(five, limit=2, **{"continue": first["continue"]})
    assert names(second) == ["l2", "l3"]
    token = second.json()["metadata"]["continue"]
    third = listed(five, limit=2, **{"continue": token})
    assert names(third) == ["l4"]
    assert third.json()["items"][0]["metadata"]["labels"]["n"] == "4"
    assert third.json()["metadata"]["resourceVersion"] == first["resourceVersion"]
    assert names(listed(five)) == ["l0", "l1", "l2", "l2b", "l4"]


@pytest.mark.case("api 100")
def test_pages_are_one_snapshot_while_writers_write(room):
    """A marker wanders from stream to stream; every list sees it exactly once."""
    for number in range(10):
        room.stream(f"s{number}")
    room.stream("s0-marker")
    over = threading.Event()

    def wander():
        client = room.user(("edit", room.ns), name=f"{room.who}-w")
        path = room.path("imagestreams")
        for number in itertools.cycle(range(10)):
            # Two at once for a moment, never none.
            name = f"s{number}-marker"
            client.post(path, json={"metadata": {"name": name}})
            before = f"s{(number - 1) % 10}-marker"
            client.request("DELETE", f"{path}/{before}")
            if over.is_set():
                return

    writer = threading.Thread(target=wander)
    writer.start()
    try:
        for _ in range(10):
            found, token, versions = [], None, set()
            while True:
                more = {"continue": token} if token else {}
                page = listed(room, limit=3, **more)
                found.extend(names(page))
                versions.add(page.json()["metadata"]["resourceVersion"])
                token = page.json()["metadata"].get("continue")
                if token is None:
                    break
            assert len(versions) == 1
            assert found == sorted(found)
            assert len(set(found)) == len(found)
            assert [name for name in found if "marker" not in name] == [
                f"s{number}" for number in range(10)
            ]
            assert len(found) in {11, 12}
    finally:
        over.set()
        writer.join()


@pytest.mark.case("api 101")
@pytest.mark.parametrize("token", ["garbage", "e30", "bnVsbA", "W10", "%", "ä", "eyJ2IjoxfQ"])
def test_a_token_that_we_did_not_give_out_is_refused(five, token):
    answer = listed(five, limit=2, **{"continue": token})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("invalid continue token: ")


@pytest.mark.case("api 101")
def test_a_token_brings_its_own_version(five):
    token = listed(five, limit=2).json()["metadata"]["continue"]
    answer = listed(five, limit=2, resourceVersion=5, **{"continue": token})
    assert answer.status_code == 400
    expected = "specifying resource version is not allowed when using continue"
    assert answer.json()["message"] == expected


@pytest.mark.case("api 102")
def test_fields_select(five):
    assert names(listed(five, fieldSelector="metadata.name=l1")) == ["l1"]
    assert names(listed(five, fieldSelector="metadata.name==l1")) == ["l1"]
    assert names(listed(five, fieldSelector="metadata.name!=l1")) == ["l0", "l2", "l3", "l4"]
    both = f"metadata.name=l1,metadata.namespace={five.ns}"
    assert names(listed(five, fieldSelector=both)) == ["l1"]
    assert names(listed(five, fieldSelector="metadata.name=l1,metadata.name=l2")) == []
    assert names(listed(five, fieldSelector="metadata.name=none")) == []


@pytest.mark.case("api 102")
def test_the_repository_of_a_stream_selects(room):
    room.stream("one", dockerImageRepository="quay.io/x/y")
    room.stream("two")
    assert names(listed(room, fieldSelector="spec.dockerImageRepository=quay.io/x/y")) == ["one"]
    shown = f"status.dockerImageRepository=reg.local:5000/{room.ns}/two"
    assert names(listed(room, fieldSelector=shown)) == ["two"]


@pytest.mark.case("api 102")
def test_a_field_that_nobody_knows_does_not_select(five):
    answer = listed(five, fieldSelector="spec.foo=x")
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
    answer = listed(five, fieldSelector="garbage")
    assert answer.status_code == 400
    expected = "invalid selector: 'garbage'; can't understand 'garbage'"
    assert answer.json()["message"] == expected


@pytest.mark.case("api 103")
def test_labels_select(five):
    assert names(listed(five, labelSelector="g in (x,y),n!=1")) == ["l0", "l3", "l4"]
    assert names(listed(five, labelSelector="g=z")) == ["l2"]
    assert names(listed(five, labelSelector="g notin (x,y)")) == ["l2"]
    assert names(listed(five, labelSelector="!g")) == []
    assert names(listed(five, labelSelector="n>2")) == ["l3", "l4"]
    answer = listed(five, labelSelector="a===b")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("unable to parse requirement: ")


@pytest.mark.case("api 104")
@pytest.mark.parametrize("resource", ["imagestreams", "imagestreamtags", "imagetags"])
def test_a_namespace_that_is_not_there_is_empty(room, resource):
    answer = room.get(resource, ns="nowhere")
    assert answer.status_code == 200
    assert answer.json()["items"] == []


@pytest.mark.case("api 105")
def test_a_version_that_is_not_yet_is_waited_for_and_then_refused(room):
    answer = listed(room, resourceVersion=99999999)
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (504, "Timeout")
    assert body["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
    assert body["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    assert answer.headers["Retry-After"] == "1"


def test_a_version_that_comes_in_time_is_waited_for(room):
    now = int(listed(room).json()["metadata"]["resourceVersion"])
    later = threading.Timer(0.3, room.stream, ["late"])
    later.start()
    assert "late" in names(listed(room, resourceVersion=now + 1))
    later.join()


def test_a_version_is_a_number(room):
    answer = listed(room, resourceVersion="abc")
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "abc": '
        'strconv.ParseUint: parsing "abc": invalid syntax'
    )


@pytest.mark.case("api 106")
def test_how_a_version_is_meant_has_to_make_sense(room):
    field = "resourceVersionMatch"
    lone = listed(room, resourceVersionMatch="Exact")
    assert lone.status_code == 422
    text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    assert causes(lone)[field] == text
    expected = f'ListOptions.meta.k8s.io "" is invalid: {field}: {text}'
    assert lone.json()["message"] == expected
    odd = listed(room, resourceVersionMatch="Foo", resourceVersion=1)
    assert odd.status_code == 422
    expected = 'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""'
    assert causes(odd)[field] == expected
    zero = listed(room, resourceVersionMatch="Exact", resourceVersion=0)
    assert zero.status_code == 422
    expected = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    assert causes(zero)[field] == expected
    events = listed(room, sendInitialEvents="true")
    assert events.status_code == 422
    expected = "Forbidden: sendInitialEvents is forbidden for list"
    assert causes(events)["sendInitialEvents"] == expected


def test_an_exact_version_shows_what_was_then(five):
    then = listed(five).json()["metadata"]["resourceVersion"]
    five.delete("imagestreams", "l0")
    past = listed(five, resourceVersion=then, resourceVersionMatch="Exact")
    assert names(past) == ["l0", "l1", "l2", "l3", "l4"]
    assert past.json()["metadata"]["resourceVersion"] == then
    since = listed(five, resourceVersion=then, resourceVersionMatch="NotOlderThan")
    assert names(since) == ["l1", "l2", "l3", "l4"]


def test_items_are_bare_and_in_the_order_of_their_places(room):
    for ns, name in ((room.other, "a"), (room.ns, "b"), (room.ns, "a")):
        room.stream(name, ns=ns)
    answer = room.admin.get(f"{IMAGE_API}/imagestreams")
    body = answer.json()
    assert (body["kind"], body["apiVersion"]) == ("ImageStreamList", "image.openshift.io/v1")
    assert int(body["metadata"]["resourceVersion"]) > 0
    assert not any({"kind", "apiVersion"} & item.keys() for item in body["items"])
    places = [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in body["items"]]
    assert places == sorted(places)
    mine = [place for place in places if place[0] in {room.ns, room.other}]
    assert mine == [(room.ns, "a"), (room.ns, "b"), (room.other, "a")]


def test_pages_go_over_all_namespaces(room):
    for number in range(3):
        room.stream(f"s{number}")
        room.stream(f"s{number}", ns=room.other)
    found, token = [], None
    while True:
        params = {"limit": 2, **({"continue": token} if token else {})}
        page = room.admin.get(f"{IMAGE_API}/imagestreams", params=params).json()
        found += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in page["items"]]
        token = page["metadata"].get("continue")
        if token is None:
            break
    assert found == sorted(set(found))
    mine = [place for place in found if place[0] in {room.ns, room.other}]
    assert len(mine) == 6


def test_virtual_lists_are_complete_sorted_and_selected(room):
    body = {
        "metadata": {"name": "st", "labels": {"a": "b"}},
        "spec": {"tags": [tag_from("v2", "q/2"), tag_from("v1", "q/1")]},
    }
    assert room.post("imagestreams", body).status_code == 201
    room.stream("au", tag_from("v1", "q/1"))
    assert names(room.get("imagetags")) == ["au:v1", "st:v1", "st:v2"]
    assert names(listed(room, "imagetags", fieldSelector="metadata.name=st:v2")) == ["st:v2"]
    assert names(listed(room, "imagestreamtags")) == []


def test_images_and_namespaces_have_pages_too(room, digest):
    for _ in range(3):
        room.image(digest())
    page = room.admin.get(f"{IMAGE_API}/images", params={"limit": 1}).json()
    assert len(page["items"]) == 1
    assert page["metadata"]["remainingItemCount"] >= 2
    page = room.admin.get("/api/v1/namespaces", params={"limit": 1}).json()
    token = page["metadata"]["continue"]
    second = room.admin.get("/api/v1/namespaces", params={"limit": 1, "continue": token}).json()
    assert page["items"][0]["metadata"]["name"] < second["items"][0]["metadata"]["name"]


def test_getting_one_waits_for_a_version_too(room):
    room.stream("st")
    answer = room.get("imagestreams", "st", params={"resourceVersion": "99999999"})
    assert answer.status_code == 504
    assert room.get("imagestreams", "st", params={"resourceVersion": "0"}).status_code == 200
