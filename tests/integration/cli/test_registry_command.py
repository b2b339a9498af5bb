"""`tagstream registry` and `tagstream get registries`, on a local database and over REST."""

import pytest

from tests.api_test_server import ApiTestServer


def require_success(result):
    assert result.code == 0, result.err
    return result


@pytest.fixture(params=["local", "rest"])
def run(request, cli, tmp_path):
    """The command, on its own database or with a server's kubeconfig."""
    if request.param == "local":
        yield cli
        return
    with ApiTestServer(tmp_path / "server") as server:
        config = server.kubeconfig()
        yield lambda *arguments: cli("--kubeconfig", config, *arguments)


def test_registry_commands_set_get_and_delete_registry(run):
    assert "no registries yet" in require_success(run("get", "registries")).err
    options = ("--rate", "0.5", "--interval", "6h", "--mirror", "tag=m.example/hub")
    result = require_success(run("registry", "set", "docker.io", *options))
    assert result.err == "registry docker.io: rate 0.5, every 6h, mirrors m.example/hub\n"
    require_success(run("registry", "set", "localhost:5000", "--insecure", "true"))
    rows = require_success(run("get", "registries")).rows
    assert [row[:4] for row in rows] == [
        ["docker.io", "Unknown", "0.5/s", "-"],
        ["localhost:5000", "Unknown", "50/s", "-"],
    ]
    other_options = ("--rate", "default", "--no-mirrors", "--suspended", "yes")
    require_success(run("registry", "set", "index.docker.io", *other_options))
    registry = require_success(run("get", "registry", "docker.io", "-o", "json")).json()
    assert registry["spec"] == {"host": "docker.io", "interval": "6h", "suspended": True}
    assert registry["kind"] == "Registry"
    names = require_success(run("get", "reg", "-o", "name")).out.split()
    assert names == [
        f"registry.sync.tagstream.io/{name}" for name in ("docker.io", "localhost-5000")
    ]
    require_success(run("registry", "delete", "localhost:5000"))
    deleted_again = run("registry", "delete", "localhost:5000")
    assert deleted_again.code == 1
    assert "not found; see `tagstream get registries`" in deleted_again.err


def test_registry_set_with_invalid_arguments_fails_in_one_line(cli):
    unknown_host = cli("registry", "set", "nowhere", "--rate", "1")
    assert unknown_host.code == 1
    assert 'spec.host: Invalid value: "nowhere"' in unknown_host.err
    assert len(unknown_host.err.splitlines()) == 1
    assert cli("registry", "set", "quay.io").code == 2
    assert cli("registry", "set", "quay.io", "--rate", "fast").code == 2
    both = cli("registry", "set", "quay.io", "--no-mirrors", "--mirror", "m.example")
    assert (both.code, both.out) == (2, "")
