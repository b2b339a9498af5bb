"""`tagstream registry` and `tagstream get registries`, here and over REST."""

import pytest

from tests.apiserver import ApiWorld


def ended_well(ended):
    assert ended.code == 0, ended.err
    return ended


@pytest.fixture(params=["here", "rest"])
def run(request, cli, tmp_path):
    """The command, on its own database or with a server's kubeconfig."""
    if request.param == "here":
        yield cli
        return
    with ApiWorld(tmp_path / "world") as world:
        config = world.kubeconfig()
        yield lambda *words: cli("--kubeconfig", config, *words)


def test_a_registry_is_set_shown_changed_and_forgotten(run):
    assert "no registries yet" in ended_well(run("get", "registries")).err
    words = ("--rate", "0.5", "--interval", "6h", "--mirror", "tag=m.example/hub")
    said = ended_well(run("registry", "set", "docker.io", *words))
    assert said.err == "registry docker.io: rate 0.5, every 6h, mirrors m.example/hub\n"
    ended_well(run("registry", "set", "localhost:5000", "--insecure", "true"))
    rows = ended_well(run("get", "registries")).rows
    assert [row[:4] for row in rows] == [
        ["docker.io", "Unknown", "0.5/s", "-"],
        ["localhost:5000", "Unknown", "50/s", "-"],
    ]
    again = ("--rate", "default", "--no-mirrors", "--suspended", "yes")
    ended_well(run("registry", "set", "index.docker.io", *again))
    found = ended_well(run("get", "registry", "docker.io", "-o", "json")).json()
    assert found["spec"] == {"host": "docker.io", "interval": "6h", "suspended": True}
    assert found["kind"] == "Registry"
    names = ended_well(run("get", "reg", "-o", "name")).out.split()
    assert names == [
        f"registry.sync.tagstream.io/{name}" for name in ("docker.io", "localhost-5000")
    ]
    ended_well(run("registry", "delete", "localhost:5000"))
    gone = run("registry", "delete", "localhost:5000")
    assert gone.code == 1
    assert "not found; look at `tagstream get registries`" in gone.err


def test_wrong_words_are_refused_in_one_line(cli):
    wrong = cli("registry", "set", "nowhere", "--rate", "1")
    assert wrong.code == 1
    assert 'spec.host: Invalid value: "nowhere"' in wrong.err
    assert len(wrong.err.splitlines()) == 1
    assert cli("registry", "set", "quay.io").code == 2
    assert cli("registry", "set", "quay.io", "--rate", "fast").code == 2
    both = cli("registry", "set", "quay.io", "--no-mirrors", "--mirror", "m.example")
    assert (both.code, both.out) == (2, "")
