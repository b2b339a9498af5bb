"""Lists: pages, selectors and resource versions (api-11.1, api-11.4, api-11.5, api-11.8)."""

import itertools
import threading

import pytest

from tests.api_test_server import IMAGE_API
from tests.integration.api.tenant import causes, tag_from


def names(response):
    assert response.status_code == 200, response.text
    return [item["metadata"]["name"] for item in response.json()["items"]]


def listed(tenant, resource="imagestreams", **params):
    return tenant.get(resource, params=params)


@pytest.fixture
def five_streams(tenant):
    """Create streams l0 to l4 with the labels g and n."""
    for number in range(5):
        labels = {"g": "xyz"[number % 3], "n": str(number)}
        body = {"metadata": {"name": f"l{number}", "labels": labels}}
        assert tenant.post("imagestreams", body).status_code == 201
    return tenant


@pytest.mark.case("api 100")
def test_list_pages_have_neither_gaps_nor_duplicates(five_streams):
    first = listed(five_streams, limit=2)
    assert names(first) == ["l0", "l1"]
    metadata = first.json()["metadata"]
    assert metadata["remainingItemCount"] == 3
    second = listed(five_streams, limit=2, **{"continue": metadata["continue"]})
    assert names(second) == ["l2", "l3"]
    assert second.json()["metadata"]["remainingItemCount"] == 1
    assert second.json()["metadata"]["resourceVersion"] == metadata["resourceVersion"]
    token = second.json()["metadata"]["continue"]
    third = listed(five_streams, limit=2, **{"continue": token})
    assert names(third) == ["l4"]
    assert third.json()["metadata"].keys() == {"resourceVersion"}


@pytest.mark.case("api 100")
def test_list_page_of_exact_limit_is_last(five_streams):
    found = listed(five_streams, limit=5)
    assert len(names(found)) == 5
    assert found.json()["metadata"].keys() == {"resourceVersion"}


@pytest.mark.case("api 100")
@pytest.mark.parametrize("limit", [0, -1])
def test_list_limit_below_one_returns_everything(five_streams, limit):
    assert len(names(listed(five_streams, limit=limit))) == 5


def test_list_limit_of_no_number_is_bad_request(five_streams):
    response = listed(five_streams, limit="abc")
    assert response.status_code == 400
    assert response.json()["message"] == 'strconv.ParseInt: parsing "abc": invalid syntax'


def test_list_pages_by_selector_omit_remaining_item_count(five_streams):
    first = listed(five_streams, limit=1, labelSelector="g=x")
    assert names(first) == ["l0"]
    assert "remainingItemCount" not in first.json()["metadata"]
    token = first.json()["metadata"]["continue"]
    second = listed(five_streams, limit=1, labelSelector="g=x", **{"continue": token})
    assert names(second) == ["l3"]
    assert "continue" not in second.json()["metadata"]


@pytest.mark.case("api 100")
def test_list_pages_show_snapshot_of_first_page(five_streams):
    """Between two pages one stream is deleted, one created and one updated."""
    first = listed(five_streams, limit=2).json()["metadata"]
    assert five_streams.delete("imagestreams", "l3").status_code == 200
    five_streams.stream("l2b")
    assert five_streams.patch("imagestreams", "l4", {"metadata": {"labels": {"n": "9"}}}).is_success
    second = listed(five_streams, limit=2, **{"continue": first["continue"]})
    assert names(second) == ["l2", "l3"]
    token = second.json()["metadata"]["continue"]
    third = listed(five_streams, limit=2, **{"continue": token})
    assert names(third) == ["l4"]
    assert third.json()["items"][0]["metadata"]["labels"]["n"] == "4"
    assert third.json()["metadata"]["resourceVersion"] == first["resourceVersion"]
    assert names(listed(five_streams)) == ["l0", "l1", "l2", "l2b", "l4"]


@pytest.mark.case("api 100")
def test_list_pages_are_one_snapshot_during_writes(tenant):
    """A marker stream is moved all the time; every list contains one or two of them."""
    for number in range(10):
        tenant.stream(f"s{number}")
    tenant.stream("s0-marker")
    stop = threading.Event()

    def move_marker():
        client = tenant.user(("edit", tenant.ns), name=f"{tenant.user_name}-w")
        path = tenant.path("imagestreams")
        for number in itertools.cycle(range(10)):
            # For a moment there are two, but never none.
            name = f"s{number}-marker"
            client.post(path, json={"metadata": {"name": name}})
            before = f"s{(number - 1) % 10}-marker"
            client.request("DELETE", f"{path}/{before}")
            if stop.is_set():
                return

    writer = threading.Thread(target=move_marker)
    writer.start()
    try:
        for _ in range(10):
            found, token, versions = [], None, set()
            while True:
                more = {"continue": token} if token else {}
                page = listed(tenant, limit=3, **more)
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
        stop.set()
        writer.join()


@pytest.mark.case("api 101")
@pytest.mark.parametrize("token", ["garbage", "e30", "bnVsbA", "W10", "%", "ä", "eyJ2IjoxfQ"])
def test_list_with_invalid_continue_token_is_bad_request(five_streams, token):
    response = listed(five_streams, limit=2, **{"continue": token})
    assert response.status_code == 400
    assert response.json()["message"].startswith("invalid continue token: ")


@pytest.mark.case("api 101")
def test_list_with_continue_and_resource_version_is_bad_request(five_streams):
    token = listed(five_streams, limit=2).json()["metadata"]["continue"]
    response = listed(five_streams, limit=2, resourceVersion=5, **{"continue": token})
    assert response.status_code == 400
    expected = "specifying resource version is not allowed when using continue"
    assert response.json()["message"] == expected


@pytest.mark.case("api 102")
def test_list_field_selector_filters_by_name_and_namespace(five_streams):
    assert names(listed(five_streams, fieldSelector="metadata.name=l1")) == ["l1"]
    assert names(listed(five_streams, fieldSelector="metadata.name==l1")) == ["l1"]
    assert names(listed(five_streams, fieldSelector="metadata.name!=l1")) == [
        "l0",
        "l2",
        "l3",
        "l4",
    ]
    both = f"metadata.name=l1,metadata.namespace={five_streams.ns}"
    assert names(listed(five_streams, fieldSelector=both)) == ["l1"]
    assert names(listed(five_streams, fieldSelector="metadata.name=l1,metadata.name=l2")) == []
    assert names(listed(five_streams, fieldSelector="metadata.name=none")) == []


@pytest.mark.case("api 102")
def test_list_field_selector_filters_streams_by_repository(tenant):
    tenant.stream("one", dockerImageRepository="quay.io/x/y")
    tenant.stream("two")
    assert names(listed(tenant, fieldSelector="spec.dockerImageRepository=quay.io/x/y")) == ["one"]
    shown = f"status.dockerImageRepository=reg.local:5000/{tenant.ns}/two"
    assert names(listed(tenant, fieldSelector=shown)) == ["two"]


@pytest.mark.case("api 102")
def test_list_field_selector_of_unknown_field_is_bad_request(five_streams):
    response = listed(five_streams, fieldSelector="spec.foo=x")
    assert response.status_code == 400
    assert response.json()["message"] == (
        '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
    response = listed(five_streams, fieldSelector="garbage")
    assert response.status_code == 400
    expected = "invalid selector: 'garbage'; can't understand 'garbage'"
    assert response.json()["message"] == expected


@pytest.mark.case("api 103")
def test_list_label_selector_filters(five_streams):
    assert names(listed(five_streams, labelSelector="g in (x,y),n!=1")) == ["l0", "l3", "l4"]
    assert names(listed(five_streams, labelSelector="g=z")) == ["l2"]
    assert names(listed(five_streams, labelSelector="g notin (x,y)")) == ["l2"]
    assert names(listed(five_streams, labelSelector="!g")) == []
    assert names(listed(five_streams, labelSelector="n>2")) == ["l3", "l4"]
    response = listed(five_streams, labelSelector="a===b")
    assert response.status_code == 400
    assert response.json()["message"].startswith("unable to parse requirement: ")


@pytest.mark.case("api 104")
@pytest.mark.parametrize("resource", ["imagestreams", "imagestreamtags", "imagetags"])
def test_list_of_missing_namespace_is_empty(tenant, resource):
    response = tenant.get(resource, ns="nowhere")
    assert response.status_code == 200
    assert response.json()["items"] == []


@pytest.mark.case("api 105")
def test_list_of_future_resource_version_times_out(tenant):
    response = listed(tenant, resourceVersion=99999999)
    body = response.json()
    assert (response.status_code, body["reason"]) == (504, "Timeout")
    assert body["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
    assert body["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    assert response.headers["Retry-After"] == "1"


def test_list_waits_for_resource_version(tenant):
    now = int(listed(tenant).json()["metadata"]["resourceVersion"])
    writer = threading.Timer(0.3, tenant.stream, ["late"])
    writer.start()
    assert "late" in names(listed(tenant, resourceVersion=now + 1))
    writer.join()


def test_list_resource_version_of_no_number_is_bad_request(tenant):
    response = listed(tenant, resourceVersion="abc")
    assert response.status_code == 400
    assert response.json()["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "abc": '
        'strconv.ParseUint: parsing "abc": invalid syntax'
    )


@pytest.mark.case("api 106")
def test_list_rejects_invalid_resource_version_match(tenant):
    field = "resourceVersionMatch"
    without_version = listed(tenant, resourceVersionMatch="Exact")
    assert without_version.status_code == 422
    text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    assert causes(without_version)[field] == text
    expected = f'ListOptions.meta.k8s.io "" is invalid: {field}: {text}'
    assert without_version.json()["message"] == expected
    unknown = listed(tenant, resourceVersionMatch="Foo", resourceVersion=1)
    assert unknown.status_code == 422
    expected = 'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""'
    assert causes(unknown)[field] == expected
    zero = listed(tenant, resourceVersionMatch="Exact", resourceVersion=0)
    assert zero.status_code == 422
    expected = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    assert causes(zero)[field] == expected
    events = listed(tenant, sendInitialEvents="true")
    assert events.status_code == 422
    expected = "Forbidden: sendInitialEvents is forbidden for list"
    assert causes(events)["sendInitialEvents"] == expected


def test_list_of_exact_resource_version_shows_snapshot(five_streams):
    version = listed(five_streams).json()["metadata"]["resourceVersion"]
    five_streams.delete("imagestreams", "l0")
    past = listed(five_streams, resourceVersion=version, resourceVersionMatch="Exact")
    assert names(past) == ["l0", "l1", "l2", "l3", "l4"]
    assert past.json()["metadata"]["resourceVersion"] == version
    since = listed(five_streams, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert names(since) == ["l1", "l2", "l3", "l4"]


def test_list_items_have_no_kind_and_are_sorted(tenant):
    for ns, name in ((tenant.other, "a"), (tenant.ns, "b"), (tenant.ns, "a")):
        tenant.stream(name, ns=ns)
    response = tenant.admin.get(f"{IMAGE_API}/imagestreams")
    body = response.json()
    assert (body["kind"], body["apiVersion"]) == ("ImageStreamList", "image.openshift.io/v1")
    assert int(body["metadata"]["resourceVersion"]) > 0
    assert not any({"kind", "apiVersion"} & item.keys() for item in body["items"])
    keys = [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in body["items"]]
    assert keys == sorted(keys)
    own = [key for key in keys if key[0] in {tenant.ns, tenant.other}]
    assert own == [(tenant.ns, "a"), (tenant.ns, "b"), (tenant.other, "a")]


def test_list_pages_span_all_namespaces(tenant):
    for number in range(3):
        tenant.stream(f"s{number}")
        tenant.stream(f"s{number}", ns=tenant.other)
    found, token = [], None
    while True:
        params = {"limit": 2, **({"continue": token} if token else {})}
        page = tenant.admin.get(f"{IMAGE_API}/imagestreams", params=params).json()
        found += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in page["items"]]
        token = page["metadata"].get("continue")
        if token is None:
            break
    assert found == sorted(set(found))
    own = [key for key in found if key[0] in {tenant.ns, tenant.other}]
    assert len(own) == 6


def test_imagetag_list_is_sorted_and_selectable(tenant):
    body = {
        "metadata": {"name": "st", "labels": {"a": "b"}},
        "spec": {"tags": [tag_from("v2", "q/2"), tag_from("v1", "q/1")]},
    }
    assert tenant.post("imagestreams", body).status_code == 201
    tenant.stream("au", tag_from("v1", "q/1"))
    assert names(tenant.get("imagetags")) == ["au:v1", "st:v1", "st:v2"]
    assert names(listed(tenant, "imagetags", fieldSelector="metadata.name=st:v2")) == ["st:v2"]
    assert names(listed(tenant, "imagestreamtags")) == []


def test_image_and_namespace_lists_have_pages(tenant, digest):
    for _ in range(3):
        tenant.image(digest())
    page = tenant.admin.get(f"{IMAGE_API}/images", params={"limit": 1}).json()
    assert len(page["items"]) == 1
    assert page["metadata"]["remainingItemCount"] >= 2
    page = tenant.admin.get("/api/v1/namespaces", params={"limit": 1}).json()
    token = page["metadata"]["continue"]
    second = tenant.admin.get("/api/v1/namespaces", params={"limit": 1, "continue": token}).json()
    assert page["items"][0]["metadata"]["name"] < second["items"][0]["metadata"]["name"]


def test_get_waits_for_resource_version(tenant):
    tenant.stream("st")
    response = tenant.get("imagestreams", "st", params={"resourceVersion": "99999999"})
    assert response.status_code == 504
    assert tenant.get("imagestreams", "st", params={"resourceVersion": "0"}).status_code == 200
