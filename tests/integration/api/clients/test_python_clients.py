"""Unmodified Kubernetes clients of Python against the server: kubernetes, lightkube, kr8s."""

import base64

import kr8s
import lightkube
import pytest
from kr8s._async_utils import Portal
from kr8s.objects import Namespace as Kr8sNamespace
from kr8s.objects import Secret as Kr8sSecret
from kr8s.objects import new_class
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes import watch as kube_watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources import core_v1 as lk_core
from lightkube.types import PatchType

from tests import fixtures as fx
from tests.integration.api.tenant import tag_from

GROUP, VERSION = "image.openshift.io", "v1"
GROUP_VERSION = f"{GROUP}/{VERSION}"
LATER = "registry.example/team/app:2"


def stream_body(name, *tags, **labels):
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "ImageStream",
        "metadata": {"name": name, "labels": labels},
        "spec": {"tags": [tag_from(tag, f"registry.example/team/app:{tag}") for tag in tags]},
    }


@pytest.fixture
def kubeconfig(tenant):
    """Return the path of a kubeconfig with the namespace of the tenant."""
    return str(tenant.api_server.kubeconfig(namespace=tenant.ns))


def watch_one_change(tenant, events):
    """Return the first two events of a watch; between them the stream `app` is changed."""
    seen = []
    for verb, name in events:
        seen.append((verb, name))
        if len(seen) == 2:
            break
        tenant.patch("imagestreams", "app", {"metadata": {"annotations": {"seen": "yes"}}})
    return seen


@pytest.fixture
def api_client(kubeconfig):
    """Return a client of `kubernetes`, configured by the kubeconfig."""
    client = kube_config.new_client_from_config(kubeconfig)
    yield client
    client.close()
    client.rest_client.pool_manager.clear()


@pytest.fixture
def dynamic(api_client, tmp_path):
    return DynamicClient(api_client, cache_file=str(tmp_path / "discovered.json"))


@pytest.mark.case("api 228")
def test_dynamic_client_runs_every_verb_on_streams(dynamic, tenant):
    streams = dynamic.resources.get(api_version=GROUP_VERSION, kind="ImageStream")
    made = streams.create(body=stream_body("app", "1", tier="gold"), namespace=tenant.ns)
    assert made.metadata.uid
    found = streams.get(name="app", namespace=tenant.ns)
    assert found.spec.tags[0]["from"].name == "registry.example/team/app:1"
    listed = streams.get(namespace=tenant.ns, label_selector="tier=gold")
    assert [each.metadata.name for each in listed.items] == ["app"]
    assert any(each.metadata.uid == made.metadata.uid for each in streams.get().items)

    patch = {"spec": {"tags": [tag_from("2", LATER)]}}
    patched = streams.patch(body=patch, name="app", namespace=tenant.ns)
    assert [tag.name for tag in patched.spec.tags] == ["1", "2"]
    merged = streams.patch(
        body=patch, name="app", namespace=tenant.ns, content_type="application/merge-patch+json"
    )
    assert [tag.name for tag in merged.spec.tags] == ["2"]
    steps = [{"op": "remove", "path": "/spec/tags/0"}]
    emptied = streams.patch(
        body=steps, name="app", namespace=tenant.ns, content_type="application/json-patch+json"
    )
    assert not emptied.spec.tags
    body = emptied.to_dict() | {"spec": {"lookupPolicy": {"local": True}}}
    assert streams.replace(body=body, namespace=tenant.ns).spec.lookupPolicy.local is True
    applied = streams.server_side_apply(
        body=stream_body("app", "3"), namespace=tenant.ns, field_manager="robot"
    )
    assert [tag.name for tag in applied.spec.tags] == ["3"]
    assert "robot" in [each.manager for each in applied.metadata.managedFields]

    events = streams.watch(namespace=tenant.ns, timeout=20)
    watched = ((event["type"], event["object"].metadata.name) for event in events)
    assert watch_one_change(tenant, watched) == [("ADDED", "app"), ("MODIFIED", "app")]

    deleted = streams.delete(name="app", namespace=tenant.ns)
    assert (deleted.kind, deleted.status) == ("Status", "Success")
    with pytest.raises(NotFoundError):
        streams.get(name="app", namespace=tenant.ns)


@pytest.mark.case("api 228")
def test_dynamic_client_reads_subresources_and_virtual_resources(dynamic, tenant, digest):
    name = digest()
    tenant.stream("app")
    assert tenant.push("app", "v1", name).status_code == 201
    streams = dynamic.resources.get(api_version=GROUP_VERSION, kind="ImageStream")
    layers = streams.layers.get(name="app", namespace=tenant.ns)
    assert name in layers.images.to_dict()
    body = streams.get(name="app", namespace=tenant.ns).to_dict()
    assert streams.status.replace(body=body, name="app", namespace=tenant.ns).metadata.name == "app"
    tags = dynamic.resources.get(api_version=GROUP_VERSION, kind="ImageStreamTag")
    assert tags.get(name="app:v1", namespace=tenant.ns).image.metadata.name == name
    [tag] = tags.get(namespace=tenant.ns).items
    assert tag.metadata.name == "app:v1"
    images = dynamic.resources.get(api_version=GROUP_VERSION, kind="Image")
    assert images.get(name=name).dockerImageReference == f"quay.io/x/y@{name}"
    jobs = dynamic.resources.get(api_version="sync.tagstream.io/v1", kind="ImportJob")
    assert jobs.get(namespace=tenant.ns).kind == "ImportJobList"


@pytest.mark.case("api 228")
def test_dynamic_client_import_returns_result(worker_tenant, fake):
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    kubeconfig = str(worker_tenant.api_server.kubeconfig(namespace=worker_tenant.ns))
    with kube_config.new_client_from_config(kubeconfig) as client:
        found = DynamicClient(client, cache_file=f"{kubeconfig}.cache").resources
        imports = found.get(api_version=GROUP_VERSION, kind="ImageStreamImport")
        source = {"kind": "DockerImage", "name": f"{fake.host}/team/app:v1"}
        body = {
            "metadata": {"name": "app"},
            "spec": {"import": True, "images": [{"from": source, "to": {"name": "one"}}]},
        }
        body["spec"]["images"][0]["importPolicy"] = {"insecure": True}
        response = imports.create(body=body, namespace=worker_tenant.ns)
        client.rest_client.pool_manager.clear()
    [image] = response.status.images
    assert image.status.status == "Success"
    assert image.image.metadata.name == fx.digest_of(fx.OCI)
    assert response.status["import"].status.tags[0].tag == "one"


@pytest.mark.case("api 228")
def test_typed_kubernetes_clients_manage_core_and_custom_objects(api_client, tenant):
    core, custom = kube.CoreV1Api(api_client), kube.CustomObjectsApi(api_client)
    assert kube.VersionApi(api_client).get_code().git_version.startswith("v1.")
    ns = f"{tenant.ns}-typed"
    core.create_namespace(kube.V1Namespace(metadata=kube.V1ObjectMeta(name=ns)))
    assert ns in [each.metadata.name for each in core.list_namespace().items]
    assert core.read_namespace(ns).status.phase == "Active"
    _check_secrets(core, ns)

    collection = (GROUP, VERSION, ns, "imagestreams")
    made = custom.create_namespaced_custom_object(*collection, stream_body("app", "1"))
    assert made["metadata"]["generation"] >= 1
    assert custom.get_namespaced_custom_object(*collection, "app")["metadata"]["name"] == "app"
    patched = custom.patch_namespaced_custom_object(
        *collection, "app", {"metadata": {"labels": {"tier": "gold"}}}
    )
    assert patched["metadata"]["labels"] == {"tier": "gold"}
    everywhere = custom.list_cluster_custom_object(
        GROUP, VERSION, "imagestreams", label_selector="tier=gold", limit=500
    )
    assert made["metadata"]["uid"] in [each["metadata"]["uid"] for each in everywhere["items"]]
    seen = kube_watch.Watch().stream(
        custom.list_namespaced_custom_object, *collection, timeout_seconds=1
    )
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("ADDED", "app")
    ]
    assert custom.delete_namespaced_custom_object(*collection, "app")["status"] == "Success"
    with pytest.raises(ApiException) as refused:
        custom.get_namespaced_custom_object(*collection, "app")
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")
    core.delete_namespace(ns)
    with pytest.raises(ApiException):
        core.read_namespace(ns)


def _check_secrets(core, ns):
    body = kube.V1Secret(
        metadata=kube.V1ObjectMeta(name="pull"),
        type="kubernetes.io/dockerconfigjson",
        string_data={".dockerconfigjson": '{"auths": {}}'},
    )
    core.create_namespaced_secret(ns, body)
    found = core.read_namespaced_secret("pull", ns)
    assert base64.b64decode(found.data[".dockerconfigjson"]) == b'{"auths": {}}'
    patched = core.patch_namespaced_secret("pull", ns, {"metadata": {"labels": {"a": "b"}}})
    assert patched.metadata.labels == {"a": "b"}
    assert [each.metadata.name for each in core.list_namespaced_secret(ns).items] == ["pull"]
    seen = kube_watch.Watch().stream(core.list_namespaced_secret, ns, timeout_seconds=1)
    assert [event["object"].metadata.name for event in seen] == ["pull"]
    core.delete_namespaced_secret("pull", ns)
    assert core.list_namespaced_secret(ns).items == []


LightStream = create_namespaced_resource(GROUP, VERSION, "ImageStream", "imagestreams")
LightTag = create_namespaced_resource(GROUP, VERSION, "ImageStreamTag", "imagestreamtags")
LightImage = create_global_resource(GROUP, VERSION, "Image", "images")


@pytest.fixture
def light(kubeconfig):
    config = lightkube.KubeConfig.from_file(kubeconfig)
    with lightkube.Client(config=config, field_manager="lightkube") as client:
        yield client


@pytest.mark.case("api 228")
def test_lightkube_runs_every_verb_on_streams(light, tenant):
    made = light.create(LightStream(stream_body("app", "1", tier="gold")))
    assert (made.metadata.namespace, bool(made.metadata.uid)) == (tenant.ns, True)
    assert light.get(LightStream, "app")["spec"]["tags"][0]["name"] == "1"
    for number in range(3):
        light.create(LightStream(stream_body(f"more-{number}")))
    pages = light.list(LightStream, chunk_size=2)
    assert [each.metadata.name for each in pages] == ["app", "more-0", "more-1", "more-2"]
    [gold] = light.list(
        LightStream,
        namespace="*",
        labels={"tier": "gold"},
        fields={"metadata.name": "app", "metadata.namespace": tenant.ns},
    )
    assert gold.metadata.uid == made.metadata.uid

    patched = light.patch(LightStream, "app", {"spec": {"tags": [tag_from("2", LATER)]}})
    assert [tag["name"] for tag in patched["spec"]["tags"]] == ["1", "2"]
    merged = light.patch(LightStream, "app", {"spec": {"tags": None}}, patch_type=PatchType.MERGE)
    assert not merged["spec"].get("tags")
    steps = [{"op": "add", "path": "/metadata/labels/more", "value": "yes"}]
    labelled = light.patch(LightStream, "app", steps, patch_type=PatchType.JSON)
    assert labelled.metadata.labels == {"tier": "gold", "more": "yes"}
    light.set(LightStream, "app", labels={"more": None})
    applied = light.apply(LightStream(stream_body("app", "3")), field_manager="robot", force=True)
    assert [tag["name"] for tag in applied["spec"]["tags"]] == ["3"]
    applied["spec"]["lookupPolicy"] = {"local": True}
    applied.metadata.managedFields = None
    assert light.replace(applied)["spec"]["lookupPolicy"]["local"] is True

    events = light.watch(LightStream, fields={"metadata.name": "app"}, server_timeout=20)
    watched = ((verb, stream.metadata.name) for verb, stream in events)
    assert watch_one_change(tenant, watched) == [("ADDED", "app"), ("MODIFIED", "app")]

    light.delete(LightStream, "app")
    with pytest.raises(lightkube.ApiError) as refused:
        light.get(LightStream, "app")
    assert (refused.value.status.code, refused.value.status.reason) == (404, "NotFound")
    light.deletecollection(LightStream)
    assert list(light.list(LightStream)) == []


@pytest.mark.case("api 228")
def test_lightkube_manages_namespaces_and_secrets_and_reads_images(light, tenant, digest):
    ns = f"{tenant.ns}-light"
    light.create(lk_core.Namespace(metadata=ObjectMeta(name=ns)))
    assert light.get(lk_core.Namespace, ns).status.phase == "Active"
    light.create(
        lk_core.Secret(metadata=ObjectMeta(name="pull", namespace=ns), stringData={"user": "me"})
    )
    assert light.get(lk_core.Secret, "pull", namespace=ns).data == {"user": "bWU="}
    secret = lk_core.Secret(
        apiVersion="v1",
        kind="Secret",
        metadata=ObjectMeta(name="pull", namespace=ns),
        type="Opaque",
        data={"user": "eW91"},
    )
    assert light.apply(secret, field_manager="robot", force=True).data == {"user": "eW91"}
    light.delete(lk_core.Secret, "pull", namespace=ns)
    light.delete(lk_core.Namespace, ns)
    assert ns not in [each.metadata.name for each in light.list(lk_core.Namespace)]

    name = digest()
    tenant.stream("app")
    assert tenant.push("app", "v1", name).status_code == 201
    assert light.get(LightTag, "app:v1")["image"]["metadata"]["name"] == name
    assert light.get(LightImage, name).metadata.name == name


Kr8sStream = new_class("ImageStream", GROUP_VERSION, asyncio=False, namespaced=True)


@pytest.fixture
def kr8s_api(kubeconfig, tenant):
    api = kr8s.api(kubeconfig=kubeconfig, namespace=tenant.ns)
    yield api
    Portal().call(api._session.aclose)  # it has no public method to close it


@pytest.mark.case("api 228")
def test_kr8s_runs_every_verb_on_streams(kr8s_api, tenant):
    api = kr8s_api
    stream = Kr8sStream(stream_body("app", "1", tier="gold"), namespace=tenant.ns, api=api)
    stream.create()
    assert stream.exists()
    assert Kr8sStream.get("app", namespace=tenant.ns, api=api).metadata.uid == stream.metadata.uid
    for kind in ("imagestreams", "is", "imagestream", "imagestreams.image.openshift.io"):
        found = api.get(kind, namespace=tenant.ns, label_selector={"tier": "gold"})
        assert [each.name for each in found] == ["app"]
    stream.patch({"spec": {"tags": [tag_from("2", LATER)]}})
    assert [tag["name"] for tag in stream.spec.tags] == ["2"]
    stream.patch([{"op": "remove", "path": "/spec/tags/0"}], type="json")
    stream.label({"tier": "silver"})
    stream.annotate({"note": "hello"})
    stream.refresh()
    assert (stream.labels["tier"], stream.annotations["note"]) == ("silver", "hello")

    events = api.watch("imagestreams", namespace=tenant.ns)
    watched = ((verb, each.name) for verb, each in events)
    assert watch_one_change(tenant, watched) == [("ADDED", "app"), ("MODIFIED", "app")]
    stream.wait("jsonpath='{.metadata.name}'=app", timeout=5)
    stream.delete()
    stream.wait("delete", timeout=5)
    assert not stream.exists()


@pytest.mark.case("api 228")
def test_kr8s_manages_namespaces_and_secrets_and_reads_version(kr8s_api, tenant):
    api = kr8s_api
    assert api.version()["gitVersion"].startswith("v1.")
    assert {"imagestreams", "importjobs"} <= {each["name"] for each in api.api_resources()}
    ns = Kr8sNamespace({"metadata": {"name": f"{tenant.ns}-kr8s"}}, api=api)
    ns.create()
    body = {"metadata": {"name": "pull", "namespace": ns.name}, "stringData": {"user": "me"}}
    secret = Kr8sSecret(body, api=api)
    secret.create()
    assert Kr8sSecret.get("pull", namespace=ns.name, api=api).data.user == "bWU="
    assert [each.name for each in api.get("secrets", namespace=ns.name)] == ["pull"]
    secret.delete()
    ns.delete()
    assert not ns.exists()
