"""What `oc` sends, request by request (`api.md` F, `clients.md` 2).

`oc` itself is not at hand, so its requests are repeated as they were recorded: paths, query,
headers and bodies, nulls included.
"""

import pytest

from models.store.database.session import transaction
from models.store.images.image_store import load_image
from tests import fixtures as fx
from tests.apiserver import IMAGE_API

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
    """The protobuf Unknown around an object (`api.md` C20)."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    meta = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, meta) + field(2, raw) + field(3, b"") + field(4, b"")


def wanted_tag(name, source, kind="DockerImage", generation=0, **more):
    """The body of `oc tag`'s PUT."""
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
    """The body of `oc import-image app --from=R/team/app:v1 --confirm --insecure`."""
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


def import_image(room, fake):
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    missing = room.get("imagestreams", "app")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
    answer = room.post("imagestreamimports", import_body(fake))
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.case("api 227")
def test_import_image_prints_all_from_one_answer(workroom, fake):
    first = import_image(workroom, fake)
    stream = first["status"]["import"]
    [image] = first["status"]["images"]
    assert image["status"]["status"] == "Success"
    assert image["tag"] == "v1"
    assert image["image"]["dockerImageMetadata"]["kind"] == "DockerImage"
    assert stream["status"]["tags"][0]["items"][0]["image"] == image["image"]["metadata"]["name"]
    version = workroom.get("imagestreams", "app").json()["metadata"]["resourceVersion"]
    again = workroom.post("imagestreamimports", import_body(fake, version=version))
    assert again.status_code == 201
    assert again.json()["status"]["import"]["metadata"]["resourceVersion"] == version


@pytest.mark.case("api 227")
def test_tag_puts_what_is_not_there_and_deletes_it(workroom, fake):
    import_image(workroom, fake)
    stream = workroom.get("imagestreams", "app").json()
    digest = stream["status"]["tags"][0]["items"][0]["image"]
    body = wanted_tag("other:prod", f"app@{digest}", "ImageStreamImage", generation=None)
    made = workroom.put("imagestreamtags", "other:prod", body)
    assert made.status_code == 201, made.text
    assert workroom.get("imagestreamtags", "other:prod").status_code == 200
    alias = workroom.put(
        "imagestreamtags", "app:alias", wanted_tag("app:alias", "latest", "ImageStreamTag")
    )
    assert alias.status_code == 201
    source = f"{fake.host}/team/app:v1"
    named = wanted_tag("app:ref", source, reference=True)
    assert workroom.put("imagestreamtags", "app:ref", named).status_code == 201
    assert workroom.get("imagestreamtags", "app:ref").status_code == 404
    gone = workroom.delete("imagestreamtags", "other:prod", json=DELETE_OPTIONS)
    assert gone.status_code == 200
    assert workroom.get("imagestreamtags", "other:prod").status_code == 404


@pytest.mark.case("api 227")
def test_describe_and_get_find_what_they_read(workroom, fake):
    import_image(workroom, fake)
    digest = workroom.get("imagestreamtags", "app:latest").json()["image"]["metadata"]["name"]
    for accept in ("application/json", "application/json, */*", TABLE):
        headers = {"Accept": accept}
        for resource, name in (
            ("imagestreams", "app"),
            ("imagestreamtags", "app:latest"),
            ("imagestreamimages", f"app@{digest}"),
            ("imagetags", "app:latest"),
        ):
            answer = workroom.get(resource, name, headers=headers)
            assert answer.status_code == 200, (resource, answer.text)
        image = workroom.admin.get(f"{IMAGE_API}/images/{digest}", headers=headers)
        assert image.status_code == 200
    described = workroom.admin.get(f"{IMAGE_API}/images/{digest}").json()
    assert described["dockerImageMetadata"]["Architecture"]
    assert described["dockerImageLayers"]


@pytest.mark.case("api 227")
def test_set_image_lookup_and_create_imagestream(workroom):
    body = {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "looked", "creationTimestamp": None},
        "spec": {"lookupPolicy": {"local": False}},
        "status": {"dockerImageRepository": ""},
    }
    params = {"fieldManager": "oc-create", "fieldValidation": "Ignore"}
    assert workroom.post("imagestreams", body, params=params).status_code == 201
    patch = {"spec": {"lookupPolicy": {"local": True}}}
    params = {"fieldManager": "kubectl-set"}
    answer = workroom.patch("imagestreams", "looked", patch, "strategic", params=params)
    assert answer.json()["spec"]["lookupPolicy"] == {"local": True}


@pytest.mark.case("api 227")
def test_new_project_and_whoami(workroom):
    user = workroom.user()
    requests = "/apis/project.openshift.io/v1/projectrequests"
    assert user.get(requests).json()["status"] == "Success"
    name = f"{workroom.ns}-own"
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
    assert whoami.json()["status"]["userInfo"]["username"] == workroom.who
    users = user.get("/apis/user.openshift.io/v1/users/~")
    assert users.json()["metadata"]["name"] == workroom.who
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
def test_prune_images_reads_trims_and_deletes(room, digest):
    old, new = digest("a"), digest("b")
    room.stream("app")
    for image in (old, new):
        assert room.map("app", "v1", image).status_code == 201
    for path in READ_BEFORE_PRUNING:
        answer = room.admin.get(path)
        assert (answer.status_code, answer.json()["items"]) == (200, []), path
    assert room.admin.get(f"{IMAGE_API}/imagestreams").status_code == 200
    assert room.admin.get(f"{IMAGE_API}/images", params={"limit": 5000}).status_code == 200
    stream = room.get("imagestreams", "app").json()
    [tag] = stream["status"]["tags"]
    assert [item["image"] for item in tag["items"]] == [new, old]
    tag["items"] = tag["items"][:1]
    trimmed = room.put("imagestreams", "app/status", stream)
    assert trimmed.status_code == 200, trimmed.text
    assert [i["image"] for i in trimmed.json()["status"]["tags"][0]["items"]] == [new]
    path = f"{IMAGE_API}/images/{old}"
    gone = room.admin.request("DELETE", path, json=DELETE_OPTIONS | {"gracePeriodSeconds": 0})
    assert gone.status_code == 200
    with transaction(room.world.engine, write=False) as session:
        assert load_image(session, old) is None
        assert load_image(session, new) is not None


@pytest.mark.case("api 229")
def test_a_pruner_may_do_just_that(room):
    pruner = room.user(("pruner", "*"))
    assert all(pruner.get(path).status_code == 200 for path in READ_BEFORE_PRUNING)
    assert pruner.get(f"{IMAGE_API}/imagestreams").status_code == 200
    assert pruner.post(room.path("imagestreams"), json={"metadata": {}}).status_code == 403
    stranger = room.user(name=f"{room.who}s")
    assert stranger.get("/api/v1/pods").status_code == 403
