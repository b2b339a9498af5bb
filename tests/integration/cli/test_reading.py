"""`tagstream get`, `describe` and `history`: what was imported, and how it is shown."""

from datetime import UTC, datetime, timedelta

import yaml

from tests import fixtures as fx
from tests.integration.cli.conftest import until


def short(content):
    return fx.digest_of(content)[:19]


def test_get_lists_streams_of_one_namespace_or_of_all(cli, shop):
    cli("import", f"{shop.address}:1.0")
    cli("import", f"{shop.address}:1.1", "-n", "team")
    assert [row[:3] for row in cli("get").rows] == [["app", "1", "0"]]
    assert [row[:2] for row in cli("get", "streams", "-A").rows] == [
        ["default", "app"],
        ["team", "app"],
    ]
    assert f"{shop.host}/team/app" in cli("get", "-o", "wide").out


def test_get_says_when_there_is_nothing(cli):
    ended = cli("get", "images")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "no images in namespace default\n"
    assert cli("get", "-o", "json").json()["items"] == []


def test_get_gives_a_list_or_the_object_that_was_named(cli, shop):
    cli("import", f"{shop.address}:1.0")
    many = cli("get", "streams", "-o", "json").json()
    one = yaml.safe_load(cli("get", "is", "app", "-o", "yaml").out)
    assert (many["kind"], many["apiVersion"]) == ("ImageStreamList", "image.openshift.io/v1")
    assert many["items"] == [one]
    assert one["kind"] == "ImageStream"
    assert [tag["tag"] for tag in one["status"]["tags"]] == ["1.0"]


def test_get_images_shows_which_tags_mean_them(cli, shop):
    cli("import", shop.address, "--all", "--import-mode", "PreserveOriginal")
    rows = {row[0]: row for row in cli("get", "images").rows}
    assert set(rows) == {short(fx.S2), short(fx.OCI), short(fx.INDEX)}
    assert rows[short(fx.S2)][-1] == "app:1.0"
    assert rows[short(fx.INDEX)][1:3] == ["linux/arm64/v8,", "linux/amd64"]


def test_get_images_finds_one_by_the_beginning_of_its_digest(cli, shop):
    cli("import", f"{shop.address}:1.0")
    digest = fx.digest_of(fx.S2)
    for name in (digest, digest[:12], digest[7:15]):
        image = cli("get", "images", name, "-o", "json").json()
        assert (image["kind"], image["metadata"]["name"]) == ("Image", digest)
    assert cli("get", "image", digest, "-o", "name").out == f"image.image.openshift.io/{digest}\n"


def test_describe_shows_tags_platforms_layers_and_failures(cli, shop):
    cli("import", shop.address, "--all", "--import-mode", "PreserveOriginal")
    cli("import", f"{shop.address}:nope")
    text = cli("describe", "app").out
    assert "4, 1 failing" in text
    assert f"1.0      {short(fx.S2)}   linux/amd64      3" in text
    assert f"latest   {short(fx.INDEX)}   2 platforms" in text
    assert f"├─       {short(fx.OCI_ARM)}   linux/arm64/v8" in text
    assert f'"{shop.address}:nope" not found' in text


def test_describe_of_a_tag_shows_its_layers(cli, shop):
    cli("import", f"{shop.address}:1.0")
    text = cli("describe", "app:1.0").out
    assert f"1       {fx.L1}   100 B" in text
    assert f"2       {fx.L2}   50 B" in text
    assert cli("describe", "app:2").code == 1


def test_history_tells_what_a_tag_meant_and_when(cli, shop):
    cli("import", shop.address, "--import-mode", "PreserveOriginal")
    [first] = cli("history", "app", "-o", "json").json()["items"]
    shop.tag("team/app", "latest", fx.digest_of(fx.S2))
    until(
        lambda: datetime.now(UTC) >= datetime.fromisoformat(first["created"]) + timedelta(seconds=2)
    )
    cli("import", shop.address, "--import-mode", "PreserveOriginal")
    history = cli("history", "app:latest", "-o", "json").json()
    assert history["tag"] == "latest"
    assert [each["image"] for each in history["items"]] == [
        fx.digest_of(fx.S2),
        fx.digest_of(fx.INDEX),
    ]
    then = cli("history", "app:latest", "--at", first["created"])
    assert [row[-2] for row in then.rows] == [short(fx.INDEX)]
    assert [row[-2] for row in cli("history", "app", "--limit", "1").rows] == [short(fx.S2)]
    assert cli("history", "app", "-o", "name").out.splitlines()[0] == (
        f"imagestreamimage.image.openshift.io/app@{fx.digest_of(fx.S2)}"
    )


def test_history_before_the_first_event_is_empty_and_says_so(cli, shop):
    cli("import", f"{shop.address}:1.0")
    ended = cli("history", "app:1.0", "--at", "2001-02-03")
    assert (ended.code, ended.out) == (0, "")
    assert "meant nothing yet at 2001-02-03" in ended.err
    assert cli("history", "app:nope").code == 1


def test_a_reader_that_has_seen_enough_is_no_failure(cli, shop):
    cli("import", f"{shop.address}:1.0")
    process = cli.start("get", "streams", "-o", "yaml")
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
