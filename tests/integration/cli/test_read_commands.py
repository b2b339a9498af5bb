"""`tagstream get`, `describe` and `history`: what they show of imported streams and images."""

from datetime import UTC, datetime, timedelta

import yaml

from tests import fixtures as fx
from tests.integration.cli.conftest import wait_until


def short(content):
    return fx.digest_of(content)[:19]


def test_get_lists_streams_of_one_namespace_or_of_all(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    cli("import", f"{app_registry.repository}:1.1", "-n", "team")
    assert [row[:3] for row in cli("get").rows] == [["app", "1", "0"]]
    assert [row[:2] for row in cli("get", "streams", "-A").rows] == [
        ["default", "app"],
        ["team", "app"],
    ]
    assert f"{app_registry.host}/team/app" in cli("get", "-o", "wide").out


def test_get_without_objects_reports_none(cli):
    result = cli("get", "images")
    assert (result.code, result.out) == (0, "")
    assert result.err == "no images in namespace default\n"
    assert cli("get", "-o", "json").json()["items"] == []


def test_get_output_is_list_or_named_object(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    listed = cli("get", "streams", "-o", "json").json()
    stream = yaml.safe_load(cli("get", "is", "app", "-o", "yaml").out)
    assert (listed["kind"], listed["apiVersion"]) == ("ImageStreamList", "image.openshift.io/v1")
    assert listed["items"] == [stream]
    assert stream["kind"] == "ImageStream"
    assert [tag["tag"] for tag in stream["status"]["tags"]] == ["1.0"]


def test_get_images_shows_tags_that_point_to_each_image(cli, app_registry):
    cli("import", app_registry.repository, "--all", "--import-mode", "PreserveOriginal")
    rows = {row[0]: row for row in cli("get", "images").rows}
    assert set(rows) == {short(fx.S2), short(fx.OCI), short(fx.INDEX)}
    assert rows[short(fx.S2)][-1] == "app:1.0"
    assert rows[short(fx.INDEX)][1:3] == ["linux/arm64/v8,", "linux/amd64"]


def test_get_images_finds_image_by_digest_prefix(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    digest = fx.digest_of(fx.S2)
    for name in (digest, digest[:12], digest[7:15]):
        image = cli("get", "images", name, "-o", "json").json()
        assert (image["kind"], image["metadata"]["name"]) == ("Image", digest)
    assert cli("get", "image", digest, "-o", "name").out == f"image.image.openshift.io/{digest}\n"


def test_describe_shows_tags_platforms_layers_and_failures(cli, app_registry):
    cli("import", app_registry.repository, "--all", "--import-mode", "PreserveOriginal")
    cli("import", f"{app_registry.repository}:nope")
    text = cli("describe", "app").out
    assert "4, 1 failing" in text
    assert f"1.0      {short(fx.S2)}   linux/amd64      3" in text
    assert f"latest   {short(fx.INDEX)}   2 platforms" in text
    assert f"├─       {short(fx.OCI_ARM)}   linux/arm64/v8" in text
    assert f'"{app_registry.repository}:nope" not found' in text


def test_describe_of_tag_shows_its_layers(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    text = cli("describe", "app:1.0").out
    assert f"1       {fx.L1}   100 B" in text
    assert f"2       {fx.L2}   50 B" in text
    assert cli("describe", "app:2").code == 1


def test_history_shows_images_of_tag_over_time(cli, app_registry):
    cli("import", app_registry.repository, "--import-mode", "PreserveOriginal")
    [first] = cli("history", "app", "-o", "json").json()["items"]
    app_registry.tag("team/app", "latest", fx.digest_of(fx.S2))
    wait_until(
        lambda: datetime.now(UTC) >= datetime.fromisoformat(first["created"]) + timedelta(seconds=2)
    )
    cli("import", app_registry.repository, "--import-mode", "PreserveOriginal")
    history = cli("history", "app:latest", "-o", "json").json()
    assert history["tag"] == "latest"
    assert [each["image"] for each in history["items"]] == [
        fx.digest_of(fx.S2),
        fx.digest_of(fx.INDEX),
    ]
    at_first = cli("history", "app:latest", "--at", first["created"])
    assert [row[-2] for row in at_first.rows] == [short(fx.INDEX)]
    assert [row[-2] for row in cli("history", "app", "--limit", "1").rows] == [short(fx.S2)]
    assert cli("history", "app", "-o", "name").out.splitlines()[0] == (
        f"imagestreamimage.image.openshift.io/app@{fx.digest_of(fx.S2)}"
    )


def test_history_before_first_event_is_empty(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    result = cli("history", "app:1.0", "--at", "2001-02-03")
    assert (result.code, result.out) == (0, "")
    assert "pointed to no image yet at 2001-02-03" in result.err
    assert cli("history", "app:nope").code == 1


def test_get_with_closed_stdout_exits_0(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    process = cli.start("get", "streams", "-o", "yaml")
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
