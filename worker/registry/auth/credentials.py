"""Credentials: parsing of pull secrets, and the choice of candidates for a repository.

The rules are those of Kubernetes' keyring with one tightening: a path matches at a `/` only, so a
credential for `team/foo` is never offered to `team/foo-evil` (registry-13.5, imports-2.23). Which
secrets are used is in registry-13.1 and imports-2.22. Programs that a secret names are never run
(registry-13.3).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets as secure_random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from models.pull_secrets import (
    parse_docker_config_entries,
    parse_host_port,
    parse_keyring_key,
    registry_host_aliases,
    scope_covers,
)
from models.resources.meta import Secret
from worker.registry.registry_types import SourceRepository

MAX_CANDIDATES = 5
_MAX_CACHED_CANDIDATES = 1024
_EMPTY_SECRET = SecretStr("")
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
# Key of the ids of secrets that were never saved. It is random and known to this process only, so
# that an id reveals nothing about the secret's content.
_UNSAVED_SECRET_KEY = secure_random.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Credential:
    """One entry of a pull secret, for hosts that match `host` and repositories below `path`.

    `id` identifies it in caches and logs: the secret's uid and resource version and the entry's
    key, never a secret (registry-12.1). `host` may contain globs within its labels; `port` and
    `path` are literal.
    """

    id: str
    host: str
    port: str = ""
    path: str = ""
    username: str = ""
    password: SecretStr = _EMPTY_SECRET
    identity_token: SecretStr = _EMPTY_SECRET
    registry_token: SecretStr = _EMPTY_SECRET

    @property
    def has_password(self) -> bool:
        """Whether there are a user name and a password to send."""
        return bool(self.username and self.password.get_secret_value())

    def basic_authorization(self) -> str:
        """Return the value of a Basic `Authorization` header."""
        pair = f"{self.username}:{self.password.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def redact(self, text: str) -> str:
        """Return `text` with this credential's secrets redacted (registry-27.2)."""
        secret_values = [self.password, self.identity_token, self.registry_token]
        secrets = [secret.get_secret_value() for secret in secret_values]
        if self.has_password:
            secrets.append(self.basic_authorization().removeprefix("Basic "))
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "[redacted]")
        return text

    def matches(self, host: str, port: str, path: str) -> bool:
        """Return whether this credential may be sent for that repository (registry-13.5)."""
        return scope_covers((self.host, self.port, self.path), host, port, path)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The credentials of one namespace, in the order in which they were declared."""

    credentials: tuple[Credential, ...] = field(default_factory=tuple)
    _cached_candidates: dict[SourceRepository, tuple[Credential, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_secrets(cls, secrets: Iterable[Secret]) -> Keyring:
        """Return the credentials of pull secrets; unreadable secrets and entries are skipped."""
        found: list[Credential] = []
        for secret in secrets:
            secret_id = _secret_id_of(secret)
            for key, entry in parse_docker_config_entries(secret).items():
                credential = _parse_entry(key, entry, secret_id)
                if credential is not None:
                    found.append(credential)
        return cls(tuple(found))

    def candidates(self, source: SourceRepository) -> tuple[Credential, ...]:
        """Return the credentials to try, at most 5, longest path first, exact hosts before globs
        (registry-13.6).
        """
        if not self.credentials:
            return ()
        found = self._cached_candidates.get(source)
        if found is None:
            if len(self._cached_candidates) >= _MAX_CACHED_CANDIDATES:
                self._cached_candidates.clear()
            found = self._cached_candidates[source] = self._find_candidates(source)
        return found

    def _find_candidates(self, source: SourceRepository) -> tuple[Credential, ...]:
        hosts = registry_host_aliases(source.registry)
        matching = [
            credential
            for credential in self.credentials
            if any(credential.matches(*parse_host_port(host), source.repository) for host in hosts)
        ]
        matching.sort(key=_candidate_order)
        return tuple(matching[:MAX_CANDIDATES])


def _candidate_order(credential: Credential) -> tuple[int, bool, int]:
    wildcards = sum(credential.host.count(wildcard) for wildcard in "*?[")
    return -len(credential.path), bool(wildcards), wildcards - len(credential.host)


def _secret_id_of(secret: Secret) -> str:
    if secret.metadata.uid:
        return f"{secret.metadata.uid}/{secret.metadata.resource_version}"
    content = json.dumps([secret.metadata.namespace, secret.type, secret.data], sort_keys=True)
    return (
        "unsaved-"
        + hashlib.blake2b(content.encode(), key=_UNSAVED_SECRET_KEY, digest_size=16).hexdigest()
    )


def _parse_entry(key: str, entry: Any, secret_id: str) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    host, port, path = parse_keyring_key(key)
    username, password = _username_and_password_of(entry)
    identity = _text(entry, "identitytoken")
    registry_token = _text(entry, "registrytoken")
    if username == "<token>" and password and not identity:
        identity, username, password = password, "", ""
    if registry_token and not _TOKEN.fullmatch(registry_token):
        registry_token = ""  # a header cannot carry it
    has_login = username and password
    if not host or "@" in key or not (has_login or identity or registry_token):
        return None
    return Credential(
        id=f"{secret_id}/{key}",
        host=host,
        port=port,
        path=path,
        username=username,
        password=SecretStr(password),
        identity_token=SecretStr(identity),
        registry_token=SecretStr(registry_token),
    )


def _username_and_password_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the login of an entry.

    `auth` wins over `username` and `password`; the first colon separates them (registry-13.2).
    """
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
