"""The 44 endpoints and verbs of the contract (`api.md` A.1), each with every code it really gives.

The table below is that of A.1. Where the reference lists 200, 201 and 202 for one verb, A.3 says
which of them is sent: 201 for what is created, 200 for the rest.
"""

import pytest

from tests import fixtures as fx
from tests.apiserver import IMAGE_API

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


class Scene:
    """Something of every kind, and what each row is asked with."""

    def __init__(self, room, digest, fake):
        self.room = room
        self.image = digest()
        room.image(self.image)
        room.stream("app")
        assert room.map("app", "v1", self.image).status_code == 201
        put = room.put("imagestreamtags", "app:w1", {"metadata": {"name": "app:w1"}, "tag": TAG})
        assert put.status_code == 201, put.text
        signature = self.signature("old")
        assert room.admin.post(f"{IMAGE_API}/imagesignatures", json=signature).status_code == 201
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
        url = path.replace("NS", f"namespaces/{self.room.ns}")
        return f"{IMAGE_API}/{url.replace('{name}', self.name(row, path))}"

    def body(self, row, path, method):
        if method == "PATCH":
            if "status" in path:
                return {"metadata": {"annotations": {"a": "b"}}}
            if "imagetags" in path:
                return {"spec": {"annotations": {"a": "b"}}}
            return {"metadata": {"annotations": {"a": "b"}}}
        if method == "PUT":
            return self.room.admin.get(self.url(row, path)).json() if row != 36 else self.tag()
        return {
            3: {"metadata": {"name": "fresh-image"}, "dockerImageReference": "q/x:1"},
            10: self.signature("fresh"),
            13: self.wanted(),
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

    def wanted(self):
        source = {"kind": "DockerImage", "name": f"{self.fake.host}/team/app:v1"}
        image = {"from": source, "to": {"name": "one"}, "importPolicy": {"insecure": True}}
        return {"metadata": {"name": "imported"}, "spec": {"import": True, "images": [image]}}

    def ask(self, client, row, path, method, **params):
        params = {**params, **({"timeoutSeconds": "1"} if path.startswith("watch") else {})}
        if row == 1:
            params["labelSelector"] = "nobody=has-this"  # images are everybody's here
        headers = MERGE if method == "PATCH" else {}
        return client.request(
            method,
            self.url(row, path),
            json=self.body(row, path, method),
            params=params,
            headers=headers,
        )


@pytest.fixture
def scene(workroom, digest, fake):
    return Scene(workroom, digest, fake)


def test_the_table_is_whole():
    assert [row for row, _, _ in ROWS] == list(range(1, 45))


@pytest.mark.parametrize(("row", "path", "method"), ROWS)
def test_an_endpoint_answers_with_each_of_its_codes(scene, row, path, method):
    nobody = scene.ask(scene.room.world.client(), row, path, method)
    assert nobody.status_code == 401
    assert nobody.json()["reason"] == "Unauthorized"
    stranger = scene.ask(scene.room.user(name=f"{scene.room.who}r{row}"), row, path, method)
    assert (stranger.status_code, stranger.json()["reason"]) == (403, "Forbidden")
    if method in {"POST", "PUT", "PATCH", "DELETE"}:
        params = {"dryRun": "All"} if method != "GET" else {}
        tried = scene.ask(scene.room.admin, row, path, method, **params)
        assert tried.status_code == (201 if row in CREATES else 200), tried.text
        wrong = scene.ask(scene.room.admin, row, path, method, dryRun="Some")
        assert wrong.status_code == 422
    answer = scene.ask(scene.room.admin, row, path, method)
    assert answer.status_code == (201 if row in CREATES else 200), answer.text


@pytest.mark.parametrize("row", [36, 43])
def test_a_put_of_a_tag_that_is_not_there_creates_it(scene, row):
    resource = "imagestreamtags" if row == 36 else "imagetags"
    key = "tag" if row == 36 else "spec"
    body = {"metadata": {"name": "app:brand"}, key: {**TAG, "name": "brand"}}
    assert scene.room.put(resource, "app:brand", body).status_code == 201


@pytest.mark.parametrize("row", [5, 22])
def test_a_delete_that_finalizers_hold_up_answers_with_the_object(scene, row):
    if row == 5:
        url = f"{IMAGE_API}/images/{scene.image}"
    else:
        url = scene.room.path("imagestreams", "app")
    patch = {"metadata": {"finalizers": ["x.io/y"]}}
    assert scene.room.admin.patch(url, json=patch, headers=MERGE).status_code == 200
    waiting = scene.room.admin.request("DELETE", url, json={"orphanDependents": False})
    assert waiting.status_code == 202
    assert waiting.json()["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    assert scene.room.admin.patch(url, json=patch, headers=MERGE).status_code == 200
    assert scene.room.admin.get(url).status_code == 404
