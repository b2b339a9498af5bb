"""The commands against a server: with a kubeconfig, over TLS, with a token."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import yaml

from models.job_types import JobRequest, JobTrigger
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from tests import fixtures as fx
from tests.api_test_server import ApiTestServer
from tests.integration.cli.conftest import TEST_PASSWORD, interrupt, wait_until
from tests.integration.store.sample_objects import import_request


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on SQLite, with a worker beside it."""
    choices = {"credentials_over_http": True}
    with ApiTestServer(tmp_path_factory.mktemp("rest"), worker=True, **choices) as server:
        yield server


@pytest.fixture
def namespace(server, request):
    """The name of a namespace that only this test uses."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")
    response = server.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    assert response.status_code == 201, response.text
    return name


@pytest.fixture
def remote_cli(cli, server, namespace):
    """`tagstream --kubeconfig …`, in the test's namespace, as an administrator."""
    config = server.kubeconfig(namespace=namespace)

    def run(*arguments, stdin="", **environment):
        result = cli("--kubeconfig", config, *arguments, stdin=stdin, **environment)
        assert not cli.data.exists()
        return result

    run.kubeconfig = config
    return run


def require_success(result):
    assert result.code == 0, result.err
    return result


def test_remote_import_uses_namespace_of_context(remote_cli, server, app_registry, namespace):
    result = require_success(remote_cli("import", f"{app_registry.repository}:1.0"))
    assert result.rows == [["1.0", fx.digest_of(fx.S2)[:19], "new"]]
    assert f"1 tag imported (1 new, 0 updated) into {namespace}/app" in result.err
    streams = server.admin.get(f"/apis/image.openshift.io/v1/namespaces/{namespace}/imagestreams")
    assert [each["metadata"]["name"] for each in streams.json()["items"]] == ["app"]


def test_remote_import_all_imports_every_tag(remote_cli, app_registry):
    for number in range(60):
        app_registry.push("team/app", tag=f"0.{number}", manifest=fx.S2)
    result = require_success(remote_cli("import", app_registry.repository, "--all"))
    assert len(result.rows) == 63


def test_remote_import_json_output_is_api_response(remote_cli, app_registry):
    response = require_success(
        remote_cli("import", f"{app_registry.repository}:1.0", "-o", "json")
    ).json()
    assert (response["kind"], response["apiVersion"]) == (
        "ImageStreamImport",
        "image.openshift.io/v1",
    )
    [image] = response["status"]["images"]
    assert image["image"]["metadata"]["name"] == fx.digest_of(fx.S2)
    assert response["status"]["import"]["metadata"]["name"] == "app"


def test_remote_imports_of_one_tag_each_get_their_response(cli, remote_cli, app_registry):
    arguments = ("import", f"{app_registry.repository}:1.0", "-o", "json")
    app_registry.delay(0.5, ".*/manifests/.*")
    others = [cli.start("--kubeconfig", str(remote_cli.kubeconfig), *arguments) for _ in range(2)]
    require_success(remote_cli(*arguments))
    for each in others:
        _, stderr = each.communicate(timeout=60)
        assert each.returncode == 0, stderr


def test_remote_import_dry_run_stores_nothing(remote_cli, app_registry):
    result = require_success(remote_cli("import", f"{app_registry.repository}:1.0", "--dry-run"))
    assert "dry run: nothing stored" in result.err
    assert remote_cli("get", "-o", "name").out == ""


def test_remote_import_of_missing_tag_exits_3(remote_cli, app_registry):
    result = remote_cli("import", f"{app_registry.repository}:nope")
    assert result.code == 3
    assert (
        f'dockerimage.image.openshift.io "{app_registry.repository}:nope" not found' in result.err
    )


def test_remote_read_commands_show_imported_stream(remote_cli, app_registry, namespace):
    options = ("--all", "--import-mode", "PreserveOriginal")
    require_success(remote_cli("import", app_registry.repository, *options))
    assert [row[:3] for row in remote_cli("get").rows] == [["app", "3", "0"]]
    assert [namespace, "app", "3"] in [row[:3] for row in remote_cli("get", "-A").rows]
    stream = yaml.safe_load(remote_cli("get", "is", "app", "-o", "yaml").out)
    assert (stream["kind"], stream["metadata"]["namespace"]) == ("ImageStream", namespace)
    rows = {row[0]: row for row in remote_cli("get", "images").rows}
    assert rows[fx.digest_of(fx.S2)[:19]][-1] == "app:1.0"
    image = remote_cli("get", "images", fx.digest_of(fx.INDEX)[:20], "-o", "json").json()
    assert image["metadata"]["name"] == fx.digest_of(fx.INDEX)
    text = remote_cli("describe", "app").out
    assert f"├─       {fx.digest_of(fx.OCI_ARM)[:19]}   linux/arm64/v8" in text
    assert f"1       {fx.L1}   100 B" in remote_cli("describe", "app:1.0").out
    assert remote_cli("history", "app:1.0").rows[0][-2] == fx.digest_of(fx.S2)[:19]
    assert "pointed to no image yet" in remote_cli("history", "app:1.0", "--at", "2001-02-03").err


def test_remote_viewer_without_image_access_sees_stream_images(
    cli, server, remote_cli, app_registry, namespace
):
    require_success(
        remote_cli("import", app_registry.repository, "--all", "--import-mode", "PreserveOriginal")
    )
    token = server.make_token(f"{namespace}-viewer", ("view", namespace))
    config = server.kubeconfig(token, namespace=namespace)
    text = require_success(cli("--kubeconfig", config, "describe", "app")).out
    assert f"├─       {fx.digest_of(fx.OCI_ARM)[:19]}   linux/arm64/v8" in text
    assert re.search(rf"1\.0 +{fx.digest_of(fx.S2)[:19]} +linux/amd64 +3", text)
    digest = fx.digest_of(fx.S2)
    assert cli("--kubeconfig", config, "get", "images", digest[:20], "-o", "name").code == 0
    refused = cli("--kubeconfig", config, "import", f"{app_registry.repository}:1.0")
    assert (refused.code, refused.err.count("\n")) == (1, 2)
    assert "imagestreamimports.image.openshift.io is forbidden: User" in refused.err


def test_ctrl_c_cancels_remote_import_job(cli, remote_cli, app_registry):
    app_registry.stall(".*/manifests/.*")
    process = cli.start(
        "--kubeconfig", str(remote_cli.kubeconfig), "import", f"{app_registry.repository}:1.0"
    )
    job = wait_until(lambda: running_job_id(remote_cli))
    result = interrupt(process)
    assert (result.code, result.out) == (1, "")
    assert "cancelled: nothing of this import was written" in result.err
    assert remote_cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_ctrl_c_cancels_remote_import_with_json_output(cli, remote_cli, app_registry):
    app_registry.stall(".*/manifests/.*")
    arguments = (
        "--kubeconfig",
        str(remote_cli.kubeconfig),
        "import",
        f"{app_registry.repository}:1.0",
        "-o",
        "json",
    )
    process = cli.start(*arguments)
    job = wait_until(lambda: running_job_id(remote_cli))
    result = interrupt(process)
    assert (result.code, result.out) == (1, "")
    assert remote_cli("get", "jobs", job, "-o", "json").json()["status"]["state"] == "cancelled"


def test_remote_job_cancel_stops_running_job_and_keeps_it_listed(cli, remote_cli, app_registry):
    app_registry.stall(".*/manifests/.*")
    process = cli.start(
        "--kubeconfig", str(remote_cli.kubeconfig), "import", f"{app_registry.repository}:1.0"
    )
    job = wait_until(lambda: running_job_id(remote_cli))
    assert f"job {job}" in require_success(remote_cli("job", "cancel", job[:8])).err
    assert process.wait(timeout=30) == 1
    process.communicate()
    assert "is already final: cancelled" in remote_cli("job", "cancel", job).err
    assert [row[2] for row in remote_cli("jobs").rows] == ["cancelled"]


def test_remote_jobs_watch_prints_changes(cli, remote_cli, app_registry):
    require_success(remote_cli("import", f"{app_registry.repository}:1.0"))
    process = cli.start("--kubeconfig", str(remote_cli.kubeconfig), "jobs", "--watch")
    first = process.stdout.readline()
    require_success(remote_cli("import", f"{app_registry.repository}:1.1", "--to", "other"))
    later = wait_until(lambda: re.search("other   succeeded", process.stdout.readline()))
    result = interrupt(process)
    assert re.fullmatch(r"[0-9a-f-]{36}   app   succeeded   \d/\d\n", first)
    assert later
    assert (result.code, result.err) == (0, "")


def test_remote_import_all_of_missing_repository_exits_3(remote_cli, app_registry):
    result = remote_cli("import", f"{app_registry.host}/no/where", "--all")
    assert result.code == 3
    assert "failed: the list of tags: " in result.err


def test_remote_reimport_reports_outcome_of_each_tag(remote_cli, app_registry):
    require_success(remote_cli("import", app_registry.repository, "--all"))
    app_registry.tag("team/app", "1.0", fx.digest_of(fx.OCI))
    result = require_success(remote_cli("reimport", "app"))
    assert {row[0]: row[-1] for row in result.rows} == {
        "1.0": "updated",
        "1.1": "unchanged",
        "latest": "unchanged",
    }
    assert [row[0] for row in remote_cli("reimport", "app:1.1").rows] == ["1.1"]
    assert "nothing to import: no tag matches" in remote_cli("reimport", "--all", "--failed").err
    assert remote_cli("reimport", "app:nope").code == 1


def test_remote_reimport_lists_only_its_own_streams(remote_cli, server, app_registry, namespace):
    require_success(remote_cli("import", f"{app_registry.repository}:1.0"))
    require_success(remote_cli("import", f"{app_registry.repository}:1.0", "--to", "two"))
    now = datetime.now(UTC).replace(microsecond=0)
    source = f"{app_registry.repository}:1.0"
    with transaction(server.engine) as session:
        for second in range(90):
            job_request = JobRequest(
                import_request("other", namespace=namespace, source=source),
                trigger=JobTrigger.ADMINISTRATOR,
                user="admin-user",
                parent=uuid4(),
            )
            create_job(session, job_request, now=now + timedelta(seconds=second))
    result = require_success(remote_cli("reimport", "--all"))
    assert [row[2] for row in result.rows] == ["app", "two"]
    assert "2 streams imported again" in result.err


def test_remote_reimport_dry_run_shows_estimate(remote_cli, app_registry):
    require_success(remote_cli("import", app_registry.repository, "--all"))
    result = require_success(remote_cli("reimport", "--all", "--dry-run"))
    assert [row[:1] + row[3:] for row in result.rows] == [[app_registry.host, "3", "1"]]
    assert "requests to 1 registry for 3 tags of 1 stream (dry run" in result.err


def test_remote_secret_is_stored_and_used_by_server(remote_cli, app_registry, namespace):
    app_registry.require_basic("me", TEST_PASSWORD)
    options = (
        "--docker-server",
        app_registry.host,
        "--docker-username",
        "me",
        "--docker-password-stdin",
    )
    assert remote_cli("import", f"{app_registry.repository}:1.0").code == 3
    require_success(remote_cli("secret", "create", "pull", *options, stdin=TEST_PASSWORD))
    again = remote_cli("secret", "create", "pull", *options, stdin=TEST_PASSWORD)
    assert again.code == 1
    assert f'secrets "{namespace}/pull" already exists; use --replace' in again.err
    require_success(
        remote_cli("secret", "create", "pull", "--replace", *options, stdin=TEST_PASSWORD)
    )
    require_success(remote_cli("import", f"{app_registry.repository}:1.0"))
    [item] = remote_cli("secret", "list", "-o", "json").json()["items"]
    assert (item["metadata"]["name"], "data" in item) == ("pull", False)
    require_success(remote_cli("secret", "delete", "pull"))
    assert remote_cli("secret", "delete", "pull").code == 1


def test_remote_commands_on_missing_objects_exit_1_with_one_line(remote_cli):
    for command_line in (
        "describe nope",
        "history nope",
        "get images sha256:abc",
        "job cancel 00000000",
    ):
        result = remote_cli(*command_line.split())
        assert "not found" in result.err
        assert (result.code, result.err.count("\n"), result.out) == (1, 1, "")


def test_remote_import_into_missing_namespace_names_it(remote_cli, app_registry):
    result = remote_cli("import", f"{app_registry.repository}:1.0", "-n", "nowhere")
    assert 'namespaces "nowhere" not found' in result.err
    assert result.code == 1


def test_unknown_token_is_reported_in_one_line(cli, server):
    config = server.kubeconfig("tgs_" + "x" * 43)
    result = cli("--kubeconfig", config, "get")
    assert "Unauthorized: the kubeconfig's token is unknown" in result.err
    assert (result.code, result.err.count("\n")) == (1, 1)


def test_unreachable_or_untrusted_server_is_reported_in_one_line(cli, server, remote_cli):
    text = remote_cli.kubeconfig.read_text()
    unreachable, untrusted = cli.directory / "away", cli.directory / "strange"
    unreachable.write_text(re.sub(r"https://\S+", "https://127.0.0.1:1", text))
    untrusted.write_text(re.sub(r" +certificate-authority-data: .*\n", "", text))
    for config, message in (
        (unreachable, "127.0.0.1:1 cannot be reached"),
        (untrusted, "certificate verify"),
    ):
        result = cli("--kubeconfig", config, "get")
        assert message in result.err
        assert (result.code, result.err.count("\n")) == (1, 1)


def test_tagstream_kubeconfig_variable_works_and_kubeconfig_is_ignored(
    cli, remote_cli, app_registry, namespace
):
    require_success(remote_cli("import", f"{app_registry.repository}:1.0"))
    config = str(remote_cli.kubeconfig)
    assert cli("get", TAGSTREAM_KUBECONFIG=config).rows[0][0] == "app"
    assert cli("get", "-n", "default", TAGSTREAM_KUBECONFIG=config).out == ""
    assert not cli.data.exists()
    assert cli("get", KUBECONFIG=config).err == "no streams in namespace default\n"
    assert cli.data.exists()
    assert cli("--data", str(cli.data), "get", TAGSTREAM_KUBECONFIG=config).out == ""


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ("--kubeconfig {config} db upgrade", "`tagstream db` works on this machine"),
        ("--kubeconfig {config} token list", "leave out --kubeconfig"),
        ("--kubeconfig {config} --data /tmp/x get", "--data names a local database"),
        ("--kubeconfig {config} --context gone get", "has no context 'gone'; it has tagstream"),
        ("--context x get", "add --kubeconfig FILE"),
        ("--kubeconfig /nope get", "/nope cannot be read"),
    ],
)
def test_conflicting_server_options_are_usage_errors(cli, server, command_line, message):
    result = cli(*command_line.format(config=server.kubeconfig()).split())
    assert message in result.err
    assert (result.code, result.err.count("\n")) == (2, 1)


def running_job_id(remote_cli):
    """Return the id of a running job, or None."""
    jobs = remote_cli("jobs", "-o", "json").json()["items"]
    return next((j["metadata"]["name"] for j in jobs if j["status"]["state"] == "running"), None)
