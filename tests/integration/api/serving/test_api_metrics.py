"""`/metrics` of the API server: permissions, and metrics of requests and watches."""

import json

import pytest

from api.serving.metrics_endpoint import metric_labels_of
from tests.api_test_server import IMAGE_API
from tests.e2e.conftest import until
from tests.scrapes import parse, sample_value

REQUESTS = "tagstream_api_requests_total"


def page(client):
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    return response.text


def test_metrics_endpoint_is_readable_with_cluster_wide_read_role(tenant):
    for role in ("view", "auditor", "admin"):
        response = tenant.user((role, "*"), name=f"{tenant.user_name}-{role}").get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert sample_value("tagstream_schedule_claimed_tags_total", page=response.text) >= 0


def test_metrics_endpoint_is_forbidden_without_cluster_wide_role(tenant):
    assert tenant.api_server.client().get("/metrics").status_code == 401
    for roles in ((), (("admin", tenant.ns),), (("view", tenant.ns),), (("puller", "*"),)):
        name = f"{tenant.user_name}-{len(roles)}{''.join(roles[0]) if roles else ''}".replace(
            "*", "all"
        )
        response = tenant.user(*roles, name=name).get("/metrics")
        assert response.status_code == 403
        status = response.json()
        assert status["message"] == f'forbidden: User "{name}" cannot get path "/metrics"'


def test_metrics_endpoint_rejects_post(tenant):
    assert tenant.admin.post("/metrics").status_code == 405
    assert tenant.admin.head("/metrics").content == b""
    assert "/metrics" in tenant.admin.get("/").json()["paths"]


def test_api_requests_are_counted_by_resource_verb_and_code(tenant):
    before = page(tenant.admin)
    tenant.get("imagestreams")
    tenant.get("imagestreams", "none")
    tenant.post("imagestreams", {"metadata": {"name": "web"}})
    after = page(tenant.admin)

    def increase(verb, code, resource="imagestreams"):
        labels = {"resource": resource, "verb": verb, "code": code}
        return sample_value(REQUESTS, page=after, **labels) - sample_value(
            REQUESTS, page=before, **labels
        )

    assert increase("list", "200") == 1
    assert increase("get", "404") == 1
    assert increase("create", "201") == 1
    assert increase("get", "200", "metrics") == 1
    seconds = "tagstream_api_request_duration_seconds_count"
    assert sample_value(seconds, page=after, verb="list") > sample_value(
        seconds, page=before, verb="list"
    )


def test_subresource_requests_are_counted_by_own_name(tenant):
    tenant.post("imagestreams", {"metadata": {"name": "web"}})
    tenant.admin.get(tenant.path("imagestreams", "web/layers"))
    labels = {"resource": "imagestreams/layers", "verb": "get", "code": "200"}
    assert sample_value(REQUESTS, page=page(tenant.admin), **labels) >= 1


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
def test_metric_labels_exclude_unknown_names_of_clients(tenant, method, path):
    tenant.admin.request(method, path)
    for name, *labels in parse(page(tenant.admin)):
        if name == REQUESTS:
            assert dict(labels)["verb"] != "brew"
            assert not {"widgets", "nowhere", "gadgets"} & set(dict(labels).values())


def test_metric_labels_cache_is_bounded_and_skips_long_paths(tenant):
    long = "x" * 3000
    before = metric_labels_of.cache_info().currsize
    assert tenant.get("imagestreams", long).status_code == 404
    assert metric_labels_of.cache_info().currsize == before
    assert metric_labels_of.cache_info().maxsize <= 4096


def test_watch_gauge_counts_open_watches(tenant):
    def watches():
        return sample_value(
            "tagstream_api_watches", page=page(tenant.admin), resource="imagestreams"
        )

    before = watches()
    tenant.post("imagestreams", {"metadata": {"name": "web"}})
    with tenant.admin.stream("GET", tenant.path("imagestreams"), params={"watch": "1"}) as response:
        lines = response.iter_lines()
        assert json.loads(next(lines))["type"] == "ADDED"
        assert watches() == before + 1
    until(lambda: watches() == before)
    labels = {"resource": "imagestreams", "verb": "watch", "code": "200"}
    assert sample_value(REQUESTS, page=page(tenant.admin), **labels) >= 1
