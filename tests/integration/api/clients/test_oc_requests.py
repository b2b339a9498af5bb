"""The requests of `oc`, one by one (api-30.1, clients-5.1, clients-5.2, clients-5.3).

`oc` itself is not installed, so its requests are repeated as they were recorded: paths, query,
headers and bodies, nulls included.
"""

import pytest

from models.store.database.session import transaction
from models.store.images.image_store import load_image
from tests import fixtures as fx
from tests.api_test_server import IMAGE_API

DELETE_OPTIONS = {"kind": "DeleteOptions", "apiVersion": "image.openshift.io/v1"}
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
PROTOBUF = {
    "Content-Type": "application/vnd.kubernetes.protobuf",
    "Accept": "application/vnd.kubernetes.protobuf,application/json",
}


def envelope(api_version, kind, raw=b""):
    """Return the protobuf `Unknown` around an object (api-15.1)."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    meta = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, meta) + field(2, raw) + field(3, b"") + field(4, b"")


def tag_body(name, source, kind="DockerImage", generation=0, **more):
    """Return the body of the PUT of `oc tag`."""
    stream, tag = name.split(":")
    return {
        "kind": "ImageStreamTag",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": f"{stream}:{tag}"},
        "tag": {
            "name": tag,
            "annotations": None,
            "from": {"kind": kind, "name": source},
            "generation": generation,
            "importPolicy": {"importMode": "Legacy"},
            "referencePolicy": {"type": "Source"},
            **more,
        },
        "generation": 0,
        "lookupPolicy": {"local": False},
        "image": {"metadata": {}, "dockerImageMetadata": None, "dockerImageMetadataVersion": ""},
    }


def import_body(fake, *, version=None, name="app"):
    """Return the body of `oc import-image app --from=R/team/app:v1 --confirm --insecure`."""
    metadata = {"name": name, "creationTimestamp": None}
    if version:
        metadata["resourceVersion"] = version
    return {
        "kind": "ImageStreamImport",
        "apiVersion": "image.openshift.io/v1",
        "metadata": metadata,
        "spec": {
            "import": True,
            "images": [
                {
                    "from": {"kind": "DockerImage", "name": f"{fake.host}/team/app:v1"},
                    "to": {"name": "latest"},
                    "importPolicy": {"insecure": True, "importMode": "Legacy"},
                    "referencePolicy": {"type": "Source"},
                }
            ],
        },
        "status": {},
    }


def import_image(tenant, fake):
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    missing = tenant.get("imagestreams", "app")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
    response = tenant.post("imagestreamimports", import_body(fake))
    assert response.status_code == 201, response.text
    return response.json()


@pytest.mark.case("api 227")
def test_oc_import_image_prints_single_response(worker_tenant, fake):
    first = import_image(worker_tenant, fake)
    stream = first["status"]["import"]
    [image] = first["status"]["images"]
    assert image["status"]["status"] == "Success"
    assert image["tag"] == "v1"
    assert image["image"]["dockerImageMetadata"]["kind"] == "DockerImage"
    assert stream["status"]["tags"][0]["items"][0]["image"] == image["image"]["metadata"]["name"]
    version = worker_tenant.get("imagestreams", "app").json()["metadata"]["resourceVersion"]
    again = worker_tenant.post("imagestreamimports", import_body(fake, version=version))
    assert again.status_code == 201
    assert again.json()["status"]["import"]["metadata"]["resourceVersion"] == version


@pytest.mark.case("api 227")
def test_oc_tag_puts_missing_tag_and_deletes_it(worker_tenant, fake):
    import_image(worker_tenant, fake)
    stream = worker_tenant.get("imagestreams", "app").json()
    digest = stream["status"]["tags"][0]["items"][0]["image"]
    body = tag_body("other:prod", f"app@{digest}", "ImageStreamImage", generation=None)
    made = worker_tenant.put("imagestreamtags", "other:prod", body)
    assert made.status_code == 201, made.text
    assert worker_tenant.get("imagestreamtags", "other:prod").status_code == 200
    alias = worker_tenant.put(
        "imagestreamtags", "app:alias", tag_body("app:alias", "latest", "ImageStreamTag")
    )
    assert alias.status_code == 201
    source = f"{fake.host}/team/app:v1"
    named = tag_body("app:ref", source, reference=True)
    assert worker_tenant.put("imagestreamtags", "app:ref", named).status_code == 201
    assert worker_tenant.get("imagestreamtags", "app:ref").status_code == 404
    deleted = worker_tenant.delete("imagestreamtags", "other:prod", json=DELETE_OPTIONS)
    assert deleted.status_code == 200
    assert worker_tenant.get("imagestreamtags", "other:prod").status_code == 404


@pytest.mark.case("api 227")
def test_oc_describe_and_get_read_every_resource(worker_tenant, fake):
    import_image(worker_tenant, fake)
    digest = worker_tenant.get("imagestreamtags", "app:latest").json()["image"]["metadata"]["name"]
    for accept in ("application/json", "application/json, */*", TABLE):
        headers = {"Accept": accept}
        for resource, name in (
            ("imagestreams", "app"),
            ("imagestreamtags", "app:latest"),
            ("imagestreamimages", f"app@{digest}"),
            ("imagetags", "app:latest"),
        ):
            response = worker_tenant.get(resource, name, headers=headers)
            assert response.status_code == 200, (resource, response.text)
        image = worker_tenant.admin.get(f"{IMAGE_API}/images/{digest}", headers=headers)
        assert image.status_code == 200
    described = worker_tenant.admin.get(f"{IMAGE_API}/images/{digest}").json()
    assert described["dockerImageMetadata"]["Architecture"]
    assert described["dockerImageLayers"]


@pytest.mark.case("api 227")
def test_oc_set_image_lookup_patches_created_stream(worker_tenant):
    body = {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "looked", "creationTimestamp": None},
        "spec": {"lookupPolicy": {"local": False}},
        "status": {"dockerImageRepository": ""},
    }
    params = {"fieldManager": "oc-create", "fieldValidation": "Ignore"}
    assert worker_tenant.post("imagestreams", body, params=params).status_code == 201
    patch = {"spec": {"lookupPolicy": {"local": True}}}
    params = {"fieldManager": "kubectl-set"}
    response = worker_tenant.patch("imagestreams", "looked", patch, "strategic", params=params)
    assert response.json()["spec"]["lookupPolicy"] == {"local": True}


@pytest.mark.case("api 227")
def test_oc_new_project_and_whoami_succeed(worker_tenant):
    user = worker_tenant.user()
    requests = "/apis/project.openshift.io/v1/projectrequests"
    assert user.get(requests).json()["status"] == "Success"
    name = f"{worker_tenant.ns}-own"
    body = {"kind": "ProjectRequest", "apiVersion": "project.openshift.io/v1"}
    made = user.post(requests, json=body | {"metadata": {"name": name}, "displayName": "Mine"})
    assert made.status_code == 201
    assert made.json()["kind"] == "Project"
    whoami = user.post(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        content=envelope("authentication.k8s.io/v1", "SelfSubjectReview"),
        headers=PROTOBUF,
    )
    assert whoami.status_code == 201
    assert whoami.json()["status"]["userInfo"]["username"] == worker_tenant.user_name
    users = user.get("/apis/user.openshift.io/v1/users/~")
    assert users.json()["metadata"]["name"] == worker_tenant.user_name
    projects = user.get("/apis/project.openshift.io/v1/projects").json()
    assert [each["metadata"]["name"] for each in projects["items"]] == [name]
    assert user.head("/").status_code in {200, 401, 403}
    motd = user.get("/api/v1/namespaces/openshift/configmaps/motd")
    assert motd.status_code in {403, 404}


READ_BEFORE_PRUNING = [
    "/api/v1/pods",
    "/api/v1/replicationcontrollers",
    "/apis/build.openshift.io/v1/buildconfigs",
    "/apis/build.openshift.io/v1/builds",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/deployments",
    "/apis/apps.openshift.io/v1/deploymentconfigs",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
    "/api/v1/limitranges",
]


@pytest.mark.case("api 229")
def test_oc_adm_prune_images_trims_history_and_deletes_image(tenant, digest):
    old, new = digest("a"), digest("b")
    tenant.stream("app")
    for image in (old, new):
        assert tenant.push("app", "v1", image).status_code == 201
    for path in READ_BEFORE_PRUNING:
        response = tenant.admin.get(path)
        assert (response.status_code, response.json()["items"]) == (200, []), path
    assert tenant.admin.get(f"{IMAGE_API}/imagestreams").status_code == 200
    assert tenant.admin.get(f"{IMAGE_API}/images", params={"limit": 5000}).status_code == 200
    stream = tenant.get("imagestreams", "app").json()
    [tag] = stream["status"]["tags"]
    assert [item["image"] for item in tag["items"]] == [new, old]
    tag["items"] = tag["items"][:1]
    trimmed = tenant.put("imagestreams", "app/status", stream)
    assert trimmed.status_code == 200, trimmed.text
    assert [i["image"] for i in trimmed.json()["status"]["tags"][0]["items"]] == [new]
    path = f"{IMAGE_API}/images/{old}"
    deleted = tenant.admin.request("DELETE", path, json=DELETE_OPTIONS | {"gracePeriodSeconds": 0})
    assert deleted.status_code == 200
    with transaction(tenant.api_server.engine, write=False) as session:
        assert load_image(session, old) is None
        assert load_image(session, new) is not None


@pytest.mark.case("api 229")
def test_pruner_may_read_workloads_but_not_create_streams(tenant):
    pruner = tenant.user(("pruner", "*"))
    assert all(pruner.get(path).status_code == 200 for path in READ_BEFORE_PRUNING)
    assert pruner.get(f"{IMAGE_API}/imagestreams").status_code == 200
    assert pruner.post(tenant.path("imagestreams"), json={"metadata": {}}).status_code == 403
    unbound = tenant.user(name=f"{tenant.user_name}s")
    assert unbound.get("/api/v1/pods").status_code == 403
