"""Namespaces and secrets, as clients use them (`api.md` E, C20): cases 213 to 218.

The bodies in protobuf are what kubectl and oc send.
"""

import base64
import json

import pytest

from models.store.database.session import transaction
from models.store.tables.secrets import SecretRow
from tests.integration.api.rooms import tag_from
from tests.integration.api.test_streams_created import causes
from tests.unit.api.test_protobuf_bodies import EMPTY, PROTOBUF, entry, envelope, message

PB = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
NAMESPACES = "/api/v1/namespaces"
CONFIG = '{"auths":{"quay.io":{"username":"a","password":"hunter2"}}}'
DOCKER = "kubernetes.io/dockerconfigjson"


def secrets(room, name="", *, ns=None):
    path = f"{NAMESPACES}/{ns or room.ns}/secrets"
    return f"{path}/{name}" if name else path


def make_secret(room, name="s", *, client=None, params=None, **fields):
    body = {"metadata": {"name": name}, **fields}
    return (client or room.admin).post(secrets(room), json=body, params=params)


def put_secret(room, name="s", **fields):
    return room.admin.put(secrets(room, name), json={"metadata": {"name": name}, **fields})


@pytest.mark.case("api 213")
def test_a_namespace_is_made_of_a_protobuf_body(room):
    name = f"{room.ns}-pb"
    meta = message((1, name), *EMPTY, (11, entry("a", "b")))
    body = envelope("Namespace", message((1, meta), (2, b""), (3, message((1, "")))))
    params = {"fieldManager": "kubectl-create", "fieldValidation": "Strict"}
    answer = room.admin.post(NAMESPACES, content=body, headers=PB, params=params)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    found = answer.json()
    assert (found["kind"], found["apiVersion"]) == ("Namespace", "v1")
    assert found["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": name}
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["status"] == {"phase": "Active"}
    assert room.admin.get(f"{NAMESPACES}/{name}").json() == found


@pytest.mark.case("api 214")
def test_a_secret_is_made_of_a_protobuf_body(room):
    meta = message((1, "pull"), *EMPTY)
    data = message((1, ".dockerconfigjson"), (2, CONFIG))
    body = envelope("Secret", message((1, meta), (2, data), (3, DOCKER)))
    answer = room.admin.post(secrets(room), content=body, headers=PB)
    assert answer.status_code == 201
    found = room.admin.get(secrets(room, "pull")).json()
    assert found == answer.json()
    assert found["type"] == DOCKER
    assert base64.b64decode(found["data"][".dockerconfigjson"]).decode() == CONFIG
    stored = room.get("imagestreams", "any/secrets").json()
    assert [each["metadata"]["name"] for each in stored["items"]] == ["pull"]


def test_a_protobuf_body_of_another_kind_is_refused(room):
    body = envelope("Secret", message((1, message((1, "x")))))
    answer = room.admin.post(NAMESPACES, content=body, headers=PB)
    assert answer.status_code == 400
    garbage = room.admin.post(NAMESPACES, content=b"k8s\0\xff\xff", headers=PB)
    assert garbage.status_code == 400


@pytest.mark.case("api 215")
def test_a_pull_secret_holds_a_document(room):
    missing = make_secret(room, type=DOCKER)
    assert missing.status_code == 422
    assert causes(missing) == {"data[.dockerconfigjson]": "Required value"}
    assert missing.json()["message"] == (
        'Secret "s" is invalid: data[.dockerconfigjson]: Required value'
    )
    broken = make_secret(room, type=DOCKER, stringData={".dockerconfigjson": "{hunter2"})
    assert broken.status_code == 422
    text = causes(broken)["data[.dockerconfigjson]"]
    assert text.startswith('Invalid value: "<secret contents redacted>": ')
    assert "hunter2" not in broken.text


@pytest.mark.case("api 216")
def test_a_secret_keeps_its_type_and_takes_texts(room):
    made = make_secret(room, stringData={"a": "b"})
    assert made.status_code == 201
    assert made.json()["type"] == "Opaque"
    assert made.json()["data"] == {"a": "Yg=="}
    assert "stringData" not in made.json()
    changed = put_secret(room, type="other/type")
    assert changed.status_code == 422
    text = 'Invalid value: "other/type": field is immutable'
    assert causes(changed)["type"] == text
    put = put_secret(room, data={"a": "Yg=="}, stringData={"a": "c", "d": "e"})
    assert put.status_code == 200
    assert put.json()["data"] == {"a": "Yw==", "d": "ZQ=="}
    assert "stringData" not in put.json()
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"stringData": {"x": "y"}, "data": {"a": None}}
    patched = room.admin.patch(secrets(room, "s"), json=patch, headers=headers)
    assert patched.json()["data"] == {"d": "ZQ==", "x": "eQ=="}


def test_a_frozen_secret_stays_as_it_is(room):
    make_secret(room, stringData={"a": "b"}, immutable=True)
    answer = put_secret(room, stringData={"a": "c"}, immutable=True)
    assert answer.status_code == 422
    expected = "Forbidden: field is immutable when `immutable` is set"
    assert causes(answer) == {"data": expected}
    answer = put_secret(room, stringData={"a": "b"})
    assert "immutable" in causes(answer)
    labelled = {"metadata": {"name": "s", "labels": {"a": "b"}}, "immutable": True}
    labelled["data"] = {"a": "Yg=="}
    assert room.admin.put(secrets(room, "s"), json=labelled).status_code == 200


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
def test_each_type_wants_its_keys(room, kind, texts, fields):
    answer = make_secret(room, type=kind, stringData=texts)
    assert answer.status_code == 422
    assert causes(answer).keys() == fields


def test_a_secret_has_its_limits(room):
    answer = make_secret(room, "Bad_Name", stringData={"a": "x" * (1024 * 1024 + 1)})
    assert answer.status_code == 422
    assert causes(answer)["data"] == "Too long: may not be more than 1048576 bytes"
    assert causes(answer)["metadata.name"].endswith(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_secrets_are_closed_in_the_database(room):
    make_secret(room, stringData={"password": "hunter2-canary"})
    with transaction(room.world.engine, write=False) as session:
        rows = session.query(SecretRow).filter_by(namespace=room.ns, name="s").all()
        assert len(rows) == 1
        assert "hunter2-canary" not in repr(rows[0].__dict__)


def test_secrets_are_selected_by_type_and_deleted_together(room):
    make_secret(room, "one", stringData={"a": "b"})
    make_secret(room, "two", type=DOCKER, stringData={".dockerconfigjson": CONFIG})
    found = room.admin.get(secrets(room), params={"fieldSelector": f"type={DOCKER}"}).json()
    assert [each["metadata"]["name"] for each in found["items"]] == ["two"]
    everywhere = room.admin.get("/api/v1/secrets", params={"fieldSelector": "type=Opaque"}).json()
    places = [(e["metadata"]["namespace"], e["metadata"]["name"]) for e in everywhere["items"]]
    assert (room.ns, "one") in places
    gone = room.admin.delete(secrets(room))
    assert gone.status_code == 200
    assert room.admin.get(secrets(room)).json()["items"] == []


def test_secrets_of_a_stream_are_those_that_pull(room):
    make_secret(room, "opaque", stringData={"a": "b"})
    docker = {"type": DOCKER, "stringData": {".dockerconfigjson": CONFIG}}
    make_secret(room, "pull", **docker)
    for name, value in (("hidden", "true"), ("shown", "false")):
        annotations = {"openshift.io/image.excludeSecret": value}
        body = {"metadata": {"name": name, "annotations": annotations}, **docker}
        assert room.admin.post(secrets(room), json=body).status_code == 201
    found = room.get("imagestreams", "no-such-stream/secrets").json()
    assert (found["kind"], found["apiVersion"]) == ("SecretList", "image.openshift.io/v1")
    assert found["metadata"]["resourceVersion"]
    assert [each["metadata"]["name"] for each in found["items"]] == ["pull", "shown"]
    assert not any("kind" in each for each in found["items"])
    assert base64.b64decode(found["items"][0]["data"][".dockerconfigjson"]).decode() == CONFIG


def test_a_secret_needs_a_namespace(room):
    answer = room.admin.post(secrets(room, ns="nowhere"), json={"metadata": {"name": "s"}})
    assert answer.status_code == 404
    assert answer.json()["message"] == 'namespaces "nowhere" not found'


def test_a_missing_secret_has_no_group(room):
    answer = room.admin.get(secrets(room, "none"))
    assert answer.json()["message"] == 'secrets "none" not found'
    assert answer.json()["details"] == {"name": "none", "kind": "secrets"}


@pytest.mark.case("api 217")
@pytest.mark.parametrize("path", [NAMESPACES, "/apis/project.openshift.io/v1/projects"])
def test_the_first_namespace_stays(world, path):
    answer = world.admin.delete(f"{path}/default")
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"].endswith(
        '"default" is forbidden: this namespace may not be deleted'
    )
    assert world.admin.get(f"{NAMESPACES}/default").status_code == 200


@pytest.mark.case("api 218")
def test_a_namespace_takes_all_with_it(room):
    room.stream("app", tag_from("v1", "q/1"), ns=room.other)
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    assert room.admin.post(secrets(room, ns=room.other), json=body).status_code == 201
    version = room.get("imagestreams").json()["metadata"]["resourceVersion"]
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "10"}
    path = room.path("imagestreams", ns=room.other)
    with room.admin.stream("GET", path, params=params) as watch:
        assert room.admin.delete(f"{NAMESPACES}/{room.other}").status_code == 200
        event = json.loads(next(watch.iter_lines()))
    assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "app")
    assert room.admin.get(f"{NAMESPACES}/{room.other}").status_code == 404
    assert room.get("imagestreams", ns=room.other).json()["items"] == []
    assert room.admin.get(secrets(room, ns=room.other)).json()["items"] == []
    assert room.get("imagestreams", "app", ns=room.other).status_code == 404
    again = room.post("imagestreams", {"metadata": {"name": "app"}}, ns=room.other)
    assert again.status_code == 404
    assert room.admin.post(NAMESPACES, json={"metadata": {"name": room.other}}).status_code == 201
    assert room.get("imagestreams", ns=room.other).json()["items"] == []


def test_a_namespace_is_not_made_twice(room):
    answer = room.admin.post(NAMESPACES, json={"metadata": {"name": room.ns}})
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert answer.json()["message"] == f'namespaces "{room.ns}" already exists'


@pytest.mark.parametrize("name", ["Upper", "a.b", "-a", "a_b"])
def test_a_namespace_has_a_plain_name(world, name):
    answer = world.admin.post(NAMESPACES, json={"metadata": {"name": name}})
    assert answer.status_code == 422
    assert causes(answer)["metadata.name"] == (
        f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case '
        "alphanumeric characters or '-', and must start and end with an alphanumeric character "
        "(e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


def test_a_namespace_has_a_short_name(world):
    answer = world.admin.post(NAMESPACES, json={"metadata": {"name": "a" * 64}})
    assert causes(answer)["metadata.name"].endswith("must be no more than 63 characters")


def test_a_namespace_is_labelled_annotated_and_found(room):
    path = f"{NAMESPACES}/{room.ns}"
    stored = room.admin.get(path).json()
    del stored["metadata"]["resourceVersion"]
    stored["metadata"]["annotations"] = {"a": "b"}
    stored["spec"] = {}
    stored["status"] = {"phase": "Terminating"}
    put = room.admin.put(path, json=stored)
    assert put.status_code == 200
    assert put.json()["metadata"]["annotations"] == {"a": "b"}
    assert put.json()["spec"] == {"finalizers": ["kubernetes"]}
    assert put.json()["status"] == {"phase": "Active"}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"metadata": {"labels": {"team": room.ns, "kubernetes.io/metadata.name": None}}}
    patched = room.admin.patch(path, json=patch, headers=headers).json()
    label = {"kubernetes.io/metadata.name": room.ns, "team": room.ns}
    assert patched["metadata"]["labels"] == label
    for params in (
        {"labelSelector": f"team={room.ns}"},
        {"fieldSelector": f"metadata.name={room.ns}"},
        {"fieldSelector": f"status.phase=Active,metadata.name={room.ns}"},
    ):
        found = room.admin.get(NAMESPACES, params=params).json()
        assert [each["metadata"]["name"] for each in found["items"]] == [room.ns]


def test_default_and_openshift_are_there_from_the_start(world):
    for name in ("default", "openshift"):
        assert world.admin.get(f"{NAMESPACES}/{name}").json()["status"]["phase"] == "Active"


def test_a_trial_of_a_namespace_makes_none(room):
    name = f"{room.ns}-dry"
    params = {"dryRun": "All"}
    answer = room.admin.post(NAMESPACES, json={"metadata": {"name": name}}, params=params)
    assert answer.status_code == 201
    assert room.admin.get(f"{NAMESPACES}/{name}").status_code == 404
    answer = room.admin.request("DELETE", f"{NAMESPACES}/{room.ns}", params=params)
    assert answer.status_code == 200
    assert room.admin.get(f"{NAMESPACES}/{room.ns}").status_code == 200


def test_pages_of_secrets_are_open_and_of_one_moment(room):
    for name in ("a", "b", "c"):
        make_secret(room, name, stringData={"k": name})
    first = room.admin.get(secrets(room), params={"limit": 1}).json()
    put_secret(room, "b", stringData={"k": "changed"})
    room.admin.delete(secrets(room, "c"))
    token = first["metadata"]["continue"]
    rest = room.admin.get(secrets(room), params={"continue": token}).json()
    found = {e["metadata"]["name"]: e["data"]["k"] for e in first["items"] + rest["items"]}
    texts = {name: base64.b64decode(each).decode() for name, each in found.items()}
    assert texts == {"a": "a", "b": "b", "c": "c"}


def test_pages_of_namespaces_are_of_one_moment(room):
    first = room.admin.get(NAMESPACES, params={"limit": 1}).json()
    room.admin.delete(f"{NAMESPACES}/{room.other}")
    token = first["metadata"]["continue"]
    rest = room.admin.get(NAMESPACES, params={"continue": token}).json()
    found = {each["metadata"]["name"]: each for each in first["items"] + rest["items"]}
    assert found[room.other]["status"] == {"phase": "Active"}
    assert room.admin.get(f"{NAMESPACES}/{room.other}").status_code == 404
