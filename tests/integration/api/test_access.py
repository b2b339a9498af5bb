"""Who may do what, and import from where (`api.md` B15, D): cases 7 to 11, 210 to 212."""

import pytest

from models.config.settings import AllowedRegistry
from tests import fixtures as fx
from tests.apiserver import IMAGE_API, ApiWorld
from tests.integration.api.rooms import Room, follows, tag_from
from tests.integration.api.test_imports import body_of, image
from tests.integration.api.test_streams_created import causes

GROUP = "image.openshift.io"


def denied(answer):
    """The message and details of a 403."""
    body = answer.json()
    assert (answer.status_code, body["reason"], body["code"]) == (403, "Forbidden", 403)
    return body["message"], body["details"]


@pytest.mark.case("api 7")
@pytest.mark.parametrize(
    "path", ["/api", "/version", "/openapi/v3", "/foo", f"{IMAGE_API}/images", "/"]
)
@pytest.mark.parametrize("token", [None, "tgs_" + "x" * 43])
def test_strangers_are_told_nothing(world, path, token):
    answer = world.client(token).get(path)
    assert answer.status_code == 401
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


@pytest.mark.case("api 7")
def test_a_stranger_writes_nothing(room):
    stranger = room.world.client()
    assert stranger.get(room.path("imagestreams")).status_code == 401
    answer = stranger.post(room.path("imagestreams"), json={"metadata": {"name": "app"}})
    assert answer.status_code == 401
    assert room.get("imagestreams", "app").status_code == 404


@pytest.mark.case("api 8")
def test_nobody_lists_nothing(room):
    nobody = room.user()
    message, details = denied(nobody.get(room.path("imagestreams")))
    assert message == (
        f'imagestreams.image.openshift.io is forbidden: User "{room.who}" cannot list resource '
        f'"imagestreams" in API group "image.openshift.io" in the namespace "{room.ns}"'
    )
    assert details == {"group": GROUP, "kind": "imagestreams"}


@pytest.mark.case("api 9")
@pytest.mark.parametrize("name", ["l1", "none"])
def test_nobody_learns_what_exists(room, name):
    room.stream("l1")
    nobody = room.user()
    answer = nobody.put(room.path("imagestreams", f"{name}/status"), json={})
    message, details = denied(answer)
    assert message == (
        f'imagestreams.image.openshift.io "{name}" is forbidden: User "{room.who}" cannot update '
        'resource "imagestreams/status" in API group "image.openshift.io" in the namespace '
        f'"{room.ns}"'
    )
    assert details == {"name": name, "group": GROUP, "kind": "imagestreams"}


@pytest.mark.case("api 10")
def test_nobody_makes_images(room):
    message, _ = denied(room.user().post(f"{IMAGE_API}/images", json={}))
    assert message == (
        f'images.image.openshift.io is forbidden: User "{room.who}" cannot create resource '
        '"images" in API group "image.openshift.io" at the cluster scope'
    )


@pytest.mark.case("api 11")
def test_a_viewer_looks_and_does_not_touch(room):
    room.stream("app", tag_from("v1", "q/1"))
    viewer = room.user(("view", room.ns))
    assert viewer.get(room.path("imagestreams")).status_code == 200
    assert viewer.get(room.path("imagestreams", "app")).status_code == 200
    assert viewer.get(room.path("imagestreams", "app/status")).status_code == 200
    assert viewer.get(room.path("imagetags", "app:v1")).status_code == 200
    body = {"metadata": {"name": "x"}}
    for answer in (
        viewer.get(room.path("imagestreams", "app/layers")),
        viewer.get(room.path("imagestreams", "app/secrets")),
        viewer.get(f"/api/v1/namespaces/{room.ns}/secrets"),
        viewer.post(room.path("imagestreams"), json=body),
        viewer.post(room.path("imagestreamimports"), json=body),
        viewer.post(room.path("imagestreammappings"), json=body),
        viewer.put(room.path("imagestreams", "app"), json=body),
        viewer.delete(room.path("imagestreams", "app")),
        viewer.delete(room.path("imagestreams")),
        viewer.delete(room.path("imagestreamtags", "app:v1")),
    ):
        denied(answer)
    assert room.get("imagestreams", "app").status_code == 200


def test_a_secret_that_is_forbidden_has_no_group(room):
    message, details = denied(room.user().get(f"/api/v1/namespaces/{room.ns}/secrets"))
    assert message == (
        f'secrets is forbidden: User "{room.who}" cannot list resource "secrets" in API group "" '
        f'in the namespace "{room.ns}"'
    )
    assert details == {"kind": "secrets"}


@pytest.mark.parametrize("role", ["view", "edit", "admin", "puller", "pusher"])
def test_a_neighbour_sees_nothing(room, role):
    """Whatever one may in a namespace, in the next one it is nothing."""
    room.stream("app", tag_from("v1", "q/1"), ns=room.other)
    tenant = room.user((role, room.ns))
    there = f"/api/v1/namespaces/{room.other}/secrets"
    for path in (
        room.path("imagestreams", ns=room.other),
        room.path("imagestreams", "app", ns=room.other),
        room.path("imagestreams", "app/layers", ns=room.other),
        room.path("imagestreamtags", ns=room.other),
        room.path("imagetags", "app:v1", ns=room.other),
        there,
        f"{IMAGE_API}/imagestreams",
        f"{IMAGE_API}/imagetags",
        f"{IMAGE_API}/images",
        "/api/v1/secrets",
        f"/apis/sync.tagstream.io/v1/namespaces/{room.other}/importjobs",
        "/apis/sync.tagstream.io/v1/importjobs",
    ):
        denied(tenant.get(path))
        denied(tenant.get(path.replace("/app", ""), params={"watch": "1"}))
    denied(tenant.get(f"{IMAGE_API}/watch/namespaces/{room.other}/imagestreams"))
    denied(tenant.get(f"{IMAGE_API}/watch/imagestreams"))
    denied(tenant.delete(room.path("imagestreams", ns=room.other)))
    denied(tenant.delete(f"{IMAGE_API}/imagestreams"))
    assert room.get("imagestreams", "app", ns=room.other).status_code == 200


def test_an_editor_writes_streams_and_their_views(room, digest):
    editor = room.user(("edit", room.ns))
    assert editor.post(room.path("imagestreams"), json={"metadata": {"name": "app"}}).is_success
    name = digest()
    mapping = {
        "metadata": {"name": "app"},
        "tag": "v1",
        "image": {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"},
    }
    assert editor.post(room.path("imagestreammappings"), json=mapping).status_code == 201
    assert editor.get(room.path("imagestreamtags", "app:v1")).status_code == 200
    assert editor.get(room.path("imagestreamimages", f"app@{name}")).status_code == 200
    assert editor.get(room.path("imagestreams", "app/layers")).status_code == 200
    body = {"metadata": {"name": "new:v1"}, "tag": tag_from("v1", "q/1")}
    assert editor.put(room.path("imagestreamtags", "new:v1"), json=body).status_code == 201
    assert editor.delete(room.path("imagestreams")).status_code == 200
    denied(editor.get(f"{IMAGE_API}/images/{name}"))
    denied(editor.put(room.path("imagestreams", "app/status"), json={}))


def test_a_puller_of_one_stream_pulls_that_one(room):
    room.stream("app")
    room.stream("web")
    puller = room.user(("puller", room.ns, "app"))
    assert puller.get(room.path("imagestreams", "app/layers")).status_code == 200
    denied(puller.get(room.path("imagestreams", "web/layers")))
    denied(puller.get(room.path("imagestreams", "app")))


def test_everybody_may_read_what_is_shared(room):
    nobody = room.user()
    assert nobody.get(room.path("imagestreams", ns="openshift")).status_code == 200
    denied(nobody.post(room.path("imagestreams", ns="openshift"), json={}))


@pytest.mark.parametrize(
    ("headers", "code"), [({"Impersonate-User": "x"}, 403), ({"Impersonate-Group": "x"}, 403)]
)
def test_nobody_speaks_for_others(room, headers, code):
    answer = room.user(("admin", room.ns)).get(room.path("imagestreams"), headers=headers)
    assert answer.status_code == code


def test_a_path_that_is_no_resource_is_forbidden_by_its_name(room):
    message, details = denied(room.user().get("/metrics"))
    assert message == f'forbidden: User "{room.who}" cannot get path "/metrics"'
    assert details == {}


def test_what_belongs_to_another_is_tagged_only_with_its_leave(room):
    """Whether the source exists is not told either (D.4)."""
    room.stream("src", tag_from("v1", "q/1"), ns=room.other)
    editor = room.user(("edit", room.ns))
    body = {
        "metadata": {"name": "app"},
        "spec": {"tags": [follows("t", "src:v1", namespace=room.other)]},
    }
    refused = editor.post(room.path("imagestreams"), json=body)
    assert refused.status_code == 422
    assert causes(refused)["spec.tags[t].from"] == f'Forbidden: {room.other}/src: "" ""'
    body["spec"]["tags"][0]["from"]["name"] = "none:v1"
    missing = editor.post(room.path("imagestreams"), json=body)
    assert causes(missing) == {"spec.tags[t].from": f'Forbidden: {room.other}/none: "" ""'}
    both = room.user(("edit", room.ns), ("puller", room.other, "src"), name=f"{room.who}-b")
    body["spec"]["tags"][0]["from"]["name"] = "src:v1"
    assert both.post(room.path("imagestreams"), json=body).status_code == 201


# -- the allow-list --


@pytest.fixture(scope="module")
def strict_world(tmp_path_factory):
    """Only quay.io over TLS may be imported from."""
    home = tmp_path_factory.mktemp("strict")
    allowed = [AllowedRegistry(domain_name="quay.io")]
    with ApiWorld(home, allowed_registries=allowed) as found:
        yield found


@pytest.fixture
def strict(strict_world):
    return Room(strict_world)


def post_tag(client, room, source, **policy):
    tag = tag_from("t", source, reference=True, importPolicy=policy)
    body = {"metadata": {"name": f"s{len(source)}"}, "spec": {"tags": [tag]}}
    return client.post(room.path("imagestreams"), json=body)


@pytest.mark.case("api 210")
def test_other_registries_are_not_imported_from(strict):
    editor = strict.user(("edit", strict.ns))
    refused = post_tag(editor, strict, "evil.io/x/y")
    assert refused.status_code == 422
    allowed = '"reg.local:5000", "quay.io:443"'  # our own registry is always among them
    text = f'registry "evil.io" not allowed by whitelist: {allowed}'
    assert causes(refused)["spec.tags[t].from.name"] == f"Forbidden: {text}"
    body = body_of(image("evil.io/x/y:z"))
    imported = editor.post(strict.path("imagestreamimports"), json=body)
    assert imported.status_code == 422
    assert imported.json()["details"]["kind"] == "ImageStreamImport"
    assert causes(imported)["spec.images[0].from.name"] == (
        'Forbidden: importing images from registry "evil.io:443" is forbidden: registry '
        f'"evil.io:443" not allowed by whitelist: {allowed}'
    )
    insecure = body_of(image("evil.io/x/y:z", importPolicy={"insecure": True}))
    imported = editor.post(strict.path("imagestreamimports"), json=insecure)
    assert 'registry "evil.io:80" is forbidden' in imported.json()["message"]


@pytest.mark.case("api 210")
def test_whoever_makes_images_is_stopped_by_the_stream(tmp_path, fake):
    """The exemption spares the look before the fetch, not the stream's own rule (B15)."""
    body = body_of(image(f"{fake.host}/x/y:z", to="t"))
    allowed = [AllowedRegistry(domain_name="quay.io")]
    with ApiWorld(tmp_path, worker=True, allowed_registries=allowed) as world:
        strict = Room(world)
        answer = strict.admin.post(strict.path("imagestreamimports"), json=body)
        assert answer.status_code == 422
        assert answer.json()["details"]["kind"] == "ImageStream"
        assert "not allowed by whitelist" in answer.json()["message"]
        assert strict.get("imagestreams", "app").status_code == 404


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
def test_a_pattern_names_host_and_port(strict, source, policy, code):
    answer = post_tag(strict.admin, strict, source, **policy)
    assert answer.status_code == code, answer.text


@pytest.mark.case("api 211")
def test_docker_has_many_names(tmp_path):
    allowed = [AllowedRegistry(domain_name="docker.io")]
    with ApiWorld(tmp_path, allowed_registries=allowed) as world:
        room = Room(world)
        for source in ("library/nginx", "nginx", "index.docker.io/x", "registry-1.docker.io/x/y"):
            answer = post_tag(room.admin, room, source)
            assert answer.status_code in {201, 409}, answer.text


@pytest.mark.case("api 212")
def test_what_was_there_before_the_list_stays_editable(tmp_path):
    with ApiWorld(tmp_path) as world:
        room = Room(world)
        room.stream("app", tag_from("t", "evil.io/x/y:z", reference=True))
        namespace = room.ns
    with ApiWorld(tmp_path, allowed_registries=[AllowedRegistry(domain_name="quay.io")]) as world:
        path = f"{IMAGE_API}/namespaces/{namespace}/imagestreams/app"
        stream = world.admin.get(path).json()
        stream["metadata"]["labels"] = {"a": "b"}
        assert world.admin.put(path, json=stream).status_code == 200
        stream = world.admin.get(path).json()
        stream["spec"]["tags"].append(tag_from("u", "worse.io/x/y:z", reference=True))
        assert world.admin.put(path, json=stream).status_code == 422


def test_a_worker_beside_a_server_waits_for_a_newer_one_and_then_goes_on(
    busy_world, tmp_path, fake
):
    """Both share this process's memory as their broker; none may read the other's mail for good."""
    fake.push("team/app", tag="v1", manifest=fx.OCI, config=fx.CFG_A)
    body = body_of(image(f"{fake.host}/team/app:v1", to="v1", importPolicy={"insecure": True}))

    def outcome(somewhere):
        answer = somewhere.admin.post(somewhere.path("imagestreamimports"), json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["status"]["images"][0]["status"]["status"]

    older = Room(busy_world)
    assert outcome(older) == "Success"
    with ApiWorld(tmp_path, worker=True) as newer:
        assert outcome(Room(newer)) == "Success"
    assert outcome(older) == "Success"
