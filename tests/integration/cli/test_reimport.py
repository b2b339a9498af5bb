"""`tagstream reimport`: the administrator looks again."""

from tests import fixtures as fx
from tests.integration.cli.conftest import interrupt, until


def test_a_stream_is_imported_again_and_only_what_moved_changes(cli, shop):
    cli("import", shop.address, "--all")
    shop.tag("team/app", "1.0", fx.digest_of(fx.OCI))
    ended = cli("reimport", "app")
    assert ended.code == 0
    assert {row[0]: row[-1] for row in ended.rows} == {
        "1.0": "new",
        "1.1": "unchanged",
        "latest": "unchanged",
    }
    assert cli("jobs", "-o", "json").json()["items"][0]["spec"]["asker"] == "administrator"


def test_one_tag_alone_is_imported_again(cli, shop):
    cli("import", shop.address, "--all")
    shop.forget_requests()
    assert [row[0] for row in cli("reimport", "app:1.1").rows] == ["1.1"]
    assert {each.rpartition("/")[2] for each in shop.requests if "/manifests/" in each} == {"1.1"}


def test_failed_takes_only_the_tags_that_failed(cli, shop):
    cli("import", f"{shop.address}:1.0")
    cli("import", f"{shop.address}:2.0")
    shop.push("team/app", tag="2.0", manifest=fx.OCI)
    ended = cli("reimport", "--all", "--failed")
    assert ended.code == 0
    assert [row[0] for row in ended.rows] == ["2.0"]
    assert "nothing to import again" in cli("reimport", "--all", "--failed").err


def test_registry_takes_only_tags_from_that_host(cli, shop, open_fake):
    other = open_fake()
    other.push("x/y", tag="t", manifest=fx.S2, config=fx.CFG_A)
    cli("import", f"{shop.address}:1.0")
    cli("import", f"{other.host}/x/y:t", "--to", "app:t")
    ended = cli("reimport", "app", "--registry", other.host)
    assert [row[0] for row in ended.rows] == ["t"]


def test_all_looks_at_every_stream_of_a_namespace_or_of_all(cli, shop):
    cli("import", f"{shop.address}:1.0", "--to", "one")
    cli("import", f"{shop.address}:1.0", "--to", "two")
    cli("import", f"{shop.address}:1.0", "--to", "three", "-n", "team")
    here = cli("reimport", "--all")
    assert sorted(row[2] for row in here.rows) == ["one", "two"]
    assert "2 streams looked at, 0 tags changed, 0 failed" in here.err
    everywhere = cli("reimport", "--all", "-A", "-o", "json").json()
    assert sorted(job["spec"]["stream"] for job in everywhere["items"]) == ["one", "three", "two"]


def test_a_tag_that_nobody_wants_cannot_be_imported_again(cli, shop):
    cli("import", f"{shop.address}:1.0")
    ended = cli("reimport", "app:nope")
    assert ended.code == 1
    assert 'imagestreamtags.image.openshift.io "app:nope" not found' in ended.err


def test_a_reimport_that_fails_ends_as_done_with_errors(cli, shop):
    cli("import", f"{shop.address}:1.0")
    shop.delete("team/app", "1.0")
    assert cli("reimport", "app").code == 3
    assert cli("reimport", "--all").code == 3


def test_a_dry_run_tells_the_requests_and_asks_nobody(cli, shop, open_fake):
    other = open_fake()
    other.push("x/y", tag="t", manifest=fx.S2, config=fx.CFG_A)
    cli("import", shop.address, "--all")
    cli("import", f"{shop.address}:1.0", "--to", "two")
    cli("import", f"{other.host}/x/y:t", "--to", "two:t")
    cli("import", f"{other.host}/x/y:nope", "--to", "two:nope")
    shop.forget_requests()
    other.forget_requests()
    ended = cli("reimport", "--all", "--dry-run")
    assert ended.code == 0
    rows = {row[0]: row[1:] for row in ended.rows}
    assert rows[shop.host] == ["3", "13", "4", "2"]  # three sources, one of them twice and one HEAD
    assert rows[other.host] == ["2", "6", "2", "1"]
    assert rows["in"] == ["all", "5", "19", "6", "2"]
    assert "5 to 19 requests to 2 registries for 6 tags of 2 streams (dry run: " in ended.err
    assert shop.requests == other.requests == []
    narrow = cli("reimport", "--all", "--failed", "--dry-run", "-o", "json").json()
    assert (narrow["requests"], narrow["streams"], len(narrow["registries"])) == (1, 1, 1)


def test_ctrl_c_cancels_every_stream_of_a_reimport(cli, shop):
    for name in ("one", "two"):
        cli("import", f"{shop.address}:1.0", "--to", name)
    shop.stall(".*/manifests/.*")
    process = cli.start("reimport", "--all")
    until(
        lambda: {"one", "two"} & {row[1] for row in cli("jobs", "--parts").rows if "running" in row}
    )
    ended = interrupt(process)
    assert ended.code == 1
    assert "cancelled: 0 of 2 streams looked at" in ended.err
    every = cli("jobs", "--parts", "-o", "json").json()["items"]
    ours = [each["status"]["state"] for each in every if each["spec"]["asker"] == "administrator"]
    assert ours == ["cancelled"] * 3
    assert [row[1:4] for row in cli("jobs").rows if row[2] == "cancelled"] == [
        ["(reimport)", "cancelled", "2/2"]
    ]


def test_a_reimport_is_cancelled_as_one_job(cli, shop):
    for name in ("one", "two"):
        cli("import", f"{shop.address}:1.0", "--to", name)
    shop.stall(".*/manifests/.*")
    process = cli.start("reimport", "--all")
    whole = until(
        lambda: next((row[0] for row in cli("jobs").rows if row[1] == "(reimport)"), None)
    )
    assert cli("job", "cancel", whole).code == 0
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled: 0 of 2 streams looked at" in talk
