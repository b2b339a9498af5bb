"""The same verbs, spoken to a server: by a kubeconfig, over TLS, with a token."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import yaml

from models.job_types import Asker, JobRequest
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from tests import fixtures as fx
from tests.apiserver import ApiWorld
from tests.integration.cli.conftest import CANARY, interrupt, until
from tests.integration.store.things import request as import_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server on SQLite, with a worker beside it."""
    choices = {"credentials_over_http": True}
    with ApiWorld(tmp_path_factory.mktemp("rest"), worker=True, **choices) as found:
        yield found


@pytest.fixture
def room(world, request):
    """A namespace of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")
    answer = world.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    assert answer.status_code == 201, answer.text
    return name


@pytest.fixture
def remote(cli, world, room):
    """`tagstream --kubeconfig …`, in the test's namespace, as the administrator."""
    config = world.kubeconfig(namespace=room)

    def run(*words, stdin="", **environment):
        ended = cli("--kubeconfig", config, *words, stdin=stdin, **environment)
        assert not cli.data.exists()
        return ended

    run.config = config
    return run


def ended_well(ended):
    assert ended.code == 0, ended.err
    return ended


def test_an_import_goes_into_the_namespace_of_the_context(remote, world, shop, room):
    ended = ended_well(remote("import", f"{shop.address}:1.0"))
    assert ended.rows == [["1.0", fx.digest_of(fx.S2)[:19], "new"]]
    assert f"1 tag imported, 1 changed into {room}/app" in ended.err
    streams = world.admin.get(f"/apis/image.openshift.io/v1/namespaces/{room}/imagestreams")
    assert [each["metadata"]["name"] for each in streams.json()["items"]] == ["app"]


def test_all_takes_every_tag_over_rest_too(remote, shop):
    for number in range(60):
        shop.push("team/app", tag=f"0.{number}", manifest=fx.S2)
    ended = ended_well(remote("import", shop.address, "--all"))
    assert len(ended.rows) == 63


def test_json_is_the_answer_of_the_api(remote, shop):
    answer = ended_well(remote("import", f"{shop.address}:1.0", "-o", "json")).json()
    assert (answer["kind"], answer["apiVersion"]) == ("ImageStreamImport", "image.openshift.io/v1")
    [image] = answer["status"]["images"]
    assert image["image"]["metadata"]["name"] == fx.digest_of(fx.S2)
    assert answer["status"]["import"]["metadata"]["name"] == "app"


def test_an_import_finds_its_answer_though_others_ask_for_the_same(cli, remote, shop):
    words = ("import", f"{shop.address}:1.0", "-o", "json")
    shop.delay(0.5, ".*/manifests/.*")
    others = [cli.start("--kubeconfig", str(remote.config), *words) for _ in range(2)]
    ended_well(remote(*words))
    for each in others:
        _, talk = each.communicate(timeout=60)
        assert each.returncode == 0, talk


def test_a_dry_run_stores_nothing_on_the_server(remote, shop):
    ended = ended_well(remote("import", f"{shop.address}:1.0", "--dry-run"))
    assert "dry run: nothing stored" in ended.err
    assert remote("get", "-o", "name").out == ""


def test_a_tag_that_is_not_there_ends_as_done_with_errors(remote, shop):
    ended = remote("import", f"{shop.address}:nope")
    assert ended.code == 3
    assert f'dockerimage.image.openshift.io "{shop.address}:nope" not found' in ended.err


def test_what_was_imported_is_read_in_all_its_forms(remote, shop, room):
    words = ("--all", "--import-mode", "PreserveOriginal")
    ended_well(remote("import", shop.address, *words))
    assert [row[:3] for row in remote("get").rows] == [["app", "3", "0"]]
    assert [room, "app", "3"] in [row[:3] for row in remote("get", "-A").rows]
    one = yaml.safe_load(remote("get", "is", "app", "-o", "yaml").out)
    assert (one["kind"], one["metadata"]["namespace"]) == ("ImageStream", room)
    rows = {row[0]: row for row in remote("get", "images").rows}
    assert rows[fx.digest_of(fx.S2)[:19]][-1] == "app:1.0"
    image = remote("get", "images", fx.digest_of(fx.INDEX)[:20], "-o", "json").json()
    assert image["metadata"]["name"] == fx.digest_of(fx.INDEX)
    text = remote("describe", "app").out
    assert f"├─       {fx.digest_of(fx.OCI_ARM)[:19]}   linux/arm64/v8" in text
    assert f"1       {fx.L1}   100 B" in remote("describe", "app:1.0").out
    assert remote("history", "app:1.0").rows[0][-2] == fx.digest_of(fx.S2)[:19]
    assert "meant nothing yet" in remote("history", "app:1.0", "--at", "2001-02-03").err


def test_a_viewer_without_rights_on_all_images_sees_those_of_the_streams(
    cli, world, remote, shop, room
):
    ended_well(remote("import", shop.address, "--all", "--import-mode", "PreserveOriginal"))
    token = world.make_token(f"{room}-viewer", ("view", room))
    config = world.kubeconfig(token, namespace=room)
    text = ended_well(cli("--kubeconfig", config, "describe", "app")).out
    assert f"├─       {fx.digest_of(fx.OCI_ARM)[:19]}   linux/arm64/v8" in text
    assert re.search(rf"1\.0 +{fx.digest_of(fx.S2)[:19]} +linux/amd64 +3", text)
    digest = fx.digest_of(fx.S2)
    assert cli("--kubeconfig", config, "get", "images", digest[:20], "-o", "name").code == 0
    refused = cli("--kubeconfig", config, "import", f"{shop.address}:1.0")
    assert (refused.code, refused.err.count("\n")) == (1, 2)
    assert "imagestreamimports.image.openshift.io is forbidden: User" in refused.err


def test_ctrl_c_cancels_the_job_on_the_server(cli, remote, shop):
    shop.stall(".*/manifests/.*")
    process = cli.start("--kubeconfig", str(remote.config), "import", f"{shop.address}:1.0")
    job = until(lambda: running(remote))
    ended = interrupt(process)
    assert (ended.code, ended.out) == (1, "")
    assert "cancelled: nothing of this import was written" in ended.err
    assert remote("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_ctrl_c_cancels_an_import_that_waits_for_its_answer(cli, remote, shop):
    shop.stall(".*/manifests/.*")
    words = ("--kubeconfig", str(remote.config), "import", f"{shop.address}:1.0", "-o", "json")
    process = cli.start(*words)
    job = until(lambda: running(remote))
    ended = interrupt(process)
    assert (ended.code, ended.out) == (1, "")
    assert remote("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_job_cancel_stops_a_job_and_leaves_ended_ones_on_record(cli, remote, shop):
    shop.stall(".*/manifests/.*")
    process = cli.start("--kubeconfig", str(remote.config), "import", f"{shop.address}:1.0")
    job = until(lambda: running(remote))
    assert f"job {job}" in ended_well(remote("job", "cancel", job[:8])).err
    assert process.wait(timeout=30) == 1
    process.communicate()
    assert "has ended already: cancelled" in remote("job", "cancel", job).err
    assert [row[2] for row in remote("jobs").rows] == ["cancelled"]


def test_jobs_are_watched_over_rest(cli, remote, shop):
    ended_well(remote("import", f"{shop.address}:1.0"))
    process = cli.start("--kubeconfig", str(remote.config), "jobs", "--watch")
    first = process.stdout.readline()
    ended_well(remote("import", f"{shop.address}:1.1", "--to", "other"))
    later = until(lambda: re.search("other   succeeded", process.stdout.readline()))
    ended = interrupt(process)
    assert re.fullmatch(r"[0-9a-f-]{36}   app   succeeded   \d/\d\n", first)
    assert later
    assert (ended.code, ended.err) == (0, "")


def test_a_repository_that_is_not_there_is_told_as_at_home(remote, shop):
    ended = remote("import", f"{shop.host}/no/where", "--all")
    assert ended.code == 3
    assert "failed: the list of tags: " in ended.err


def test_a_reimport_is_the_servers(remote, shop):
    ended_well(remote("import", shop.address, "--all"))
    shop.tag("team/app", "1.0", fx.digest_of(fx.OCI))
    ended = ended_well(remote("reimport", "app"))
    assert {row[0]: row[-1] for row in ended.rows} == {
        "1.0": "new",
        "1.1": "unchanged",
        "latest": "unchanged",
    }
    assert [row[0] for row in remote("reimport", "app:1.1").rows] == ["1.1"]
    assert "nothing to import again" in remote("reimport", "--all", "--failed").err
    assert remote("reimport", "app:nope").code == 1


def test_a_reimport_tells_of_its_own_streams_however_many_begin_in_that_second(
    remote, world, shop, room
):
    ended_well(remote("import", f"{shop.address}:1.0"))
    ended_well(remote("import", f"{shop.address}:1.0", "--to", "two"))
    now = datetime.now(UTC).replace(microsecond=0)
    source = f"{shop.address}:1.0"
    with transaction(world.engine) as session:
        for second in range(90):
            wanted = JobRequest(
                import_of("other", namespace=room, source=source),
                asker=Asker.ADMINISTRATOR,
                user="admin-user",
                parent=uuid4(),
            )
            create_job(session, wanted, now=now + timedelta(seconds=second))
    ended = ended_well(remote("reimport", "--all"))
    assert [row[2] for row in ended.rows] == ["app", "two"]
    assert "2 streams looked at" in ended.err


def test_a_dry_run_of_a_reimport_is_the_servers(remote, shop):
    ended_well(remote("import", shop.address, "--all"))
    ended = ended_well(remote("reimport", "--all", "--dry-run"))
    assert [row[:1] + row[3:] for row in ended.rows] == [[shop.host, "3", "1"]]
    assert "requests to 1 registry for 3 tags of 1 stream (dry run" in ended.err


def test_secrets_are_kept_by_the_server_and_open_its_registries(remote, shop, room):
    shop.require_basic("me", CANARY)
    words = ("--docker-server", shop.host, "--docker-username", "me", "--docker-password-stdin")
    assert remote("import", f"{shop.address}:1.0").code == 3
    ended_well(remote("secret", "create", "pull", *words, stdin=CANARY))
    again = remote("secret", "create", "pull", *words, stdin=CANARY)
    assert again.code == 1
    assert f'secrets "{room}/pull" already exists; say --replace' in again.err
    ended_well(remote("secret", "create", "pull", "--replace", *words, stdin=CANARY))
    ended_well(remote("import", f"{shop.address}:1.0"))
    [item] = remote("secret", "list", "-o", "json").json()["items"]
    assert (item["metadata"]["name"], "data" in item) == ("pull", False)
    ended_well(remote("secret", "delete", "pull"))
    assert remote("secret", "delete", "pull").code == 1


def test_what_does_not_exist_ends_with_one_and_one_line(remote):
    for line in ("describe nope", "history nope", "get images sha256:abc", "job cancel 00000000"):
        ended = remote(*line.split())
        assert "not found" in ended.err
        assert (ended.code, ended.err.count("\n"), ended.out) == (1, 1, "")


def test_a_namespace_that_is_not_there_is_named(remote, shop):
    ended = remote("import", f"{shop.address}:1.0", "-n", "nowhere")
    assert 'namespaces "nowhere" not found' in ended.err
    assert ended.code == 1


def test_a_token_that_nobody_knows_is_told_in_one_line(cli, world):
    config = world.kubeconfig("tgs_" + "x" * 43)
    ended = cli("--kubeconfig", config, "get")
    assert "Unauthorized: the kubeconfig's token is unknown" in ended.err
    assert (ended.code, ended.err.count("\n")) == (1, 1)


def test_a_server_that_is_away_or_not_trusted_is_named(cli, world, remote):
    text = remote.config.read_text()
    away, strange = cli.directory / "away", cli.directory / "strange"
    away.write_text(re.sub(r"https://\S+", "https://127.0.0.1:1", text))
    strange.write_text(re.sub(r" +certificate-authority-data: .*\n", "", text))
    for config, said in ((away, "127.0.0.1:1 cannot be reached"), (strange, "certificate verify")):
        ended = cli("--kubeconfig", config, "get")
        assert said in ended.err
        assert (ended.code, ended.err.count("\n")) == (1, 1)


def test_the_variable_serves_as_the_option_and_the_ambient_one_does_not(cli, remote, shop, room):
    ended_well(remote("import", f"{shop.address}:1.0"))
    config = str(remote.config)
    assert cli("get", TAGSTREAM_KUBECONFIG=config).rows[0][0] == "app"
    assert cli("get", "-n", "default", TAGSTREAM_KUBECONFIG=config).out == ""
    assert not cli.data.exists()
    assert cli("get", KUBECONFIG=config).err == "no streams in namespace default\n"
    assert cli.data.exists()
    assert cli("--data", str(cli.data), "get", TAGSTREAM_KUBECONFIG=config).out == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--kubeconfig {config} db upgrade", "`tagstream db` works on this machine"),
        ("--kubeconfig {config} token list", "leave out --kubeconfig"),
        ("--kubeconfig {config} --data /tmp/x get", "--data is local"),
        ("--kubeconfig {config} --context gone get", "has no context 'gone'; it has tagstream"),
        ("--context x get", "say --kubeconfig FILE too"),
        ("--kubeconfig /nope get", "/nope cannot be read"),
    ],
)
def test_what_cannot_go_together_is_wrong_usage(cli, world, line, said):
    ended = cli(*line.format(config=world.kubeconfig()).split())
    assert said in ended.err
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def running(remote):
    """The id of a job that runs."""
    jobs = remote("jobs", "-o", "json").json()["items"]
    return next((j["metadata"]["name"] for j in jobs if j["status"]["state"] == "running"), None)
