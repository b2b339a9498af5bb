"""The pull secrets that a stream may use (api-26.5)."""

import base64
import json

import pytest

EXCLUDED = "openshift.io/image.excludeSecret"


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def create(tenant, name, kind, data, **metadata):
    body = {"metadata": {"name": name, **metadata}, "type": kind, "data": data}
    response = tenant.admin.post(f"/api/v1/namespaces/{tenant.ns}/secrets", json=body)
    assert response.status_code == 201, response.text


@pytest.fixture
def secrets(tenant):
    """Create five secrets, three of which are pull secrets."""
    json_data = {".dockerconfigjson": encoded({"auths": {}})}
    json_kind = "kubernetes.io/dockerconfigjson"
    create(tenant, "a", json_kind, json_data, labels={"for": "team"})
    create(tenant, "b", "kubernetes.io/dockercfg", {".dockercfg": encoded({})})
    create(tenant, "c", "Opaque", {"x": "eA=="})
    create(tenant, "d", json_kind, json_data, annotations={EXCLUDED: "true"})
    create(tenant, "e", json_kind, json_data, annotations={EXCLUDED: "false"})
    return json_data


@pytest.mark.case("api 197")
def test_stream_secrets_are_pull_secrets_of_namespace(tenant, secrets):
    tenant.stream("s")
    for stream in ("s", "doesnotexist"):
        response = tenant.get("imagestreams", f"{stream}/secrets")
        found = response.json()
        assert response.status_code == 200
        assert (found["kind"], found["apiVersion"]) == ("SecretList", "image.openshift.io/v1")
        assert found["metadata"]["resourceVersion"]
        assert [each["metadata"]["name"] for each in found["items"]] == ["a", "b", "e"]
        assert found["items"][0]["data"] == secrets
        assert not {"kind", "apiVersion"} & set(found["items"][0])


def test_stream_secrets_support_selectors(tenant, secrets):
    def names(**params):
        response = tenant.get("imagestreams", "s/secrets", params=params)
        assert response.status_code == 200, response.text
        return [each["metadata"]["name"] for each in response.json()["items"]]

    assert names(labelSelector="for=team") == ["a"]
    assert names(fieldSelector="metadata.name=b") == ["b"]
    assert names(fieldSelector="type=kubernetes.io/dockercfg") == ["b"]
    assert names(limit="2") == ["a", "b", "e"]


def test_stream_secrets_are_forbidden_for_viewer(tenant, secrets):
    viewer = tenant.user(("view", tenant.ns))
    response = viewer.get(tenant.path("imagestreams", "s/secrets"))
    assert response.status_code == 403
    assert 'cannot get resource "imagestreams/secrets"' in response.json()["message"]
    assert tenant.admin.post(tenant.path("imagestreams", "s/secrets"), json={}).status_code == 405
