"""The 44 endpoints and verbs of the image group, each with every code it returns (api-1.1).

Where the reference lists 200, 201 and 202 for one verb, api-1.4 says which of them is sent: 201
for a created object, 200 otherwise.
"""

import pytest

from tests import fixtures as fx
from tests.api_test_server import IMAGE_API

STREAM = {"metadata": {"name": "NAME"}}
TAG = {"name": "v1", "from": {"kind": "DockerImage", "name": "q/x:1"}, "reference": True}
LIST_OR_WATCH = ("list", "watch")

ROWS = [
    (1, "images", "DELETE"),
    (2, "images", "GET"),
    (3, "images", "POST"),
    (4, "watch/images", "GET"),
    (5, "images/{name}", "DELETE"),
    (6, "images/{name}", "GET"),
    (7, "images/{name}", "PATCH"),
    (8, "images/{name}", "PUT"),
    (9, "watch/images/{name}", "GET"),
    (10, "imagesignatures", "POST"),
    (11, "imagesignatures/{name}", "DELETE"),
    (12, "NS/imagestreamimages/{name}", "GET"),
    (13, "NS/imagestreamimports", "POST"),
    (14, "NS/imagestreams/{name}/layers", "GET"),
    (15, "NS/imagestreammappings", "POST"),
    (16, "imagestreams", "GET"),
    (17, "watch/imagestreams", "GET"),
    (18, "NS/imagestreams", "DELETE"),
    (19, "NS/imagestreams", "GET"),
    (20, "NS/imagestreams", "POST"),
    (21, "watch/NS/imagestreams", "GET"),
    (22, "NS/imagestreams/{name}", "DELETE"),
    (23, "NS/imagestreams/{name}", "GET"),
    (24, "NS/imagestreams/{name}", "PATCH"),
    (25, "NS/imagestreams/{name}", "PUT"),
    (26, "watch/NS/imagestreams/{name}", "GET"),
    (27, "NS/imagestreams/{name}/status", "GET"),
    (28, "NS/imagestreams/{name}/status", "PATCH"),
    (29, "NS/imagestreams/{name}/status", "PUT"),
    (30, "imagestreamtags", "GET"),
    (31, "NS/imagestreamtags", "GET"),
    (32, "NS/imagestreamtags", "POST"),
    (33, "NS/imagestreamtags/{name}", "DELETE"),
    (34, "NS/imagestreamtags/{name}", "GET"),
    (35, "NS/imagestreamtags/{name}", "PATCH"),
    (36, "NS/imagestreamtags/{name}", "PUT"),
    (37, "imagetags", "GET"),
    (38, "NS/imagetags", "GET"),
    (39, "NS/imagetags", "POST"),
    (40, "NS/imagetags/{name}", "DELETE"),
    (41, "NS/imagetags/{name}", "GET"),
    (42, "NS/imagetags/{name}", "PATCH"),
    (43, "NS/imagetags/{name}", "PUT"),
    (44, "NS/imagestreams/{name}/secrets", "GET"),
]
CREATES = {row for row, _, method in ROWS if method == "POST"}
MERGE = {"Content-Type": "application/merge-patch+json"}


class EndpointObjects:
    """An object of every kind, and the request of each row."""

    def __init__(self, tenant, digest, fake):
        self.tenant = tenant
        self.image = digest()
        tenant.image(self.image)
        tenant.stream("app")
        assert tenant.push("app", "v1", self.image).status_code == 201
        put = tenant.put("imagestreamtags", "app:w1", {"metadata": {"name": "app:w1"}, "tag": TAG})
        assert put.status_code == 201, put.text
        signature = self.signature("old")
        assert tenant.admin.post(f"{IMAGE_API}/imagesignatures", json=signature).status_code == 201
        fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
        self.fake = fake

    def signature(self, name):
        return {"metadata": {"name": f"{self.image}@{name}"}, "type": name, "content": "aGk="}

    def name(self, row, path):
        if "imagesignatures" in path:
            return f"{self.image}@old"
        if "imagestreamimages" in path:
            return f"app@{self.image}"
        if "imagestreamtags" in path or "imagetags" in path:
            return "app:v1" if row == 34 else "app:w1"
        return self.image if "images/" in path and "imagestreams" not in path else "app"

    def url(self, row, path):
        url = path.replace("NS", f"namespaces/{self.tenant.ns}")
        return f"{IMAGE_API}/{url.replace('{name}', self.name(row, path))}"

    def body(self, row, path, method):
        if method == "PATCH":
            if "status" in path:
                return {"metadata": {"annotations": {"a": "b"}}}
            if "imagetags" in path:
                return {"spec": {"annotations": {"a": "b"}}}
            return {"metadata": {"annotations": {"a": "b"}}}
        if method == "PUT":
            return self.tenant.admin.get(self.url(row, path)).json() if row != 36 else self.tag()
        return {
            3: {"metadata": {"name": "fresh-image"}, "dockerImageReference": "q/x:1"},
            10: self.signature("fresh"),
            13: self.import_body(),
            15: {
                "metadata": {"name": "app"},
                "image": {"metadata": {"name": self.image}, "dockerImageReference": "q/x:1"},
                "tag": "pushed",
            },
            20: {"metadata": {"name": "fresh"}},
            32: {"metadata": {"name": "app:fresh"}, "tag": {**TAG, "name": "fresh"}},
            39: {"metadata": {"name": "app:newer"}, "spec": {**TAG, "name": "newer"}},
        }.get(row)

    def tag(self):
        return {"metadata": {"name": "app:w1"}, "tag": {**TAG, "name": "w1"}}

    def import_body(self):
        source = {"kind": "DockerImage", "name": f"{self.fake.host}/team/app:v1"}
        image = {"from": source, "to": {"name": "one"}, "importPolicy": {"insecure": True}}
        return {"metadata": {"name": "imported"}, "spec": {"import": True, "images": [image]}}

    def request(self, client, row, path, method, **params):
        params = {**params, **({"timeoutSeconds": "1"} if path.startswith("watch") else {})}
        if row == 1:
            params["labelSelector"] = "no-image=has-this"  # images are shared by all tests
        headers = MERGE if method == "PATCH" else {}
        return client.request(
            method,
            self.url(row, path),
            json=self.body(row, path, method),
            params=params,
            headers=headers,
        )


@pytest.fixture
def endpoint_objects(worker_tenant, digest, fake):
    return EndpointObjects(worker_tenant, digest, fake)


def test_endpoint_table_has_rows_1_to_44():
    assert [row for row, _, _ in ROWS] == list(range(1, 45))


@pytest.mark.parametrize(("row", "path", "method"), ROWS)
def test_endpoint_returns_each_of_its_codes(endpoint_objects, row, path, method):
    unauthenticated = endpoint_objects.request(
        endpoint_objects.tenant.api_server.client(), row, path, method
    )
    assert unauthenticated.status_code == 401
    assert unauthenticated.json()["reason"] == "Unauthorized"
    forbidden = endpoint_objects.request(
        endpoint_objects.tenant.user(name=f"{endpoint_objects.tenant.user_name}r{row}"),
        row,
        path,
        method,
    )
    assert (forbidden.status_code, forbidden.json()["reason"]) == (403, "Forbidden")
    if method in {"POST", "PUT", "PATCH", "DELETE"}:
        params = {"dryRun": "All"} if method != "GET" else {}
        dry_run = endpoint_objects.request(
            endpoint_objects.tenant.admin, row, path, method, **params
        )
        assert dry_run.status_code == (201 if row in CREATES else 200), dry_run.text
        invalid = endpoint_objects.request(
            endpoint_objects.tenant.admin, row, path, method, dryRun="Some"
        )
        assert invalid.status_code == 422
    response = endpoint_objects.request(endpoint_objects.tenant.admin, row, path, method)
    assert response.status_code == (201 if row in CREATES else 200), response.text


@pytest.mark.parametrize("row", [36, 43])
def test_put_of_missing_tag_returns_created(endpoint_objects, row):
    resource = "imagestreamtags" if row == 36 else "imagetags"
    key = "tag" if row == 36 else "spec"
    body = {"metadata": {"name": "app:brand"}, key: {**TAG, "name": "brand"}}
    assert endpoint_objects.tenant.put(resource, "app:brand", body).status_code == 201


@pytest.mark.parametrize("row", [5, 22])
def test_delete_with_finalizers_returns_accepted_object(endpoint_objects, row):
    if row == 5:
        url = f"{IMAGE_API}/images/{endpoint_objects.image}"
    else:
        url = endpoint_objects.tenant.path("imagestreams", "app")
    patch = {"metadata": {"finalizers": ["x.io/y"]}}
    assert endpoint_objects.tenant.admin.patch(url, json=patch, headers=MERGE).status_code == 200
    accepted = endpoint_objects.tenant.admin.request(
        "DELETE", url, json={"orphanDependents": False}
    )
    assert accepted.status_code == 202
    assert accepted.json()["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    assert endpoint_objects.tenant.admin.patch(url, json=patch, headers=MERGE).status_code == 200
    assert endpoint_objects.tenant.admin.get(url).status_code == 404
