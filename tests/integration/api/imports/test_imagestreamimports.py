"""POST of ImageStreamImports, run by an embedded worker (api-28.1, api-28.4, api-28.13)."""

import threading
import time

import pytest

from tests import fixtures as fx
from tests.api_test_server import IMAGE_API
from tests.integration.api.stream_import_requests import (
    body_of,
    do_import,
    history,
    image,
    imported,
    spec_tag,
    stream_of,
    until,
)
from tests.integration.api.tenant import causes, tag_from
from tests.integration.imports.image_content import layer, oci, push_index

CHECKED = "openshift.io/image.dockerRepositoryCheck"
TAGS = ("v1", "v2", "v3", "v1.0", "v1.1", "latest", "abc")


@pytest.fixture
def source_registry(fake):
    """A registry with the repository `team/app`; `digests` maps each tag to its digest."""
    fake.digests = {}
    for size, tag in enumerate(TAGS, start=1000):
        manifest = oci(fx.CFG_A, layer(size=size))
        pushed = fake.push("team/app", tag=tag, manifest=manifest, config=fx.CFG_A)
        fake.digests[tag] = pushed
    fake.digests["multi"] = push_index(fake, "team/app", tag="multi")
    fake.app = f"{fake.host}/team/app"
    return fake


@pytest.mark.case("api 198")
def test_import_creates_stream_with_image(worker_tenant, source_registry):
    found = imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamImport", "image.openshift.io/v1")
    assert found["metadata"]["name"] == "app"
    assert found["metadata"]["namespace"] == worker_tenant.ns
    assert found["metadata"]["uid"]
    assert found["metadata"]["creationTimestamp"]
    [status] = found["status"]["images"]
    assert status["status"] == {"metadata": {}, "status": "Success"}
    assert status["tag"] == "v1"
    assert status["image"]["metadata"]["name"] == source_registry.digests["v1"]
    assert status["image"]["dockerImageMetadata"]["Architecture"] == "amd64"
    assert (
        status["image"]["dockerImageReference"]
        == f"{source_registry.app}@{source_registry.digests['v1']}"
    )
    assert "dockerImageManifest" not in status["image"]
    stream = found["status"]["import"]
    assert not {"kind", "apiVersion"} & stream.keys()
    assert stream["metadata"]["generation"] == 1
    assert stream["metadata"]["annotations"][CHECKED]
    [tag] = stream["spec"]["tags"]
    assert (tag["name"], tag["from"]["name"]) == ("one", f"{source_registry.app}:v1")
    assert tag["generation"] == 1
    stored = stream_of(worker_tenant)
    assert {key: stored[key] for key in ("metadata", "spec", "status")} == stream
    stored_image = worker_tenant.admin.get(f"{IMAGE_API}/images/{source_registry.digests['v1']}")
    assert stored_image.status_code == 200
    shown = worker_tenant.get("imagestreamtags", "app:one").json()
    assert shown["image"]["metadata"]["name"] == source_registry.digests["v1"]


@pytest.mark.case("api 199")
def test_import_of_unchanged_image_changes_nothing(worker_tenant, source_registry):
    imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    before = stream_of(worker_tenant)
    again = imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    assert again["status"]["import"]["metadata"] == before["metadata"]
    assert stream_of(worker_tenant) == before


@pytest.mark.case("api 200")
def test_import_of_other_image_prepends_event(worker_tenant, source_registry):
    imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    imported(worker_tenant, image(f"{source_registry.app}:v3", "one"))
    stream = stream_of(worker_tenant)
    items = history(stream, "one")["items"]
    assert [each["image"] for each in items] == [
        source_registry.digests["v3"],
        source_registry.digests["v1"],
    ]
    tag = spec_tag(stream, "one")
    assert tag["from"]["name"] == f"{source_registry.app}:v3"
    assert tag["generation"] == stream["metadata"]["generation"] == 2
    assert items[0]["generation"] == 2


@pytest.mark.case("api 201", "api 202")
def test_import_of_missing_tag_records_condition_until_success(worker_tenant, source_registry):
    found = imported(worker_tenant, image(f"{source_registry.app}:nope", "one"))
    [status] = found["status"]["images"]
    assert status["status"]["status"] == "Failure"
    assert (status["status"]["code"], status["status"]["reason"]) == (404, "NotFound")
    assert "image" not in status
    stream = stream_of(worker_tenant)
    failed = history(stream, "one")
    assert failed["items"] is None
    [condition] = failed["conditions"]
    assert (condition["type"], condition["status"]) == ("ImportSuccess", "False")
    assert condition["reason"] == "NotFound"
    assert condition["message"] == status["status"]["message"]
    assert spec_tag(stream, "one")["from"]["name"] == f"{source_registry.app}:nope"
    imported(worker_tenant, image(f"{source_registry.app}:nope", "one"))
    assert stream_of(worker_tenant) == stream
    imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    recovered = history(stream_of(worker_tenant), "one")
    assert [each["image"] for each in recovered["items"]] == [source_registry.digests["v1"]]
    assert "conditions" not in recovered


@pytest.mark.case("api 203")
def test_import_false_stores_nothing(worker_tenant, source_registry):
    found = imported(
        worker_tenant,
        image(f"{source_registry.app}:v1", "one"),
        image(f"{source_registry.app}:v2", "two", includeManifest=True),
        do=False,
    )
    assert "import" not in found["status"]
    plain, whole = [each["image"] for each in found["status"]["images"]]
    assert plain["metadata"]["name"] == source_registry.digests["v1"]
    assert not {"uid", "creationTimestamp"} & {k for k, v in plain["metadata"].items() if v}
    assert "dockerImageManifest" not in plain
    assert whole["dockerImageManifest"].startswith("{")
    assert worker_tenant.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 204")
def test_import_without_target_takes_tag_of_source(worker_tenant, source_registry):
    found = imported(worker_tenant, image(f"{source_registry.app}:v2"), image(source_registry.app))
    first, second = found["status"]["images"]
    assert found["spec"]["images"][0]["to"] == {"name": "v2"}
    assert first["tag"] == "v2"
    assert second["tag"] == "latest"
    assert second["image"]["metadata"]["name"] == source_registry.digests["latest"]
    stream = stream_of(worker_tenant)
    assert [each["name"] for each in stream["spec"]["tags"]] == ["v2"]


@pytest.mark.case("api 205")
def test_import_mode_selects_child_or_preserves_index(worker_tenant, source_registry):
    legacy = {"importPolicy": {"importMode": "Legacy"}}
    whole = {"importPolicy": {"importMode": "PreserveOriginal"}}
    found = imported(
        worker_tenant,
        image(f"{source_registry.app}:multi", "one", **legacy),
        image(f"{source_registry.app}:multi", "all", **whole),
    )
    one, whole_image = found["status"]["images"]
    assert one["image"]["metadata"]["name"] == fx.digest_of(fx.OCI_BARE)
    assert "manifests" not in one
    assert "dockerImageManifests" not in one["image"]
    assert whole_image["image"]["metadata"]["name"] == source_registry.digests["multi"]
    children = [each["metadata"]["name"] for each in whole_image["manifests"]]
    assert set(children) >= {fx.digest_of(fx.OCI_BARE), fx.digest_of(fx.OCI_ARM)}
    for digest in (source_registry.digests["multi"], *children):
        assert worker_tenant.admin.get(f"{IMAGE_API}/images/{digest}").status_code == 200


@pytest.mark.case("api 206")
def test_repository_import_takes_tags_by_priority(worker_tenant, source_registry):
    found = imported(worker_tenant, repository=source_registry.app)
    status = found["status"]["repository"]
    assert status["status"]["status"] == "Success"
    imported_tags = [each["tag"] for each in status["images"]]
    assert imported_tags == ["latest", "v1.1", "v1.0", "abc", "multi"]
    assert status["additionalTags"] == ["v1", "v2", "v3"]
    stream = stream_of(worker_tenant)
    assert sorted(each["name"] for each in stream["spec"]["tags"]) == sorted(imported_tags)
    assert spec_tag(stream, "abc")["from"]["name"] == f"{source_registry.app}:abc"


@pytest.mark.case("api 207")
@pytest.mark.parametrize(
    ("images", "repository", "field", "text"),
    [
        (
            [{"from": {"kind": "ImageStreamTag", "name": "a:b"}}],
            None,
            "spec.images[0].from.kind",
            'Invalid value: "ImageStreamTag": only DockerImage is supported',
        ),
        ([image("")], None, "spec.images[0].from.name", "Required value"),
        ([image("a:b:c:d")], None, "spec.images[0].from.name", "Invalid value: "),
        (
            [image("a/b:c", "")],
            None,
            "spec.images[0].to.name",
            'Invalid value: "": the name of the target tag must be specified',
        ),
        (
            [image("a/b:c", importPolicy={"importMode": "Some"})],
            None,
            "spec.images[0].importPolicy.importMode",
            "Invalid value: \"Some\": invalid import mode, valid modes are '', 'Legacy', 'Preserve",
        ),
        (
            [],
            None,
            "spec.images",
            "Invalid value: null: you must specify at least one image or a repository import",
        ),
        (
            [],
            "",
            "spec.repository.from.name",
            "Required value: container image references require a name",
        ),
        (
            [],
            "a/b:c",
            "spec.repository.from.name",
            'Invalid value: "a/b:c": you must specify an image repository, not a tag or ID',
        ),
    ],
)
def test_import_of_invalid_request_is_422(tenant, images, repository, field, text):
    response = do_import(tenant, *images, repository=repository)
    assert response.status_code == 422
    assert causes(response)[field].startswith(text)
    assert response.json()["details"]["kind"] == "ImageStreamImport"


@pytest.mark.case("api 207")
@pytest.mark.parametrize("metadata", [{}, {"generateName": "x-"}, {"name": "Bad_Name"}])
def test_import_requires_valid_stream_name(tenant, metadata):
    body = body_of(image("a/b:c"))
    body["metadata"] = metadata
    response = tenant.post("imagestreamimports", body)
    assert response.status_code == 422
    assert "metadata.name" in causes(response)


@pytest.mark.case("api 208")
def test_import_with_stale_resource_version_is_conflict(worker_tenant, source_registry):
    stream = worker_tenant.stream("app")
    stale = do_import(worker_tenant, image(f"{source_registry.app}:v1", "one"), resourceVersion="1")
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    version = stream["metadata"]["resourceVersion"]
    assert stale.json()["message"] == (
        'Operation cannot be fulfilled on imagestream.image.openshift.io "app": the image stream '
        f'was updated from "1" to "{version}"'
    )
    missing = do_import(
        worker_tenant, image(f"{source_registry.app}:v1"), name="none", resourceVersion="5"
    )
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
    imported(worker_tenant, image(f"{source_registry.app}:v1", "one"), resourceVersion=version)


def test_import_ignores_uid_of_client(worker_tenant, source_registry):
    worker_tenant.stream("app")
    found = imported(
        worker_tenant, image(f"{source_registry.app}:v1", "one"), uid="of-another-object"
    )
    assert found["metadata"]["uid"] != "of-another-object"


@pytest.mark.case("api 209")
def test_import_dry_run_stores_nothing(worker_tenant, source_registry):
    found = imported(
        worker_tenant, image(f"{source_registry.app}:v1", "one"), params={"dryRun": "All"}
    )
    [status] = found["status"]["images"]
    assert status["status"]["status"] == "Success"
    assert found["status"]["import"]["spec"]["tags"][0]["name"] == "one"
    assert worker_tenant.get("imagestreams", "app").status_code == 404
    worker_tenant.stream("app")
    before = stream_of(worker_tenant)
    imported(worker_tenant, image(f"{source_registry.app}:v1", "one"), params={"dryRun": "All"})
    assert stream_of(worker_tenant) == before


def test_import_into_missing_namespace_is_not_found(worker_tenant, source_registry):
    path = worker_tenant.path("imagestreamimports", ns="nowhere")
    response = worker_tenant.admin.post(path, json=body_of(image(f"{source_registry.app}:v1")))
    assert response.status_code == 404
    assert response.json()["message"] == 'namespaces "nowhere" not found'
    assert source_registry.requests == []


def test_import_with_other_namespace_in_body_is_bad_request(worker_tenant):
    response = do_import(worker_tenant, image("a/b:c"), namespace=worker_tenant.other)
    assert response.status_code == 400


# -- time --


def jobs_path(tenant, name=""):
    path = f"/apis/sync.tagstream.io/v1/namespaces/{tenant.ns}/importjobs"
    return f"{path}/{name}" if name else path


def test_import_beyond_timeout_continues_as_job(worker_tenant, source_registry):
    source_registry.delay(3, "/team/app/manifests/v1")
    response = do_import(
        worker_tenant, image(f"{source_registry.app}:v1", "one"), params={"timeout": "1s"}
    )
    body = response.json()
    assert (response.status_code, body["reason"]) == (504, "Timeout")
    assert body["message"].startswith("Timeout: ")
    [job] = worker_tenant.admin.get(jobs_path(worker_tenant)).json()["items"]
    assert job["metadata"]["name"] in body["message"]
    assert worker_tenant.get("imagestreams", "app").status_code == 404
    until(lambda: worker_tenant.get("imagestreams", "app").status_code == 200)
    done = worker_tenant.admin.get(jobs_path(worker_tenant, job["metadata"]["name"])).json()
    assert done["status"]["state"] in {"Running", "Succeeded"}


def test_import_with_respond_async_returns_job(worker_tenant, source_registry):
    response = do_import(
        worker_tenant,
        image(f"{source_registry.app}:v1", "one"),
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    job = response.json()
    assert (job["kind"], job["apiVersion"]) == ("ImportJob", "sync.tagstream.io/v1")
    path = response.headers["Location"]
    assert path == jobs_path(worker_tenant, job["metadata"]["name"])
    done = until(lambda: _final(worker_tenant, path))
    assert done["status"]["state"] == "Succeeded"
    assert history(stream_of(worker_tenant), "one")["items"]


def _final(tenant, path):
    job = tenant.admin.get(path).json()
    return job if job["status"]["state"] in {"Succeeded", "Failed", "Cancelled"} else None


def test_concurrent_imports_all_succeed(worker_tenant, source_registry):
    responses = []

    def one(tag):
        responses.append(do_import(worker_tenant, image(f"{source_registry.app}:{tag}", tag)))

    threads = [threading.Thread(target=one, args=(tag,)) for tag in TAGS]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.status_code for each in responses] == [201] * len(TAGS)
    stream = stream_of(worker_tenant)
    found = {each["tag"]: each["items"][0]["image"] for each in stream["status"]["tags"]}
    assert found == {tag: source_registry.digests[tag] for tag in TAGS}


def test_import_job_pages_are_of_one_snapshot(worker_tenant, source_registry):
    for tag in ("v1", "v2", "v3"):
        imported(worker_tenant, image(f"{source_registry.app}:{tag}", tag))
    path = jobs_path(worker_tenant)
    whole = worker_tenant.admin.get(path).json()["items"]
    first = worker_tenant.admin.get(path, params={"limit": 1}).json()
    assert first["metadata"]["remainingItemCount"] == 2
    imported(worker_tenant, image(f"{source_registry.app}:v1", "v1"))
    token = first["metadata"]["continue"]
    rest = worker_tenant.admin.get(path, params={"continue": token}).json()
    assert first["items"] + rest["items"] == whole


def test_import_into_deleted_namespace_does_not_recreate_it(worker_tenant, source_registry):
    source_registry.delay(1, "/team/app/manifests/v1")
    headers = {"Prefer": "respond-async"}
    response = do_import(worker_tenant, image(f"{source_registry.app}:v1", "one"), headers=headers)
    assert response.status_code == 202
    until(lambda: source_registry.requests)
    assert worker_tenant.admin.delete(f"/api/v1/namespaces/{worker_tenant.ns}").status_code == 200
    time.sleep(2)  # longer than the delay of the registry
    assert worker_tenant.get("imagestreams", "app").status_code == 404
    assert worker_tenant.admin.get(f"/api/v1/namespaces/{worker_tenant.ns}").status_code == 404


def test_import_returns_status_when_its_job_is_cancelled(worker_tenant, source_registry):
    """The job is deleted while its requester waits."""
    source_registry.stall("/team/app/manifests/v1")
    responses = []

    def send_request():
        responses.append(do_import(worker_tenant, image(f"{source_registry.app}:v1", "one")))

    request_thread = threading.Thread(target=send_request)
    request_thread.start()
    until(lambda: any("manifests/v1" in line for line in source_registry.requests))
    [job] = worker_tenant.admin.get(jobs_path(worker_tenant)).json()["items"]
    deleted = worker_tenant.admin.delete(jobs_path(worker_tenant, job["metadata"]["name"]))
    assert deleted.status_code == 200
    request_thread.join(20)
    [response] = responses
    assert response.status_code >= 400
    assert response.json()["kind"] == "Status"
    assert "cancel" in response.json()["message"].lower()
    assert worker_tenant.get("imagestreams", "app").status_code == 404


# -- imports that a spec makes due --


def wait_for_image(tenant, tag, digest):
    def holds():
        stream = stream_of(tenant)
        tags = {each["tag"]: each for each in stream["status"].get("tags", [])}
        items = tags.get(tag, {}).get("items") or [{}]
        return stream if items[0].get("image") == digest else None

    return until(holds)


def test_new_spec_tag_is_imported_automatically(worker_tenant, source_registry):
    worker_tenant.stream("app", tag_from("one", f"{source_registry.app}:v1"))
    stream = wait_for_image(worker_tenant, "one", source_registry.digests["v1"])
    assert stream["metadata"]["annotations"][CHECKED]
    assert spec_tag(stream, "one")["generation"] == history(stream, "one")["items"][0]["generation"]


def test_changed_spec_tag_is_imported_automatically(worker_tenant, source_registry):
    worker_tenant.stream("app", tag_from("one", f"{source_registry.app}:v1"))
    stream = wait_for_image(worker_tenant, "one", source_registry.digests["v1"])
    stream["spec"]["tags"][0]["from"]["name"] = f"{source_registry.app}:v2"
    assert worker_tenant.put("imagestreams", "app", stream).status_code == 200
    stream = wait_for_image(worker_tenant, "one", source_registry.digests["v2"])
    assert len(history(stream, "one")["items"]) == 2
    patch = {"spec": {"tags": [tag_from("two", f"{source_registry.app}:v3")]}}
    assert worker_tenant.patch("imagestreams", "app", patch, "strategic").status_code == 200
    wait_for_image(worker_tenant, "two", source_registry.digests["v3"])


def test_put_istag_is_imported_automatically(worker_tenant, source_registry):
    body = {"metadata": {"name": "app:one"}, "tag": tag_from("one", f"{source_registry.app}:v1")}
    assert worker_tenant.put("imagestreamtags", "app:one", body).status_code == 201
    wait_for_image(worker_tenant, "one", source_registry.digests["v1"])


def test_spec_repository_is_imported_automatically(worker_tenant, source_registry):
    worker_tenant.stream("app", dockerImageRepository=source_registry.app)
    wait_for_image(worker_tenant, "latest", source_registry.digests["latest"])


def test_reference_tag_is_not_imported(worker_tenant, source_registry):
    worker_tenant.stream("app", tag_from("one", f"{source_registry.app}:v1", reference=True))
    worker_tenant.stream("other", tag_from("two", f"{source_registry.app}:v2"))
    until(lambda: stream_of(worker_tenant, "other")["status"].get("tags"))
    assert not any("manifests/v1" in line for line in source_registry.requests)


def test_dry_run_of_stream_creates_no_import_job(worker_tenant, source_registry):
    body = {
        "metadata": {"name": "app"},
        "spec": {"tags": [tag_from("one", f"{source_registry.app}:v1")]},
    }
    response = worker_tenant.post("imagestreams", body, params={"dryRun": "All"})
    assert response.status_code == 201
    assert worker_tenant.admin.get(jobs_path(worker_tenant)).json()["items"] == []


# -- permissions and pull secrets --


def test_import_of_editor_uses_pull_secrets_of_namespace(worker_tenant, source_registry):
    source_registry.require_basic("robot", "hunter2")
    auth = {"auths": {source_registry.host: {"username": "robot", "password": "hunter2"}}}
    secret = {
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": fx.compact(auth).decode()},
    }
    path = f"/api/v1/namespaces/{worker_tenant.ns}/secrets"
    refused = imported(worker_tenant, image(f"{source_registry.app}:v1", "one"))
    assert refused["status"]["images"][0]["status"]["reason"] == "Unauthorized"
    assert worker_tenant.admin.post(path, json=secret).status_code == 201
    editor = worker_tenant.user(("edit", worker_tenant.ns))
    found = imported(worker_tenant, image(f"{source_registry.app}:v1", "one"), client=editor)
    assert found["status"]["images"][0]["status"]["status"] == "Success"
    viewer = worker_tenant.user(("view", worker_tenant.ns), name=f"{worker_tenant.user_name}-v")
    denied = do_import(worker_tenant, image(f"{source_registry.app}:v1", "one"), client=viewer)
    assert denied.status_code == 403
