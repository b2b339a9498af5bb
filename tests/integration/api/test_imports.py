"""POST of ImageStreamImports, carried out by a worker beside the server (B13): cases 198 to 209."""

import threading
import time

import pytest

from tests import fixtures as fx
from tests.apiserver import IMAGE_API
from tests.integration.api.rooms import tag_from
from tests.integration.api.test_streams_created import causes
from tests.integration.imports.wares import layer, oci, push_index

CHECKED = "openshift.io/image.dockerRepositoryCheck"
TAGS = ("v1", "v2", "v3", "v1.0", "v1.1", "latest", "abc")


@pytest.fixture
def shop(fake):
    """A registry with the repository `team/app`; `digests` says what each tag means."""
    fake.digests = {}
    for size, tag in enumerate(TAGS, start=1000):
        manifest = oci(fx.CFG_A, layer(size=size))
        pushed = fake.push("team/app", tag=tag, manifest=manifest, config=fx.CFG_A)
        fake.digests[tag] = pushed
    fake.digests["multi"] = push_index(fake, "team/app", tag="multi")
    fake.app = f"{fake.host}/team/app"
    return fake


def image(name, to=None, **more):
    target = {"to": {"name": to}} if to is not None else {}
    return {"from": {"kind": "DockerImage", "name": name}, **target, **more}


def body_of(*images, name="app", do=True, repository=None, **metadata):
    spec = {"import": do}
    if images:
        spec["images"] = list(images)
    if repository is not None:
        spec["repository"] = {"from": {"kind": "DockerImage", "name": repository}}
    return {
        "kind": "ImageStreamImport",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": name, **metadata},
        "spec": spec,
        "status": {},
    }


def do_import(room, *images, client=None, params=None, headers=None, **more):
    return (client or room.admin).post(
        room.path("imagestreamimports"),
        json=body_of(*images, **more),
        params=params,
        headers=headers,
    )


def imported(room, *images, **more):
    """The answer of an import that went through."""
    answer = do_import(room, *images, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()


def stream_of(room, name="app"):
    answer = room.get("imagestreams", name)
    assert answer.status_code == 200, answer.text
    return answer.json()


def history(stream, tag):
    return next(each for each in stream["status"]["tags"] if each["tag"] == tag)


def wish(stream, tag):
    return next(each for each in stream["spec"]["tags"] if each["name"] == tag)


def until(holds, *, within=20.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


@pytest.mark.case("api 198")
def test_an_image_is_imported_into_a_new_stream(workroom, shop):
    found = imported(workroom, image(f"{shop.app}:v1", "one"))
    assert (found["kind"], found["apiVersion"]) == ("ImageStreamImport", "image.openshift.io/v1")
    assert found["metadata"]["name"] == "app"
    assert found["metadata"]["namespace"] == workroom.ns
    assert found["metadata"]["uid"]
    assert found["metadata"]["creationTimestamp"]
    [status] = found["status"]["images"]
    assert status["status"] == {"metadata": {}, "status": "Success"}
    assert status["tag"] == "v1"
    assert status["image"]["metadata"]["name"] == shop.digests["v1"]
    assert status["image"]["dockerImageMetadata"]["Architecture"] == "amd64"
    assert status["image"]["dockerImageReference"] == f"{shop.app}@{shop.digests['v1']}"
    assert "dockerImageManifest" not in status["image"]
    stream = found["status"]["import"]
    assert not {"kind", "apiVersion"} & stream.keys()
    assert stream["metadata"]["generation"] == 1
    assert stream["metadata"]["annotations"][CHECKED]
    [tag] = stream["spec"]["tags"]
    assert (tag["name"], tag["from"]["name"]) == ("one", f"{shop.app}:v1")
    assert tag["generation"] == 1
    stored = stream_of(workroom)
    assert {key: stored[key] for key in ("metadata", "spec", "status")} == stream
    kept = workroom.admin.get(f"{IMAGE_API}/images/{shop.digests['v1']}")
    assert kept.status_code == 200
    shown = workroom.get("imagestreamtags", "app:one").json()
    assert shown["image"]["metadata"]["name"] == shop.digests["v1"]


@pytest.mark.case("api 199")
def test_the_same_again_changes_nothing(workroom, shop):
    imported(workroom, image(f"{shop.app}:v1", "one"))
    before = stream_of(workroom)
    again = imported(workroom, image(f"{shop.app}:v1", "one"))
    assert again["status"]["import"]["metadata"] == before["metadata"]
    assert stream_of(workroom) == before


@pytest.mark.case("api 200")
def test_another_image_on_the_tag_makes_a_history(workroom, shop):
    imported(workroom, image(f"{shop.app}:v1", "one"))
    imported(workroom, image(f"{shop.app}:v3", "one"))
    stream = stream_of(workroom)
    items = history(stream, "one")["items"]
    assert [each["image"] for each in items] == [shop.digests["v3"], shop.digests["v1"]]
    tag = wish(stream, "one")
    assert tag["from"]["name"] == f"{shop.app}:v3"
    assert tag["generation"] == stream["metadata"]["generation"] == 2
    assert items[0]["generation"] == 2


@pytest.mark.case("api 201", "api 202")
def test_a_tag_that_is_not_there_leaves_a_condition_until_it_is(workroom, shop):
    found = imported(workroom, image(f"{shop.app}:nope", "one"))
    [status] = found["status"]["images"]
    assert status["status"]["status"] == "Failure"
    assert (status["status"]["code"], status["status"]["reason"]) == (404, "NotFound")
    assert "image" not in status
    stream = stream_of(workroom)
    failed = history(stream, "one")
    assert failed["items"] is None
    [condition] = failed["conditions"]
    assert (condition["type"], condition["status"]) == ("ImportSuccess", "False")
    assert condition["reason"] == "NotFound"
    assert condition["message"] == status["status"]["message"]
    assert wish(stream, "one")["from"]["name"] == f"{shop.app}:nope"
    imported(workroom, image(f"{shop.app}:nope", "one"))
    assert stream_of(workroom) == stream
    imported(workroom, image(f"{shop.app}:v1", "one"))
    healed = history(stream_of(workroom), "one")
    assert [each["image"] for each in healed["items"]] == [shop.digests["v1"]]
    assert "conditions" not in healed


@pytest.mark.case("api 203")
def test_a_look_stores_nothing(workroom, shop):
    found = imported(
        workroom,
        image(f"{shop.app}:v1", "one"),
        image(f"{shop.app}:v2", "two", includeManifest=True),
        do=False,
    )
    assert "import" not in found["status"]
    plain, whole = [each["image"] for each in found["status"]["images"]]
    assert plain["metadata"]["name"] == shop.digests["v1"]
    assert not {"uid", "creationTimestamp"} & {k for k, v in plain["metadata"].items() if v}
    assert "dockerImageManifest" not in plain
    assert whole["dockerImageManifest"].startswith("{")
    assert workroom.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 204")
def test_a_tag_that_nobody_named_is_that_of_the_image(workroom, shop):
    found = imported(workroom, image(f"{shop.app}:v2"), image(shop.app))
    first, second = found["status"]["images"]
    assert found["spec"]["images"][0]["to"] == {"name": "v2"}
    assert first["tag"] == "v2"
    assert second["tag"] == "latest"
    assert second["image"]["metadata"]["name"] == shop.digests["latest"]
    stream = stream_of(workroom)
    assert [each["name"] for each in stream["spec"]["tags"]] == ["v2"]


@pytest.mark.case("api 205")
def test_an_index_is_one_image_or_stays_whole(workroom, shop):
    legacy = {"importPolicy": {"importMode": "Legacy"}}
    whole = {"importPolicy": {"importMode": "PreserveOriginal"}}
    found = imported(
        workroom,
        image(f"{shop.app}:multi", "one", **legacy),
        image(f"{shop.app}:multi", "all", **whole),
    )
    one, every = found["status"]["images"]
    assert one["image"]["metadata"]["name"] == fx.digest_of(fx.OCI_BARE)
    assert "manifests" not in one
    assert "dockerImageManifests" not in one["image"]
    assert every["image"]["metadata"]["name"] == shop.digests["multi"]
    children = [each["metadata"]["name"] for each in every["manifests"]]
    assert set(children) >= {fx.digest_of(fx.OCI_BARE), fx.digest_of(fx.OCI_ARM)}
    for digest in (shop.digests["multi"], *children):
        assert workroom.admin.get(f"{IMAGE_API}/images/{digest}").status_code == 200


@pytest.mark.case("api 206")
def test_of_a_repository_the_most_important_tags_are_taken(workroom, shop):
    found = imported(workroom, repository=shop.app)
    status = found["status"]["repository"]
    assert status["status"]["status"] == "Success"
    taken = [each["tag"] for each in status["images"]]
    assert taken == ["latest", "v1.1", "v1.0", "abc", "multi"]
    assert status["additionalTags"] == ["v1", "v2", "v3"]
    stream = stream_of(workroom)
    assert sorted(each["name"] for each in stream["spec"]["tags"]) == sorted(taken)
    assert wish(stream, "abc")["from"]["name"] == f"{shop.app}:abc"


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
def test_a_request_that_makes_no_sense_is_invalid(room, images, repository, field, text):
    answer = do_import(room, *images, repository=repository)
    assert answer.status_code == 422
    assert causes(answer)[field].startswith(text)
    assert answer.json()["details"]["kind"] == "ImageStreamImport"


@pytest.mark.case("api 207")
@pytest.mark.parametrize("metadata", [{}, {"generateName": "x-"}, {"name": "Bad_Name"}])
def test_a_request_needs_the_name_of_a_stream(room, metadata):
    body = body_of(image("a/b:c"))
    body["metadata"] = metadata
    answer = room.post("imagestreamimports", body)
    assert answer.status_code == 422
    assert "metadata.name" in causes(answer)


@pytest.mark.case("api 208")
def test_a_request_about_another_state_is_refused(workroom, shop):
    stream = workroom.stream("app")
    stale = do_import(workroom, image(f"{shop.app}:v1", "one"), resourceVersion="1")
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    version = stream["metadata"]["resourceVersion"]
    assert stale.json()["message"] == (
        'Operation cannot be fulfilled on imagestream.image.openshift.io "app": the image stream '
        f'was updated from "1" to "{version}"'
    )
    missing = do_import(workroom, image(f"{shop.app}:v1"), name="none", resourceVersion="5")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
    imported(workroom, image(f"{shop.app}:v1", "one"), resourceVersion=version)


def test_a_uid_is_wiped(workroom, shop):
    workroom.stream("app")
    found = imported(workroom, image(f"{shop.app}:v1", "one"), uid="of-somebody-else")
    assert found["metadata"]["uid"] != "of-somebody-else"


@pytest.mark.case("api 209")
def test_a_trial_stores_nothing(workroom, shop):
    found = imported(workroom, image(f"{shop.app}:v1", "one"), params={"dryRun": "All"})
    [status] = found["status"]["images"]
    assert status["status"]["status"] == "Success"
    assert found["status"]["import"]["spec"]["tags"][0]["name"] == "one"
    assert workroom.get("imagestreams", "app").status_code == 404
    workroom.stream("app")
    before = stream_of(workroom)
    imported(workroom, image(f"{shop.app}:v1", "one"), params={"dryRun": "All"})
    assert stream_of(workroom) == before


def test_nothing_is_imported_into_a_namespace_that_is_not_there(workroom, shop):
    path = workroom.path("imagestreamimports", ns="nowhere")
    answer = workroom.admin.post(path, json=body_of(image(f"{shop.app}:v1")))
    assert answer.status_code == 404
    assert answer.json()["message"] == 'namespaces "nowhere" not found'
    assert shop.requests == []


def test_another_namespace_in_the_body_is_a_bad_request(workroom):
    answer = do_import(workroom, image("a/b:c"), namespace=workroom.other)
    assert answer.status_code == 400


# -- time --


def jobs_path(room, name=""):
    path = f"/apis/sync.tagstream.io/v1/namespaces/{room.ns}/importjobs"
    return f"{path}/{name}" if name else path


def test_an_import_that_takes_too_long_goes_on_as_a_job(workroom, shop):
    shop.delay(3, "/team/app/manifests/v1")
    answer = do_import(workroom, image(f"{shop.app}:v1", "one"), params={"timeout": "1s"})
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (504, "Timeout")
    assert body["message"].startswith("Timeout: ")
    [job] = workroom.admin.get(jobs_path(workroom)).json()["items"]
    assert job["metadata"]["name"] in body["message"]
    assert workroom.get("imagestreams", "app").status_code == 404
    until(lambda: workroom.get("imagestreams", "app").status_code == 200)
    done = workroom.admin.get(jobs_path(workroom, job["metadata"]["name"])).json()
    assert done["status"]["state"] in {"Running", "Succeeded"}


def test_whoever_does_not_want_to_wait_gets_the_job(workroom, shop):
    answer = do_import(
        workroom, image(f"{shop.app}:v1", "one"), headers={"Prefer": "respond-async"}
    )
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    job = answer.json()
    assert (job["kind"], job["apiVersion"]) == ("ImportJob", "sync.tagstream.io/v1")
    path = answer.headers["Location"]
    assert path == jobs_path(workroom, job["metadata"]["name"])
    done = until(lambda: _final(workroom, path))
    assert done["status"]["state"] == "Succeeded"
    assert history(stream_of(workroom), "one")["items"]


def _final(room, path):
    job = room.admin.get(path).json()
    return job if job["status"]["state"] in {"Succeeded", "Failed", "Cancelled"} else None


def test_many_imports_at_once_are_all_answered(workroom, shop):
    answers = []

    def one(tag):
        answers.append(do_import(workroom, image(f"{shop.app}:{tag}", tag)))

    threads = [threading.Thread(target=one, args=(tag,)) for tag in TAGS]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.status_code for each in answers] == [201] * len(TAGS)
    stream = stream_of(workroom)
    found = {each["tag"]: each["items"][0]["image"] for each in stream["status"]["tags"]}
    assert found == {tag: shop.digests[tag] for tag in TAGS}


def test_pages_of_jobs_are_of_one_moment(workroom, shop):
    for tag in ("v1", "v2", "v3"):
        imported(workroom, image(f"{shop.app}:{tag}", tag))
    path = jobs_path(workroom)
    whole = workroom.admin.get(path).json()["items"]
    first = workroom.admin.get(path, params={"limit": 1}).json()
    assert first["metadata"]["remainingItemCount"] == 2
    imported(workroom, image(f"{shop.app}:v1", "v1"))
    token = first["metadata"]["continue"]
    rest = workroom.admin.get(path, params={"continue": token}).json()
    assert first["items"] + rest["items"] == whole


def test_a_namespace_that_goes_while_it_is_imported_into_stays_gone(workroom, shop):
    shop.delay(1, "/team/app/manifests/v1")
    headers = {"Prefer": "respond-async"}
    answer = do_import(workroom, image(f"{shop.app}:v1", "one"), headers=headers)
    assert answer.status_code == 202
    until(lambda: shop.requests)
    assert workroom.admin.delete(f"/api/v1/namespaces/{workroom.ns}").status_code == 200
    time.sleep(2)  # longer than the registry takes
    assert workroom.get("imagestreams", "app").status_code == 404
    assert workroom.admin.get(f"/api/v1/namespaces/{workroom.ns}").status_code == 404


def test_a_job_that_is_cancelled_is_an_answer_too(workroom, shop):
    """Somebody deletes the job while its author waits."""
    shop.stall("/team/app/manifests/v1")
    answers = []

    def ask():
        answers.append(do_import(workroom, image(f"{shop.app}:v1", "one")))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: any("manifests/v1" in line for line in shop.requests))
    [job] = workroom.admin.get(jobs_path(workroom)).json()["items"]
    gone = workroom.admin.delete(jobs_path(workroom, job["metadata"]["name"]))
    assert gone.status_code == 200
    asking.join(20)
    [answer] = answers
    assert answer.status_code >= 400
    assert answer.json()["kind"] == "Status"
    assert "cancel" in answer.json()["message"].lower()
    assert workroom.get("imagestreams", "app").status_code == 404


# -- imports that the spec asks for --


def arrived(room, tag, digest):
    def holds():
        stream = stream_of(room)
        tags = {each["tag"]: each for each in stream["status"].get("tags", [])}
        items = tags.get(tag, {}).get("items") or [{}]
        return stream if items[0].get("image") == digest else None

    return until(holds)


def test_a_tag_of_a_new_stream_is_imported_by_itself(workroom, shop):
    workroom.stream("app", tag_from("one", f"{shop.app}:v1"))
    stream = arrived(workroom, "one", shop.digests["v1"])
    assert stream["metadata"]["annotations"][CHECKED]
    assert wish(stream, "one")["generation"] == history(stream, "one")["items"][0]["generation"]


def test_a_changed_tag_is_imported_by_itself(workroom, shop):
    workroom.stream("app", tag_from("one", f"{shop.app}:v1"))
    stream = arrived(workroom, "one", shop.digests["v1"])
    stream["spec"]["tags"][0]["from"]["name"] = f"{shop.app}:v2"
    assert workroom.put("imagestreams", "app", stream).status_code == 200
    stream = arrived(workroom, "one", shop.digests["v2"])
    assert len(history(stream, "one")["items"]) == 2
    patch = {"spec": {"tags": [tag_from("two", f"{shop.app}:v3")]}}
    assert workroom.patch("imagestreams", "app", patch, "strategic").status_code == 200
    arrived(workroom, "two", shop.digests["v3"])


def test_a_tag_put_by_itself_is_imported(workroom, shop):
    body = {"metadata": {"name": "app:one"}, "tag": tag_from("one", f"{shop.app}:v1")}
    assert workroom.put("imagestreamtags", "app:one", body).status_code == 201
    arrived(workroom, "one", shop.digests["v1"])


def test_a_whole_repository_is_imported_by_itself(workroom, shop):
    workroom.stream("app", dockerImageRepository=shop.app)
    arrived(workroom, "latest", shop.digests["latest"])


def test_a_reference_is_not_imported(workroom, shop):
    workroom.stream("app", tag_from("one", f"{shop.app}:v1", reference=True))
    workroom.stream("other", tag_from("two", f"{shop.app}:v2"))
    until(lambda: stream_of(workroom, "other")["status"].get("tags"))
    assert not any("manifests/v1" in line for line in shop.requests)


def test_a_trial_of_a_spec_imports_nothing(workroom, shop):
    body = {"metadata": {"name": "app"}, "spec": {"tags": [tag_from("one", f"{shop.app}:v1")]}}
    answer = workroom.post("imagestreams", body, params={"dryRun": "All"})
    assert answer.status_code == 201
    assert workroom.admin.get(jobs_path(workroom)).json()["items"] == []


# -- who may, and with whose secrets --


def test_an_editor_imports_with_secrets_that_a_viewer_cannot_see(workroom, shop):
    shop.require_basic("robot", "hunter2")
    auth = {"auths": {shop.host: {"username": "robot", "password": "hunter2"}}}
    secret = {
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": fx.compact(auth).decode()},
    }
    path = f"/api/v1/namespaces/{workroom.ns}/secrets"
    refused = imported(workroom, image(f"{shop.app}:v1", "one"))
    assert refused["status"]["images"][0]["status"]["reason"] == "Unauthorized"
    assert workroom.admin.post(path, json=secret).status_code == 201
    editor = workroom.user(("edit", workroom.ns))
    found = imported(workroom, image(f"{shop.app}:v1", "one"), client=editor)
    assert found["status"]["images"][0]["status"]["status"] == "Success"
    viewer = workroom.user(("view", workroom.ns), name=f"{workroom.who}-v")
    denied = do_import(workroom, image(f"{shop.app}:v1", "one"), client=viewer)
    assert denied.status_code == 403
