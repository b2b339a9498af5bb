"""`tagstream reimport`: an administrator imports streams again."""

from tests import fixtures as fx
from tests.integration.cli.conftest import interrupt, wait_until


def test_reimport_of_stream_updates_only_changed_tags(cli, app_registry):
    cli("import", app_registry.repository, "--all")
    app_registry.tag("team/app", "1.0", fx.digest_of(fx.OCI))
    result = cli("reimport", "app")
    assert result.code == 0
    assert {row[0]: row[-1] for row in result.rows} == {
        "1.0": "updated",
        "1.1": "unchanged",
        "latest": "unchanged",
    }
    assert cli("jobs", "-o", "json").json()["items"][0]["spec"]["trigger"] == "administrator"


def test_reimport_of_one_tag_requests_only_that_tag(cli, app_registry):
    cli("import", app_registry.repository, "--all")
    app_registry.forget_requests()
    assert [row[0] for row in cli("reimport", "app:1.1").rows] == ["1.1"]
    assert {each.rpartition("/")[2] for each in app_registry.requests if "/manifests/" in each} == {
        "1.1"
    }


def test_reimport_failed_selects_only_failed_tags(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    cli("import", f"{app_registry.repository}:2.0")
    app_registry.push("team/app", tag="2.0", manifest=fx.OCI)
    result = cli("reimport", "--all", "--failed")
    assert result.code == 0
    assert [row[0] for row in result.rows] == ["2.0"]
    assert "nothing to import: no tag matches" in cli("reimport", "--all", "--failed").err


def test_reimport_registry_selects_only_tags_of_host(cli, app_registry, open_fake):
    other = open_fake()
    other.push("x/y", tag="t", manifest=fx.S2, config=fx.CFG_A)
    cli("import", f"{app_registry.repository}:1.0")
    cli("import", f"{other.host}/x/y:t", "--to", "app:t")
    result = cli("reimport", "app", "--registry", other.host)
    assert [row[0] for row in result.rows] == ["t"]


def test_reimport_all_selects_streams_of_one_or_all_namespaces(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0", "--to", "one")
    cli("import", f"{app_registry.repository}:1.0", "--to", "two")
    cli("import", f"{app_registry.repository}:1.0", "--to", "three", "-n", "team")
    one_namespace = cli("reimport", "--all")
    assert sorted(row[2] for row in one_namespace.rows) == ["one", "two"]
    assert "2 streams imported again: 0 new tags, 0 updated, 0 failed" in one_namespace.err
    all_namespaces = cli("reimport", "--all", "-A", "-o", "json").json()
    assert sorted(job["spec"]["stream"] for job in all_namespaces["items"]) == [
        "one",
        "three",
        "two",
    ]


def test_reimport_of_unknown_tag_fails(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    result = cli("reimport", "app:nope")
    assert result.code == 1
    assert 'imagestreamtags.image.openshift.io "app:nope" not found' in result.err


def test_reimport_of_failing_tag_exits_3(cli, app_registry):
    cli("import", f"{app_registry.repository}:1.0")
    app_registry.delete("team/app", "1.0")
    assert cli("reimport", "app").code == 3
    assert cli("reimport", "--all").code == 3


def test_reimport_dry_run_estimates_requests_and_sends_none(cli, app_registry, open_fake):
    other = open_fake()
    other.push("x/y", tag="t", manifest=fx.S2, config=fx.CFG_A)
    cli("import", app_registry.repository, "--all")
    cli("import", f"{app_registry.repository}:1.0", "--to", "two")
    cli("import", f"{other.host}/x/y:t", "--to", "two:t")
    cli("import", f"{other.host}/x/y:nope", "--to", "two:nope")
    app_registry.forget_requests()
    other.forget_requests()
    result = cli("reimport", "--all", "--dry-run")
    assert result.code == 0
    rows = {row[0]: row[1:] for row in result.rows}
    assert rows[app_registry.host] == [
        "3",
        "13",
        "4",
        "2",
    ]  # three sources, one of them twice and one HEAD
    assert rows[other.host] == ["2", "6", "2", "1"]
    assert rows["total"] == ["5", "19", "6", "2"]
    assert "5 to 19 requests to 2 registries for 6 tags of 2 streams (dry run: " in result.err
    assert app_registry.requests == other.requests == []
    only_failed = cli("reimport", "--all", "--failed", "--dry-run", "-o", "json").json()
    assert (only_failed["minRequests"], only_failed["streams"], len(only_failed["registries"])) == (
        1,
        1,
        1,
    )


def test_ctrl_c_cancels_every_job_of_reimport(cli, app_registry):
    for name in ("one", "two"):
        cli("import", f"{app_registry.repository}:1.0", "--to", name)
    app_registry.stall(".*/manifests/.*")
    process = cli.start("reimport", "--all")
    wait_until(
        lambda: {"one", "two"} & {row[1] for row in cli("jobs", "--parts").rows if "running" in row}
    )
    result = interrupt(process)
    assert result.code == 1
    assert "cancelled: 0 of 2 streams imported again" in result.err
    jobs = cli("jobs", "--parts", "-o", "json").json()["items"]
    states = [
        each["status"]["state"] for each in jobs if each["spec"]["trigger"] == "administrator"
    ]
    assert states == ["cancelled"] * 3
    assert [row[1:4] for row in cli("jobs").rows if row[2] == "cancelled"] == [
        ["(reimport)", "cancelled", "2/2"]
    ]


def test_job_cancel_of_reimport_cancels_all_its_jobs(cli, app_registry):
    for name in ("one", "two"):
        cli("import", f"{app_registry.repository}:1.0", "--to", name)
    app_registry.stall(".*/manifests/.*")
    process = cli.start("reimport", "--all")
    reimport_job = wait_until(
        lambda: next((row[0] for row in cli("jobs").rows if row[1] == "(reimport)"), None)
    )
    assert cli("job", "cancel", reimport_job).code == 0
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled: 0 of 2 streams imported again" in stderr
