"""The user's own Docker login, credential helpers included, read through oras.

oras is only asked for what Docker's configuration and its helpers hold; it never dials.
"""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import NotFoundError, UsageError
from models.reference import DOCKER_HUB, HUB_HOSTS

if TYPE_CHECKING:
    from pydantic import SecretStr

HUB_KEY = "https://index.docker.io/v1/"
MOST_BYTES = 1024 * 1024


def server_key(host: str) -> str:
    """Under which name Docker files the logins of a registry."""
    return HUB_KEY if host.lower() in HUB_HOSTS else host


def read_login(host: str, directory: Path) -> tuple[str, SecretStr]:
    """User name and password of the login at `host`, from the configuration in `directory`.

    An identity token comes under the user name `<token>`, as helpers have it.
    """
    from pydantic import SecretStr

    config = read_config(directory / "config.json")
    names = [server_key(host), host, f"https://{host}", f"https://{host}/v1/"]
    if host.lower() in HUB_HOSTS:
        names += [*sorted(HUB_HOSTS), DOCKER_HUB]
    for name in dict.fromkeys(names):
        encoded = _ask_oras(config, name, host)
        if encoded:
            username, password = _split(encoded, host)
            return username, SecretStr(password)
    raise NotFoundError(resource="Docker logins", name=f"{host} in {directory}", group="")


def read_config(path: Path) -> dict[str, Any]:
    """A Docker configuration file. UsageError when it is none; its content is never repeated."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}; check its path, or log in"
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} is larger than a Docker configuration ever is (1 MiB)")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON; name a Docker config.json") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path} is not a Docker configuration: a JSON object is expected")
    return config


def _ask_oras(config: dict[str, Any], name: str, host: str) -> str:
    """What is filed under `name`: base64 of user name and password, or nothing."""
    import oras.logger
    from oras.auth.base import AuthBackend

    class Login(AuthBackend):  # type: ignore[misc] # a subclass may read what oras found
        def __init__(self) -> None:
            super().__init__()
            self._auth_config = {**config, "auths": dict(config.get("auths") or {})}
            self._basic_auth = ""

        def find(self) -> str:
            return str(self._basic_auth) if self._load_auth(name) else ""

    oras.logger.logger.set_level(logging.CRITICAL)  # it would repeat what a helper says
    try:
        return Login().find()
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise UsageError(
            f"the Docker login for {host} cannot be read: the configuration or its credential "
            "helper answers something else than Docker's own; try `docker login` again"
        ) from error


def _split(encoded: str, host: str) -> tuple[str, str]:
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        username = password = ""
    if not password:
        raise UsageError(
            f"the Docker login for {host} holds no password; use `docker login` again, or "
            "--docker-username with --docker-password-stdin"
        )
    return username, password
