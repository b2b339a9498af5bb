"""`tagstream secret`: manages registry credentials of a namespace. Their data is never printed."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import all_namespaces_option, namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from pydantic import SecretStr

    from models.resources.meta import Secret

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DATA_KEY = ".dockerconfigjson"
MAX_PASSWORD_LENGTH = 64 * 1024


@click.group("secret", short_help="Manage registry credentials.")
def command() -> None:
    """Manage the credentials that imports of a namespace may use. They are stored encrypted."""


def _refuse_password(_context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "a password on the command line is visible to all users of this machine; pipe it in "
            "and use --docker-password-stdin"
        )


@command.command("create", short_help="Save credentials.")
@click.argument("name")
@click.option("--docker-server", metavar="HOST", help="The registry [default: docker.io].")
@click.option("--docker-username", metavar="USER", help="User name or robot account.")
@click.option("--docker-password-stdin", is_flag=True, help="Read the password from stdin.")
@click.option("--docker-password", hidden=True, expose_value=False, callback=_refuse_password)
@click.option("--docker-email", hidden=True, expose_value=False)
@click.option("--from-file", type=click.Path(path_type=Path), help="A Docker config.json.")
@click.option("--from-docker-login", metavar="HOST", help="Your own `docker login` at HOST.")
@click.option(
    "--docker-config",
    type=click.Path(path_type=Path),
    envvar="DOCKER_CONFIG",
    help="Directory of your Docker login [default: ~/.docker].",
)
@click.option("--replace", is_flag=True, help="Replace an existing secret.")
@namespace_option
@pass_target
def create_command(
    target: Target, /, *, name: str, namespace: str, replace: bool, **sources: Any
) -> None:
    """Save credentials as the secret NAME: from --docker-username and --docker-password-stdin, from
    a Docker config.json, or from your own Docker login (credential helpers included).
    """
    from cli.backend.connect import open_backend
    from cli.rendering.output import print_message

    _check_name(name, namespace)
    config = _read_source(**sources)
    secret = _build(name, namespace, config)
    with open_backend(target) as backend:
        backend.save_secret(secret, replace=replace)
    hosts = ", ".join(sorted(config["auths"]))
    print_message(f"secret {namespace}/{name} saved, for {hosts}", style="green")


@command.command("list", short_help="List secrets.")
@namespace_option
@all_namespaces_option
@output_option
@pass_target
def list_command(target: Target, *, namespace: str, all_namespaces: bool, style: str) -> None:
    """List the secrets of a namespace, without their data."""
    from cli.backend.connect import open_backend
    from cli.rendering.formatting import format_age
    from cli.rendering.output import (
        as_list,
        as_object,
        print_columns,
        print_document,
        print_message,
        print_names,
    )

    with open_backend(target) as backend:
        secrets = backend.list_secrets(None if all_namespaces else namespace)
    if style == "name":
        print_names(f"secret/{each.metadata.name}" for each in secrets)
    elif style in {"json", "yaml"}:
        items = [as_object("Secret", each.wire(), version="v1") for each in secrets]
        print_document(as_list("Secret", items, version="v1"), style)
    elif secrets:
        now = datetime.now(UTC)
        header = ["NAME", "TYPE", "CREATED"]
        rows: list[list[Any]] = [
            [
                (each.metadata.name, "bold"),
                each.type,
                (format_age(each.metadata.creation_timestamp, now), "dim"),
            ]
            for each in secrets
        ]
        if all_namespaces:
            header = ["NAMESPACE", *header]
            rows = [[s.metadata.namespace, *row] for s, row in zip(secrets, rows, strict=True)]
        print_columns(header, rows)
    else:
        print_message("no secrets" if all_namespaces else f"no secrets in namespace {namespace}")


@command.command("delete", short_help="Delete a secret.")
@click.argument("name")
@namespace_option
@pass_target
def delete_command(target: Target, *, name: str, namespace: str) -> None:
    """Delete the secret NAME."""
    from cli.backend.connect import open_backend
    from cli.rendering.output import print_message
    from models.errors import NotFoundError

    with open_backend(target) as backend:
        if not backend.delete_secret(namespace, name):
            raise NotFoundError(resource="secrets", name=f"{namespace}/{name}", group="")
    print_message(f"secret {namespace}/{name} deleted", style="green")


def _read_source(
    *,
    docker_server: str | None,
    docker_username: str | None,
    docker_password_stdin: bool,
    from_file: Path | None,
    from_docker_login: str | None,
    docker_config: Path | None,
) -> dict[str, Any]:
    """Read the Docker configuration from the one source that was given."""
    typed = any((docker_server, docker_username, docker_password_stdin))
    readers: list[Callable[[], dict[str, Any]]] = []
    if typed:
        readers.append(
            lambda: _from_username(docker_server, docker_username, docker_password_stdin)
        )
    if from_file is not None:
        readers.append(lambda: _from_file(from_file))
    if from_docker_login is not None:
        readers.append(lambda: _from_docker_login(from_docker_login, docker_config))
    if len(readers) != 1:
        raise click.UsageError(
            "give the credentials in exactly one way: --docker-username with "
            "--docker-password-stdin, --from-file, or --from-docker-login"
        )
    return readers[0]()


def _from_username(server: str | None, username: str | None, from_stdin: bool) -> dict[str, Any]:
    from pydantic import SecretStr

    if not username or not from_stdin:
        raise click.UsageError("--docker-username and --docker-password-stdin are used together")
    if ":" in username:
        raise click.UsageError("a user name contains no ':'; the password is read from stdin")
    if sys.stdin.isatty():
        text = click.prompt("Password", hide_input=True, err=True)
    else:
        text = sys.stdin.read(MAX_PASSWORD_LENGTH).rstrip("\r\n")
    if not text:
        raise click.UsageError("no password on stdin; pipe it in")
    return _config_of(_check_server(server or "docker.io"), username, SecretStr(text))


def _from_file(path: Path) -> dict[str, Any]:
    from cli.docker_config import read_config
    from models.errors import UsageError

    config = read_config(path)
    auths = config.get("auths", config)
    entries = auths.values() if isinstance(auths, dict) else ()
    if not auths or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(
            f"{path} has no credentials: 'auths' with one entry for each registry is expected"
        )
    if not any(entries):
        raise UsageError(
            f"{path} only names registries; their passwords are in a credential helper: use "
            "--from-docker-login HOST"
        )
    return {"auths": auths}


def _from_docker_login(host: str, directory: Path | None) -> dict[str, Any]:
    from cli.docker_config import read_login

    host = _check_server(host)
    username, password = read_login(host, directory or Path.home() / ".docker")
    return _config_of(host, username, password)


def _config_of(host: str, username: str, password: SecretStr) -> dict[str, Any]:
    from cli.docker_config import server_key

    pair = f"{username}:{password.get_secret_value()}"
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    return {"auths": {server_key(host): entry}}


def _check_server(host: str) -> str:
    """Return the registry host without its scheme. Raises UsageError if it cannot be one."""
    from urllib.parse import urlsplit

    from models.errors import UsageError

    try:
        parts = urlsplit(host if "://" in host else f"//{host}")
        valid = bool(parts.hostname) and parts.username is None and not parts.query
        _ = parts.port
    except ValueError:
        valid = False
    if not valid or any(each.isspace() for each in host):
        raise UsageError("the registry of a secret is a host, like quay.io or localhost:5000")
    return host.removeprefix("https://").removeprefix("http://").rstrip("/")


def _check_name(name: str, namespace: str) -> None:
    import re

    from models.errors import UsageError

    for what, text, max_length in (("secret", name, 253), ("namespace", namespace, 63)):
        pattern = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
        if len(text) > max_length or re.fullmatch(pattern, text, re.ASCII) is None:
            raise UsageError(
                f"{text[:80]!r} is not a name for a {what}: up to {max_length} lower-case letters, "
                "digits and '-', beginning and ending with a letter or digit"
            )


def _build(name: str, namespace: str, config: dict[str, Any]) -> Secret:
    from models.resources.meta import ObjectMeta, Secret

    content = base64.b64encode(json.dumps(config).encode()).decode()
    return Secret(
        metadata=ObjectMeta(name=name, namespace=namespace),
        data={DATA_KEY: content},
        type=DOCKER_CONFIG_JSON,
    )
