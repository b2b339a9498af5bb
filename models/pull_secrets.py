"""Entries of docker pull secrets, and the repositories that each entry covers.

The rules are those of Kubernetes' credential keyring, with one restriction: a path matches at a `/`
boundary only, so a credential for `team/foo` is never sent to `team/foo-evil` (registry-13.5,
imports-2.22, imports-2.23).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from models.reference import DOCKER_HUB, DOCKER_HUB_HOSTS
from models.resources.meta import Secret

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
_CREDENTIAL_FIELDS = ("auth", "username", "identitytoken", "registrytoken")
KeyringScope = tuple[str, str, str]  # host in lower case, port, path


def parse_docker_config_entries(secret: Secret) -> Mapping[str, Any]:
    """Parse a docker secret into its entries by key.

    Returns an empty map for any other secret and for unreadable content. `credsStore` and
    `credHelpers` are ignored (registry-13.3).
    """
    name = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKER_CFG: ".dockercfg"}.get(secret.type)
    if name is None or name not in secret.data:
        return {}
    try:
        document = json.loads(base64.b64decode(secret.data[name], validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    if secret.type == DOCKER_CONFIG_JSON:
        document = document.get("auths") if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def parse_keyring_key(key: str) -> KeyringScope:
    """Parse a secret's key into host, port and path, without scheme and version (imports-2.23)."""
    text = re.sub(r"^https?://", "", key.strip(), flags=re.IGNORECASE)
    registry, _, path = text.partition("/")
    path = re.sub(r"^v[12]/", "", path).strip("/")
    return (*parse_host_port(registry), path)


def parse_host_port(registry: str) -> tuple[str, str]:
    """Parse a registry into its host in lower case and its port; the colons of `[::1]` are not a
    port's.
    """
    host, colon, port = registry.rpartition(":")
    if not colon or "]" in port:
        return registry.lower(), ""
    return host.lower(), port


def scope_covers(scope: KeyringScope, host: str, port: str, path: str) -> bool:
    """Return whether a credential for `scope`, whose host may hold globs, applies to the
    repository.

    Host labels are compared one by one, so `*.example.com` covers neither `example.com` nor
    `a.b.example.com`; the port must be equal (registry-13.5).
    """
    own_host, own_port, own_path = scope
    if port != own_port:
        return False
    own_labels, labels = own_host.split("."), host.split(".")
    if len(own_labels) != len(labels):
        return False
    if not all(_label_matches(a, b) for a, b in zip(own_labels, labels, strict=True)):
        return False
    return not own_path or path == own_path or path.startswith(own_path + "/")


def registry_host_aliases(registry: str) -> list[str]:
    """Return the hosts under which secrets may name a registry: Docker Hub has several."""
    return sorted(DOCKER_HUB_HOSTS) if registry == DOCKER_HUB else [registry]


def keyring_scopes(secrets: Iterable[Secret]) -> list[KeyringScope]:
    """Return the scopes for which the secrets hold a credential."""
    return [
        parse_keyring_key(key)
        for secret in secrets
        for key, entry in parse_docker_config_entries(secret).items()
        if isinstance(entry, dict) and any(entry.get(name) for name in _CREDENTIAL_FIELDS)
    ]


def any_scope_covers(scopes: Iterable[KeyringScope], registry: str, repository: str) -> bool:
    """Return whether any of the scopes covers the repository."""
    addresses = [parse_host_port(host) for host in registry_host_aliases(registry)]
    return any(
        scope_covers(scope, *address, repository) for scope in scopes for address in addresses
    )


def _label_matches(pattern: str, label: str) -> bool:
    """Match a glob within one host label: `*`, `?`, `[…]`. `fnmatch` does not backtrack
    exponentially.
    """
    return pattern == label or fnmatchcase(label, pattern.replace("[^", "[!"))
