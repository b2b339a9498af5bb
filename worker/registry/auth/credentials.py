"""Pull secrets become the credentials for one repository (`registry.md` 3.6, `import.md` 2.6).

Kubernetes' keyring rules with one tightening: a path matches at a boundary only, so a credential
for `team/foo` is never offered to `team/foo-evil`. Programs that a secret names are never run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets as dice
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from models.pull_secrets import covers, entries_of, hosts_of, split_key, split_port
from models.resources.meta import Secret
from worker.registry.registry_types import Place

MOST_CANDIDATES = 5
_MOST_REMEMBERED = 1024
_EMPTY = SecretStr("")
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
# Names secrets that were never saved, for this process alone; the name tells nothing of them.
_UNSAVED = dice.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Credential:
    """One right to read, for hosts that match `host` and repositories below `path`.

    `id` names it in caches and logs: the secret's uid and version and the entry's key, never a
    secret. `host` may hold globs within its labels; `port` and `path` are literal.
    """

    id: str
    host: str
    port: str = ""
    path: str = ""
    username: str = ""
    password: SecretStr = _EMPTY
    identity_token: SecretStr = _EMPTY
    registry_token: SecretStr = _EMPTY

    @property
    def is_login(self) -> bool:
        """Whether there are a user name and a password to show."""
        return bool(self.username and self.password.get_secret_value())

    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        pair = f"{self.username}:{self.password.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def redact(self, text: str) -> str:
        """`text` without this credential's secrets, should a server have echoed them."""
        shown = [self.password, self.identity_token, self.registry_token]
        secrets = [secret.get_secret_value() for secret in shown]
        if self.is_login:
            secrets.append(self.basic().removeprefix("Basic "))
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "[redacted]")
        return text

    def matches(self, host: str, port: str, path: str) -> bool:
        """Whether this credential may be shown to that repository."""
        return covers((self.host, self.port, self.path), host, port, path)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The credentials of one namespace, in the order in which they were declared."""

    credentials: tuple[Credential, ...] = field(default_factory=tuple)
    _found: dict[Place, tuple[Credential, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_secrets(cls, secrets: Iterable[Secret]) -> Keyring:
        """What the pull secrets hold. A secret or an entry that cannot be read is passed over."""
        found: list[Credential] = []
        for secret in secrets:
            origin = _origin_of(secret)
            for key, entry in entries_of(secret).items():
                credential = _read_entry(key, entry, origin)
                if credential is not None:
                    found.append(credential)
        return cls(tuple(found))

    def candidates(self, place: Place) -> tuple[Credential, ...]:
        """Who may be tried at `place`: longest path first, exact hosts before globs."""
        if not self.credentials:
            return ()
        found = self._found.get(place)
        if found is None:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            found = self._found[place] = self._look_up(place)
        return found

    def _look_up(self, place: Place) -> tuple[Credential, ...]:
        hosts = hosts_of(place.registry)
        fitting = [
            credential
            for credential in self.credentials
            if any(credential.matches(*split_port(host), place.repository) for host in hosts)
        ]
        fitting.sort(key=_rank)
        return tuple(fitting[:MOST_CANDIDATES])


def _rank(credential: Credential) -> tuple[int, bool, int]:
    wild = sum(credential.host.count(mark) for mark in "*?[")
    return -len(credential.path), bool(wild), wild - len(credential.host)


def _origin_of(secret: Secret) -> str:
    if secret.metadata.uid:
        return f"{secret.metadata.uid}/{secret.metadata.resource_version}"
    content = json.dumps([secret.metadata.namespace, secret.type, secret.data], sort_keys=True)
    return "unsaved-" + hashlib.blake2b(content.encode(), key=_UNSAVED, digest_size=16).hexdigest()


def _read_entry(key: str, entry: Any, origin: str) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    host, port, path = split_key(key)
    username, password = _login_of(entry)
    identity = _text(entry, "identitytoken")
    registry_token = _text(entry, "registrytoken")
    if username == "<token>" and password and not identity:
        identity, username, password = password, "", ""
    if registry_token and not _TOKEN.fullmatch(registry_token):
        registry_token = ""  # a header could not carry it
    login = username and password
    if not host or "@" in key or not (login or identity or registry_token):
        return None
    return Credential(
        id=f"{origin}/{key}",
        host=host,
        port=port,
        path=path,
        username=username,
        password=SecretStr(password),
        identity_token=SecretStr(identity),
        registry_token=SecretStr(registry_token),
    )


def _login_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """`auth` wins over user name and password; the first colon separates them."""
    encoded = re.sub(r"\s", "", _text(entry, "auth")).rstrip("=")
    if not encoded:
        return _text(entry, "username"), _text(entry, "password")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        username, _, password = decoded.decode().rstrip("\x00").partition(":")
    except (binascii.Error, ValueError):
        return _text(entry, "username"), _text(entry, "password")
    return username, password


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
