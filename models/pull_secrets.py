"""What pull secrets speak of: their entries, and which repositories each is for.

Kubernetes' keyring rules with one tightening: a path matches at a boundary only, so what is meant
for `team/foo` is never offered to `team/foo-evil` (`registry.md` 3.6, `import.md` 2.6).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from models.reference import DOCKER_HUB, HUB_HOSTS
from models.resources.meta import Secret

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
_LOGINS = ("auth", "username", "identitytoken", "registrytoken")
Scope = tuple[str, str, str]  # host in lower case, port, path


def entries_of(secret: Secret) -> Mapping[str, Any]:
    """Key → entry of a docker secret. `credsStore` and `credHelpers` are never looked at (C9)."""
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


def split_key(key: str) -> Scope:
    """Host, port and path of a secret's key, without scheme and API version."""
    text = re.sub(r"^https?://", "", key.strip(), flags=re.IGNORECASE)
    registry, _, path = text.partition("/")
    path = re.sub(r"^v[12]/", "", path).strip("/")
    return (*split_port(registry), path)


def split_port(registry: str) -> tuple[str, str]:
    """Host in lower case, and port; the colons of `[::1]` are none of a port."""
    host, colon, port = registry.rpartition(":")
    if not colon or "]" in port:
        return registry.lower(), ""
    return host.lower(), port


def covers(scope: Scope, host: str, port: str, path: str) -> bool:
    """Whether what is meant for `scope`, which may hold globs, is meant for that repository."""
    own_host, own_port, own_path = scope
    if port != own_port:
        return False
    own, other = own_host.split("."), host.split(".")
    if len(own) != len(other):
        return False
    if not all(_label_matches(a, b) for a, b in zip(own, other, strict=True)):
        return False
    return not own_path or path == own_path or path.startswith(own_path + "/")


def hosts_of(registry: str) -> list[str]:
    """The names under which secrets may know a registry: Docker Hub has several."""
    return sorted(HUB_HOSTS) if registry == DOCKER_HUB else [registry]


def scopes_of(secrets: Iterable[Secret]) -> list[Scope]:
    """What the secrets hold something to show for."""
    return [
        split_key(key)
        for secret in secrets
        for key, entry in entries_of(secret).items()
        if isinstance(entry, dict) and any(entry.get(name) for name in _LOGINS)
    ]


def speak_of(scopes: Iterable[Scope], registry: str, repository: str) -> bool:
    """Whether any of the scopes covers that repository."""
    places = [split_port(host) for host in hosts_of(registry)]
    return any(covers(scope, *place, repository) for scope in scopes for place in places)


def _label_matches(pattern: str, label: str) -> bool:
    """A glob within one label: `*`, `?`, `[…]`. Python's own never backtracks far."""
    return pattern == label or fnmatchcase(label, pattern.replace("[^", "[!"))
