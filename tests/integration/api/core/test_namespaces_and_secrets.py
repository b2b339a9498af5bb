"""Namespaces and secrets over HTTP (api-15.1, api-17.1 to api-17.5).

The bodies in protobuf are those that kubectl and oc send.
"""

import base64
import json

import pytest

from models.store.database.session import transaction
from models.store.tables.stored_secrets import SecretRow
from tests.integration.api.tenant import causes, tag_from
from tests.unit.api.codec.test_protobuf_decoder import EMPTY, PROTOBUF, entry, envelope, message

PB = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
NAMESPACES = "/api/v1/namespaces"
CONFIG = '{"auths":{"quay.io":{"username":"a","password":"hunter2"}}}'
DOCKER = "kubernetes.io/dockerconfigjson"


def secrets(tenant, name="", *, ns=None):
    path = f"{NAMESPACES}/{ns or tenant.ns}/secrets"
    return f"{path}/{name}" if name else path


def make_secret(tenant, name="s", *, client=None, params=None, **fields):
    body = {"metadata": {"name": name}, **fields}
    return (client or tenant.admin).post(secrets(tenant), json=body, params=params)


def put_secret(tenant, name="s", **fields):
    return tenant.admin.put(secrets(tenant, name), json={"metadata": {"name": name}, **fields})


@pytest.mark.case("api 213")
def test_namespace_create_accepts_protobuf(tenant):
    name = f"{tenant.ns}-pb"
    meta = message((1, name), *EMPTY, (11, entry("a", "b")))
    body = envelope("Namespace", message((1, meta), (2, b""), (3, message((1, "")))))
    params = {"fieldManager": "kubectl-create", "fieldValidation": "Strict"}
    response = tenant.admin.post(NAMESPACES, content=body, headers=PB, params=params)
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/json"
    found = response.json()
    assert (found["kind"], found["apiVersion"]) == ("Namespace", "v1")
    assert found["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": name}
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["status"] == {"phase": "Active"}
    assert tenant.admin.get(f"{NAMESPACES}/{name}").json() == found


@pytest.mark.case("api 214")
def test_secret_create_accepts_protobuf(tenant):
    meta = message((1, "pull"), *EMPTY)
    data = message((1, ".dockerconfigjson"), (2, CONFIG))
    body = envelope("Secret", message((1, meta), (2, data), (3, DOCKER)))
    response = tenant.admin.post(secrets(tenant), content=body, headers=PB)
    assert response.status_code == 201
    found = tenant.admin.get(secrets(tenant, "pull")).json()
    assert found == response.json()
    assert found["type"] == DOCKER
    assert base64.b64decode(found["data"][".dockerconfigjson"]).decode() == CONFIG
    stored = tenant.get("imagestreams", "any/secrets").json()
    assert [each["metadata"]["name"] for each in stored["items"]] == ["pull"]


def test_namespace_create_rejects_protobuf_of_other_kind(tenant):
    body = envelope("Secret", message((1, message((1, "x")))))
    response = tenant.admin.post(NAMESPACES, content=body, headers=PB)
    assert response.status_code == 400
    garbage = tenant.admin.post(NAMESPACES, content=b"k8s\0\xff\xff", headers=PB)
    assert garbage.status_code == 400


@pytest.mark.case("api 215")
def test_pull_secret_requires_valid_docker_config(tenant):
    missing = make_secret(tenant, type=DOCKER)
    assert missing.status_code == 422
    assert causes(missing) == {"data[.dockerconfigjson]": "Required value"}
    assert missing.json()["message"] == (
        'Secret "s" is invalid: data[.dockerconfigjson]: Required value'
    )
    invalid = make_secret(tenant, type=DOCKER, stringData={".dockerconfigjson": "{hunter2"})
    assert invalid.status_code == 422
    text = causes(invalid)["data[.dockerconfigjson]"]
    assert text.startswith('Invalid value: "<secret contents redacted>": ')
    assert "hunter2" not in invalid.text


@pytest.mark.case("api 216")
def test_secret_type_is_immutable_and_string_data_is_merged(tenant):
    created = make_secret(tenant, stringData={"a": "b"})
    assert created.status_code == 201
    assert created.json()["type"] == "Opaque"
    assert created.json()["data"] == {"a": "Yg=="}
    assert "stringData" not in created.json()
    changed = put_secret(tenant, type="other/type")
    assert changed.status_code == 422
    text = 'Invalid value: "other/type": field is immutable'
    assert causes(changed)["type"] == text
    put = put_secret(tenant, data={"a": "Yg=="}, stringData={"a": "c", "d": "e"})
    assert put.status_code == 200
    assert put.json()["data"] == {"a": "Yw==", "d": "ZQ=="}
    assert "stringData" not in put.json()
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"stringData": {"x": "y"}, "data": {"a": None}}
    patched = tenant.admin.patch(secrets(tenant, "s"), json=patch, headers=headers)
    assert patched.json()["data"] == {"d": "ZQ==", "x": "eQ=="}


def test_immutable_secret_rejects_data_changes(tenant):
    make_secret(tenant, stringData={"a": "b"}, immutable=True)
    response = put_secret(tenant, stringData={"a": "c"}, immutable=True)
    assert response.status_code == 422
    expected = "Forbidden: field is immutable when `immutable` is set"
    assert causes(response) == {"data": expected}
    response = put_secret(tenant, stringData={"a": "b"})
    assert "immutable" in causes(response)
    with_label = {"metadata": {"name": "s", "labels": {"a": "b"}}, "immutable": True}
    with_label["data"] = {"a": "Yg=="}
    assert tenant.admin.put(secrets(tenant, "s"), json=with_label).status_code == 200


@pytest.mark.parametrize(
    ("kind", "texts", "fields"),
    [
        ("kubernetes.io/dockercfg", {}, {"data[.dockercfg]"}),
        ("kubernetes.io/basic-auth", {}, {"data[username]", "data[password]"}),
        ("kubernetes.io/ssh-auth", {}, {"data[ssh-privatekey]"}),
        ("kubernetes.io/tls", {"tls.crt": "x"}, {"data[tls.key]"}),
        (
            "kubernetes.io/service-account-token",
            {},
            {"metadata.annotations[kubernetes.io/service-account.name]"},
        ),
        ("Opaque", {"a b": "c"}, {"data[a b]"}),
    ],
)
def test_secret_type_requires_its_keys(tenant, kind, texts, fields):
    response = make_secret(tenant, type=kind, stringData=texts)
    assert response.status_code == 422
    assert causes(response).keys() == fields


def test_secret_rejects_too_long_data_and_invalid_name(tenant):
    response = make_secret(tenant, "Bad_Name", stringData={"a": "x" * (1024 * 1024 + 1)})
    assert response.status_code == 422
    assert causes(response)["data"] == "Too long: may not be more than 1048576 bytes"
    assert causes(response)["metadata.name"].endswith(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_secret_data_is_encrypted_in_database(tenant):
    make_secret(tenant, stringData={"password": "hunter2-canary"})
    with transaction(tenant.api_server.engine, write=False) as session:
        rows = session.query(SecretRow).filter_by(namespace=tenant.ns, name="s").all()
        assert len(rows) == 1
        assert "hunter2-canary" not in repr(rows[0].__dict__)


def test_secrets_are_selected_by_type_and_deleted_as_collection(tenant):
    make_secret(tenant, "one", stringData={"a": "b"})
    make_secret(tenant, "two", type=DOCKER, stringData={".dockerconfigjson": CONFIG})
    found = tenant.admin.get(secrets(tenant), params={"fieldSelector": f"type={DOCKER}"}).json()
    assert [each["metadata"]["name"] for each in found["items"]] == ["two"]
    everywhere = tenant.admin.get("/api/v1/secrets", params={"fieldSelector": "type=Opaque"}).json()
    keys = [(e["metadata"]["namespace"], e["metadata"]["name"]) for e in everywhere["items"]]
    assert (tenant.ns, "one") in keys
    deleted = tenant.admin.delete(secrets(tenant))
    assert deleted.status_code == 200
    assert tenant.admin.get(secrets(tenant)).json()["items"] == []


def test_stream_secrets_subresource_lists_pull_secrets(tenant):
    make_secret(tenant, "opaque", stringData={"a": "b"})
    docker = {"type": DOCKER, "stringData": {".dockerconfigjson": CONFIG}}
    make_secret(tenant, "pull", **docker)
    for name, value in (("hidden", "true"), ("shown", "false")):
        annotations = {"openshift.io/image.excludeSecret": value}
        body = {"metadata": {"name": name, "annotations": annotations}, **docker}
        assert tenant.admin.post(secrets(tenant), json=body).status_code == 201
    found = tenant.get("imagestreams", "no-such-stream/secrets").json()
    assert (found["kind"], found["apiVersion"]) == ("SecretList", "image.openshift.io/v1")
    assert found["metadata"]["resourceVersion"]
    assert [each["metadata"]["name"] for each in found["items"]] == ["pull", "shown"]
    assert not any("kind" in each for each in found["items"])
    assert base64.b64decode(found["items"][0]["data"][".dockerconfigjson"]).decode() == CONFIG


def test_secret_create_in_missing_namespace_is_not_found(tenant):
    response = tenant.admin.post(secrets(tenant, ns="nowhere"), json={"metadata": {"name": "s"}})
    assert response.status_code == 404
    assert response.json()["message"] == 'namespaces "nowhere" not found'


def test_missing_secret_status_has_no_group(tenant):
    response = tenant.admin.get(secrets(tenant, "none"))
    assert response.json()["message"] == 'secrets "none" not found'
    assert response.json()["details"] == {"name": "none", "kind": "secrets"}


@pytest.mark.case("api 217")
@pytest.mark.parametrize("path", [NAMESPACES, "/apis/project.openshift.io/v1/projects"])
def test_default_namespace_cannot_be_deleted(api_server, path):
    response = api_server.admin.delete(f"{path}/default")
    assert (response.status_code, response.json()["reason"]) == (403, "Forbidden")
    assert response.json()["message"].endswith(
        '"default" is forbidden: this namespace may not be deleted'
    )
    assert api_server.admin.get(f"{NAMESPACES}/default").status_code == 200


@pytest.mark.case("api 218")
def test_namespace_delete_removes_its_objects(tenant):
    tenant.stream("app", tag_from("v1", "q/1"), ns=tenant.other)
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    assert tenant.admin.post(secrets(tenant, ns=tenant.other), json=body).status_code == 201
    version = tenant.get("imagestreams").json()["metadata"]["resourceVersion"]
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "10"}
    path = tenant.path("imagestreams", ns=tenant.other)
    with tenant.admin.stream("GET", path, params=params) as watch:
        assert tenant.admin.delete(f"{NAMESPACES}/{tenant.other}").status_code == 200
        event = json.loads(next(watch.iter_lines()))
    assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "app")
    assert tenant.admin.get(f"{NAMESPACES}/{tenant.other}").status_code == 404
    assert tenant.get("imagestreams", ns=tenant.other).json()["items"] == []
    assert tenant.admin.get(secrets(tenant, ns=tenant.other)).json()["items"] == []
    assert tenant.get("imagestreams", "app", ns=tenant.other).status_code == 404
    again = tenant.post("imagestreams", {"metadata": {"name": "app"}}, ns=tenant.other)
    assert again.status_code == 404
    assert (
        tenant.admin.post(NAMESPACES, json={"metadata": {"name": tenant.other}}).status_code == 201
    )
    assert tenant.get("imagestreams", ns=tenant.other).json()["items"] == []


def test_namespace_create_of_existing_name_already_exists(tenant):
    response = tenant.admin.post(NAMESPACES, json={"metadata": {"name": tenant.ns}})
    assert (response.status_code, response.json()["reason"]) == (409, "AlreadyExists")
    assert response.json()["message"] == f'namespaces "{tenant.ns}" already exists'


@pytest.mark.parametrize("name", ["Upper", "a.b", "-a", "a_b"])
def test_namespace_name_must_be_dns_label(api_server, name):
    response = api_server.admin.post(NAMESPACES, json={"metadata": {"name": name}})
    assert response.status_code == 422
    assert causes(response)["metadata.name"] == (
        f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case '
        "alphanumeric characters or '-', and must start and end with an alphanumeric character "
        "(e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


def test_namespace_name_is_at_most_63_characters(api_server):
    response = api_server.admin.post(NAMESPACES, json={"metadata": {"name": "a" * 64}})
    assert causes(response)["metadata.name"].endswith("must be no more than 63 characters")


def test_namespace_update_keeps_spec_and_status(tenant):
    path = f"{NAMESPACES}/{tenant.ns}"
    stored = tenant.admin.get(path).json()
    del stored["metadata"]["resourceVersion"]
    stored["metadata"]["annotations"] = {"a": "b"}
    stored["spec"] = {}
    stored["status"] = {"phase": "Terminating"}
    put = tenant.admin.put(path, json=stored)
    assert put.status_code == 200
    assert put.json()["metadata"]["annotations"] == {"a": "b"}
    assert put.json()["spec"] == {"finalizers": ["kubernetes"]}
    assert put.json()["status"] == {"phase": "Active"}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"metadata": {"labels": {"team": tenant.ns, "kubernetes.io/metadata.name": None}}}
    patched = tenant.admin.patch(path, json=patch, headers=headers).json()
    label = {"kubernetes.io/metadata.name": tenant.ns, "team": tenant.ns}
    assert patched["metadata"]["labels"] == label
    for params in (
        {"labelSelector": f"team={tenant.ns}"},
        {"fieldSelector": f"metadata.name={tenant.ns}"},
        {"fieldSelector": f"status.phase=Active,metadata.name={tenant.ns}"},
    ):
        found = tenant.admin.get(NAMESPACES, params=params).json()
        assert [each["metadata"]["name"] for each in found["items"]] == [tenant.ns]


def test_default_and_openshift_namespaces_exist_initially(api_server):
    for name in ("default", "openshift"):
        assert api_server.admin.get(f"{NAMESPACES}/{name}").json()["status"]["phase"] == "Active"


def test_namespace_dry_runs_change_nothing(tenant):
    name = f"{tenant.ns}-dry"
    params = {"dryRun": "All"}
    response = tenant.admin.post(NAMESPACES, json={"metadata": {"name": name}}, params=params)
    assert response.status_code == 201
    assert tenant.admin.get(f"{NAMESPACES}/{name}").status_code == 404
    response = tenant.admin.request("DELETE", f"{NAMESPACES}/{tenant.ns}", params=params)
    assert response.status_code == 200
    assert tenant.admin.get(f"{NAMESPACES}/{tenant.ns}").status_code == 200


def test_secret_pages_are_decrypted_and_of_one_snapshot(tenant):
    for name in ("a", "b", "c"):
        make_secret(tenant, name, stringData={"k": name})
    first = tenant.admin.get(secrets(tenant), params={"limit": 1}).json()
    put_secret(tenant, "b", stringData={"k": "changed"})
    tenant.admin.delete(secrets(tenant, "c"))
    token = first["metadata"]["continue"]
    rest = tenant.admin.get(secrets(tenant), params={"continue": token}).json()
    found = {e["metadata"]["name"]: e["data"]["k"] for e in first["items"] + rest["items"]}
    texts = {name: base64.b64decode(each).decode() for name, each in found.items()}
    assert texts == {"a": "a", "b": "b", "c": "c"}


def test_namespace_pages_are_of_one_snapshot(tenant):
    first = tenant.admin.get(NAMESPACES, params={"limit": 1}).json()
    tenant.admin.delete(f"{NAMESPACES}/{tenant.other}")
    token = first["metadata"]["continue"]
    rest = tenant.admin.get(NAMESPACES, params={"continue": token}).json()
    found = {each["metadata"]["name"]: each for each in first["items"] + rest["items"]}
    assert found[tenant.other]["status"] == {"phase": "Active"}
    assert tenant.admin.get(f"{NAMESPACES}/{tenant.other}").status_code == 404
