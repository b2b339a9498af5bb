"""`tagstream import`: its arguments, output and exit codes."""

import json

import yaml

from tests import fixtures as fx


def test_import_takes_stream_and_tag_from_reference(cli, app_registry):
    result = cli("import", f"{app_registry.repository}:1.0")
    assert result.code == 0
    assert result.rows == [["1.0", fx.digest_of(fx.S2)[:19], "new"]]
    assert "1 tag imported (1 new, 0 updated) into default/app" in result.err


def test_import_without_tag_imports_latest(cli, app_registry):
    assert cli("import", app_registry.repository, "-o", "name").out == (
        "imagestreamtag.image.openshift.io/app:latest\n"
    )


def test_import_by_digest_writes_latest_or_tag_of_to_option(cli, app_registry):
    reference = f"{app_registry.repository}@{fx.digest_of(fx.OCI)}"
    assert cli("import", reference, "-o", "name").out.endswith("/app:latest\n")
    assert cli("import", reference, "--to", "app:fixed", "-o", "name").out.endswith("/app:fixed\n")


def test_import_to_and_namespace_options_choose_target(cli, app_registry):
    result = cli("import", f"{app_registry.repository}:1.1", "--to", "mine:prod", "-n", "team")
    assert result.code == 0
    assert cli("get", "-n", "team", "-o", "name").out == "imagestream.image.openshift.io/mine\n"
    assert cli("history", "mine:prod", "-n", "team").rows[0][-2] == fx.digest_of(fx.OCI)[:19]
    assert cli("get").out == ""


def test_import_all_imports_every_tag(cli, app_registry):
    for number in range(60):
        app_registry.push("team/app", tag=f"0.{number}", manifest=fx.S2)
    result = cli("import", app_registry.repository, "--all")
    assert result.code == 0
    assert len(result.rows) == 63
    assert "63 tags imported" in result.err


def test_second_import_reports_every_tag_unchanged(cli, app_registry):
    cli("import", app_registry.repository, "--all")
    result = cli("import", app_registry.repository, "--all")
    assert result.code == 0
    assert {row[-1] for row in result.rows} == {"unchanged"}
    assert "3 tags imported (0 new, 0 updated)" in result.err


def test_import_all_with_broken_tag_exits_3_and_imports_others(cli, app_registry):
    app_registry.on("/team/app/manifests/1.1", _broken_manifest)
    result = cli("import", app_registry.repository, "--all")
    assert result.code == 3
    assert {row[0]: row[2].rstrip(":") for row in result.rows} == {
        "1.0": "new",
        "1.1": "failed",
        "latest": "new",
    }
    assert "failed: app:1.1: " in result.err
    assert "2 tags imported (2 new, 0 updated), 1 failed" in result.err


def _broken_manifest(_request):
    from tests.fakeregistry.wire import Reply

    return Reply(200, b"{", (("Content-Type", fx.OCI_TYPE),))


def test_import_of_missing_tag_exits_3(cli, app_registry):
    result = cli("import", f"{app_registry.repository}:nope")
    assert result.code == 3
    assert (
        f'dockerimage.image.openshift.io "{app_registry.repository}:nope" not found' in result.err
    )
    assert "✗" in cli("describe", "app").out


def test_import_from_unreachable_registry_names_it(cli):
    result = cli("import", "127.0.0.1:1/team/app:1.0")
    assert result.code == 3
    assert "127.0.0.1:1" in result.err


def test_import_dry_run_stores_nothing(cli, app_registry):
    result = cli("import", app_registry.repository, "--all", "--dry-run")
    assert result.code == 0
    assert len(result.rows) == 3
    assert "dry run: nothing stored" in result.err
    assert cli("get", "-o", "name").out == ""


def test_import_mode_keeps_index_or_chooses_one_platform(cli, app_registry):
    whole = cli(
        "import", app_registry.repository, "--import-mode", "PreserveOriginal", "--to", "whole"
    )
    single = cli("import", app_registry.repository, "--import-mode", "Legacy", "--to", "single")
    assert whole.rows[0][1] == fx.digest_of(fx.INDEX)[:19]
    assert single.rows[0][1] == fx.digest_of(fx.OCI_BARE)[:19]


def test_import_policy_options_are_written_to_stream_spec(cli, app_registry):
    options = ("--scheduled", "--insecure", "--reference-policy", "Local")
    assert cli("import", f"{app_registry.repository}:1.0", *options).code == 0
    [tag] = cli("get", "streams", "app", "-o", "json").json()["spec"]["tags"]
    assert tag["importPolicy"] == {"insecure": True, "scheduled": True, "importMode": "Legacy"}
    assert tag["referencePolicy"] == {"type": "Local"}


def test_import_json_and_yaml_output_is_api_response(cli, app_registry):
    response = cli("import", f"{app_registry.repository}:1.0", "-o", "json").json()
    assert response["kind"] == "ImageStreamImport"
    assert response["apiVersion"] == "image.openshift.io/v1"
    [image] = response["status"]["images"]
    assert image["image"]["metadata"]["name"] == fx.digest_of(fx.S2)
    assert response["status"]["import"]["metadata"]["name"] == "app"
    yaml_response = yaml.safe_load(
        cli("import", f"{app_registry.repository}:1.0", "-o", "yaml").out
    )
    assert yaml_response["spec"] == response["spec"]


def test_import_wide_output_shows_platform_layers_and_size(cli, app_registry):
    result = cli("import", f"{app_registry.repository}:1.0", "-o", "wide")
    assert fx.digest_of(fx.S2) in result.out
    assert "linux/amd64   3" in result.out


def test_import_writes_progress_to_stderr_and_data_to_stdout(cli, app_registry):
    result = cli("import", f"{app_registry.repository}:1.0", "-o", "json")
    json.loads(result.out)
    assert (
        result.err.splitlines()[0] == f"importing {app_registry.repository}:1.0 into default/app …"
    )


def test_import_prints_no_control_characters_of_registry_errors(cli, app_registry):
    app_registry.fail_next(
        ".*/manifests/.*",
        status=403,
        body=b'{"errors":[{"code":"DENIED","message":"\\u001b[31mboo\\u0007"}]}',
        times=9,
    )
    result = cli("import", f"{app_registry.repository}:1.0")
    assert result.code == 3
    assert not {"\x1b", "\x07"} & set(result.out + result.err)


def test_import_output_on_pipe_has_no_colours(cli, app_registry):
    result = cli("import", app_registry.repository, "--all")
    assert "\x1b" not in result.out + result.err
