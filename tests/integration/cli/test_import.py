"""`tagstream import`: what it takes, what it prints, how it ends."""

import json

import yaml

from tests import fixtures as fx


def test_a_reference_names_its_stream_and_tag(cli, shop):
    ended = cli("import", f"{shop.address}:1.0")
    assert ended.code == 0
    assert ended.rows == [["1.0", fx.digest_of(fx.S2)[:19], "new"]]
    assert "1 tag imported, 1 changed into default/app" in ended.err


def test_a_reference_without_a_tag_means_latest(cli, shop):
    assert cli("import", shop.address, "-o", "name").out == (
        "imagestreamtag.image.openshift.io/app:latest\n"
    )


def test_a_digest_goes_to_the_tag_latest_or_where_it_is_told(cli, shop):
    reference = f"{shop.address}@{fx.digest_of(fx.OCI)}"
    assert cli("import", reference, "-o", "name").out.endswith("/app:latest\n")
    assert cli("import", reference, "--to", "app:fixed", "-o", "name").out.endswith("/app:fixed\n")


def test_to_and_namespace_say_where_a_tag_goes(cli, shop):
    ended = cli("import", f"{shop.address}:1.1", "--to", "mine:prod", "-n", "team")
    assert ended.code == 0
    assert cli("get", "-n", "team", "-o", "name").out == "imagestream.image.openshift.io/mine\n"
    assert cli("history", "mine:prod", "-n", "team").rows[0][-2] == fx.digest_of(fx.OCI)[:19]
    assert cli("get").out == ""


def test_all_takes_every_tag_of_the_repository(cli, shop):
    for number in range(60):
        shop.push("team/app", tag=f"0.{number}", manifest=fx.S2)
    ended = cli("import", shop.address, "--all")
    assert ended.code == 0
    assert len(ended.rows) == 63
    assert "63 tags imported" in ended.err


def test_a_second_import_of_the_same_changes_nothing(cli, shop):
    cli("import", shop.address, "--all")
    ended = cli("import", shop.address, "--all")
    assert ended.code == 0
    assert {row[-1] for row in ended.rows} == {"unchanged"}
    assert "3 tags imported, 0 changed" in ended.err


def test_one_bad_tag_ends_as_done_with_errors_and_harms_no_other(cli, shop):
    shop.on("/team/app/manifests/1.1", _broken)
    ended = cli("import", shop.address, "--all")
    assert ended.code == 3
    assert {row[0]: row[2].rstrip(":") for row in ended.rows} == {
        "1.0": "new",
        "1.1": "failed",
        "latest": "new",
    }
    assert "failed: app:1.1: " in ended.err
    assert "2 tags imported, 2 changed, 1 failed" in ended.err


def _broken(_request):
    from tests.fakeregistry.wire import Reply

    return Reply(200, b"{", (("Content-Type", fx.OCI_TYPE),))


def test_a_tag_that_is_not_there_ends_as_done_with_errors(cli, shop):
    ended = cli("import", f"{shop.address}:nope")
    assert ended.code == 3
    assert f'dockerimage.image.openshift.io "{shop.address}:nope" not found' in ended.err
    assert "✗" in cli("describe", "app").out


def test_a_registry_that_is_away_is_named(cli):
    ended = cli("import", "127.0.0.1:1/team/app:1.0")
    assert ended.code == 3
    assert "127.0.0.1:1" in ended.err


def test_a_dry_run_fetches_and_stores_nothing(cli, shop):
    ended = cli("import", shop.address, "--all", "--dry-run")
    assert ended.code == 0
    assert len(ended.rows) == 3
    assert "dry run: nothing stored" in ended.err
    assert cli("get", "-o", "name").out == ""


def test_preserve_original_keeps_the_index_and_legacy_takes_one_platform(cli, shop):
    whole = cli("import", shop.address, "--import-mode", "PreserveOriginal", "--to", "whole")
    single = cli("import", shop.address, "--import-mode", "Legacy", "--to", "single")
    assert whole.rows[0][1] == fx.digest_of(fx.INDEX)[:19]
    assert single.rows[0][1] == fx.digest_of(fx.OCI_BARE)[:19]


def test_policies_are_written_into_the_stream(cli, shop):
    words = ("--scheduled", "--insecure", "--reference-policy", "Local")
    assert cli("import", f"{shop.address}:1.0", *words).code == 0
    [tag] = cli("get", "streams", "app", "-o", "json").json()["spec"]["tags"]
    assert tag["importPolicy"] == {"insecure": True, "scheduled": True, "importMode": "Legacy"}
    assert tag["referencePolicy"] == {"type": "Local"}


def test_json_and_yaml_are_the_answer_that_the_api_gives(cli, shop):
    answer = cli("import", f"{shop.address}:1.0", "-o", "json").json()
    assert answer["kind"] == "ImageStreamImport"
    assert answer["apiVersion"] == "image.openshift.io/v1"
    [image] = answer["status"]["images"]
    assert image["image"]["metadata"]["name"] == fx.digest_of(fx.S2)
    assert answer["status"]["import"]["metadata"]["name"] == "app"
    again = yaml.safe_load(cli("import", f"{shop.address}:1.0", "-o", "yaml").out)
    assert again["spec"] == answer["spec"]


def test_wide_shows_platforms_layers_and_size(cli, shop):
    ended = cli("import", f"{shop.address}:1.0", "-o", "wide")
    assert fx.digest_of(fx.S2) in ended.out
    assert "linux/amd64   3" in ended.out


def test_talk_goes_to_stderr_and_only_data_to_stdout(cli, shop):
    ended = cli("import", f"{shop.address}:1.0", "-o", "json")
    json.loads(ended.out)
    assert ended.err.splitlines()[0] == f"importing {shop.address}:1.0 into default/app …"


def test_a_registrys_words_do_not_drive_the_terminal(cli, shop):
    shop.fail_next(
        ".*/manifests/.*",
        status=403,
        body=b'{"errors":[{"code":"DENIED","message":"\\u001b[31mboo\\u0007"}]}',
        times=9,
    )
    ended = cli("import", f"{shop.address}:1.0")
    assert ended.code == 3
    assert not {"\x1b", "\x07"} & set(ended.out + ended.err)


def test_the_output_has_no_colours_on_a_pipe(cli, shop):
    ended = cli("import", shop.address, "--all")
    assert "\x1b" not in ended.out + ended.err
