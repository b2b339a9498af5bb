"""The user's own Docker login, credential helpers included, read through oras.

oras only reads Docker's configuration and runs its helpers; it opens no connection.
"""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import NotFoundError, UsageError
from models.reference import DOCKER_HUB, DOCKER_HUB_HOSTS

if TYPE_CHECKING:
    from pydantic import SecretStr

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
MAX_DOCKER_CONFIG_BYTES = 1024 * 1024


def server_key(host: str) -> str:
    """Return the key under which Docker stores the logins of a registry."""
    return DOCKER_HUB_KEY if host.lower() in DOCKER_HUB_HOSTS else host


def read_login(host: str, directory: Path) -> tuple[str, SecretStr]:
    """Read user name and password of the login at `host` from the configuration in `directory`.

    An identity token comes with the user name `<token>`, as credential helpers return it. Raises
    NotFoundError if there is no login, UsageError if it cannot be read.
    """
    from pydantic import SecretStr

    config = read_config(directory / "config.json")
    names = [server_key(host), host, f"https://{host}", f"https://{host}/v1/"]
    if host.lower() in DOCKER_HUB_HOSTS:
        names += [*sorted(DOCKER_HUB_HOSTS), DOCKER_HUB]
    for name in dict.fromkeys(names):
        encoded = _find_auth(config, name, host)
        if encoded:
            username, password = _split_auth(encoded, host)
            return username, SecretStr(password)
    raise NotFoundError(resource="Docker logins", name=f"{host} in {directory}", group="")


def read_config(path: Path) -> dict[str, Any]:
    """Read a Docker configuration file.

    Raises UsageError if it is not one; the message never repeats the content.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCKER_CONFIG_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}; check its path, or log in"
        ) from error
    if len(content) > MAX_DOCKER_CONFIG_BYTES:
        raise UsageError(f"{path} is larger than the limit of a Docker configuration (1 MiB)")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON; name a Docker config.json") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path} is not a Docker configuration: a JSON object is expected")
    return config


def _find_auth(config: dict[str, Any], name: str, host: str) -> str:
    """Return base64 of user name and password stored under `name`, or an empty string."""
    import oras.logger
    from oras.auth.base import AuthBackend

    class OrasAuth(AuthBackend):  # type: ignore[misc] # only a subclass can read the result
        def __init__(self) -> None:
            super().__init__()
            self._auth_config = {**config, "auths": dict(config.get("auths") or {})}
            self._basic_auth = ""

        def find(self) -> str:
            return str(self._basic_auth) if self._load_auth(name) else ""

    oras.logger.logger.set_level(logging.CRITICAL)  # it would log the output of a helper
    try:
        return OrasAuth().find()
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise UsageError(
            f"the Docker login for {host} cannot be read: the configuration or the output of its "
            "credential helper is not in Docker's format; try `docker login` again"
        ) from error


def _split_auth(encoded: str, host: str) -> tuple[str, str]:
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        username = password = ""
    if not password:
        raise UsageError(
            f"the Docker login for {host} has no password; run `docker login` again, or use "
            "--docker-username with --docker-password-stdin"
        )
    return username, password
