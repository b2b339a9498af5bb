"""The pull secrets that a stream may use (`api.md` B14): case 197."""

import base64
import json

import pytest

EXCLUDED = "openshift.io/image.excludeSecret"


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def create(room, name, kind, data, **metadata):
    body = {"metadata": {"name": name, **metadata}, "type": kind, "data": data}
    answer = room.admin.post(f"/api/v1/namespaces/{room.ns}/secrets", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def secrets(room):
    """Five secrets, three of which are for pulling."""
    json_data = {".dockerconfigjson": encoded({"auths": {}})}
    json_kind = "kubernetes.io/dockerconfigjson"
    create(room, "a", json_kind, json_data, labels={"for": "team"})
    create(room, "b", "kubernetes.io/dockercfg", {".dockercfg": encoded({})})
    create(room, "c", "Opaque", {"x": "eA=="})
    create(room, "d", json_kind, json_data, annotations={EXCLUDED: "true"})
    create(room, "e", json_kind, json_data, annotations={EXCLUDED: "false"})
    return json_data


@pytest.mark.case("api 197")
def test_the_pull_secrets_of_the_namespace_are_those_of_any_stream(room, secrets):
    room.stream("s")
    for stream in ("s", "doesnotexist"):
        answer = room.get("imagestreams", f"{stream}/secrets")
        found = answer.json()
        assert answer.status_code == 200
        assert (found["kind"], found["apiVersion"]) == ("SecretList", "image.openshift.io/v1")
        assert found["metadata"]["resourceVersion"]
        assert [each["metadata"]["name"] for each in found["items"]] == ["a", "b", "e"]
        assert found["items"][0]["data"] == secrets
        assert not {"kind", "apiVersion"} & set(found["items"][0])


def test_pull_secrets_are_selected_like_secrets(room, secrets):
    def names(**params):
        answer = room.get("imagestreams", "s/secrets", params=params)
        assert answer.status_code == 200, answer.text
        return [each["metadata"]["name"] for each in answer.json()["items"]]

    assert names(labelSelector="for=team") == ["a"]
    assert names(fieldSelector="metadata.name=b") == ["b"]
    assert names(fieldSelector="type=kubernetes.io/dockercfg") == ["b"]
    assert names(limit="2") == ["a", "b", "e"]


def test_whoever_may_list_secrets_may_not_yet_read_a_streams(room, secrets):
    viewer = room.user(("view", room.ns))
    answer = viewer.get(room.path("imagestreams", "s/secrets"))
    assert answer.status_code == 403
    assert 'cannot get resource "imagestreams/secrets"' in answer.json()["message"]
    assert room.admin.post(room.path("imagestreams", "s/secrets"), json={}).status_code == 405
