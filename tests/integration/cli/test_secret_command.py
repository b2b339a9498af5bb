"""`tagstream secret`: credentials are stored encrypted, used by imports and never printed."""

import base64
import json
import sqlite3

import pytest

from tests.integration.cli.conftest import TEST_PASSWORD


def create(cli, app_registry, *more_options, name="pull", **environment):
    options = (
        "--docker-server",
        app_registry.host,
        "--docker-username",
        "me",
        "--docker-password-stdin",
    )
    return cli(
        "secret", "create", name, *options, *more_options, stdin=f"{TEST_PASSWORD}\n", **environment
    )


@pytest.fixture
def private_registry(app_registry):
    """The registry, which only the user `me` may read."""
    app_registry.require_basic("me", TEST_PASSWORD)
    return app_registry


@pytest.fixture
def plain_http():
    """The setting that allows credentials over plain HTTP: the fake registries have no TLS."""
    return {"TAGSTREAM_CREDENTIALS_OVER_HTTP": "true"}


def test_secret_allows_imports_only_in_its_namespace(cli, private_registry, plain_http):
    assert cli("import", f"{private_registry.repository}:1.0", **plain_http).code == 3
    result = create(cli, private_registry)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"secret default/pull saved, for {private_registry.host}\n"
    assert cli("import", f"{private_registry.repository}:1.0", **plain_http).code == 0
    assert (
        cli("import", f"{private_registry.repository}:1.0", "-n", "other", **plain_http).code == 3
    )


def test_import_that_requires_login_hints_at_secret_create(cli, private_registry, plain_http):
    hint = "hint: save a pull secret: tagstream secret create"
    result = cli("import", f"{private_registry.repository}:1.0", **plain_http)
    assert result.err.splitlines().count(hint) == 1
    create(cli, private_registry)
    missing = cli("import", f"{private_registry.repository}:9.9", **plain_http)
    assert (missing.code, hint in missing.err) == (3, False)


def test_secret_list_shows_no_data(cli, app_registry):
    create(cli, app_registry)
    [row] = cli("secret", "list").rows
    assert row[:2] == ["pull", "kubernetes.io/dockerconfigjson"]
    assert cli("secret", "list", "-o", "name").out == "secret/pull\n"
    [item] = cli("secret", "list", "-A", "-o", "json").json()["items"]
    assert "data" not in item
    assert cli("secret", "list", "-n", "other").err == "no secrets in namespace other\n"


def test_secret_is_encrypted_at_rest_with_private_key_file(cli, app_registry):
    create(cli, app_registry)
    stored = b"".join(path.read_bytes() for path in cli.data.iterdir())
    assert TEST_PASSWORD.encode() not in stored
    assert base64.b64encode(f"me:{TEST_PASSWORD}".encode()) not in stored
    [key] = [p for p in cli.data.iterdir() if not p.name.startswith("tagstream.db")]
    assert key.stat().st_mode & 0o777 == 0o600


def test_secret_create_replaces_only_with_replace_option(cli, app_registry):
    create(cli, app_registry)
    result = create(cli, app_registry)
    assert result.code == 1
    assert 'secrets "default/pull" already exists; use --replace' in result.err
    assert create(cli, app_registry, "--replace").code == 0


def test_secret_delete_removes_secret(cli, app_registry):
    create(cli, app_registry)
    assert cli("secret", "delete", "pull").code == 0
    assert cli("secret", "list", "-o", "name").out == ""
    assert cli("secret", "delete", "pull").code == 1


def test_secret_create_from_docker_config_file(cli, private_registry, plain_http, tmp_path):
    file = write_config(tmp_path / "mine.json", auths={private_registry.host: login()})
    result = cli("secret", "create", "pull", "--from-file", file)
    assert result.err == f"secret default/pull saved, for {private_registry.host}\n"
    assert cli("import", f"{private_registry.repository}:1.0", **plain_http).code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"auths": {{"q": "{TEST_PASSWORD}"}}}}', "has no credentials"),
        (f'["{TEST_PASSWORD}"]', "a JSON object is expected"),
        (f'{{"auths": {TEST_PASSWORD}', "is not JSON"),
        ('{"auths": {"quay.io": {}}, "credsStore": "x"}', "use --from-docker-login HOST"),
        ("{}", "has no credentials"),
        ("[" * 100_000, "is not JSON"),
        (" " * 1_100_000, "larger than the limit of a Docker configuration"),
    ],
)
def test_secret_create_refuses_file_that_is_no_docker_config(cli, tmp_path, content, message):
    (tmp_path / "mine.json").write_text(content)
    result = cli("secret", "create", "pull", "--from-file", tmp_path / "mine.json")
    assert message in result.err
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_secret_create_reads_docker_login_from_config(cli, private_registry, plain_http):
    write_config(cli.home / ".docker" / "config.json", auths={private_registry.host: login()})
    assert cli("secret", "create", "pull", "--from-docker-login", private_registry.host).code == 0
    assert cli("import", f"{private_registry.repository}:1.0", **plain_http).code == 0


@pytest.mark.parametrize("how", ["credHelpers", "credsStore"])
def test_secret_create_reads_docker_login_from_credential_helper(
    cli, private_registry, plain_http, how, tmp_path
):
    path = add_helper(tmp_path, json.dumps({"Username": "me", "Secret": TEST_PASSWORD}))
    helpers = {private_registry.host: "mine"} if how == "credHelpers" else "mine"
    write_config(tmp_path / "docker" / "config.json", auths={}, **{how: helpers})
    arguments = ("secret", "create", "pull", "--from-docker-login", private_registry.host)
    assert cli(*arguments, PATH=path, DOCKER_CONFIG=str(tmp_path / "docker")).code == 0
    assert (tmp_path / "asked").read_text() == private_registry.host
    assert cli("import", f"{private_registry.repository}:1.0", **plain_http).code == 0


def test_secret_create_finds_docker_hub_login_under_old_name(cli, tmp_path):
    auths = {"https://index.docker.io/v1/": login()}
    write_config(tmp_path / "docker" / "config.json", auths=auths)
    options = ("--from-docker-login", "docker.io", "--docker-config", tmp_path / "docker")
    result = cli("secret", "create", "hub", *options)
    assert result.err == "secret default/hub saved, for https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [(TEST_PASSWORD, 2), ("{}", 2), ('{"Username": "me", "Secret": ""}', 2), (None, 1)],
)
def test_secret_create_with_failing_credential_helper_prints_one_line(cli, tmp_path, answer, code):
    path = add_helper(tmp_path, answer)
    write_config(cli.home / ".docker" / "config.json", credsStore="mine")
    result = cli("secret", "create", "x", "--from-docker-login", "quay.io", PATH=path)
    assert "quay.io" in result.err
    assert (result.code, result.err.count("\n")) == (code, 1)


def test_secret_create_ignores_oras_variables(cli):
    write_config(cli.home / ".docker" / "config.json", auths={})
    arguments = ("secret", "create", "x", "--from-docker-login", "quay.io")
    assert cli(*arguments, ORAS_USER="me", ORAS_PASS=TEST_PASSWORD).code == 1


def test_import_with_undecryptable_secret_exits_1(cli, private_registry, plain_http):
    create(cli, private_registry)
    [key] = [p for p in cli.data.iterdir() if not p.name.startswith("tagstream.db")]
    key.unlink()
    result = cli("import", f"{private_registry.repository}:1.0", **plain_http)
    assert result.code == 1
    assert "cannot be decrypted" in result.err


def test_jobs_store_no_secret_data(cli, private_registry, plain_http):
    create(cli, private_registry)
    cli("import", f"{private_registry.repository}:1.0", **plain_http)
    cli("get", "jobs", "-o", "yaml")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert TEST_PASSWORD not in dump


def login():
    return {"auth": base64.b64encode(f"me:{TEST_PASSWORD}".encode()).decode()}


def write_config(path, **config):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def add_helper(directory, answer):
    """Return a PATH with `docker-credential-mine`, which prints `answer` (None: it fails)."""
    folder = directory / "bin"
    folder.mkdir()
    (directory / "answer").write_text(answer or "")
    helper = folder / "docker-credential-mine"
    fails = f"echo {TEST_PASSWORD} >&2; exit 1" if answer is None else f"cat {directory / 'answer'}"
    helper.write_text(f"#!/bin/sh\ncat > {directory / 'asked'}\n{fails}\n")
    helper.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"
