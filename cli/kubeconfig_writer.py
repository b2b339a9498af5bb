"""Writes the kubeconfig of a local server, for kubectl, oc and the `tagstream` command."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from models.atomic_file import write_atomically

KUBECONFIG_ENTRY_NAME = "tagstream"


def write_kubeconfig(path: Path, *, server: str, authority: Path, token: str) -> None:
    """Write the kubeconfig atomically, readable by its owner only."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {
                "name": KUBECONFIG_ENTRY_NAME,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": KUBECONFIG_ENTRY_NAME, "user": {"token": token}}],
        "contexts": [
            {
                "name": KUBECONFIG_ENTRY_NAME,
                "context": {
                    "cluster": KUBECONFIG_ENTRY_NAME,
                    "user": KUBECONFIG_ENTRY_NAME,
                    "namespace": "default",
                },
            }
        ],
        "current-context": KUBECONFIG_ENTRY_NAME,
    }
    write_atomically(path, yaml.safe_dump(content, sort_keys=False).encode())


def read_token(path: Path) -> str:
    """Read the token of a kubeconfig written by `write_kubeconfig`; empty if there is none."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        token = content["users"][0]["user"]["token"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, UnicodeDecodeError):
        return ""
    return token if isinstance(token, str) else ""
