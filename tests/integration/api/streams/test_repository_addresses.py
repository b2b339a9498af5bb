"""Repository addresses of streams and tags (api-19.6, api-20.10, clients-5.5)."""

import pytest

from tests.api_test_server import ApiTestServer
from tests.integration.api.tenant import Tenant, causes, tracking_tag

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def external_server(tmp_path_factory):
    """A server without an internal registry, but with an external registry name."""
    data_dir = tmp_path_factory.mktemp("outer")
    with ApiTestServer(
        data_dir, internal_registry_hostname="", external_registry_hostnames=["ext.io"]
    ) as found:
        yield found


@pytest.fixture
def external_tenant(external_server):
    return Tenant(external_server)


@pytest.mark.case("api 41")
def test_stream_without_internal_registry_has_repository_of_spec(external_tenant):
    with_repository = external_tenant.stream("with-repository", dockerImageRepository="quay.io/a/b")
    without_repository = external_tenant.stream("without-repository")
    assert with_repository["status"]["dockerImageRepository"] == "quay.io/a/b"
    assert without_repository["status"]["dockerImageRepository"] == ""


@pytest.mark.case("api 42")
def test_public_repository_is_shown_in_every_representation(external_tenant):
    expected = f"ext.io/{external_tenant.ns}/app"
    assert external_tenant.stream("app")["status"]["publicDockerImageRepository"] == expected
    found = external_tenant.get("imagestreams", "app").json()
    assert found["status"]["publicDockerImageRepository"] == expected
    [listed] = external_tenant.get("imagestreams").json()["items"]
    assert listed["status"]["publicDockerImageRepository"] == expected
    status = external_tenant.get("imagestreams", "app/status").json()
    assert status["status"]["publicDockerImageRepository"] == expected
    for name in ("", "app"):
        table = external_tenant.get("imagestreams", name, headers=TABLE).json()
        names = [column["name"] for column in table["columnDefinitions"]]
        [row] = table["rows"]
        assert row["cells"][names.index("Image Repository")] == expected


def test_stream_update_ignores_repository_addresses_of_client(external_tenant):
    stream = external_tenant.stream("app")
    stream["status"] = {"dockerImageRepository": "zz", "publicDockerImageRepository": "yy"}
    for name in ("app", "app/status"):
        written = external_tenant.put("imagestreams", name, stream).json()
        assert written["status"]["dockerImageRepository"] == ""
        assert (
            written["status"]["publicDockerImageRepository"] == f"ext.io/{external_tenant.ns}/app"
        )


def test_mapping_without_internal_registry_requires_reference(external_tenant, digest):
    external_tenant.stream("app")
    body = {"metadata": {"name": "app"}, "image": {"metadata": {"name": digest()}}, "tag": "t"}
    response = external_tenant.post("imagestreammappings", body)
    assert response.status_code == 422
    assert causes(response) == {"image.dockerImageReference": "Required value"}


def test_local_tag_without_internal_registry_points_to_source(external_tenant, digest):
    name = digest()
    external_tenant.stream(
        "app", tracking_tag("v1", "later") | {"referencePolicy": {"type": "Local"}}
    )
    assert external_tenant.push("app", "v1", name).status_code == 201
    found = external_tenant.get("imagestreamtags", "app:v1").json()
    assert found["image"]["dockerImageReference"] == f"quay.io/x/y@{name}"
