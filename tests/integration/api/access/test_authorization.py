"""Authentication, authorization and the registry allow-list (api-16.1, api-16.5, api-29.1)."""

import pytest

from models.config.settings import AllowedRegistry
from tests import fixtures as fx
from tests.api_test_server import IMAGE_API, ApiTestServer
from tests.integration.api.stream_import_requests import body_of, image
from tests.integration.api.tenant import Tenant, causes, tag_from, tracking_tag

GROUP = "image.openshift.io"


def denied(response):
    """Return message and details of a 403."""
    body = response.json()
    assert (response.status_code, body["reason"], body["code"]) == (403, "Forbidden", 403)
    return body["message"], body["details"]


@pytest.mark.case("api 7")
@pytest.mark.parametrize(
    "path", ["/api", "/version", "/openapi/v3", "/foo", f"{IMAGE_API}/images", "/"]
)
@pytest.mark.parametrize("token", [None, "tgs_" + "x" * 43])
def test_unauthenticated_request_is_unauthorized_on_any_path(api_server, path, token):
    response = api_server.client(token).get(path)
    assert response.status_code == 401
    assert response.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


@pytest.mark.case("api 7")
def test_unauthenticated_write_stores_nothing(tenant):
    anonymous = tenant.api_server.client()
    assert anonymous.get(tenant.path("imagestreams")).status_code == 401
    response = anonymous.post(tenant.path("imagestreams"), json={"metadata": {"name": "app"}})
    assert response.status_code == 401
    assert tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 8")
def test_list_without_role_is_forbidden(tenant):
    unbound = tenant.user()
    message, details = denied(unbound.get(tenant.path("imagestreams")))
    assert message == (
        f'imagestreams.image.openshift.io is forbidden: User "{tenant.user_name}" cannot list '
        f'resource "imagestreams" in API group "image.openshift.io" in the namespace "{tenant.ns}"'
    )
    assert details == {"group": GROUP, "kind": "imagestreams"}


@pytest.mark.case("api 9")
@pytest.mark.parametrize("name", ["l1", "none"])
def test_forbidden_update_does_not_reveal_existence(tenant, name):
    tenant.stream("l1")
    unbound = tenant.user()
    response = unbound.put(tenant.path("imagestreams", f"{name}/status"), json={})
    message, details = denied(response)
    assert message == (
        f'imagestreams.image.openshift.io "{name}" is forbidden: User "{tenant.user_name}" cannot '
        'update resource "imagestreams/status" in API group "image.openshift.io" in the namespace '
        f'"{tenant.ns}"'
    )
    assert details == {"name": name, "group": GROUP, "kind": "imagestreams"}


@pytest.mark.case("api 10")
def test_image_create_without_role_is_forbidden(tenant):
    message, _ = denied(tenant.user().post(f"{IMAGE_API}/images", json={}))
    assert message == (
        f'images.image.openshift.io is forbidden: User "{tenant.user_name}" cannot create resource '
        '"images" in API group "image.openshift.io" at the cluster scope'
    )


@pytest.mark.case("api 11")
def test_viewer_reads_but_never_writes(tenant):
    tenant.stream("app", tag_from("v1", "q/1"))
    viewer = tenant.user(("view", tenant.ns))
    assert viewer.get(tenant.path("imagestreams")).status_code == 200
    assert viewer.get(tenant.path("imagestreams", "app")).status_code == 200
    assert viewer.get(tenant.path("imagestreams", "app/status")).status_code == 200
    assert viewer.get(tenant.path("imagetags", "app:v1")).status_code == 200
    body = {"metadata": {"name": "x"}}
    for response in (
        viewer.get(tenant.path("imagestreams", "app/layers")),
        viewer.get(tenant.path("imagestreams", "app/secrets")),
        viewer.get(f"/api/v1/namespaces/{tenant.ns}/secrets"),
        viewer.post(tenant.path("imagestreams"), json=body),
        viewer.post(tenant.path("imagestreamimports"), json=body),
        viewer.post(tenant.path("imagestreammappings"), json=body),
        viewer.put(tenant.path("imagestreams", "app"), json=body),
        viewer.delete(tenant.path("imagestreams", "app")),
        viewer.delete(tenant.path("imagestreams")),
        viewer.delete(tenant.path("imagestreamtags", "app:v1")),
    ):
        denied(response)
    assert tenant.get("imagestreams", "app").status_code == 200


def test_forbidden_secrets_message_has_empty_group(tenant):
    message, details = denied(tenant.user().get(f"/api/v1/namespaces/{tenant.ns}/secrets"))
    assert message == (
        f'secrets is forbidden: User "{tenant.user_name}" cannot list resource "secrets" in API '
        f'group "" in the namespace "{tenant.ns}"'
    )
    assert details == {"kind": "secrets"}


@pytest.mark.parametrize("role", ["view", "edit", "admin", "puller", "pusher"])
def test_role_in_namespace_grants_nothing_in_another(tenant, role):
    """A role in one namespace grants nothing in another one."""
    tenant.stream("app", tag_from("v1", "q/1"), ns=tenant.other)
    member = tenant.user((role, tenant.ns))
    secrets_path = f"/api/v1/namespaces/{tenant.other}/secrets"
    for path in (
        tenant.path("imagestreams", ns=tenant.other),
        tenant.path("imagestreams", "app", ns=tenant.other),
        tenant.path("imagestreams", "app/layers", ns=tenant.other),
        tenant.path("imagestreamtags", ns=tenant.other),
        tenant.path("imagetags", "app:v1", ns=tenant.other),
        secrets_path,
        f"{IMAGE_API}/imagestreams",
        f"{IMAGE_API}/imagetags",
        f"{IMAGE_API}/images",
        "/api/v1/secrets",
        f"/apis/sync.tagstream.io/v1/namespaces/{tenant.other}/importjobs",
        "/apis/sync.tagstream.io/v1/importjobs",
    ):
        denied(member.get(path))
        denied(member.get(path.replace("/app", ""), params={"watch": "1"}))
    denied(member.get(f"{IMAGE_API}/watch/namespaces/{tenant.other}/imagestreams"))
    denied(member.get(f"{IMAGE_API}/watch/imagestreams"))
    denied(member.delete(tenant.path("imagestreams", ns=tenant.other)))
    denied(member.delete(f"{IMAGE_API}/imagestreams"))
    assert tenant.get("imagestreams", "app", ns=tenant.other).status_code == 200


def test_editor_writes_streams_and_tags(tenant, digest):
    editor = tenant.user(("edit", tenant.ns))
    assert editor.post(tenant.path("imagestreams"), json={"metadata": {"name": "app"}}).is_success
    name = digest()
    mapping = {
        "metadata": {"name": "app"},
        "tag": "v1",
        "image": {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"},
    }
    assert editor.post(tenant.path("imagestreammappings"), json=mapping).status_code == 201
    assert editor.get(tenant.path("imagestreamtags", "app:v1")).status_code == 200
    assert editor.get(tenant.path("imagestreamimages", f"app@{name}")).status_code == 200
    assert editor.get(tenant.path("imagestreams", "app/layers")).status_code == 200
    body = {"metadata": {"name": "new:v1"}, "tag": tag_from("v1", "q/1")}
    assert editor.put(tenant.path("imagestreamtags", "new:v1"), json=body).status_code == 201
    assert editor.delete(tenant.path("imagestreams")).status_code == 200
    denied(editor.get(f"{IMAGE_API}/images/{name}"))
    denied(editor.put(tenant.path("imagestreams", "app/status"), json={}))


def test_puller_of_one_stream_reads_layers_of_no_other(tenant):
    tenant.stream("app")
    tenant.stream("web")
    puller = tenant.user(("puller", tenant.ns, "app"))
    assert puller.get(tenant.path("imagestreams", "app/layers")).status_code == 200
    denied(puller.get(tenant.path("imagestreams", "web/layers")))
    denied(puller.get(tenant.path("imagestreams", "app")))


def test_shared_namespace_is_readable_by_authenticated_user(tenant):
    unbound = tenant.user()
    assert unbound.get(tenant.path("imagestreams", ns="openshift")).status_code == 200
    denied(unbound.post(tenant.path("imagestreams", ns="openshift"), json={}))


@pytest.mark.parametrize(
    ("headers", "code"), [({"Impersonate-User": "x"}, 403), ({"Impersonate-Group": "x"}, 403)]
)
def test_impersonation_without_permission_is_forbidden(tenant, headers, code):
    response = tenant.user(("admin", tenant.ns)).get(tenant.path("imagestreams"), headers=headers)
    assert response.status_code == code


def test_forbidden_path_message_names_path(tenant):
    message, details = denied(tenant.user().get("/metrics"))
    assert message == f'forbidden: User "{tenant.user_name}" cannot get path "/metrics"'
    assert details == {}


def test_tag_from_other_namespace_requires_pull_permission(tenant):
    """The response does not reveal whether the source exists (api-16.8)."""
    tenant.stream("src", tag_from("v1", "q/1"), ns=tenant.other)
    editor = tenant.user(("edit", tenant.ns))
    body = {
        "metadata": {"name": "app"},
        "spec": {"tags": [tracking_tag("t", "src:v1", namespace=tenant.other)]},
    }
    refused = editor.post(tenant.path("imagestreams"), json=body)
    assert refused.status_code == 422
    assert causes(refused)["spec.tags[t].from"] == f'Forbidden: {tenant.other}/src: "" ""'
    body["spec"]["tags"][0]["from"]["name"] = "none:v1"
    missing = editor.post(tenant.path("imagestreams"), json=body)
    assert causes(missing) == {"spec.tags[t].from": f'Forbidden: {tenant.other}/none: "" ""'}
    both = tenant.user(
        ("edit", tenant.ns), ("puller", tenant.other, "src"), name=f"{tenant.user_name}-b"
    )
    body["spec"]["tags"][0]["from"]["name"] = "src:v1"
    assert both.post(tenant.path("imagestreams"), json=body).status_code == 201


# -- the allow-list --


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory):
    """A server that allows imports from quay.io over TLS only."""
    data_dir = tmp_path_factory.mktemp("strict")
    allowed = [AllowedRegistry(domain_name="quay.io")]
    with ApiTestServer(data_dir, allowed_registries=allowed) as found:
        yield found


@pytest.fixture
def strict_tenant(strict_server):
    return Tenant(strict_server)


def post_tag(client, tenant, source, **policy):
    tag = tag_from("t", source, reference=True, importPolicy=policy)
    body = {"metadata": {"name": f"s{len(source)}"}, "spec": {"tags": [tag]}}
    return client.post(tenant.path("imagestreams"), json=body)


@pytest.mark.case("api 210")
def test_allow_list_rejects_other_registries(strict_tenant):
    editor = strict_tenant.user(("edit", strict_tenant.ns))
    refused = post_tag(editor, strict_tenant, "evil.io/x/y")
    assert refused.status_code == 422
    allowed = '"reg.local:5000", "quay.io:443"'  # the internal registry is always in it
    text = f'registry "evil.io" not allowed by whitelist: {allowed}'
    assert causes(refused)["spec.tags[t].from.name"] == f"Forbidden: {text}"
    body = body_of(image("evil.io/x/y:z"))
    imported = editor.post(strict_tenant.path("imagestreamimports"), json=body)
    assert imported.status_code == 422
    assert imported.json()["details"]["kind"] == "ImageStreamImport"
    assert causes(imported)["spec.images[0].from.name"] == (
        'Forbidden: importing images from registry "evil.io:443" is forbidden: registry '
        f'"evil.io:443" not allowed by whitelist: {allowed}'
    )
    insecure = body_of(image("evil.io/x/y:z", importPolicy={"insecure": True}))
    imported = editor.post(strict_tenant.path("imagestreamimports"), json=insecure)
    assert 'registry "evil.io:80" is forbidden' in imported.json()["message"]


@pytest.mark.case("api 210")
def test_allow_list_exemption_does_not_cover_stream_validation(tmp_path, fake):
    """The exemption skips the check before the fetch, not the rule of the stream (api-29.4)."""
    body = body_of(image(f"{fake.host}/x/y:z", to="t"))
    allowed = [AllowedRegistry(domain_name="quay.io")]
    with ApiTestServer(tmp_path, worker=True, allowed_registries=allowed) as api_server:
        strict_tenant = Tenant(api_server)
        response = strict_tenant.admin.post(strict_tenant.path("imagestreamimports"), json=body)
        assert response.status_code == 422
        assert response.json()["details"]["kind"] == "ImageStream"
        assert "not allowed by whitelist" in response.json()["message"]
        assert strict_tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 211")
@pytest.mark.parametrize(
    ("source", "policy", "code"),
    [
        ("quay.io/x/y", {}, 201),
        ("quay.io:443/x/y", {}, 201),
        ("quay.io:80/x/y", {}, 422),
        ("quay.io/x/y", {"insecure": True}, 201),
        ("reg.local:5000/x/y", {}, 201),
        ("library/nginx", {}, 422),
    ],
)
def test_allow_list_entry_matches_host_and_port(strict_tenant, source, policy, code):
    response = post_tag(strict_tenant.admin, strict_tenant, source, **policy)
    assert response.status_code == code, response.text


@pytest.mark.case("api 211")
def test_allow_list_docker_io_admits_all_hub_names(tmp_path):
    allowed = [AllowedRegistry(domain_name="docker.io")]
    with ApiTestServer(tmp_path, allowed_registries=allowed) as api_server:
        tenant = Tenant(api_server)
        for source in ("library/nginx", "nginx", "index.docker.io/x", "registry-1.docker.io/x/y"):
            response = post_tag(tenant.admin, tenant, source)
            assert response.status_code in {201, 409}, response.text


@pytest.mark.case("api 212")
def test_allow_list_accepts_sources_of_stored_stream(tmp_path):
    with ApiTestServer(tmp_path) as api_server:
        tenant = Tenant(api_server)
        tenant.stream("app", tag_from("t", "evil.io/x/y:z", reference=True))
        namespace = tenant.ns
    with ApiTestServer(
        tmp_path, allowed_registries=[AllowedRegistry(domain_name="quay.io")]
    ) as api_server:
        path = f"{IMAGE_API}/namespaces/{namespace}/imagestreams/app"
        stream = api_server.admin.get(path).json()
        stream["metadata"]["labels"] = {"a": "b"}
        assert api_server.admin.put(path, json=stream).status_code == 200
        stream = api_server.admin.get(path).json()
        stream["spec"]["tags"].append(tag_from("u", "worse.io/x/y:z", reference=True))
        assert api_server.admin.put(path, json=stream).status_code == 422


def test_worker_continues_after_second_server_of_process_stops(worker_server, tmp_path, fake):
    """Both use the memory of this process as broker; neither may consume jobs of the other."""
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    body = body_of(image(f"{fake.host}/team/app:v1", to="v1", importPolicy={"insecure": True}))

    def outcome(at):
        response = at.admin.post(at.path("imagestreamimports"), json=body)
        assert response.status_code == 201, response.text
        return response.json()["status"]["images"][0]["status"]["status"]

    older = Tenant(worker_server)
    assert outcome(older) == "Success"
    with ApiTestServer(tmp_path, worker=True) as newer:
        assert outcome(Tenant(newer)) == "Success"
    assert outcome(older) == "Success"
