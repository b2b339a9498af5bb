"""`tagstream secret`: credentials go in, are used, and never come out again."""

import base64
import json
import sqlite3

import pytest

from tests.integration.cli.conftest import CANARY


def create(cli, shop, *more, name="pull", **environment):
    words = ("--docker-server", shop.host, "--docker-username", "me", "--docker-password-stdin")
    return cli("secret", "create", name, *words, *more, stdin=f"{CANARY}\n", **environment)


@pytest.fixture
def private(shop):
    """The shop, for `me` alone."""
    shop.require_basic("me", CANARY)
    return shop


@pytest.fixture
def trusting():
    """Loopback registries speak plain http in these tests."""
    return {"TAGSTREAM_CREDENTIALS_OVER_HTTP": "true"}


def test_a_secret_opens_a_private_registry_to_its_own_namespace(cli, private, trusting):
    assert cli("import", f"{private.address}:1.0", **trusting).code == 3
    ended = create(cli, private)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"secret default/pull saved, for {private.host}\n"
    assert cli("import", f"{private.address}:1.0", **trusting).code == 0
    assert cli("import", f"{private.address}:1.0", "-n", "other", **trusting).code == 3


def test_a_secret_is_listed_without_what_it_holds(cli, shop):
    create(cli, shop)
    [row] = cli("secret", "list").rows
    assert row[:2] == ["pull", "kubernetes.io/dockerconfigjson"]
    assert cli("secret", "list", "-o", "name").out == "secret/pull\n"
    [item] = cli("secret", "list", "-A", "-o", "json").json()["items"]
    assert "data" not in item
    assert cli("secret", "list", "-n", "other").err == "no secrets in namespace other\n"


def test_a_secret_is_encrypted_at_rest_under_a_key_that_only_its_owner_reads(cli, shop):
    create(cli, shop)
    stored = b"".join(path.read_bytes() for path in cli.data.iterdir())
    assert CANARY.encode() not in stored
    assert base64.b64encode(f"me:{CANARY}".encode()) not in stored
    [key] = [p for p in cli.data.iterdir() if not p.name.startswith("tagstream.db")]
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_replaced_only_on_request(cli, shop):
    create(cli, shop)
    ended = create(cli, shop)
    assert ended.code == 1
    assert 'secrets "default/pull" already exists; say --replace' in ended.err
    assert create(cli, shop, "--replace").code == 0


def test_a_secret_can_be_deleted(cli, shop):
    create(cli, shop)
    assert cli("secret", "delete", "pull").code == 0
    assert cli("secret", "list", "-o", "name").out == ""
    assert cli("secret", "delete", "pull").code == 1


def test_a_docker_config_file_is_taken_over(cli, private, trusting, tmp_path):
    file = write_config(tmp_path / "mine.json", auths={private.host: login()})
    ended = cli("secret", "create", "pull", "--from-file", file)
    assert ended.err == f"secret default/pull saved, for {private.host}\n"
    assert cli("import", f"{private.address}:1.0", **trusting).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f'{{"auths": {{"q": "{CANARY}"}}}}', "holds no credentials"),
        (f'["{CANARY}"]', "a JSON object is expected"),
        (f'{{"auths": {CANARY}', "is not JSON"),
        ('{"auths": {"quay.io": {}}, "credsStore": "x"}', "use --from-docker-login HOST"),
        ("{}", "holds no credentials"),
        ("[" * 100_000, "is not JSON"),
        (" " * 1_100_000, "larger than a Docker configuration ever is"),
    ],
)
def test_a_file_that_is_no_docker_config_is_refused(cli, tmp_path, content, said):
    (tmp_path / "mine.json").write_text(content)
    ended = cli("secret", "create", "pull", "--from-file", tmp_path / "mine.json")
    assert said in ended.err
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_the_docker_login_is_read_from_its_configuration(cli, private, trusting):
    write_config(cli.home / ".docker" / "config.json", auths={private.host: login()})
    assert cli("secret", "create", "pull", "--from-docker-login", private.host).code == 0
    assert cli("import", f"{private.address}:1.0", **trusting).code == 0


@pytest.mark.parametrize("how", ["credHelpers", "credsStore"])
def test_the_docker_login_is_read_through_its_credential_helper(
    cli, private, trusting, how, tmp_path
):
    path = add_helper(tmp_path, json.dumps({"Username": "me", "Secret": CANARY}))
    helpers = {private.host: "mine"} if how == "credHelpers" else "mine"
    write_config(tmp_path / "docker" / "config.json", auths={}, **{how: helpers})
    words = ("secret", "create", "pull", "--from-docker-login", private.host)
    assert cli(*words, PATH=path, DOCKER_CONFIG=str(tmp_path / "docker")).code == 0
    assert (tmp_path / "asked").read_text() == private.host
    assert cli("import", f"{private.address}:1.0", **trusting).code == 0


def test_the_login_at_docker_hub_is_found_under_its_old_name(cli, tmp_path):
    add = {"https://index.docker.io/v1/": login()}
    write_config(tmp_path / "docker" / "config.json", auths=add)
    words = ("--from-docker-login", "docker.io", "--docker-config", tmp_path / "docker")
    ended = cli("secret", "create", "hub", *words)
    assert ended.err == "secret default/hub saved, for https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    ("answer", "code"), [(CANARY, 2), ("{}", 2), ('{"Username": "me", "Secret": ""}', 2), (None, 1)]
)
def test_a_helper_that_does_not_help_is_told_in_one_line(cli, tmp_path, answer, code):
    path = add_helper(tmp_path, answer)
    write_config(cli.home / ".docker" / "config.json", credsStore="mine")
    ended = cli("secret", "create", "x", "--from-docker-login", "quay.io", PATH=path)
    assert "quay.io" in ended.err
    assert (ended.code, ended.err.count("\n")) == (code, 1)


def test_the_users_own_oras_variables_are_not_taken_for_the_login(cli):
    write_config(cli.home / ".docker" / "config.json", auths={})
    words = ("secret", "create", "x", "--from-docker-login", "quay.io")
    assert cli(*words, ORAS_USER="me", ORAS_PASS=CANARY).code == 1


def test_a_secret_under_another_key_is_told_apart_from_a_broken_import(cli, private, trusting):
    create(cli, private)
    [key] = [p for p in cli.data.iterdir() if not p.name.startswith("tagstream.db")]
    key.unlink()
    ended = cli("import", f"{private.address}:1.0", **trusting)
    assert ended.code == 1
    assert "cannot be decrypted" in ended.err


def test_no_job_ever_holds_a_secret(cli, private, trusting):
    create(cli, private)
    cli("import", f"{private.address}:1.0", **trusting)
    cli("get", "jobs", "-o", "yaml")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert CANARY not in dump


def login():
    return {"auth": base64.b64encode(f"me:{CANARY}".encode()).decode()}


def write_config(path, **config):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def add_helper(directory, answer):
    """A PATH with `docker-credential-mine`, which says `answer` (None: fails)."""
    folder = directory / "bin"
    folder.mkdir()
    (directory / "answer").write_text(answer or "")
    helper = folder / "docker-credential-mine"
    fails = f"echo {CANARY} >&2; exit 1" if answer is None else f"cat {directory / 'answer'}"
    helper.write_text(f"#!/bin/sh\ncat > {directory / 'asked'}\n{fails}\n")
    helper.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"
